/* SPDX-License-Identifier: MIT */
/* Lending a buffer, copying to it and from it, and the end of it. */
#include <inttypes.h>

#include "bounce/pool.h"
#include "memory/memory.h"

#define SLOT_MASK (DMA_BOUNCE_SLOT - 1ULL)
#define SEGMENT_MASK (DMA_BOUNCE_SEGMENT - 1ULL)
#define PAGE 4096u
/* Syncs of up to so many bytes are made of single accesses; longer ones are memcpy(). */
#define SINGLE_ACCESSES 512u

size_t bounce_max_size(uint64_t min_align_mask)
{
	if (min_align_mask >= DMA_BOUNCE_SEGMENT)
		return 0;
	return DMA_BOUNCE_SEGMENT - align_up(min_align_mask, DMA_BOUNCE_SLOT);
}

__cold static bool refuse(struct dma_bounce *bounce, uint64_t *counter)
{
	counter_add_shared(&bounce->failed, 1);
	if (counter)
		counter_add_shared(counter, 1);
	return false;
}

__cold static bool too_long(struct dma_bounce *bounce, const struct bounce_request *request)
{
	size_t max = bounce_max_size(request->min_align_mask);

	if (!max)
		base_error(-ENOMEM,
			   "bouncing %zu bytes with the address bits under %#" PRIx64
			   " kept: a bounce "
			   "buffer keeps less than %u; a smaller minimum alignment mask is needed",
			   request->size, request->min_align_mask, DMA_BOUNCE_SEGMENT / 2);
	else if (request->alloc_align_mask > SEGMENT_MASK)
		base_error(-ENOMEM,
			   "bouncing %zu bytes in whole pieces of %" PRIu64
			   ": a bounce buffer lies "
			   "in one segment of %u bytes; a smaller granule is needed",
			   request->size, request->alloc_align_mask + 1, DMA_BOUNCE_SEGMENT);
	else
		base_error(
			-ENOMEM,
			"bouncing %zu bytes: a bounce buffer of this device has 1 to %zu; map it "
			"in pieces (dma_max_mapping_size())",
			request->size, max);
	return refuse(bounce, &bounce->failed_size);
}

__cold static bool crosses(struct dma_bounce *bounce, const struct bounce_request *request)
{
	base_error(-ENOMEM,
		   "bouncing %zu bytes at %#" PRIx64 ": wherever the buffer lies, it crosses a "
		   "multiple of the device's segment boundary, %#" PRIx64 "; map it in pieces",
		   request->size, request->phys, request->boundary + 1);
	return refuse(bounce, NULL);
}

__cold static phys_addr_t no_room(struct dma_bounce *bounce, const struct bounce_request *request)
{
	if (bounce_is_inherited(bounce)) {
		base_error(-ENOMEM,
			   "bouncing %zu bytes: the pool of bounce buffers was made before fork() "
			   "and belongs to the parent; make one in this process",
			   request->size);
		refuse(bounce, NULL);
		return BOUNCE_NONE;
	}
	base_error(-ENOMEM,
		   "bouncing %zu bytes: the pool of bounce buffers has %" PRIu64 " bytes, %" PRIu64
		   " of them in use, no room for this one, and cannot grow (its limit is %" PRIu64
		   "); unmap something first or make the pool larger (dma_bounce_create(), "
		   "dma_bounce_set_defaults())",
		   request->size, counter_read(&bounce->segments) << BOUNCE_SEGMENT_SHIFT,
		   bounce_used(bounce) << BOUNCE_SLOT_SHIFT,
		   bounce->max_segments << BOUNCE_SEGMENT_SHIFT);
	refuse(bounce, &bounce->failed_full);
	return BOUNCE_NONE;
}

/* Every 2^order-th slot of a segment. */
static bounce_bits every(unsigned int order)
{
	static const uint64_t half[] = {
		~0ULL,
		0x5555555555555555ULL,
		0x1111111111111111ULL,
		0x0101010101010101ULL,
		0x0001000100010001ULL,
		0x0000000100000001ULL,
		1,
	};

	return order < ARRAY_SIZE(half) ? (bounce_bits)half[order] << 64 | half[order] : 1;
}

