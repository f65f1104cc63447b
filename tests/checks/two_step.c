/* SPDX-License-Identifier: MIT */
/* Mistakes with reservations, links and unlinks, each by itself, on each kind of device. */
#include "calls.h"

#define PAGES 8
#define SIZE (PAGES * PAGE)

static void states_that_reserve_nothing(void **state)
{
	struct dma_iova_state none = {0, 0};

	(void)state;
	assert_true(second_link(d.dev, &none, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0) < 0);
	only(DMA_DEBUG_STATE_UNKNOWN, PLACE(second_link), NOWHERE);
	assert_true(second_link_vec(d.dev, &none, &(struct phys_vec){phys_of(0), PAGE}, 1, 0,
				    DMA_TO_DEVICE, 0) < 0);
	only(DMA_DEBUG_STATE_UNKNOWN, PLACE(second_link_vec), NOWHERE);
	second_unlink(d.dev, &none, 0, PAGE, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_STATE_UNKNOWN, PLACE(second_unlink), NOWHERE);
	second_free(d.dev, &none);
	only(DMA_DEBUG_STATE_UNKNOWN, PLACE(second_free), NOWHERE);
	second_destroy(d.dev, &none, PAGE, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_STATE_UNKNOWN, PLACE(second_destroy), NOWHERE);
}

static void states_that_were_freed(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	const struct kept *k;

	(void)state;
	linked(&s, 0, 2, DMA_TO_DEVICE);
	synced(&s, 0, 2);
	third_destroy(d.dev, &s, 2 * PAGE, DMA_TO_DEVICE, 0);
	silent();
	second_unlink(d.dev, &s, PAGE, PAGE, DMA_TO_DEVICE, 0);
	k = only_at(DMA_DEBUG_STATE_UNKNOWN, second_unlink, third_destroy);
	concerns(k, s.addr, SIZE, 0);
	is_history(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED, DMA_DEBUG_SYNCED,
			      DMA_DEBUG_FREED));
	assert_at(k->history[0].caller, PLACE(first_try_alloc));
	assert_at(k->history[1].caller, PLACE(first_link));
	assert_int_equal(k->history[1].size, 2 * PAGE);
	assert_at(k->history[2].caller, PLACE(first_sync));
	assert_at(k->history[3].caller, PLACE(third_destroy));
	/* The library cannot know whose addresses these are now, and the checks can. */
	if (!second_sync(d.dev, &s, 0, PAGE))
		only_at(DMA_DEBUG_STATE_UNKNOWN, second_sync, third_destroy);
	if (!second_link(d.dev, &s, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0)) {
		only_at(DMA_DEBUG_STATE_UNKNOWN, second_link, third_destroy);
		second_unlink(d.dev, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	}
	only_at(DMA_DEBUG_STATE_UNKNOWN, second_unlink, third_destroy);
	second_free(d.dev, &s);
	k = only_at(DMA_DEBUG_FREE_TWICE, second_free, third_destroy);
	concerns(k, s.addr, SIZE, 0);
	second_destroy(d.dev, &s, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_FREE_TWICE, second_destroy, third_destroy);
}

static void states_that_were_changed(void **state)
{
	struct dma_iova_state s = reserved(SIZE), changed = s;

	(void)state;
	changed.__size--;
	second_unlink(d.dev, &changed, 0, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_STATE_UNKNOWN, second_unlink, first_try_alloc);
	third_free(d.dev, &s);
}

static void link_outside(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	assert_int_equal(second_link(d.dev, &s, phys_of(0), SIZE, PAGE, DMA_TO_DEVICE, 0), -ERANGE);
	concerns(only_at(DMA_DEBUG_LINK_OUTSIDE, second_link, first_try_alloc), s.addr + SIZE, PAGE,
		 phys_of(0));
	assert_int_equal(
		second_link(d.dev, &s, phys_of(0), SIZE - PAGE, 2 * PAGE, DMA_TO_DEVICE, 0),
		-ERANGE);
	concerns(only_at(DMA_DEBUG_LINK_OUTSIDE, second_link, first_try_alloc),
		 s.addr + SIZE - PAGE, 2 * PAGE, phys_of(0));
	third_free(d.dev, &s);
}

