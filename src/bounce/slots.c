/* SPDX-License-Identifier: MIT */
/* Slots: finding a run of free ones, lending and freeing them. */
#include "bounce/pool.h"

#define BYTES 0x0101010101010101ULL

/* Slots [first, first + count) of a segment. */
static bounce_bits run_bits(unsigned int first, unsigned int count)
{
	return ~(bounce_bits)0 >> (BOUNCE_SEGMENT_SLOTS - count) << first;
}

static bounce_bits join(const uint64_t *half)
{
	return (bounce_bits)half[1] << 64 | half[0];
}

static void split(uint64_t *half, bounce_bits bits)
{
	half[0] = (uint64_t)bits;
	half[1] = (uint64_t)(bits >> 64);
}

/* @bits is not 0. */
static unsigned int lowest(bounce_bits bits)
{
	uint64_t low = (uint64_t)bits;

	return (unsigned int)(low ? __builtin_ctzll(low)
				  : 64 + __builtin_ctzll((uint64_t)(bits >> 64)));
}

static unsigned int highest(bounce_bits bits)
{
	uint64_t high = (uint64_t)(bits >> 64);

	return (unsigned int)(high ? 127 - __builtin_clzll(high)
				   : 63 - __builtin_clzll((uint64_t)bits));
}

/* Where @count free slots begin. */
static bounce_bits runs_of(bounce_bits free, unsigned int count)
{
	for (unsigned int have = 1, more; have < count; have += more) {
		more = have < count - have ? have : count - have;
		free &= free >> more;
	}
	return free;
}

/* The length of the run of free slots around @run, which is free. */
static unsigned int run_around(bounce_bits used, unsigned int first, unsigned int count)
{
	bounce_bits below = first ? used & run_bits(0, first) : 0;
	bounce_bits above = used & ~run_bits(0, first + count);

	return (above ? lowest(above) : BOUNCE_SEGMENT_SLOTS) - (below ? highest(below) + 1 : 0);
}

static unsigned int bound_of(const struct bounce_area *area, uint64_t index)
{
	return area->longest[index / 8] >> index % 8 * 8 & 0xff;
}

static void set_bound(struct bounce_area *area, uint64_t index, uint64_t bound)
{
	unsigned int shift = (unsigned int)(index % 8 * 8);
	uint64_t *word = &area->longest[index / 8];

	*word = (*word & ~(0xffULL << shift)) | bound << shift;
}

void bounce_deal(struct dma_bounce *bounce, uint64_t first, uint64_t end)
{
	for (uint64_t segment = first; segment < end; segment++) {
		struct bounce_area *area = &bounce->area[segment & (bounce->areas - 1)];
		uint64_t index = segment >> bounce->areas_shift;

		pthread_mutex_lock(&area->lock);
		set_bound(area, index, BOUNCE_SEGMENT_SLOTS);
		area->words = (uint32_t)(index / 8 + 1);
		pthread_mutex_unlock(&area->lock);
	}
}

/* With the area's lock held. */
static struct bounce_mapping *lend(struct dma_bounce *bounce, uint64_t segment, unsigned int slot,
				   const struct bounce_shape *shape,
				   const struct bounce_request *request)
{
	struct bounce_segment *seg = &bounce->segment[segment];
	uint64_t number = segment * BOUNCE_SEGMENT_SLOTS + slot;
	struct bounce_mapping *mapping = &bounce->mapping[number];
	uint64_t buffer = bounce->start + (number << BOUNCE_SLOT_SHIFT) + shape->offset;

	split(seg->used, join(seg->used) | run_bits(slot, shape->slots));
	mapping->pool = bounce;
	mapping->buffer = (char *)buffer;
	mapping->cpu = request->cpu;
	mapping->origin = request->phys;
	mapping->owner = request->owner;
	mapping->size = (uint32_t)request->size;
	mapping->offset = shape->offset;
	mapping->listed = false;
	__atomic_store_n(&mapping->slots, shape->slots, __ATOMIC_RELAXED);
	/* Release: who finds the start finds the record. */
	__atomic_store_n(&seg->starts[slot / 64], seg->starts[slot / 64] | 1ULL << slot % 64,
			 __ATOMIC_RELEASE);
	return mapping;
}

