/* SPDX-License-Identifier: MIT */
/* Spaces without translation: addresses are memory addresses, and several mappings share one. */
#include "checks.h"

static void direct_map(const void *site, struct dma_dev *dev, phys_addr_t phys, size_t size,
		       enum dma_data_direction dir)
{
	hook(mapped, site, dev, phys, phys, size, dir, 0);
	hook(checked, dev, phys);
}

static void right_is_silent(void **state)
{
	phys_addr_t at = phys_of(3) + 8;

	(void)state;
	for (int i = 0; i < 3; i++) {
		direct_map(SITE(1), DEV, at, 100, DMA_TO_DEVICE);
		direct_map(SITE(1), DEV, at, 200, DMA_FROM_DEVICE);
		direct_map(SITE(1), OTHER_DEV, at, 300, DMA_BIDIRECTIONAL);
		direct_map(SITE(1), DEV, phys_of(0), 8 * PAGE, DMA_TO_DEVICE);
		hook(syncing, SITE(2), DEV, at + 150, 50, DMA_FROM_DEVICE, false);
		hook(syncing, SITE(2), DEV, at, 50, DMA_TO_DEVICE, true);
		hook(syncing, SITE(2), DEV, phys_of(7), PAGE, DMA_TO_DEVICE, true);
		hook(unmapping, SITE(3), DEV, at, 200, DMA_FROM_DEVICE, 0);
		hook(unmapping, SITE(3), OTHER_DEV, at, 300, DMA_BIDIRECTIONAL, 0);
		hook(unmapping, SITE(3), DEV, at, 100, DMA_TO_DEVICE, 0);
		hook(unmapping, SITE(3), DEV, phys_of(0), 8 * PAGE, DMA_TO_DEVICE, 0);
	}
	/* All the same but for the size. */
	for (size_t i = 1; i <= 5; i++)
		direct_map(SITE(1), DEV, at, i * 10, DMA_TO_DEVICE);
	for (size_t i = 1; i <= 5; i++)
		hook(unmapping, SITE(3), DEV, at, i * 2 % 5 * 10 + (i == 5 ? 50 : 0), DMA_TO_DEVICE,
		     0);
	silent();
	/* One mapping checked, the other not, whichever is unmapped first. */
	direct_map(SITE(1), DEV, at, 100, DMA_TO_DEVICE);
	hook(mapped, SITE(2), DEV, at, at, 100, DMA_TO_DEVICE, 0);
	hook(unmapping, SITE(3), DEV, at, 100, DMA_TO_DEVICE, 0);
	silent();
	hook(unmapping, SITE(3), DEV, at, 100, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_UNCHECKED, SITE(3), SITE(2));
}

static void mistakes(void **state)
{
	phys_addr_t at = phys_of(3);

	(void)state;
	direct_map(SITE(1), DEV, at, 100, DMA_TO_DEVICE);
	hook(unmapping, SITE(2), OTHER_DEV, at, 100, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_WRONG_DEVICE, SITE(2), SITE(1));
	hook(unmapping, SITE(3), DEV, at, 101, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_UNMAP_SIZE, SITE(3), SITE(1));
	hook(unmapping, SITE(4), DEV, at, 100, DMA_TO_DEVICE, 0);
	assert_int_equal(only(DMA_DEBUG_UNMAP_UNKNOWN, SITE(4), SITE(3))->report.nr_history, 2);
	hook(syncing, SITE(5), DEV, at, 100, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_UNKNOWN, SITE(5), SITE(3));
	direct_map(SITE(1), DEV, at, 100, DMA_TO_DEVICE);
	hook(syncing, SITE(5), DEV, at + 50, 51, DMA_TO_DEVICE, true);
	only(DMA_DEBUG_SYNC_RANGE, SITE(5), SITE(1));
	hook(syncing, SITE(5), DEV, at + 50, 50, DMA_FROM_DEVICE, true);
	only(DMA_DEBUG_SYNC_DIRECTION, SITE(5), SITE(1));
	hook(closing);
	only(DMA_DEBUG_LEAK, SITE(1), SITE(1));
}

/* More than the dead that are kept, and long ones. */
static void many(void **state)
{
	(void)state;
	for (size_t i = 0; i < 10000; i++) {
		direct_map(SITE(1), DEV, phys_of(i % 64) + i % 100, 50, DMA_TO_DEVICE);
		hook(unmapping, SITE(2), DEV, phys_of(i % 64) + i % 100, 50, DMA_TO_DEVICE, 0);
	}
	hook(mapped, SITE(1), DEV, 1ULL << 46, 1ULL << 46, 1ULL << 40, DMA_TO_DEVICE, 0);
	nr_kept = 0;
	hook(checked, DEV, 1ULL << 46);
	hook(syncing, SITE(2), DEV, (1ULL << 46) + (1ULL << 39), 50, DMA_TO_DEVICE, true);
	silent();
}

static void two_step_is_not_possible(void **state)
{
	struct dma_iova_state s = {0, 0};

	(void)state;
	hook(reserving, SITE(1), DEV, &s);
	hook(link_failed, SITE(2), DEV, &s, 0, phys_of(0), PAGE, DMA_TO_DEVICE, 0, -EINVAL);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(2), NULL);
	hook(freeing, SITE(3), DEV, &s, 0, true, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(3), NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup_direct, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(right_is_silent),
		test(mistakes),
		test(many),
		test(two_step_is_not_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
