/* SPDX-License-Identifier: MIT */
/* Closing a space in which something is live: told, counted, and safe. */
#include <pthread.h>

#include <twostep/bounce.h>

#include "setup.h"

static void what_is_left_is_counted(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova[3];
	uint64_t leaks = dma_leak_count();

	/* A mapping, a reservation with nothing, some or all linked, and what is long gone. */
	assert_int_not_equal(dma_map_single(d.dev, memory, 3 * PAGE, DMA_TO_DEVICE),
			     DMA_MAPPING_ERROR);
	for (size_t i = 0; i < COUNT(iova); i++)
		iova[i] = reserve(&d, 0, 4 * PAGE);
	link_at(&d, &iova[1], PAGE, memory, PAGE);
	link_at(&d, &iova[2], 0, memory, 4 * PAGE);
	dma_unmap_single(d.dev, dma_map_single(d.dev, memory, PAGE, DMA_TO_DEVICE), PAGE,
			 DMA_TO_DEVICE);
	dma_clear_error();
	dma_dev_close(d.dev);
	assert_int_equal(dma_leak_count(), leaks + 4);
	assert_string_not_equal(dma_last_error(), "");
	free(memory);
}

static void only_the_last_device_closes_the_space(void **state)
{
	struct device d = soft_open(state, "");
	uint64_t leaks = dma_leak_count();
	struct dma_dev *second;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &second), 0);
	reserve(&d, 0, PAGE);
	dma_clear_error();
	dma_dev_close(d.dev);
	assert_int_equal(dma_leak_count(), leaks);
	assert_string_equal(dma_last_error(), "");
	dma_dev_close(second);
	assert_int_equal(dma_leak_count(), leaks + 1);
	assert_string_not_equal(dma_last_error(), "");
}

static void nothing_is_left(void **state)
{
	struct device d = soft_open(state, ""), direct = device_open("direct:");
	struct dma_iova_state iova = reserve(&d, 0, 100 * PAGE);
	uint64_t leaks = dma_leak_count();
	uint8_t byte;

	dma_map_single(direct.dev, &byte, 1, DMA_TO_DEVICE);
	dma_iova_free(d.dev, &iova);
	dma_clear_error();
	dma_dev_close(d.dev);
	dma_dev_close(direct.dev);
	dma_dev_close(NULL);
	assert_int_equal(dma_leak_count(), leaks);
	assert_string_equal(dma_last_error(), "");
}

/* Registered memory is free once the space that leaked it is gone. */
static void leaked_memory_can_be_withdrawn(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .cpu = memory, .fd = -1};
	phys_addr_t base;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_not_equal(dma_map_resource(d.dev, base, PAGE, DMA_TO_DEVICE, 0),
			     DMA_MAPPING_ERROR);
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	dma_dev_close(d.dev);
	assert_int_equal(dma_memory_unregister(base), 0);
	free(memory);
}

/* Buffers come back too, those as well that are linked where nothing is reserved any more. */
static void leaked_buffers_come_back(void **state)
{
	const struct dma_bounce_desc desc = {.size = DMA_BOUNCE_SEGMENT};
	struct device d = soft_open(state, ",bounce=force");
	struct dma_iova_state live = reserve(&d, 0, PAGE), freed = reserve(&d, 0, PAGE);
	uint8_t *memory = pages_new(1, 1);
	struct dma_bounce_stats stats;
	struct dma_bounce *pool;

	assert_int_equal(dma_bounce_create(&desc, &pool), 0);
	assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
	assert_int_not_equal(dma_map_single(d.dev, memory, 5, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	dma_iova_free(d.dev, &freed);
	link_at(&d, &live, 0, memory, PAGE);
	link_at(&d, &freed, 0, memory, PAGE);
	dma_bounce_stats(pool, &stats);
	assert_true(stats.used > 2 * PAGE);
	dma_dev_close(d.dev);
	dma_bounce_stats(pool, &stats);
	assert_int_equal(stats.used, 0);
	assert_int_equal(dma_bounce_destroy(pool), 0);
	assert_int_equal(dma_leak_count(), d.leaks + 2);
	free(memory);
}

#define THREADS 4
#define ROUNDS 50

static void *leak_here(void *arg)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct dma_iova_state iova;
		struct dma_dev *dev;

		if (dma_dev_open(arg, &dev))
			return NULL;
		for (unsigned int n = 0; n < 8; n++)
			dma_iova_try_alloc(dev, &iova, 0, 4096);
		dma_dev_close(dev);
		(void)dma_leak_count();
	}
	return arg;
}

/* Spaces are closed by several threads at once. */
static void spaces_that_close_at_once(void **state)
{
	uint64_t leaks = dma_leak_count();
	pthread_t threads[THREADS];
	char uri[64];
	void *result;

	snprintf(uri, sizeof(uri), "soft:pgtable=%s", (const char *)*state);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, leak_here, uri), 0);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_non_null(result);
	}
	assert_int_equal(dma_leak_count(), leaks + THREADS * ROUNDS * 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(what_is_left_is_counted),
		EACH_FORMAT(only_the_last_device_closes_the_space),
		EACH_FORMAT(nothing_is_left),
		EACH_FORMAT(leaked_memory_can_be_withdrawn),
		EACH_FORMAT(leaked_buffers_come_back),
		EACH_FORMAT(spaces_that_close_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
