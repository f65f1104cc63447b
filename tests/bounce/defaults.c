/* SPDX-License-Identifier: MIT */
/* Pools that are there by themselves: made when first asked for, one for each reach. */
#include "fixture.h"

static void described_before_they_are_used(void **state)
{
	struct dma_bounce_desc desc = {.size = 3 * MIB, .max_size = 8 * MIB, .areas = 2};
	struct dma_bounce_desc low = {.size = MIB, .last = DMA_BIT_MASK(32)};

	(void)state;
	assert_int_equal(stats_of(NULL).max_size, 0);
	assert_int_equal(dma_bounce_set_defaults(&low), -EINVAL);
	assert_says("last must be 0");
	assert_int_equal(dma_bounce_set_defaults(&desc), 0);
	assert_int_equal(stats_of(NULL).max_size, 0);
	/* The last description counts. */
	desc.max_size = 9 * MIB;
	assert_int_equal(dma_bounce_set_defaults(NULL), 0);
	assert_int_equal(dma_bounce_set_defaults(&desc), 0);
}

static void one_for_each_reach(void **state)
{
	struct dma_bounce *any = bounce_default(UINT64_MAX);
	struct dma_bounce *low32 = bounce_default(DMA_BIT_MASK(32));
	struct dma_bounce *low30 = bounce_default(DMA_BIT_MASK(30));
	struct dma_bounce *low24 = bounce_default(DMA_BIT_MASK(24));

	(void)state;
	assert_non_null(any);
	assert_non_null(low32);
	assert_non_null(low30);
	assert_non_null(low24);
	assert_true(any != low32 && low32 != low30 && low30 != low24);
	assert_true(bounce_last(low32) <= DMA_BIT_MASK(32));
	assert_true(bounce_last(low30) <= DMA_BIT_MASK(30));
	assert_true(bounce_last(low24) <= DMA_BIT_MASK(24));
	assert_int_equal(stats_of(any).size, 3 * MIB);
	assert_int_equal(stats_of(any).max_size, 9 * MIB);
	assert_int_equal(stats_of(any).areas, 2);
	/* No more than the description allows, and no more than suits the place. */
	assert_int_equal(stats_of(low32).size, 3 * MIB);
	assert_int_equal(stats_of(low32).max_size, 9 * MIB);
	assert_int_equal(stats_of(low24).size, 2 * MIB);
	assert_int_equal(stats_of(low24).max_size, 4 * MIB);
	/* There they stay, for all whose reach lies between. */
	assert_ptr_equal(bounce_default(UINT64_MAX), any);
	assert_ptr_equal(bounce_default(bounce_last(any) | DMA_BIT_MASK(48)), any);
	assert_ptr_equal(bounce_default(DMA_BIT_MASK(40)), low32);
	assert_ptr_equal(bounce_default(DMA_BIT_MASK(32) - 1), low30);
	assert_ptr_equal(bounce_default(DMA_BIT_MASK(31)), low30);
	assert_ptr_equal(bounce_default(DMA_BIT_MASK(25)), low24);
	for (unsigned int bits = 24; bits <= 64; bits++)
		assert_true(bounce_last(bounce_default(DMA_BIT_MASK(bits))) <= DMA_BIT_MASK(bits));
}

static void too_short_a_reach(void **state)
{
	(void)state;
	assert_null(bounce_default(DMA_BIT_MASK(24) - 1));
	assert_int_equal(base_error_code(), -ENOMEM);
	assert_says("wider mask");
	assert_null(bounce_default(0));
}

static void they_count_together(void **state)
{
	unsigned char bytes[3] = {1, 2, 3};
	struct dma_bounce *own = pool_open(MIB, MIB, 1);
	phys_addr_t phys[] = {
		lend(bounce_default(UINT64_MAX), &bytes[0], 1),
		lend(bounce_default(DMA_BIT_MASK(24)), &bytes[1], 1),
		lend(own, &bytes[2], 1),
	};

	(void)state;
	assert_int_equal(stats_of(NULL).maps, 2);
	assert_int_equal(stats_of(NULL).used, 2 * SLOT);
	assert_int_equal(stats_of(NULL).size, (3 + 3 + 3 + 2) * MIB);
	for (size_t i = 0; i < 3; i++)
		end(phys[i], true);
	assert_int_equal(stats_of(NULL).used, 0);
	pool_close(own);
}

static void they_stay(void **state)
{
	struct dma_bounce_desc desc = {.size = MIB};

	(void)state;
	assert_int_equal(dma_bounce_set_defaults(&desc), -EBUSY);
	assert_says("before the first mapping");
	assert_int_equal(dma_bounce_destroy(bounce_default(UINT64_MAX)), -EBUSY);
	assert_says("default");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(described_before_they_are_used),
		cmocka_unit_test(one_for_each_reach),
		cmocka_unit_test(too_short_a_reach),
		cmocka_unit_test(they_count_together),
		cmocka_unit_test(they_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
