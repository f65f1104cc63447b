/* SPDX-License-Identifier: MIT */
/* The reservation of a state, and runs of its granules. */
#include "debug/granules.h"
#include "debug/states.h"

typedef unsigned long long ull;

struct debug_range *debug_state_unknown(const struct debug_call *call, struct debug_range *range,
					enum dma_debug_kind kind)
{
	struct debug *debug = call->debug;
	uint64_t size = load(&call->state->__size) & ~__DMA_IOVA_BOUNCED;
	struct debug_finding finding = {
		.kind = DMA_DEBUG_STATE_UNKNOWN,
		.dev = call->dev,
		.addr = call->state->addr,
		.size = size_of(size),
		.caller = call->caller,
	};
	ull addr = finding.addr, bytes = finding.size;
	struct debug_range was = {.head = 0};
	bool same;

	if (range)
		range_copy(&was, range);
	same = was.addr == finding.addr && was.size == size && was.head & RANGE_TWO_STEP;
	if (same && was.head & RANGE_LIVE) {
		store(&range->memory, (uintptr_t)call->state);
		finding.kind = DMA_DEBUG_WRONG_DEVICE;
		finding.origin = site_caller(was.made);
		debug_report(debug, &finding,
			     "%s in the reservation of %llu bytes at 0x%llx, with another device "
			     "than reserved it; pass the same device",
			     call->what, bytes, addr);
		return range;
	}
	if (!debug_knows(debug))
		return NULL;
	if (!size) {
		debug_report(debug, &finding,
			     "%s with a state that reserves nothing; look whether "
			     "dma_iova_try_alloc() returned true, or use dma_map_phys()",
			     call->what);
	} else if (same) {
		finding.kind = kind;
		finding.origin = site_caller(was.ended);
		debug_report(debug, &finding,
			     "%s with a state, %llu bytes at 0x%llx, that was freed before; use no "
			     "copy of a state after dma_iova_free() or dma_iova_destroy()",
			     call->what, bytes, addr);
	} else if (was.head & RANGE_LIVE) {
		finding.origin = site_caller(was.made);
		debug_report(debug, &finding,
			     "%s with a state of %llu bytes at 0x%llx, where %llu bytes at 0x%llx "
			     "are %s; pass the state as dma_iova_try_alloc() filled it",
			     call->what, bytes, addr, (ull)size_of(was.size), (ull)was.addr,
			     was.head & RANGE_TWO_STEP ? "reserved" : "mapped");
	} else {
		finding.kind = kind;
		debug_report(debug, &finding,
			     "%s with a state of %llu bytes at 0x%llx, where nothing is reserved; "
			     "pass the state that dma_iova_try_alloc() filled",
			     call->what, bytes, addr);
	}
	return NULL;
}

struct debug_finding debug_finding_of(const struct debug_call *call,
				      const struct debug_range *range, enum dma_debug_kind kind,
				      size_t offset, size_t size)
{
	return (struct debug_finding){
		.kind = kind,
		.dev = call->dev,
		.addr = call->state->addr + offset,
		.size = size,
		.caller = call->caller,
		.origin = range ? site_caller(load(&range->made)) : NULL,
	};
}

/* Runs, chunk by chunk. */

struct run {
	struct debug_chunk *chunk; /* NULL: no records */
	uint64_t index; /* in the chunk */
	uint64_t pages;
};

static struct run run_at(struct debug *debug, struct debug_slot *slot, uint64_t pfn, uint64_t pages)
{
	uint64_t index = pfn % CHUNK_GRANULES;

	return (struct run){
		.chunk = debug_chunk(debug, slot, pfn, false),
		.index = index,
		.pages = pages < CHUNK_GRANULES - index ? pages : CHUNK_GRANULES - index,
	};
}

struct debug_look debug_look(struct debug *debug, struct debug_slot *slot, uint64_t pfn,
			     uint64_t pages)
{
	struct debug_look look = {.first = 0};
	bool begun = false;

	while (pages) {
		struct run run = run_at(debug, slot, pfn, pages);
		const uint32_t *word;

		pfn += run.pages;
		pages -= run.pages;
		if (!run.chunk) {
			look.missing = true;
			continue;
		}
		word = &run.chunk->granule[run.index];
		if (!begun)
			look.first = load(word);
		begun = true;
		look.differ |= granules_differ(word, run.pages, look.first);
	}
	return look;
}

uint64_t debug_first_granule(struct debug *debug, uint64_t pfn, uint64_t pages, bool linked)
{
	uint64_t end = pfn + pages;
	struct debug_chunk *chunk;

	while (pfn < end) {
		chunk = debug_chunk_find(debug, pfn);
		if (!chunk && !linked)
			return pfn;
		if (!chunk) {
			pfn = align_down(pfn, CHUNK_GRANULES) + CHUNK_GRANULES;
			continue;
		}
		if (!(load(&chunk->granule[pfn % CHUNK_GRANULES]) & GRANULE_LINKED) == !linked)
			return pfn;
		pfn++;
	}
	return UINT64_MAX;
}

/* Links that are taken away. */

