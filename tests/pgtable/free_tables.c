/* SPDX-License-Identifier: MIT */
/* No table is lost, none is freed twice, and none is freed while it is used. */
#include "tables.h"

static size_t list_length(const struct tables *t, const uint64_t *list)
{
	size_t n = 0;

	while (list) {
		uint32_t next = t->pool.memory.next[((uintptr_t)list - t->pool.memory.base) / PAGE];

		list = next ? (uint64_t *)(uintptr_t)(t->pool.memory.base + (next - 1) * PAGE)
			    : NULL;
		n++;
	}
	return n;
}

/* One table for each large page, emptied again but for the unlinks of the caller. */
static void many_tables(struct tables *t, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		link_at(t, HUGE_PAGE + i * LARGE, PHYS, PAGE);
		unlink_at(t, HUGE_PAGE + i * LARGE, PAGE, 0);
	}
}

/* Empty tables stay for the next link, as long as they are not too many. */
static void kept_then_dropped(void **state)
{
	struct pgt_removed removed;
	struct tables t;
	uint64_t gen;

	open_tables(&t, *state);
	many_tables(&t, 100);
	link_at(&t, HUGE_PAGE, PHYS, PAGE);
	removed = unlink_at(&t, HUGE_PAGE, LARGE, 0);
	assert_int_equal(removed.nr_free_tables, 0);
	many_tables(&t, PGT_KEEP_TABLES + 10);
	assert_counted(&t);
	assert_true(t.pt.tables > PGT_KEEP_TABLES);

	/* Not by part of what it translates, not with a mark, not with a leaf left. */
	link_at(&t, HUGE_PAGE, PHYS, PAGE);
	assert_int_equal(unlink_at(&t, HUGE_PAGE, LARGE - PAGE, 0).nr_free_tables, 0);
	link_at(&t, HUGE_PAGE, PHYS, PAGE);
	assert_int_equal(unlink_at(&t, HUGE_PAGE, LARGE, 1).nr_free_tables, 0);
	assert_int_equal(unlink_at(&t, HUGE_PAGE, LARGE, 0).nr_free_tables, 0);
	pgt_unmark(&t.pt, HUGE_PAGE, LARGE, 0);

	link_at(&t, HUGE_PAGE, PHYS, PAGE);
	gen = t.gen_watch;
	pgt_unlink(&t.pt, NULL, HUGE_PAGE, LARGE, 0, &removed);
	assert_int_equal(removed.nr_free_tables, 1);
	assert_int_equal(list_length(&t, removed.free_tables), 1);
	assert_true(t.gen_watch > gen);
	assert_int_equal(t.pool.out, t.pt.tables + 1);
	pgt_free_tables(&t.pt, removed.free_tables);
	assert_counted(&t);
	close_tables(&t);
}

/* Lists of every length, joined in every way, come back whole. */
static void joined_lists(void **state)
{
	struct tables t;

	open_tables(&t, *state);
	many_tables(&t, PGT_KEEP_TABLES + 400);
	for (uint64_t a = 0, at = HUGE_PAGE; a < 5; a++) {
		for (uint64_t b = 0; b < 5; b++) {
			struct pgt_removed first = {0}, second = {0};
			uint64_t out = t.pool.out, *all;

			if (a)
				pgt_unlink(&t.pt, NULL, at, a * LARGE, 0, &first);
			at += a * LARGE;
			if (b)
				pgt_unlink(&t.pt, NULL, at, b * LARGE, 0, &second);
			at += b * LARGE;
			assert_int_equal(list_length(&t, first.free_tables), a);
			assert_int_equal(list_length(&t, second.free_tables), b);
			all = pgt_join_tables(&t.pt, first.free_tables, second.free_tables);
			assert_int_equal(list_length(&t, all), a + b);
			pgt_free_tables(&t.pt, all);
			assert_int_equal(t.pool.out, out - a - b);
			assert_counted(&t);
		}
	}
	close_tables(&t);
}

struct owner {
	struct tables *t;
	uint64_t refused_at; /* addresses that somebody else has */
	uint64_t taken, given;
	uint64_t invalidated, out;
};

static bool take(void *arg, uint64_t first, uint64_t size)
{
	struct owner *owner = arg;

	assert_int_equal(size, LARGE);
	assert_int_equal(first % LARGE, 0);
	if (first == owner->refused_at)
		return false;
	owner->taken++;
	return true;
}

