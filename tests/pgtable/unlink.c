/* SPDX-License-Identifier: MIT */
/* What an unlink takes away, what it says about it, and the marks of open gathers. */
#include "tables.h"

static void assert_removed(const struct pgt_removed *removed, uint64_t first, uint64_t bytes,
			   uint64_t entries)
{
	assert_int_equal(removed->first, first);
	assert_int_equal(removed->last, first + bytes - 1);
	assert_int_equal(removed->bytes, bytes);
	assert_int_equal(removed->entries, entries);
}

static void holes(void **state)
{
	struct pgt_removed removed;
	struct tables t;

	open_tables(&t, *state);
	removed = unlink_at(&t, LARGE, HUGE_PAGE, 0);
	assert_true(removed.first > removed.last);
	assert_true(removed.hole);
	assert_int_equal(removed.bytes, 0);
	/* Three stretches in three tables, with holes before, between and after. */
	link_at(&t, LARGE - PAGE, PHYS, 3 * PAGE);
	link_at(&t, 5 * LARGE + 7 * PAGE, PHYS, PAGE);
	removed = unlink_at(&t, LARGE - PAGE, 3 * PAGE, 0);
	assert_false(removed.hole);
	assert_removed(&removed, LARGE - PAGE, 3 * PAGE, 3);
	link_at(&t, LARGE - PAGE, PHYS, 3 * PAGE);
	removed = unlink_at(&t, 0, HUGE_PAGE, 0);
	assert_true(removed.hole);
	assert_false(removed.cut);
	assert_int_equal(removed.first, LARGE - PAGE);
	assert_int_equal(removed.last, 5 * LARGE + 8 * PAGE - 1);
	assert_int_equal(removed.bytes, 4 * PAGE);
	assert_int_equal(sum_all(&t), 0);
	close_tables(&t);
}

/* Only the range goes: neighbours in the same table, and in the next ones, stay. */
static void exactly_the_range(void **state)
{
	struct tables t;

	for (uint64_t first = 505; first < 520; first++) {
		for (uint64_t pages = 1; pages < 20; pages += 3) {
			struct pgt_removed removed;

			open_tables(&t, *state);
			link_at(&t, 500 * PAGE, PHYS + 500 * PAGE, 50 * PAGE);
			removed = unlink_at(&t, first * PAGE, pages * PAGE, 0);
			assert_removed(&removed, first * PAGE, pages * PAGE, pages);
			assert_false(removed.hole);
			for (uint64_t i = 500; i < 550; i++) {
				if (i - first < pages)
					assert_nothing(&t, i * PAGE);
				else
					assert_leaf(&t, i * PAGE, PHYS + i * PAGE, 12);
			}
			close_tables(&t);
		}
	}
}

/* A large entry that the range touches goes whole, at its beginning, end, or inside. */
static void cut(void **state)
{
	static const struct {
		uint64_t first, size;
	} parts[] = {
		{0, PAGE},
		{LARGE - PAGE, PAGE},
		{17 * PAGE, 3 * PAGE},
		{LARGE / 2, LARGE / 2},
	};
	struct tables t;

	for (unsigned int mark = 0; mark < 2; mark++) {
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
			struct pgt_removed removed;

			open_tables(&t, *state);
			link_at(&t, 3 * LARGE, PHYS, LARGE);
			link_at(&t, 4 * LARGE, 2 * PHYS + PAGE, PAGE);
			removed = unlink_at(&t, 3 * LARGE + parts[i].first, parts[i].size, mark);
			assert_true(removed.cut);
			assert_false(removed.hole);
			assert_removed(&removed, 3 * LARGE, LARGE, 1);
			assert_nothing(&t, 3 * LARGE);
			assert_nothing(&t, 4 * LARGE - 1);
			assert_leaf(&t, 4 * LARGE, 2 * PHYS + PAGE, 12);
			close_tables(&t);
		}
	}
	/* The largest, from both sides; then whole, which is no cut. */
	open_tables(&t, *state);
	link_at(&t, HUGE_PAGE, PHYS, HUGE_PAGE);
	assert_true(unlink_at(&t, 2 * HUGE_PAGE - PAGE, 2 * PAGE, 0).cut);
	link_at(&t, HUGE_PAGE, PHYS, HUGE_PAGE);
	assert_true(unlink_at(&t, HUGE_PAGE - PAGE, 2 * PAGE, 0).cut);
	link_at(&t, HUGE_PAGE, PHYS, HUGE_PAGE);
	assert_false(unlink_at(&t, HUGE_PAGE, HUGE_PAGE, 0).cut);
	assert_int_equal(sum_all(&t), 0);
	close_tables(&t);
}

