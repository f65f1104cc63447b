/* SPDX-License-Identifier: MIT */
/* Every pfn of a range is within its limit, whatever caches hold; pfn 0 is nobody's. */
#include "space.h"

#define LAST_32 0xfffffULL

static void every_limit(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	uint64_t limit, pages, pfn;

	(void)state;
	for (limit = 1; limit <= LAST_48; limit = limit * 2 + 1 + limit % 5) {
		for (pages = 1; pages <= limit; pages = pages * 3 + 1) {
			pfn = iova_alloc(space, NULL, pages, 0, limit, IOVA_TWO_STEP);
			if (!pfn) {
				/* Aligned, it would have to begin at 0 or end too high. */
				assert_true((1ULL << order_of(pages)) + pages - 1 > limit);
				continue;
			}
			assert_true(pfn + pages - 1 <= limit);
			assert_true(pfn + (1ULL << order_of(pages)) + pages - 1 > limit);
			give(space, NULL, pfn, pages);
		}
	}
	assert_int_equal(iova_alloc(space, NULL, 1, 0, 0, IOVA_TWO_STEP), 0);
	space_close(space);
}

static void never_granule_zero(void **state)
{
	struct iova_space *space = space_open(1, 130);
	struct iova_space untouched;
	bool seen[131] = {false};
	uint64_t i, pfn;

	(void)state;
	for (i = 0; i < 130; i++) {
		pfn = take(space, NULL, 1);
		assert_in_range(pfn, 1, 130);
		assert_false(seen[pfn]);
		seen[pfn] = true;
	}
	assert_int_equal(take(space, NULL, 1), 0);
	space_close(space);
	assert_int_equal(iova_space_init(&untouched, 0, 130), -EINVAL);
	assert_int_equal(iova_space_init(&untouched, 131, 130), -EINVAL);
	assert_int_equal(iova_space_init(&untouched, 1, 1ULL << 52), -EINVAL);
}

static void windowed_space(void **state)
{
	struct iova_space *space = space_open(0x12345, 0x23456);
	uint64_t i;

	(void)state;
	for (i = 0; i <= 0x23456 - 0x12345; i++)
		assert_int_equal(take(space, NULL, 1), 0x23456 - i);
	assert_int_equal(take(space, NULL, 1), 0);
	space_close(space);
	space = space_open(77, 77);
	assert_int_equal(take(space, NULL, 2), 0);
	assert_int_equal(take(space, NULL, 1), 77);
	assert_int_equal(take(space, NULL, 1), 0);
	space_close(space);
}

/* Freed high ranges in the cache are no answer to a 32-bit request, nor a hindrance. */
static void masks_mixed_in_one_cache(void **state)
{
	static const uint64_t limits[] = {NO_LIMIT, LAST_32, (1 << 18) - 1, (1ULL << 27) - 1};
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn[400];
	unsigned int round, i;

	(void)state;
	for (round = 0; round < 20; round++) {
		for (i = 0; i < ARRAY_SIZE(pfn); i++) {
			pfn[i] = iova_alloc(space, cache, 1 + i % 3, 0, limits[(i + round) % 4],
					    IOVA_STREAMING);
			assert_int_not_equal(pfn[i], 0);
			assert_true(pfn[i] + i % 3 <= limits[(i + round) % 4]);
			if (limits[(i + round) % 4] == NO_LIMIT)
				assert_true(pfn[i] > LAST_32);
		}
		for (i = 0; i < ARRAY_SIZE(pfn); i++) {
			assert_int_equal(
				iova_retire(space, cache, pfn[i], 1 + i % 3, IOVA_STREAMING), 0);
			iova_give_back(space, cache, pfn[i], 1 + i % 3);
		}
	}
	cache_close(space, cache);
	space_close(space);
}

/* A 32-bit device finds its own freed range at once, under any number of high ones. */
static void low_ranges_come_back(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	uint64_t high[50];
	uint64_t low, visited;
	unsigned int i;

	(void)state;
	low = iova_alloc(space, cache, 1, 0, LAST_32, IOVA_TWO_STEP);
	for (i = 0; i < ARRAY_SIZE(high); i++)
		high[i] = take(space, cache, 1);
	give(space, cache, low, 1);
	for (i = 0; i < ARRAY_SIZE(high); i++)
		give(space, cache, high[i], 1);
	visited = space->tree.visited;
	assert_int_equal(iova_alloc(space, cache, 1, 0, LAST_32, IOVA_TWO_STEP), low);
	assert_int_equal(take(space, cache, 1), high[ARRAY_SIZE(high) - 1]);
	assert_int_equal(space->tree.visited, visited);
	cache_close(space, cache);
	space_close(space);
}

/* With nothing left above, a device without a limit gets the low ranges too. */
static void low_ranges_serve_all(void **state)
{
	struct iova_space *space = space_open(LAST_32 - 99, LAST_32 + 10);
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn[110];
	unsigned int round, i;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(pfn); i++) {
			pfn[i] = take(space, cache, 1);
			assert_int_not_equal(pfn[i], 0);
			assert_int_equal(pfn[i] > LAST_32, i < 10);
		}
		assert_int_equal(take(space, cache, 1), 0);
		for (i = 0; i < ARRAY_SIZE(pfn); i++)
			give(space, cache, pfn[i], 1);
	}
	cache_close(space, cache);
	space_close(space);
}

/* Low ranges at hand are used before everybody's caches are emptied for one more. */
static void low_ranges_taken_from_the_cache(void **state)
{
	struct iova_space *space = space_open(LAST_32 - 99, LAST_32 + 10);
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn[110];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(pfn); i++)
		pfn[i] = take(space, cache, 1);
	for (i = 50; i < 70; i++)
		give(space, cache, pfn[i], 1);
	assert_int_equal(take(space, cache, 1), pfn[69]);
	assert_int_equal(cache->magazine[IOVA_LOW][0].count, 19);
	cache_close(space, cache);
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_limit),
		cmocka_unit_test(never_granule_zero),
		cmocka_unit_test(windowed_space),
		cmocka_unit_test(masks_mixed_in_one_cache),
		cmocka_unit_test(low_ranges_come_back),
		cmocka_unit_test(low_ranges_serve_all),
		cmocka_unit_test(low_ranges_taken_from_the_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
