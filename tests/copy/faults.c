/* SPDX-License-Identifier: MIT */
/* A transfer that the device may not make is reported with the address refused. */
#include "setup.h"

static void expect(struct setup *setup, uint64_t cookie, enum ts_copy_status code, dma_addr_t addr,
		   uint64_t bytes)
{
	struct ts_copy_result result = next_result(setup);

	assert_int_equal(result.cookie, cookie);
	assert_int_equal(result.status, -EFAULT);
	assert_int_equal(result.code, code);
	assert_int_equal(result.fault_addr, addr);
	assert_int_equal(result.bytes, bytes);
}

/* The space saw the same fault as the engine reported. */
static void expect_logged(struct setup *setup, dma_addr_t addr, bool write)
{
	struct dma_fault fault;

	assert_int_equal(dma_space_read_faults(dma_dev_space(setup->dev), &fault, 1, NULL), 1);
	assert_int_equal(fault.addr, addr);
	assert_int_equal(fault.write, write);
}

static void in_mode(const char *uri)
{
	struct buffer in, out, gone;
	struct setup setup;
	struct ts_copy_seg from[2], to[2];

	setup_open(&setup, uri, 8);
	buffer_open(setup.dev, &in, 2 * PAGE, DMA_TO_DEVICE);
	buffer_open(setup.dev, &out, 2 * PAGE, DMA_FROM_DEVICE);
	buffer_open(setup.dev, &gone, PAGE, DMA_BIDIRECTIONAL);
	memset(in.mem, 0x3c, 2 * PAGE);
	buffer_close(setup.dev, &gone);

	assert_int_equal(copy_one(&setup, gone.addr + 9, out.addr, 100, 1), 0);
	expect(&setup, 1, TS_COPY_READ_FAULT, gone.addr + 9, 0);
	expect_logged(&setup, gone.addr + 9, false);

	assert_int_equal(copy_one(&setup, in.addr, gone.addr + 9, 100, 2), 0);
	expect(&setup, 2, TS_COPY_WRITE_FAULT, gone.addr + 9, 0);
	expect_logged(&setup, gone.addr + 9, true);

	/* Memory that was mapped for reading only is not written. */
	assert_int_equal(fill_one(&setup, 0, in.addr + 5, 64, 3), 0);
	expect(&setup, 3, TS_COPY_WRITE_FAULT, in.addr + 5, 0);
	expect_logged(&setup, in.addr + 5, true);

	/* The second piece is bad: the first arrives. */
	from[0] = (struct ts_copy_seg){in.addr + 1, 4097};
	from[1] = (struct ts_copy_seg){gone.addr, 3};
	to[0] = (struct ts_copy_seg){out.addr, 4000};
	to[1] = (struct ts_copy_seg){out.addr + 4096, 100};
	assert_int_equal(ts_copy_submit(setup.copy, from, 2, to, 2, 4), 0);
	expect(&setup, 4, TS_COPY_READ_FAULT, gone.addr, 4097);
	expect_logged(&setup, gone.addr, false);
	for (size_t i = 0; i < 2 * PAGE; i++) {
		assert_int_equal(in.mem[i], 0x3c);
		assert_int_equal(out.mem[i], i < 4000 || (i >= 4096 && i < 4096 + 97) ? 0x3c : 0);
	}

	/* The engine goes on. */
	assert_int_equal(copy_one(&setup, in.addr, out.addr, 2 * PAGE, 5), 0);
	assert_int_equal(next_result(&setup).status, 0);
	assert_memory_equal(in.mem, out.mem, 2 * PAGE);
	buffer_close(setup.dev, &in);
	buffer_close(setup.dev, &out);
	setup_close(&setup);
}

static void stepped(void **state)
{
	(void)state;
	in_mode(STEPPED);
}

static void threaded(void **state)
{
	(void)state;
	in_mode(THREADED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stepped),
		cmocka_unit_test(threaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
