/* SPDX-License-Identifier: MIT */
/* A device without an IOMMU reads and writes memory at the addresses it is given. */
#include "direct_fixture.h"

static void every_length_at_odd_addresses(void **state)
{
	static const size_t lengths[] = {0,
					 1,
					 2,
					 3,
					 4,
					 7,
					 8,
					 9,
					 16,
					 64,
					 72,
					 4096,
					 5000,
					 65536,
					 64 * 4096,
					 64 * 4096 + 1,
					 300 * 4096 - 40};
	size_t size = 310 * 4096;
	char *memory = pages(310, 0);
	char *buf = malloc(size);
	size_t len, offset;

	(void)state;
	assert_non_null(buf);
	for (size_t i = 0; i < ARRAY_SIZE(lengths) * 9; i++) {
		len = lengths[i / 9];
		offset = 4092 + i % 9;
		for (size_t j = 0; j < len; j++)
			buf[j] = (char)(j * 7 + len + offset);
		memset(memory, 0x55, size);
		assert_int_equal(dma_bus_write(port, at(memory + offset), buf, len), 0);
		assert_memory_equal(memory + offset, buf, len);
		assert_int_equal(memory[offset - 1], 0x55);
		assert_int_equal(memory[offset + len], 0x55);
		memset(buf, 0x66, size);
		assert_int_equal(dma_bus_read(port, at(memory + offset), buf, len), 0);
		assert_memory_equal(buf, memory + offset, len);
		assert_int_equal(buf[len], 0x66);
	}
	no_fault();
	free(buf);
	munmap(memory, size);
}

static void bytes_are_counted(void **state)
{
	char memory[100] = "";
	char buf[100];
	uint64_t old;
	struct dma_port_stats stats;

	(void)state;
	dma_bus_read(port, at(memory), buf, 100);
	dma_bus_read(port, at(memory), buf, 8);
	dma_bus_write(port, at(memory), buf, 50);
	dma_port_stats(port, &stats);
	assert_int_equal(stats.reads, 108);
	assert_int_equal(stats.writes, 50);
	assert_int_equal(stats.faults, 0);
	assert_int_equal(stats.iotlb_hits + stats.iotlb_misses + stats.iotlb_invalidated, 0);
	dma_bus_fetch_add(port, (at(memory) + 7) & ~7ULL, 8, 1, &old);
	dma_port_stats(port, &stats);
	assert_int_equal(stats.reads, 116);
	assert_int_equal(stats.writes, 58);
}

static void registered_memory_is_reached_by_its_record(void **state)
{
	static char first[8192] __attribute__((__aligned__(4096)));
	struct dma_memory_desc desc = {.size = 8192, .fd = -1, .cpu = first};
	phys_addr_t base;
	char buf[6000];

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(at(first), base);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 3);
	assert_int_equal(dma_bus_write(port, base + 100, buf, sizeof(buf)), 0);
	assert_memory_equal(first + 100, buf, sizeof(buf));
	memset(buf, 0, sizeof(buf));
	assert_int_equal(dma_bus_read(port, base + 100, buf, sizeof(buf)), 0);
	assert_memory_equal(first + 100, buf, sizeof(buf));
	no_fault();

	assert_int_equal(dma_bus_write(port, base + 8000, buf, 300), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, base + 8192, 108);
	assert_memory_equal(first + 8000, buf, 192);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(dma_bus_read(port, base, buf, 1), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, false, base, 1);
}

static void what_the_space_says_of_itself(void **state)
{
	struct dma_pgtable_info info;
	phys_addr_t phys;

	(void)state;
	assert_string_equal(be->ops->name, "direct");
	assert_false(be->translates);
	assert_true(be->first >= 4096);
	assert_int_equal(be->last, UINT64_MAX);
	assert_true(be->ops->lookup(be, 0x1234567, &phys));
	assert_int_equal(phys, 0x1234567);
	assert_int_equal(be->ops->pgtable_info(be, &info), -EOPNOTSUPP);
	assert_int_equal(be->ops->table_writes(be), 0);
	assert_int_equal(be->ops->metadata_bytes(be), 0);
}

static void without_memory_nothing_opens(void **state)
{
	const struct port_options options = {.iotlb_entries = 64, .iotlb_ways = 4};
	struct backend *none = (void *)1;
	struct dma_port *no_port = (void *)1;

	(void)state;
	base_alloc_fail(1);
	assert_int_equal(direct_backend_create(&none), -ENOMEM);
	assert_ptr_equal(none, (void *)1);
	base_alloc_fail(1);
	assert_int_equal(be->ops->port_open(be, &options, 4, &no_port), -ENOMEM);
	assert_ptr_equal(no_port, (void *)1);
	base_alloc_fail(0);
	be->ops->drain(be);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_length_at_odd_addresses, open_direct,
						close_direct),
		cmocka_unit_test_setup_teardown(bytes_are_counted, open_direct, close_direct),
		cmocka_unit_test_setup_teardown(registered_memory_is_reached_by_its_record,
						open_direct, close_direct),
		cmocka_unit_test_setup_teardown(what_the_space_says_of_itself, open_direct,
						close_direct),
		cmocka_unit_test_setup_teardown(without_memory_nothing_opens, open_direct,
						close_direct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
