/* SPDX-License-Identifier: MIT */
/* What the tests of the mapping API share: a device, memory, and what the device sees of it. */
#ifndef TESTS_DMA_SETUP_H
#define TESTS_DMA_SETUP_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <twostep/bus.h>
#include <twostep/debug.h>
#include <twostep/device.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>
#include <twostep/memory.h>

#define PAGE 4096ULL
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A test for each page-table format, whose name is its state. */
#define EACH_FORMAT(test)                                           \
	{#test " vtd-ss", test, NULL, NULL, (void *)"vtd-ss"},      \
	{                                                           \
#test " x86-64", test, NULL, NULL, (void *)"x86-64" \
	}

struct device {
	struct dma_dev *dev;
	struct dma_space *space;
	struct dma_port *port;
	uint64_t leaks;
};

static inline struct device device_open(const char *uri)
{
	struct device d = {.leaks = dma_leak_count()};

	assert_int_equal(dma_dev_open(uri, &d.dev), 0);
	assert_int_equal(dma_set_mask_and_coherent(d.dev, DMA_BIT_MASK(64)), 0);
	d.space = dma_dev_space(d.dev);
	d.port = dma_dev_port(d.dev);
	return d;
}

/* In the format that the test is for; @options begins with a comma, or is empty. */
static inline struct device soft_open(void **state, const char *options)
{
	char uri[128];

	snprintf(uri, sizeof(uri), "soft:pgtable=%s%s", (const char *)*state, options);
	return device_open(uri);
}

static inline struct dma_stats stats_of(const struct device *d)
{
	struct dma_stats stats;

	assert_int_equal(dma_space_stats(d->space, &stats), 0);
	return stats;
}

/* Nothing is left, and exactly @misuse calls have been wrong. */
static inline void device_close(struct device *d, uint64_t misuse)
{
	struct dma_stats stats = stats_of(d);

	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.misuse, misuse);
	dma_dev_close(d->dev);
	assert_int_equal(dma_leak_count(), d->leaks);
}

/* Whether exactly @times calls were misused since misuse_expect(), and said so. */
struct misuse {
	uint64_t before;
};

static inline struct misuse misuse_expect(const struct device *d)
{
	dma_clear_error();
	return (struct misuse){stats_of(d).misuse};
}

static inline void misuse_check(const struct device *d, struct misuse misuse, uint64_t times)
{
	assert_int_equal(stats_of(d).misuse - misuse.before, times);
	if (times)
		assert_string_not_equal(dma_last_error(), "");
}

/* Memory. Every byte of page i is @first + i. */
static inline uint8_t *pages_new(size_t pages, unsigned int first)
{
	uint8_t *memory = aligned_alloc(PAGE, pages * PAGE);

	assert_non_null(memory);
	for (size_t i = 0; i < pages; i++)
		memset(memory + i * PAGE, (uint8_t)(first + i), PAGE);
	return memory;
}

/* Zeroes, a lot of them, that cost memory only where touched. @alignment is a power of two. */
struct expanse {
	uint8_t *at;
	void *mapping;
	size_t mapped;
};

