/* SPDX-License-Identifier: MIT */
/*
 * Thousands of threads that live for one transaction: numbers, slots and cached addresses
 * come back, and the library's memory stays as it is.
 */
#include "base/base.h"
#include "transaction.h"

#define TOGETHER 4
#define THREADS (4000 / SLOW)

static uint8_t *memory;
static unsigned int highest; /* number that a thread has had */

static void *live_shortly(void *arg)
{
	struct dma_dev *dev = arg;

	unsigned int seen = __atomic_load_n(&highest, __ATOMIC_RELAXED);

	for (uint64_t i = 0; i < 4; i++)
		transaction(dev, memory, 1, i << 9 | i, NULL);
	require(base_thread);
	while (base_thread > seen &&
	       !__atomic_compare_exchange_n(&highest, &seen, base_thread, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
	return NULL;
}

static void run_threads(struct dma_dev *dev, unsigned int nr)
{
	pthread_t threads[TOGETHER];

	for (unsigned int i = 0; i < nr; i += TOGETHER) {
		for (unsigned int j = 0; j < TOGETHER; j++)
			threads[j] = start(live_shortly, dev);
		for (unsigned int j = 0; j < TOGETHER; j++)
			join(threads[j]);
	}
}

static void churn(unsigned int bits)
{
	struct dma_dev *dev = open_device_mask("soft:", bits);
	struct dma_iova_state all;
	uint64_t metadata;

	memory = memory_of(TRANSACTION_PAGES);
	sign_pages(memory, TRANSACTION_PAGES, 1);
	run_threads(dev, 64);
	metadata = stats_of(dev).metadata_bytes;
	run_threads(dev, THREADS);
	/* Ended threads' numbers were given to new ones. */
	assert_in_range(highest, 1, 4 * TOGETHER);
	assert_int_equal(stats_of(dev).iova_live, 0);
	assert_in_range(stats_of(dev).metadata_bytes, 0, metadata + metadata / 4);
	/* Half of all addresses in one piece: nothing of it is held back. */
	assert_true(dma_iova_try_alloc(dev, &all, 0, (size_t)1 << (bits - 1)));
	dma_iova_free(dev, &all);
	free(memory);
	close_clean(dev);
}

static void in_a_large_space(void **state)
{
	(void)state;
	churn(40);
}

static void in_a_small_space(void **state)
{
	(void)state;
	/* 511 granules: a few threads' caches would hold them all. */
	churn(21);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_a_large_space),
		cmocka_unit_test(in_a_small_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