static unsigned int linked(struct tables *t, uint64_t iova, uint64_t size)
{
	return pgt_linked(&t->pt, NULL, iova, size);
}

/* Where a mark is nothing is translated, nothing can be linked, and unlinking is a hole. */
static void marks(void **state)
{
	static const struct {
		uint64_t at, size;
	} cases[] = {{7 * PAGE, 5 * PAGE}, {LARGE, LARGE}, {HUGE_PAGE, HUGE_PAGE}};
	struct tables t;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t at = cases[i].at, size = cases[i].size, sum;
		struct pgt_removed removed;

		open_tables(&t, *state);
		assert_int_equal(linked(&t, at, size), 0);
		link_at(&t, at, PHYS, size);
		assert_int_equal(linked(&t, at, size), PGT_LINKED_LEAF);
		unlink_at(&t, at, size, 1);
		assert_int_equal(linked(&t, at, size), PGT_LINKED_MARK);
		assert_int_equal(linked(&t, at + size - PAGE, PAGE), PGT_LINKED_MARK);
		assert_int_equal(linked(&t, at + size, 4 * PAGE), 0);
		assert_int_equal(linked(&t, at - PAGE, PAGE), 0);
		assert_nothing(&t, at);
		sum = sum_all(&t);
		/* By whatever size of entry. */
		assert_int_equal(try_link(&t, NULL, at, 2 * PHYS, PAGE), -ESTALE);
		assert_int_equal(try_link(&t, NULL, at + size - PAGE, 2 * PHYS, 2 * PAGE), -ESTALE);
		assert_int_equal(try_link(&t, NULL, align_down(at, LARGE), 2 * PHYS, LARGE),
				 -ESTALE);
		assert_int_equal(try_link(&t, NULL, align_down(at, HUGE_PAGE), 2 * PHYS, HUGE_PAGE),
				 -ESTALE);
		/* A leaf besides weighs more: no invalidation makes room. */
		link_at(&t, at + size, 2 * PHYS + PAGE, PAGE);
		assert_int_equal(linked(&t, at, size + PAGE), PGT_LINKED_LEAF | PGT_LINKED_MARK);
		unlink_at(&t, at + size, PAGE, 0);
		assert_int_equal(sum_all(&t), sum);
		removed = unlink_at(&t, at, size, 0);
		assert_true(removed.hole);
		assert_int_equal(removed.bytes, 0);
		assert_int_equal(sum_all(&t), sum);

		pgt_unmark(&t.pt, at, size, 0);
		assert_int_equal(linked(&t, at, size), 0);
		assert_int_equal(sum_all(&t), 0);
		link_at(&t, at, 2 * PHYS, size);
		assert_leaf(&t, at, 2 * PHYS, 12 + 9 * (unsigned int)i);
		close_tables(&t);
	}
}

