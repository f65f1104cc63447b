/* SPDX-License-Identifier: MIT */
/*
 * What the engine cannot reach: a transfer ends with the address refused and the bytes
 * before it in place; an engine that cannot reach its rings halts until it is reset.
 */
#include <twostep/iova.h>
#include <twostep/memory.h>

#include "raw.h"

#define SIZE (2 * RAW_PAGE)

struct bench {
	struct raw raw;
	struct raw_buf src, dst, list;
};

static void bench_open(struct bench *b)
{
	raw_open(&b->raw, "soft:copy,thread=off");
	raw_map(b->raw.dev, &b->src, 2, DMA_TO_DEVICE);
	raw_map(b->raw.dev, &b->dst, 2, DMA_FROM_DEVICE);
	raw_map(b->raw.dev, &b->list, 1, DMA_TO_DEVICE);
	memset(b->src.mem, 0xa5, SIZE);
}

static void bench_close(struct bench *b)
{
	raw_unmap(b->raw.dev, &b->src);
	raw_unmap(b->raw.dev, &b->dst);
	raw_unmap(b->raw.dev, &b->list);
	raw_close(&b->raw);
}

/* An address that was mapped, and is not any more. */
static dma_addr_t unmapped(struct bench *b)
{
	struct raw_buf buf;

	raw_map(b->raw.dev, &buf, 1, DMA_BIDIRECTIONAL);
	raw_unmap(b->raw.dev, &buf);
	return buf.addr;
}

static void assert_moved(struct bench *b, size_t bytes)
{
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(b->dst.mem[i], i < bytes ? 0xa5 : 0);
	memset(b->dst.mem, 0, SIZE);
}

static void source(void **state)
{
	struct bench b;
	struct raw_done done;
	dma_addr_t gone;

	(void)state;
	bench_open(&b);
	gone = unmapped(&b);

	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						  .length = 10,
						  .src = gone + 17,
						  .dst = b.dst.addr});
	assert_int_equal(done.code, COPY_CODE_READ_FAULT);
	assert_int_equal(done.addr, gone + 17);
	assert_int_equal(done.bytes, 0);
	assert_moved(&b, 0);

	/* The device may only write there. */
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						  .length = 10,
						  .src = b.dst.addr + 1,
						  .dst = b.dst.addr});
	assert_int_equal(done.code, COPY_CODE_READ_FAULT);
	assert_int_equal(done.addr, b.dst.addr + 1);

	/* Two good pieces before the bad one: what they hold arrives. */
	raw_piece(b.list.mem, 0, b.src.addr, 4099);
	raw_piece(b.list.mem, 1, b.src.addr + 9, 1);
	raw_piece(b.list.mem, 2, gone + RAW_PAGE - 1, 100);
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						  .flags = COPY_FLAG_SRC_LIST,
						  .length = 4200,
						  .src = b.list.addr,
						  .dst = b.dst.addr,
						  .nr_src = 3});
	assert_int_equal(done.code, COPY_CODE_READ_FAULT);
	assert_int_equal(done.addr, gone + RAW_PAGE - 1);
	assert_int_equal(done.bytes, 4100);
	assert_moved(&b, 4100);
	bench_close(&b);
}

static void destination(void **state)
{
	struct bench b;
	struct raw_done done;
	dma_addr_t gone;

	(void)state;
	bench_open(&b);
	gone = unmapped(&b);
	raw_piece(b.list.mem, 0, b.dst.addr, 4097);
	raw_piece(b.list.mem, 1, gone + 1, 3);
	for (unsigned int opcode = COPY_OP_COPY; opcode <= COPY_OP_FILL; opcode++) {
		done = raw_run(&b.raw, &(struct raw_desc){.opcode = (uint8_t)opcode,
							  .flags = COPY_FLAG_DST_LIST,
							  .length = 4100,
							  .src = opcode == COPY_OP_COPY
									 ? b.src.addr
									 : 0xa5a5a5a5a5a5a5a5,
							  .dst = b.list.addr,
							  .nr_dst = 2});
		assert_int_equal(done.code, COPY_CODE_WRITE_FAULT);
		assert_int_equal(done.addr, gone + 1);
		assert_int_equal(done.bytes, 4097);
		assert_moved(&b, 4097);
	}

	/* The device may only read there. */
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_FILL,
						  .length = 8,
						  .src = 0,
						  .dst = b.src.addr + 40});
	assert_int_equal(done.code, COPY_CODE_WRITE_FAULT);
	assert_int_equal(done.addr, b.src.addr + 40);
	assert_int_equal(done.bytes, 0);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(b.src.mem[i], 0xa5);
	bench_close(&b);
}

