/* SPDX-License-Identifier: MIT */
/*
 * What a device with a wrong address sees: a fault, never a crash. Run with whatever
 * system calls the including program leaves to the process.
 */
#ifndef TESTS_BACKEND_DIRECT_WRONG_ADDRESS_H
#define TESTS_BACKEND_DIRECT_WRONG_ADDRESS_H

#include <twostep/error.h>

#include "direct_fixture.h"

static void no_memory_at_all(void **state)
{
	static const dma_addr_t wrong[] = {
		0,
		8,
		4096,
		1ULL << 46,
		1ULL << 47,
		1ULL << 48,
		1ULL << 63,
		UINT64_MAX - 4095,
		UINT64_MAX - 7,
	};
	static const size_t lengths[] = {1, 8, 24, 100, 8192};
	char buf[8192] = "untouched";
	struct dma_port_stats stats;
	uint64_t faults = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(lengths); j++) {
			dma_clear_error();
			assert_int_equal(dma_bus_read(port, wrong[i], buf, lengths[j]), -EFAULT);
			assert_string_not_equal(dma_last_error(), "");
			one_fault(DMA_FAULT_MEMORY, false, wrong[i], lengths[j]);
			assert_int_equal(dma_bus_write(port, wrong[i], buf, lengths[j]), -EFAULT);
			one_fault(DMA_FAULT_MEMORY, true, wrong[i], lengths[j]);
			faults += 2;
		}
	}
	assert_string_equal(buf, "untouched");
	dma_port_stats(port, &stats);
	assert_int_equal(stats.faults, faults);
	assert_int_equal(be->ops->faults(be), faults);
	assert_int_equal(stats.reads + stats.writes, 0);
}

static void pages_before_the_bad_one_are_done(void **state)
{
	char *memory = pages(70, 'm');
	char *buf = malloc(70 * 4096);
	struct dma_port_stats stats;

	(void)state;
	assert_non_null(buf);
	munmap(memory + 67 * 4096, 4096);
	memset(buf, 'b', 70 * 4096);
	assert_int_equal(dma_bus_read(port, at(memory + 100), buf, 69 * 4096), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, false, at(memory + 67 * 4096), 2 * 4096 + 100);
	for (size_t i = 0; i < 70 * 4096; i++)
		assert_int_equal(buf[i], i < 67 * 4096 - 100 ? 'm' : 'b');
	memset(buf, 'd', 70 * 4096);
	assert_int_equal(dma_bus_write(port, at(memory + 100), buf, 69 * 4096), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, at(memory + 67 * 4096), 2 * 4096 + 100);
	for (size_t i = 0; i < 67 * 4096; i++)
		assert_int_equal(memory[i], i < 100 ? 'm' : 'd');
	for (size_t i = 68 * 4096; i < 70 * 4096; i++)
		assert_int_equal(memory[i], 'm');
	dma_port_stats(port, &stats);
	assert_int_equal(stats.reads, 67 * 4096 - 100);
	assert_int_equal(stats.writes, 67 * 4096 - 100);
	free(buf);
	munmap(memory, 70 * 4096);
}

static void permissions_of_the_process_hold(void **state)
{
	char *memory = pages(1, 'm');
	uint64_t word = 7;
	uint64_t old = 7;
	char buf[100];

	(void)state;
	mprotect(memory, 4096, PROT_READ);
	assert_int_equal(dma_bus_read(port, at(memory), buf, 100), 0);
	assert_int_equal(dma_bus_read(port, at(memory), buf, 8), 0);
	no_fault();
	assert_int_equal(dma_bus_write(port, at(memory), "0123456789", 10), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, at(memory), 10);
	assert_int_equal(dma_bus_write(port, at(memory), "01234567", 8), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, at(memory), 8);
	assert_int_equal(dma_bus_fetch_add(port, at(memory), 8, 1, &old), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, at(memory), 8);
	assert_int_equal(dma_bus_cmpxchg(port, at(memory), 4, &word, &word), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, at(memory), 4);
	assert_int_equal(old, 7);
	assert_int_equal(word, 7);
	for (size_t i = 0; i < 4096; i++)
		assert_int_equal(memory[i], 'm');

	mprotect(memory, 4096, PROT_NONE);
	assert_int_equal(dma_bus_read(port, at(memory), buf, 100), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, false, at(memory), 100);
	assert_int_equal(dma_bus_read(port, at(memory), buf, 8), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, false, at(memory), 8);
	munmap(memory, 4096);
}

/* Pages that exist only as a promise are fetched like any other. */
static void pages_not_touched_yet(void **state)
{
	char *memory =
		mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t word = 1;
	uint64_t old = 1;

	(void)state;
	assert_int_equal(dma_bus_read(port, at(memory), &word, 8), 0);
	assert_int_equal(word, 0);
	assert_int_equal(dma_bus_fetch_add(port, at(memory + 4096), 8, 5, &old), 0);
	assert_int_equal(old, 0);
	assert_int_equal(*(uint64_t *)(memory + 4096), 5);
	assert_int_equal(dma_bus_write(port, at(memory + 8192), "late", 5), 0);
	assert_string_equal(memory + 8192, "late");
	munmap(memory, 3 * 4096);
}

/* The end of ordinary memory meets the arena, where something else begins. */
static void the_arena_without_registration(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .bus_addr = 1};
	uint64_t word = 7;
	phys_addr_t base;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(dma_bus_read(port, base, &word, 8), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, false, base, 8);
	assert_int_equal(dma_bus_write(port, base + MEMORY_CHUNK, &word, 8), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, base + MEMORY_CHUNK, 8);
	assert_int_equal(dma_bus_fetch_add(port, base, 8, 1, NULL), -EFAULT);
	one_fault(DMA_FAULT_MEMORY, true, base, 8);
	assert_int_equal(word, 7);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static const struct CMUnitTest wrong_address_tests[] = {
	cmocka_unit_test_setup_teardown(no_memory_at_all, open_direct, close_direct),
	cmocka_unit_test_setup_teardown(pages_before_the_bad_one_are_done, open_direct,
					close_direct),
	cmocka_unit_test_setup_teardown(permissions_of_the_process_hold, open_direct, close_direct),
	cmocka_unit_test_setup_teardown(pages_not_touched_yet, open_direct, close_direct),
	cmocka_unit_test_setup_teardown(the_arena_without_registration, open_direct, close_direct),
};

#endif
