/* SPDX-License-Identifier: MIT */
/* Table memory runs out at any table: no leaf has been stored, and the next try works. */
#include "tables.h"

static void link_fails_whole(void **state)
{
	/* Tables on three levels; entries of three sizes; across the border of the top level. */
	const uint64_t top = 512 * HUGE_PAGE, iova = top - 2 * LARGE - 7 * PAGE;
	const struct phys_vec vec[] = {
		{PHYS + 5 * PAGE, 9 * PAGE},
		{2 * PHYS + 2 * PAGE, HUGE_PAGE + LARGE},
		{3 * PHYS, PAGE + 17},
	};
	uint64_t refused = 0;

	for (uint64_t nth = 1;; nth++) {
		struct pgt_linked linked;
		struct tables t;
		uint64_t before;
		int err;

		open_tables(&t, *state);
		link_at(&t, iova - PAGE, PHYS, PAGE);
		before = sum_all(&t);
		t.pool.fail_at = t.pool.asked + nth;
		err = pgt_link(&t.pt, NULL, iova, vec, ARRAY_SIZE(vec), DMA_BIDIRECTIONAL, 0,
			       &linked);
		if (!err) {
			close_tables(&t);
			break;
		}
		refused++;
		assert_int_equal(err, -ENOMEM);
		assert_null(linked.free_tables);
		assert_int_equal(sum_all(&t), before);
		assert_counted(&t);
		/* What it got may stay; the link works as soon as there is memory. */
		assert_int_equal(pgt_link(&t.pt, NULL, iova, vec, ARRAY_SIZE(vec),
					  DMA_BIDIRECTIONAL, 0, &linked),
				 0);
		assert_leaf(&t, iova, PHYS + 5 * PAGE, 12);
		unlink_at(&t, iova, HUGE_PAGE + LARGE + 11 * PAGE, 0);
		assert_int_equal(sum_all(&t), before);
		close_tables(&t);
	}
	assert_in_range(refused, 4, 600);
}

static void single_pages_fail_whole(void **state)
{
	struct phys_vec *vec = calloc(2000, sizeof(*vec));
	uint64_t refused = 0;

	for (uint64_t i = 0; i < 2000; i++)
		vec[i] = (struct phys_vec){PHYS + i * 2 * PAGE, PAGE};
	for (uint64_t nth = 1;; nth++) {
		struct pgt_cursor cursor = {0};
		struct pgt_linked linked;
		struct tables t;
		int err;

		open_tables(&t, *state);
		t.pool.fail_at = t.pool.asked + nth;
		err = pgt_link(&t.pt, &cursor, LARGE - PAGE, vec, 2000, DMA_BIDIRECTIONAL,
			       PGT_ATTR_PAGES, &linked);
		if (!err) {
			for (uint64_t i = 0; i < 2000; i++)
				assert_leaf(&t, LARGE - PAGE + i * PAGE, vec[i].paddr, 12);
			close_tables(&t);
			break;
		}
		refused++;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(sum_all(&t), 0);
		close_tables(&t);
	}
	/* A table on each of two levels, and five of the lowest. */
	assert_int_equal(refused, 2 + 5);
	free(vec);
}

static void root(void **state)
{
	struct tables t;
	struct pgtable pt;

	open_tables(&t, *state);
	t.pool.fail_at = t.pool.asked + 1;
	assert_int_equal(pgt_init(&pt, *state, &t.pool.memory, &t.gen_watch), -ENOMEM);
	close_tables(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(link_fails_whole),
		ON_EACH_FORMAT(single_pages_fail_whole),
		ON_EACH_FORMAT(root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
