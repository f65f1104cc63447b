/* SPDX-License-Identifier: MIT */
/* Threads at different offsets of one state, which is bounced as soon as one of them bounces. */
#include <pthread.h>

#include "bounce.h"

#define THREADS 4
#define ROUNDS 300

struct worker {
	const struct device *d;
	struct dma_iova_state *iova;
	size_t first; /* granule; 4 of them are this thread's */
	unsigned int wrong;
};

static void *link_and_unlink(void *arg)
{
	struct worker *w = arg;
	uint8_t *pages = aligned_alloc(PAGE, 4 * PAGE), byte;

	for (unsigned int round = 0; pages && round < ROUNDS; round++) {
		for (size_t i = 0; i < 4; i++) {
			/* Every other one is whole, and goes the short way if it can. */
			size_t size = i % 2 ? PAGE : 0x100 + i, offset = (w->first + i) * PAGE;

			memset(pages + i * PAGE, (int)(round + i) % 255 + 1, PAGE);
			w->wrong += dma_iova_link(w->d->dev, w->iova,
						  virt_to_phys(pages + i * PAGE), offset, size,
						  DMA_BIDIRECTIONAL, 0) != 0;
			w->wrong += dma_iova_sync(w->d->dev, w->iova, offset, size) != 0;
			byte = 0;
			w->wrong += dma_bus_read(w->d->port, w->iova->addr + offset, &byte, 1) != 0;
			w->wrong += byte != (round + i) % 255 + 1;
			w->wrong += dma_iova_size(w->iova) != 4 * THREADS * PAGE;
			byte = (uint8_t)(0x80 + i);
			w->wrong += dma_bus_write(w->d->port, w->iova->addr + offset, &byte, 1) !=
				    0;
		}
		for (size_t i = 0; i < 4; i++) {
			size_t size = i % 2 ? PAGE : 0x100 + i;

			dma_iova_unlink(w->d->dev, w->iova, (w->first + i) * PAGE, size,
					DMA_BIDIRECTIONAL, 0);
			w->wrong += pages[i * PAGE] != 0x80 + i;
			w->wrong += pages[i * PAGE + 1] != (round + i) % 255 + 1;
		}
	}
	free(pages);
	return NULL;
}

static void threads_at_different_offsets(void **state)
{
	static const char *const options[] = {",untrusted", ",bounce=force"};

	for (size_t o = 0; o < COUNT(options); o++) {
		struct device d = soft_open(state, options[o]);
		struct dma_iova_state iova = reserve(&d, 0, 4 * THREADS * PAGE);
		struct worker workers[THREADS];
		pthread_t threads[THREADS];

		for (size_t i = 0; i < THREADS; i++) {
			workers[i] = (struct worker){&d, &iova, 4 * i, 0};
			assert_int_equal(
				pthread_create(&threads[i], NULL, link_and_unlink, &workers[i]), 0);
		}
		for (size_t i = 0; i < THREADS; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			assert_int_equal(workers[i].wrong, 0);
		}
		assert_int_equal(dma_iova_size(&iova), 4 * THREADS * PAGE);
		assert_int_equal(lent(NULL), 0);
		dma_iova_free(d.dev, &iova);
		device_close(&d, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(threads_at_different_offsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
