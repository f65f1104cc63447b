/* SPDX-License-Identifier: MIT */
/* An unlink that would cut a unit takes the whole of it, and is misuse; no ioctl ever cuts. */
#include "setup.h"

#include "dma/dma.h"

static void test_part_of_a_link(void **state)
{
	static const struct {
		size_t offset, size;
	} cuts[] = {{4, 1}, {4, 2}, {5, 2}, {7, 1}, {6, 2}};
	uint8_t *memory = pages_new(12);

	for (size_t i = 0; i < COUNT(cuts); i++) {
		struct card card = card_open(state, NULL);
		struct dma_iova_state iova = reserve(&card, 12 * PAGE);

		for (size_t unit = 0; unit < 3; unit++)
			link_at(&card, &iova, unit * 4 * PAGE, memory + unit * 4 * PAGE, 4 * PAGE);
		sync_at(&card, &iova, 0, 12 * PAGE);
		dma_clear_error();
		unlink_at(&card, &iova, cuts[i].offset * PAGE, cuts[i].size * PAGE);
		assert_refused(&card, iova.addr + 4 * PAGE, 4 * PAGE);
		assert_reaches(&card, iova.addr, memory, 4 * PAGE);
		assert_reaches(&card, iova.addr + 8 * PAGE, memory + 8 * PAGE, 4 * PAGE);
		assert_int_equal(stats_of(&card).misuse, 1);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(fake_unmaps(), 1);
		/* All of its place is free. */
		link_at(&card, &iova, 4 * PAGE, memory, 4 * PAGE);
		sync_at(&card, &iova, 4 * PAGE, 4 * PAGE);
		destroy(&card, &iova, 12 * PAGE);
		card_close(&card, 1);
	}
	pages_free(memory, 12);
}

/* From inside one unit to inside the next but one: all three go. */
static void test_across_units(void **state)
{
	uint8_t *memory = pages_new(16);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 16 * PAGE);

	for (size_t unit = 0; unit < 4; unit++)
		link_at(&card, &iova, unit * 4 * PAGE, memory + unit * 4 * PAGE, 4 * PAGE);
	sync_at(&card, &iova, 0, 16 * PAGE);
	unlink_at(&card, &iova, 2 * PAGE, 8 * PAGE);
	assert_refused(&card, iova.addr, 12 * PAGE);
	assert_reaches(&card, iova.addr + 12 * PAGE, memory + 12 * PAGE, 4 * PAGE);
	assert_int_equal(stats_of(&card).misuse, 1);
	unlink_at(&card, &iova, 12 * PAGE, 4 * PAGE);
	dma_iova_free(card.dev, &iova);
	card_close(&card, 1);
	pages_free(memory, 16);
}

/* A run of a vector is a unit; the runs beside it are others. */
static void test_part_of_a_run(void **state)
{
	uint8_t *memory = pages_new(9);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);
	struct phys_vec vec[8];

	for (size_t i = 0; i < 8; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + (i + i / 4) * PAGE), PAGE};
	assert_int_equal(dma_iova_link_vec(card.dev, &iova, vec, 8, 0, DMA_BIDIRECTIONAL, 0), 0);
	sync_at(&card, &iova, 0, 8 * PAGE);
	unlink_at(&card, &iova, 5 * PAGE, PAGE);
	assert_refused(&card, iova.addr + 4 * PAGE, 4 * PAGE);
	assert_reaches(&card, iova.addr, memory, 4 * PAGE);
	assert_int_equal(stats_of(&card).misuse, 1);
	unlink_at(&card, &iova, 0, 4 * PAGE);
	dma_iova_free(card.dev, &iova);
	card_close(&card, 1);
	pages_free(memory, 9);
}

static void test_part_of_a_whole(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova;

	assert_true(dma_iova_try_alloc_flags(card.dev, &iova, 0, 8 * PAGE, 0, DMA_IOVA_WHOLE));
	for (size_t i = 0; i < 8; i++)
		link_at(&card, &iova, i * PAGE, memory + i * PAGE, PAGE);
	sync_at(&card, &iova, 0, 8 * PAGE);
	assert_int_equal(fake_maps(), 1);
	unlink_at(&card, &iova, 2 * PAGE, PAGE);
	assert_refused(&card, iova.addr, 8 * PAGE);
	assert_int_equal(stats_of(&card).misuse, 1);
	dma_iova_free(card.dev, &iova);
	card_close(&card, 1);
	pages_free(memory, 8);
}