static void give(void *arg, uint64_t first, uint64_t size)
{
	struct owner *owner = arg;

	(void)first;
	assert_int_equal(size, LARGE);
	assert_int_equal(++owner->given, owner->taken);
}

static void invalidate(void *arg, uint64_t first, uint64_t last)
{
	struct owner *owner = arg;

	/* Unhooked before, freed only afterwards. */
	assert_int_equal(last, first + LARGE - 1);
	assert_int_equal(owner->given, owner->taken - 1);
	assert_int_equal(owner->t->pool.out, owner->t->pt.tables + 1);
	assert_nothing(owner->t, first);
	owner->invalidated++;
}

static void reclaimed(void **state)
{
	const struct pgt_reclaim_ops ops = {.take = take, .give = give, .invalidate = invalidate};
	struct tables t;
	struct owner owner = {.t = &t, .refused_at = HUGE_PAGE + 3 * LARGE};
	uint64_t sum, gen;

	open_tables(&t, *state);
	many_tables(&t, 20);
	many_tables(&t, 5);
	link_at(&t, HUGE_PAGE + 7 * LARGE + 9 * PAGE, PHYS, PAGE);
	link_at(&t, HUGE_PAGE + 9 * LARGE, PHYS, PAGE);
	unlink_at(&t, HUGE_PAGE + 9 * LARGE, PAGE, 1);
	link_at(&t, HUGE_PAGE + 100 * LARGE, PHYS, LARGE);
	link_at(&t, 3 * HUGE_PAGE, PHYS, HUGE_PAGE);
	sum = sum_all(&t);
	gen = t.gen_watch;
	/* Not the one with a leaf, nor with a mark, nor what somebody else has. */
	assert_int_equal(pgt_reclaim(&t.pt, &ops, &owner, &owner), 17);
	assert_int_equal(owner.invalidated, 17);
	assert_int_equal(owner.given, owner.taken);
	assert_int_equal(sum_all(&t), sum);
	assert_true(t.gen_watch > gen);
	assert_counted(&t);
	assert_int_equal(pgt_reclaim(&t.pt, &ops, &owner, &owner), 0);
	owner.refused_at = 0;
	assert_int_equal(pgt_reclaim(&t.pt, &ops, &owner, &owner), 1);
	/* The addresses are as good as new. */
	link_at(&t, HUGE_PAGE, PHYS, 7 * LARGE + 9 * PAGE);
	assert_leaf(&t, HUGE_PAGE + 7 * LARGE, PHYS + 7 * LARGE, 12);
	close_tables(&t);
}

/* Random links and unlinks of all sizes: the pool and the count agree at every step. */
static void counted_at_random(void **state)
{
	uint64_t random = random_seed();
	struct tables t;

	open_tables(&t, *state);
	many_tables(&t, PGT_KEEP_TABLES);
	for (unsigned int i = 0; i < 3000; i++) {
		uint64_t page = next_random(&random) % (3 * 512 * 512);
		uint64_t len = (1 + next_random(&random) % 1500) * PAGE;
		uint64_t iova = HUGE_PAGE + page * PAGE;

		if (next_random(&random) % 3 == 0) {
			iova = align_down(iova, LARGE);
			len = align_up(len, LARGE);
		}
		if (next_random(&random) % 2) {
			if (next_random(&random) % 50 == 0)
				t.pool.fail_at = t.pool.asked + 1 + next_random(&random) % 3;
			try_link(&t, NULL, iova, PHYS + iova, len);
			t.pool.fail_at = 0;
		} else {
			unlink_at(&t, iova, 3 * len, next_random(&random) % 8 == 0);
			if (next_random(&random) % 4 == 0)
				pgt_unmark(&t.pt, iova, 3 * len, 0);
		}
		assert_counted(&t);
	}
	unlink_at(&t, 0, 8 * HUGE_PAGE, 0);
	pgt_unmark(&t.pt, 0, 8 * HUGE_PAGE, 0);
	assert_int_equal(sum_all(&t), 0);
	close_tables(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(kept_then_dropped),
		ON_EACH_FORMAT(joined_lists),
		ON_EACH_FORMAT(reclaimed),
		ON_EACH_FORMAT(counted_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
