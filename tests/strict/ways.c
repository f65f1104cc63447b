/* SPDX-License-Identifier: MIT */
/* All the ways to take memory away from a device, used right and wrong. */
#include "strict.h"

static uint8_t filler[PAGE] __attribute__((__aligned__(4096)));
static uint8_t other[LARGE + PAGE] __attribute__((__aligned__(2 << 20)));

static void unlink_all(struct dma_dev *dev, struct mapping *m)
{
	dma_iova_unlink(dev, &m->state, 0, m->size, DMA_BIDIRECTIONAL, 0);
}

static void unlink_by_page(struct dma_dev *dev, struct mapping *m)
{
	for (size_t offset = m->size; offset; offset -= PAGE)
		dma_iova_unlink(dev, &m->state, offset - PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
}

/* The whole unit goes, and so does what lies outside of a large entry's part. */
static void unlink_a_part(struct dma_dev *dev, struct mapping *m)
{
	dma_iova_unlink(dev, &m->state, m->size - PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
}

static void destroy(struct dma_dev *dev, struct mapping *m)
{
	dma_iova_destroy(dev, &m->state, m->size, DMA_BIDIRECTIONAL, 0);
}

static void destroy_too_little(struct dma_dev *dev, struct mapping *m)
{
	dma_iova_destroy(dev, &m->state, m->size - PAGE, DMA_BIDIRECTIONAL, 0);
}

static void free_with_links(struct dma_dev *dev, struct mapping *m)
{
	dma_iova_free(dev, &m->state);
}

static void unmap(struct dma_dev *dev, struct mapping *m)
{
	dma_unmap_phys(dev, m->addr, m->size, DMA_BIDIRECTIONAL, 0);
}

static void unmap_too_much(struct dma_dev *dev, struct mapping *m)
{
	dma_unmap_phys(dev, m->addr, m->size + PAGE, DMA_BIDIRECTIONAL, 0);
}

static void unpremap(struct dma_dev *dev, struct mapping *m)
{
	require(!dma_unpremap(dev, m->phys, m->size));
}

static void gather_unlink(struct dma_dev *dev, struct mapping *m)
{
	dma_gather_begin(dev, &m->gather);
	dma_iova_unlink_gather(dev, &m->state, 0, m->size, DMA_BIDIRECTIONAL, 0, &m->gather);
	dma_gather_end(&m->gather);
}

static void gather_destroy(struct dma_dev *dev, struct mapping *m)
{
	dma_gather_begin(dev, &m->gather);
	dma_iova_destroy_gather(dev, &m->state, m->size, DMA_BIDIRECTIONAL, 0, &m->gather);
	dma_gather_end(&m->gather);
}

static void gather_unlink_then_destroy(struct dma_dev *dev, struct mapping *m)
{
	dma_gather_begin(dev, &m->gather);
	dma_iova_unlink_gather(dev, &m->state, 0, m->size, DMA_BIDIRECTIONAL, 0, &m->gather);
	dma_iova_destroy_gather(dev, &m->state, 0, DMA_BIDIRECTIONAL, 0, &m->gather);
	dma_gather_end(&m->gather);
}

static void gather_unmap(struct dma_dev *dev, struct mapping *m)
{
	dma_gather_begin(dev, &m->gather);
	dma_unmap_phys_gather(dev, m->addr, m->size, DMA_BIDIRECTIONAL, 0, &m->gather);
	dma_gather_end(&m->gather);
}

/* More than a gather holds, the memory in question at @place among them. */
static void gather_at(struct dma_dev *dev, struct mapping *m, size_t place)
{
	dma_addr_t fill[2 * DMA_GATHER_RANGES];
	phys_addr_t phys = virt_to_phys(filler);

	for (size_t i = 0; i < 2 * DMA_GATHER_RANGES; i++) {
		fill[i] = dma_map_phys(dev, phys, PAGE, DMA_TO_DEVICE, 0);
		require(fill[i] != DMA_MAPPING_ERROR);
	}
	dma_gather_begin(dev, &m->gather);
	for (size_t i = 0; i <= 2 * DMA_GATHER_RANGES; i++) {
		/* Neighbours would become one range: not one after the other. */
		size_t at = i * 37 % (2 * DMA_GATHER_RANGES);

		if (i == place)
			dma_unmap_phys_gather(dev, m->addr, m->size, DMA_BIDIRECTIONAL, 0,
					      &m->gather);
		if (i < 2 * DMA_GATHER_RANGES)
			dma_unmap_phys_gather(dev, fill[at], PAGE, DMA_TO_DEVICE, 0, &m->gather);
	}
	dma_gather_end(&m->gather);
}

static void gather_first(struct dma_dev *dev, struct mapping *m)
{
	gather_at(dev, m, 0);
}

static void gather_before_full(struct dma_dev *dev, struct mapping *m)
{
	gather_at(dev, m, DMA_GATHER_RANGES - 1);
}

static void gather_when_full(struct dma_dev *dev, struct mapping *m)
{
	gather_at(dev, m, DMA_GATHER_RANGES);
}

static void gather_last(struct dma_dev *dev, struct mapping *m)
{
	gather_at(dev, m, 2 * DMA_GATHER_RANGES);
}

static void no_gather_unmap(struct dma_dev *dev, struct mapping *m)
{
	dma_gather_begin(NULL, &m->gather);
	dma_unmap_phys_gather(dev, m->addr, m->size, DMA_BIDIRECTIONAL, 0, &m->gather);
}

static void no_gather_unlink(struct dma_dev *dev, struct mapping *m)
{
	dma_iova_unlink_gather(dev, &m->state, 0, m->size, DMA_BIDIRECTIONAL, 0, NULL);
}

static void foreign_gather_destroy(struct dma_dev *dev, struct mapping *m)
{
	struct dma_dev *stranger = open_device("soft:tables=8");

	dma_gather_begin(stranger, &m->gather);
	dma_iova_destroy_gather(dev, &m->state, m->size, DMA_BIDIRECTIONAL, 0, &m->gather);
	dma_gather_end(&m->gather);
	dma_dev_close(stranger);
}

/* Linking into a range that was unlinked in an open gather makes the unlink final. */
static void link_into_gathered(struct dma_dev *dev, struct mapping *m)
{
	/* Where the mapping does not begin with a granule, neither does what comes there. */
	size_t begin = m->addr & (PAGE - 1);
	phys_addr_t phys = virt_to_phys(other + begin);

	require(m->size <= LARGE);
	memset(other, POISON, begin);
	memset(other + begin, GOOD, m->size);
	memset(other + begin + m->size, POISON, PAGE - begin);
	dma_gather_begin(dev, &m->gather);
	dma_iova_unlink_gather(dev, &m->state, 0, m->size, DMA_BIDIRECTIONAL, 0, &m->gather);
	require(!dma_iova_link(dev, &m->state, phys, 0, m->size, DMA_BIDIRECTIONAL, 0));
	require(!dma_iova_sync(dev, &m->state, 0, m->size));
}

const struct way ways[] = {
	{"unlink", .leaves = true, .take = unlink_all},
	{"unlink by page", .leaves = true, .take = unlink_by_page},
	{"unlink of a part of a unit", .leaves = true, .partial = true, .flags = DMA_IOVA_WHOLE,
	 .take = unlink_a_part},
	{"destroy", .take = destroy},
	{"destroy with too little", .partial = true, .take = destroy_too_little},
	{"free with links left", .uncopied = true, .take = free_with_links},
	{"unmap", .streaming = true, .take = unmap},
	{"unmap with too much", .streaming = true, .take = unmap_too_much},
	{"unpremap", .ahead = true, .take = unpremap},
	{"gathered unlink", .leaves = true, .take = gather_unlink},
	{"gathered destroy", .take = gather_destroy},
	{"gathered unlink, then destroy", .take = gather_unlink_then_destroy},
	{"gathered unmap", .streaming = true, .take = gather_unmap},
	{"gathered unmap before many", .streaming = true, .take = gather_first},
	{"gathered unmap of the last that fits", .streaming = true, .take = gather_before_full},
	{"gathered unmap of the first too many", .streaming = true, .take = gather_when_full},
	{"gathered unmap after many", .streaming = true, .take = gather_last},
	{"unmap in a gather of nothing", .streaming = true, .take = no_gather_unmap},
	{"unlink without the gather", .leaves = true, .take = no_gather_unlink},
	{"destroy in a gather of another space", .take = foreign_gather_destroy},
	{"link into gathered", .leaves = true, .relinks = true, .uncopied = true,
	 .take = link_into_gathered},
};
const size_t nr_ways = sizeof(ways) / sizeof(ways[0]);

void map_for(const struct way *way, struct dma_dev *dev, struct mapping *m, phys_addr_t phys,
	     size_t size)
{
	m->phys = phys;
	m->size = size;
	if (way->ahead) {
		require(!dma_premap(dev, phys, size, DMA_BIDIRECTIONAL, 0, &m->addr));
		return;
	}
	if (way->streaming) {
		m->addr = dma_map_phys(dev, phys, size, DMA_BIDIRECTIONAL, 0);
		require(m->addr != DMA_MAPPING_ERROR);
		return;
	}
	/* With room for a large entry, if the memory has it. */
	require(dma_iova_try_alloc_flags(dev, &m->state, phys, size, 0, way->flags));
	require(!dma_iova_link(dev, &m->state, phys, 0, size, DMA_BIDIRECTIONAL, 0));
	require(!dma_iova_sync(dev, &m->state, 0, size));
	m->addr = m->state.addr;
}

void forget(const struct way *way, struct dma_dev *dev, struct mapping *m)
{
	if (way->relinks) {
		dma_iova_destroy(dev, &m->state, m->size, DMA_BIDIRECTIONAL, 0);
		dma_gather_end(&m->gather);
	} else if (way->leaves) {
		dma_iova_free(dev, &m->state);
	}
}
