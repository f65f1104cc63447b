/* SPDX-License-Identifier: MIT */
/* Reserved windows are never handed out; a window over something in use is refused. */
#include "space.h"

/* Every free granule of a small space, none from [first, last]. */
static void assert_all_but(struct iova_space *space, uint64_t space_last, const bool *reserved)
{
	uint64_t pfn;

	for (pfn = space_last; pfn; pfn--)
		if (!reserved[pfn])
			assert_int_equal(take(space, NULL, 1), pfn);
	assert_int_equal(take(space, NULL, 1), 0);
	for (pfn = 1; pfn <= space_last; pfn++)
		if (!reserved[pfn])
			give(space, NULL, pfn, 1);
}

static void reserve_marked(struct iova_space *space, uint64_t first, uint64_t last, bool *reserved,
			   uint64_t space_last)
{
	uint64_t pfn;

	assert_int_equal(iova_reserve(space, first, last), 0);
	for (pfn = first; pfn <= last && pfn <= space_last; pfn++)
		reserved[pfn] = true;
}

static void windows_overlap_and_touch(void **state)
{
	const uint64_t last = 9000;
	struct iova_space *space = space_open(1, last);
	bool reserved[9001] = {false};
	uint64_t with_windows;

	(void)state;
	reserve_marked(space, 0x100, 0x1ff, reserved, last);
	reserve_marked(space, 0x300, 0x3ff, reserved, last);
	reserve_marked(space, 5000, 5000, reserved, last);
	assert_int_equal(space->nr_windows, 3);
	reserve_marked(space, 0x1f0, 0x310, reserved, last);
	assert_int_equal(space->nr_windows, 2);
	reserve_marked(space, 5001, 5007, reserved, last);
	assert_int_equal(space->nr_windows, 2);
	reserve_marked(space, 0x120, 0x130, reserved, last);
	assert_int_equal(space->nr_windows, 2);
	reserve_marked(space, 0, 2, reserved, last);
	reserve_marked(space, 8999, UINT64_MAX, reserved, last);
	reserve_marked(space, 1000000, UINT64_MAX, reserved, last);
	assert_int_equal(space->nr_windows, 4);
	assert_all_but(space, last, reserved);
	reserve_marked(space, 0, UINT64_MAX, reserved, last);
	assert_int_equal(space->nr_windows, 1);
	assert_int_equal(take(space, NULL, 1), 0);
	with_windows = iova_metadata_bytes(space);
	assert_int_equal(iova_reserve(space, 3, 4), 0);
	assert_int_equal(iova_metadata_bytes(space), with_windows);
	space_close(space);
}

static void in_use_is_refused(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	uint64_t pfn = take(space, NULL, 5);
	uint64_t bytes = iova_metadata_bytes(space);

	(void)state;
	assert_int_equal(iova_reserve(space, pfn + 4, LAST_48), -EADDRINUSE);
	assert_int_equal(iova_reserve(space, 1, pfn), -EADDRINUSE);
	assert_int_equal(iova_metadata_bytes(space), bytes);
	assert_int_equal(space->nr_windows, 0);
	assert_int_equal(take(space, NULL, 8), pfn - 8);
	/* Retired is still in use: a gather may hold it. */
	assert_int_equal(iova_retire(space, NULL, pfn, 5, IOVA_TWO_STEP), 0);
	assert_int_equal(iova_reserve(space, pfn, pfn), -EADDRINUSE);
	iova_give_back(space, NULL, pfn, 5);
	assert_int_equal(iova_reserve(space, pfn, LAST_48), 0);
	assert_int_equal(take(space, NULL, 1), pfn - 9);
	space_close(space);
}

static void partly_reserved_and_in_use(void **state)
{
	struct iova_space *space = space_open(1, 1 << 16);
	uint64_t pfn;

	(void)state;
	assert_int_equal(iova_reserve(space, 1000, 1999), 0);
	assert_true(iova_take_at(space, 2048, 1));
	assert_int_equal(iova_reserve(space, 500, 3000), -EADDRINUSE);
	assert_int_equal(space->nr_windows, 1);
	for (pfn = 500; pfn < 1000; pfn++)
		assert_true(iova_take_at(space, pfn, 1));
	assert_false(iova_take_at(space, 1000, 1));
	assert_false(iova_take_at(space, 1024, 512));
	assert_true(iova_take_at(space, 2000, 16));
	space_close(space);
}

/* Freed ranges that caches hold are free. */
static void cached_ranges_are_free(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	struct iova_cache *other = cache_open(space);
	uint64_t mine = take(space, cache, 4);
	uint64_t theirs = take(space, other, 16);
	uint64_t kept = take(space, cache, 1);

	(void)state;
	give(space, cache, mine, 4);
	give(space, other, theirs, 16);
	give(space, cache, kept, 1);
	assert_int_equal(iova_reserve(space, mine + 1, mine + 1), 0);
	assert_int_equal(iova_reserve(space, theirs, theirs + 7), 0);
	/* What lies elsewhere stays in its cache. */
	assert_int_equal(cache->magazine[IOVA_HIGH][0].count, 1);
	assert_int_equal(take(space, cache, 1), kept);
	assert_int_not_equal(take(space, cache, 4), mine);
	assert_int_not_equal(take(space, other, 16), theirs);
	cache_close(space, cache);
	cache_close(space, other);
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_overlap_and_touch),
		cmocka_unit_test(in_use_is_refused),
		cmocka_unit_test(partly_reserved_and_in_use),
		cmocka_unit_test(cached_ranges_are_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