/* With the area's lock held. */
static struct bounce_mapping *take_in_segment(struct dma_bounce *bounce, struct bounce_area *area,
					      uint64_t index, const struct bounce_shape *shape,
					      const struct bounce_request *request)
{
	uint64_t segment = index << bounce->areas_shift | (uint64_t)(area - bounce->area);
	bounce_bits runs = runs_of(~join(bounce->segment[segment].used), shape->slots);

	if (likely(runs & shape->allowed))
		return lend(bounce, segment, lowest(runs & shape->allowed), shape, request);
	/* A run at another place says nothing of the bound. */
	if (!runs)
		set_bound(area, index, shape->slots - 1);
	return NULL;
}

/* Bit 8 * i + 7 for each byte i of @bounds that is at least @slots; no byte exceeds 128. */
static uint64_t at_least(uint64_t bounds, uint32_t slots)
{
	return (bounds + (BOUNCE_SEGMENT_SLOTS - slots) * BYTES) & BYTES << 7;
}

/*
 * An area counts for itself, and so the most that was in use is known of areas only: a
 * counter of the whole pool would cost two threads more than their locks.
 */
static void count(struct bounce_area *area, uint32_t slots)
{
	counter_add(&area->maps, 1);
	counter_add(&area->used, slots);
	if (area->used > area->high_water)
		counter_add(&area->high_water, area->used - area->high_water);
}

static struct bounce_mapping *take_in_area(struct dma_bounce *bounce, struct bounce_area *area,
					   const struct bounce_shape *shape,
					   const struct bounce_request *request)
{
	struct bounce_mapping *mapping = NULL;
	uint32_t word;

	pthread_mutex_lock(&area->lock);
	word = area->hint;
	for (uint32_t tried = 0; tried < area->words && !mapping; tried++) {
		uint64_t match = at_least(area->longest[word], shape->slots);

		for (; match && !mapping; match &= match - 1)
			mapping = take_in_segment(bounce, area,
						  word * 8ULL +
							  (unsigned int)__builtin_ctzll(match) / 8,
						  shape, request);
		if (mapping) {
			area->hint = word;
			count(area, shape->slots);
		}
		word = word + 1 < area->words ? word + 1 : 0;
	}
	pthread_mutex_unlock(&area->lock);
	return mapping;
}

static unsigned int own_area(const struct dma_bounce *bounce)
{
	unsigned int number = likely(base_thread) ? base_thread : base_thread_claim();

	return number & (bounce->areas - 1);
}

__cold static struct bounce_mapping *take_elsewhere(struct dma_bounce *bounce, unsigned int own,
						    const struct bounce_shape *shape,
						    const struct bounce_request *request)
{
	uint64_t seen;

	do {
		/* Acquire, and before the search: segments that came later are looked at next. */
		seen = __atomic_load_n(&bounce->segments, __ATOMIC_ACQUIRE);
		for (unsigned int i = 0; i < bounce->areas; i++) {
			unsigned int area = (own + i) & (bounce->areas - 1);
			struct bounce_mapping *mapping =
				take_in_area(bounce, &bounce->area[area], shape, request);

			if (mapping)
				return mapping;
		}
	} while (bounce_grow(bounce, seen));
	return NULL;
}

struct bounce_mapping *bounce_take(struct dma_bounce *bounce, const struct bounce_shape *shape,
				   const struct bounce_request *request)
{
	unsigned int own = own_area(bounce);
	struct bounce_mapping *mapping;

	mapping = take_in_area(bounce, &bounce->area[own], shape, request);
	if (unlikely(!mapping))
		mapping = take_elsewhere(bounce, own, shape, request);
	return mapping;
}

