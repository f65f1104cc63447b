/* SPDX-License-Identifier: MIT */
/* What the tests of bounce buffers share: a buffer with neighbours, and what pools have lent. */
#ifndef TESTS_DMA_BOUNCE_H
#define TESTS_DMA_BOUNCE_H

#include <twostep/bounce.h>

#include "setup.h"

#define KIB 1024ULL
/* What else is in the granules of a buffer, and no device's business. */
#define NEIGHBOUR 0xee

/* Bytes lent now; @pool NULL: by the default pools. */
static inline uint64_t lent(const struct dma_bounce *pool)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(pool, &stats);
	return stats.used;
}

/* Buffers lent, ever. */
static inline uint64_t lent_ever(const struct dma_bounce *pool)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(pool, &stats);
	return stats.maps;
}

/* @size bytes that begin @start bytes behind a granule boundary, among neighbours. */
struct buffer {
	uint8_t *pages;
	size_t nr_pages;
	size_t start;
	size_t size;
	uint8_t *at; /* pages + start */
	uint8_t *was; /* its content, of which no byte is 0 or a neighbour's */
};

static inline uint8_t content(size_t i)
{
	return (uint8_t)(i * 7 % 0xed + 1);
}

static inline void buffer_reset(struct buffer *b)
{
	memset(b->pages, NEIGHBOUR, b->nr_pages * PAGE);
	memcpy(b->at, b->was, b->size);
}

static inline struct buffer buffer_new(size_t start, size_t size)
{
	struct buffer b = {.start = start, .size = size};

	b.nr_pages = (start + size + PAGE - 1) / PAGE;
	b.pages = aligned_alloc(PAGE, b.nr_pages * PAGE);
	b.was = malloc(size);
	assert_non_null(b.pages);
	assert_non_null(b.was);
	b.at = b.pages + start;
	for (size_t i = 0; i < size; i++)
		b.was[i] = content(i);
	buffer_reset(&b);
	return b;
}

static inline void buffer_free(struct buffer *b)
{
	free(b->pages);
	free(b->was);
}

static inline void assert_all(const uint8_t *bytes, size_t size, uint8_t value)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], value);
}

/* No neighbour has been written to. */
static inline void assert_neighbours(const struct buffer *b)
{
	assert_all(b->pages, b->start, NEIGHBOUR);
	assert_all(b->at + b->size, b->nr_pages * PAGE - b->start - b->size, NEIGHBOUR);
}

/* The buffer has what it had in the beginning, and so have its neighbours. */
static inline void assert_as_before(const struct buffer *b)
{
	assert_memory_equal(b->at, b->was, b->size);
	assert_neighbours(b);
}

/* The device, at @addr, sees @expected in all of the granules, and zeroes around it. */
static inline void assert_sees(const struct device *d, dma_addr_t addr, const uint8_t *expected,
			       size_t size)
{
	dma_addr_t first = addr & ~(PAGE - 1), end = (addr + size + PAGE - 1) & ~(PAGE - 1);
	uint8_t *seen = malloc(end - first);

	assert_non_null(seen);
	memset(seen, 0x5a, end - first);
	assert_int_equal(dma_bus_read(d->port, first, seen, end - first), 0);
	assert_all(seen, addr - first, 0);
	assert_memory_equal(seen + (addr - first), expected, size);
	assert_all(seen + (addr - first) + size, end - addr - size, 0);
	free(seen);
}

/* The device writes @value to all of the granules in which [addr, addr + size) lies. */
static inline void write_granules(const struct device *d, dma_addr_t addr, size_t size,
				  uint8_t value)
{
	dma_addr_t first = addr & ~(PAGE - 1), end = (addr + size + PAGE - 1) & ~(PAGE - 1);
	uint8_t *bytes = malloc(end - first);

	assert_non_null(bytes);
	memset(bytes, value, end - first);
	assert_int_equal(dma_bus_write(d->port, first, bytes, end - first), 0);
	free(bytes);
}

static inline void write_byte(const struct device *d, dma_addr_t addr, uint8_t value)
{
	assert_int_equal(dma_bus_write(d->port, addr, &value, 1), 0);
}

/* A state for the buffer, with all of it linked and synced. */
static inline struct dma_iova_state link_buffer(const struct device *d, const struct buffer *b,
						enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_iova_state iova = reserve(d, virt_to_phys(b->at), b->size);

	assert_int_equal(dma_iova_link(d->dev, &iova, virt_to_phys(b->at), 0, b->size, dir, attrs),
			 0);
	assert_int_equal(dma_iova_sync(d->dev, &iova, 0, b->size), 0);
	return iova;
}

static inline dma_addr_t map_buffer(const struct device *d, const struct buffer *b,
				    enum dma_data_direction dir)
{
	dma_addr_t addr = dma_map_single(d->dev, b->at, b->size, dir);

	assert_int_equal(dma_mapping_error(d->dev, addr), 0);
	return addr;
}

/* A pool of the caller's. */
static inline struct dma_bounce *pool_new(uint64_t size, uint64_t max_size)
{
	const struct dma_bounce_desc desc = {.size = size, .max_size = max_size, .areas = 1};
	struct dma_bounce *pool;

	assert_int_equal(dma_bounce_create(&desc, &pool), 0);
	return pool;
}

/* No slot is lent any more, and no device has it. */
static inline void pool_free(struct dma_bounce *pool)
{
	assert_int_equal(lent(pool), 0);
	assert_int_equal(dma_bounce_destroy(pool), 0);
}

/* Memory whose pages may move. */
static inline phys_addr_t register_no_pin(void *memory, size_t size)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM,
		.size = size,
		.cpu = memory,
		.fd = -1,
		.flags = DMA_MEMORY_NO_PIN,
	};
	phys_addr_t base;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	return base;
}

/* Memory that the CPU has no mapping of. */
static inline int no_access(void *arg, uint64_t offset, void *buf, size_t len)
{
	(void)arg, (void)offset, (void)buf, (void)len;
	return -EIO;
}

static inline phys_addr_t register_without_cpu(size_t size)
{
	static const struct dma_memory_ops ops = {
		no_access, (int (*)(void *, uint64_t, const void *, size_t))no_access};
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_P2P, .size = size, .fd = -1, .ops = &ops};
	phys_addr_t base;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	return base;
}

#endif
