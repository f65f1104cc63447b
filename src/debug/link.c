/* SPDX-License-Identifier: MIT */
/* Linking and making links visible. */
#include "debug/granules.h"
#include "debug/states.h"

typedef unsigned long long ull;

/* What is linked where, as the link call said it. */
struct link {
	const struct debug_call *call;
	dma_addr_t addr;
	const struct phys_vec *vec;
	size_t nr_vecs;
	enum dma_data_direction dir;
	unsigned long attrs;
};

static struct debug_piece piece_of(const struct link *link, dma_addr_t addr, size_t i)
{
	return (struct debug_piece){
		.caller = link->call->caller,
		.dev = link->call->dev,
		.addr = addr,
		.phys = link->vec[i].paddr,
		.size = link->vec[i].len,
		.dir = link->dir,
		.attrs = link->attrs,
		.link = true,
	};
}

/* @noted: it has records, by which those of its cache lines are found again. */
static __cold void look_at_memory(const struct link *link, bool noted)
{
	const struct debug_call *call = link->call;
	uint64_t told = 0, probe = call->now % link->nr_vecs;
	dma_addr_t at = link->addr;

	for (size_t i = 0; i < link->nr_vecs; at += link->vec[i++].len) {
		const struct debug_piece piece = piece_of(link, at, i);

		if (link->attrs & DMA_ATTR_MMIO ||
		    !memory_is_good(piece.phys, piece.phys + piece.size))
			memory_check_kind(call->debug, &piece, &told);
		if (i == probe)
			memory_check_there(call->debug, call->slot, call->now, &piece);
		if (noted && load(&call->debug->watches_lines))
			lines_add(call->debug, &piece, &told);
	}
}

/* Pieces are whole granules, and there is nothing else to see. */
static __cold void look_whether_there(const struct link *link)
{
	size_t i = link->call->now % link->nr_vecs;
	const struct debug_piece piece = piece_of(link, link->addr + (i << GRANULE_SHIFT), i);

	memory_check_there(link->call->debug, link->call->slot, link->call->now, &piece);
}

static bool note_granule(const struct debug_call *call, uint64_t pfn, phys_addr_t phys,
			 uint32_t word)
{
	struct debug_chunk *chunk = debug_chunk(call->debug, call->slot, pfn, true);

	if (unlikely(!chunk))
		return false;
	store(&chunk->phys[pfn % CHUNK_GRANULES], phys);
	store(&chunk->granule[pfn % CHUNK_GRANULES], word);
	return true;
}

/* Pieces of any length; only the first begins and only the last ends inside a granule. */
static __cold bool note_pieces(const struct link *link, uint32_t word)
{
	uint64_t pfn = link->addr >> GRANULE_SHIFT;
	bool noted = true;

	for (size_t i = 0; i < link->nr_vecs; i++) {
		uint64_t pages = pages_of(link->vec[i].paddr, link->vec[i].len);
		phys_addr_t phys = link->vec[i].paddr & ~GRANULE_MASK;

		for (; pages; pages--, phys += GRANULE)
			noted &= note_granule(link->call, pfn++, phys, word);
	}
	return noted;
}

/* Whether memory of pages that were noted needs no look at its addresses. */
static bool pages_are_good(const uint64_t *phys, size_t n, const struct granules_span *span)
{
	if (likely(memory_is_good(span->all, span->any + GRANULE)))
		return true;
	/* Between all and any is more than there is between lowest and highest. */
	return memory_granule_is_good(phys[0]) &&
	       granules_between(phys, n, memory_good.first, memory_good.end - GRANULE);
}