void bounce_give_back(struct bounce_mapping *mapping)
{
	struct dma_bounce *bounce = mapping->pool;
	uint64_t number = (uint64_t)(mapping - bounce->mapping);
	uint64_t segment = number / BOUNCE_SEGMENT_SLOTS;
	uint64_t index = segment >> bounce->areas_shift;
	unsigned int slot = number % BOUNCE_SEGMENT_SLOTS;
	struct bounce_segment *seg = &bounce->segment[segment];
	struct bounce_area *area = &bounce->area[segment & (bounce->areas - 1)];
	uint32_t slots = mapping->slots;
	unsigned int longest;
	bounce_bits used;

	pthread_mutex_lock(&area->lock);
	__atomic_store_n(&seg->starts[slot / 64], seg->starts[slot / 64] & ~(1ULL << slot % 64),
			 __ATOMIC_RELEASE);
	used = join(seg->used) & ~run_bits(slot, slots);
	split(seg->used, used);
	longest = run_around(used, slot, slots);
	if (longest > bound_of(area, index))
		set_bound(area, index, longest);
	counter_add(&area->used, -(uint64_t)slots);
	pthread_mutex_unlock(&area->lock);
}

/* Whether a buffer of a segment stands in for memory of [base, last]. */
static bool segment_stands_for(const struct dma_bounce *bounce, uint64_t segment, uint64_t base,
			       uint64_t last)
{
	bounce_bits starts = join(bounce->segment[segment].starts);

	for (; starts; starts &= starts - 1) {
		const struct bounce_mapping *mapping =
			&bounce->mapping[segment * BOUNCE_SEGMENT_SLOTS + lowest(starts)];

		if (mapping->origin <= last && mapping->origin + mapping->size - 1 >= base)
			return true;
	}
	return false;
}

bool bounce_pool_stands_for(const struct dma_bounce *bounce, uint64_t base, uint64_t last)
{
	uint64_t segments = __atomic_load_n(&bounce->segments, __ATOMIC_ACQUIRE);
	bool found = false;

	for (uint64_t segment = 0; segment < segments && !found; segment++) {
		struct bounce_area *area = &bounce->area[segment & (bounce->areas - 1)];

		pthread_mutex_lock(&area->lock);
		found = segment_stands_for(bounce, segment, base, last);
		pthread_mutex_unlock(&area->lock);
	}
	return found;
}

size_t bounce_pool_add_owned(const struct dma_bounce *bounce, struct bounce_list *list,
			     const void *owner)
{
	uint64_t segments = __atomic_load_n(&bounce->segments, __ATOMIC_ACQUIRE);
	size_t found = 0;

	for (uint64_t segment = 0; segment < segments; segment++) {
		struct bounce_area *area = &bounce->area[segment & (bounce->areas - 1)];
		bounce_bits starts;

		pthread_mutex_lock(&area->lock);
		starts = join(bounce->segment[segment].starts);
		for (; starts; starts &= starts - 1) {
			struct bounce_mapping *mapping =
				&bounce->mapping[segment * BOUNCE_SEGMENT_SLOTS + lowest(starts)];

			if (mapping->owner != owner)
				continue;
			bounce_list_add(list, mapping, false);
			found++;
		}
		pthread_mutex_unlock(&area->lock);
	}
	return found;
}

struct bounce_mapping *bounce_lent(const struct dma_bounce *bounce, phys_addr_t phys)
{
	uint64_t number = (phys - bounce->start) >> BOUNCE_SLOT_SHIFT;
	unsigned int slot = number % BOUNCE_SEGMENT_SLOTS, half = slot / 64;
	const struct bounce_segment *seg = &bounce->segment[number / BOUNCE_SEGMENT_SLOTS];
	uint64_t starts;
	struct bounce_mapping *mapping;
	unsigned int first;

	/* The nearest start that is not behind it. */
	starts = __atomic_load_n(&seg->starts[half], __ATOMIC_ACQUIRE) &
		 UINT64_MAX >> (63 - slot % 64);
	if (!starts && half)
		starts = __atomic_load_n(&seg->starts[--half], __ATOMIC_ACQUIRE);
	if (!starts)
		return NULL;
	first = half * 64 + 63 - (unsigned int)__builtin_clzll(starts);
	mapping = &bounce->mapping[number - slot + first];
	return slot - first < __atomic_load_n(&mapping->slots, __ATOMIC_RELAXED) ? mapping : NULL;
}