static __cold void tell_site(const struct debug_call *call, uint64_t pfn, uint64_t site,
			     uint64_t differs)
{
	unsigned long attrs = site_attrs(site), asked = site_attrs(call->site);
	dma_addr_t addr = pfn << GRANULE_SHIFT;
	struct debug_finding finding = {
		.dev = call->dev,
		.addr = addr,
		.size = GRANULE,
		.caller = call->caller,
		.origin = site_caller(site),
	};
	char was[ATTRS_TEXT], is[ATTRS_TEXT];

	debug_granule(call->debug, addr, &finding.phys);
	if (differs & KEY_DIR) {
		finding.kind = DMA_DEBUG_DIRECTION;
		debug_report(call->debug, &finding,
			     "%s of 0x%llx with %s, which was linked with %s; pass the same "
			     "direction",
			     call->what, (ull)addr, debug_dir_name(site_dir(call->site)),
			     debug_dir_name(site_dir(site)));
	}
	if (differs & ~KEY_DIR) {
		finding.kind = DMA_DEBUG_ATTRS;
		debug_report(call->debug, &finding,
			     "%s of 0x%llx with %s, which was linked with %s; pass the same "
			     "attributes",
			     call->what, (ull)addr, debug_attrs_text(asked, is, sizeof(is)),
			     debug_attrs_text(attrs, was, sizeof(was)));
	}
}

/* Links of several sites: each is compared, and each kind told once. */
static __cold void compare_each(const struct debug_call *call, uint64_t pfn, uint64_t pages)
{
	uint64_t told = 0, differs, site;
	uint32_t word, last = 0;

	for (uint64_t i = 0; i < pages; i++) {
		word = debug_granule(call->debug, (pfn + i) << GRANULE_SHIFT, NULL);
		if (!(word & GRANULE_LINKED) || (word & GRANULE_SITE) == last)
			continue;
		last = word & GRANULE_SITE;
		if (!last)
			continue; /* a site too many has no number, and nothing is known of it */
		site = debug_site_of(call->debug, word);
		differs = site_differs(site, call->site);
		if (told & KEY_DIR)
			differs &= ~KEY_DIR;
		if (told & ~KEY_DIR)
			differs &= KEY_DIR;
		told |= differs;
		if (differs)
			tell_site(call, pfn + i, site, differs);
	}
}

void debug_compare_sites(const struct debug_call *call, const struct debug_look *look, uint64_t pfn,
			 uint64_t pages)
{
	uint64_t site = debug_site_of(call->debug, look->first);

	if (unlikely(look->differ & GRANULE_SITE || !look_all_linked(look)))
		compare_each(call, pfn, pages);
	else if (unlikely(site_differs(site, call->site) && look->first & GRANULE_SITE))
		tell_site(call, pfn, site, site_differs(site, call->site));
}

/* One of them, another each time. */
static __cold void probe_links(const struct debug_call *call, uint64_t pfn, uint64_t pages)
{
	dma_addr_t addr = (pfn + call->now % pages) << GRANULE_SHIFT;
	phys_addr_t phys = 0;
	uint32_t word = debug_granule(call->debug, addr, &phys);
	const struct debug_finding finding = {
		.kind = DMA_DEBUG_MEMORY_GONE,
		.dev = call->dev,
		.addr = addr,
		.size = GRANULE,
		.phys = phys,
		.caller = call->caller,
		.origin = site_caller(debug_site_of(call->debug, word)),
	};

	if (!(word & GRANULE_LINKED))
		return;
	store(&call->slot->probed, call->now);
	if (memory_is_gone(phys, GRANULE))
		debug_report(call->debug, &finding,
			     "%s of 0x%llx: its memory, 0x%llx, went away while it was linked; "
			     "unlink before memory is freed",
			     call->what, (ull)addr, (ull)phys);
}

void debug_probe_links(const struct debug_call *call, uint64_t pfn, uint64_t pages)
{
	if (unlikely(memory_probe_due(call->slot, call->now) && pages))
		probe_links(call, pfn, pages);
}

static __cold void unlink_lines(struct debug *debug, const struct run *run, uint64_t pfn)
{
	for (uint64_t i = 0; i < run->pages; i++) {
		if (load(&run->chunk->granule[run->index + i]) & GRANULE_LINKED)
			lines_remove(debug, (pfn + i) << GRANULE_SHIFT,
				     load(&run->chunk->phys[run->index + i]), GRANULE);
	}
}

void debug_unlink(struct debug *debug, struct debug_slot *slot, const struct debug_look *look,
		  uint64_t pfn, uint64_t pages, uint32_t life, uint64_t site)
{
	uint32_t value = GRANULE_UNLINKED | life | debug_site(debug, site);
	bool all = look_all_linked(look);

	if (!look_any_linked(look))
		return;
	while (pages) {
		struct run run = run_at(debug, slot, pfn, pages);
		uint32_t *word = run.chunk ? &run.chunk->granule[run.index] : NULL;

		if (word && unlikely(__atomic_load_n(&debug->lines, __ATOMIC_ACQUIRE)))
			unlink_lines(debug, &run, pfn);
		if (likely(all))
			granules_fill(word, run.pages, value);
		for (uint64_t i = 0; !all && word && i < run.pages; i++) {
			if (load(&word[i]) & GRANULE_LINKED)
				store(&word[i], value);
		}
		pfn += run.pages;
		pages -= run.pages;
	}
}
