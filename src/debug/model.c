/* SPDX-License-Identifier: MIT */
/* The model: chunks of records, ranges in them, the slots of threads, sites. */
#include "debug/parts.h"

/* Slots. */

struct debug_slot *debug_slot_find(struct debug *debug)
{
	unsigned int number = base_thread ? base_thread : base_thread_claim();
	struct debug_slot *slot;

	if (!number)
		return &debug->shared;
	slot = load(&debug->slots[number]);
	if (slot)
		return slot;
	slot = base_map(sizeof(*slot));
	if (!slot)
		return &debug->shared;
	for (unsigned int i = 0; i < DEBUG_MEMOS; i++)
		slot->memo[i].index = UINT64_MAX;
	__atomic_store_n(&debug->slots[number], slot, __ATOMIC_RELEASE);
	return slot;
}

/* Chunks. */

static struct debug_chunk **bucket_of(struct debug *debug, uint64_t index)
{
	return &debug->chunks[index * 0x9e3779b97f4a7c15 >> 50];
}

_Static_assert(CHUNK_BUCKETS == 1U << (64 - 50), "bucket_of() keeps as many bits");

static struct debug_chunk *in_bucket(struct debug_chunk *chunk, uint64_t index)
{
	while (chunk && chunk->index != index)
		chunk = chunk->next;
	return chunk;
}

struct debug_chunk *debug_chunk_find(struct debug *debug, uint64_t pfn)
{
	uint64_t index = pfn >> CHUNK_BITS;

	return in_bucket(__atomic_load_n(bucket_of(debug, index), __ATOMIC_ACQUIRE), index);
}

static struct debug_chunk *chunk_make(struct debug *debug, uint64_t index)
{
	struct debug_chunk **bucket = bucket_of(debug, index);
	struct debug_chunk *first = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
	struct debug_chunk *fresh = base_map(sizeof(*fresh));
	struct debug_chunk *other;

