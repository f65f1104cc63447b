/* SPDX-License-Identifier: MIT */
/* A thread that finds no place of its own, because so many others have one, does as well. */
#include <pthread.h>

#include "base/base.h"
#include "setup.h"

static pthread_barrier_t arrived, leave;

static void *take_a_place(void *arg)
{
	base_thread_claim();
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&leave);
	return arg;
}

static void work(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1), *other = pages_new(4, 0x80);
	struct phys_vec vec[2] = {{virt_to_phys(memory), PAGE},
				  {virt_to_phys(memory + 3 * PAGE), 9}};
	struct dma_iova_state iova;
	struct dma_gather gather;
	struct dma_stats stats;
	dma_addr_t addr[2];

	assert_int_equal(base_thread, 0);
	for (size_t round = 0; round < 100; round++) {
		iova = reserve(&d, 0, 4 * PAGE);
		link_at(&d, &iova, 0, memory, PAGE);
		assert_int_equal(
			dma_iova_link_vec(d.dev, &iova, vec, 2, PAGE, DMA_BIDIRECTIONAL, 0), 0);
		link_at(&d, &iova, 3 * PAGE, memory + 3 * PAGE, PAGE);
		assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 4 * PAGE), 0);
		addr[0] = dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL);
		addr[1] = dma_map_single(d.dev, memory + PAGE, 2 * PAGE, DMA_BIDIRECTIONAL);
		assert_reads(&d, iova.addr, 1);
		assert_reads(&d, iova.addr + PAGE, 1);
		assert_reads(&d, iova.addr + 2 * PAGE, 4);
		assert_reads(&d, iova.addr + 3 * PAGE, 4);
		assert_reads(&d, addr[0], 1);
		assert_reads_pages(&d, addr[1], 2, 2);
		dma_gather_begin(d.dev, &gather);
		dma_iova_unlink_gather(d.dev, &iova, 0, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
		dma_unmap_phys_gather(d.dev, addr[0], PAGE, DMA_BIDIRECTIONAL, 0, &gather);
		link_at(&d, &iova, 0, other, PAGE);
		assert_reads(&d, iova.addr, 0x80);
		dma_gather_end(&gather);
		assert_refused(&d, addr[0]);
		dma_unmap_single(d.dev, addr[1], 2 * PAGE, DMA_BIDIRECTIONAL);
		assert_refused_pages(&d, addr[1], 2);
		destroy(&d, &iova, 4 * PAGE);
		assert_refused_pages(&d, iova.addr, 4);
		dma_iova_free(d.dev, &iova);
	}
	stats = stats_of(&d);
	assert_int_equal(stats.iova_allocs, 300);
	assert_int_equal(stats.iotlb_invalidations, 400);
	device_close(&d, 100);
	free(memory);
	free(other);
}

static void without_a_place(void **state)
{
	pthread_t others[BASE_MAX_THREADS];
	pthread_attr_t attr;

	assert_int_equal(pthread_barrier_init(&arrived, NULL, BASE_MAX_THREADS + 1), 0);
	assert_int_equal(pthread_barrier_init(&leave, NULL, BASE_MAX_THREADS + 1), 0);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 128 * 1024), 0);
	for (size_t i = 0; i < BASE_MAX_THREADS; i++)
		assert_int_equal(pthread_create(&others[i], &attr, take_a_place, NULL), 0);
	pthread_barrier_wait(&arrived);
	work(state);
	pthread_barrier_wait(&leave);
	for (size_t i = 0; i < BASE_MAX_THREADS; i++)
		pthread_join(others[i], NULL);
	pthread_attr_destroy(&attr);
	pthread_barrier_destroy(&arrived);
	pthread_barrier_destroy(&leave);
}

int main(void)
{
	/* Of one format only: a thread that once had a place keeps it, and this does not matter. */
	const struct CMUnitTest tests[] = {
		{"without_a_place", without_a_place, NULL, NULL, (void *)"vtd-ss"},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
