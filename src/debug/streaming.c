/* SPDX-License-Identifier: MIT */
/* Streaming mappings. The short ways are for spaces that translate, and for what is right. */
#include "debug/parts.h"

typedef unsigned long long ull;

/* Mapping. */

/* @known: it has a record, by which those of its cache lines are found again. */
__cold void debug_look_at_memory(struct debug *debug, struct debug_slot *slot, uint64_t now,
				 const struct debug_piece *piece, bool known, uint64_t *told)
{
	if (piece->attrs & DMA_ATTR_MMIO || !memory_is_good(piece->phys, piece->phys + piece->size))
		memory_check_kind(debug, piece, told);
	memory_check_there(debug, slot, now, piece);
	if (known && load(&debug->watches_lines))
		lines_add(debug, piece, told);
}

static __always_inline struct debug_range made_of(const void *caller, const struct dma_dev *dev,
						  dma_addr_t addr, phys_addr_t phys, uint64_t size,
						  enum dma_data_direction dir, unsigned long attrs,
						  uint64_t now)
{
	return (struct debug_range){
		.head = ((uintptr_t)dev & POINTER_MASK) | RANGE_LIVE | RANGE_STREAMING,
		.addr = addr,
		.size = size,
		.memory = phys,
		.made = site_word(caller, dir, attrs),
		.made_time = now,
	};
}

/* Any mapping. */
static __attribute__((__noinline__)) void note_mapped(struct base_observer *observer,
						      const void *caller, struct dma_dev *dev,
						      dma_addr_t addr, phys_addr_t phys,
						      size_t size, enum dma_data_direction dir,
						      unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = debug_slot(debug);
	uint64_t now = debug_now(), pfn = addr >> GRANULE_SHIFT;
	const struct debug_range made = made_of(caller, dev, addr, phys, size, dir, attrs, now);
	struct debug_chunk *chunk = NULL;
	bool known;

	if (likely(debug->translates))
		chunk = debug_chunk(debug, slot, pfn, true);
	if (likely(chunk)) {
		chunk_touch(chunk, pfn);
		range_begin(chunk_range(chunk, pfn), &made);
	}
	debug_event(debug, slot, DMA_DEBUG_MAPPED, addr, size, phys, now, caller);
	if (unlikely(!chunk || load(&debug->watches_lines) || attrs & DMA_ATTR_MMIO ||
		     !memory_is_good(phys, phys + size) || memory_probe_due(slot, now))) {
		const struct debug_piece piece = {caller, dev, addr, phys, size, dir, attrs, false};
		uint64_t told = 0;

		known = chunk || (!debug->translates && direct_add(debug, &made));
		if (!known)
			debug_incomplete(debug, caller, dev, "a mapping");
		debug_look_at_memory(debug, slot, now, &piece, known, &told);
	}
}

/*
 * The short ways are for calls without attributes, where the thread knows the record and
 * nothing has to be looked at.
 */
void debug_mapped(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		  dma_addr_t addr, phys_addr_t phys, size_t size, enum dma_data_direction dir,
		  unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = load(&debug->slots[base_thread]);
	uint64_t now = debug_now();
	struct debug_range made = made_of(caller, dev, addr, phys, size, dir, 0, now);
	struct debug_range *range;

	if (unlikely(!slot || attrs || load(&debug->watches_lines) ||
		     !memory_is_good(phys, phys + size) || memory_probe_due(slot, now)))
		goto any;
	range = debug_range_near(slot, addr >> GRANULE_SHIFT);
	if (unlikely(!range || !load(&range->head)))
		goto any;
	range_begin(range, &made);
	debug_event_own(slot, DMA_DEBUG_MAPPED, addr, size, phys, now, caller);
	return;
any:
	note_mapped(observer, caller, dev, addr, phys, size, dir, attrs);
}

/* Unmapping. */

#define wrong_device                                                                              \
	"%s of 0x%llx for a device that it was not mapped for; pass the device that the mapping " \
	"call got"

static void finding_of(const struct debug_unmap *unmap, enum dma_debug_kind kind,
		       struct debug_finding *finding)
{
	*finding = (struct debug_finding){
		.kind = kind,
		.dev = unmap->dev,
		.addr = unmap->asked.addr,
		.size = unmap->asked.size,
		.caller = unmap->caller,
	};
}