/* Neither does a gather cut. */
static void test_gathered(void **state)
{
	uint8_t *memory = pages_new(8);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);
	struct dma_gather gather;

	link_at(&card, &iova, 0, memory, 4 * PAGE);
	link_at(&card, &iova, 4 * PAGE, memory + 4 * PAGE, 4 * PAGE);
	sync_at(&card, &iova, 0, 8 * PAGE);
	dma_gather_begin(card.dev, &gather);
	dma_iova_unlink_gather(card.dev, &iova, PAGE, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	dma_gather_end(&gather);
	assert_refused(&card, iova.addr, 4 * PAGE);
	assert_reaches(&card, iova.addr + 4 * PAGE, memory + 4 * PAGE, 4 * PAGE);
	assert_int_equal(stats_of(&card).misuse, 1);
	unlink_at(&card, &iova, 4 * PAGE, 4 * PAGE);
	dma_iova_free(card.dev, &iova);
	card_close(&card, 1);
	pages_free(memory, 8);
}

/* A wrong size, or less than was linked: all goes, and is told. */
static void test_wrong_lengths(void **state)
{
	uint8_t *memory = pages_new(4);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);
	dma_addr_t addr;

	link_at(&card, &iova, 0, memory, 4 * PAGE);
	sync_at(&card, &iova, 0, 4 * PAGE);
	destroy(&card, &iova, PAGE);
	assert_refused(&card, iova.addr, 4 * PAGE);
	assert_int_equal(stats_of(&card).misuse, 1);
	addr = dma_map_phys(card.dev, virt_to_phys(memory), 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), 0);
	dma_unmap_phys(card.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	assert_refused(&card, addr, 4 * PAGE);
	assert_int_equal(stats_of(&card).misuse, 2);
	card_close(&card, 2);
	pages_free(memory, 4);
}

/*
 * Two extents that are unlinked together are unmapped together, over the hole between them; but if
 * the second has gone before, by somebody else's invalidation, what lies behind it is not joined.
 */
static void test_joined_one_is_gone(void **state)
{
	uint8_t *memory = pages_new(3);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 16 * PAGE);
	struct backend *be = card.dev->be;
	struct backend_range range = {iova.addr, iova.addr};
	struct fake_call calls[2];
	struct pgt_removed removed;

	for (size_t i = 0; i < 3; i++)
		link_at(&card, &iova, i * 4 * PAGE, memory + i * PAGE, PAGE);
	sync_at(&card, &iova, 0, 16 * PAGE);
	fake_forget();
	be->ops->unlink(be, NULL, iova.addr, 5 * PAGE, 0, &removed);
	be->ops->unlink(be, NULL, iova.addr + 8 * PAGE, PAGE, 0, &removed);
	range.first = range.last = iova.addr + 4 * PAGE;
	be->ops->invalidate(be, &range, 1);
	/* Mapped before the first is unmapped, as another thread might while it is. */
	link_at(&card, &iova, 4 * PAGE, memory, PAGE);
	fake_forget();
	range.first = range.last = iova.addr;
	be->ops->invalidate(be, &range, 1);
	assert_int_equal(fake_log(calls, COUNT(calls)), 1);
	assert_int_equal(calls[0].iova, iova.addr);
	assert_int_equal(calls[0].size, PAGE);
	range.first = range.last = iova.addr + 8 * PAGE;
	be->ops->invalidate(be, &range, 1);
	assert_refused(&card, iova.addr, 16 * PAGE);
	sync_at(&card, &iova, 0, 16 * PAGE);
	unlink_at(&card, &iova, 4 * PAGE, PAGE);
	destroy(&card, &iova, 0);
	/* Statistics have not been told of what was done behind their back. */
	dma_dev_close(card.dev);
	machine_stop();
	pages_free(memory, 3);
}

/* And together they are one ioctl. */
static void test_joined(void **state)
{
	uint8_t *memory = pages_new(2);
	struct card card = card_open(state, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	link_at(&card, &iova, 0, memory, PAGE);
	link_at(&card, &iova, 4 * PAGE, memory + PAGE, PAGE);
	sync_at(&card, &iova, 0, 8 * PAGE);
	fake_forget();
	destroy(&card, &iova, 8 * PAGE);
	assert_int_equal(fake_unmaps(), 1);
	assert_refused(&card, iova.addr, 8 * PAGE);
	card_close(&card, 1); /* not all of it was linked */
	pages_free(memory, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_part_of_a_link),	   EACH_WAY(test_across_units),
		EACH_WAY(test_part_of_a_run),	   EACH_WAY(test_part_of_a_whole),
		EACH_WAY(test_gathered),	   EACH_WAY(test_wrong_lengths),
		EACH_WAY(test_joined_one_is_gone), EACH_WAY(test_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