/* First slots from which the buffer stays between two multiples of the boundary. */
__cold static bounce_bits between(uint64_t boundary, uint64_t offset, uint64_t size)
{
	bounce_bits allowed = 0;

	for (unsigned int slot = 0; slot < BOUNCE_SEGMENT_SLOTS; slot++) {
		uint64_t at = ((uint64_t)slot << BOUNCE_SLOT_SHIFT) + offset;

		if ((at & boundary) + size <= boundary + 1)
			allowed |= (bounce_bits)1 << slot;
	}
	return allowed;
}

/*
 * A buffer begins `offset` bytes behind a slot boundary, or behind the alignment of
 * the allocation if that is more: those bits of the address are kept by the place inside
 * the slots. The bits above, up to @min_align_mask, are kept by the choice of the slot.
 */
static bool find_shape(struct dma_bounce *bounce, const struct bounce_request *request,
		       struct bounce_shape *shape)
{
	uint64_t min_align = request->min_align_mask, align = request->alloc_align_mask | SLOT_MASK;
	uint64_t keep = min_align & ~align;
	uint64_t offset = request->phys & min_align & align;

	/* With the first two, no sum below exceeds a segment. */
	if (unlikely(request->size - 1 >= bounce_max_size(min_align) || align > SEGMENT_MASK))
		return too_long(bounce, request);
	/* Drivers rely on it that pages stay pages. */
	if (!min_align && !request->alloc_align_mask && request->size >= PAGE)
		align = PAGE - 1;
	shape->offset = (uint32_t)offset;
	shape->slots =
		(uint32_t)(align_up(align_up(request->size + offset, request->alloc_align_mask + 1),
				    DMA_BOUNCE_SLOT) >>
			   BOUNCE_SLOT_SHIFT);
	shape->allowed = every(order_of((keep | align) + 1) - BOUNCE_SLOT_SHIFT)
			 << ((request->phys & keep) >> BOUNCE_SLOT_SHIFT);
	if (unlikely(request->boundary < SEGMENT_MASK)) {
		shape->allowed &= between(request->boundary, offset, request->size);
		if (!shape->allowed)
			return crosses(bounce, request);
	}
	return true;
}

phys_addr_t bounce_map(struct dma_bounce *bounce, const struct bounce_request *request)
{
	struct bounce_mapping *mapping;
	struct bounce_shape shape;

	if (unlikely(!find_shape(bounce, request, &shape)))
		return BOUNCE_NONE;
	mapping = likely(!bounce_is_inherited(bounce)) ? bounce_take(bounce, &shape, request)
						       : NULL;
	if (unlikely(!mapping))
		return no_room(bounce, request);
	if (request->alloc_align_mask) {
		size_t behind =
			((size_t)shape.slots << BOUNCE_SLOT_SHIFT) - shape.offset - request->size;

		/* Clearing nothing is not free everywhere: some memset() are slow at it. */
		if (shape.offset)
			memset(mapping->buffer - shape.offset, 0, shape.offset);
		if (behind)
			memset(mapping->buffer + request->size, 0, behind);
	}
	memcpy(mapping->buffer, request->cpu, request->size);
	return bounce_start(mapping);
}

phys_addr_t bounce_start(const struct bounce_mapping *mapping)
{
	return (uintptr_t)mapping->buffer;
}

size_t bounce_size(const struct bounce_mapping *mapping)
{
	return mapping->size;
}

phys_addr_t bounce_origin(const struct bounce_mapping *mapping)
{
	return mapping->origin;
}

/* The part of the buffer that lies in [phys, phys + size). */
static size_t clip(const struct bounce_mapping *mapping, phys_addr_t phys, size_t size,
		   uint64_t *first)
{
	phys_addr_t start = bounce_start(mapping);

	if (phys < start) {
		size = size > start - phys ? size - (start - phys) : 0;
		phys = start;
	}
	*first = 0;
	if (phys - start >= mapping->size)
		return 0;
	*first = phys - start;
	return size < mapping->size - *first ? size : mapping->size - *first;
}

