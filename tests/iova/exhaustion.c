/* SPDX-License-Identifier: MIT */
/* A space can be used to its last granule, again and again. */
#include <string.h>

#include <twostep/error.h>

#include "space.h"

#define LAST 8191ULL

static void fill_and_free(struct iova_space *space, struct iova_cache *cache, uint64_t pages)
{
	uint64_t pfn[LAST + 1];
	uint64_t count = 0;
	uint64_t i;

	while ((pfn[count] = take(space, cache, pages)))
		count++;
	assert_true(strlen(dma_last_error()) > 0);
	/* All but the block that holds pfn 0. */
	assert_int_equal(count, (LAST + 1) / (1ULL << order_of(pages)) - 1);
	for (i = 0; i < count; i++)
		give(space, i % 3 ? cache : NULL, pfn[i * 8209 % count], pages);
}

static void all_of_it_again_and_again(void **state)
{
	struct iova_space *space = space_open(1, LAST);
	struct iova_cache *cache = cache_open(space);
	uint64_t pages;

	(void)state;
	for (pages = 1; pages <= 1024; pages *= 2)
		fill_and_free(space, cache, pages);
	for (; pages; pages /= 2)
		fill_and_free(space, cache, pages);
	fill_and_free(space, cache, 3);
	fill_and_free(space, NULL, 300);
	assert_int_equal(take(space, cache, 4096), 4096);
	assert_int_equal(take(space, cache, 2048), 2048);
	cache_close(space, cache);
	space_close(space);
}

/* What the magazines, the depot and another thread's cache hold is called back. */
static void caches_called_back(void **state)
{
	struct iova_space *space = space_open(1, LAST);
	struct iova_cache *mine = cache_open(space);
	struct iova_cache *idle = cache_open(space);
	uint64_t pfn[LAST];
	uint64_t i;

	(void)state;
	for (i = 0; i < LAST; i++)
		pfn[i] = take(space, mine, 1);
	for (i = 0; i < LAST; i++)
		give(space, i & 1 ? mine : idle, pfn[i], 1);
	assert_int_equal(space->depot->count[IOVA_HIGH][0], IOVA_DEPOT);
	assert_in_range(mine->magazine[IOVA_HIGH][0].count, 1, IOVA_MAGAZINE);
	assert_in_range(idle->magazine[IOVA_HIGH][0].count, 1, IOVA_MAGAZINE);
	assert_int_equal(take(space, mine, 4096), 4096);
	assert_int_equal(take(space, mine, 2048), 2048);
	assert_int_equal(mine->magazine[IOVA_HIGH][0].count, 0);
	assert_int_equal(idle->magazine[IOVA_HIGH][0].count, 0);
	assert_int_equal(space->depot->count[IOVA_HIGH][0], 0);
	/* The idle cache goes on as before. */
	pfn[0] = take(space, idle, 1);
	give(space, idle, pfn[0], 1);
	assert_int_equal(idle->magazine[IOVA_HIGH][0].count, 1);
	assert_int_equal(take(space, idle, 1), pfn[0]);
	cache_close(space, mine);
	cache_close(space, idle);
	space_close(space);
}

static void without_a_cache(void **state)
{
	struct iova_space *space = space_open(1, 15);
	struct iova_cache *cache = cache_open(space);

	(void)state;
	assert_int_equal(take(space, cache, 8), 8);
	give(space, cache, 8, 8);
	assert_int_equal(take(space, NULL, 5), 8);
	give(space, NULL, 8, 5);
	cache_close(space, cache);
	space_close(space);
}

/* A request that nothing could meet leaves the caches alone. */
static void nonsense_costs_nothing(void **state)
{
	struct iova_space *space = space_open(16, 1000);
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn = take(space, cache, 1);

	(void)state;
	give(space, cache, pfn, 1);
	assert_int_equal(take(space, cache, 0), 0);
	assert_int_equal(take(space, cache, UINT64_MAX), 0);
	assert_int_equal(take(space, cache, 986), 0);
	assert_int_equal(iova_alloc(space, cache, 1, 0, 15, IOVA_TWO_STEP), 0);
	assert_int_equal(iova_alloc(space, cache, 4, 52, NO_LIMIT, IOVA_TWO_STEP), 0);
	assert_int_equal(iova_alloc(space, cache, 4, UINT32_MAX, NO_LIMIT, IOVA_TWO_STEP), 0);
	assert_int_equal(cache->magazine[IOVA_HIGH][0].count, 1);
	cache_close(space, cache);
	space_close(space);
}

static void exact_ranges(void **state)
{
	struct iova_space *space = space_open(1, LAST);
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn;

	(void)state;
	pfn = take(space, cache, 2);
	assert_int_equal(pfn, LAST - 1);
	assert_false(iova_take_at(space, 4096, 4096));
	give(space, cache, pfn, 2);
	assert_true(iova_take_at(space, 4096, 4096));
	assert_false(iova_take_at(space, 4096, 1));
	assert_int_equal(iova_live(space, 4096, NULL), 0);
	assert_int_equal(iova_retire(space, cache, 4096, 4096, IOVA_TWO_STEP), -EINVAL);
	assert_true(take(space, cache, 1) < 4096);
	assert_false(iova_take_at(space, 2, 4));
	assert_false(iova_take_at(space, 3, 3));
	assert_false(iova_take_at(space, 4, 0));
	assert_false(iova_take_at(space, 0, 1));
	assert_false(iova_take_at(space, 8192, 1));
	assert_false(iova_take_at(space, 8192, 8192));
	assert_false(iova_take_at(space, 0, 8192));
	iova_give_back_at(space, 4096, 4096);
	assert_int_equal(take(space, cache, 4096), 4096);
	cache_close(space, cache);
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it_again_and_again),
		cmocka_unit_test(caches_called_back),
		cmocka_unit_test(without_a_cache),
		cmocka_unit_test(nonsense_costs_nothing),
		cmocka_unit_test(exact_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
