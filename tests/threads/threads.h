/* SPDX-License-Identifier: MIT */
/* What tests of concurrency share: devices, threads, memory, one transaction. */
#ifndef TESTS_THREADS_THREADS_H
#define TESTS_THREADS_THREADS_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/bus.h>
#include <twostep/device.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>
#include <twostep/memory.h>

#include "../race.h"
#include "../slow.h"

#define PAGE ((size_t)4096)

/* cmocka's assertions belong to the main thread; this one to any. */
#define require(condition)                                                                 \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, \
				#condition, dma_last_error());                             \
			_Exit(3);                                                          \
		}                                                                          \
	} while (0)

static inline struct dma_dev *open_device_mask(const char *uri, unsigned int bits)
{
	struct dma_dev *dev;

	require(!dma_dev_open(uri, &dev));
	require(!dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits)));
	return dev;
}

static inline struct dma_dev *open_device(const char *uri)
{
	return open_device_mask(uri, 48);
}

static inline struct dma_stats stats_of(struct dma_dev *dev)
{
	struct dma_stats stats;

	require(!dma_space_stats(dma_dev_space(dev), &stats));
	return stats;
}

/* Close a space's last device, when nothing may be left in it and nothing went wrong. */
static inline void close_clean(struct dma_dev *dev)
{
	struct dma_stats stats = stats_of(dev);

	require(!stats.iova_live);
	require(!stats.bytes_mapped);
	require(!stats.misuse);
	dma_dev_close(dev);
}

static inline pthread_t start(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;

	require(!pthread_create(&thread, NULL, run, arg));
	return thread;
}

static inline void join(pthread_t thread)
{
	require(!pthread_join(thread, NULL));
}

static inline uint64_t random_seed(void)
{
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)(uintptr_t)&given >> 4 | 1;

	print_message("TWOSTEP_SEED=%#llx\n", (unsigned long long)seed);
	return seed ? seed : 1;
}

static inline uint8_t *memory_of(size_t pages)
{
	uint8_t *memory = aligned_alloc(PAGE, pages * PAGE);

	require(memory);
	return memory;
}

/* Each page tells who filled it and which it is. */
static inline void sign_pages(uint8_t *memory, size_t pages, uint64_t who)
{
	for (size_t i = 0; i < pages; i++)
		memcpy(memory + i * PAGE, &(uint64_t[]){who, i}, 16);
}

/* The device finds the pages @addr shows, from number @first on, to be @who's. */
static inline void require_signed(struct dma_port *port, dma_addr_t addr, size_t first,
				  size_t pages, uint64_t who)
{
	uint64_t found[2];

	for (size_t i = 0; i < pages; i++) {
		require(!dma_bus_read(port, addr + i * PAGE, found, sizeof(found)));
		require(found[0] == who && found[1] == first + i);
	}
}

static inline void require_refused(struct dma_port *port, dma_addr_t addr, size_t pages)
{
	uint8_t byte;

	for (size_t i = 0; i < pages; i++)
		require(dma_bus_read(port, addr + i * PAGE, &byte, 1) == -EFAULT);
}

/* @pages of @memory in backward order, so that nothing merges. */
static inline void backward(struct phys_vec *vec, const uint8_t *memory, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + (pages - 1 - i) * PAGE), PAGE};
}

#endif
