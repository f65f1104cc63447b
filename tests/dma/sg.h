/* SPDX-License-Identifier: MIT */
/* What the tests of scatter-gather lists share: lists, and how a mapped one must look. */
#ifndef TESTS_DMA_SG_H
#define TESTS_DMA_SG_H

#include <twostep/bounce.h>
#include <twostep/scatterlist.h>

#include "base/base.h"
#include "setup.h"

#define MAX_ENTRIES 1024

/* How a device wants its segments. */
struct shape {
	unsigned int max_seg_size;
	unsigned long boundary;
	bool separate; /* each entry is a segment */
};

static inline struct shape shape_of(const struct device *d, bool separate)
{
	return (struct shape){dma_get_max_seg_size(d->dev), dma_get_seg_boundary(d->dev), separate};
}

/* An entry that no call has touched yet: all its DMA members are wrong. */
static inline void entry_set(struct scatterlist *sg, const void *memory, size_t length)
{
	sg_set_phys(sg, virt_to_phys(memory), (unsigned int)length);
	sg->dma_address = 0x1234567;
	sg->dma_length = 77;
}

static inline void assert_poisoned(const struct scatterlist *sgl, size_t nents)
{
	for (size_t i = 0; i < nents; i++) {
		assert_int_equal(sgl[i].dma_address, DMA_MAPPING_ERROR);
		assert_int_equal(sgl[i].dma_length, 0);
		assert_false(sg_dma_is_bus_address(&sgl[i]));
	}
}

/* What the caller owns is as it was. */
static inline void assert_same_memory(const struct scatterlist *sgl, const struct scatterlist *was,
				      size_t nents)
{
	for (size_t i = 0; i < nents; i++) {
		assert_int_equal(sgl[i].paddr, was[i].paddr);
		assert_int_equal(sgl[i].length, was[i].length);
	}
}

static inline uint8_t *entry_memory(const struct scatterlist *sg)
{
	return (uint8_t *)(uintptr_t)sg->paddr;
}

/*
 * The reference: the segments of a list without bus addresses, as lengths, by the rules alone.
 * Returns how many; the places of entries in a block are in @place.
 */
static inline size_t reference(const struct scatterlist *sgl, size_t nents, struct shape shape,
			       uint64_t *place, uint64_t *length)
{
	uint64_t at = 0;
	size_t count = 0;

	for (size_t i = 0; i < nents; i++) {
		uint64_t offset = sgl[i].paddr % PAGE;
		uint64_t bytes = (offset + sgl[i].length + PAGE - 1) / PAGE * PAGE;
		bool joins = i && !offset && (sgl[i - 1].paddr + sgl[i - 1].length) % PAGE == 0;
		uint64_t before = at;

		/* Step by step to the next boundary, if it would be crossed. */
		for (uint64_t p = at; p && p < at + bytes; p += PAGE) {
			if ((p & shape.boundary) == 0) {
				at = p;
				break;
			}
		}
		joins = joins && at == before && at & shape.boundary && !shape.separate &&
			length[count - 1] + sgl[i].length <= shape.max_seg_size &&
			/* What is too long already stays alone. */
			(place[i - 1] & ~shape.boundary) ==
				((place[i - 1] + sgl[i - 1].length - 1) & ~shape.boundary);
		place[i] = at + offset;
		if (joins)
			length[count - 1] += sgl[i].length;
		else
			length[count++] = sgl[i].length;
		at += bytes;
	}
	return count;
}

/* All bytes of the list, read through its segments one after the other. */
static inline void assert_device_reads(const struct device *d, const struct scatterlist *sgl,
				       size_t nents, size_t count)
{
	size_t entry = 0, at = 0;
	uint8_t bytes[512];

	for (size_t i = 0; i < count; i++) {
		for (size_t done = 0, part; done < sg_dma_len(&sgl[i]); done += part) {
			part = sg_dma_len(&sgl[i]) - done;
			if (part > sizeof(bytes))
				part = sizeof(bytes);
			if (part > sgl[entry].length - at)
				part = sgl[entry].length - at;
			assert_int_equal(
				dma_bus_read(d->port, sg_dma_address(&sgl[i]) + done, bytes, part),
				0);
			assert_memory_equal(bytes, entry_memory(&sgl[entry]) + at, part);
			at += part;
			if (at == sgl[entry].length) {
				entry++;
				at = 0;
			}
		}
	}
	assert_int_equal(entry, nents);
}

/* A list that was mapped with @count segments is what the rules say, and the device sees it. */
static inline void assert_mapped(const struct device *d, const struct scatterlist *sgl,
				 size_t nents, size_t count, struct shape shape)
{
	static uint64_t place[MAX_ENTRIES], length[MAX_ENTRIES];
	uint64_t sum = 0, mapped = 0;

	assert_true(nents <= MAX_ENTRIES);
	assert_int_equal(count, reference(sgl, nents, shape, place, length));
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(sg_dma_len(&sgl[i]), length[i]);
		mapped += sg_dma_len(&sgl[i]);
	}
	for (size_t i = 0; i < nents; i++)
		sum += sgl[i].length;
	assert_int_equal(mapped, sum);
	assert_poisoned(sgl + count, nents - count);
	if (!shape.separate) {
		dma_addr_t block = sg_dma_address(&sgl[0]) - place[0];

		for (size_t i = 0, segment = 0; i < nents; i++) {
			if (segment < count && sg_dma_address(&sgl[segment]) == block + place[i])
				segment++;
			if (i == nents - 1)
				assert_int_equal(segment, count);
		}
	}
	assert_device_reads(d, sgl, nents, count);
}

static inline uint64_t buffers_used(void)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(NULL, &stats);
	return stats.used;
}

#endif
