/* SPDX-License-Identifier: MIT */
/*
 * Buffers at any address and of any length, mapped for one transfer and unmapped before
 * anybody looks, on engines of every kind: the bytes arrive, and those beside them stay.
 * The argument is the seed.
 */
#include <stdio.h>
#include <time.h>

#include <twostep/iova.h>
#include <twostep/memory.h>

#include "setup.h"

#define SIZE (8u * PAGE)
#define MOST 12u
#define ROUNDS 60

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1d;
}

/* Parts of a window that do not touch the same cache line. */
struct pieces {
	uint8_t window[SIZE] __attribute__((__aligned__(4096)));
	size_t nr;
	struct {
		size_t at, len;
	} piece[MOST];
	struct ts_copy_seg segs[MOST];
	enum dma_data_direction dir;
};

static void cut(struct pieces *p, size_t total)
{
	size_t at = next_random() % 200;

	for (p->nr = 0; total; p->nr++) {
		size_t len = p->nr == MOST - 1 ? total : 1 + next_random() % total;

		p->piece[p->nr].at = at;
		p->piece[p->nr].len = len;
		at = (at + len + 63) / 64 * 64 + next_random() % 100;
		total -= len;
	}
}

static void map(struct dma_dev *dev, struct pieces *p, enum dma_data_direction dir)
{
	p->dir = dir;
	for (size_t i = 0; i < p->nr; i++) {
		p->segs[i].len = p->piece[i].len;
		p->segs[i].addr =
			dma_map_single(dev, p->window + p->piece[i].at, p->piece[i].len, dir);
		assert_int_equal(dma_mapping_error(dev, p->segs[i].addr), 0);
	}
}

static void unmap(struct dma_dev *dev, struct pieces *p)
{
	for (size_t i = 0; i < p->nr; i++)
		dma_unmap_single(dev, p->segs[i].addr, p->segs[i].len, p->dir);
}

static size_t flatten(const struct pieces *p, uint8_t *line)
{
	size_t bytes = 0;

	for (size_t i = 0; i < p->nr; bytes += p->piece[i++].len)
		memcpy(line + bytes, p->window + p->piece[i].at, p->piece[i].len);
	return bytes;
}

static void spread(struct pieces *p, uint8_t *window, const uint8_t *line)
{
	for (size_t i = 0; i < p->nr; line += p->piece[i++].len)
		memcpy(window + p->piece[i].at, line, p->piece[i].len);
}

static void one_round(struct setup *setup, struct pieces *src, struct pieces *dst)
{
	static uint8_t line[SIZE], expected[SIZE];
	size_t total = 1 + next_random() % (5 * PAGE);
	uint64_t pattern = next_random();
	struct ts_copy_result result;

	cut(src, total);
	cut(dst, total);
	for (size_t i = 0; i < SIZE; i++) {
		src->window[i] = (uint8_t)next_random();
		dst->window[i] = (uint8_t)next_random();
	}
	memcpy(expected, dst->window, SIZE);
	map(setup->dev, src, next_random() % 2 ? DMA_TO_DEVICE : DMA_BIDIRECTIONAL);
	map(setup->dev, dst, next_random() % 2 ? DMA_FROM_DEVICE : DMA_BIDIRECTIONAL);
	if (next_random() % 4) {
		flatten(src, line);
		assert_int_equal(
			ts_copy_submit(setup->copy, src->segs, src->nr, dst->segs, dst->nr, total),
			0);
	} else {
		for (size_t i = 0; i < total; i++)
			line[i] = (uint8_t)(pattern >> 8 * (i % 8));
		assert_int_equal(ts_copy_fill(setup->copy, pattern, dst->segs, dst->nr, total), 0);
	}
	spread(dst, expected, line);
	result = next_result(setup);
	assert_int_equal(result.status, 0);
	assert_int_equal(result.cookie, total);
	assert_int_equal(result.bytes, total);
	unmap(setup->dev, src);
	unmap(setup->dev, dst);
	assert_memory_equal(dst->window, expected, SIZE);
}

static void mapped_for_a_transfer(void **state)
{
	static struct pieces src, dst;

	(void)state;
	for (size_t engine = 0; engine < NR_ENGINES; engine++) {
		struct setup setup;

		setup_open(&setup, engines[engine], 4);
		for (size_t i = 0; i < ROUNDS; i++)
			one_round(&setup, &src, &dst);
		setup_close(&setup);
	}
}

/* Two steps instead of one: a head, pages, and a tail behind one address on each side. */
static void linked_for_a_transfer(void **state)
{
	static uint8_t src[SIZE] __attribute__((__aligned__(4096)));
	static uint8_t dst[SIZE] __attribute__((__aligned__(4096)));
	static uint8_t expected[SIZE];

	(void)state;
	for (size_t i = 0; i < NR_ENGINES * ROUNDS; i++) {
		const char *uri = engines[i / ROUNDS];
		size_t at = next_random() % PAGE, len = 1 + next_random() % (SIZE - at);
		size_t to = next_random() % (SIZE - len + 1);
		struct dma_iova_state in, out;
		struct setup setup;

		if (!is_translated(uri))
			continue;
		setup_open(&setup, uri, 4);
		for (size_t n = 0; n < SIZE; n++) {
			src[n] = (uint8_t)next_random();
			dst[n] = expected[n] = (uint8_t)next_random();
		}
		memcpy(expected + to, src + at, len);
		assert_true(dma_iova_try_alloc(setup.dev, &in, virt_to_phys(src + at), len));
		assert_true(dma_iova_try_alloc(setup.dev, &out, virt_to_phys(dst + to), len));
		assert_int_equal(dma_iova_link(setup.dev, &in, virt_to_phys(src + at), 0, len,
					       DMA_TO_DEVICE, 0),
				 0);
		assert_int_equal(dma_iova_link(setup.dev, &out, virt_to_phys(dst + to), 0, len,
					       DMA_FROM_DEVICE, 0),
				 0);
		assert_int_equal(dma_iova_sync(setup.dev, &in, 0, len), 0);
		assert_int_equal(dma_iova_sync(setup.dev, &out, 0, len), 0);
		assert_int_equal(copy_one(&setup, in.addr, out.addr, len, i), 0);
		assert_int_equal(next_result(&setup).status, 0);
		dma_iova_destroy(setup.dev, &in, len, DMA_TO_DEVICE, 0);
		dma_iova_destroy(setup.dev, &out, len, DMA_FROM_DEVICE, 0);
		assert_memory_equal(dst, expected, SIZE);
		setup_close(&setup);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapped_for_a_transfer),
		cmocka_unit_test(linked_for_a_transfer),
	};
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);

	random_state = seed ? seed : 1;
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