static void link_twice(void **state)
{
	struct phys_vec vec[3] = {{phys_of(4), PAGE}, {phys_of(2), PAGE}, {phys_of(6), PAGE}};
	struct dma_iova_state s = reserved(SIZE);
	const struct kept *k;

	(void)state;
	linked(&s, 3, 1, DMA_TO_DEVICE);
	assert_int_equal(second_link(d.dev, &s, phys_of(0), 3 * PAGE, PAGE, DMA_TO_DEVICE, 0),
			 -EADDRINUSE);
	k = only_at(DMA_DEBUG_LINK_TWICE, second_link, first_link);
	concerns(k, s.addr + 3 * PAGE, PAGE, phys_of(0));
	is_history(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED));
	assert_int_equal(k->history[1].phys, phys_of(3));
	assert_int_equal(second_link_vec(d.dev, &s, vec, 3, 2 * PAGE, DMA_TO_DEVICE, 0),
			 -EADDRINUSE);
	concerns(only_at(DMA_DEBUG_LINK_TWICE, second_link_vec, first_link), s.addr + 2 * PAGE,
		 3 * PAGE, phys_of(4));
	third_unlink(d.dev, &s, 3 * PAGE, PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(third_link_vec(d.dev, &s, vec, 3, 2 * PAGE, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(second_link(d.dev, &s, phys_of(0), 4 * PAGE, PAGE, DMA_TO_DEVICE, 0),
			 -EADDRINUSE);
	only_at(DMA_DEBUG_LINK_TWICE, second_link, third_link_vec);
	third_unlink(d.dev, &s, 2 * PAGE, 3 * PAGE, DMA_TO_DEVICE, 0);
	third_free(d.dev, &s);
}

static void link_misaligned(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	assert_int_equal(second_link(d.dev, &s, phys_of(0) + 64, PAGE, PAGE, DMA_TO_DEVICE, 0),
			 -EIO);
	concerns(only_at(DMA_DEBUG_LINK_MISALIGNED, second_link, first_try_alloc), s.addr + PAGE,
		 PAGE, phys_of(0) + 64);
	assert_int_equal(second_link(d.dev, &s, phys_of(0) + 64, 0, 64, DMA_TO_DEVICE, 0), -ENXIO);
	only_at(DMA_DEBUG_LINK_MISALIGNED, second_link, first_try_alloc);
	assert_int_equal(second_link(d.dev, &s, phys_of(0), 64, PAGE, DMA_TO_DEVICE, 0), -ENXIO);
	only_at(DMA_DEBUG_LINK_MISALIGNED, second_link, first_try_alloc);
	third_free(d.dev, &s);
}

static void bad_arguments(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	assert_int_equal(second_link(d.dev, &s, phys_of(0), 0, 0, DMA_TO_DEVICE, 0), -EINVAL);
	concerns(only_at(DMA_DEBUG_BAD_ARGUMENT, second_link, first_try_alloc), s.addr, 0,
		 phys_of(0));
	assert_int_equal(second_link(d.dev, &s, phys_of(0), 0, PAGE, DMA_NONE, 0), -EINVAL);
	only_at(DMA_DEBUG_BAD_ARGUMENT, second_link, first_try_alloc);
	assert_int_equal(second_link_vec(d.dev, &s, NULL, 0, 0, DMA_TO_DEVICE, 0), -EINVAL);
	only_at(DMA_DEBUG_BAD_ARGUMENT, second_link_vec, first_try_alloc);
	third_free(d.dev, &s);
}

/* Registered memory has an end, and beyond it are addresses of nothing. */
static void memory_that_is_none(void **state)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM, .size = PAGE, .cpu = memory, .fd = -1};
	struct dma_iova_state s = reserved(SIZE);
	phys_addr_t base;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(second_link(d.dev, &s, base, 0, PAGE, DMA_TO_DEVICE, 0), 0);
	second_unlink(d.dev, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	silent();
	assert_true(second_link(d.dev, &s, base, 0, 2 * PAGE, DMA_TO_DEVICE, 0) < 0);
	/* What can be neither bounced nor synced is refused for that, which is no mistake. */
	if (nr_kept || !(has("bounce=force") || has("coherent=off")))
		only_at(DMA_DEBUG_BAD_ARGUMENT, second_link, first_try_alloc);
	third_free(d.dev, &s);
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void unlink_outside(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	linked(&s, 0, PAGES, DMA_TO_DEVICE);
	second_unlink(d.dev, &s, PAGE, SIZE, DMA_TO_DEVICE, 0);
	concerns(only_at(DMA_DEBUG_UNLINK_OUTSIDE, second_unlink, first_try_alloc), s.addr + PAGE,
		 SIZE, 0);
	second_unlink(d.dev, &s, SIZE, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_UNLINK_OUTSIDE, second_unlink, first_try_alloc);
	second_unlink(d.dev, &s, 0, 0, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_UNLINK_OUTSIDE, second_unlink, first_try_alloc);
	destroyed(&s, 1, DMA_TO_DEVICE);
}

static void unlink_of_a_hole(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	const struct kept *k;

	(void)state;
	linked(&s, 0, 2, DMA_TO_DEVICE);
	second_unlink(d.dev, &s, 4 * PAGE, PAGE, DMA_TO_DEVICE, 0);
	concerns(only_at(DMA_DEBUG_UNLINK_HOLE, second_unlink, first_try_alloc), s.addr + 4 * PAGE,
		 PAGE, 0);
	third_unlink(d.dev, &s, PAGE, PAGE, DMA_TO_DEVICE, 0);
	silent();
	second_unlink(d.dev, &s, PAGE, PAGE, DMA_TO_DEVICE, 0);
	k = only_at(DMA_DEBUG_UNLINK_HOLE, second_unlink, third_unlink);
	is_history(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED, DMA_DEBUG_UNLINKED));
	second_unlink(d.dev, &s, 0, 3 * PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_UNLINK_HOLE, second_unlink, third_unlink);
	third_free(d.dev, &s);
}

static void unlink_with_another_direction(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	linked(&s, 0, 3, DMA_TO_DEVICE);
	second_unlink(d.dev, &s, 0, PAGE, DMA_BIDIRECTIONAL, 0);
	concerns(only_at(DMA_DEBUG_DIRECTION, second_unlink, first_link), s.addr, PAGE, phys_of(0));
	second_unlink(d.dev, &s, PAGE, PAGE, DMA_TO_DEVICE, DMA_ATTR_PRIVILEGED);
	concerns(only_at(DMA_DEBUG_ATTRS, second_unlink, first_link), s.addr + PAGE, PAGE,
		 phys_of(1));
	third_unlink(d.dev, &s, 2 * PAGE, PAGE, DMA_TO_DEVICE, 0);
	linked(&s, 0, 2, DMA_FROM_DEVICE);
	second_destroy(d.dev, &s, 2 * PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_DIRECTION, second_destroy, first_link);
}

/* Of a range that is one unit, and of an entry that is larger than a page. */
static void unlink_of_part_of_a_unit(void **state)
{
	struct dma_iova_state s;

	(void)state;
	assert_true(first_try_alloc_flags(d.dev, &s, 0, SIZE, 0, DMA_IOVA_WHOLE));
	linked(&s, 0, PAGES, DMA_TO_DEVICE);
	synced(&s, 0, PAGES);
	second_unlink(d.dev, &s, 2 * PAGE, PAGE, DMA_TO_DEVICE, 0);
	concerns(only_at(DMA_DEBUG_UNLINK_CUT, second_unlink, first_link), s.addr, SIZE,
		 phys_of(0));
	third_free(d.dev, &s);
}

static void unlink_of_part_of_an_entry(void **state)
{
	struct expanse large = expanse_new(2 * MIB, 2 * MIB);
	struct dma_iova_state s = reserved(4 * MIB);
	const struct kept *k;

	(void)state;
	assert_int_equal(
		first_link(d.dev, &s, virt_to_phys(large.at), 2 * MIB, 2 * MIB, DMA_TO_DEVICE, 0),
		0);
	second_unlink(d.dev, &s, 3 * MIB, PAGE, DMA_TO_DEVICE, 0);
	k = only_at(DMA_DEBUG_UNLINK_CUT, second_unlink, first_link);
	if (!has("bounce=force"))
		concerns(k, s.addr + 2 * MIB, 2 * MIB, virt_to_phys(large.at));
	if (has("bounce=force"))
		third_unlink(d.dev, &s, 2 * MIB, 2 * MIB, DMA_TO_DEVICE, 0);
	nr_kept = 0; /* how much went depends on the buffers */
	third_free(d.dev, &s);
	nr_kept = 0;
	expanse_free(&large);
}

static void free_with_links(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	linked(&s, 2, 1, DMA_TO_DEVICE);
	second_free(d.dev, &s);
	concerns(only_at(DMA_DEBUG_FREE_LINKED, second_free, first_link), s.addr, SIZE, phys_of(2));
}

static void destroy_with_another_length(void **state)
{
	static const struct {
		size_t first, linked, said;
	} lengths[] = {{0, 2, 1}, {0, 2, 3}, {0, 2, PAGES + 1}, {0, 2, 0}, {1, 2, 2}, {1, 2, 3}};
	struct dma_iova_state s;

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		s = reserved(SIZE);
		linked(&s, lengths[i].first, lengths[i].linked, DMA_TO_DEVICE);
		second_destroy(d.dev, &s, lengths[i].said * PAGE, DMA_TO_DEVICE, 0);
		concerns(only_at(DMA_DEBUG_DESTROY_LENGTH, second_destroy, first_link), s.addr,
			 SIZE, phys_of(lengths[i].first));
	}
	s = reserved(SIZE);
	second_destroy(d.dev, &s, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_DESTROY_LENGTH, second_destroy, first_try_alloc);
}

/* A driver that has not looked at the answer of dma_iova_try_alloc(). */
static void no_reservations(void **state)
{
	struct dma_iova_state s;

	assert_false(first_try_alloc(d.dev, &s, 0, SIZE));
	silent();
	assert_false(first_try_alloc_flags(d.dev, &s, 0, SIZE, 0, 0));
	silent();
	states_that_reserve_nothing(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_SOFT(states_that_reserve_nothing),
		EACH_SOFT(states_that_were_freed),
		EACH_SOFT(states_that_were_changed),
		EACH_SOFT(link_outside),
		EACH_SOFT(link_twice),
		EACH_SOFT(link_misaligned),
		EACH_SOFT(bad_arguments),
		EACH_SOFT(memory_that_is_none),
		EACH_SOFT(unlink_outside),
		EACH_SOFT(unlink_of_a_hole),
		EACH_SOFT(unlink_with_another_direction),
		EACH_SOFT(unlink_of_part_of_a_unit),
		EACH_SOFT(unlink_of_part_of_an_entry),
		EACH_SOFT(free_with_links),
		EACH_SOFT(destroy_with_another_length),
		EACH_DIRECT(no_reservations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