	if (!fresh)
		return NULL;
	fresh->index = index;
	do {
		other = in_bucket(first, index);
		if (other) {
			base_unmap(fresh, sizeof(*fresh));
			return other;
		}
		fresh->next = first;
	} while (!__atomic_compare_exchange_n(bucket, &first, fresh, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return fresh;
}

struct debug_chunk *debug_chunk_slow(struct debug *debug, struct debug_slot *slot, uint64_t pfn,
				     bool make)
{
	uint64_t index = pfn >> CHUNK_BITS;
	struct debug_chunk *chunk = debug_chunk_find(debug, pfn);

	if (!chunk && make)
		chunk = chunk_make(debug, index);
	if (chunk && !slot->shared) {
		slot->memo[index % DEBUG_MEMOS].chunk = chunk;
		slot->memo[index % DEBUG_MEMOS].index = index;
	}
	return chunk;
}

/* Ranges. */

void range_copy(struct debug_range *copy, const struct debug_range *range)
{
	copy->head = __atomic_load_n(&range->head, __ATOMIC_ACQUIRE);
	copy->addr = __atomic_load_n(&range->addr, __ATOMIC_ACQUIRE);
	copy->size = __atomic_load_n(&range->size, __ATOMIC_ACQUIRE);
	copy->memory = __atomic_load_n(&range->memory, __ATOMIC_ACQUIRE);
	copy->made = __atomic_load_n(&range->made, __ATOMIC_ACQUIRE);
	copy->made_time = __atomic_load_n(&range->made_time, __ATOMIC_ACQUIRE);
	copy->ended = __atomic_load_n(&range->ended, __ATOMIC_ACQUIRE);
	copy->ended_time = __atomic_load_n(&range->ended_time, __ATOMIC_ACQUIRE);
}

static bool same_range(const struct debug_range *range, const struct debug_range *copy)
{
	return load(&range->head) == copy->head && load(&range->addr) == copy->addr &&
	       load(&range->size) == copy->size && load(&range->made_time) == copy->made_time;
}

static bool covers(const struct debug_range *range, uint64_t pfn)
{
	return pfn - (range->addr >> GRANULE_SHIFT) < range_pages(range);
}

/*
 * Go through the granules at which a range that contains @pfn may begin, nearest
 * first: *@base is UINT64_MAX to begin with. NULL: no more of them.
 */
static struct debug_range *enclosing(struct debug *debug, uint64_t pfn, uint64_t *base)
{
	struct debug_chunk *chunk;

	do {
		if (!*base)
			return NULL;
		/* Clearing the lowest bit that is set gives the next that is aligned to more. */
		*base = *base == UINT64_MAX ? pfn : *base & (*base - 1);
		chunk = debug_chunk_find(debug, *base);
	} while (!chunk);
	return chunk_range(chunk, *base);
}

bool debug_live_at(struct debug *debug, dma_addr_t addr, struct debug_range *copy)
{
	uint64_t pfn = addr >> GRANULE_SHIFT, base = UINT64_MAX;
	struct debug_range *range;

	if (!debug->translates)
		return direct_live_at(debug, addr, NULL, copy);
	while ((range = enclosing(debug, pfn, &base))) {
		range_copy(copy, range);
		/* Live ranges do not overlap, so no other one can contain it. */
		if (copy->head & RANGE_LIVE && copy->addr >> GRANULE_SHIFT == base)
			return covers(copy, pfn) && same_range(range, copy);
	}
	return false;
}

bool debug_dead_at(struct debug *debug, dma_addr_t addr, struct debug_range *copy)
{
	uint64_t pfn = addr >> GRANULE_SHIFT, base = UINT64_MAX;
	struct debug_range *range, dead;
	bool found = false;

	if (!debug->translates)
		return direct_dead_at(debug, addr, copy);
	while ((range = enclosing(debug, pfn, &base))) {
		range_copy(&dead, range);
		if (!dead.head || dead.head & RANGE_LIVE || !covers(&dead, pfn) ||
		    (found && (int64_t)(dead.ended_time - copy->ended_time) < 0))
			continue;
		*copy = dead;
		found = true;
	}
	return found;
}

uint32_t debug_granule(struct debug *debug, dma_addr_t addr, phys_addr_t *phys)
{
	struct debug_chunk *chunk = debug_chunk_find(debug, addr >> GRANULE_SHIFT);
	uint64_t i = (addr >> GRANULE_SHIFT) % CHUNK_GRANULES;

	if (!chunk)
		return 0;
	if (phys)
		*phys = load(&chunk->phys[i]) + (addr & GRANULE_MASK);
	return load(&chunk->granule[i]);
}

static void visit_chunk(struct debug *debug, struct debug_chunk *chunk,
			void (*visit)(struct debug *debug, const struct debug_range *range,
				      void *arg),
			void *arg)
{
	uint64_t touched = load(&chunk->touched);
	struct debug_range copy;

	for (unsigned int i = 0; i < CHUNK_GRANULES; i++) {
		if (!(touched >> i / 64 & 1)) {
			i |= 63;
			continue;
		}
		if (!(load(&chunk->range[i].head) & RANGE_LIVE))
			continue;
		range_copy(&copy, &chunk->range[i]);
		if (copy.head & RANGE_LIVE && same_range(&chunk->range[i], &copy))
			visit(debug, &copy, arg);
	}
}

void debug_for_each_range(struct debug *debug,
			  void (*visit)(struct debug *debug, const struct debug_range *range,
					void *arg),
			  void *arg)
{
	struct debug_chunk *chunk;

	if (!debug->translates) {
		direct_for_each(debug, visit, arg);
		return;
	}
	for (unsigned int i = 0; i < CHUNK_BUCKETS; i++) {
		chunk = __atomic_load_n(&debug->chunks[i], __ATOMIC_ACQUIRE);
		for (; chunk; chunk = chunk->next)
			visit_chunk(debug, chunk, visit, arg);
	}
}

bool debug_still_live(struct debug *debug, const struct debug_range *copy)
{
	struct debug_chunk *chunk;
	uint64_t pfn = copy->addr >> GRANULE_SHIFT;

	if (!debug->translates)
		return direct_still_live(debug, copy);
	chunk = debug_chunk_find(debug, pfn);
	return chunk && same_range(chunk_range(chunk, pfn), copy);
}

/* Sites. */

#define SITE_USED (1ULL << 63)
#define SITE_PROBES 64

uint32_t debug_site(struct debug *debug, uint64_t word)
{
	uint64_t number = word * 0x9e3779b97f4a7c15 >> 48;
	uint64_t found;

	word |= SITE_USED;
	for (unsigned int i = 0; i < SITE_PROBES; i++, number++) {
		uint64_t *site = &debug->site[number % DEBUG_SITES];

		if (unlikely(!(number % DEBUG_SITES)))
			continue; /* 0 says that there is no site */
		found = load(site);
		if (likely(found == word))
			return (uint32_t)(number % DEBUG_SITES);
		if (!found && (__atomic_compare_exchange_n(site, &found, word, false,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
			       found == word))
			return (uint32_t)(number % DEBUG_SITES);
	}
	return 0;
}

uint64_t debug_site_of(const struct debug *debug, uint32_t granule)
{
	return load(&debug->site[granule & GRANULE_SITE]) & ~SITE_USED;
}

void debug_incomplete(struct debug *debug, const void *caller, const struct dma_dev *dev,
		      const char *record)
{
	const struct debug_finding finding = {
		.kind = DMA_DEBUG_INCOMPLETE,
		.dev = dev,
		.caller = caller,
		.brief = true,
	};

	if (!__atomic_exchange_n(&debug->incomplete, true, __ATOMIC_RELAXED))
		debug_report(debug, &finding,
			     "no memory for the record of %s: from now on mistakes can be missed; "
			     "give the process more memory to have all of them checked",
			     record);
}
