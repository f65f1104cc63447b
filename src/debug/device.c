/* SPDX-License-Identifier: MIT */
/* The device's side: transfers to what is not ready for them, or not there any more. */
#include <stdio.h>

#include "debug/parts.h"

typedef unsigned long long ull;

static struct debug_finding finding_of(uint32_t device, enum dma_debug_kind kind, dma_addr_t addr,
				       uint64_t size)
{
	return (struct debug_finding){
		.kind = kind,
		.number = device,
		.addr = addr,
		.size = size,
	};
}

/* Whether the granule is linked and not synced, and nobody has been told. */
static bool is_too_early(struct debug *debug, dma_addr_t addr, uint32_t word)
{
	struct debug_chunk *chunk;
	uint32_t was;

	if (likely((word & (GRANULE_LINKED | GRANULE_SYNCED | GRANULE_TOLD)) != GRANULE_LINKED))
		return false;
	chunk = debug_chunk_find(debug, addr >> GRANULE_SHIFT);
	was = __atomic_fetch_or(&chunk->granule[(addr >> GRANULE_SHIFT) % CHUNK_GRANULES],
				GRANULE_TOLD, __ATOMIC_RELAXED);
	return (was & (GRANULE_LINKED | GRANULE_SYNCED | GRANULE_TOLD)) == GRANULE_LINKED;
}

static __cold void tell_too_early(struct debug *debug, struct debug_finding *finding, uint32_t word,
				  bool write)
{
	finding->kind = DMA_DEBUG_ACCESS_BEFORE_SYNC;
	finding->origin = site_caller(debug_site_of(debug, word));
	debug_report(debug, finding,
		     "the device %s at 0x%llx, which is linked and not synced; call "
		     "dma_iova_sync() before the device is told the address",
		     write ? "writes" : "reads", (ull)finding->addr);
}

void debug_accessed(struct base_observer *observer, uint32_t device, dma_addr_t addr, bool write)
{
	struct debug *debug = debug_of(observer);
	struct debug_finding finding = finding_of(device, 0, addr, 1);
	uint32_t word = debug_granule(debug, addr, &finding.phys);

	if (unlikely(is_too_early(debug, addr, word)))
		tell_too_early(debug, &finding, word, write);
}

void debug_memory_gone(struct base_observer *observer, uint32_t device, dma_addr_t addr,
		       phys_addr_t phys, bool write)
{
	struct debug *debug = debug_of(observer);
	struct debug_finding finding = finding_of(device, DMA_DEBUG_MEMORY_GONE, addr, 1);
	struct debug_range range;
	uint32_t word;

	finding.phys = phys;
	if (debug_live_at(debug, addr, &range)) {
		finding.origin = site_caller(range.made);
		word = debug_granule(debug, addr, NULL);
		if (range.head & RANGE_TWO_STEP && word & GRANULE_LINKED)
			finding.origin = site_caller(debug_site_of(debug, word));
	}
	debug_report(debug, &finding,
		     "the device %s at 0x%llx, and its memory, 0x%llx, has gone; unlink or unmap "
		     "before memory is freed",
		     write ? "writes" : "reads", (ull)addr, (ull)phys);
}

/* Refused transfers. */

static void tell_after(struct debug *debug, struct debug_finding *finding, bool write,
		       const char *ended, const struct debug_range *range)
{
	char ago[64] = "";
	struct debug_clock clock;
	int64_t ns;

	if (range) {
		debug_clock_read(debug, &clock);
		ns = (int64_t)(finding->time_ns - debug_clock_ns(&clock, range->ended_time));
		/* The transfer may have been refused, and stamped, a moment before the end. */
		snprintf(ago, sizeof(ago), ", %.6f s before", ns > 0 ? (double)ns / 1e9 : 0);
	}
	finding->kind = DMA_DEBUG_ACCESS_AFTER;
	debug_report(debug, finding,
		     "the device %s at 0x%llx, which was %s%s; let the device finish before memory "
		     "is taken away",
		     write ? "writes" : "reads", (ull)finding->addr, ended, ago);
}

