/* SPDX-License-Identifier: MIT */
/* A link takes the largest entries that alignment and unit allow, and sees what is in its way. */
#include "tables.h"

static void largest_by_alignment(void **state)
{
	static const struct {
		uint64_t iova, phys, len;
		unsigned int shift; /* of the entry at the beginning */
	} cases[] = {
		{PAGE, PHYS, PAGE, 12},
		{LARGE, PHYS, LARGE - PAGE, 12},
		{LARGE, PHYS, LARGE, 21},
		{LARGE, PHYS + PAGE, LARGE, 12},
		{LARGE + PAGE, PHYS + PAGE, LARGE - PAGE, 12},
		{LARGE, PHYS, 3 * LARGE, 21},
		{HUGE_PAGE, PHYS, HUGE_PAGE - PAGE, 21},
		{HUGE_PAGE, PHYS, HUGE_PAGE, 30},
		{HUGE_PAGE, PHYS + LARGE, HUGE_PAGE, 21},
		{HUGE_PAGE, PHYS + PAGE, LARGE, 12},
		{LARGE, PHYS, HUGE_PAGE, 21},
	};
	struct tables t;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t last = cases[i].len - PAGE;
		struct pgt_removed removed;

		open_tables(&t, *state);
		link_at(&t, cases[i].iova, cases[i].phys, cases[i].len);
		assert_leaf(&t, cases[i].iova, cases[i].phys, cases[i].shift);
		for (unsigned int shift = 12; shift <= 30; shift += 9)
			if (last >> shift << shift == last)
				assert_true(pgt_lookup(&t.pt, cases[i].iova + last,
						       &(struct pgt_leaf){0}));
		assert_nothing(&t, cases[i].iova - PAGE);
		assert_nothing(&t, cases[i].iova + cases[i].len);
		removed = unlink_at(&t, cases[i].iova, cases[i].len, 0);
		assert_int_equal(removed.bytes, cases[i].len);
		assert_false(removed.cut);
		assert_false(removed.hole);
		assert_int_equal(sum_all(&t), 0);
		close_tables(&t);
	}
}

/* 4 KiB up to the first border, then 2 MiB, 1 GiB, 2 MiB, and 4 KiB again. */
static void all_sizes_in_one_link(void **state)
{
	uint64_t before = LARGE + 3 * PAGE, after = 2 * LARGE + 5 * PAGE;
	uint64_t iova = 2 * HUGE_PAGE - before, phys = PHYS - before;
	const struct phys_vec vec = {phys, before + HUGE_PAGE + after};
	struct pgt_linked linked;
	struct tables t;

	open_tables(&t, *state);
	assert_int_equal(pgt_link(&t.pt, NULL, iova, &vec, 1, DMA_BIDIRECTIONAL, 0, &linked), 0);
	assert_int_equal(linked.entries, 3 + 1 + 1 + 2 + 5);
	assert_leaf(&t, iova, phys, 12);
	assert_leaf(&t, iova + 3 * PAGE, phys + 3 * PAGE, 21);
	assert_leaf(&t, 2 * HUGE_PAGE + 12345, PHYS + 12345, 30);
	assert_leaf(&t, 3 * HUGE_PAGE, PHYS + HUGE_PAGE, 21);
	assert_leaf(&t, 3 * HUGE_PAGE + after - 1, PHYS + HUGE_PAGE + after - 1, 12);
	assert_nothing(&t, iova - 1);
	assert_nothing(&t, 3 * HUGE_PAGE + after);
	close_tables(&t);
}

