/* SPDX-License-Identifier: MIT */
/*
 * Disabling or closing the engine in the middle of a transfer stops it: no completion is
 * written, no byte moves afterwards, and the engine can be used again.
 */
#include <sys/wait.h>
#include <unistd.h>

#include <twostep/bus.h>

#include "raw.h"

#define PIECES 4096u
#define PIECE (2048u * RAW_PAGE)

struct bench {
	struct raw raw;
	struct raw_buf dst, list;
};

/* A transfer of 32 GiB that writes the same memory again and again. */
static void start(struct bench *b)
{
	raw_open(&b->raw, "soft:copy");
	raw_map(b->raw.dev, &b->dst, PIECE / RAW_PAGE, DMA_FROM_DEVICE);
	raw_map(b->raw.dev, &b->list, PIECES * COPY_PIECE_SIZE / RAW_PAGE, DMA_TO_DEVICE);
	for (unsigned int i = 0; i < PIECES; i++)
		raw_piece(b->list.mem, i, b->dst.addr, PIECE);
	raw_submit(&b->raw, &(struct raw_desc){.opcode = COPY_OP_FILL,
					       .flags = COPY_FLAG_DST_LIST,
					       .length = (uint64_t)PIECES * PIECE,
					       .src = 0xffffffffffffffff,
					       .dst = b->list.addr,
					       .nr_dst = PIECES});
}

/* Waits, on the other side of the bus, until the engine has written its first bytes. */
static void wait_begun(struct bench *b)
{
	struct dma_port_stats stats;

	do {
		raw_nap();
		dma_port_stats(dma_dev_port(b->raw.dev), &stats);
	} while (!stats.writes);
}

/* The transfer was cut short, and not waited for. */
static void assert_cut(struct bench *b)
{
	struct dma_port_stats stats;

	dma_port_stats(dma_dev_port(b->raw.dev), &stats);
	assert_true(stats.writes < (uint64_t)PIECES * PIECE);
}

static void disable(void **state)
{
	size_t written = 0;
	struct bench b;

	(void)state;
	start(&b);
	wait_begun(&b);
	assert_int_equal(raw_reg(&b.raw, COPY_REG_HEAD, 4), 0);
	raw_disable(&b.raw);
	assert_cut(&b);
	memset(b.dst.mem, 0, PIECE);
	for (int i = 0; i < 20; i++)
		raw_nap();
	for (size_t i = 0; i < PIECE; i++)
		written += b.dst.mem[i] != 0;
	assert_int_equal(written, 0);
	for (size_t i = 0; i < b.raw.done.size; i++)
		assert_int_equal(b.raw.done.mem[i], 0);

	raw_enable(&b.raw);
	raw_submit(&b.raw, &(struct raw_desc){.opcode = COPY_OP_NOP, .cookie = 5});
	while (!raw_done_at(&b.raw, 0).phase)
		raw_nap();
	assert_int_equal(raw_done_at(&b.raw, 0).cookie, 5);
	raw_unmap(b.raw.dev, &b.dst);
	raw_unmap(b.raw.dev, &b.list);
	raw_close(&b.raw);
}

static void writes_while_stopping(void **state)
{
	struct bench b;

	(void)state;
	start(&b);
	wait_begun(&b);
	raw_set(&b.raw, COPY_REG_CONTROL, 0, 4);
	/* Stopping or stopped already: neither starts again nor takes a doorbell. */
	raw_set(&b.raw, COPY_REG_TAIL, 2, 4);
	while (raw_state(&b.raw) != COPY_STATE_DISABLED)
		raw_nap();
	assert_int_equal(raw_reg(&b.raw, COPY_REG_TAIL, 4), 0);
	assert_cut(&b);
	raw_unmap(b.raw.dev, &b.dst);
	raw_unmap(b.raw.dev, &b.list);
	raw_close(&b.raw);
}

static void close_device(void **state)
{
	uint64_t leaks = dma_leak_count();
	struct bench b;

	(void)state;
	start(&b);
	wait_begun(&b);
	dma_dev_close(b.raw.dev);
	assert_int_equal(dma_leak_count(), leaks + 4);
	/* The engine is gone: this memory is ours alone, or TSan says otherwise. */
	memset(b.dst.mem, 0, PIECE);
	free(b.raw.ring.alloc);
	free(b.raw.done.alloc);
	free(b.dst.alloc);
	free(b.list.alloc);
}

/* A forked child has no engine thread to wait for. */
static void close_in_child(void **state)
{
	struct raw raw;
	int status;
	pid_t child;

	(void)state;
	raw_open(&raw, "soft:copy");
	child = fork();
	if (!child) {
		dma_dev_close(raw.dev);
		_exit(7);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	raw_close(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disable),
		cmocka_unit_test(writes_while_stopping),
		cmocka_unit_test(close_device),
		cmocka_unit_test(close_in_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
