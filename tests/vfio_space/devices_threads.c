/* SPDX-License-Identifier: MIT */
/* Threads open and close devices, in spaces of their own and in one that they share. */
#include <pthread.h>

#include "setup.h"

#include "../slow.h"

#define THREADS 4
#define ROUNDS (200 / SLOW + 1)

struct opener {
	const char *scheme;
	struct dma_space *shared; /* NULL: a space of its own */
	unsigned int number;
	int function;
	uint8_t *memory;
	unsigned int wrong;
};

static void name_device(unsigned int number, char bdf[16])
{
	snprintf(bdf, 16, "0000:%02x:00.0", 0x10 + number);
}

static void *open_and_close(void *arg)
{
	struct opener *opener = arg;
	char bdf[16], uri[64];

	name_device(opener->number, bdf);
	snprintf(uri, sizeof(uri), "%s:%s", opener->scheme, bdf);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct dma_iova_state iova;
		struct dma_dev *dev;

		if (opener->shared ? dma_dev_open_in(uri, opener->shared, &dev)
				   : dma_dev_open(uri, &dev)) {
			fprintf(stderr, "%s: %s\n", uri, dma_last_error());
			opener->wrong++;
			continue;
		}
		dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
		opener->wrong += !dma_iova_try_alloc(dev, &iova, 0, 4 * PAGE);
		opener->wrong += !!dma_iova_link(dev, &iova, virt_to_phys(opener->memory), 0,
						 4 * PAGE, DMA_BIDIRECTIONAL, 0);
		opener->wrong += !!dma_iova_sync(dev, &iova, 0, 4 * PAGE);
		opener->wrong += fake_reach(opener->function, iova.addr, 4 * PAGE, true) !=
				 opener->memory;
		dma_iova_destroy(dev, &iova, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
		dma_dev_close(dev);
	}
	return NULL;
}

static void run(const char *scheme, struct dma_space *shared)
{
	struct opener openers[THREADS];
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		char bdf[16];

		name_device(i, bdf);
		openers[i] = (struct opener){
			.scheme = scheme,
			.shared = shared,
			.number = i,
			.function = plug(bdf, 20 + (int)i),
			.memory = pages_new(4),
		};
	}
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &openers[i]), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(openers[i].wrong, 0);
		pages_free(openers[i].memory, 4);
	}
}

static void test_own_spaces(void **state)
{
	if (!fake_start(NULL))
		exit(77);
	run(*state, NULL);
	machine_stop();
}

static void test_one_space(void **state)
{
	struct card card = card_open(state, NULL);

	run(card.scheme, card.space);
	card_close(&card, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_WAY(test_own_spaces),
		EACH_WAY(test_one_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
