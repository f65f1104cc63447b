/* SPDX-License-Identifier: MIT */
/* Memory that is allocated for a device: coherent memory, pages, noncontiguous memory. */
#include "debug/parts.h"

typedef unsigned long long ull;

static const struct {
	const char *alloc;
	const char *free;
} names[] = {
	[BASE_BLOCK_COHERENT] = {"dma_alloc_coherent()", "dma_free_coherent()"},
	[BASE_BLOCK_PAGES] = {"dma_alloc_pages()", "dma_free_pages()"},
	[BASE_BLOCK_NONCONTIGUOUS] = {"dma_alloc_noncontiguous()", "dma_free_noncontiguous()"},
};

static uint64_t kind_of(uint64_t head)
{
	return (head & RANGE_LIFE_MASK) >> RANGE_LIFE_SHIFT;
}

const char *debug_alloc_name(uint64_t head)
{
	return names[kind_of(head)].alloc;
}

const char *debug_free_name(uint64_t head)
{
	return names[kind_of(head)].free;
}

static uint64_t head_of(const struct dma_dev *dev, enum base_block kind)
{
	return ((uintptr_t)dev & POINTER_MASK) | RANGE_LIVE | RANGE_ALLOCATED |
	       (uint64_t)kind << RANGE_LIFE_SHIFT;
}

void debug_allocated(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     dma_addr_t addr, phys_addr_t phys, size_t size, enum base_block kind,
		     enum dma_data_direction dir, unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = debug_slot(debug);
	uint64_t now = debug_now(), pfn = addr >> GRANULE_SHIFT;
	const struct debug_range made = {
		.head = head_of(dev, kind),
		.addr = addr,
		.size = size,
		.memory = phys,
		.made = site_word(caller, dir, attrs),
		.made_time = now,
		.ended = RANGE_CHECKED,
	};
	struct debug_chunk *chunk = NULL;

	debug_event(debug, slot, DMA_DEBUG_ALLOCATED, addr, size, phys, now, caller);
	if (debug->translates)
		chunk = debug_chunk(debug, slot, pfn, true);
	if (!chunk) {
		if (debug->translates || !direct_add(debug, &made))
			debug_incomplete(debug, caller, dev, "an allocation");
		return;
	}
	chunk_touch(chunk, pfn);
	range_begin(chunk_range(chunk, pfn), &made);
}

/* One free: what was asked, as a record would have it. */
struct ending {
	struct debug *debug;
	const void *caller;
	struct dma_dev *dev;
	struct debug_range asked;
};

static struct debug_finding finding_of(const struct ending *ending, enum dma_debug_kind kind,
				       const struct debug_range *range)
{
	return (struct debug_finding){
		.kind = kind,
		.dev = ending->dev,
		.addr = ending->asked.addr,
		.size = ending->asked.size,
		.phys = range ? range->memory : 0,
		.caller = ending->caller,
		.origin = range ? site_caller(range->made) : NULL,
	};
}

/* Nothing will be freed, because the CPU address is of nothing. */
static __cold void end_unknown(const struct ending *ending)
{
	struct debug_finding finding = finding_of(ending, DMA_DEBUG_FREE_UNKNOWN, NULL);
	struct debug *debug = ending->debug;
	ull addr = ending->asked.addr, size = ending->asked.size;
	struct debug_range other;

	/* A table that is unknown has no address that could be looked for. */
	if (ending->asked.addr == DMA_MAPPING_ERROR) {
		finding.brief = true;
		debug_report(debug, &finding,
			     "free of %llu bytes, of which nothing is known; free each allocation "
			     "once, by what the call returned",
			     size);
		return;
	}
	if (debug_live_at(debug, ending->asked.addr, &other)) {
		finding = finding_of(ending, DMA_DEBUG_FREE_CPU_ADDR, &other);
		if (!(other.head & RANGE_ALLOCATED)) {
			finding.kind = DMA_DEBUG_FREE_FUNCTION;
			debug_report(debug, &finding,
				     "free of %llu bytes at 0x%llx, which was %s; end it with %s",
				     size, addr,
				     other.head & RANGE_STREAMING ? "mapped" : "reserved",
				     other.head & RANGE_SG	    ? "dma_unmap_sg_attrs()"
				     : other.head & RANGE_STREAMING ? "dma_unmap_phys()"
								    : "dma_iova_destroy()");
			return;
		}
		debug_report(debug, &finding,
			     "free of %llu bytes at 0x%llx with a CPU address that is not its; "
			     "pass the one that %s returned",
			     size, addr, debug_alloc_name(other.head));
		return;
	}
	if (!debug_knows(debug))
		return;
	if (debug_dead_at(debug, ending->asked.addr, &other) && other.head & RANGE_ALLOCATED &&
	    other.addr == ending->asked.addr) {
		finding.origin = site_caller(other.ended);
		debug_report(debug, &finding,
			     "free of %llu bytes at 0x%llx, which were freed before; free each "
			     "allocation once",
			     size, addr);
		return;
	}
	debug_report(debug, &finding,
		     "free of %llu bytes at 0x%llx, where nothing is allocated; pass the addresses "
		     "that the allocating call gave",
		     size, addr);
}