static void not_present(struct debug *debug, struct debug_finding *finding, bool write)
{
	dma_addr_t addr = finding->addr;
	uint32_t word = debug_granule(debug, addr, &finding->phys);
	struct debug_range range;

	if (debug_live_at(debug, addr, &range)) {
		if (!(range.head & RANGE_TWO_STEP))
			return;
		if (is_too_early(debug, addr, word))
			tell_too_early(debug, finding, word, write);
		if (word & GRANULE_UNLINKED) {
			finding->origin = site_caller(debug_site_of(debug, word));
			tell_after(debug, finding, write, "unlinked", NULL);
		}
		return;
	}
	if (!debug_dead_at(debug, addr, &range))
		return;
	finding->origin = site_caller(range.ended);
	if (range.head & RANGE_STREAMING) {
		finding->phys = range.head & RANGE_SG ? 0 : range.memory + (addr - range.addr);
		tell_after(debug, finding, write, "unmapped", &range);
		return;
	}
	if (range.head & RANGE_TWO_STEP && word & GRANULE_UNLINKED &&
	    !((word ^ debug_life(&range)) & GRANULE_LIFE_MASK))
		finding->origin = site_caller(debug_site_of(debug, word));
	tell_after(debug, finding, write, "freed", &range);
}

static void no_permission(struct debug *debug, struct debug_finding *finding, bool write)
{
	uint32_t word = debug_granule(debug, finding->addr, &finding->phys);
	enum dma_data_direction dir;
	struct debug_range range;
	uint64_t site;

	if (!debug_live_at(debug, finding->addr, &range))
		return;
	site = range.made;
	if (range.head & RANGE_SG)
		finding->phys = 0;
	else if (!(range.head & RANGE_TWO_STEP))
		finding->phys = range.memory + (finding->addr - range.addr);
	else if (word & GRANULE_LINKED && word & GRANULE_SITE)
		site = debug_site_of(debug, word);
	dir = site_dir(site);
	if (dir != (write ? DMA_TO_DEVICE : DMA_FROM_DEVICE))
		return;
	finding->kind = DMA_DEBUG_ACCESS_DIRECTION;
	finding->origin = site_caller(site);
	debug_report(debug, finding,
		     "the device %s at 0x%llx, which was %s with %s; use the direction of what the "
		     "device does",
		     write ? "writes" : "reads", (ull)finding->addr,
		     range.head & RANGE_TWO_STEP ? "linked" : "mapped", debug_dir_name(dir));
}

/* Where nothing is translated, a transfer is refused by memory alone. */
static void no_memory(struct base_observer *observer, struct debug_finding *finding, bool write)
{
	struct debug *debug = debug_of(observer);
	struct debug_range range;
	phys_addr_t phys;

	if (debug_live_at(debug, finding->addr, &range)) {
		phys = range.memory + (finding->addr - range.addr);
		/* It may be there, and be for reading only. */
		if (memory_is_gone(phys, 1))
			debug_memory_gone(observer, finding->number, finding->addr, phys, write);
	} else if (debug_dead_at(debug, finding->addr, &range)) {
		finding->origin = site_caller(range.ended);
		finding->phys = range.memory + (finding->addr - range.addr);
		tell_after(debug, finding, write, "unmapped", &range);
	}
}

void debug_faulted(struct base_observer *observer, const struct dma_fault *fault)
{
	struct debug *debug = debug_of(observer);
	struct debug_finding finding = finding_of(fault->device, 0, fault->addr, fault->len);

	finding.time_ns = fault->time_ns ? fault->time_ns : debug_monotonic_ns();
	if (fault->reason == DMA_FAULT_NOT_PRESENT)
		not_present(debug, &finding, fault->write);
	else if (fault->reason == DMA_FAULT_PERMISSION)
		no_permission(debug, &finding, fault->write);
	else if (fault->reason == DMA_FAULT_MEMORY && !debug->translates)
		no_memory(observer, &finding, fault->write);
}

void debug_bounce_failed(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			 phys_addr_t phys, size_t size)
{
	const struct debug_finding finding = {
		.kind = DMA_DEBUG_NO_BOUNCE,
		.dev = dev,
		.size = size,
		.phys = phys,
		.caller = caller,
		.brief = true,
	};

	debug_report(debug_of(observer), &finding,
		     "no bounce buffer is free for %zu bytes at 0x%llx; give the device a larger "
		     "pool, or memory that needs none",
		     size, (ull)phys);
}
