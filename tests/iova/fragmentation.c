/* SPDX-License-Identifier: MIT */
/*
 * However fragmented the space, a search looks at no more nodes than the depth of
 * the tree allows: counted, not timed.
 */
#include "space.h"

/* Down along the limit in vain, then down again. */
static uint64_t bound(const struct iova_space *space)
{
	return 2 * space->tree.root_level;
}

static uint64_t counted(struct iova_space *space, uint64_t pages, uint64_t limit, uint64_t *pfn)
{
	uint64_t before = space->tree.visited;

	*pfn = iova_alloc(space, NULL, pages, 0, limit, IOVA_TWO_STEP);
	return space->tree.visited - before;
}

/* Every second granule of 2^18 free, in a 48-bit space whose rest is reserved. */
static struct iova_space *checkered(void)
{
	struct iova_space *space = space_open(1, LAST_48);
	uint64_t i;

	assert_int_equal(iova_reserve(space, 1, LAST_48 - (1 << 18)), 0);
	for (i = 0; i < 1 << 18; i++)
		assert_int_equal(take(space, NULL, 1), LAST_48 - i);
	for (i = 0; i < 1 << 18; i += 2)
		give(space, NULL, LAST_48 - i, 1);
	return space;
}

static void search_is_bounded(void **state)
{
	struct iova_space *space = checkered();
	uint64_t limit, pfn, pages;
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		limit = LAST_48 - i * 257;
		assert_true(counted(space, 1, limit, &pfn) <= bound(space));
		assert_in_range(pfn, limit - 2, limit);
		give(space, NULL, pfn, 1);
		/* Fails at once: nothing below is large enough. */
		for (pages = 2; pages <= 1 << 17; pages *= 4) {
			assert_true(counted(space, pages, limit, &pfn) <= bound(space));
			assert_int_equal(pfn, 0);
		}
	}
	space_close(space);
}

/* One fitting hole at the far end of 2^17 that are too small. */
static void far_hole_is_found_at_once(void **state)
{
	struct iova_space *space = checkered();
	uint64_t bottom = LAST_48 - (1 << 18) + 1;
	uint64_t pfn;

	(void)state;
	give(space, NULL, bottom, 1);
	assert_true(counted(space, 2, NO_LIMIT, &pfn) <= bound(space));
	assert_int_equal(pfn, bottom);
	assert_true(counted(space, 2, NO_LIMIT, &pfn) <= bound(space));
	assert_int_equal(pfn, 0);
	space_close(space);
}

/* 32-bit space exhausted by small holes, as on a device with a small mask. */
static void failing_32_bit_requests_are_bounded(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	const uint64_t last_32 = 0xfffff;
	unsigned int i;
	uint64_t pfn;

	(void)state;
	for (i = 0; i < last_32; i++)
		assert_int_not_equal(iova_alloc(space, NULL, 1, 0, last_32, IOVA_TWO_STEP), 0);
	for (i = 1; i < last_32; i += 128)
		give(space, NULL, i, 1);
	for (i = 0; i < 60; i++) {
		assert_true(counted(space, 2, last_32, &pfn) <= bound(space));
		assert_int_equal(pfn, 0);
		give(space, NULL, 3 + i * 2, 1);
	}
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(search_is_bounded),
		cmocka_unit_test(far_hole_is_found_at_once),
		cmocka_unit_test(failing_32_bit_requests_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
