/* SPDX-License-Identifier: MIT */
/*
 * Scattered sources arrive in scattered destinations, byte by byte, at any offset and
 * length, and nothing else changes. The argument is the seed.
 */
#include <stdio.h>
#include <time.h>

#include <twostep/memory.h>

#include "setup.h"

#define SIZE (24u * PAGE)
#define MOST 48u
#define TRANSFERS 100

static uint64_t seed, random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1d;
}

/* Cuts @total bytes into 1..@most pieces with gaps, in a window of SIZE bytes at @addr. */
static size_t cut(struct ts_copy_seg *segs, size_t most, dma_addr_t addr, uint64_t total)
{
	size_t nr = 1 + next_random() % most, gap = (SIZE - total) / (nr + 1) + 1;
	uint64_t at = 0;

	if (nr > total)
		nr = total;
	for (size_t i = 0; i < nr; i++) {
		uint64_t left = total - (nr - 1 - i);
		uint64_t len = i == nr - 1 ? total : 1 + next_random() % (2 * total / (nr - i));

		len = len > left ? left : len;
		at += next_random() % gap;
		segs[i] = (struct ts_copy_seg){addr + at, len};
		at += len;
		total -= len;
	}
	return nr;
}

static void gather(uint8_t *out, const struct buffer *src, const struct ts_copy_seg *segs,
		   size_t nr)
{
	for (size_t i = 0; i < nr; out += segs[i++].len)
		memcpy(out, src->mem + (segs[i].addr - src->addr), segs[i].len);
}

static void scatter(uint8_t *window, dma_addr_t addr, const struct ts_copy_seg *segs, size_t nr,
		    const uint8_t *in)
{
	for (size_t i = 0; i < nr; in += segs[i++].len)
		memcpy(window + (segs[i].addr - addr), in, segs[i].len);
}

static void one_transfer(struct setup *setup, struct buffer *src, struct buffer *dst,
			 uint8_t *expected, uint64_t cookie)
{
	struct ts_copy_seg from[MOST], to[MOST];
	uint64_t total = 1 + next_random() % (SIZE / 2), pattern = next_random();
	size_t nr_to = cut(to, MOST, dst->addr, total), nr_from = cut(from, MOST, src->addr, total);
	struct ts_copy_result result;
	static uint8_t line[SIZE];

	if (next_random() % 4) {
		gather(line, src, from, nr_from);
		assert_int_equal(ts_copy_submit(setup->copy, from, nr_from, to, nr_to, cookie), 0);
	} else {
		for (size_t i = 0; i < total; i++)
			line[i] = (uint8_t)(pattern >> 8 * (i % 8));
		assert_int_equal(ts_copy_fill(setup->copy, pattern, to, nr_to, cookie), 0);
	}
	scatter(expected, dst->addr, to, nr_to, line);
	result = next_result(setup);
	assert_int_equal(result.cookie, cookie);
	assert_int_equal(result.status, 0);
	assert_int_equal(result.code, TS_COPY_OK);
	assert_int_equal(result.bytes, total);
	assert_int_equal(result.fault_addr, 0);
	buffer_to_cpu(setup->dev, dst);
	assert_memory_equal(dst->mem, expected, SIZE);
}

static void random_transfers(void **state)
{
	uint8_t *expected = calloc(1, SIZE);

	(void)state;
	assert_non_null(expected);
	for (size_t engine = 0; engine < NR_ENGINES; engine++) {
		struct buffer src, dst;
		struct setup setup;

		memset(expected, 0, SIZE);
		setup_open(&setup, engines[engine], 4);
		buffer_open(setup.dev, &src, SIZE, DMA_TO_DEVICE);
		buffer_open(setup.dev, &dst, SIZE, DMA_FROM_DEVICE);
		for (size_t i = 0; i < SIZE; i++)
			src.mem[i] = (uint8_t)next_random();
		buffer_to_device(setup.dev, &src);
		for (uint64_t i = 0; i < TRANSFERS; i++)
			one_transfer(&setup, &src, &dst, expected, next_random());
		buffer_close(setup.dev, &src);
		buffer_close(setup.dev, &dst);
		setup_close(&setup);
	}
	free(expected);
}

/* One address for many pieces of memory: what the two-step API is for. */
static void linked_range(void **state)
{
	for (size_t engine = 0; engine < NR_ENGINES; engine++) {
		uint8_t *pages[8], *out;
		struct dma_iova_state iova;
		struct buffer dst;
		struct setup setup;

		(void)state;
		if (!is_translated(engines[engine]))
			continue;
		out = aligned_alloc(PAGE, 8 * PAGE);
		assert_non_null(out);
		setup_open(&setup, engines[engine], 4);
		buffer_open(setup.dev, &dst, 8 * PAGE, DMA_FROM_DEVICE);
		assert_true(dma_iova_try_alloc(setup.dev, &iova, 0, 8 * PAGE));
		for (size_t i = 0; i < 8; i++) {
			pages[i] = aligned_alloc(PAGE, PAGE);
			assert_non_null(pages[i]);
			memset(pages[i], (int)(i + 1), PAGE);
			memset(out + i * PAGE, (int)(i + 1), PAGE);
			assert_int_equal(dma_iova_link(setup.dev, &iova, virt_to_phys(pages[i]),
						       i * PAGE, PAGE, DMA_TO_DEVICE, 0),
					 0);
		}
		assert_int_equal(dma_iova_sync(setup.dev, &iova, 0, 8 * PAGE), 0);
		assert_int_equal(copy_one(&setup, iova.addr, dst.addr, 8 * PAGE, 1), 0);
		assert_int_equal(next_result(&setup).status, 0);
		buffer_to_cpu(setup.dev, &dst);
		assert_memory_equal(dst.mem, out, 8 * PAGE);
		dma_iova_destroy(setup.dev, &iova, 8 * PAGE, DMA_TO_DEVICE, 0);
		buffer_close(setup.dev, &dst);
		setup_close(&setup);
		for (size_t i = 0; i < 8; i++)
			free(pages[i]);
		free(out);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_transfers),
		cmocka_unit_test(linked_range),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	random_state = seed ? seed : 1;
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
