/* SPDX-License-Identifier: MIT */
/* The highest fitting range goes first, as in the kernel. */
#include "space.h"

static void kernel_first_addresses(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);

	(void)state;
	assert_int_equal(take(space, NULL, 3) << 12, 0xffffffffc000);
	assert_int_equal(take(space, NULL, 1) << 12, 0xffffffffb000);
	assert_int_equal(take(space, NULL, 2) << 12, 0xffffffff8000);
	assert_int_equal(take(space, NULL, 1) << 12, 0xffffffffa000);
	space_close(space);
}

static void single_granules_descend(void **state)
{
	struct iova_space *space = space_open(1, LAST_48);
	struct iova_cache *cache = cache_open(space);
	uint64_t i;

	(void)state;
	for (i = 0; i < 10000; i++)
		assert_int_equal(take(space, cache, 1), LAST_48 - i);
	cache_close(space, cache);
	space_close(space);
}

/* Holes are filled from the top, each by the largest request it can hold. */
static void holes_first(void **state)
{
	struct iova_space *space = space_open(1, 1 << 20);
	uint64_t base[64];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(base); i++)
		base[i] = take(space, NULL, 64);
	give(space, NULL, base[50], 64);
	give(space, NULL, base[20], 64);
	assert_int_equal(take(space, NULL, 128), base[63] - 128);
	assert_int_equal(take(space, NULL, 32), base[20] + 32);
	assert_int_equal(take(space, NULL, 64), base[50]);
	assert_int_equal(take(space, NULL, 17), base[20]);
	space_close(space);
}

/* Freed neighbours become one block again. */
static void blocks_merge(void **state)
{
	struct iova_space *space = space_open(1, (1 << 18) - 1);
	uint64_t bytes = iova_metadata_bytes(space);
	uint64_t i, with_records;

	(void)state;
	for (i = 0; i < (1 << 18) - 1; i++)
		assert_int_equal(take(space, NULL, 1), (1 << 18) - 1 - i);
	assert_int_equal(take(space, NULL, 1), 0);
	with_records = iova_metadata_bytes(space);
	assert_true(with_records > bytes);
	for (i = 1; i < 1 << 18; i++)
		give(space, NULL, i * 5 % (1 << 18), 1);
	assert_true(iova_metadata_bytes(space) < with_records);
	assert_int_equal(take(space, NULL, 1 << 17), 1 << 17);
	assert_int_equal(take(space, NULL, 1 << 16), 1 << 16);
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_first_addresses),
		cmocka_unit_test(single_granules_descend),
		cmocka_unit_test(holes_first),
		cmocka_unit_test(blocks_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
