/* SPDX-License-Identifier: MIT */
/* The cursor saves the walk, and is worth nothing once a table has been unhooked. */
#include "tables.h"

static const uint64_t bits = 3; /* a leaf's rights, in both formats */

static void finds_its_table(void **state)
{
	struct pgt_cursor cursor = {0};
	struct tables t;

	open_tables(&t, *state);
	/* An empty one fits nowhere, not even at address 0 in the first generation. */
	assert_false(pgt_cursor_link(&cursor, PGT_GEN_STEP, 0, PHYS | bits));
	assert_int_equal(try_link(&t, &cursor, 3 * LARGE + PAGE, PHYS, PAGE), 0);
	assert_int_equal(cursor.base, 3 * LARGE);
	assert_ptr_equal(cursor.table, entry_at(&t, 3 * LARGE, 0));
	/* Both ends of its table, and just outside. */
	assert_true(pgt_cursor_link(&cursor, t.gen_watch, 3 * LARGE, PHYS | bits));
	assert_true(pgt_cursor_link(&cursor, t.gen_watch, 4 * LARGE - PAGE, PHYS | bits));
	assert_false(pgt_cursor_link(&cursor, t.gen_watch, 3 * LARGE - PAGE, PHYS | bits));
	assert_false(pgt_cursor_link(&cursor, t.gen_watch, 4 * LARGE, PHYS | bits));
	assert_leaf(&t, 3 * LARGE, PHYS, 12);
	assert_leaf(&t, 4 * LARGE - 1, PHYS + PAGE - 1, 12);
	/* Taken. */
	assert_false(pgt_cursor_link(&cursor, t.gen_watch, 3 * LARGE + PAGE, 2 * PHYS | bits));
	assert_leaf(&t, 3 * LARGE + PAGE, PHYS, 12);
	assert_false(pgt_cursor_empty(&cursor, t.gen_watch, 3 * LARGE));
	assert_true(pgt_cursor_empty(&cursor, t.gen_watch, 3 * LARGE + 2 * PAGE));
	assert_false(pgt_cursor_empty(&cursor, t.gen_watch, 5 * LARGE));
	assert_true(pgt_cursor_unlink(&cursor, t.gen_watch, 3 * LARGE, t.d->present));
	assert_nothing(&t, 3 * LARGE);
	assert_false(pgt_cursor_unlink(&cursor, t.gen_watch, 3 * LARGE, t.d->present));
	assert_false(pgt_cursor_unlink(&cursor, t.gen_watch, 5 * LARGE, t.d->present));
	close_tables(&t);
}

/* A mark is neither free nor linked. */
static void marks_are_respected(void **state)
{
	struct pgt_cursor cursor = {0};
	struct tables t;

	open_tables(&t, *state);
	assert_int_equal(try_link(&t, &cursor, LARGE, PHYS, 2 * PAGE), 0);
	unlink_at(&t, LARGE, PAGE, 1);
	assert_false(pgt_cursor_link(&cursor, t.gen_watch, LARGE, PHYS | bits));
	assert_false(pgt_cursor_unlink(&cursor, t.gen_watch, LARGE, t.d->present));
	assert_false(pgt_cursor_empty(&cursor, t.gen_watch, LARGE));
	assert_int_equal(pgt_linked(&t.pt, &cursor, LARGE, PAGE), PGT_LINKED_MARK);
	pgt_unmark(&t.pt, LARGE, PAGE, 0);
	assert_true(pgt_cursor_link(&cursor, t.gen_watch, LARGE, PHYS | bits));
	close_tables(&t);
}

/* Nobody makes a cursor while somebody watches: every call goes the long way. */
static void not_while_watched(void **state)
{
	struct pgt_cursor cursor = {0};
	struct tables t;

	open_tables(&t, *state);
	t.gen_watch |= 1;
	assert_int_equal(try_link(&t, &cursor, LARGE, PHYS, PAGE), 0);
	assert_null(cursor.table);
	pgt_linked(&t.pt, &cursor, LARGE, PAGE);
	assert_null(cursor.table);
	t.gen_watch &= ~1ULL;
	assert_int_equal(try_link(&t, &cursor, LARGE + PAGE, PHYS, PAGE), 0);
	assert_non_null(cursor.table);
	/* And one made before fits no more. */
	assert_false(pgt_cursor_link(&cursor, t.gen_watch | 1, LARGE + 2 * PAGE, PHYS | bits));
	close_tables(&t);
}

/*
 * The table under the cursor goes away, in each of the ways there are; whoever has the
 * cursor then does everything by a walk, and never touches the table that is gone.
 */
static void gone_by_large_leaf(struct tables *t, uint64_t iova)
{
	link_at(t, iova, PHYS, LARGE);
}

static void gone_by_huge_leaf(struct tables *t, uint64_t iova)
{
	link_at(t, align_down(iova, HUGE_PAGE), PHYS, HUGE_PAGE);
}

