/* SPDX-License-Identifier: MIT */
/* A pool picks each page once, another pick each time, and the same for the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/memory.h>

#include "../../tools/pool.h"
#include "../../tools/tool.h"

#define PAGES 64u
#define PICK 16u

static void picks_are_distinct_pages(void **state)
{
	struct pool pool;

	(void)state;
	assert_true(pool_open(&pool, PAGES, 7));
	for (unsigned int round = 0; round < 1000; round++) {
		bool seen[PAGES] = {false};

		pool_pick(&pool, PICK);
		for (size_t i = 0; i < PICK; i++) {
			size_t offset = (size_t)(pool_page(&pool, i) - pool.base);

			assert_int_equal(offset % POOL_PAGE, 0);
			assert_in_range(offset / POOL_PAGE, 0, PAGES - 1);
			assert_false(seen[offset / POOL_PAGE]);
			seen[offset / POOL_PAGE] = true;
		}
	}
	pool_close(&pool);
}

static void a_pick_depends_on_seed_and_turn(void **state)
{
	struct pool one, same, other;
	uint32_t first[PICK];

	(void)state;
	assert_true(pool_open(&one, PAGES, 7));
	assert_true(pool_open(&same, PAGES, 7));
	assert_true(pool_open(&other, PAGES, 8));
	pool_pick(&one, PICK);
	pool_pick(&same, PICK);
	pool_pick(&other, PICK);
	assert_memory_equal(one.order, same.order, sizeof(first));
	assert_memory_not_equal(one.order, other.order, sizeof(first));
	memcpy(first, one.order, sizeof(first));
	pool_pick(&one, PICK);
	assert_memory_not_equal(one.order, first, sizeof(first));
	pool_close(&one);
	pool_close(&same);
	pool_close(&other);
}

static void scattered_neighbours_are_apart(void **state)
{
	struct phys_vec vec[PAGES];
	struct pool pool;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		assert_true(pool_open(&pool, PAGES, seed));
		pool_scatter(&pool);
		pool_vec(&pool, vec, PAGES);
		for (size_t i = 0; i < PAGES; i++) {
			assert_int_equal(vec[i].len, POOL_PAGE);
			assert_int_equal(vec[i].paddr, virt_to_phys(pool_page(&pool, i)));
			if (i)
				assert_int_not_equal(vec[i].paddr, vec[i - 1].paddr + POOL_PAGE);
		}
		pool_close(&pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(picks_are_distinct_pages),
		cmocka_unit_test(a_pick_depends_on_seed_and_turn),
		cmocka_unit_test(scattered_neighbours_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
