/* SPDX-License-Identifier: MIT */
/* Whichever allocation fails, the call fails and the space is as it was; freeing needs none. */
#include "space.h"

static void space_without_memory(void **state)
{
	struct iova_space *space = base_zalloc(sizeof(*space));
	uint64_t nth;
	int err;

	(void)state;
	for (nth = 1;; nth++) {
		base_alloc_fail(nth);
		err = iova_space_init(space, 1, LAST_48);
		base_alloc_fail(0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_true(nth > 3);
	space_close(space);
}

struct count {
	uint64_t ranges;
	uint64_t pages;
};

static void add(void *arg, uint64_t pfn, uint64_t pages, enum iova_kind kind)
{
	struct count *count = arg;

	(void)pfn;
	(void)kind;
	count->ranges++;
	count->pages += pages;
}

static struct count live_count(struct iova_space *space)
{
	struct count count = {0, 0};

	iova_for_each_live(space, add, &count);
	return count;
}

/* Ask until it works, failing one allocation later each time; how often it failed. */
static unsigned int alloc_through_failures(struct iova_space *space, struct iova_cache *cache,
					   uint64_t pages, unsigned int align_order, uint64_t limit,
					   uint64_t expected)
{
	struct count before = live_count(space);
	struct count after;
	unsigned int failures = 0;
	uint64_t pfn;

	for (;;) {
		base_alloc_fail(1);
		pfn = iova_alloc(space, cache, pages, align_order, limit, IOVA_TWO_STEP);
		base_alloc_fail(0);
		if (pfn)
			break;
		failures++;
		after = live_count(space);
		assert_int_equal(after.ranges, before.ranges);
		assert_int_equal(after.pages, before.pages);
		base_alloc_fail(2);
		pfn = iova_alloc(space, cache, pages, align_order, limit, IOVA_TWO_STEP);
		base_alloc_fail(0);
		if (pfn)
			break;
		failures++;
	}
	assert_int_equal(pfn, expected);
	return failures;
}

static void range_without_memory(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	unsigned int failures = 0;

	(void)state;
	failures += alloc_through_failures(space, cache, 1, 0, NO_LIMIT, LAST_48);
	failures += alloc_through_failures(space, cache, 1000, 0, NO_LIMIT, LAST_48 + 1 - 2048);
	failures += alloc_through_failures(space, cache, 1, 0, 0xfffff, 0xfffff);
	failures += alloc_through_failures(space, NULL, 1, 0, 1ULL << 30, 1ULL << 30);
	failures += alloc_through_failures(space, NULL, 5000, 20, 1ULL << 34,
					   (1ULL << 34) - (1ULL << 20));
	failures += alloc_through_failures(space, cache, 777, 30, 1ULL << 33,
					   (1ULL << 33) - (1ULL << 30));
	assert_true(failures > 6);
	cache_close(space, cache);
	space_close(space);
}

static void window_without_memory(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	uint64_t nth;
	int err;

	(void)state;
	assert_int_equal(iova_reserve(space, 1 << 20, 1 << 21), 0);
	for (nth = 1;; nth++) {
		base_alloc_fail(nth);
		err = iova_reserve(space, 12345, 1ULL << 32 | 4321);
		base_alloc_fail(0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(space->nr_windows, 1);
		assert_true(iova_take_at(space, 12345, 1));
		iova_give_back_at(space, 12345, 1);
		assert_true(iova_take_at(space, 1ULL << 31, 1ULL << 31));
		iova_give_back_at(space, 1ULL << 31, 1ULL << 31);
	}
	assert_true(nth > 1);
	assert_int_equal(space->nr_windows, 1);
	assert_false(iova_take_at(space, 12345, 1));
	assert_true(iova_take_at(space, 12344, 1));
	space_close(space);
}

static void exact_range_without_memory(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	unsigned int refused = 0;
	uint64_t pfn;
	bool taken;

	(void)state;
	for (pfn = 1; pfn < 1ULL << 35; pfn = pfn * 3 + 1) {
		base_alloc_fail(1);
		taken = iova_take_at(space, pfn, 1);
		base_alloc_fail(0);
		refused += !taken;
		if (!taken)
			assert_true(iova_take_at(space, pfn, 1));
		assert_false(iova_take_at(space, pfn, 1));
	}
	assert_true(refused > 0);
	space_close(space);
}

/* Not one allocation from here to the last free range, in any order. */
static void freeing_needs_no_memory(void **state)
{
	static const uint64_t sizes[] = {1, 700, 3, 512, 4097, 64, 1 << 20, 33, 100000, 7};
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	uint64_t pfn[2000];
	uint64_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(pfn); i++) {
		pfn[i] = take(space, cache, sizes[i % ARRAY_SIZE(sizes)]);
		assert_int_not_equal(pfn[i], 0);
	}
	base_alloc_fail(0);
	for (i = 0; i < ARRAY_SIZE(pfn); i++) {
		n = i * 1237 % ARRAY_SIZE(pfn);
		give(space, i % 4 ? cache : NULL, pfn[n], sizes[n % ARRAY_SIZE(sizes)]);
	}
	iova_cache_flush(space, cache);
	assert_int_equal(base_alloc_fail(0), 0);
	assert_int_equal(take(space, cache, 1ULL << 35), 1ULL << 35);
	cache_close(space, cache);
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(space_without_memory),
		cmocka_unit_test(range_without_memory),
		cmocka_unit_test(window_without_memory),
		cmocka_unit_test(exact_range_without_memory),
		cmocka_unit_test(freeing_needs_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
