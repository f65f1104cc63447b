/* SPDX-License-Identifier: MIT */
/* Mistakes with reservations, links and unlinks, each by itself. */
#include "checks.h"

#define ADDR 0xfff00000ULL
#define PAGES 16ULL
#define SIZE (PAGES * PAGE)

static void right_is_silent(void **state)
{
	const struct phys_vec odd[] = {
		{phys_of(0) + 0x800, 0x800}, {phys_of(1), 2 * PAGE}, {phys_of(3), 100}};
	struct dma_iova_state s, copy;

	(void)state;
	for (int i = 0; i < 3; i++) {
		s = reserve(SITE(1), ADDR, SIZE);
		copy = s;
		link_pages(SITE(2), &s, 0, 4, DMA_TO_DEVICE);
		link_pages(SITE(2), &copy, 4, 1, DMA_TO_DEVICE);
		link_pages(SITE(2), &copy, 5, 1, DMA_TO_DEVICE);
		hook(synced, SITE(3), DEV, &s, 0, 6 * PAGE);
		hook(accessed, 0, s.addr + 5 * PAGE + 8, false);
		hook(unlinking, SITE(4), DEV, &s, PAGE, 100, DMA_TO_DEVICE, 0);
		link_pages(SITE(2), &copy, 1, 1, DMA_FROM_DEVICE);
		hook(unlinking, SITE(4), DEV, &s, PAGE, PAGE, DMA_FROM_DEVICE, 0);
		link_pages(SITE(2), &copy, 1, 1, DMA_TO_DEVICE);
		s.__size |= __DMA_IOVA_BOUNCED;
		destroy(SITE(5), &s, 6 * PAGE - 7, DMA_TO_DEVICE);
	}
	s = reserve(SITE(1), ADDR + 0x800, 0x800 + 2 * PAGE + 100);
	hook(linked, SITE(2), DEV, &s, 0, odd, 3, DMA_TO_DEVICE, 0);
	destroy(SITE(5), &s, 0x800 + 2 * PAGE + 100, DMA_TO_DEVICE);
	s = reserve(SITE(1), ADDR, SIZE);
	free_state(SITE(5), &s);
	s = reserve(SITE(1), ADDR, SIZE);
	destroy(SITE(5), &s, 0, DMA_TO_DEVICE);
	silent();
}

static void state_reserved_again(void **state)
{
	struct dma_iova_state *s = calloc(2, sizeof(*s)), on_stack;

	(void)state;
	s[0] = (struct dma_iova_state){ADDR, SIZE};
	hook(reserved, SITE(1), DEV, &s[0]);
	hook(reserving, SITE(2), DEV, &s[0]);
	only(DMA_DEBUG_STATE_LIVE, SITE(2), SITE(1));
	/* Moved on: the first is only a copy. */
	s[1] = s[0];
	link_pages(SITE(3), &s[1], 0, 1, DMA_TO_DEVICE);
	hook(reserving, SITE(2), DEV, &s[0]);
	silent();
	hook(reserving, SITE(2), DEV, &s[1]);
	only(DMA_DEBUG_STATE_LIVE, SITE(2), SITE(1));
	/* A stack may hold what a call before left there. */
	on_stack = s[1];
	hook(synced, SITE(3), DEV, &on_stack, 0, PAGE);
	hook(reserving, SITE(2), DEV, &on_stack);
	silent();
	destroy(SITE(3), &s[1], PAGE, DMA_TO_DEVICE);
	hook(reserving, SITE(2), DEV, &s[1]);
	silent();
	free(s);
}

static void wrong_device(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE);
	const struct phys_vec vec = {phys_of(0), PAGE};

	(void)state;
	hook(linked, SITE(2), OTHER_DEV, &s, 0, &vec, 1, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_WRONG_DEVICE, SITE(2), SITE(1));
	hook(synced, SITE(3), OTHER_DEV, &s, 0, PAGE);
	only(DMA_DEBUG_WRONG_DEVICE, SITE(3), SITE(1));
	hook(unlinking, SITE(4), OTHER_DEV, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_WRONG_DEVICE, SITE(4), SITE(1));
	hook(freeing, SITE(5), OTHER_DEV, &s, 0, false, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_WRONG_DEVICE, SITE(5), SITE(1));
}

static void state_that_reserves_nothing(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE), none = {0, 0}, other = {0x1000, 64};

	(void)state;
	free_state(SITE(2), &s);
	silent();
	link_pages(SITE(3), &s, 0, 1, DMA_TO_DEVICE);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(3), SITE(2));
	hook(link_failed, SITE(3), DEV, &s, 0, phys_of(0), PAGE, DMA_TO_DEVICE, 0, -ERANGE);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(3), SITE(2));
	hook(synced, SITE(4), DEV, &s, 0, PAGE);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(4), SITE(2));
	hook(unlinking, SITE(5), DEV, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(5), SITE(2));
	hook(link_failed, SITE(3), DEV, &none, 0, phys_of(0), PAGE, DMA_TO_DEVICE, 0, -ERANGE);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(3), NULL);
	hook(unlinking, SITE(5), DEV, &other, 0, 64, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(5), NULL);
	free_state(SITE(6), &none);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(6), NULL);
}