/* Whole granules, one each. @good: memory of this kind needs no look at its addresses. */
static bool note_pages(const struct link *link, uint32_t word, bool *good)
{
	uint64_t pfn = link->addr >> GRANULE_SHIFT;
	struct granules_span span;
	bool noted = true;
	size_t n;

	*good = true;
	for (size_t i = 0; i < link->nr_vecs; i += n, pfn += n) {
		struct debug_chunk *chunk =
			debug_chunk(link->call->debug, link->call->slot, pfn, true);
		uint64_t index = pfn % CHUNK_GRANULES;

		n = CHUNK_GRANULES - index;
		if (n > link->nr_vecs - i)
			n = link->nr_vecs - i;
		if (unlikely(!chunk)) {
			*good = noted = false;
			continue;
		}
		if (unlikely(!granules_pages(&chunk->phys[index], &link->vec[i], n, &span))) {
			*good = false;
			return note_pieces(link, word);
		}
		if (unlikely(!pages_are_good(&chunk->phys[index], n, &span)))
			*good = false;
		granules_fill(&chunk->granule[index], n, word);
	}
	return noted;
}

/* The bytes of a vector: what all pieces but the last hold may be as long as they like. */
static uint64_t bytes_of(const struct phys_vec *vec, size_t nr_vecs)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < nr_vecs; i++)
		bytes += vec[i].len;
	return bytes;
}

/*
 * One more granule, right behind the last one, of the same reservation and from the same
 * place: the event grows, and nothing else is looked up. Not even the time, so that after
 * some of them one goes the long way, which looks for the memory. What else happens
 * meanwhile on this thread has an event of its own, and what happens elsewhere to the
 * reservation changes its record.
 */
#define JOINED_LINKS 64

static __always_inline bool link_joins(struct debug_slot *slot, const void *caller,
				       const struct dma_dev *dev,
				       const struct dma_iova_state *state, dma_addr_t addr,
				       phys_addr_t phys, enum dma_data_direction dir)
{
	const struct debug_join *join = &slot->join;
	const struct debug_range *range;
	struct debug_event *event;
	struct debug_chunk *chunk;
	uint64_t index;

	if (unlikely(slot->head != join->head || addr >= join->limit || caller != join->caller ||
		     dev != join->dev || dir != join->dir || !memory_granule_is_good(phys)))
		return false;
	range = join->range;
	if (unlikely(load(&range->head) != join->range_head ||
		     load(&range->memory) != (uintptr_t)state ||
		     load(&range->addr) != state->addr ||
		     load(&range->size) != (load(&state->__size) & ~__DMA_IOVA_BOUNCED)))
		return false;
	event = join->event;
	if (unlikely(addr - event->addr != event->size))
		return false;
	__atomic_store_n(&event->size, event->size + GRANULE, __ATOMIC_RELEASE);
	chunk = join->chunk;
	index = addr >> GRANULE_SHIFT & (CHUNK_GRANULES - 1);
	store(&chunk->phys[index], phys);
	store(&chunk->granule[index], join->word);
	return true;
}

/* @addr was linked, and its chunk is known; its event is the last one. */
static void let_join(const struct debug_call *call, struct debug_range *range, dma_addr_t addr,
		     enum dma_data_direction dir, uint32_t word)
{
	struct debug_slot *slot = call->slot;
	dma_addr_t end = align_down(addr, (dma_addr_t)CHUNK_GRANULES << GRANULE_SHIFT) +
			 ((dma_addr_t)CHUNK_GRANULES << GRANULE_SHIFT);
	dma_addr_t limit = addr + ((JOINED_LINKS + 1) << GRANULE_SHIFT);

	slot->join = (struct debug_join){
		.head = slot->head,
		.event = &slot->event[(slot->head - 1) % DEBUG_EVENTS],
		.limit = limit < end ? limit : end,
		.caller = call->caller,
		.dev = call->dev,
		.range = range,
		.range_head = load(&range->head),
		.chunk = debug_chunk(call->debug, slot, addr >> GRANULE_SHIFT, false),
		.dir = dir,
		.word = word,
	};
}

/* Whether a vector is one whole granule. */
static __always_inline bool is_page(const struct phys_vec *vec, size_t nr_vecs)
{
	return nr_vecs == 1 && !((vec->paddr & GRANULE_MASK) | (vec->len ^ GRANULE));
}