static __cold void unmap_unknown(const struct debug_unmap *unmap)
{
	struct debug *debug = unmap->debug;
	ull addr = unmap->asked.addr, size = unmap->asked.size;
	struct debug_range other;
	struct debug_finding finding;

	finding_of(unmap, DMA_DEBUG_UNMAP_UNKNOWN, &finding);
	if (debug_live_at(debug, unmap->asked.addr, &other)) {
		finding.origin = site_caller(other.made);
		if (other.head & RANGE_TWO_STEP) {
			finding.kind = DMA_DEBUG_UNMAP_FUNCTION;
			debug_report(debug, &finding,
				     "unmap of %llu bytes at 0x%llx, which was reserved with "
				     "dma_iova_try_alloc(); end it with dma_iova_destroy()",
				     size, addr);
			return;
		}
		finding.phys = other.memory;
		if (other.head & RANGE_ALLOCATED) {
			finding.kind = DMA_DEBUG_UNMAP_FUNCTION;
			debug_report(debug, &finding,
				     "unmap of %llu bytes at 0x%llx, which are of %s; end them "
				     "with %s",
				     size, addr, debug_alloc_name(other.head),
				     debug_free_name(other.head));
			return;
		}
		if (other.addr == unmap->asked.addr) {
			finding.kind = DMA_DEBUG_WRONG_DEVICE;
			debug_report(debug, &finding, wrong_device, "unmap", addr);
			return;
		}
		debug_report(debug, &finding,
			     "unmap of %llu bytes at 0x%llx, where no mapping begins: %llu bytes "
			     "are mapped at 0x%llx; pass the address that the mapping call gave",
			     size, addr, (ull)other.size, (ull)other.addr);
		return;
	}
	if (!debug_knows(debug))
		return;
	if (debug_dead_at(debug, unmap->asked.addr, &other) && other.head & RANGE_STREAMING &&
	    other.addr == unmap->asked.addr) {
		finding.origin = site_caller(other.ended);
		finding.phys = other.memory;
		debug_report(debug, &finding,
			     "unmap of %llu bytes at 0x%llx, which was unmapped before; unmap each "
			     "mapping once",
			     size, addr);
		return;
	}
	debug_report(debug, &finding,
		     "unmap of %llu bytes at 0x%llx, where nothing is mapped; pass the address "
		     "that the mapping call gave",
		     size, addr);
}

static __cold void unmap_direction_attrs(const struct debug_unmap *unmap,
					 const struct debug_range *range,
					 struct debug_finding *finding)
{
	unsigned long attrs = site_attrs(range->made), asked = site_attrs(unmap->asked.made);
	uint64_t differs = site_differs(range->made, unmap->asked.made);
	char was[ATTRS_TEXT], is[ATTRS_TEXT];

	if (differs & KEY_DIR) {
		finding->kind = DMA_DEBUG_DIRECTION;
		debug_report(unmap->debug, finding,
			     "unmap of 0x%llx with %s, which was mapped with %s; pass the same "
			     "direction",
			     (ull)unmap->asked.addr, debug_dir_name(site_dir(unmap->asked.made)),
			     debug_dir_name(site_dir(range->made)));
	}
	if (differs & ~KEY_DIR) {
		finding->kind = DMA_DEBUG_ATTRS;
		debug_report(unmap->debug, finding,
			     "unmap of 0x%llx with %s, which was mapped with %s; pass the same "
			     "attributes",
			     (ull)unmap->asked.addr, debug_attrs_text(asked, is, sizeof(is)),
			     debug_attrs_text(attrs, was, sizeof(was)));
	}
}

/* Of a list, another number of entries; 0 where the first of its ranges has told. */
static bool unmap_entries_differ(const struct debug_unmap *unmap, const struct debug_range *range,
				 struct debug_finding *finding)
{
	ull asked = unmap->nents, mapped = range->ended >> RANGE_NENTS_SHIFT;

	if (!asked || asked == mapped)
		return false;
	finding->kind = DMA_DEBUG_SG_ENTRIES;
	debug_report(unmap->debug, finding,
		     "unmap of %llu entries of the list at 0x%llx, which was mapped with %llu; "
		     "pass the number that was mapped",
		     asked, (ull)unmap->asked.addr, mapped);
	return true;
}

