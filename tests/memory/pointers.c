/* SPDX-License-Identifier: MIT */
/* Pointers into registered memory become its addresses; others become themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "memory/memory.h"

#define PAGES 64

static char *area;

static int set_up(void **state)
{
	(void)state;
	area = aligned_alloc(4096, PAGES * 4096);
	return area ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(area);
	return 0;
}

static phys_addr_t enter(void *cpu, uint64_t size)
{
	struct dma_memory_desc desc = {.size = size, .fd = -1, .cpu = cpu};
	phys_addr_t base;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	return base;
}

static void tags_are_removed(void **state)
{
	(void)state;
	assert_int_equal(virt_to_phys(area), (uintptr_t)area);
	assert_int_equal(virt_to_phys(NULL), 0);
#if defined(__x86_64__)
	assert_int_equal(virt_to_phys((void *)((uintptr_t)area | 0x2aULL << 57)), (uintptr_t)area);
	assert_int_equal(virt_to_phys((void *)((uintptr_t)area | 0x3fULL << 57)), (uintptr_t)area);
	/* Bit 56 is part of a five-level address, and kernel addresses have no tag. */
	assert_int_equal(virt_to_phys((void *)(1ULL << 56)), 1ULL << 56);
	assert_int_equal(virt_to_phys((void *)(0xffULL << 56)), 0xffULL << 56);
#elif defined(__aarch64__)
	assert_int_equal(virt_to_phys((void *)((uintptr_t)area | 0xa5ULL << 56)), (uintptr_t)area);
#endif
}

static void a_tagged_mapping_is_found_by_any_tag(void **state)
{
#if defined(__x86_64__) || defined(__aarch64__)
	char *tagged = (char *)((uintptr_t)area | 0x15ULL << 57);
	phys_addr_t base = enter(tagged, 4096);

	assert_int_equal(virt_to_phys(area + 9), base + 9);
	assert_int_equal(virt_to_phys(tagged + 9), base + 9);
	assert_int_equal(virt_to_phys((void *)((uintptr_t)tagged ^ 0x3fULL << 57)), base);
	assert_ptr_equal(memory_cpu_address(base + 9, 1), tagged + 9);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(virt_to_phys(tagged), (uintptr_t)area);
#endif
	(void)state;
}

static void the_bounds_are_exact(void **state)
{
	char *cpu = area + 4096 + 33;
	phys_addr_t base = enter(cpu, 8192);

	(void)state;
	assert_int_equal(base % 4096, 33);
	assert_int_equal(virt_to_phys(cpu - 1), (uintptr_t)cpu - 1);
	assert_int_equal(virt_to_phys(cpu), base);
	assert_int_equal(virt_to_phys(cpu + 8191), base + 8191);
	assert_int_equal(virt_to_phys(cpu + 8192), (uintptr_t)cpu + 8192);
	assert_int_equal(dma_memory_unregister(base), 0);
	assert_int_equal(virt_to_phys(cpu), (uintptr_t)cpu);
}

static void memory_without_a_mapping_adds_nothing(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .bus_addr = 4096};
	phys_addr_t base;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(virt_to_phys(area), (uintptr_t)area);
	assert_int_equal(dma_memory_unregister(base), 0);
}

/* The model: the base of the registration that owns each page, or 0. */
static void random_ranges_follow_a_model(void **state)
{
	unsigned int seed = (unsigned int)time(NULL);
	phys_addr_t model[PAGES] = {0};
	size_t first_of[PAGES];
	size_t page, count, i;
	phys_addr_t base;

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int step = 0; step < 2000; step++) {
		page = (size_t)random() % PAGES;
		if (model[page]) {
			base = model[page];
			for (i = 0; i < PAGES; i++)
				model[i] = model[i] == base ? 0 : model[i];
			assert_int_equal(dma_memory_unregister(base), 0);
		} else {
			count = 1 + (size_t)random() % 4;
			for (i = page; i < PAGES && i < page + count && !model[i]; i++)
				;
			count = i - page;
			base = enter(area + page * 4096, count * 4096);
			for (i = page; i < page + count; i++) {
				model[i] = base;
				first_of[i] = page;
			}
		}
		for (i = 0; i < PAGES; i++) {
			uint64_t offset = (uint64_t)random() % 4096;
			uint64_t expected = (uintptr_t)area + i * 4096 + offset;

			if (model[i])
				expected = model[i] + (i - first_of[i]) * 4096 + offset;
			assert_int_equal(virt_to_phys(area + i * 4096 + offset), expected);
		}
	}
	for (i = 0; i < PAGES; i++) {
		if (model[i] && first_of[i] == i)
			assert_int_equal(dma_memory_unregister(model[i]), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_removed),
		cmocka_unit_test(a_tagged_mapping_is_found_by_any_tag),
		cmocka_unit_test(the_bounds_are_exact),
		cmocka_unit_test(memory_without_a_mapping_adds_nothing),
		cmocka_unit_test(random_ranges_follow_a_model),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
