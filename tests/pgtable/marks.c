/* SPDX-License-Identifier: MIT */
/* Marks say whose they are: who ends late takes no other's away. */
#include "tables.h"

#define MINE 7
#define THEIRS PGT_MARK_MAX

static void mark_at(struct tables *t, uint64_t iova, uint64_t size, uint64_t mark)
{
	struct pgt_removed removed;

	pgt_unlink(&t->pt, NULL, iova, size, mark, &removed);
}

static void only_the_owner_takes_a_mark_away(void **state)
{
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, LARGE, PHYS, 4 * PAGE);
	mark_at(&t, LARGE, 2 * PAGE, MINE);
	mark_at(&t, LARGE + 2 * PAGE, 2 * PAGE, THEIRS);
	pgt_unmark(&t.pt, LARGE, 4 * PAGE, MINE);
	assert_int_equal(pgt_linked(&t.pt, NULL, LARGE, 2 * PAGE), 0);
	assert_int_equal(pgt_linked(&t.pt, NULL, LARGE + 2 * PAGE, PAGE), PGT_LINKED_MARK);
	assert_int_equal(pgt_linked(&t.pt, NULL, LARGE + 3 * PAGE, PAGE), PGT_LINKED_MARK);
	pgt_unmark(&t.pt, LARGE, 4 * PAGE, THEIRS);
	assert_int_equal(pgt_linked(&t.pt, NULL, LARGE, 4 * PAGE), 0);
	close_tables(&t);
}

static void a_large_mark_has_an_owner_too(void **state)
{
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, LARGE, LARGE, LARGE);
	mark_at(&t, LARGE, LARGE, MINE);
	pgt_unmark(&t.pt, LARGE, LARGE, THEIRS);
	assert_int_equal(pgt_linked(&t.pt, NULL, LARGE, LARGE), PGT_LINKED_MARK);
	pgt_unmark(&t.pt, LARGE, LARGE, MINE);
	assert_int_equal(pgt_linked(&t.pt, NULL, LARGE, LARGE), 0);
	close_tables(&t);
}

/* No mark is an entry that a device could use, and none looks like nothing. */
static void marks_are_not_present(void **state)
{
	static const uint64_t owners[] = {1, MINE, 0x5555555555, THEIRS};
	struct pgt_leaf leaf;
	struct tables t;

	open_tables(&t, *state);
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		link_at(&t, LARGE, PHYS, PAGE);
		mark_at(&t, LARGE, PAGE, owners[i]);
		assert_int_equal(pgt_walk(&t.pt, LARGE, &leaf), PGT_WALK_NOT_PRESENT);
		assert_int_equal(pgt_linked(&t.pt, NULL, LARGE, PAGE), PGT_LINKED_MARK);
		pgt_unmark(&t.pt, LARGE, PAGE, owners[i]);
		assert_int_equal(pgt_linked(&t.pt, NULL, LARGE, PAGE), 0);
	}
	close_tables(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(only_the_owner_takes_a_mark_away),
		ON_EACH_FORMAT(a_large_mark_has_an_owner_too),
		ON_EACH_FORMAT(marks_are_not_present),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