/* Taking marks away leaves leaves and tables alone. */
static void unmark_takes_only_marks(void **state)
{
	struct tables t;
	uint64_t sum;

	open_tables(&t, *state);
	link_at(&t, LARGE + 5 * PAGE, PHYS, 10 * PAGE);
	link_at(&t, 2 * LARGE, PHYS, LARGE);
	link_at(&t, HUGE_PAGE, PHYS, HUGE_PAGE);
	sum = sum_all(&t);
	pgt_unmark(&t.pt, 0, 4 * HUGE_PAGE, 0);
	assert_int_equal(sum_all(&t), sum);
	unlink_at(&t, LARGE + 7 * PAGE, 2 * PAGE, 1);
	assert_int_not_equal(sum_all(&t), sum);
	/* Up to the mark, and from behind it. */
	pgt_unmark(&t.pt, LARGE, 7 * PAGE, 0);
	pgt_unmark(&t.pt, LARGE + 9 * PAGE, LARGE, 0);
	assert_int_equal(linked(&t, LARGE + 7 * PAGE, 2 * PAGE), PGT_LINKED_MARK);
	pgt_unmark(&t.pt, LARGE, LARGE, 0);
	link_at(&t, LARGE + 7 * PAGE, PHYS + 2 * PAGE, 2 * PAGE);
	assert_int_equal(sum_all(&t), sum);
	close_tables(&t);
}

/* Each gather takes its own marks away, whoever owns the addresses by now. */
static void whose_marks(void **state)
{
	static const uint64_t sizes[] = {PAGE, LARGE, HUGE_PAGE};
	struct tables t;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t at = HUGE_PAGE, size = sizes[i];

		open_tables(&t, *state);
		link_at(&t, at, PHYS, size);
		unlink_at(&t, at, size, PGT_MARK_MAX);
		assert_nothing(&t, at);
		pgt_unmark(&t.pt, at, size, 1);
		pgt_unmark(&t.pt, at, size, PGT_MARK_MAX - 1);
		assert_int_equal(linked(&t, at, size), PGT_LINKED_MARK);
		assert_int_equal(try_link(&t, NULL, at, PHYS, PAGE), -ESTALE);
		pgt_unmark(&t.pt, at, size, PGT_MARK_MAX);
		assert_int_equal(sum_all(&t), 0);
		/* 0: all that there are. */
		link_at(&t, at, PHYS, size);
		unlink_at(&t, at, size, 5);
		link_at(&t, at + size, PHYS + PAGE, PAGE);
		unlink_at(&t, at + size, PAGE, 6);
		pgt_unmark(&t.pt, at, size + PAGE, 0);
		assert_int_equal(sum_all(&t), 0);
		/* A leaf that is there by now stays. */
		link_at(&t, at, PHYS, size);
		pgt_unmark(&t.pt, at, size, 5);
		pgt_unmark(&t.pt, at, size, 0);
		assert_leaf(&t, at, PHYS, 12 + 9 * (unsigned int)i);
		close_tables(&t);
	}
}

/* The last addresses that a table translates: nothing wraps. */
static void the_last_addresses(void **state)
{
	uint64_t end = pgt_format_last(*state) + 1;
	struct pgt_removed removed;
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, end - HUGE_PAGE, PHYS, HUGE_PAGE);
	removed = unlink_at(&t, end - HUGE_PAGE, HUGE_PAGE, 1);
	assert_removed(&removed, end - HUGE_PAGE, HUGE_PAGE, 1);
	assert_int_equal(linked(&t, end - LARGE, LARGE), PGT_LINKED_MARK);
	pgt_unmark(&t.pt, end - HUGE_PAGE, HUGE_PAGE, 0);
	link_at(&t, end - 3 * PAGE, PHYS, 3 * PAGE);
	removed = unlink_at(&t, end - 2 * LARGE, 2 * LARGE, 0);
	assert_int_equal(removed.bytes, 3 * PAGE);
	assert_int_equal(removed.last, end - 1);
	close_tables(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(holes),
		ON_EACH_FORMAT(exactly_the_range),
		ON_EACH_FORMAT(cut),
		ON_EACH_FORMAT(marks),
		ON_EACH_FORMAT(unmark_takes_only_marks),
		ON_EACH_FORMAT(whose_marks),
		ON_EACH_FORMAT(the_last_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