static inline struct expanse expanse_new(size_t size, size_t alignment)
{
	struct expanse e = {.mapped = size + alignment};
	uintptr_t at;

	e.mapping = mmap(NULL, e.mapped, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(e.mapping, MAP_FAILED);
	at = ((uintptr_t)e.mapping + alignment - 1) & ~(alignment - 1);
	e.at = (uint8_t *)at;
	return e;
}

static inline void expanse_free(struct expanse *e)
{
	munmap(e->mapping, e->mapped);
}

/* What the device sees. */

static inline void assert_reads(const struct device *d, dma_addr_t addr, unsigned int value)
{
	uint8_t byte = (uint8_t)~value;

	assert_int_equal(dma_bus_read(d->port, addr, &byte, 1), 0);
	assert_int_equal(byte, (uint8_t)value);
}

static inline void assert_refused(const struct device *d, dma_addr_t addr)
{
	uint8_t byte = 0;

	assert_int_equal(dma_bus_read(d->port, addr, &byte, 1), -EFAULT);
	assert_int_equal(dma_bus_write(d->port, addr, &byte, 1), -EFAULT);
}

/* Pages of @value, @value + 1, ... */
static inline void assert_reads_pages(const struct device *d, dma_addr_t addr, size_t pages,
				      unsigned int value)
{
	for (size_t i = 0; i < pages; i++)
		assert_reads(d, addr + i * PAGE, (unsigned int)(value + i));
}

static inline void assert_refused_pages(const struct device *d, dma_addr_t addr, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		assert_refused(d, addr + i * PAGE);
}

/* How many entries translate what is linked there, if the device has never looked: misses. */
static inline uint64_t leaves(const struct device *d, dma_addr_t addr, uint64_t size, uint64_t step)
{
	struct dma_port_stats before, after;
	uint8_t byte;

	dma_port_stats(d->port, &before);
	for (uint64_t at = 0; at < size; at += step)
		assert_int_equal(dma_bus_read(d->port, addr + at, &byte, 1), 0);
	dma_port_stats(d->port, &after);
	return after.iotlb_misses - before.iotlb_misses;
}

/* All that a failed call must leave as it was. */
#define SNAPSHOT_PAGES 64

struct snapshot {
	struct dma_stats stats;
	dma_addr_t addr;
	size_t pages;
	int seen[SNAPSHOT_PAGES]; /* first byte of each page, or the error */
};

static inline int seen_at(const struct device *d, dma_addr_t addr)
{
	uint8_t byte = 0;
	int err = dma_bus_read(d->port, addr, &byte, 1);

	return err ? err : byte;
}

static inline struct snapshot snapshot_take(const struct device *d, dma_addr_t addr, size_t pages)
{
	struct snapshot s = {.stats = stats_of(d), .addr = addr, .pages = pages};

	assert_true(pages <= SNAPSHOT_PAGES);
	for (size_t i = 0; i < pages; i++)
		s.seen[i] = seen_at(d, addr + i * PAGE);
	return s;
}

/* Empty tables may have come; nothing else may have changed. */
static inline void assert_unchanged_but_tables(const struct device *d, const struct snapshot *s)
{
	struct dma_stats now = stats_of(d);

	assert_int_equal(now.iova_allocs, s->stats.iova_allocs);
	assert_int_equal(now.iova_live, s->stats.iova_live);
	assert_int_equal(now.bytes_mapped, s->stats.bytes_mapped);
	assert_int_equal(now.iotlb_invalidations, s->stats.iotlb_invalidations);
	for (size_t i = 0; i < s->pages; i++)
		assert_int_equal(seen_at(d, s->addr + i * PAGE), s->seen[i]);
}

static inline void assert_unchanged(const struct device *d, const struct snapshot *s)
{
	struct dma_stats now = stats_of(d);

	assert_int_equal(now.pte_writes, s->stats.pte_writes);
	assert_int_equal(now.metadata_bytes, s->stats.metadata_bytes);
	assert_unchanged_but_tables(d, s);
}

/* Reservations. */

static inline struct dma_iova_state reserve(const struct device *d, phys_addr_t phys, size_t size)
{
	struct dma_iova_state iova;

	assert_true(dma_iova_try_alloc(d->dev, &iova, phys, size));
	return iova;
}

static inline void link_at(const struct device *d, struct dma_iova_state *iova, size_t offset,
			   const void *memory, size_t size)
{
	assert_int_equal(dma_iova_link(d->dev, iova, virt_to_phys(memory), offset, size,
				       DMA_BIDIRECTIONAL, 0),
			 0);
}

static inline void unlink_at(const struct device *d, struct dma_iova_state *iova, size_t offset,
			     size_t size)
{
	dma_iova_unlink(d->dev, iova, offset, size, DMA_BIDIRECTIONAL, 0);
}

static inline void destroy(const struct device *d, struct dma_iova_state *iova, size_t mapped)
{
	dma_iova_destroy(d->dev, iova, mapped, DMA_BIDIRECTIONAL, 0);
}

#endif