/* @range is what was mapped there, still as it was. */
static __cold void unmap_compare(const struct debug_unmap *unmap, const struct debug_range *range)
{
	struct debug *debug = unmap->debug;
	ull addr = unmap->asked.addr, size = unmap->asked.size;
	struct debug_finding finding;

	finding_of(unmap, DMA_DEBUG_WRONG_DEVICE, &finding);
	finding.origin = site_caller(range->made);
	finding.phys = range->memory;
	if ((range->head ^ unmap->asked.head) & POINTER_MASK)
		debug_report(debug, &finding, wrong_device, "unmap", addr);
	if ((range->head ^ unmap->asked.head) & RANGE_SG) {
		finding.kind = DMA_DEBUG_UNMAP_FUNCTION;
		debug_report(debug, &finding,
			     "unmap of 0x%llx, which was mapped %s; end it with %s", addr,
			     range->head & RANGE_SG ? "as part of a list" : "by itself",
			     range->head & RANGE_SG ? "dma_unmap_sg_attrs()" : "dma_unmap_phys()");
	} else if (range->head & RANGE_SG && unmap_entries_differ(unmap, range, &finding)) {
		/* Then the size is another as well. */
	} else if (range->size != size) {
		finding.kind = DMA_DEBUG_UNMAP_SIZE;
		debug_report(debug, &finding,
			     "unmap of %llu bytes at 0x%llx, where %llu bytes are mapped; pass "
			     "the same size",
			     size, addr, (ull)range->size);
	}
	unmap_direction_attrs(unmap, range, &finding);
	if ((range->head | unmap->asked.head) & RANGE_SG)
		return;
	if (range->ended != RANGE_CHECKED) {
		finding.kind = DMA_DEBUG_UNCHECKED;
		debug_report(debug, &finding,
			     "unmap of 0x%llx, for which dma_mapping_error() was never asked; ask "
			     "before the address is used",
			     addr);
	}
	if (!memory_probe_due(unmap->slot, unmap->asked.ended_time))
		return;
	store(&unmap->slot->probed, unmap->asked.ended_time);
	if (!memory_is_gone(range->memory, range->size))
		return;
	finding.kind = DMA_DEBUG_MEMORY_GONE;
	debug_report(debug, &finding,
		     "unmap of 0x%llx: its memory, 0x%llx-0x%llx, went away while it was mapped; "
		     "unmap before memory is freed",
		     addr, (ull)range->memory, (ull)(range->memory + range->size - 1));
}

/* Whether something has been unmapped. */
__cold bool debug_unmap_long(struct debug_unmap *unmap, struct debug_range *range)
{
	struct debug *debug = unmap->debug;
	struct debug_range was;

	if (unmap->asked.addr == DMA_MAPPING_ERROR) {
		struct debug_finding finding;

		finding_of(unmap, DMA_DEBUG_UNMAP_ERROR, &finding);
		finding.brief = true;
		debug_report(debug, &finding,
			     "unmap of DMA_MAPPING_ERROR: the mapping has failed, so there is "
			     "nothing to unmap; ask dma_mapping_error() after mapping");
		return false;
	}
	if (debug->translates) {
		if (range)
			range_copy(&was, range);
		if (!range || !(was.head & RANGE_LIVE) || !(was.head & RANGE_STREAMING)) {
			unmap_unknown(unmap);
			return false;
		}
		/* Behind an IOMMU that attribute makes the call do nothing. */
		if (site_attrs(unmap->asked.made) & DMA_ATTR_CC_SHARED &&
		    !(unmap->asked.head & RANGE_SG)) {
			unmap_compare(unmap, &was);
			return false;
		}
		if (was.addr != unmap->asked.addr)
			unmap_unknown(unmap);
		range_end(range, was.head, unmap->caller, unmap->asked.ended_time);
		if (was.addr != unmap->asked.addr) {
			lines_remove(debug, was.addr, was.memory, was.size);
			return true;
		}
	} else if (!direct_take(debug, &unmap->asked, &was)) {
		unmap_unknown(unmap);
		return false;
	} else if (!debug_knows(debug)) {
		/* The mapping that is meant may be another, which has no record. */
		lines_remove(debug, was.addr, was.memory, was.size);
		return true;
	}
	lines_remove(debug, was.addr, was.memory, was.size);
	unmap_compare(unmap, &was);
	return true;
}

