/* SPDX-License-Identifier: MIT */
/*
 * Letting go of an engine with work pending: the work is dropped, the memory is the
 * caller's again at once, nothing leaks, and the engine can be taken again.
 */
#include "setup.h"

static void pending_work(void **state)
{
	(void)state;
	for (size_t round = 0; round < 3 * NR_ENGINES; round++) {
		struct buffer src, dst;
		struct setup setup;

		setup_open(&setup, engines[round % NR_ENGINES], 64);
		buffer_open(setup.dev, &src, 64 * PAGE, DMA_TO_DEVICE);
		buffer_open(setup.dev, &dst, 64 * PAGE, DMA_BIDIRECTIONAL); /* it is cleared */
		memset(src.mem, 0xff, src.size);
		buffer_to_device(setup.dev, &src);
		for (uint64_t i = 0; i < 64; i++)
			assert_int_equal(copy_one(&setup, src.addr, dst.addr, 64 * PAGE, i), 0);
		assert_int_equal(ts_copy_pending(setup.copy), 64);
		ts_copy_close(setup.copy);
		/* TSan would see an engine that still writes. */
		buffer_to_cpu(setup.dev, &dst);
		memset(dst.mem, 0, dst.size);
		buffer_to_device(setup.dev, &dst);

		assert_int_equal(ts_copy_open(setup.dev, 4, &setup.copy), 0);
		buffer_to_cpu(setup.dev, &dst);
		for (size_t i = 0; i < dst.size; i++)
			assert_int_equal(dst.mem[i], 0);
		assert_int_equal(copy_one(&setup, src.addr, dst.addr, 64 * PAGE, 1), 0);
		assert_int_equal(next_result(&setup).status, 0);
		buffer_to_cpu(setup.dev, &dst);
		assert_memory_equal(src.mem, dst.mem, src.size);
		buffer_close(setup.dev, &src);
		buffer_close(setup.dev, &dst);
		setup_close(&setup);
	}
}

/* A stepped engine with descriptors in its ring, closed with its device. */
static void never_stepped(void **state)
{
	struct buffer src, dst;
	struct setup setup;

	(void)state;
	setup_open(&setup, STEPPED, 4);
	buffer_open(setup.dev, &src, PAGE, DMA_TO_DEVICE);
	buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
	memset(src.mem, 1, PAGE);
	assert_int_equal(copy_one(&setup, src.addr, dst.addr, PAGE, 1), 0);
	ts_copy_close(setup.copy);
	setup.copy = NULL;
	assert_int_equal(dma_dev_step(setup.dev), 0);
	for (size_t i = 0; i < PAGE; i++)
		assert_int_equal(dst.mem[i], 0);
	buffer_close(setup.dev, &src);
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pending_work),
		cmocka_unit_test(never_stepped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