/* Both sides bad: the destination's fault comes first if it is at an earlier byte. */
static void both(void **state)
{
	struct bench b;
	struct raw_done done;
	dma_addr_t gone;

	(void)state;
	bench_open(&b);
	gone = unmapped(&b);
	raw_piece(b.list.mem, 0, b.src.addr, 100);
	raw_piece(b.list.mem, 1, gone, 100);
	raw_piece(b.list.mem, 2, b.dst.addr, 50);
	raw_piece(b.list.mem, 3, gone + 0x100, 150);
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						  .flags = COPY_FLAG_SRC_LIST | COPY_FLAG_DST_LIST,
						  .length = 200,
						  .src = b.list.addr,
						  .nr_src = 2,
						  .dst = b.list.addr + 32,
						  .nr_dst = 2});
	assert_int_equal(done.code, COPY_CODE_WRITE_FAULT);
	assert_int_equal(done.addr, gone + 0x100);
	assert_int_equal(done.bytes, 50);
	assert_moved(&b, 50);
	bench_close(&b);
}

/* A transfer that runs out of what is mapped ends at its last byte, wherever it began. */
static void edge(void **state)
{
	struct dma_iova_state in, out;
	struct bench b;

	(void)state;
	bench_open(&b);
	assert_true(dma_iova_try_alloc(b.raw.dev, &in, 0, 8 * RAW_PAGE));
	assert_true(dma_iova_try_alloc(b.raw.dev, &out, 0, 8 * RAW_PAGE));
	for (size_t at = 0; at < 5 * RAW_PAGE; at += RAW_PAGE) {
		phys_addr_t src = virt_to_phys(b.src.mem), dst = virt_to_phys(b.dst.mem);

		assert_int_equal(dma_iova_link(b.raw.dev, &in, src, at, RAW_PAGE, DMA_TO_DEVICE, 0),
				 0);
		assert_int_equal(
			dma_iova_link(b.raw.dev, &out, dst, at, RAW_PAGE, DMA_FROM_DEVICE, 0), 0);
	}
	assert_int_equal(dma_iova_sync(b.raw.dev, &in, 0, 5 * RAW_PAGE), 0);
	assert_int_equal(dma_iova_sync(b.raw.dev, &out, 0, 5 * RAW_PAGE), 0);
	for (size_t from = 0; from < 5 * RAW_PAGE; from += 1023) {
		struct raw_desc desc = {.opcode = COPY_OP_COPY,
					.length = 5 * RAW_PAGE + 1 - from,
					.src = in.addr + from,
					.dst = out.addr};
		struct raw_done done = raw_run(&b.raw, &desc);

		assert_int_equal(done.code, COPY_CODE_READ_FAULT);
		assert_int_equal(done.addr, in.addr + 5 * RAW_PAGE);
		assert_int_equal(done.bytes, 5 * RAW_PAGE - from);

		desc.src = in.addr;
		desc.dst = out.addr + from;
		if (!from)
			continue;
		done = raw_run(&b.raw, &desc);
		assert_int_equal(done.code, COPY_CODE_WRITE_FAULT);
		assert_int_equal(done.addr, out.addr + 5 * RAW_PAGE);
		assert_int_equal(done.bytes, 5 * RAW_PAGE - from);
	}
	dma_iova_destroy(b.raw.dev, &in, 5 * RAW_PAGE, DMA_TO_DEVICE, 0);
	dma_iova_destroy(b.raw.dev, &out, 5 * RAW_PAGE, DMA_FROM_DEVICE, 0);
	bench_close(&b);
}

static void lists(void **state)
{
	struct bench b;
	struct raw_done done;
	dma_addr_t gone;

	(void)state;
	bench_open(&b);
	gone = unmapped(&b);
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						  .flags = COPY_FLAG_SRC_LIST,
						  .length = 64,
						  .src = gone + 16,
						  .dst = b.dst.addr,
						  .nr_src = 2});
	assert_int_equal(done.code, COPY_CODE_LIST_FAULT);
	assert_int_equal(done.addr, gone + 16);
	assert_int_equal(done.bytes, 0);
	assert_moved(&b, 0);
	bench_close(&b);
}