/* Any unmap. */
static __attribute__((__noinline__)) void
note_unmapping(struct base_observer *observer, const void *caller, struct dma_dev *dev,
	       dma_addr_t addr, size_t size, enum dma_data_direction dir, unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = debug_slot(debug);
	uint64_t now = debug_now(), pfn = addr >> GRANULE_SHIFT;
	struct debug_chunk *chunk = NULL;
	struct debug_unmap unmap = {
		.debug = debug,
		.slot = slot,
		.caller = caller,
		.dev = dev,
		.asked = {.head = ((uintptr_t)dev & POINTER_MASK) | RANGE_LIVE | RANGE_STREAMING,
			  .addr = addr,
			  .size = size,
			  .made = site_word(caller, dir, attrs),
			  .ended = (uint64_t)(uintptr_t)caller & POINTER_MASK,
			  .ended_time = now},
	};

	if (likely(debug->translates))
		chunk = debug_chunk(debug, slot, pfn, false);
	if (debug_unmap_long(&unmap, chunk ? chunk_range(chunk, pfn) : NULL))
		debug_event(debug, slot, DMA_DEBUG_UNMAPPED, addr, size, 0, now, caller);
}

void debug_unmapping(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		     dma_addr_t addr, size_t size, enum dma_data_direction dir, unsigned long attrs)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = load(&debug->slots[base_thread]);
	uint64_t head = ((uintptr_t)dev & POINTER_MASK) | RANGE_LIVE | RANGE_STREAMING;
	uint64_t now = debug_now();
	struct debug_range *range;

	if (unlikely(!slot || attrs || load(&debug->watches_lines) || memory_probe_due(slot, now)))
		goto any;
	range = debug_range_near(slot, addr >> GRANULE_SHIFT);
	if (unlikely(!range || load(&range->head) != head || load(&range->addr) != addr ||
		     load(&range->size) != size || load(&range->ended) != RANGE_CHECKED ||
		     site_differs(load(&range->made), site_word(NULL, dir, 0))))
		goto any;
	range_end(range, head, caller, now);
	debug_event_own(slot, DMA_DEBUG_UNMAPPED, addr, size, 0, now, caller);
	return;
any:
	note_unmapping(observer, caller, dev, addr, size, dir, attrs);
}

void debug_checked(struct base_observer *observer, struct dma_dev *dev, dma_addr_t addr)
{
	struct debug *debug = debug_of(observer);
	struct debug_chunk *chunk;
	struct debug_range *range;

	if (!debug->translates) {
		direct_checked(debug, dev, addr);
		return;
	}
	chunk = debug_chunk(debug, debug_slot(debug), addr >> GRANULE_SHIFT, false);
	if (unlikely(!chunk))
		return;
	range = chunk_range(chunk, addr >> GRANULE_SHIFT);
	if (likely((load(&range->head) & (RANGE_LIVE | RANGE_STREAMING | RANGE_SG)) ==
			   (RANGE_LIVE | RANGE_STREAMING) &&
		   load(&range->addr) == addr))
		store(&range->ended, RANGE_CHECKED);
}

/* Syncing. */

static __cold void sync_unknown(struct debug *debug, struct debug_finding *finding)
{
	ull addr = finding->addr, size = finding->size;
	struct debug_range other;

	finding->kind = DMA_DEBUG_SYNC_UNKNOWN;
	if (debug_live_at(debug, finding->addr, &other)) {
		finding->origin = site_caller(other.made);
		if (other.head & RANGE_TWO_STEP)
			debug_report(debug, finding,
				     "sync of %llu bytes at 0x%llx, which was reserved with "
				     "dma_iova_try_alloc(); these calls are for dma_map_phys()",
				     size, addr);
		else
			debug_report(debug, finding,
				     "sync of %llu bytes at 0x%llx, outside of the mapping of %llu "
				     "bytes at 0x%llx; pass an address inside the mapping",
				     size, addr, (ull)other.size, (ull)other.addr);
		return;
	}
	if (!debug_knows(debug))
		return;
	if (debug_dead_at(debug, finding->addr, &other)) {
		finding->origin = site_caller(other.ended);
		debug_report(debug, finding,
			     "sync of %llu bytes at 0x%llx, which was %s before; sync while it is "
			     "mapped",
			     size, addr, other.head & RANGE_STREAMING ? "unmapped" : "freed");
		return;
	}
	debug_report(debug, finding,
		     "sync of %llu bytes at 0x%llx, where nothing is mapped; pass an address "
		     "inside a mapping",
		     size, addr);
}

