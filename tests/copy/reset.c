/* SPDX-License-Identifier: MIT */
/*
 * An engine that cannot reach its rings halts and says so; a reset makes it work again and
 * loses no result: what was done is reported as done, the rest as cancelled.
 */
#include "setup.h"

#include "softdev/copy_regs.h"

static uint64_t reg(struct setup *setup, uint64_t offset, unsigned int width)
{
	uint64_t value = 0;

	assert_int_equal(dma_dev_reg_read(setup->dev, 0, offset, &value, width), 0);
	return value;
}

static void set(struct setup *setup, uint64_t offset, uint64_t value, unsigned int width)
{
	assert_int_equal(dma_dev_reg_write(setup->dev, 0, offset, value, width), 0);
}

/* Behind the driver's back, point one of the rings to where nothing is mapped. */
static dma_addr_t misdirect(struct setup *setup, uint64_t base_register)
{
	uint64_t ring = reg(setup, COPY_REG_RING_BASE, 8), done = reg(setup, COPY_REG_DONE_BASE, 8);
	uint64_t order = reg(setup, COPY_REG_RING_ORDER, 4);
	struct buffer gone;

	buffer_open(setup->dev, &gone, 4 * PAGE, DMA_BIDIRECTIONAL);
	buffer_close(setup->dev, &gone);
	set(setup, COPY_REG_CONTROL, 0, 4);
	while (COPY_STATUS_STATE(reg(setup, COPY_REG_STATUS, 4)) != COPY_STATE_DISABLED)
		;
	set(setup, COPY_REG_RING_BASE, ring, 8);
	set(setup, COPY_REG_DONE_BASE, done, 8);
	set(setup, COPY_REG_RING_ORDER, order, 4);
	set(setup, base_register, gone.addr, 8);
	set(setup, COPY_REG_CONTROL, COPY_CONTROL_ENABLE, 4);
	return gone.addr;
}

static void assert_works(struct setup *setup, struct buffer *src, struct buffer *dst, uint8_t byte)
{
	struct ts_copy_result result;

	memset(src->mem, byte, PAGE);
	buffer_to_device(setup->dev, src);
	assert_int_equal(copy_one(setup, src->addr, dst->addr, PAGE, byte), 0);
	result = next_result(setup);
	assert_int_equal(result.cookie, byte);
	assert_int_equal(result.status, 0);
	buffer_to_cpu(setup->dev, dst);
	assert_memory_equal(src->mem, dst->mem, PAGE);
}

static void unmapped_rings(void **state)
{
	static const struct {
		uint64_t base;
		unsigned int error;
	} rings[] = {
		{COPY_REG_RING_BASE, COPY_ERR_RING_FAULT},
		{COPY_REG_DONE_BASE, COPY_ERR_DONE_FAULT},
	};

	(void)state;
	for (size_t i = 0; i < 2 * NR_ENGINES; i++) {
		const char *uri = engines[i / 2];
		struct ts_copy_result results[4];
		struct buffer src, dst;
		struct setup setup;
		dma_addr_t gone;

		if (!is_translated(uri))
			continue;
		setup_open(&setup, uri, 4);
		buffer_open(setup.dev, &src, PAGE, DMA_TO_DEVICE);
		buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
		gone = misdirect(&setup, rings[i % 2].base);
		assert_int_equal(copy_one(&setup, src.addr, dst.addr, 10, 1), 0);
		assert_int_equal(copy_one(&setup, src.addr, dst.addr, 20, 2), 0);
		assert_int_equal(ts_copy_wait(setup.copy, &results[0], -1), -EIO);
		assert_int_equal(ts_copy_poll(setup.copy, results, 4), -EIO);
		assert_non_null(strstr(dma_last_error(), "ts_copy_reset"));
		assert_int_equal(ts_copy_pending(setup.copy), 2);
		assert_int_equal(COPY_STATUS_ERROR(reg(&setup, COPY_REG_STATUS, 4)),
				 rings[i % 2].error);
		assert_int_equal(reg(&setup, COPY_REG_ERROR_ADDR, 8), gone);

		assert_int_equal(ts_copy_reset(setup.copy), 0);
		assert_int_equal(ts_copy_pending(setup.copy), 2);
		assert_int_equal(ts_copy_poll(setup.copy, results, 4), 2);
		for (unsigned int n = 0; n < 2; n++) {
			assert_int_equal(results[n].cookie, n + 1);
			assert_int_equal(results[n].status, -ECANCELED);
			assert_int_equal(results[n].code, TS_COPY_CANCELLED);
			assert_int_equal(results[n].bytes, 0);
			assert_int_equal(results[n].fault_addr, 0);
		}
		for (uint8_t n = 1; n < 10; n++)
			assert_works(&setup, &src, &dst, n);
		buffer_close(setup.dev, &src);
		buffer_close(setup.dev, &dst);
		setup_close(&setup);
	}
}

