/* SPDX-License-Identifier: MIT */
/*
 * Who asks about all of a table owns none of its addresses: tables are unhooked, freed and
 * used again meanwhile. What stays linked is found all the same, and nothing else is.
 */
#include "tables.h"

#define ROUNDS 200
#define STAYS (40 * PHYS)
#define NEVER (50 * PHYS)

static struct tables tables;
static bool done;

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static bool in_use(void *arg, uint64_t first, uint64_t size)
{
	(void)arg;
	(void)first;
	(void)size;
	return false;
}

static void *onlooker(void *arg)
{
	const struct pgt_reclaim_ops ops = {.take = in_use};

	(void)arg;
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		check(pgt_maps_phys(&tables.pt, STAYS, STAYS + PAGE - 1),
		      "what is linked all the time is not found");
		check(!pgt_maps_phys(&tables.pt, NEVER, NEVER + HUGE_PAGE - 1),
		      "what was never linked is found");
		check(!pgt_reclaim(&tables.pt, &ops, NULL, NULL),
		      "tables are freed whose addresses could not be had");
	}
	return NULL;
}

/* A table that gives way to a larger entry still points to memory, or to tables below it. */
static void one_round(uint64_t round)
{
	uint64_t iova = HUGE_PAGE * (2 + round % 3);
	struct pgt_linked merged;

	for (uint64_t i = 0; i < 2 * 512; i++)
		link_at(&tables, iova + i * PAGE, PHYS + i * PAGE, PAGE);
	pgt_merge(&tables.pt, iova, 2 * LARGE, &merged);
	pgt_free_tables(&tables.pt, merged.free_tables);
	unlink_at(&tables, iova, 2 * LARGE, 0);
	link_at(&tables, iova + LARGE, PHYS, PAGE);
	unlink_at(&tables, iova + LARGE, PAGE, 0);
	link_at(&tables, iova, PHYS, HUGE_PAGE);
	unlink_at(&tables, iova, HUGE_PAGE, 0);
}

static void tables_go_while_others_look(void **state)
{
	pthread_t thread;

	open_tables(&tables, *state);
	link_at(&tables, HUGE_PAGE, STAYS, PAGE);
	done = false;
	assert_int_equal(pthread_create(&thread, NULL, onlooker, NULL), 0);
	for (uint64_t round = 0; round < ROUNDS; round++)
		one_round(round);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	unlink_at(&tables, HUGE_PAGE, PAGE, 0);
	assert_int_equal(sum_all(&tables), 0);
	close_tables(&tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(tables_go_while_others_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