/* The largest power of two up to 8 that divides @at and is not more than @most. */
static size_t piece(uint64_t at, size_t most)
{
	size_t size = (size_t)1 << __builtin_ctzll(at | 8);

	while (size > most)
		size /= 2;
	return size;
}

/* Ascending, so that the last word of a record tells the device that the rest is there. */
static void copy_in(char *buffer, const char *cpu, size_t size)
{
	while (size) {
		uint64_t at = (uintptr_t)buffer;
		size_t part = piece(at, size);

		if (part == 8) {
			part = MEMORY_COPY_WORDS - (at & (MEMORY_COPY_WORDS - 1));
			if (part > size)
				part = size & ~(size_t)7;
		}
		memory_copy_to(buffer, cpu, part);
		buffer += part;
		cpu += part;
		size -= part;
	}
}

/*
 * Descending: a device that writes a record stores its last word last, so a copy that has
 * the new last word must have read the others after it.
 */
static void copy_out(char *cpu, const char *buffer, size_t size)
{
	while (size) {
		size_t part = piece((uintptr_t)buffer + size, size);

		size -= part;
		if (likely(part == 8)) {
			uint64_t word = __atomic_load_n((const uint64_t *)(buffer + size),
							__ATOMIC_ACQUIRE);

			memcpy(cpu + size, &word, sizeof(word));
		} else {
			memory_copy_from(cpu + size, buffer + size, part);
		}
	}
}

size_t bounce_to_device(struct bounce_mapping *mapping, phys_addr_t phys, size_t size)
{
	uint64_t first;

	size = clip(mapping, phys, size, &first);
	if (size <= SINGLE_ACCESSES)
		copy_in(mapping->buffer + first, (const char *)mapping->cpu + first, size);
	else
		memcpy(mapping->buffer + first, (const char *)mapping->cpu + first, size);
	return size;
}

size_t bounce_to_cpu(struct bounce_mapping *mapping, phys_addr_t phys, size_t size)
{
	uint64_t first;

	size = clip(mapping, phys, size, &first);
	if (size <= SINGLE_ACCESSES)
		copy_out((char *)mapping->cpu + first, mapping->buffer + first, size);
	else
		memcpy((char *)mapping->cpu + first, mapping->buffer + first, size);
	return size;
}

void bounce_list_add(struct bounce_list *list, struct bounce_mapping *mapping, bool copy_back)
{
	if (mapping->listed)
		return;
	mapping->listed = true;
	mapping->copy_back = copy_back;
	mapping->next = list->first;
	list->first = mapping;
}

const struct bounce_mapping *bounce_list_next(const struct bounce_mapping *mapping)
{
	return mapping->next;
}

/* A list grows at its front. */
static void reverse(struct bounce_list *list)
{
	struct bounce_mapping *mapping = list->first, *next;

	for (list->first = NULL; mapping; mapping = next) {
		next = mapping->next;
		mapping->next = list->first;
		list->first = mapping;
	}
}

void bounce_list_finish(struct bounce_list *list)
{
	struct bounce_mapping *mapping;

	/* Of two buffers for the same memory the later one has the later bytes. */
	reverse(list);
	while ((mapping = list->first)) {
		list->first = mapping->next;
		/* A child has neither the device's bytes nor the pool. */
		if (unlikely(bounce_is_inherited(mapping->pool)))
			continue;
		if (mapping->copy_back)
			memcpy(mapping->cpu, mapping->buffer, mapping->size);
		bounce_give_back(mapping);
	}
}

void bounce_list_join(struct bounce_list *list, const struct bounce_list *more)
{
	struct bounce_mapping *last = more->first;

	if (!last)
		return;
	while (last->next)
		last = last->next;
	last->next = list->first;
	list->first = more->first;
}
