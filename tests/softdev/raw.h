/* SPDX-License-Identifier: MIT */
/*
 * A bare driver of the copy engine for tests: rings that the test writes byte by byte,
 * and registers without anything in between.
 */
#ifndef TESTS_SOFTDEV_RAW_H
#define TESTS_SOFTDEV_RAW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <twostep/device.h>
#include <twostep/mapping.h>

#include "softdev/copy_regs.h"

#define RAW_PAGE 4096u
#define RAW_ORDER 2u
#define RAW_ENTRIES (1u << RAW_ORDER)

/* A piece of memory, mapped, with a page on both sides that never is. */
struct raw_buf {
	uint8_t *alloc;
	uint8_t *mem;
	size_t size;
	dma_addr_t addr;
	enum dma_data_direction dir;
};

struct raw {
	struct dma_dev *dev;
	struct raw_buf ring, done;
	uint32_t tail;
};

/* Fields in the order that designated initialisers of tests use; written little-endian. */
struct raw_desc {
	uint8_t opcode, flags;
	uint64_t cookie, length, src, dst;
	uint32_t nr_src, nr_dst;
};

struct raw_done {
	uint64_t cookie, bytes, addr;
	unsigned int code;
	uint32_t index;
	bool phase;
};

static inline void raw_put(uint8_t *at, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static inline uint64_t raw_get(const uint8_t *at)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < 8; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static inline void raw_map(struct dma_dev *dev, struct raw_buf *buf, size_t pages,
			   enum dma_data_direction dir)
{
	buf->size = pages * RAW_PAGE;
	buf->dir = dir;
	buf->alloc = aligned_alloc(RAW_PAGE, buf->size + 2 * RAW_PAGE);
	assert_non_null(buf->alloc);
	memset(buf->alloc, 0, buf->size + 2 * RAW_PAGE);
	buf->mem = buf->alloc + RAW_PAGE;
	buf->addr = dma_map_single(dev, buf->mem, buf->size, dir);
	assert_int_equal(dma_mapping_error(dev, buf->addr), 0);
}

static inline void raw_unmap(struct dma_dev *dev, struct raw_buf *buf)
{
	dma_unmap_single(dev, buf->addr, buf->size, buf->dir);
	free(buf->alloc);
}

static inline uint64_t raw_reg(struct raw *raw, uint64_t offset, unsigned int width)
{
	uint64_t value = 0;

	assert_int_equal(dma_dev_reg_read(raw->dev, 0, offset, &value, width), 0);
	return value;
}

static inline void raw_set(struct raw *raw, uint64_t offset, uint64_t value, unsigned int width)
{
	assert_int_equal(dma_dev_reg_write(raw->dev, 0, offset, value, width), 0);
}

static inline unsigned int raw_state(struct raw *raw)
{
	return COPY_STATUS_STATE(raw_reg(raw, COPY_REG_STATUS, 4));
}

static inline unsigned int raw_error(struct raw *raw)
{
	return COPY_STATUS_ERROR(raw_reg(raw, COPY_REG_STATUS, 4));
}

static inline void raw_nap(void)
{
	nanosleep(&(struct timespec){0, 100000}, NULL);
}

static inline void raw_disable(struct raw *raw)
{
	raw_set(raw, COPY_REG_CONTROL, 0, 4);
	while (raw_state(raw) != COPY_STATE_DISABLED)
		raw_nap();
}

static inline void raw_enable(struct raw *raw)
{
	memset(raw->done.mem, 0, raw->done.size);
	raw->tail = 0;
	raw_set(raw, COPY_REG_RING_BASE, raw->ring.addr, 8);
	raw_set(raw, COPY_REG_DONE_BASE, raw->done.addr, 8);
	raw_set(raw, COPY_REG_RING_ORDER, RAW_ORDER, 4);
	raw_set(raw, COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4);
	assert_int_equal(raw_state(raw), COPY_STATE_READY);
}

static inline void raw_open(struct raw *raw, const char *uri)
{
	assert_int_equal(dma_dev_open(uri, &raw->dev), 0);
	assert_int_equal(dma_set_mask_and_coherent(raw->dev, DMA_BIT_MASK(64)), 0);
	raw_map(raw->dev, &raw->ring, 1, DMA_TO_DEVICE);
	raw_map(raw->dev, &raw->done, 1, DMA_FROM_DEVICE);
	raw_enable(raw);
}

static inline void raw_close(struct raw *raw)
{
	raw_disable(raw);
	raw_unmap(raw->dev, &raw->ring);
	raw_unmap(raw->dev, &raw->done);
	dma_dev_close(raw->dev);
}

static inline uint8_t *raw_slot(struct raw *raw)
{
	return raw->ring.mem + raw->tail % RAW_ENTRIES * COPY_DESC_SIZE;
}

static inline void raw_ring(struct raw *raw)
{
	raw_set(raw, COPY_REG_TAIL, ++raw->tail, 4);
}

static inline void raw_write_desc(uint8_t *slot, const struct raw_desc *desc)
{
	memset(slot, 0, COPY_DESC_SIZE);
	slot[COPY_DESC_OPCODE] = desc->opcode;
	slot[COPY_DESC_FLAGS] = desc->flags;
	raw_put(slot + COPY_DESC_COOKIE, desc->cookie, 8);
	raw_put(slot + COPY_DESC_LENGTH, desc->length, 8);
	raw_put(slot + COPY_DESC_SRC, desc->src, 8);
	raw_put(slot + COPY_DESC_DST, desc->dst, 8);
	raw_put(slot + COPY_DESC_NR_SRC, desc->nr_src, 4);
	raw_put(slot + COPY_DESC_NR_DST, desc->nr_dst, 4);
}

static inline void raw_submit(struct raw *raw, const struct raw_desc *desc)
{
	raw_write_desc(raw_slot(raw), desc);
	raw_ring(raw);
}

static inline void raw_piece(uint8_t *list, unsigned int i, uint64_t addr, uint64_t len)
{
	raw_put(list + i * COPY_PIECE_SIZE + COPY_PIECE_ADDR, addr, 8);
	raw_put(list + i * COPY_PIECE_SIZE + COPY_PIECE_LEN, len, 8);
}

/* The completion of descriptor @index, as it stands in memory. */
static inline struct raw_done raw_done_at(struct raw *raw, uint32_t index)
{
	const uint8_t *done = raw->done.mem + index % RAW_ENTRIES * COPY_DONE_SIZE;
	uint64_t word =
		__atomic_load_n((const uint64_t *)(done + COPY_DONE_WORD), __ATOMIC_ACQUIRE);

	word = raw_get((const uint8_t *)&word);
	return (struct raw_done){
		.cookie = raw_get(done + COPY_DONE_COOKIE),
		.bytes = raw_get(done + COPY_DONE_BYTES),
		.addr = raw_get(done + COPY_DONE_ADDR),
		.code = COPY_WORD_CODE(word),
		.index = (uint32_t)(word >> COPY_WORD_INDEX_SHIFT),
		.phase = word & COPY_WORD_PHASE,
	};
}

/* Submits to a stepped engine, lets it work, and returns the completion. */
static inline struct raw_done raw_run(struct raw *raw, const struct raw_desc *desc)
{
	uint32_t index = raw->tail;
	struct raw_done done;

	raw_submit(raw, desc);
	assert_int_equal(dma_dev_step(raw->dev), 1);
	done = raw_done_at(raw, index);
	assert_int_equal(done.phase, !(index >> RAW_ORDER & 1));
	assert_int_equal(done.index, index);
	assert_int_equal(done.cookie, desc->cookie);
	assert_int_equal(raw_reg(raw, COPY_REG_HEAD, 4), index + 1);
	assert_int_equal(raw_state(raw), COPY_STATE_READY);
	return done;
}

#endif
