/* SPDX-License-Identifier: MIT */
/* What the tests of the copy driver share: engines of every kind, and buffers. */
#ifndef TESTS_COPY_SETUP_H
#define TESTS_COPY_SETUP_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/copy.h>
#include <twostep/device.h>
#include <twostep/error.h>
#include <twostep/mapping.h>

#define PAGE 4096u
#define STEPPED "soft:copy,thread=off"
#define THREADED "soft:copy"

/* Engines that the driver must work on alike; the first two are the plain ones. */
static const char *const engines[] = {
	STEPPED,
	THREADED,
	"soft:copy,coherent=off,thread=off",
	"soft:copy,coherent=off",
	"soft:copy,untrusted",
	"soft:copy,untrusted,coherent=off",
	"soft:copy,bounce=force,thread=off",
	"soft:copy,bounce=force",
	"soft:copy,bounce=force,coherent=off",
	"direct:copy",
	"direct:copy,bounce=force,thread=off",
	"direct:copy,bounce=force",
	"direct:copy,mask=32",
};

#define NR_ENGINES (sizeof(engines) / sizeof(engines[0]))

static inline bool is_stepped(const char *uri)
{
	return strstr(uri, "thread=off");
}

static inline bool is_translated(const char *uri)
{
	return !strncmp(uri, "soft:", 5);
}

struct setup {
	struct dma_dev *dev;
	struct ts_copy *copy;
	uint64_t leaks;
};

struct buffer {
	uint8_t *mem;
	size_t size;
	dma_addr_t addr;
	enum dma_data_direction dir;
};

static inline void setup_open(struct setup *setup, const char *uri, unsigned int ring_entries)
{
	setup->leaks = dma_leak_count();
	assert_int_equal(dma_dev_open(uri, &setup->dev), 0);
	assert_int_equal(ts_copy_open(setup->dev, ring_entries, &setup->copy), 0);
}

static inline uint64_t setup_live(struct dma_dev *dev)
{
	struct dma_stats stats;

	assert_int_equal(dma_space_stats(dma_dev_space(dev), &stats), 0);
	return stats.iova_live;
}

/* Buffers must be gone: nothing may be mapped when the driver has let go. */
static inline void setup_close(struct setup *setup)
{
	struct dma_stats stats;

	ts_copy_close(setup->copy);
	assert_int_equal(dma_space_stats(dma_dev_space(setup->dev), &stats), 0);
	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.misuse, 0);
	dma_dev_close(setup->dev);
	assert_int_equal(dma_leak_count(), setup->leaks);
}

static inline void buffer_open(struct dma_dev *dev, struct buffer *buffer, size_t size,
			       enum dma_data_direction dir)
{
	*buffer = (struct buffer){.size = size, .dir = dir};
	buffer->mem = aligned_alloc(PAGE, (size + PAGE - 1) / PAGE * PAGE);
	assert_non_null(buffer->mem);
	memset(buffer->mem, 0, size);
	buffer->addr = dma_map_single(dev, buffer->mem, size, dir);
	assert_int_equal(dma_mapping_error(dev, buffer->addr), 0);
}

static inline void buffer_close(struct dma_dev *dev, struct buffer *buffer)
{
	dma_unmap_single(dev, buffer->addr, buffer->size, buffer->dir);
	free(buffer->mem);
}

/* The CPU has written, or wants to read, a buffer that stays mapped. */
static inline void buffer_to_device(struct dma_dev *dev, const struct buffer *buffer)
{
	dma_sync_single_for_device(dev, buffer->addr, buffer->size, buffer->dir);
}

static inline void buffer_to_cpu(struct dma_dev *dev, const struct buffer *buffer)
{
	dma_sync_single_for_cpu(dev, buffer->addr, buffer->size, buffer->dir);
}

static inline struct ts_copy_result next_result(struct setup *setup)
{
	struct ts_copy_result result;

	assert_int_equal(ts_copy_wait(setup->copy, &result, -1), 0);
	return result;
}

static inline int copy_one(struct setup *setup, dma_addr_t src, dma_addr_t dst, uint64_t len,
			   uint64_t cookie)
{
	return ts_copy_submit(setup->copy, &(struct ts_copy_seg){src, len}, 1,
			      &(struct ts_copy_seg){dst, len}, 1, cookie);
}

static inline int fill_one(struct setup *setup, uint64_t pattern, dma_addr_t dst, uint64_t len,
			   uint64_t cookie)
{
	return ts_copy_fill(setup->copy, pattern, &(struct ts_copy_seg){dst, len}, 1, cookie);
}

#endif
