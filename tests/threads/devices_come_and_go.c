/* SPDX-License-Identifier: MIT */
/* Devices are opened, work and are closed in a space in which others map all the time. */
#include "transaction.h"

#define RESIDENTS 2
#define VISITORS 2
#define VISITS (400 / SLOW)

struct resident {
	struct dma_dev *dev;
	uint64_t random;
	bool *stop;
};

static void *stay(void *arg)
{
	struct resident *resident = arg;
	uint8_t *memory = memory_of(TRANSACTION_PAGES);

	sign_pages(memory, TRANSACTION_PAGES, 1);
	while (!flag_is_set(resident->stop))
		transaction(resident->dev, memory, 1, next_random(&resident->random), NULL);
	free(memory);
	return NULL;
}

static void *visit(void *arg)
{
	struct dma_dev *host = arg;
	uint8_t *memory = memory_of(TRANSACTION_PAGES);

	sign_pages(memory, TRANSACTION_PAGES, 2);
	for (uint64_t i = 0; i < VISITS; i++) {
		struct dma_dev *dev;

		require(!dma_dev_open_in(i % 2 ? "soft:iotlb=4" : "soft:copy", dma_dev_space(host),
					 &dev));
		transaction(dev, memory, 2, i << 9 | (i & 7), NULL);
		dma_dev_close(dev);
	}
	free(memory);
	return NULL;
}

static void visitors(void **state)
{
	struct dma_dev *host = open_device("soft:");
	struct resident residents[RESIDENTS];
	pthread_t staying[RESIDENTS], visiting[VISITORS];
	uint64_t seed = random_seed();
	bool stop = false;

	(void)state;
	for (unsigned int i = 0; i < RESIDENTS; i++) {
		residents[i] = (struct resident){host, seed + i, &stop};
		staying[i] = start(stay, &residents[i]);
	}
	for (unsigned int i = 0; i < VISITORS; i++)
		visiting[i] = start(visit, host);
	for (unsigned int i = 0; i < VISITORS; i++)
		join(visiting[i]);
	set_flag(&stop);
	for (unsigned int i = 0; i < RESIDENTS; i++)
		join(staying[i]);
	assert_int_equal(stats_of(host).faults, 0);
	close_clean(host);
}

static void *own_space(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < VISITS / 4; i++) {
		struct dma_dev *dev = open_device("soft:tables=64");
		uint8_t *memory = memory_of(TRANSACTION_PAGES);

		sign_pages(memory, TRANSACTION_PAGES, 3);
		transaction(dev, memory, 3, i, NULL);
		free(memory);
		close_clean(dev);
	}
	return NULL;
}

/* Threads end while others' spaces, in which they have caches, close. */
static void spaces_come_and_go(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (unsigned int round = 0; round < 4; round++) {
		for (unsigned int i = 0; i < 4; i++)
			threads[i] = start(own_space, NULL);
		for (unsigned int i = 0; i < 4; i++)
			join(threads[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(visitors),
		cmocka_unit_test(spaces_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