/* Pieces that follow each other in memory are one unit; others never share an entry. */
static void units_of_a_vector(void **state)
{
	struct phys_vec *vec = calloc(1025, sizeof(*vec));
	struct pgt_linked linked;
	struct tables t;

	for (int pages = 0; pages < 2; pages++) {
		unsigned long attrs = pages ? PGT_ATTR_PAGES : 0;

		/* Contiguous: one large entry wherever the piece borders are. */
		open_tables(&t, *state);
		for (uint64_t i = 0; i < 1024; i++)
			vec[i] = (struct phys_vec){PHYS + i * PAGE, PAGE};
		assert_int_equal(
			pgt_link(&t.pt, NULL, LARGE, vec, 1024, DMA_BIDIRECTIONAL, attrs, &linked),
			0);
		assert_int_equal(linked.entries, 2);
		assert_leaf(&t, LARGE, PHYS, 21);
		assert_leaf(&t, 2 * LARGE, PHYS + LARGE, 21);
		close_tables(&t);

		/* Two pages change places: no entry may span them, whatever its ends look like. */
		open_tables(&t, *state);
		vec[3].paddr = PHYS + 4 * PAGE;
		vec[4].paddr = PHYS + 3 * PAGE;
		assert_int_equal(
			pgt_link(&t.pt, NULL, LARGE, vec, 1024, DMA_BIDIRECTIONAL, attrs, &linked),
			0);
		assert_int_equal(linked.entries, 512 + 1);
		assert_leaf(&t, LARGE, PHYS, 12);
		assert_leaf(&t, LARGE + 3 * PAGE, PHYS + 4 * PAGE, 12);
		assert_leaf(&t, LARGE + 4 * PAGE, PHYS + 3 * PAGE, 12);
		assert_leaf(&t, 2 * LARGE, PHYS + LARGE, 21);
		close_tables(&t);

		/* Contiguous, and the run begins in the middle of a table. */
		open_tables(&t, *state);
		for (uint64_t i = 0; i < 1025; i++)
			vec[i] = (struct phys_vec){PHYS + (i + 511) * PAGE, PAGE};
		assert_int_equal(pgt_link(&t.pt, NULL, 2 * LARGE - PAGE, vec, 1025,
					  DMA_BIDIRECTIONAL, attrs, &linked),
				 0);
		assert_int_equal(linked.entries, 1 + 2);
		close_tables(&t);
	}
	free(vec);
}

/* Whatever is linked, at any level, is in the way of a link at any level, and stays. */
static void overlap_at_every_level(void **state)
{
	static const uint64_t sizes[] = {PAGE, LARGE, HUGE_PAGE};
	struct tables t;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			/* The first, the last and one inside, of the larger one. */
			uint64_t larger = sizes[i > j ? i : j], smaller = sizes[i > j ? j : i];
			uint64_t places[] = {0, larger - smaller, larger / 2 / smaller * smaller};

			for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
				uint64_t there = 2 * HUGE_PAGE + (i > j ? 0 : places[k]);
				uint64_t iova = 2 * HUGE_PAGE + (i > j ? places[k] : 0);
				uint64_t sum;

				open_tables(&t, *state);
				link_at(&t, there, PHYS, sizes[i]);
				sum = sum_all(&t);
				assert_int_equal(try_link(&t, NULL, iova, 2 * PHYS, sizes[j]),
						 -EADDRINUSE);
				/* Also as the last part of a longer link. */
				assert_int_equal(try_link(&t, NULL, iova - 3 * PAGE,
							  2 * PHYS - 3 * PAGE, sizes[j] + 3 * PAGE),
						 -EADDRINUSE);
				assert_int_equal(sum_all(&t), sum);
				assert_leaf(&t, there, PHYS, 12 + 9 * (unsigned int)i);
				close_tables(&t);
			}
		}
	}
}

