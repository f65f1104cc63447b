/* SPDX-License-Identifier: MIT */
/* Without memory for records the checks say so, once, and never anything that is not true. */
#include "checks.h"

#define OLD_DEV ((struct dma_dev *)(uintptr_t)0x560000003000)
#define ADDR 0xfff00000ULL

static void create(void **state)
{
	struct base_observer *other;

	(void)state;
	base_alloc_fail(1);
	assert_int_equal(debug_create(true, &other), -ENOMEM);
	base_alloc_fail(0);
	assert_int_equal(debug_create(true, &other), 0);
	other->ops->closed(other, false);
}

/* Correct from beginning to end, in more than one chunk of records. */
static void correct_life(bool translates)
{
	struct dma_dev *devs[] = {DEV, OLD_DEV};
	static struct dma_gather gather;

	hook(attached, OLD_DEV, 2, "soft:,coherent=off", false);
	hook(gather_begun, SITE(1), &gather);
	for (size_t i = 0; i < 8; i++) {
		struct dma_dev *dev = devs[i % 2];
		dma_addr_t at = translates ? ADDR - (i << 26) : phys_of(i);

		hook(mapped, SITE(1), dev, at, phys_of(i), PAGE, DMA_TO_DEVICE, 0);
		hook(checked, dev, at);
		hook(syncing, SITE(1), dev, at + 8, 8, DMA_TO_DEVICE, true);
	}
	for (size_t i = 0; i < 8; i++)
		hook(unmapping, SITE(1), devs[i % 2], translates ? ADDR - (i << 26) : phys_of(i),
		     PAGE, DMA_TO_DEVICE, 0);
	for (size_t i = 0; translates && i < 4; i++) {
		struct dma_iova_state s = {(1ULL << 40) + (i << 26), 1 << 25};
		const struct phys_vec vec[] = {{phys_of(i), PAGE}, {phys_of(i + 8), PAGE}};
		struct dma_dev *dev = devs[i % 2];

		hook(reserved, SITE(2), dev, &s);
		hook(linked, SITE(2), dev, &s, (1 << 24) - PAGE, vec, 2, DMA_TO_DEVICE, 0);
		hook(synced, SITE(2), dev, &s, (1 << 24) - PAGE, 2 * PAGE);
		hook(accessed, 0, s.addr + (1 << 24), false);
		hook(unlinking, SITE(2), dev, &s, (1 << 24) - PAGE, 2 * PAGE, DMA_TO_DEVICE, 0);
		hook(linked, SITE(2), dev, &s, 0, vec, 2, DMA_TO_DEVICE, 0);
		hook(freeing, SITE(2), dev, &s, 2 * PAGE, true, DMA_TO_DEVICE, 0);
	}
	hook(gather_ended, &gather);
	hook(detached, 2);
}

static void only_incomplete(void)
{
	assert_true(nr_kept <= 1);
	if (nr_kept)
		assert_int_equal(kept[0].report.kind, DMA_DEBUG_INCOMPLETE);
	nr_kept = 0;
}

static void run(bool translates, void (*deny)(uint64_t nth))
{
	uint64_t nth, asked = UINT64_MAX;

	for (nth = 1; nth <= asked; nth++) {
		close_checks();
		open_checks(translates);
		deny(nth);
		correct_life(translates);
		asked = base_alloc_fail(0);
		only_incomplete();
		/* What is left is nothing, or was never known. */
		hook(closing);
		silent();
	}
	assert_true(nth > 5);
}

static void fail_one(uint64_t nth)
{
	base_alloc_fail(nth);
}

static void one_fails(void **state)
{
	(void)state;
	run(true, fail_one);
	run(false, fail_one);
}

static void all_from_one_fail(void **state)
{
	(void)state;
	run(true, base_alloc_fail_from);
	run(false, base_alloc_fail_from);
}

/* What is known is still told. */
static void known_is_told(void **state)
{
	struct dma_iova_state s;

	(void)state;
	map(SITE(1), ADDR, phys_of(0), 64, DMA_TO_DEVICE);
	base_alloc_fail_from(1);
	map(SITE(1), 0x1000, phys_of(0), 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_INCOMPLETE, SITE(1), NULL);
	unmap(SITE(2), 0x1000, 64, DMA_TO_DEVICE);
	silent();
	unmap(SITE(2), ADDR, 65, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_SIZE, SITE(2), SITE(1));
	s = reserve(SITE(3), ADDR, PAGE);
	link_pages(SITE(4), &s, 0, 1, DMA_TO_DEVICE);
	free_state(SITE(5), &s);
	only(DMA_DEBUG_FREE_LINKED, SITE(5), SITE(4));
	base_alloc_fail(0);
}

/* Another mapping of the same memory is not taken for the one that has no record. */
static void another_is_known(void **state)
{
	phys_addr_t at = phys_of(0);

	(void)state;
	close_checks();
	open_checks(false);
	map(SITE(1), at, at, 50, DMA_TO_DEVICE);
	base_alloc_fail_from(1);
	map(SITE(2), at, at, 100, DMA_FROM_DEVICE);
	only(DMA_DEBUG_INCOMPLETE, SITE(2), NULL);
	hook(syncing, SITE(3), DEV, at + 60, 10, DMA_FROM_DEVICE, false);
	hook(syncing, SITE(3), DEV, at, 100, DMA_FROM_DEVICE, false);
	unmap(SITE(3), at, 100, DMA_FROM_DEVICE);
	unmap(SITE(3), at, 50, DMA_TO_DEVICE);
	silent();
	base_alloc_fail(0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(create),	     test(one_fails),	     test(all_from_one_fail),
		test(known_is_told), test(another_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
