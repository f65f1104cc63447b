/* SPDX-License-Identifier: MIT */
/* Merging: full, contiguous and untouched tables become one entry; all others stay. */
#include "tables.h"

/* Link [first, end) page by page, so that nothing is large yet. */
static void link_pages_of(struct tables *t, uint64_t iova, uint64_t phys, uint64_t first,
			  uint64_t end)
{
	for (uint64_t i = first; i < end; i++)
		link_at(t, iova + i * PAGE, phys + i * PAGE, PAGE);
}

static struct pgt_linked merge(struct tables *t, uint64_t iova, uint64_t size)
{
	struct pgt_linked merged;

	pgt_merge(&t->pt, iova, size, &merged);
	return merged;
}

static void assert_not_merged(struct tables *t, uint64_t iova, uint64_t size)
{
	uint64_t sum = sum_all(t), gen = t->gen_watch;
	struct pgt_linked merged = merge(t, iova, size);

	assert_int_equal(merged.entries, 0);
	assert_int_equal(merged.nr_free_tables, 0);
	assert_null(merged.free_tables);
	assert_int_equal(sum_all(t), sum);
	assert_int_equal(t->gen_watch, gen);
}

static void one_table(void **state)
{
	struct pgt_linked merged;
	struct tables t;
	uint64_t gen;

	open_tables(&t, *state);
	link_pages_of(&t, 3 * LARGE, PHYS, 0, 512);
	assert_leaf(&t, 3 * LARGE, PHYS, 12);
	gen = t.gen_watch;
	merged = merge(&t, 3 * LARGE, LARGE);
	assert_int_equal(merged.entries, 1);
	assert_int_equal(merged.nr_free_tables, 1);
	assert_true(t.gen_watch > gen);
	assert_int_equal(t.pool.out, t.pt.tables + 1);
	pgt_free_tables(&t.pt, merged.free_tables);
	for (uint64_t i = 0; i < 512; i++)
		assert_leaf(&t, 3 * LARGE + i * PAGE, PHYS + i * PAGE, 21);
	assert_not_merged(&t, 3 * LARGE, LARGE);
	assert_int_equal(unlink_at(&t, 3 * LARGE, LARGE, 0).entries, 1);
	assert_int_equal(sum_all(&t), 0);
	close_tables(&t);
}

/* 512 tables become 512 entries become one. */
static void a_huge_page(void **state)
{
	struct pgt_linked merged;
	struct tables t;

	open_tables(&t, *state);
	for (uint64_t i = 0; i < 512; i++) {
		/* Half of them by pages, half large from the beginning. */
		if (i % 2)
			link_at(&t, HUGE_PAGE + i * LARGE, PHYS + i * LARGE, LARGE);
		else
			link_pages_of(&t, HUGE_PAGE + i * LARGE, PHYS + i * LARGE, 0, 512);
	}
	/* A page less than all: the last table stays as it is, and so does the one above. */
	merged = merge(&t, HUGE_PAGE, HUGE_PAGE - PAGE);
	assert_int_equal(merged.entries, 256);
	pgt_free_tables(&t.pt, merged.free_tables);
	assert_leaf(&t, HUGE_PAGE, PHYS, 21);
	merged = merge(&t, HUGE_PAGE, HUGE_PAGE);
	assert_int_equal(merged.entries, 1);
	assert_int_equal(merged.nr_free_tables, 1);
	pgt_free_tables(&t.pt, merged.free_tables);
	assert_leaf(&t, 2 * HUGE_PAGE - 1, PHYS + HUGE_PAGE - 1, 30);
	close_tables(&t);
}

/* The range must cover the table; what is around it may be merged by nobody. */
static void only_what_the_range_covers(void **state)
{
	struct pgt_linked merged;
	struct tables t;

	open_tables(&t, *state);
	link_pages_of(&t, 2 * LARGE, PHYS, 0, 3 * 512);
	assert_not_merged(&t, 2 * LARGE, LARGE - PAGE);
	assert_not_merged(&t, 2 * LARGE + PAGE, LARGE);
	assert_not_merged(&t, 2 * LARGE + PAGE, 2 * LARGE - 2 * PAGE);
	merged = merge(&t, 2 * LARGE + PAGE, 3 * LARGE - 2 * PAGE);
	assert_int_equal(merged.entries, 1);
	pgt_free_tables(&t.pt, merged.free_tables);
	assert_leaf(&t, 2 * LARGE, PHYS, 12);
	assert_leaf(&t, 3 * LARGE, PHYS + LARGE, 21);
	assert_leaf(&t, 4 * LARGE, PHYS + 2 * LARGE, 12);
	close_tables(&t);
}

