/* SPDX-License-Identifier: MIT */
/* Only one whole piece of memory may be mapped, and the library knows what it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <twostep/error.h>

#include "memory/memory.h"

static char ordinary[2 * 4096] __attribute__((__aligned__(4096)));
static phys_addr_t small, full, with_cpu;
static int provider;

static phys_addr_t enter(uint64_t size, void *cpu)
{
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_P2P,
		.size = size,
		.fd = -1,
		.cpu = cpu,
		.bus_addr = 0x5000,
		.provider = &provider,
	};
	phys_addr_t base;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	return base;
}

/* small and full follow each other: a full chunk leaves no gap behind it. */
static int set_up(void **state)
{
	(void)state;
	full = enter(MEMORY_CHUNK, NULL);
	small = enter(8192, NULL);
	with_cpu = enter(4096, ordinary + 100);
	return small == full + MEMORY_CHUNK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return dma_memory_unregister(small) || dma_memory_unregister(full) ||
	       dma_memory_unregister(with_cpu);
}

static void good(phys_addr_t phys, uint64_t size, phys_addr_t base)
{
	const struct memory_record *record = (void *)1;

	assert_int_equal(memory_check(phys, size, &record), 0);
	if (base) {
		assert_non_null(record);
		assert_int_equal(record->base, base);
	} else {
		assert_null(record);
	}
}

static void bad(phys_addr_t phys, uint64_t size)
{
	const struct memory_record *record = (void *)1;

	dma_clear_error();
	assert_int_equal(memory_check(phys, size, &record), -EINVAL);
	assert_ptr_equal(record, (void *)1);
	assert_string_not_equal(dma_last_error(), "");
	dma_clear_error();
	assert_null(memory_cpu_address(phys, size));
	assert_null(memory_bus_pointer(phys, size));
	assert_string_equal(dma_last_error(), "");
}

static void ordinary_memory(void **state)
{
	phys_addr_t start = memory_arena.id << memory_arena.shift;
	phys_addr_t end = start + (1ULL << memory_arena.shift);

	(void)state;
	good((uintptr_t)ordinary, sizeof(ordinary), 0);
	good(4096, 1, 0);
	good(start - 1, 1, 0);
	good(0, start, 0);
	good(end, 1, 0);
	good(end, UINT64_MAX - end, 0);
}

static void registered_memory(void **state)
{
	(void)state;
	good(small, 8192, small);
	good(small, 1, small);
	good(small + 8191, 1, small);
	good(full, MEMORY_CHUNK, full);
	good(full + MEMORY_CHUNK - 1, 1, full);
	good(with_cpu, 4096, with_cpu);
}

static void empty_or_wrapping(void **state)
{
	(void)state;
	bad((uintptr_t)ordinary, 0);
	bad(small, 0);
	bad(UINT64_MAX, 1);
	bad(UINT64_MAX, 2);
	bad((uintptr_t)ordinary, UINT64_MAX);
	bad((uintptr_t)ordinary, UINT64_MAX - (uintptr_t)ordinary + 1);
	bad(small, UINT64_MAX);
}

static void partly_registered(void **state)
{
	phys_addr_t start = memory_arena.id << memory_arena.shift;
	phys_addr_t end = start + (1ULL << memory_arena.shift);

	(void)state;
	bad(start - 1, 2);
	bad(end - 1, 1);
	bad(end - 1, 2);
	bad(start - 1, (1ULL << memory_arena.shift) + 2);
	bad(full + MEMORY_CHUNK - 1, 2);
	bad(full, MEMORY_CHUNK + 8192);
	bad(small, 8193);
	bad(small + 8191, 2);
	bad(small + 4096, 1ULL << 50);
}

static void not_registered(void **state)
{
	(void)state;
	bad(small + 8192, 1);
	bad(small + MEMORY_CHUNK - 1, 1);
	bad(with_cpu - 1, 1);
	bad(with_cpu + 4096, 1);
	bad(with_cpu + MEMORY_CHUNK, 4096);
}

static void where_the_cpu_may_go(void **state)
{
	(void)state;
	assert_ptr_equal(memory_cpu_address((uintptr_t)ordinary, 8192), ordinary);
	assert_ptr_equal(memory_cpu_address(with_cpu, 4096), ordinary + 100);
	assert_ptr_equal(memory_cpu_address(with_cpu + 4095, 1), ordinary + 100 + 4095);
	assert_null(memory_cpu_address(small, 1));
	assert_int_equal(with_cpu % 4096, 100);
}

static void what_is_known(void **state)
{
	struct dma_memory_desc desc;
	phys_addr_t base;

	(void)state;
	assert_int_equal(dma_memory_query(small + 5000, &desc, &base), 0);
	assert_int_equal(base, small);
	assert_int_equal(desc.type, DMA_MEMORY_P2P);
	assert_int_equal(desc.size, 8192);
	assert_null(desc.cpu);
	assert_int_equal(desc.fd, -1);
	assert_int_equal(desc.bus_addr, 0x5000);
	assert_ptr_equal(desc.provider, &provider);
	assert_null(desc.ops);
	assert_int_equal(dma_memory_query(with_cpu, &desc, NULL), 0);
	assert_ptr_equal(desc.cpu, ordinary + 100);

	base = 77;
	desc.size = 77;
	dma_clear_error();
	assert_int_equal(dma_memory_query((uintptr_t)ordinary, &desc, &base), -ENOENT);
	assert_string_not_equal(dma_last_error(), "");
	dma_clear_error();
	assert_int_equal(dma_memory_query(small + 8192, &desc, &base), -EFAULT);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_memory_query(small + 16 * MEMORY_CHUNK, &desc, &base), -EFAULT);
	assert_int_equal(base, 77);
	assert_int_equal(desc.size, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_memory),   cmocka_unit_test(registered_memory),
		cmocka_unit_test(empty_or_wrapping), cmocka_unit_test(partly_registered),
		cmocka_unit_test(not_registered),    cmocka_unit_test(where_the_cpu_may_go),
		cmocka_unit_test(what_is_known),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
