/* SPDX-License-Identifier: MIT */
/* Ranges are aligned to their rounded size, recorded with their exact length. */
#include "space.h"

static void aligned_to_rounded_size(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	enum iova_kind kind;
	uint64_t pages, pfn;

	(void)state;
	for (pages = 1; pages < 1 << 20; pages += 1 + pages / 5) {
		pfn = iova_alloc(space, pages & 1 ? cache : NULL, pages, 0, NO_LIMIT,
				 IOVA_STREAMING);
		assert_int_not_equal(pfn, 0);
		assert_int_equal(pfn & ((1ULL << order_of(pages)) - 1), 0);
		assert_int_equal(iova_live(space, pfn, &kind), pages);
		assert_int_equal(kind, IOVA_STREAMING);
		assert_int_equal(iova_live(space, pfn + 1, &kind), 0);
	}
	cache_close(space, cache);
	space_close(space);
}

static void further_alignment(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	unsigned int order;
	uint64_t pages, pfn;

	(void)state;
	for (order = 0; order <= 35; order++) {
		for (pages = 1; pages <= 3000; pages = pages * 3 + 1) {
			pfn = iova_alloc(space, cache, pages, order, NO_LIMIT, IOVA_TWO_STEP);
			assert_int_not_equal(pfn, 0);
			assert_int_equal(pfn & ((1ULL << order) - 1), 0);
			assert_int_equal(pfn & ((1ULL << order_of(pages)) - 1), 0);
			assert_int_equal(iova_live(space, pfn, NULL), pages);
			give(space, cache, pfn, pages);
			/* One below stays in use, so that the next is elsewhere. */
			assert_int_not_equal(take(space, NULL, pages), 0);
		}
	}
	for (order = 36; order <= 80; order++)
		assert_int_equal(iova_alloc(space, cache, 1, order, NO_LIMIT, IOVA_TWO_STEP), 0);
	cache_close(space, cache);
	space_close(space);
}

/* Only what a long range or a far alignment needs is taken; the rest serves others. */
static void tail_stays_free(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	uint64_t pfn = take(space, NULL, 1025);

	(void)state;
	assert_int_equal(pfn, LAST_48 + 1 - 2048);
	assert_true(iova_take_at(space, pfn + 1536, 512));
	assert_true(iova_take_at(space, pfn + 1025, 1));
	assert_false(iova_take_at(space, pfn + 1024, 1));
	pfn = iova_alloc(space, NULL, 1, 12, NO_LIMIT, IOVA_TWO_STEP);
	assert_int_equal(pfn, LAST_48 + 1 - 2 * 4096);
	assert_true(iova_take_at(space, pfn + 1, 1));
	space_close(space);
}

/* Where no block is free as a whole, a free beginning that is long enough will do. */
static void beginning_of_a_used_block(void **state)
{
	struct iova_space *space = space_open(1, 4 * 4096 - 1);
	uint64_t block;

	(void)state;
	for (block = 1; block < 4; block++)
		assert_true(iova_take_at(space, block * 4096 + 3333, 1));
	assert_int_equal(take(space, NULL, 3334), 0);
	assert_int_equal(take(space, NULL, 3333), 3 * 4096);
	assert_int_equal(iova_alloc(space, NULL, 3333, 0, 2 * 4096 + 3331, IOVA_TWO_STEP), 4096);
	assert_int_equal(take(space, NULL, 3333), 2 * 4096);
	assert_int_equal(take(space, NULL, 3333), 0);
	assert_int_equal(iova_alloc(space, NULL, 1, 12, NO_LIMIT, IOVA_TWO_STEP), 0);
	give(space, NULL, 4096, 3333);
	assert_int_equal(iova_alloc(space, NULL, 1, 12, NO_LIMIT, IOVA_TWO_STEP), 4096);
	space_close(space);
}

static void enormous_lengths_stay_exact(void **state)
{
	const uint64_t last = (1ULL << 52) - 1;
	struct iova_space *space = space_open(1, last);
	struct iova_cache *cache = cache_open(space);
	enum iova_kind kind;
	uint64_t pages, pfn;
	unsigned int order, add;

	(void)state;
	for (order = 20; order <= 51; order++) {
		for (add = 0; add <= 2; add++) {
			pages = (1ULL << order) + add - 1;
			pfn = take(space, cache, pages);
			if (order == 51 && add == 2) {
				assert_int_equal(pfn, 0);
				continue;
			}
			assert_int_not_equal(pfn, 0);
			assert_int_equal(iova_live(space, pfn, &kind), pages);
			assert_int_equal(kind, IOVA_TWO_STEP);
			assert_int_equal(iova_live(space, pfn + 1, &kind), 0);
			assert_int_equal(iova_retire(space, cache, pfn, pages - 1, kind), -EINVAL);
			assert_int_equal(iova_retire(space, cache, pfn, pages % (1U << 29), kind),
					 pages < 1U << 29 ? 0 : -EINVAL);
			if (pages < 1U << 29)
				iova_give_back(space, cache, pfn, pages);
			else
				give(space, cache, pfn, pages);
			assert_int_equal(iova_live(space, pfn, NULL), 0);
			assert_int_equal(iova_live(space, pfn + 1, NULL), 0);
		}
	}
	assert_int_equal(take(space, cache, last), 0);
	assert_int_equal(take(space, cache, last + 1), 0);
	assert_int_equal(take(space, cache, UINT64_MAX), 0);
	assert_int_equal(take(space, cache, 0), 0);
	assert_true(iova_take_at(space, 1ULL << 51, 1ULL << 51));
	cache_close(space, cache);
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aligned_to_rounded_size),
		cmocka_unit_test(further_alignment),
		cmocka_unit_test(tail_stays_free),
		cmocka_unit_test(beginning_of_a_used_block),
		cmocka_unit_test(enormous_lengths_stay_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
