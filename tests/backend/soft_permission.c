/* SPDX-License-Identifier: MIT */
/* A device may do what the direction of the link says, in every format, cached or not. */
#include "soft_fixture.h"

#define IOVA 0x10000000ULL

/* What the format makes of the direction: rights it cannot express come as hardware has them. */
static unsigned int rights(const struct pgt_format *format, enum dma_data_direction dir)
{
	if (dir == DMA_BIDIRECTIONAL)
		return PGT_READ | PGT_WRITE;
	if (dir == DMA_TO_DEVICE)
		return PGT_READ;
	return strcmp(pgt_format_name(format), "x86-64") ? PGT_WRITE : PGT_READ | PGT_WRITE;
}

static void check(struct fixture *fx, unsigned int allowed, uint64_t *faults)
{
	uint8_t byte = 9;
	int err = dma_bus_read(fx->port, IOVA, &byte, 1);

	assert_int_equal(err, allowed & PGT_READ ? 0 : -EFAULT);
	if (err) {
		struct dma_fault fault = only_fault(fx->be);

		(*faults)++;
		assert_int_equal(fault.reason, DMA_FAULT_PERMISSION);
		assert_false(fault.write);
		assert_int_equal(byte, 9);
	}
	fx->memory[0] = 1;
	byte = 2;
	err = dma_bus_write(fx->port, IOVA, &byte, 1);
	assert_int_equal(err, allowed & PGT_WRITE ? 0 : -EFAULT);
	assert_int_equal(fx->memory[0], err ? 1 : 2);
	if (err) {
		struct dma_fault fault = only_fault(fx->be);

		(*faults)++;
		assert_int_equal(fault.reason, DMA_FAULT_PERMISSION);
		assert_true(fault.write);
	}
	assert_int_equal(fx->be->ops->faults(fx->be), *faults);
}

static void direction_decides(void **state)
{
	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		for (unsigned int dir = DMA_BIDIRECTIONAL; dir < DMA_NONE; dir++) {
			enum dma_data_direction direction = (enum dma_data_direction)dir;
			uint64_t faults = 0;
			struct fixture fx;

			fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 16, 4,
					2 * MIB);
			link_memory(fx.be, IOVA, fx.memory, PAGE, direction);
			/* The first round walks, the second finds the entry cached. */
			check(&fx, rights(pgt_formats[f], direction), &faults);
			check(&fx, rights(pgt_formats[f], direction), &faults);
			assert_in_range(stats_of(fx.port).iotlb_hits, 1, 3);
			fixture_close(&fx);
		}
	}
}

static void atomics_need_both_rights(void **state)
{
	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		for (unsigned int dir = DMA_BIDIRECTIONAL; dir < DMA_NONE; dir++) {
			enum dma_data_direction direction = (enum dma_data_direction)dir;
			bool allowed = rights(pgt_formats[f], direction) == (PGT_READ | PGT_WRITE);
			struct fixture fx;
			uint64_t old = 3;

			fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 16, 4,
					2 * MIB);
			link_memory(fx.be, IOVA, fx.memory, PAGE, direction);
			assert_int_equal(dma_bus_fetch_add(fx.port, IOVA, 8, 1, &old),
					 allowed ? 0 : -EFAULT);
			assert_int_equal(old, allowed ? 0 : 3);
			assert_int_equal(fx.memory[0], allowed);
			if (!allowed) {
				struct dma_fault fault = only_fault(fx.be);

				assert_int_equal(fault.reason, DMA_FAULT_PERMISSION);
				assert_true(fault.write);
				assert_int_equal(fault.len, 8);
			}
			fixture_close(&fx);
		}
	}
}

static void address_beyond_the_format(void **state)
{
	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		struct fixture fx;
		dma_addr_t addr = pgt_format_last(pgt_formats[f]) + 1;

		fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 16, 4,
				2 * MIB);
		if (addr) {
			assert_refused(fx.port, addr);
			assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_ADDRESS);
		}
		assert_refused(fx.port, UINT64_MAX);
		assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_ADDRESS);
		assert_refused(fx.port, 0);
		assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_NOT_PRESENT);
		fixture_close(&fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(direction_decides),
		cmocka_unit_test(atomics_need_both_rights),
		cmocka_unit_test(address_beyond_the_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