static void gone_by_merge(struct tables *t, uint64_t iova)
{
	struct pgt_linked merged;

	for (uint64_t i = 0; i < 512; i++)
		link_at(t, iova + i * PAGE, PHYS + i * PAGE, PAGE);
	pgt_merge(&t->pt, iova, LARGE, &merged);
	assert_int_equal(merged.entries, 1);
	pgt_free_tables(&t->pt, merged.free_tables);
}

static void gone_by_unlink(struct tables *t, uint64_t iova)
{
	for (uint64_t i = 0; i <= PGT_KEEP_TABLES; i++) {
		link_at(t, 8 * HUGE_PAGE + i * LARGE, PHYS, PAGE);
		unlink_at(t, 8 * HUGE_PAGE + i * LARGE, PAGE, 0);
	}
	assert_int_equal(unlink_at(t, iova, LARGE, 0).nr_free_tables, 1);
}

static bool take(void *arg, uint64_t first, uint64_t size)
{
	(void)arg;
	(void)first;
	(void)size;
	return true;
}

static void nothing(void *arg, uint64_t first, uint64_t size)
{
	(void)arg;
	(void)first;
	(void)size;
}

static void gone_by_reclaim(struct tables *t, uint64_t iova)
{
	const struct pgt_reclaim_ops ops = {.take = take, .give = nothing, .invalidate = nothing};

	(void)iova;
	assert_int_equal(pgt_reclaim(&t->pt, &ops, NULL, NULL), 1);
}

static void stale_is_not_used(void **state)
{
	static void (*const ways[])(struct tables * t, uint64_t iova) = {
		gone_by_large_leaf, gone_by_huge_leaf, gone_by_merge,
		gone_by_unlink,	    gone_by_reclaim,
	};
	const uint64_t iova = HUGE_PAGE + 5 * LARGE;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct pgt_cursor cursor = {0};
		struct pgt_removed removed;
		struct tables t;
		uint64_t *was, sum;

		open_tables(&t, *state);
		assert_int_equal(try_link(&t, &cursor, iova + PAGE, PHYS, PAGE), 0);
		unlink_at(&t, iova + PAGE, PAGE, 0);
		was = cursor.table;
		ways[i](&t, iova);
		assert_counted(&t);
		/* The page is at the top of the pool: the next table is it. */
		link_at(&t, 6 * HUGE_PAGE, 2 * PHYS, PAGE);
		sum = sum_all(&t);
		assert_false(pgt_cursor_link(&cursor, t.gen_watch, iova + 2 * PAGE, PHYS | bits));
		assert_false(pgt_cursor_unlink(&cursor, t.gen_watch, iova, t.d->present));
		assert_false(pgt_cursor_empty(&cursor, t.gen_watch, iova + 3 * PAGE));
		/* The calls that take a cursor see what is there. */
		if (i < 3) {
			assert_int_equal(pgt_linked(&t.pt, &cursor, iova, PAGE), PGT_LINKED_LEAF);
			assert_int_equal(try_link(&t, &cursor, iova + PAGE, 2 * PHYS, PAGE),
					 -EADDRINUSE);
			pgt_unmark(&t.pt, iova, LARGE, 0);
		} else {
			assert_int_equal(pgt_linked(&t.pt, &cursor, iova, PAGE), 0);
			pgt_unlink(&t.pt, &cursor, iova, PAGE, 0, &removed);
			assert_true(removed.hole);
		}
		assert_int_equal(sum_all(&t), sum);
		pgt_unlink(&t.pt, &cursor, iova, LARGE, 0, &removed);
		pgt_free_tables(&t.pt, removed.free_tables);
		assert_int_equal(try_link(&t, &cursor, iova + PAGE, 2 * PHYS, PAGE), 0);
		assert_leaf(&t, iova + PAGE, 2 * PHYS, 12);
		assert_leaf(&t, 6 * HUGE_PAGE, 2 * PHYS, 12);
		assert_non_null(was);
		close_tables(&t);
	}
}

/* A link that frees a table and goes on behind it does not use its own old cursor either. */
static void stale_within_one_link(void **state)
{
	struct pgt_cursor cursor = {0};
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, 3 * LARGE + 5 * PAGE, PHYS, PAGE);
	unlink_at(&t, 3 * LARGE + 5 * PAGE, PAGE, 0);
	assert_int_equal(try_link(&t, &cursor, 4 * LARGE, PHYS, PAGE), 0);
	/* Large over an empty table, then single pages where the cursor was. */
	assert_int_equal(try_link(&t, &cursor, 3 * LARGE, 2 * PHYS, LARGE), 0);
	assert_int_equal(try_link(&t, &cursor, 4 * LARGE + PAGE, 2 * PHYS, 3 * PAGE), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_leaf(&t, 4 * LARGE + PAGE + i * PAGE, 2 * PHYS + i * PAGE, 12);
	assert_leaf(&t, 3 * LARGE, 2 * PHYS, 21);
	close_tables(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(finds_its_table),       ON_EACH_FORMAT(marks_are_respected),
		ON_EACH_FORMAT(not_while_watched),     ON_EACH_FORMAT(stale_is_not_used),
		ON_EACH_FORMAT(stale_within_one_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