static __cold void differ(const struct ending *ending, const struct debug_range *range)
{
	struct debug_finding finding = finding_of(ending, DMA_DEBUG_WRONG_DEVICE, range);
	uint64_t head = ending->asked.head ^ range->head;
	uint64_t site = site_differs(range->made, ending->asked.made);
	ull addr = range->addr;
	char was[ATTRS_TEXT], is[ATTRS_TEXT];

	if (head & POINTER_MASK)
		debug_report(ending->debug, &finding,
			     "free of 0x%llx for a device that it was not allocated for; pass the "
			     "device that the allocating call got",
			     addr);
	finding.kind = DMA_DEBUG_FREE_FUNCTION;
	if (head & RANGE_LIFE_MASK)
		debug_report(ending->debug, &finding,
			     "free of 0x%llx, which is of %s, with %s; end it with %s", addr,
			     debug_alloc_name(range->head), debug_free_name(ending->asked.head),
			     debug_free_name(range->head));
	finding.kind = DMA_DEBUG_FREE_SIZE;
	if (range->size != ending->asked.size)
		debug_report(ending->debug, &finding,
			     "free of %llu bytes at 0x%llx, where %llu bytes are allocated; pass "
			     "the same size",
			     (ull)ending->asked.size, addr, (ull)range->size);
	finding.kind = DMA_DEBUG_FREE_CPU_ADDR;
	if (range->addr != ending->asked.addr)
		debug_report(ending->debug, &finding,
			     "free with the CPU address of the memory at 0x%llx and the DMA "
			     "address 0x%llx; pass both as the allocating call gave them",
			     addr, (ull)ending->asked.addr);
	/* The table of a noncontiguous allocation has its attributes for itself. */
	if (head & RANGE_LIFE_MASK || kind_of(range->head) == BASE_BLOCK_NONCONTIGUOUS)
		site &= KEY_DIR;
	finding.kind = DMA_DEBUG_DIRECTION;
	if (site & KEY_DIR && !(head & RANGE_LIFE_MASK))
		debug_report(ending->debug, &finding,
			     "free of 0x%llx with %s, which was allocated with %s; pass the same "
			     "direction",
			     addr, debug_dir_name(site_dir(ending->asked.made)),
			     debug_dir_name(site_dir(range->made)));
	finding.kind = DMA_DEBUG_ATTRS;
	if (site & ~KEY_DIR)
		debug_report(ending->debug, &finding,
			     "free of 0x%llx with %s, which was allocated with %s; pass the same "
			     "attributes",
			     addr, debug_attrs_text(site_attrs(ending->asked.made), is, sizeof(is)),
			     debug_attrs_text(site_attrs(range->made), was, sizeof(was)));
}

/* The live record of what will be freed, which then is a dead one. */
static bool end_range(const struct ending *ending, dma_addr_t freed, struct debug_range *was)
{
	struct debug *debug = ending->debug;
	struct debug_range asked = ending->asked, *range;
	struct debug_chunk *chunk;

	if (!debug->translates) {
		asked.addr = freed;
		return direct_take(debug, &asked, was);
	}
	chunk = debug_chunk(debug, debug_slot(debug), freed >> GRANULE_SHIFT, false);
	if (!chunk)
		return false;
	range = chunk_range(chunk, freed >> GRANULE_SHIFT);
	range_copy(was, range);
	if (!(was->head & RANGE_LIVE) || !(was->head & RANGE_ALLOCATED) || was->addr != freed)
		return false;
	range_end(range, was->head, ending->caller, asked.ended_time);
	return true;
}

void debug_deallocating(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			dma_addr_t addr, dma_addr_t freed, size_t size, enum base_block kind,
			enum dma_data_direction dir, unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	uint64_t now = debug_now();
	const struct ending ending = {
		.debug = debug,
		.caller = caller,
		.dev = dev,
		.asked = {.head = head_of(dev, kind),
			  .addr = addr,
			  .size = size,
			  .made = site_word(caller, dir, attrs),
			  .ended = (uint64_t)(uintptr_t)caller & POINTER_MASK,
			  .ended_time = now},
	};
	struct debug_range was;

	if (freed == DMA_MAPPING_ERROR) {
		end_unknown(&ending);
		return;
	}
	/* Without a record nothing can be compared: memory for it was short. */
	if (end_range(&ending, freed, &was) &&
	    ((was.head ^ ending.asked.head) & (POINTER_MASK | RANGE_LIFE_MASK) ||
	     was.addr != addr || was.size != size || site_differs(was.made, ending.asked.made)))
		differ(&ending, &was);
	debug_event(debug, debug_slot(debug), DMA_DEBUG_DEALLOCATED, freed, size, 0, now, caller);
}
