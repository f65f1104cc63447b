/* SPDX-License-Identifier: MIT */
/* More live threads than the library has numbers for: the rest works through the shared slot. */
#include "base/base.h"
#include "transaction.h"

#define THREADS (BASE_MAX_THREADS + 100)
#define ROUNDS (200 / SLOW)
#define STACK ((size_t)128 << 10)

struct crowd {
	struct dma_dev *dev;
	uint8_t *memory;
	pthread_barrier_t barrier;
	unsigned int unnumbered;
};

static void *join_in(void *arg)
{
	struct crowd *crowd = arg;
	struct dma_gather gather;

	transaction(crowd->dev, crowd->memory, 1, 0, NULL);
	/* All of them live, and have had their first transaction. */
	pthread_barrier_wait(&crowd->barrier);
	__atomic_fetch_add(&crowd->unnumbered, !base_thread, __ATOMIC_RELAXED);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		dma_gather_begin(crowd->dev, &gather);
		transaction(crowd->dev, crowd->memory, 1, i << 8 | (i & 7), i & 8 ? &gather : NULL);
		dma_gather_end(&gather);
	}
	pthread_barrier_wait(&crowd->barrier);
	return NULL;
}

static void start_small(pthread_t *thread, struct crowd *crowd)
{
	pthread_attr_t attr;

	require(!pthread_attr_init(&attr));
	require(!pthread_attr_setstacksize(&attr, STACK));
	require(!pthread_create(thread, &attr, join_in, crowd));
	pthread_attr_destroy(&attr);
}

static void more_than_numbers(void **state)
{
	static struct crowd crowd;
	static pthread_t threads[THREADS];

	(void)state;
	crowd = (struct crowd){.dev = open_device("soft:"), .memory = memory_of(TRANSACTION_PAGES)};
	sign_pages(crowd.memory, TRANSACTION_PAGES, 1);
	require(!pthread_barrier_init(&crowd.barrier, NULL, THREADS));
	for (unsigned int i = 0; i < THREADS; i++)
		start_small(&threads[i], &crowd);
	for (unsigned int i = 0; i < THREADS; i++)
		join(threads[i]);
	pthread_barrier_destroy(&crowd.barrier);
	assert_in_range(crowd.unnumbered, THREADS - BASE_MAX_THREADS + 1, THREADS - 1);
	assert_int_equal(stats_of(crowd.dev).iova_allocs, THREADS * (1 + ROUNDS));
	assert_int_equal(stats_of(crowd.dev).faults, 0);
	close_clean(crowd.dev);
	free(crowd.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_than_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