static void state_that_was_changed(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE), changed = {ADDR, SIZE + 1};

	(void)state;
	free_state(SITE(2), &changed);
	only(DMA_DEBUG_STATE_UNKNOWN, SITE(2), SITE(1));
	free_state(SITE(2), &s);
	silent();
}

static void refused_links(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE);
	const struct kept *k;

	(void)state;
	link_pages(SITE(2), &s, 3, 1, DMA_TO_DEVICE);
	hook(link_failed, SITE(3), DEV, &s, 2 * PAGE, phys_of(0), 2 * PAGE, DMA_TO_DEVICE, 0,
	     -EADDRINUSE);
	k = only(DMA_DEBUG_LINK_TWICE, SITE(3), SITE(2));
	assert_int_equal(k->report.addr, ADDR + 2 * PAGE);
	assert_int_equal(k->report.phys, phys_of(0));
	assert_int_equal(k->report.nr_history, 2);
	assert_int_equal(k->history[0].action, DMA_DEBUG_RESERVED);
	assert_int_equal(k->history[1].action, DMA_DEBUG_LINKED);
	assert_int_equal(k->history[1].phys, phys_of(3));
	hook(link_failed, SITE(3), DEV, &s, SIZE - PAGE, phys_of(0), 2 * PAGE, DMA_TO_DEVICE, 0,
	     -ERANGE);
	only(DMA_DEBUG_LINK_OUTSIDE, SITE(3), SITE(1));
	hook(link_failed, SITE(3), DEV, &s, 0, 1ULL << 60, PAGE, DMA_TO_DEVICE, 0, -ERANGE);
	silent();
	hook(link_failed, SITE(3), DEV, &s, PAGE, phys_of(0) + 8, PAGE, DMA_TO_DEVICE, 0, -EIO);
	only(DMA_DEBUG_LINK_MISALIGNED, SITE(3), SITE(1));
	hook(link_failed, SITE(3), DEV, &s, 0, phys_of(0) + 8, PAGE, DMA_TO_DEVICE, 0, -ENXIO);
	only(DMA_DEBUG_LINK_MISALIGNED, SITE(3), SITE(1));
	hook(link_failed, SITE(3), DEV, &s, 0, phys_of(0), 0, DMA_TO_DEVICE, 0, -EINVAL);
	only(DMA_DEBUG_BAD_ARGUMENT, SITE(3), SITE(1));
	hook(link_failed, SITE(3), DEV, &s, 0, phys_of(0), PAGE, DMA_TO_DEVICE, 0, -ENOMEM);
	hook(link_failed, SITE(3), DEV, &s, 0, phys_of(0), PAGE, DMA_TO_DEVICE, 0, -EOPNOTSUPP);
	silent();
	hook(unlinking, SITE(4), DEV, &s, 3 * PAGE, PAGE, DMA_TO_DEVICE, 0);
	free_state(SITE(5), &s);
	silent();
}

static void unlinks(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE);

	(void)state;
	link_pages(SITE(2), &s, 0, PAGES, DMA_TO_DEVICE);
	hook(unlinking, SITE(3), DEV, &s, 0, SIZE + 1, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_UNLINK_OUTSIDE, SITE(3), SITE(1));
	link_pages(SITE(2), &s, 0, PAGES, DMA_TO_DEVICE);
	hook(unlinking, SITE(3), DEV, &s, 0, 0, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_UNLINK_OUTSIDE, SITE(3), SITE(1));
	hook(unlinking, SITE(3), DEV, &s, 0, PAGE, DMA_FROM_DEVICE, 0);
	only(DMA_DEBUG_DIRECTION, SITE(3), SITE(2));
	hook(unlinking, SITE(4), DEV, &s, PAGE, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	only(DMA_DEBUG_ATTRS, SITE(4), SITE(2));
	hook(unlinking, SITE(5), DEV, &s, PAGE, 2 * PAGE, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_UNLINK_HOLE, SITE(5), SITE(4));
	hook(unlinking, SITE(5), DEV, &s, 3 * PAGE, SIZE - 3 * PAGE, DMA_TO_DEVICE, 0);
	silent();
	free_state(SITE(6), &s);
	/* What was unlinked in another life of the addresses is not what is told. */
	s = reserve(SITE(7), ADDR, SIZE);
	hook(unlinking, SITE(5), DEV, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_UNLINK_HOLE, SITE(5), SITE(7));
	free_state(SITE(6), &s);
	silent();
}

static void links_of_several_sites(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE);

	(void)state;
	link_pages(SITE(2), &s, 0, 2, DMA_TO_DEVICE);
	link_pages(SITE(3), &s, 2, 2, DMA_FROM_DEVICE);
	link_pages(SITE(4), &s, 4, 2, DMA_FROM_DEVICE);
	destroy(SITE(5), &s, 6 * PAGE, DMA_TO_DEVICE);
	assert_int_equal(only(DMA_DEBUG_DIRECTION, SITE(5), SITE(3))->report.addr, ADDR + 2 * PAGE);
}