static void refused(void **state)
{
	struct pgt_linked linked;
	const struct phys_vec vec = {PHYS + 100 * PAGE, PAGE};
	struct tables t;

	open_tables(&t, *state);
	/* A hole, at either end or inside. */
	link_pages_of(&t, LARGE, PHYS, 1, 512);
	assert_not_merged(&t, LARGE, LARGE);
	link_pages_of(&t, LARGE, PHYS, 0, 1);
	unlink_at(&t, LARGE + 511 * PAGE, PAGE, 0);
	assert_not_merged(&t, LARGE, LARGE);
	link_pages_of(&t, LARGE, PHYS, 511, 512);
	/* A mark. */
	unlink_at(&t, LARGE + 100 * PAGE, PAGE, 1);
	assert_not_merged(&t, LARGE, LARGE);
	pgt_unmark(&t.pt, LARGE, LARGE, 0);
	/* Other rights. */
	assert_int_equal(
		pgt_link(&t.pt, NULL, LARGE + 100 * PAGE, &vec, 1, DMA_TO_DEVICE, 0, &linked), 0);
	assert_not_merged(&t, LARGE, LARGE);
	unlink_at(&t, LARGE + 100 * PAGE, PAGE, 0);
	/* Other memory. */
	link_at(&t, LARGE + 100 * PAGE, PHYS + 101 * PAGE, PAGE);
	assert_not_merged(&t, LARGE, LARGE);
	unlink_at(&t, LARGE, LARGE, 0);
	/* Contiguous, and not aligned. */
	link_pages_of(&t, LARGE, PHYS + PAGE, 0, 512);
	assert_not_merged(&t, LARGE, LARGE);
	close_tables(&t);
}

/* A device has used a page: the bit would be lost, or spread to all pages. */
static void not_after_an_access(void **state)
{
	static const uint64_t pages[] = {0, 1, 300, 511};
	struct pgt_leaf leaf;
	struct tables t;

	for (unsigned int write = 0; write < 2; write++) {
		for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
			open_tables(&t, *state);
			link_pages_of(&t, LARGE, PHYS, 0, 512);
			assert_true(pgt_lookup(&t.pt, LARGE + pages[i] * PAGE, &leaf));
			assert_true(pgt_mark_access(&t.pt, &leaf, write));
			assert_not_merged(&t, LARGE, LARGE);
			close_tables(&t);
		}
	}
	/* All alike is no excuse: the bits of a large entry are set by a walker of it. */
	open_tables(&t, *state);
	link_pages_of(&t, LARGE, PHYS, 0, 512);
	for (uint64_t i = 0; i < 512; i++) {
		assert_true(pgt_lookup(&t.pt, LARGE + i * PAGE, &leaf));
		assert_true(pgt_mark_access(&t.pt, &leaf, true));
	}
	assert_not_merged(&t, LARGE, LARGE);
	close_tables(&t);
}

/* A walker that was inside the table leaves its bits there: they are not lost. */
static void bits_set_meanwhile(void **state)
{
	struct pgt_linked merged;
	struct pgt_leaf late, leaf;
	struct tables t;

	for (unsigned int write = 0; write < 2; write++) {
		open_tables(&t, *state);
		link_pages_of(&t, LARGE, LARGE, 0, 512);
		link_pages_of(&t, 2 * LARGE, 4 * LARGE, 0, 512);
		assert_true(pgt_lookup(&t.pt, LARGE + 7 * PAGE, &late));
		pgt_merge(&t.pt, LARGE, 2 * LARGE, &merged);
		assert_int_equal(merged.nr_free_tables, 2);
		assert_true(pgt_mark_access(&t.pt, &late, write));
		pgt_settle_merge(&t.pt, LARGE, 2 * LARGE, merged.free_tables);
		pgt_free_tables(&t.pt, merged.free_tables);
		assert_true(pgt_lookup(&t.pt, LARGE, &leaf));
		assert_int_equal(leaf.shift, 21);
		assert_true(leaf.value & t.d->accessed);
		assert_int_equal(leaf.dirty, write);
		/* The other leaf has not been used. */
		assert_true(pgt_lookup(&t.pt, 2 * LARGE, &leaf));
		assert_int_equal(leaf.shift, 21);
		assert_false(leaf.value & (t.d->accessed | t.d->dirty));
		close_tables(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(one_table),
		ON_EACH_FORMAT(a_huge_page),
		ON_EACH_FORMAT(only_what_the_range_covers),
		ON_EACH_FORMAT(refused),
		ON_EACH_FORMAT(not_after_an_access),
		ON_EACH_FORMAT(bits_set_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
