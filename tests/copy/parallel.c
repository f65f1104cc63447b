/* SPDX-License-Identifier: MIT */
/*
 * Engines of one address space, each with a driver's thread of its own, do not disturb
 * each other, whatever kinds of engines they are.
 */
#include <pthread.h>

#include "setup.h"

#define WORKERS 4
#define ROUNDS 40
#define SIZE (6u * PAGE)
#define AT 40u /* in the granule */
#define LEN (SIZE - AT - 3)

struct worker {
	pthread_t thread;
	struct dma_dev *dev;
	uint8_t number;
	unsigned int wrong;
};

/* cmocka's assertions belong to the main thread: workers count. */
static unsigned int one_round(struct worker *worker, struct ts_copy *copy, uint8_t *src,
			      uint8_t *dst, uint8_t round)
{
	uint8_t byte = (uint8_t)(worker->number * 64 + round);
	struct ts_copy_result result = {.status = 1};
	unsigned int wrong = 0;
	dma_addr_t from, to;

	memset(src, byte, SIZE);
	memset(dst, 0, SIZE);
	from = dma_map_single(worker->dev, src + AT, LEN, DMA_TO_DEVICE);
	to = dma_map_single(worker->dev, dst + AT, LEN, DMA_FROM_DEVICE);
	/* A neighbour writes while the engine does. */
	memset(dst, byte, AT);
	memset(dst + AT + LEN, byte, SIZE - AT - LEN);
	if (dma_mapping_error(worker->dev, from) || dma_mapping_error(worker->dev, to))
		return 1;
	wrong += !!ts_copy_submit(copy, &(struct ts_copy_seg){from, LEN}, 1,
				  &(struct ts_copy_seg){to, LEN}, 1, byte);
	wrong += !!ts_copy_wait(copy, &result, -1);
	wrong += result.status || result.cookie != byte || result.bytes != LEN;
	dma_unmap_single(worker->dev, to, LEN, DMA_FROM_DEVICE);
	dma_unmap_single(worker->dev, from, LEN, DMA_TO_DEVICE);
	return wrong + !!memcmp(src, dst, SIZE);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	uint8_t *src = aligned_alloc(PAGE, SIZE), *dst = aligned_alloc(PAGE, SIZE);
	struct ts_copy *copy;

	if (!src || !dst || ts_copy_open(worker->dev, 8, &copy)) {
		worker->wrong = 1;
	} else {
		for (uint8_t round = 0; round < ROUNDS; round++)
			worker->wrong += one_round(worker, copy, src, dst, round);
		ts_copy_close(copy);
	}
	free(src);
	free(dst);
	return NULL;
}

static void work_together(const char *const *uris)
{
	struct worker workers[WORKERS] = {0};
	uint64_t leaks = dma_leak_count();
	struct dma_stats stats;

	assert_int_equal(dma_dev_open(uris[0], &workers[0].dev), 0);
	for (uint8_t i = 1; i < WORKERS; i++)
		assert_int_equal(
			dma_dev_open_in(uris[i], dma_dev_space(workers[0].dev), &workers[i].dev),
			0);
	for (uint8_t i = 0; i < WORKERS; i++) {
		workers[i].number = i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (uint8_t i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
	}
	assert_int_equal(dma_space_stats(dma_dev_space(workers[0].dev), &stats), 0);
	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.faults, 0);
	assert_int_equal(stats.misuse, 0);
	for (uint8_t i = 0; i < WORKERS; i++)
		dma_dev_close(workers[i].dev);
	assert_int_equal(dma_leak_count(), leaks);
}

static void engines_of_a_space(void **state)
{
	static const char *const spaces[][WORKERS] = {
		{THREADED, STEPPED, THREADED, STEPPED},
		{"soft:copy,coherent=off", "soft:copy,coherent=off", "soft:copy,coherent=off",
		 "soft:copy,coherent=off,thread=off"},
		{THREADED, "soft:copy,coherent=off", "soft:copy,untrusted",
		 "soft:copy,bounce=force"},
		{"direct:copy", "direct:copy,mask=32", "direct:copy,bounce=force",
		 "direct:copy,mask=32,thread=off"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		work_together(spaces[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engines_of_a_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
