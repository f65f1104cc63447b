/* SPDX-License-Identifier: MIT */
/*
 * Threads that own disjoint addresses link and unlink there, in tables that they share,
 * with no lock; device threads walk the same tables. No table is lost, no leaf is.
 */
#include "tables.h"

#define THREADS 3
#define ROUNDS 400
#define WINDOW 32 /* granules of one thread in each table */

static struct tables tables;
static pthread_barrier_t barrier;
static unsigned int running;

/* Stretches of the thread, in tables that all use; every other round in new tables. */
static uint64_t place(unsigned int thread, uint64_t round, uint64_t i)
{
	return HUGE_PAGE * (1 + round % 2 * round) + i * LARGE / 2 + thread * WINDOW * PAGE;
}

static uint64_t phys_of(unsigned int thread, uint64_t round, uint64_t i)
{
	return PHYS * (1 + thread) + (round * 64 + i * 2 + 1) * WINDOW * PAGE;
}

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void one_round(unsigned int thread, uint64_t round, struct pgt_cursor *cursor)
{
	struct pgt_removed removed;
	struct pgt_leaf leaf;

	/* All at once, so that they race for the same missing tables. */
	pthread_barrier_wait(&barrier);
	for (uint64_t i = 0; i < 8; i++)
		check(!try_link(&tables, cursor, place(thread, round, i), phys_of(thread, round, i),
				WINDOW * PAGE),
		      "a link of one's own addresses fails");
	for (uint64_t i = 0; i < 8; i++) {
		uint64_t iova = place(thread, round, i) + round % WINDOW * PAGE;

		check(pgt_lookup(&tables.pt, iova, &leaf) &&
			      leaf.phys == phys_of(thread, round, i) + round % WINDOW * PAGE,
		      "what was linked is not there");
	}
	for (uint64_t i = 0; i < 8; i++) {
		bool mark = (round + i) % 3 == 0;

		pgt_unlink(&tables.pt, cursor, place(thread, round, i), WINDOW * PAGE, mark,
			   &removed);
		check(removed.bytes == WINDOW * PAGE && !removed.hole && !removed.cut,
		      "an unlink of one's own addresses finds something else");
		if (mark)
			pgt_unmark(&tables.pt, place(thread, round, i), WINDOW * PAGE, 0);
		check(!pgt_linked(&tables.pt, cursor, place(thread, round, i), WINDOW * PAGE),
		      "something is left");
	}
}

static void *driver(void *arg)
{
	unsigned int thread = (unsigned int)(uintptr_t)arg;
	struct pgt_cursor cursor = {0};

	for (uint64_t round = 0; round < ROUNDS; round++)
		one_round(thread, round, &cursor);
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* What a device does: walk anywhere, record the access. */
static void *device(void *arg)
{
	uint64_t random = (uintptr_t)arg | 1;
	struct pgt_leaf leaf;

	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
		uint64_t i = next_random(&random) % 8, thread = next_random(&random) % THREADS;
		uint64_t iova = HUGE_PAGE + i * LARGE / 2 +
				(thread * WINDOW + next_random(&random) % WINDOW) * PAGE;

		if (!pgt_lookup(&tables.pt, iova, &leaf))
			continue;
		/* Only ever memory of the thread whose addresses they are. */
		check(leaf.phys / PHYS == thread + 1, "a walk finds memory of another thread");
		pgt_mark_access(&tables.pt, &leaf, next_random(&random) & 1);
	}
	return NULL;
}

static void disjoint_ranges_share_tables(void **state)
{
	pthread_t threads[THREADS + 1];

	open_tables(&tables, *state);
	pthread_barrier_init(&barrier, NULL, THREADS);
	running = THREADS;
	assert_int_equal(pthread_create(&threads[THREADS], NULL, device, &tables), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, driver, (void *)i), 0);
	for (unsigned int i = 0; i <= THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	/* Whoever lost a race for a table gave its own back. */
	assert_int_equal(sum_all(&tables), 0);
	close_tables(&tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(disjoint_ranges_share_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
