/* SPDX-License-Identifier: MIT */
/* What the driver refuses, with which errno, and that nothing has changed then. */
#include <stdint.h>

#include "setup.h"

#include "base/base.h"

static void segments(void **state)
{
	const uint64_t last = UINT64_MAX;
	struct ts_copy_seg *many;
	struct buffer src, dst;
	struct setup setup;

	(void)state;
	setup_open(&setup, STEPPED, 4);
	buffer_open(setup.dev, &src, PAGE, DMA_TO_DEVICE);
	buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
	many = calloc(ts_copy_max_segs(setup.copy) + 1, sizeof(*many));
	assert_non_null(many);
	for (size_t i = 0; i <= ts_copy_max_segs(setup.copy); i++)
		many[i] = (struct ts_copy_seg){src.addr, 1};
	{
		const size_t most = ts_copy_max_segs(setup.copy);
		const uint64_t longest = ts_copy_max_bytes(setup.copy);
		const struct ts_copy_seg good = {src.addr, 8}, to = {dst.addr, 8};
		const struct ts_copy_seg pair[2] = {good, {dst.addr, 0}};
		const struct {
			struct ts_copy_seg seg;
			int err;
		} bad[] = {
			{{src.addr, 0}, -EINVAL},    {{src.addr, 7}, -EINVAL},
			{{src.addr, 9}, -EINVAL},    {{last - 6, 8}, -EINVAL},
			{{src.addr, last}, -EINVAL}, {{1, longest + 1}, -E2BIG},
			{{0, last}, -E2BIG},
		};

		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			dma_clear_error();
			assert_int_equal(ts_copy_submit(setup.copy, &bad[i].seg, 1, &to, 1, 1),
					 bad[i].err);
			assert_true(*dma_last_error());
			assert_int_equal(ts_copy_submit(setup.copy, &good, 1, &bad[i].seg, 1, 1),
					 bad[i].err);
		}
		assert_int_equal(ts_copy_fill(setup.copy, 0, &bad[0].seg, 1, 1), -EINVAL);
		assert_int_equal(ts_copy_fill(setup.copy, 0, &to, 0, 1), -EINVAL);
		assert_int_equal(ts_copy_fill(setup.copy, 0, NULL, 1, 1), -EINVAL);
		assert_int_equal(ts_copy_submit(setup.copy, &good, 0, &to, 1, 1), -EINVAL);
		assert_int_equal(ts_copy_submit(setup.copy, &good, 1, &to, 0, 1), -EINVAL);
		assert_int_equal(ts_copy_submit(setup.copy, NULL, 1, &to, 1, 1), -EINVAL);
		assert_int_equal(ts_copy_submit(setup.copy, pair, 2, &to, 1, 1), -EINVAL);
		assert_int_equal(ts_copy_submit(setup.copy, many, most + 1, &to, 1, 1), -E2BIG);
		assert_int_equal(ts_copy_fill(setup.copy, 0, many, most + 1, 1), -E2BIG);
	}
	assert_int_equal(ts_copy_pending(setup.copy), 0);
	assert_int_equal(dma_dev_step(setup.dev), 0);
	for (size_t i = 0; i < PAGE; i++)
		assert_int_equal(dst.mem[i], 0);
	free(many);
	buffer_close(setup.dev, &src);
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

static void ring_sizes(void **state)
{
	struct ts_copy *const none = (struct ts_copy *)0x1000;
	struct ts_copy *copy = none;
	struct dma_dev *dev;

	(void)state;
	assert_int_equal(dma_dev_open(STEPPED, &dev), 0);
	assert_int_equal(ts_copy_open(dev, 0, &copy), -EINVAL);
	assert_int_equal(ts_copy_open(dev, TS_COPY_MAX_RING + 1, &copy), -EINVAL);
	assert_int_equal(ts_copy_open(dev, UINT32_MAX, &copy), -EINVAL);
	assert_ptr_equal(copy, none);
	assert_int_equal(setup_live(dev), 0);
	assert_int_equal(ts_copy_open(dev, TS_COPY_MAX_RING, &copy), 0);
	ts_copy_close(copy);
	assert_int_equal(ts_copy_open(dev, 1, &copy), 0);
	ts_copy_close(copy);
	ts_copy_close(NULL);
	assert_int_equal(setup_live(dev), 0);
	dma_dev_close(dev);
}

static void not_an_engine(void **state)
{
	struct ts_copy *copy = NULL;
	struct dma_dev *dev;

	(void)state;
	assert_int_equal(dma_dev_open("soft:", &dev), 0);
	assert_int_equal(ts_copy_open(dev, 4, &copy), -ENODEV);
	assert_non_null(strstr(dma_last_error(), "soft:copy"));
	assert_null(copy);
	assert_int_equal(setup_live(dev), 0);
	dma_dev_close(dev);
}

static void in_use(void **state)
{
	struct ts_copy *copy = NULL;
	struct setup setup;
	struct buffer dst;
	uint64_t live;

	(void)state;
	setup_open(&setup, STEPPED, 4);
	live = setup_live(setup.dev);
	assert_int_equal(ts_copy_open(setup.dev, 4, &copy), -EBUSY);
	assert_null(copy);
	assert_int_equal(setup_live(setup.dev), live);
	/* The one that has it is not disturbed. */
	buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
	assert_int_equal(fill_one(&setup, 1, dst.addr, 1, 1), 0);
	assert_int_equal(next_result(&setup).status, 0);
	assert_int_equal(dst.mem[0], 1);
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

/* Whichever allocation fails, an open that fails leaves nothing behind. */
static void no_memory(void **state)
{
	unsigned int failed = 0;
	struct dma_dev *dev;

	(void)state;
	assert_int_equal(dma_dev_open(STEPPED, &dev), 0);
	for (uint64_t nth = 1;; nth++) {
		struct ts_copy *copy = NULL;
		uint64_t asked;
		int err;

		base_alloc_fail(nth);
		err = ts_copy_open(dev, 16, &copy);
		asked = base_alloc_fail(0);
		if (!err) {
			ts_copy_close(copy);
			assert_int_equal(setup_live(dev), 0);
			if (asked < nth)
				break;
			continue;
		}
		assert_int_equal(err, -ENOMEM);
		assert_null(copy);
		assert_int_equal(setup_live(dev), 0);
		failed++;
	}
	assert_true(failed >= 6);
	dma_dev_close(dev);
}

static void names(void **state)
{
	(void)state;
	for (int a = TS_COPY_OK; a <= TS_COPY_CANCELLED; a++) {
		assert_string_not_equal(ts_copy_status_name((enum ts_copy_status)a),
					ts_copy_status_name((enum ts_copy_status)99));
		for (int b = TS_COPY_OK; b < a; b++)
			assert_string_not_equal(ts_copy_status_name((enum ts_copy_status)a),
						ts_copy_status_name((enum ts_copy_status)b));
	}
	assert_string_equal(ts_copy_status_name((enum ts_copy_status)99), "unknown status");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments),	 cmocka_unit_test(ring_sizes),
		cmocka_unit_test(not_an_engine), cmocka_unit_test(in_use),
		cmocka_unit_test(no_memory),	 cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
