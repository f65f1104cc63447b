/* SPDX-License-Identifier: MIT */
/* With absent entries cached, a link is seen only after the sync; without, at once. */
#include "soft_fixture.h"

#define IOVA 0x10000000ULL

static void open_with(struct fixture *fx, bool absent_cache)
{
	fixture_open_as(fx, (struct soft_options){.absent_cache = absent_cache}, 64, 4, 2 * MIB);
}

static void missing_sync_is_seen(void **state)
{
	struct fixture fx;

	(void)state;
	open_with(&fx, true);
	assert_true(fx.be->needs_sync);
	fx.memory[PAGE] = 4;
	assert_refused(fx.port, IOVA + PAGE);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys_of(fx.memory), 4 * PAGE, DMA_TO_DEVICE),
			 0);
	assert_refused(fx.port, IOVA + PAGE);
	/* What the device never asked for before is not cached as absent. */
	assert_reads(fx.port, IOVA + 2 * PAGE, 0);
	assert_int_equal(fx.be->ops->sync(fx.be, IOVA, 4 * PAGE, false), 1);
	assert_reads(fx.port, IOVA + PAGE, 4);
	fixture_close(&fx);
}

static void sync_of_another_range_does_not_help(void **state)
{
	struct fixture fx;

	(void)state;
	open_with(&fx, true);
	assert_refused(fx.port, IOVA + PAGE);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys_of(fx.memory), 4 * PAGE, DMA_TO_DEVICE),
			 0);
	assert_int_equal(fx.be->ops->sync(fx.be, IOVA, PAGE, false), 1);
	assert_refused(fx.port, IOVA + PAGE);
	fixture_close(&fx);
}

static void large_link_is_seen_after_the_sync(void **state)
{
	struct fixture fx;

	(void)state;
	open_with(&fx, true);
	assert_refused(fx.port, IOVA + 77 * PAGE);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys_of(fx.memory), 2 * MIB, DMA_TO_DEVICE), 0);
	assert_refused(fx.port, IOVA + 77 * PAGE);
	assert_int_equal(fx.be->ops->sync(fx.be, IOVA, 2 * MIB, false), 1);
	assert_reads(fx.port, IOVA + 77 * PAGE, 0);
	fixture_close(&fx);
}

static void without_the_option_sync_does_nothing(void **state)
{
	struct fixture fx;

	(void)state;
	open_with(&fx, false);
	assert_false(fx.be->needs_sync);
	assert_refused(fx.port, IOVA);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys_of(fx.memory), PAGE, DMA_TO_DEVICE), 0);
	assert_reads(fx.port, IOVA, 0);
	assert_int_equal(fx.be->ops->sync(fx.be, IOVA, PAGE, false), 0);
	assert_reads(fx.port, IOVA, 0);
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, 0);
	assert_int_equal(stats_of(fx.port).iotlb_misses, 1);
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_sync_is_seen),
		cmocka_unit_test(sync_of_another_range_does_not_help),
		cmocka_unit_test(large_link_is_seen_after_the_sync),
		cmocka_unit_test(without_the_option_sync_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
