/* SPDX-License-Identifier: MIT */
/* Transfers that cross pages move exactly the bytes asked for, to scattered memory and back. */
#include "soft_fixture.h"

#define IOVA 0x2000f000ULL
#define PAGES 64

static void crossing_transfers_are_byte_exact(void **state)
{
	uint64_t random = random_seed();
	static uint8_t model[PAGES * PAGE], buf[PAGES * PAGE];
	unsigned int order[PAGES];
	uint64_t read = 0, written = 0;
	struct dma_port_stats stats;
	struct fixture fx;

	(void)state;
	fixture_open_as(&fx, (struct soft_options){0}, 16, 2, 2 * MIB);
	for (unsigned int i = 0; i < PAGES; i++)
		order[i] = i;
	for (unsigned int i = PAGES - 1; i; i--) {
		unsigned int j = (unsigned int)(next_random(&random) % (i + 1)), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	for (uint64_t i = 0; i < PAGES; i++)
		link_memory(fx.be, IOVA + i * PAGE, fx.memory + order[i] * 2 * PAGE, PAGE,
			    DMA_BIDIRECTIONAL);
	memset(fx.memory, 0xee, fx.bytes);
	memset(model, 0xee, sizeof(model));
	for (unsigned int step = 0; step < 2000 / SLOW; step++) {
		size_t offset = next_random(&random) % sizeof(model);
		size_t len = next_random(&random) % (next_random(&random) % 2 ? 70 : 3 * PAGE);

		if (len > sizeof(model) - offset)
			len = sizeof(model) - offset;
		if (next_random(&random) % 2) {
			for (size_t i = 0; i < len; i++)
				buf[i] = (uint8_t)next_random(&random);
			assert_int_equal(dma_bus_write(fx.port, IOVA + offset, buf, len), 0);
			memcpy(model + offset, buf, len);
			written += len;
		} else {
			memset(buf, 0x33, len + 1);
			assert_int_equal(dma_bus_read(fx.port, IOVA + offset, buf, len), 0);
			assert_memory_equal(buf, model + offset, len);
			if (len < sizeof(buf))
				assert_int_equal(buf[len], 0x33);
			read += len;
		}
	}
	/* Every page holds what the model does, and what lies between them is untouched. */
	for (uint64_t i = 0; i < PAGES; i++) {
		assert_memory_equal(fx.memory + order[i] * 2 * PAGE, model + i * PAGE, PAGE);
		for (uint64_t j = 0; j < PAGE; j++)
			assert_int_equal(fx.memory[(order[i] * 2 + 1) * PAGE + j], 0xee);
	}
	stats = stats_of(fx.port);
	assert_int_equal(stats.reads, read);
	assert_int_equal(stats.writes, written);
	fixture_close(&fx);
}

static void pages_before_the_refused_one_are_done(void **state)
{
	static uint8_t buf[4 * PAGE];
	struct dma_fault fault;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	memset(fx.memory, 1, 2 * PAGE);
	link_memory(fx.be, IOVA, fx.memory, 2 * PAGE, DMA_BIDIRECTIONAL);
	memset(buf, 9, sizeof(buf));
	assert_int_equal(dma_bus_read(fx.port, IOVA + 10, buf, 3 * PAGE), -EFAULT);
	for (size_t i = 0; i < 3 * PAGE; i++)
		assert_int_equal(buf[i], i < 2 * PAGE - 10 ? 1 : 9);
	fault = only_fault(fx.be);
	assert_int_equal(fault.addr, IOVA + 2 * PAGE);
	assert_int_equal(fault.len, PAGE + 10);
	assert_false(fault.write);
	assert_int_equal(stats_of(fx.port).reads, 2 * PAGE - 10);
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crossing_transfers_are_byte_exact),
		cmocka_unit_test(pages_before_the_refused_one_are_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
