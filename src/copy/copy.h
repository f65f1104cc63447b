/* SPDX-License-Identifier: MIT */
/*
 * copy: the driver of the copy engine, on top of the public mapping API. The engine's
 * register manual is all it knows of the device. engine.c takes hold of an engine and
 * resets it; copy.c submits transfers and takes results.
 *
 * Counts of transfers run modulo 2^32, as the engine's do: `reaped` <= `tail` <=
 * `reaped` + ring size. Scatter lists lie in a ring of pieces of their own, in the order
 * of their transfers; `lists[slot]` is how much of it the transfer of a ring slot
 * holds, the skipped end of the pool included. Results that were there, or had to be
 * made up, when the engine was reset wait in `kept`; together with the transfers in
 * flight they are never more than the ring has slots.
 *
 * What the engine says is not trusted with memory: its capabilities are cut down to
 * what the driver can count, and a completion is only data.
 *
 * No locks: an engine belongs to one thread at a time.
 */
#ifndef COPY_COPY_H
#define COPY_COPY_H

#include <time.h>

#include <twostep/copy.h>
#include <twostep/device.h>
#include <twostep/mapping.h>

#include "base/base.h"
#include "softdev/copy_regs.h"

/* Memory that the engine uses: whole pages, so that nothing else is shared with it. */
struct copy_area {
	uint8_t *mem;
	size_t size;
	dma_addr_t addr;
	enum dma_data_direction dir;
	bool sync; /* the CPU and the engine do not see the same bytes by themselves */
};

struct ts_copy {
	struct dma_dev *dev;
	bool stepped; /* the device works only when dma_dev_step() is called */
	bool broken; /* a reset failed */
	unsigned int order;
	uint32_t max_pieces;
	uint64_t max_bytes;

	struct copy_area ring;
	struct copy_area done;
	struct copy_area pool;
	uint32_t tail;
	uint32_t reaped;

	uint32_t *lists; /* a ring slot each */
	uint64_t *cookies; /* a ring slot each */
	uint32_t pool_pieces;
	uint32_t pool_next;
	uint32_t pool_used;

	struct ts_copy_result *kept;
	uint32_t kept_first;
	uint32_t nr_kept;
};

static inline uint32_t copy_ring_size(const struct ts_copy *copy)
{
	return 1u << copy->order;
}

static inline uint32_t copy_slot(const struct ts_copy *copy, uint32_t index)
{
	return index & (copy_ring_size(copy) - 1);
}

static inline void copy_area_to_device(struct ts_copy *copy, const struct copy_area *area,
				       size_t offset, size_t len)
{
	if (area->sync)
		dma_sync_single_range_for_device(copy->dev, area->addr, offset, len, area->dir);
}

static inline void copy_area_to_cpu(struct ts_copy *copy, const struct copy_area *area,
				    size_t offset, size_t len)
{
	if (area->sync)
		dma_sync_single_range_for_cpu(copy->dev, area->addr, offset, len, area->dir);
}

static inline uint64_t copy_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void copy_nap(uint64_t ns)
{
	struct timespec length = {0, (long)ns};

	nanosleep(&length, NULL);
}

/* copy.c: the next completion, if it is there; its slot and lists are free again. */
bool copy_reap(struct ts_copy *copy, struct ts_copy_result *result);
/* copy.c: the oldest transfer is over: its slot and its lists are free again. */
void copy_retire(struct ts_copy *copy);
/* engine.c: the STATUS register; 0xff, a state that no engine has, if it cannot be read. */
uint32_t copy_engine_status(struct ts_copy *copy);

#endif
