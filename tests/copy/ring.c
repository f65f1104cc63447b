/* SPDX-License-Identifier: MIT */
/* The ring wraps, fills up and empties; so does the memory for scatter lists. */
#include "setup.h"

#define PIECES 4096u /* as many as the engine takes */

static void results_in_order(void **state)
{
	for (size_t engine = 0; engine < NR_ENGINES; engine++) {
		uint64_t submitted = 0, seen = 0;
		struct buffer src, dst;
		struct setup setup;

		(void)state;
		setup_open(&setup, engines[engine], 5); /* 8 */
		buffer_open(setup.dev, &src, PAGE, DMA_TO_DEVICE);
		buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
		while (seen < 100) {
			struct ts_copy_result results[3];
			int nr;

			while (submitted < 100) {
				int err = copy_one(&setup, src.addr, dst.addr, 1 + submitted,
						   submitted * 7);

				if (err) {
					assert_int_equal(err, -EAGAIN);
					assert_int_equal(ts_copy_pending(setup.copy), 8);
					break;
				}
				submitted++;
			}
			nr = ts_copy_poll(setup.copy, results, 3);
			assert_in_range(nr, 0, 3);
			for (int i = 0; i < nr; i++, seen++) {
				assert_int_equal(results[i].cookie, seen * 7);
				assert_int_equal(results[i].bytes, 1 + seen);
				assert_int_equal(results[i].status, 0);
			}
			assert_int_equal(ts_copy_pending(setup.copy), submitted - seen);
		}
		buffer_close(setup.dev, &src);
		buffer_close(setup.dev, &dst);
		setup_close(&setup);
	}
}

/* A ring that is refilled the moment a result is seen: the engine may not be behind. */
static void keep_full(const char *uri)
{
	struct ts_copy_result result;
	struct buffer dst;
	struct setup setup;

	setup_open(&setup, uri, 2);
	buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
	for (uint64_t submitted = 0, seen = 0; seen < 4000;) {
		int nr;

		while (submitted < 4000 && ts_copy_pending(setup.copy) < 2) {
			assert_int_equal(fill_one(&setup, submitted, dst.addr, 8, submitted), 0);
			submitted++;
		}
		nr = ts_copy_poll(setup.copy, &result, 1);
		assert_in_range(nr, 0, 1);
		if (nr)
			assert_int_equal(result.cookie, seen);
		seen += (uint64_t)nr;
	}
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

static void always_full(void **state)
{
	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++)
		if (!is_stepped(engines[engine]))
			keep_full(engines[engine]);
}

static void fill_ring(const char *uri)
{
	struct ts_copy_result results[8];
	struct buffer dst;
	struct setup setup;

	setup_open(&setup, uri, 4);
	buffer_open(setup.dev, &dst, PAGE, DMA_FROM_DEVICE);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(fill_one(&setup, ~i, dst.addr + 8 * i, 8, i), 0);
	assert_int_equal(fill_one(&setup, 0, dst.addr + 32, 8, 4), -EAGAIN);
	assert_int_equal(ts_copy_poll(setup.copy, results, 0), 0);
	assert_int_equal(ts_copy_poll(setup.copy, results, 8), 4);
	assert_int_equal(ts_copy_poll(setup.copy, results, 8), 0);
	buffer_to_cpu(setup.dev, &dst);
	for (uint64_t i = 0; i < 5; i++)
		assert_true(((uint64_t *)dst.mem)[i] == (i < 4 ? ~i : 0));
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

static void full(void **state)
{
	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++)
		if (is_stepped(engines[engine]))
			fill_ring(engines[engine]);
}

/* The pool holds two transfers with the longest lists; the wrap of the pool is crossed often. */
static void fill_pool(const char *uri)
{
	struct ts_copy_seg from[PIECES], to[PIECES];
	struct buffer src, dst;
	struct setup setup;
	unsigned int refused = 0;
	uint64_t cookie = 0;

	setup_open(&setup, uri, 64);
	assert_int_equal(ts_copy_max_segs(setup.copy), PIECES);
	buffer_open(setup.dev, &src, 2 * PIECES, DMA_TO_DEVICE);
	buffer_open(setup.dev, &dst, 2 * PIECES, DMA_BIDIRECTIONAL); /* it is cleared */
	for (unsigned int i = 0; i < PIECES; i++) {
		from[i] = (struct ts_copy_seg){src.addr + 2 * i, 1};
		to[i] = (struct ts_copy_seg){dst.addr + 2 * i + 1, 1};
	}
	for (size_t round = 0; round < 40; round++) {
		size_t nr = PIECES - round * 53, in_flight = 0;
		struct ts_copy_result result;

		memset(dst.mem, 0, dst.size);
		for (unsigned int i = 0; i < PIECES; i++)
			src.mem[2 * i] = (uint8_t)(i + round + 1);
		buffer_to_device(setup.dev, &src);
		buffer_to_device(setup.dev, &dst);
		while (in_flight < 8 &&
		       !ts_copy_submit(setup.copy, from, nr, to, nr, cookie + in_flight))
			in_flight++;
		assert_in_range(in_flight, 1, 8);
		refused += in_flight < 8;
		for (size_t i = 0; i < in_flight; i++) {
			assert_int_equal(ts_copy_wait(setup.copy, &result, 0), 0);
			assert_int_equal(result.cookie, cookie++);
			assert_int_equal(result.status, 0);
			assert_int_equal(result.bytes, nr);
		}
		buffer_to_cpu(setup.dev, &dst);
		for (size_t i = 0; i < PIECES; i++) {
			assert_int_equal(dst.mem[2 * i], 0);
			assert_int_equal(dst.mem[2 * i + 1], i < nr ? src.mem[2 * i] : 0);
		}
	}
	assert_true(refused > 20);
	buffer_close(setup.dev, &src);
	buffer_close(setup.dev, &dst);
	setup_close(&setup);
}

static void full_pool(void **state)
{
	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++)
		if (is_stepped(engines[engine]))
			fill_pool(engines[engine]);
}

static void waiting(void **state)
{
	struct ts_copy_result result = {.cookie = 0x77};
	struct setup setup;

	(void)state;
	setup_open(&setup, THREADED, 2);
	assert_int_equal(ts_copy_wait(setup.copy, &result, 0), -ENOENT);
	assert_int_equal(ts_copy_wait(setup.copy, &result, -1), -ENOENT);
	assert_non_null(strstr(dma_last_error(), "ts_copy_wait"));
	assert_int_equal(result.cookie, 0x77);
	setup_close(&setup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_in_order),
		cmocka_unit_test(always_full),
		cmocka_unit_test(full),
		cmocka_unit_test(full_pool),
		cmocka_unit_test(waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