/* Any link, a page that begins a row included. */
static __attribute__((__noinline__)) void
note_link(struct base_observer *observer, const void *caller, struct dma_dev *dev,
	  const struct dma_iova_state *state, size_t offset, const struct phys_vec *vec,
	  size_t nr_vecs, enum dma_data_direction dir, unsigned long attrs)
{
	bool page = is_page(vec, nr_vecs);
	uint64_t site = site_word(caller, dir, attrs);
	struct debug *debug = debug_of(observer);
	struct debug_range *range;
	struct debug_call call;
	struct link link;
	uint64_t size;
	uint32_t word;
	bool noted, good;

	call = debug_call(observer, caller, dev, state, "link", site);
	range = debug_state_range(&call, DMA_DEBUG_STATE_UNKNOWN);
	if (unlikely(!range || !nr_vecs))
		return;
	link = (struct link){&call, state->addr + offset, vec, nr_vecs, dir, attrs};
	word = GRANULE_LINKED | debug_life(range) | debug_site(debug, site);
	if (page) {
		noted = note_granule(&call, link.addr >> GRANULE_SHIFT, vec->paddr, word);
		good = memory_granule_is_good(vec->paddr);
	} else {
		noted = note_pages(&link, word, &good);
	}
	size = good ? nr_vecs << GRANULE_SHIFT : bytes_of(vec, nr_vecs);
	debug_event_joined(debug, call.slot, DMA_DEBUG_LINKED, range->addr, link.addr, size,
			   vec->paddr, call.now, caller);
	if (unlikely(!noted))
		debug_incomplete(debug, caller, dev, "a link");
	if (unlikely(attrs & DMA_ATTR_MMIO || load(&debug->watches_lines) || !good)) {
		/* What goes on behind this link is looked at as well. */
		if (!call.slot->shared)
			call.slot->join.limit = 0;
		look_at_memory(&link, noted);
		return;
	}
	if (unlikely(memory_probe_due(call.slot, call.now)))
		look_whether_there(&link);
	if (page && noted && !attrs && !call.slot->shared)
		let_join(&call, range, link.addr, dir, word);
}

void debug_linked(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		  const struct dma_iova_state *state, size_t offset, const struct phys_vec *vec,
		  size_t nr_vecs, enum dma_data_direction dir, unsigned long attrs)
{
	if (unlikely(is_page(vec, nr_vecs) && !attrs))
		debug_linked_page(observer, caller, dev, state, offset, vec->paddr, dir);
	else
		note_link(observer, caller, dev, state, offset, vec, nr_vecs, dir, attrs);
}

static __attribute__((__noinline__)) void note_page(struct base_observer *observer,
						    const void *caller, struct dma_dev *dev,
						    const struct dma_iova_state *state,
						    size_t offset, phys_addr_t phys,
						    enum dma_data_direction dir)
{
	note_link(observer, caller, dev, state, offset, &(struct phys_vec){phys, GRANULE}, 1, dir,
		  0);
}

void debug_linked_page(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		       const struct dma_iova_state *state, size_t offset, phys_addr_t phys,
		       enum dma_data_direction dir)
{
	struct debug *debug = debug_of(observer);
	struct debug_slot *slot = load(&debug->slots[base_thread]);

	if (unlikely(!slot ||
		     !link_joins(slot, caller, dev, state, state->addr + offset, phys, dir)))
		note_page(observer, caller, dev, state, offset, phys, dir);
}

/* Refused links. */

static __cold void link_twice(const struct debug_call *call, const struct debug_range *range,
			      struct debug_finding *finding)
{
	uint64_t pages = pages_of(finding->addr, finding->size);
	uint64_t at = range ? debug_first_granule(call->debug, finding->addr >> GRANULE_SHIFT,
						  pages, true)
			    : UINT64_MAX;
	phys_addr_t there = 0;
	uint32_t word = 0;