/* A bad doorbell, while descriptors are there and while none is. */
static void bad_doorbell(void **state)
{
	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++) {
		struct ts_copy_result result;
		struct buffer src, dst;
		struct setup setup;

		setup_open(&setup, engines[engine], 4);
		buffer_open(setup.dev, &src, PAGE, DMA_TO_DEVICE);
		buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
		assert_works(&setup, &src, &dst, 3);
		set(&setup, COPY_REG_TAIL, 1000, 4);
		assert_int_equal(ts_copy_poll(setup.copy, &result, 1), 0);
		assert_int_equal(copy_one(&setup, src.addr, dst.addr, 10, 1), 0);
		assert_int_equal(ts_copy_wait(setup.copy, &result, -1), -EIO);
		assert_int_equal(ts_copy_reset(setup.copy), 0);
		assert_int_equal(next_result(&setup).status, -ECANCELED);
		assert_works(&setup, &src, &dst, 4);
		buffer_close(setup.dev, &src);
		buffer_close(setup.dev, &dst);
		setup_close(&setup);
	}
}

/* What was done before the reset keeps its result, and results take room until read. */
static void survive(const char *uri)
{
	struct ts_copy_result results[8];
	struct buffer src, dst;
	struct setup setup;

	setup_open(&setup, uri, 8);
	buffer_open(setup.dev, &src, PAGE, DMA_TO_DEVICE);
	buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(copy_one(&setup, src.addr, dst.addr, 10 + i, i), 0);
	assert_int_equal(dma_dev_step(setup.dev), 3);
	for (uint64_t i = 3; i < 5; i++)
		assert_int_equal(copy_one(&setup, src.addr, dst.addr, 10 + i, i), 0);
	assert_int_equal(ts_copy_reset(setup.copy), 0);
	assert_int_equal(ts_copy_pending(setup.copy), 5);
	assert_int_equal(ts_copy_poll(setup.copy, results, 1), 1);
	assert_int_equal(results[0].cookie, 0);

	/* Four kept: four more fit. A second reset keeps all eight, in order. */
	for (uint64_t i = 5; i < 9; i++)
		assert_int_equal(copy_one(&setup, src.addr, dst.addr, 10 + i, i), 0);
	assert_int_equal(copy_one(&setup, src.addr, dst.addr, 1, 99), -EAGAIN);
	assert_int_equal(ts_copy_reset(setup.copy), 0);
	assert_int_equal(copy_one(&setup, src.addr, dst.addr, 1, 99), -EAGAIN);
	assert_int_equal(ts_copy_pending(setup.copy), 8);
	assert_int_equal(ts_copy_poll(setup.copy, results, 8), 8);
	for (uint64_t i = 0; i < 8; i++) {
		bool done = i + 1 < 3;

		assert_int_equal(results[i].cookie, i + 1);
		assert_int_equal(results[i].status, done ? 0 : -ECANCELED);
		assert_int_equal(results[i].bytes, done ? 11 + i : 0);
	}
	assert_int_equal(ts_copy_pending(setup.copy), 0);
	assert_works(&setup, &src, &dst, 8);
	buffer_close(setup.dev, &src);
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

static void results_survive(void **state)
{
	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++)
		if (is_stepped(engines[engine]))
			survive(engines[engine]);
}

/*
 * In the middle of long transfers, gigabytes of them: they stop, and their memory may be
 * unmapped.
 */
static void stop_long_transfers(const char *uri)
{
	static struct ts_copy_seg to[4096];
	struct ts_copy_result result;
	struct buffer dst;
	struct setup setup;
	size_t written = 0, size = 1024 * PAGE;

	setup_open(&setup, uri, 8);
	if (size > dma_max_mapping_size(setup.dev))
		size = dma_max_mapping_size(setup.dev);
	buffer_open(setup.dev, &dst, size, DMA_BIDIRECTIONAL); /* it is cleared */
	for (size_t i = 0; i < 4096; i++)
		to[i] = (struct ts_copy_seg){dst.addr, dst.size};
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(ts_copy_fill(setup.copy, ~0ULL, to, 4096, i), 0);
	assert_int_equal(ts_copy_wait(setup.copy, &result, 1), -ETIME);
	assert_int_equal(ts_copy_reset(setup.copy), 0);
	buffer_to_cpu(setup.dev, &dst);
	memset(dst.mem, 0, dst.size);
	buffer_to_device(setup.dev, &dst);
	for (uint64_t i = 0; i < 4; i++) {
		result = next_result(&setup);
		assert_int_equal(result.cookie, i);
	}
	assert_int_equal(result.status, -ECANCELED);
	buffer_to_cpu(setup.dev, &dst);
	for (size_t i = 0; i < dst.size; i++)
		written += dst.mem[i] != 0;
	assert_int_equal(written, 0);
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

static void long_transfers(void **state)
{
	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++)
		if (!is_stepped(engines[engine]))
			stop_long_transfers(engines[engine]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmapped_rings),
		cmocka_unit_test(bad_doorbell),
		cmocka_unit_test(results_survive),
		cmocka_unit_test(long_transfers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
