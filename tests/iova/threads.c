/* SPDX-License-Identifier: MIT */
/* Threads that allocate, free and free for each other never share a granule. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "space.h"

#define THREADS 4
#define LAST ((1ULL << 20) + 4095)
#define HELD 64
#define BOXES 128

static uint8_t owner[LAST + 1];
/* Ranges passed on for another thread to free: pfn << 12 | pages. */
static uint64_t box[BOXES];

struct worker {
	struct iova_space *space;
	uint64_t random;
	uint64_t allocated;
	uint8_t number;
	unsigned int rounds;
};

static void set_owner(uint64_t pfn, uint64_t pages, uint8_t from, uint8_t to)
{
	uint64_t i;

	for (i = pfn; i < pfn + pages; i++) {
		uint8_t expected = from;

		if (!__atomic_compare_exchange_n(&owner[i], &expected, to, false, __ATOMIC_RELAXED,
						 __ATOMIC_RELAXED)) {
			fprintf(stderr, "granule %#llx: owner %u, not %u\n", (unsigned long long)i,
				expected, from);
			abort();
		}
	}
}

static void free_range(struct iova_space *space, struct iova_cache *cache, uint64_t pfn,
		       uint64_t pages, uint8_t from)
{
	set_owner(pfn, pages, from, 0);
	if (iova_retire(space, cache, pfn, pages, IOVA_STREAMING))
		abort();
	iova_give_back(space, cache, pfn, pages);
}

/* Leave the range in a box; free the one that was there. */
static void pass_on(struct worker *worker, struct iova_cache *cache, uint64_t pfn, uint64_t pages)
{
	uint64_t *at = &box[next_random(&worker->random) % BOXES];
	uint64_t other;

	set_owner(pfn, pages, worker->number, THREADS + 1);
	other = __atomic_exchange_n(at, pfn << 12 | pages, __ATOMIC_ACQ_REL);
	if (other)
		free_range(worker->space, cache, other >> 12, other & 0xfff, THREADS + 1);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct iova_cache *cache = cache_open(worker->space);
	uint64_t pfn[HELD] = {0};
	uint64_t pages[HELD] = {0};
	uint64_t r, limit;
	unsigned int i, n;

	for (i = 0; i < worker->rounds; i++) {
		r = next_random(&worker->random);
		n = r % HELD;
		if (pfn[n] && r >> 32 & 1) {
			pass_on(worker, cache, pfn[n], pages[n]);
			pfn[n] = 0;
		} else if (pfn[n]) {
			free_range(worker->space, cache, pfn[n], pages[n], worker->number);
			pfn[n] = 0;
		} else {
			pages[n] = r >> 40 & 7 ? 1 + (r >> 16 & 3) : 1 + (r >> 16) % 2000;
			limit = r >> 50 & 3 ? NO_LIMIT : (1ULL << 20) - 1;
			pfn[n] = iova_alloc(worker->space, r >> 60 ? cache : NULL, pages[n], 0,
					    limit, IOVA_STREAMING);
			if (pfn[n]) {
				set_owner(pfn[n], pages[n], 0, worker->number);
				worker->allocated++;
			}
		}
	}
	for (n = 0; n < HELD; n++)
		if (pfn[n])
			free_range(worker->space, cache, pfn[n], pages[n], worker->number);
	cache_close(worker->space, cache);
	return NULL;
}

/* In a space this tight every failure calls back the others' caches under their hands. */
static void run_threads(uint64_t first, uint64_t last, unsigned int rounds)
{
	struct iova_space *space = space_open(first, last);
	uint64_t seed = (uint64_t)time(NULL);
	struct worker worker[THREADS];
	pthread_t thread[THREADS];
	unsigned int i;

	printf("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){
			.space = space,
			.random = seed + i * 1000,
			.number = (uint8_t)(i + 1),
			.rounds = rounds,
		};
		assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_true(worker[i].allocated > 0);
	}
	for (i = 0; i < BOXES; i++)
		if (box[i])
			free_range(space, NULL, box[i] >> 12, box[i] & 0xfff, THREADS + 1);
	memset(box, 0, sizeof(box));
	/* Everything is back: the upper half is one block again. */
	assert_true(iova_take_at(space, (last + 1) / 2, (last + 1) / 2));
	space_close(space);
}

static void roomy_space(void **state)
{
	(void)state;
	run_threads(1, (1ULL << 20) - 1, 60000);
}

static void tight_space(void **state)
{
	(void)state;
	run_threads(1, 1023, 20000);
}

static void both_classes(void **state)
{
	struct iova_space *space = space_open((1ULL << 20) - 1024, LAST);
	struct worker worker = {.space = space, .random = 1, .number = 1, .rounds = 60000};
	struct worker other = {.space = space, .random = 2, .number = 2, .rounds = 60000};
	pthread_t thread;
	unsigned int i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, work, &other), 0);
	work(&worker);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (i = 0; i < BOXES; i++)
		if (box[i])
			free_range(space, NULL, box[i] >> 12, box[i] & 0xfff, THREADS + 1);
	memset(box, 0, sizeof(box));
	assert_true(iova_take_at(space, 1ULL << 20, 4096));
	assert_true(iova_take_at(space, (1ULL << 20) - 1024, 1024));
	space_close(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roomy_space),
		cmocka_unit_test(tight_space),
		cmocka_unit_test(both_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