static void halts(struct bench *b, uint64_t ring, uint64_t done, unsigned int error, uint64_t addr)
{
	raw_disable(&b->raw);
	raw_enable(&b->raw);
	raw_disable(&b->raw);
	raw_set(&b->raw, COPY_REG_RING_BASE, ring, 8);
	raw_set(&b->raw, COPY_REG_DONE_BASE, done, 8);
	raw_set(&b->raw, COPY_REG_RING_ORDER, RAW_ORDER, 4);
	raw_set(&b->raw, COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4);
	raw_write_desc(b->raw.ring.mem, &(struct raw_desc){.opcode = COPY_OP_NOP});
	raw_set(&b->raw, COPY_REG_TAIL, 2, 4);
	assert_int_equal(dma_dev_step(b->raw.dev), 0);
	assert_int_equal(raw_state(&b->raw), COPY_STATE_HALTED);
	assert_int_equal(raw_error(&b->raw), error);
	assert_int_equal(raw_reg(&b->raw, COPY_REG_ERROR_ADDR, 8), addr);
	assert_int_equal(raw_reg(&b->raw, COPY_REG_HEAD, 4), error == COPY_ERR_DONE_FAULT);
	assert_int_equal(raw_reg(&b->raw, COPY_REG_CONTROL, 4), COPY_CONTROL_ENABLE);
	assert_int_equal(raw_done_at(&b->raw, 0).phase, false);
	/* Nothing more happens until it is reset. */
	raw_set(&b->raw, COPY_REG_TAIL, 3, 4);
	assert_int_equal(raw_reg(&b->raw, COPY_REG_TAIL, 4), 2);
	assert_int_equal(dma_dev_step(b->raw.dev), 0);
}

static void rings(void **state)
{
	struct bench b;
	dma_addr_t gone;

	(void)state;
	bench_open(&b);
	gone = unmapped(&b);
	halts(&b, gone, b.raw.done.addr, COPY_ERR_RING_FAULT, gone);
	/* The device may only write there. */
	halts(&b, b.dst.addr, b.raw.done.addr, COPY_ERR_RING_FAULT, b.dst.addr);
	halts(&b, b.raw.ring.addr, gone, COPY_ERR_DONE_FAULT, gone);
	/* The device may only read there. */
	halts(&b, b.raw.ring.addr, b.src.addr, COPY_ERR_DONE_FAULT, b.src.addr);

	raw_disable(&b.raw);
	raw_enable(&b.raw);
	raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_NOP, .cookie = 77});
	bench_close(&b);
}

/* Runs while the engine is inside the fetch that was refused. */
static void ring_too_far(const struct dma_fault *fault, void *arg)
{
	(void)fault;
	raw_set(arg, COPY_REG_TAIL, 1000, 4);
}

static void first_reason_stays(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b);
	raw_disable(&b.raw);
	raw_set(&b.raw, COPY_REG_RING_BASE, unmapped(&b), 8);
	raw_set(&b.raw, COPY_REG_DONE_BASE, b.raw.done.addr, 8);
	raw_set(&b.raw, COPY_REG_RING_ORDER, RAW_ORDER, 4);
	raw_set(&b.raw, COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4);
	assert_int_equal(
		dma_space_set_fault_handler(dma_dev_space(b.raw.dev), ring_too_far, &b.raw), 0);
	raw_set(&b.raw, COPY_REG_TAIL, 1, 4);
	assert_int_equal(dma_dev_step(b.raw.dev), 0);
	assert_int_equal(raw_state(&b.raw), COPY_STATE_HALTED);
	assert_int_equal(raw_error(&b.raw), COPY_ERR_DOORBELL);
	assert_int_equal(raw_reg(&b.raw, COPY_REG_ERROR_ADDR, 8), 1000);
	assert_int_equal(dma_space_set_fault_handler(dma_dev_space(b.raw.dev), NULL, NULL), 0);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(source),
		cmocka_unit_test(destination),
		cmocka_unit_test(both),
		cmocka_unit_test(edge),
		cmocka_unit_test(lists),
		cmocka_unit_test(rings),
		cmocka_unit_test(first_reason_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