	finding->origin = NULL;
	if (at != UINT64_MAX)
		word = debug_granule(call->debug, at << GRANULE_SHIFT, &there);
	if (word & GRANULE_LINKED) {
		finding->origin = site_caller(debug_site_of(call->debug, word));
		debug_report(call->debug, finding,
			     "link of %llu bytes at 0x%llx, where 0x%llx has 0x%llx linked; unlink "
			     "it first, or link at another offset",
			     (ull)finding->size, (ull)finding->addr, (ull)(at << GRANULE_SHIFT),
			     (ull)there);
		return;
	}
	debug_report(call->debug, finding,
		     "link of %llu bytes at 0x%llx, where something is linked; unlink it first, or "
		     "link at another offset",
		     (ull)finding->size, (ull)finding->addr);
}

void debug_link_failed(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		       const struct dma_iova_state *state, size_t offset, phys_addr_t phys,
		       size_t size, enum dma_data_direction dir, unsigned long attrs, int err)
{
	const struct debug_call call =
		debug_call(observer, caller, dev, state, "link", site_word(caller, dir, attrs));
	const struct debug_range *range = debug_state_range(&call, DMA_DEBUG_STATE_UNKNOWN);
	uint64_t total = size_of(load(&state->__size));
	struct debug_finding finding =
		debug_finding_of(&call, range, DMA_DEBUG_BAD_ARGUMENT, offset, size);

	/* Of a state that reserves nothing that is enough; after a lack of records nothing is. */
	if (!range && debug_knows(call.debug))
		return;
	finding.phys = phys;
	switch (err) {
	case -EADDRINUSE:
		finding.kind = DMA_DEBUG_LINK_TWICE;
		link_twice(&call, range, &finding);
		break;
	case -ERANGE:
		/* Or memory beyond what the page table can express, which is no mistake. */
		if (offset <= total && size <= total - offset)
			break;
		finding.kind = DMA_DEBUG_LINK_OUTSIDE;
		debug_report(call.debug, &finding,
			     "link of %zu bytes at offset 0x%zx of a reservation of %llu bytes; "
			     "reserve enough for all pieces",
			     size, offset, (ull)total);
		break;
	case -EIO:
	case -ENXIO:
		finding.kind = DMA_DEBUG_LINK_MISALIGNED;
		debug_report(call.debug, &finding,
			     "link of 0x%llx at offset 0x%zx does not fit the granules of the "
			     "reservation at 0x%llx; reserve with the first piece's address, and "
			     "let only the first piece begin and only the last end inside a "
			     "granule",
			     (ull)phys, offset, (ull)state->addr);
		break;
	case -EINVAL:
		debug_report(call.debug, &finding,
			     "link of %zu bytes of 0x%llx with %s: a link needs bytes, a "
			     "direction, and memory that is registered if it is not ordinary",
			     size, (ull)phys, debug_dir_name(dir));
		break;
	default:
		break;
	}
}

void debug_synced(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		  const struct dma_iova_state *state, size_t offset, size_t size)
{
	const struct debug_call call = debug_call(observer, caller, dev, state, "sync", 0);
	const struct debug_range *range = debug_state_range(&call, DMA_DEBUG_STATE_UNKNOWN);
	dma_addr_t addr = state->addr + offset;
	uint64_t pfn = addr >> GRANULE_SHIFT, pages = pages_of(addr, size), n;

	if (unlikely(!range))
		return;
	/* Where nothing is linked the bit means nothing, and a link takes it away. */
	for (; pages; pages -= n, pfn += n) {
		struct debug_chunk *chunk = debug_chunk(call.debug, call.slot, pfn, false);
		uint64_t index = pfn % CHUNK_GRANULES;

		n = pages < CHUNK_GRANULES - index ? pages : CHUNK_GRANULES - index;
		if (likely(chunk))
			granules_set(&chunk->granule[index], n, GRANULE_SYNCED);
	}
	debug_event(call.debug, call.slot, DMA_DEBUG_SYNCED, addr, size, 0, call.now, caller);
}
