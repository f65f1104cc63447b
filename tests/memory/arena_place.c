/* SPDX-License-Identifier: MIT */
/* Registered memory lives in an arena that no pointer can point into. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory/memory.h"

#define GIGABYTE (1ULL << 30)

static phys_addr_t enter(uint64_t size)
{
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = size, .fd = -1, .bus_addr = 4096};
	phys_addr_t base = 0;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	return base;
}

static void leave(phys_addr_t base)
{
	assert_int_equal(dma_memory_unregister(base), 0);
}

/* Runs first: nothing has been registered in this process. */
static void before_the_first_nothing_is_inside(void **state)
{
	static const phys_addr_t some[] = {0, 4096, 1ULL << 32, 1ULL << 47, 1ULL << 63, UINT64_MAX};
	const struct memory_record *record = (void *)1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
		assert_false(memory_in_arena(some[i]));
		assert_null(memory_lookup(some[i]));
	}
	assert_int_equal(dma_memory_unregister(1ULL << 40), -ENOENT);
	assert_int_equal(dma_memory_query(1ULL << 40, NULL, NULL), -ENOENT);
	assert_int_equal(memory_check(4096, UINT64_MAX - 8191, &record), 0);
	assert_null(record);
}

/* The tables are got in three steps; whichever fails, nothing stays behind. */
static void without_memory_there_is_no_arena(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .bus_addr = 4096};
	phys_addr_t base = 77;
	uint64_t nth;

	(void)state;
	for (nth = 1; nth <= 3; nth++) {
		base_alloc_fail(nth);
		assert_int_equal(dma_memory_register(&desc, &base), -ENOMEM);
		assert_int_equal(base, 77);
		assert_int_equal(memory_arena.id, UINT64_MAX);
		assert_false(memory_in_arena(1ULL << 46));
	}
	base_alloc_fail(0);
	leave(enter(4096));
}

static void the_arena_is_aligned_to_its_size(void **state)
{
	phys_addr_t base = enter(4096);
	uint64_t size = 1ULL << memory_arena.shift;
	uint64_t start = memory_arena.id << memory_arena.shift;

	(void)state;
	assert_true(memory_in_arena(base));
	assert_true(size >= 4 * GIGABYTE);
	assert_true(memory_in_arena(start));
	assert_true(memory_in_arena(start + size - 1));
	assert_false(memory_in_arena(start - 1));
	assert_false(memory_in_arena(start + size));
	assert_false(memory_in_arena(start | 1ULL << 57));
	leave(base);
}

static void no_mapping_can_be_placed_there(void **state)
{
	phys_addr_t base = enter(4096);
	void *map;

	(void)state;
	map = mmap((void *)base, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		   -1, 0);
	assert_true(map == MAP_FAILED);
	assert_int_equal(errno, EEXIST);
	leave(base);
}

static void a_stray_access_faults(void **state)
{
	phys_addr_t base = enter(4096);
	pid_t child = fork();
	int status;

	(void)state;
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)base;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	leave(base);
}

static void each_registration_has_chunks_of_its_own(void **state)
{
	phys_addr_t a = enter(4096);
	phys_addr_t b = enter(MEMORY_CHUNK + 4096);
	phys_addr_t c = enter(MEMORY_CHUNK);

	(void)state;
	assert_int_equal(a % MEMORY_CHUNK, 0);
	assert_int_equal(b, a + MEMORY_CHUNK);
	assert_int_equal(c, b + 2 * MEMORY_CHUNK);
	assert_int_equal(memory_lookup(a)->base, a);
	assert_int_equal(memory_lookup(a + 4095)->base, a);
	assert_null(memory_lookup(a + 4096));
	assert_int_equal(memory_lookup(b + MEMORY_CHUNK + 4095)->base, b);
	assert_null(memory_lookup(b + MEMORY_CHUNK + 4096));
	leave(b);
	assert_null(memory_lookup(b));
	assert_int_equal(memory_lookup(c)->base, c);
	/* The gap is used again, from its beginning, by what fits. */
	b = enter(3 * MEMORY_CHUNK);
	assert_int_equal(b, c + MEMORY_CHUNK);
	leave(b);
	b = enter(2 * MEMORY_CHUNK);
	assert_int_equal(b, a + MEMORY_CHUNK);
	leave(a);
	leave(b);
	leave(c);
	assert_int_equal(enter(4096), a);
	leave(a);
}

static void gigabytes_are_aligned_for_one_entry(void **state)
{
	phys_addr_t small = enter(4096);
	phys_addr_t large = enter(GIGABYTE);
	phys_addr_t next = enter(4096);
	phys_addr_t odd = enter(GIGABYTE + 4096);

	(void)state;
	assert_int_equal(large % GIGABYTE, 0);
	assert_int_equal(next, small + MEMORY_CHUNK);
	assert_int_equal(odd, large + GIGABYTE);
	assert_int_equal(memory_lookup(large + GIGABYTE - 1)->base, large);
	leave(large);
	leave(small);
	leave(next);
	leave(odd);
}

static void a_full_arena_says_so(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .bus_addr = 4096};
	phys_addr_t small = enter(4096);
	uint64_t size = 1ULL << memory_arena.shift;
	phys_addr_t rest;
	phys_addr_t base = 77;

	(void)state;
	desc.size = size;
	assert_int_equal(dma_memory_register(&desc, &base), -ENOSPC);
	desc.size = UINT64_MAX - 4095;
	assert_int_equal(dma_memory_register(&desc, &base), -ENOSPC);
	rest = enter(size - MEMORY_CHUNK);
	assert_int_equal(rest, small + MEMORY_CHUNK);
	desc.size = 4096;
	assert_int_equal(dma_memory_register(&desc, &base), -ENOSPC);
	assert_int_equal(base, 77);
	leave(small);
	assert_int_equal(enter(4096), small);
	leave(small);
	leave(rest);
	rest = enter(size);
	assert_int_equal(rest, memory_arena.id << memory_arena.shift);
	leave(rest);
}

/* 513 chunks are free, and the only gigabyte boundary among them is too near their end. */
static void a_gigabyte_takes_any_gap_at_last(void **state)
{
	uint64_t size = 1ULL << memory_arena.shift;
	phys_addr_t start = memory_arena.id << memory_arena.shift;
	phys_addr_t front = enter(size - GIGABYTE - 2 * MEMORY_CHUNK);
	phys_addr_t gap = enter(GIGABYTE + MEMORY_CHUNK);
	phys_addr_t edge = enter(MEMORY_CHUNK);
	phys_addr_t large;

	(void)state;
	assert_int_equal(front, start);
	assert_int_equal(edge, start + size - MEMORY_CHUNK);
	leave(gap);
	large = enter(GIGABYTE);
	assert_int_equal(large, gap);
	assert_int_not_equal(large % GIGABYTE, 0);
	leave(large);
	leave(edge);
	large = enter(GIGABYTE);
	assert_int_equal(large, start + size - GIGABYTE);
	leave(large);
	leave(front);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_the_first_nothing_is_inside),
		cmocka_unit_test(without_memory_there_is_no_arena),
		cmocka_unit_test(the_arena_is_aligned_to_its_size),
		cmocka_unit_test(no_mapping_can_be_placed_there),
		cmocka_unit_test(a_stray_access_faults),
		cmocka_unit_test(each_registration_has_chunks_of_its_own),
		cmocka_unit_test(gigabytes_are_aligned_for_one_entry),
		cmocka_unit_test(a_full_arena_says_so),
		cmocka_unit_test(a_gigabyte_takes_any_gap_at_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