/* A large entry takes the place of tables that are empty, and they are freed. */
static void large_entry_over_empty_tables(void **state)
{
	const struct phys_vec vec = {PHYS, HUGE_PAGE};
	struct pgt_linked linked;
	struct tables t;
	uint64_t gen;

	open_tables(&t, *state);
	for (uint64_t i = 0; i < 20; i++)
		link_at(&t, HUGE_PAGE + i * 2 * LARGE, PHYS, PAGE);
	assert_int_equal(try_link(&t, NULL, HUGE_PAGE, PHYS, HUGE_PAGE), -EADDRINUSE);
	unlink_at(&t, HUGE_PAGE, HUGE_PAGE, 0);
	assert_int_equal(t.pt.tables, 3 + 20);
	gen = t.gen_watch;
	assert_int_equal(pgt_link(&t.pt, NULL, HUGE_PAGE, &vec, 1, DMA_BIDIRECTIONAL, 0, &linked),
			 0);
	assert_int_equal(linked.entries, 1);
	assert_int_equal(linked.nr_free_tables, 21);
	assert_true(t.gen_watch > gen);
	assert_int_equal(t.pt.tables, 2);
	/* They come back only when the caller says so: a walker may be inside. */
	assert_int_equal(t.pool.out, 23);
	pgt_free_tables(&t.pt, linked.free_tables);
	assert_leaf(&t, HUGE_PAGE + 12345, PHYS + 12345, 30);
	close_tables(&t);
}

static void what_an_entry_cannot_hold(void **state)
{
	struct tables t;
	uint64_t end;

	open_tables(&t, *state);
	end = pgt_format_phys_end(*state);
	assert_int_equal(try_link(&t, NULL, LARGE, end, PAGE), -ERANGE);
	assert_int_equal(try_link(&t, NULL, LARGE, end - PAGE, 2 * PAGE), -ERANGE);
	assert_int_equal(try_link(&t, NULL, LARGE, 0 - PAGE, PAGE), -ERANGE);
	assert_int_equal(t.pt.tables, 1);
	link_at(&t, LARGE, end - PAGE, PAGE);
	assert_leaf(&t, LARGE, end - PAGE, 12);
	/* And what the table does not translate. */
	assert_int_equal(pgt_walk(&t.pt, pgt_format_last(*state) + 1, &(struct pgt_leaf){0}),
			 PGT_WALK_ADDRESS);
	link_at(&t, pgt_format_last(*state) & ~(PAGE - 1), PHYS, PAGE);
	assert_leaf(&t, pgt_format_last(*state), PHYS + PAGE - 1, 12);
	unlink_at(&t, pgt_format_last(*state) & ~(PAGE - 1), PAGE, 0);
	assert_nothing(&t, pgt_format_last(*state));
	close_tables(&t);
}

static void rights(void **state)
{
	const struct phys_vec vec = {PHYS, PAGE};
	bool write_only = *state == (void *)(uintptr_t)&pgt_vtd_ss;
	struct pgt_linked linked;
	struct pgt_leaf leaf;
	struct tables t;

	open_tables(&t, *state);
	assert_int_equal(pgt_link(&t.pt, NULL, PAGE, &vec, 1, DMA_TO_DEVICE, 0, &linked), 0);
	assert_int_equal(pgt_link(&t.pt, NULL, 2 * PAGE, &vec, 1, DMA_FROM_DEVICE, 0, &linked), 0);
	assert_int_equal(pgt_link(&t.pt, NULL, 3 * PAGE, &vec, 1, DMA_NONE, 0, &linked),
			 -EOPNOTSUPP);
	assert_true(pgt_lookup(&t.pt, PAGE, &leaf));
	assert_int_equal(leaf.access, PGT_READ);
	assert_true(pgt_lookup(&t.pt, 2 * PAGE, &leaf));
	assert_int_equal(leaf.access, write_only ? PGT_WRITE : PGT_READ | PGT_WRITE);
	assert_nothing(&t, 3 * PAGE);
	close_tables(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(largest_by_alignment),
		ON_EACH_FORMAT(all_sizes_in_one_link),
		ON_EACH_FORMAT(units_of_a_vector),
		ON_EACH_FORMAT(overlap_at_every_level),
		ON_EACH_FORMAT(large_entry_over_empty_tables),
		ON_EACH_FORMAT(what_an_entry_cannot_hold),
		ON_EACH_FORMAT(rights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