static void cut(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE);

	(void)state;
	link_pages(SITE(2), &s, 0, 8, DMA_TO_DEVICE);
	hook(unlinking, SITE(3), DEV, &s, 2 * PAGE, PAGE, DMA_TO_DEVICE, 0);
	silent();
	hook(cut, SITE(3), ADDR, ADDR + 8 * PAGE - 1);
	assert_string_equal(only(DMA_DEBUG_UNLINK_CUT, SITE(3), SITE(2))->device, "soft:first");
	hook(cut, SITE(3), ADDR, ADDR + 8 * PAGE - 1);
	silent();
	free_state(SITE(4), &s);
	silent();
}

static void freeing(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, SIZE);
	const struct kept *k;

	(void)state;
	link_pages(SITE(2), &s, 2, 1, DMA_TO_DEVICE);
	free_state(SITE(3), &s);
	k = only(DMA_DEBUG_FREE_LINKED, SITE(3), SITE(2));
	assert_int_equal(k->report.phys, phys_of(2));
	free_state(SITE(4), &s);
	k = only(DMA_DEBUG_FREE_TWICE, SITE(4), SITE(3));
	assert_int_equal(k->history[k->report.nr_history - 1].action, DMA_DEBUG_FREED);
	destroy(SITE(5), &s, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_FREE_TWICE, SITE(5), SITE(3));

	/* More is linked, less, elsewhere; and longer than there is. */
	s = reserve(SITE(1), ADDR, SIZE);
	link_pages(SITE(2), &s, 0, 3, DMA_TO_DEVICE);
	destroy(SITE(3), &s, 2 * PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_DESTROY_LENGTH, SITE(3), SITE(2));
	s = reserve(SITE(1), ADDR, SIZE);
	link_pages(SITE(2), &s, 0, 1, DMA_TO_DEVICE);
	destroy(SITE(3), &s, 2 * PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_DESTROY_LENGTH, SITE(3), SITE(2));
	s = reserve(SITE(1), ADDR, SIZE);
	link_pages(SITE(2), &s, 1, 1, DMA_TO_DEVICE);
	destroy(SITE(3), &s, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_DESTROY_LENGTH, SITE(3), SITE(2));
	s = reserve(SITE(1), ADDR, SIZE);
	link_pages(SITE(2), &s, 0, PAGES, DMA_TO_DEVICE);
	destroy(SITE(3), &s, SIZE + 1, DMA_TO_DEVICE);
	only(DMA_DEBUG_DESTROY_LENGTH, SITE(3), SITE(2));
	s = reserve(SITE(1), ADDR, SIZE);
	link_pages(SITE(2), &s, 0, 1, DMA_TO_DEVICE);
	destroy(SITE(3), &s, 0, DMA_TO_DEVICE);
	only(DMA_DEBUG_DESTROY_LENGTH, SITE(3), SITE(2));
	s = reserve(SITE(1), ADDR, SIZE);
	destroy(SITE(3), &s, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_DESTROY_LENGTH, SITE(3), SITE(1));
}

/* Across the border of two chunks of records, and far beyond. */
static void long_reservations(void **state)
{
	struct phys_vec vec[MEMORY_PAGES];
	struct dma_iova_state s = reserve(SITE(1), 1ULL << 40, 1ULL << 32);
	size_t border = (4096 - 16) * PAGE;

	(void)state;
	for (size_t i = 0; i < MEMORY_PAGES; i++)
		vec[i] = (struct phys_vec){phys_of(MEMORY_PAGES - 1 - i), PAGE};
	hook(linked, SITE(2), DEV, &s, border, vec, MEMORY_PAGES, DMA_TO_DEVICE, 0);
	hook(accessed, 0, s.addr + border + 40 * PAGE, false);
	assert_int_equal(only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NULL, SITE(2))->report.phys,
			 phys_of(MEMORY_PAGES - 1 - 40));
	hook(synced, SITE(3), DEV, &s, border, MEMORY_PAGES * PAGE);
	hook(accessed, 0, s.addr + border + 41 * PAGE, false);
	silent();
	hook(unlinking, SITE(4), DEV, &s, border, MEMORY_PAGES * PAGE, DMA_TO_DEVICE, 0);
	silent();
	hook(linked, SITE(2), DEV, &s, border, vec, MEMORY_PAGES, DMA_TO_DEVICE, 0);
	free_state(SITE(5), &s);
	assert_int_equal(only(DMA_DEBUG_FREE_LINKED, SITE(5), SITE(2))->report.phys,
			 phys_of(MEMORY_PAGES - 1));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(right_is_silent),
		test(state_reserved_again),
		test(wrong_device),
		test(state_that_reserves_nothing),
		test(state_that_was_changed),
		test(refused_links),
		test(unlinks),
		test(links_of_several_sites),
		test(cut),
		test(freeing),
		test(long_reservations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
