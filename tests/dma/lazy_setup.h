/* SPDX-License-Identifier: MIT */
/* What the tests of lazy unmapping share. */
#ifndef TESTS_DMA_LAZY_SETUP_H
#define TESTS_DMA_LAZY_SETUP_H

#include <unistd.h>

#include "dma/lazy.h"
#include "setup.h"

/* The timer does nothing, so that what is queued stays queued and can be counted. */
static inline struct device lazy_open(void **state, const char *options)
{
	char all[96];

	dma_lazy_hold_timer(true);
	snprintf(all, sizeof(all), ",lazy=on%s", options);
	return soft_open(state, all);
}

static inline void lazy_close(struct device *d, uint64_t misuse)
{
	device_close(d, misuse);
	assert_false(dma_lazy_timer_runs());
	dma_lazy_hold_timer(false);
}

static inline dma_addr_t map(const struct device *d, void *memory, size_t size)
{
	dma_addr_t addr = dma_map_single(d->dev, memory, size, DMA_BIDIRECTIONAL);

	assert_int_not_equal(addr, DMA_MAPPING_ERROR);
	return addr;
}

static inline void unmap(const struct device *d, dma_addr_t addr, size_t size)
{
	dma_unmap_single(d->dev, addr, size, DMA_BIDIRECTIONAL);
}

static inline uint64_t invalidations(const struct device *d)
{
	return stats_of(d).iotlb_invalidations;
}

static inline void flush(const struct device *d)
{
	assert_int_equal(dma_space_flush(d->space), 0);
}

static inline bool reaches(const struct device *d, dma_addr_t addr)
{
	uint8_t byte;

	return !dma_bus_read(d->port, addr, &byte, 1);
}

/* Whether the timer, which is not held, takes the device's access in the end. */
static inline bool is_taken_in_time(const struct device *d, dma_addr_t addr)
{
	for (unsigned int tries = 0; tries < 60000; tries++) {
		if (!reaches(d, addr))
			return true;
		usleep(1000);
	}
	return false;
}

#endif
