/* SPDX-License-Identifier: MIT */
/* Double frees, wrong lengths and wrong kinds are refused, and change nothing. */
#include <string.h>

#include <twostep/error.h>

#include "space.h"

struct seen {
	uint64_t pfn[8];
	uint64_t pages[8];
	enum iova_kind kind[8];
	unsigned int count;
};

static void note(void *arg, uint64_t pfn, uint64_t pages, enum iova_kind kind)
{
	struct seen *seen = arg;

	assert_true(seen->count < 8);
	seen->pfn[seen->count] = pfn;
	seen->pages[seen->count] = pages;
	seen->kind[seen->count++] = kind;
}

static void refuse(struct iova_space *space, struct iova_cache *cache, uint64_t pfn, uint64_t pages,
		   enum iova_kind kind)
{
	struct seen before = {.count = 0};
	struct seen after = {.count = 0};

	iova_for_each_live(space, note, &before);
	dma_clear_error();
	assert_int_equal(iova_retire(space, cache, pfn, pages, kind), -EINVAL);
	assert_true(strlen(dma_last_error()) > 0);
	iova_for_each_live(space, note, &after);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void refusals(struct iova_space *space, struct iova_cache *cache)
{
	uint64_t pfn = take(space, cache, 6);
	uint64_t next = iova_alloc(space, cache, 1, 0, NO_LIMIT, IOVA_STREAMING);
	uint64_t large = take(space, cache, (1ULL << 29) + 7);

	refuse(space, cache, pfn, 5, IOVA_TWO_STEP);
	refuse(space, cache, pfn, 7, IOVA_TWO_STEP);
	refuse(space, cache, pfn, 8, IOVA_TWO_STEP);
	refuse(space, cache, pfn, 0, IOVA_TWO_STEP);
	refuse(space, cache, pfn, 6, IOVA_STREAMING);
	refuse(space, cache, pfn, UINT64_MAX, IOVA_TWO_STEP);
	refuse(space, cache, next, 1, IOVA_TWO_STEP);
	refuse(space, cache, pfn + 1, 6, IOVA_TWO_STEP);
	refuse(space, cache, pfn + 2, 4, IOVA_TWO_STEP);
	refuse(space, cache, 0, 1, IOVA_TWO_STEP);
	refuse(space, cache, 12345, 1, IOVA_TWO_STEP);
	refuse(space, cache, LAST_48 + 1, 1, IOVA_TWO_STEP);
	refuse(space, cache, UINT64_MAX, 1, IOVA_TWO_STEP);
	refuse(space, cache, large, 7, IOVA_TWO_STEP);
	refuse(space, cache, large, (1ULL << 30) + 7, IOVA_TWO_STEP);
	refuse(space, cache, large, 1ULL << 29 | 7ULL << 32, IOVA_TWO_STEP);
	refuse(space, cache, large + 1, 1, IOVA_TWO_STEP);
	give(space, cache, pfn, 6);
	refuse(space, cache, pfn, 6, IOVA_TWO_STEP);
	give(space, cache, large, (1ULL << 29) + 7);
	refuse(space, cache, large, (1ULL << 29) + 7, IOVA_TWO_STEP);
	assert_int_equal(iova_retire(space, cache, next, 1, IOVA_STREAMING), 0);
	refuse(space, cache, next, 1, IOVA_STREAMING);
	iova_give_back(space, cache, next, 1);
}

static void refused_with_a_cache(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);

	(void)state;
	refusals(space, cache);
	refusals(space, cache);
	cache_close(space, cache);
	space_close(space);
}

static void refused_without_a_cache(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);

	(void)state;
	refusals(space, NULL);
	space_close(space);
}

/* A range that was refused stays whole: its addresses come back once only. */
static void refused_range_comes_back_once(void **state)
{
	struct iova_space *space = space_open(1, 64);
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn = take(space, cache, 32);

	(void)state;
	assert_int_equal(pfn, 32);
	give(space, cache, pfn, 32);
	refuse(space, cache, pfn, 32, IOVA_TWO_STEP);
	assert_int_equal(take(space, cache, 32), 32);
	assert_int_equal(take(space, cache, 32), 0);
	cache_close(space, cache);
	space_close(space);
}

static void live_ranges_in_order(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct seen seen = {.count = 0};
	uint64_t low = iova_alloc(space, NULL, 3, 0, 1000, IOVA_STREAMING);
	uint64_t top = take(space, NULL, 9);
	uint64_t huge = take(space, NULL, (1ULL << 33) + 1);
	enum iova_kind kind;

	(void)state;
	iova_for_each_live(space, note, &seen);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.pfn[0], low);
	assert_int_equal(seen.pages[0], 3);
	assert_int_equal(seen.kind[0], IOVA_STREAMING);
	assert_int_equal(seen.pfn[1], huge);
	assert_int_equal(seen.pages[1], (1ULL << 33) + 1);
	assert_int_equal(seen.pfn[2], top);
	assert_int_equal(seen.pages[2], 9);
	assert_int_equal(seen.kind[2], IOVA_TWO_STEP);
	assert_int_equal(iova_live(space, huge, &kind), (1ULL << 33) + 1);
	assert_int_equal(iova_live(space, top + 1, &kind), 0);
	assert_int_equal(iova_live(space, 0, &kind), 0);
	assert_int_equal(iova_live(space, UINT64_MAX, &kind), 0);
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_with_a_cache),
		cmocka_unit_test(refused_without_a_cache),
		cmocka_unit_test(refused_range_comes_back_once),
		cmocka_unit_test(live_ranges_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
