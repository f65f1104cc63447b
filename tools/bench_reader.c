/* SPDX-License-Identifier: MIT */
/* A device that reads all the time, and what that does to an unrelated one. */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <time.h>

#include <twostep/bus.h>

#include "bench.h"
#include "tool.h"

static void read_pages(struct bench_reader *reader, struct dma_port *port, void *page)
{
	for (unsigned int i = 0; i < BENCH_READER_PAGES; i++)
		if (dma_bus_read(port, reader->addr[i], page, POOL_PAGE))
			__atomic_store_n(&reader->failed, true, __ATOMIC_RELAXED);
	__atomic_fetch_add(&reader->passes, 1, __ATOMIC_RELAXED);
}

static void *reader_main(void *arg)
{
	struct bench_reader *reader = arg;
	struct dma_port *port = dma_dev_port(reader->dev);
	unsigned char page[POOL_PAGE];

	pin_thread(reader->cpu);
	pthread_mutex_lock(&reader->lock);
	while (!reader->quit) {
		if (!__atomic_load_n(&reader->wanted, __ATOMIC_RELAXED)) {
			reader->parked = true;
			pthread_cond_broadcast(&reader->change);
			pthread_cond_wait(&reader->change, &reader->lock);
			continue;
		}
		reader->parked = false;
		pthread_mutex_unlock(&reader->lock);
		while (__atomic_load_n(&reader->wanted, __ATOMIC_RELAXED))
			read_pages(reader, port, page);
		pthread_mutex_lock(&reader->lock);
	}
	pthread_mutex_unlock(&reader->lock);
	return NULL;
}

bool reader_open(struct bench_reader *reader, struct dma_dev *dev, int cpu)
{
	struct phys_vec vec[BENCH_READER_PAGES];
	int err;

	memset(reader, 0, sizeof(*reader));
	reader->dev = dev;
	reader->cpu = cpu;
	pthread_mutex_init(&reader->lock, NULL);
	pthread_cond_init(&reader->change, NULL);
	if (!pool_open(&reader->pool, 4 * BENCH_READER_PAGES, 3))
		return false;
	pool_scatter(&reader->pool);
	pool_vec(&reader->pool, vec, BENCH_READER_PAGES);
	for (unsigned int i = 0; i < BENCH_READER_PAGES; i++) {
		reader->addr[i] = dma_map_phys(dev, vec[i].paddr, vec[i].len, DMA_TO_DEVICE, 0);
		if (dma_mapping_error(dev, reader->addr[i])) {
			tool_say_dma("cannot map a page for the device that reads");
			return false;
		}
		reader->nr_mapped++;
	}
	err = pthread_create(&reader->thread, NULL, reader_main, reader);
	if (err)
		tool_say("cannot start the thread of the device that reads: %s", strerror(err));
	reader->running = !err;
	return !err;
}

void reader_close(struct bench_reader *reader)
{
	if (!reader->dev)
		return;
	if (reader->running) {
		pthread_mutex_lock(&reader->lock);
		reader->quit = true;
		__atomic_store_n(&reader->wanted, false, __ATOMIC_RELAXED);
		pthread_cond_broadcast(&reader->change);
		pthread_mutex_unlock(&reader->lock);
		pthread_join(reader->thread, NULL);
	}
	for (unsigned int i = 0; i < reader->nr_mapped; i++)
		dma_unmap_phys(reader->dev, reader->addr[i], POOL_PAGE, DMA_TO_DEVICE, 0);
	pthread_cond_destroy(&reader->change);
	pthread_mutex_destroy(&reader->lock);
	pool_close(&reader->pool);
	reader->dev = NULL;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t processor_ns(struct bench_reader *reader)
{
	clockid_t clock;

	return pthread_getcpuclockid(reader->thread, &clock) ? 0 : clock_ns(clock);
}

void reader_start(struct bench_reader *reader)
{
	uint64_t passes = __atomic_load_n(&reader->passes, __ATOMIC_RELAXED);

	pthread_mutex_lock(&reader->lock);
	__atomic_store_n(&reader->wanted, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&reader->change);
	pthread_mutex_unlock(&reader->lock);
	while (__atomic_load_n(&reader->passes, __ATOMIC_RELAXED) == passes)
		sched_yield();
	reader->began_ns = clock_ns(CLOCK_MONOTONIC);
	reader->began_cpu_ns = processor_ns(reader);
}

bool reader_stop(struct bench_reader *reader, bool *all_the_time)
{
	uint64_t read_ns = processor_ns(reader) - reader->began_cpu_ns;
	uint64_t passed_ns = clock_ns(CLOCK_MONOTONIC) - reader->began_ns;

	if (all_the_time)
		*all_the_time = read_ns >= passed_ns - passed_ns / 10;
	pthread_mutex_lock(&reader->lock);
	__atomic_store_n(&reader->wanted, false, __ATOMIC_RELAXED);
	while (!reader->parked)
		pthread_cond_wait(&reader->change, &reader->lock);
	pthread_mutex_unlock(&reader->lock);
	if (!__atomic_load_n(&reader->failed, __ATOMIC_RELAXED))
		return true;
	tool_say("a read of the device's own pages was refused");
	return false;
}

/* The part of an unrelated device's reads that its IOTLB serves while others map and unmap. */
bool bench_unrelated(struct bench_rig *rig, size_t pages, bool gather, double *value)
{
	struct dma_port *port = dma_dev_port(rig->unrelated);
	struct dma_port_stats before, after;
	uint64_t hits, misses;
	double ns;
	bool good;

	(void)pages;
	dma_port_stats(port, &before);
	reader_start(&rig->unrelated_reader);
	good = bench_map_unmap(rig, 1, gather, &ns);
	good = reader_stop(&rig->unrelated_reader, NULL) && good;
	dma_port_stats(port, &after);
	hits = after.iotlb_hits - before.iotlb_hits;
	misses = after.iotlb_misses - before.iotlb_misses;
	*value = (double)hits / (double)(hits + misses);
	return good;
}