/* The rules of the kernel: what is mapped for both ways may be synced in any. */
static __cold void sync_direction(struct debug *debug, struct debug_finding *finding,
				  enum dma_data_direction mapped, enum dma_data_direction dir,
				  bool for_device)
{
	ull addr = finding->addr;

	if (mapped == DMA_BIDIRECTIONAL || dir == mapped)
		return;
	finding->kind = DMA_DEBUG_SYNC_DIRECTION;
	debug_report(debug, finding,
		     "sync of 0x%llx with %s, which was mapped with %s; pass the same direction",
		     addr, debug_dir_name(dir), debug_dir_name(mapped));
	if (!for_device && mapped == DMA_TO_DEVICE) {
		finding->kind = DMA_DEBUG_SYNC_READ_ONLY;
		debug_report(debug, finding,
			     "sync of 0x%llx for the CPU, which was mapped with DMA_TO_DEVICE: the "
			     "device writes nothing there; leave it out, or map it with "
			     "DMA_BIDIRECTIONAL",
			     addr);
	}
	if (for_device && mapped == DMA_FROM_DEVICE) {
		finding->kind = DMA_DEBUG_SYNC_WRITE_ONLY;
		debug_report(debug, finding,
			     "sync of 0x%llx for the device, which was mapped with "
			     "DMA_FROM_DEVICE: the device reads nothing there; leave it out, or "
			     "map it with DMA_BIDIRECTIONAL",
			     addr);
	}
}

bool debug_sync(struct debug *debug, struct debug_finding *finding, enum dma_data_direction dir,
		bool for_device, struct debug_range *range)
{
	const struct debug_range like = {
		.head = (uintptr_t)finding->dev & POINTER_MASK,
		.size = finding->size,
		.made = site_word(finding->caller, dir, 0),
	};
	dma_addr_t addr = finding->addr;
	bool found;

	found = debug->translates ? debug_live_at(debug, addr, range)
				  : direct_live_at(debug, addr, &like, range);
	if (!found || range->head & RANGE_TWO_STEP || addr - range->addr >= range->size) {
		sync_unknown(debug, finding);
		return false;
	}
	/* Without translation the mapping that is meant may be one without a record. */
	if (!debug->translates && !debug_knows(debug))
		return false;
	finding->origin = site_caller(range->made);
	finding->phys = range->head & RANGE_SG ? 0 : range->memory + (addr - range->addr);
	if ((range->head ^ like.head) & POINTER_MASK) {
		finding->kind = DMA_DEBUG_WRONG_DEVICE;
		debug_report(debug, finding, wrong_device, "sync", (ull)addr);
	}
	if (finding->size > range->size - (addr - range->addr)) {
		finding->kind = DMA_DEBUG_SYNC_RANGE;
		debug_report(debug, finding,
			     "sync of %llu bytes at 0x%llx goes beyond the mapping of %llu bytes "
			     "at 0x%llx; sync inside the mapping",
			     (ull)finding->size, (ull)addr, (ull)range->size, (ull)range->addr);
	}
	sync_direction(debug, finding, site_dir(range->made), dir, for_device);
	debug_event(debug, debug_slot(debug),
		    for_device ? DMA_DEBUG_SYNCED_FOR_DEVICE : DMA_DEBUG_SYNCED_FOR_CPU, addr,
		    finding->size, finding->phys, debug_now(), finding->caller);
	return true;
}

void debug_syncing(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		   dma_addr_t addr, size_t size, enum dma_data_direction dir, bool for_device)
{
	struct debug_finding finding = {.dev = dev, .addr = addr, .size = size, .caller = caller};
	struct debug_range range;

	debug_sync(debug_of(observer), &finding, dir, for_device, &range);
}
