/* SPDX-License-Identifier: MIT */
/*
 * A driver that writes anything anywhere: the engine touches no memory that it was
 * not given, always ends what it began, and works again after a reset. The argument
 * is the seed, the second one the number of rounds.
 */
#include <stdio.h>

#include "raw.h"

#define PAGES 4u

struct bench {
	struct raw raw;
	struct raw_buf readable, writable, list;
	uint64_t random;
};

static uint64_t seed, rounds = 20000;

static uint64_t next_random(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random * 0x2545f4914f6cdd1d;
}

/* Small numbers, numbers near powers of two, and anything. */
static uint64_t any_number(struct bench *b)
{
	uint64_t r = next_random(b);

	switch (r >> 8 & 3) {
	case 0:
		return r >> 16 & 0x1f;
	case 1:
		return (1ULL << (r >> 16 & 63)) + (r >> 32 & 3) - 1;
	case 2:
		return next_random(b) >> (r >> 16 & 63);
	default:
		return r >> 16 & 0x3fff;
	}
}

/* Mostly where something is mapped, often near an edge. */
static uint64_t any_addr(struct bench *b)
{
	const struct raw_buf *bufs[] = {&b->readable, &b->writable, &b->list, &b->raw.ring,
					&b->raw.done};
	uint64_t r = next_random(b);
	const struct raw_buf *buf = bufs[r % 5];

	switch (r >> 8 & 7) {
	case 0:
		return any_number(b);
	case 1:
		return ~any_number(b);
	case 2:
		return buf->addr + buf->size - any_number(b) % 64;
	case 3:
		return buf->addr - any_number(b) % 64;
	default:
		return buf->addr + (r >> 16) % buf->size / (r >> 60 & 1 ? 1 : 16) * 16 % buf->size;
	}
}

static void any_list(struct bench *b, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		raw_piece(b->list.mem, (unsigned int)(next_random(b) % 1024), any_addr(b),
			  any_number(b));
}

/* The bytes in @nr pieces of the list from @first on: a length that may well be right. */
static uint64_t list_length(struct bench *b, unsigned int first, unsigned int nr)
{
	uint64_t length = 0;

	for (unsigned int i = first; i < first + nr; i++)
		length += raw_get(b->list.mem + i * COPY_PIECE_SIZE + COPY_PIECE_LEN);
	return length;
}

/* A descriptor that a driver might write, but for what is in its lists. */
static struct raw_desc likely_descriptor(struct bench *b)
{
	uint64_t r = next_random(b);
	unsigned int first = r >> 8 & 511, nr = 1 + (r >> 20 & 3);
	struct raw_desc desc = {
		.opcode = r & 1 ? COPY_OP_COPY : COPY_OP_FILL,
		.length = r >> 24 & 1 ? list_length(b, first, nr) : any_number(b),
		.src = any_addr(b),
		.dst = any_addr(b),
	};

	if (r >> 25 & 1) {
		desc.flags |= COPY_FLAG_DST_LIST;
		desc.dst = b->list.addr + first * COPY_PIECE_SIZE;
		desc.nr_dst = nr;
	}
	if (desc.opcode == COPY_OP_COPY && r >> 26 & 1) {
		desc.flags |= COPY_FLAG_SRC_LIST;
		desc.src = b->list.addr + first * COPY_PIECE_SIZE;
		desc.nr_src = nr;
	}
	return desc;
}

static struct raw_desc unlikely_descriptor(struct bench *b)
{
	uint64_t r = next_random(b);

	return (struct raw_desc){
		.opcode = r & 15 ? (uint8_t)(r >> 4 & 3) : (uint8_t)(r >> 8),
		.flags = r >> 16 & 15 ? (uint8_t)(r >> 20 & 3) : (uint8_t)(r >> 24),
		.length = any_number(b),
		.src = any_addr(b),
		.dst = any_addr(b),
		.nr_src = r >> 32 & 1 ? (uint32_t)any_number(b) : 0,
		.nr_dst = r >> 33 & 1 ? (uint32_t)any_number(b) : 0,
	};
}

static void any_descriptor(struct bench *b, uint8_t *slot)
{
	uint64_t r = next_random(b);
	struct raw_desc desc = r & 3 ? likely_descriptor(b) : unlikely_descriptor(b);

	desc.cookie = next_random(b);
	raw_write_desc(slot, &desc);
	if (!(r >> 34 & 15))
		slot[next_random(b) % COPY_DESC_SIZE] = (uint8_t)next_random(b);
}

static void any_registers(struct bench *b)
{
	uint64_t r = next_random(b);
	unsigned int width = r >> 8 & 1 ? 8 : 4;

	/* An error code is an answer too. */
	(void)dma_dev_reg_write(b->raw.dev, !(r >> 16 & 15), (r >> 20 & 15) * 4,
				r >> 24 & 1 ? any_addr(b) : any_number(b), width);
}

static void bench_open(struct bench *b)
{
	b->random = seed ? seed : 1;
	raw_open(&b->raw, "soft:copy,thread=off");
	raw_map(b->raw.dev, &b->readable, PAGES, DMA_TO_DEVICE);
	raw_map(b->raw.dev, &b->writable, PAGES, DMA_FROM_DEVICE);
	raw_map(b->raw.dev, &b->list, PAGES, DMA_TO_DEVICE);
	memset(b->readable.mem, 0x5c, b->readable.size);
}

static void assert_page(const uint8_t *page, size_t size, uint8_t expected)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(page[i], expected);
}

static void check(struct bench *b)
{
	const struct raw_buf *bufs[] = {&b->readable, &b->writable, &b->list, &b->raw.ring,
					&b->raw.done};

	for (size_t i = 0; i < 5; i++) {
		assert_page(bufs[i]->alloc, RAW_PAGE, 0);
		assert_page(bufs[i]->mem + bufs[i]->size, RAW_PAGE, 0);
	}
	assert_page(b->readable.mem, b->readable.size, 0x5c);
}

static void still_works(struct bench *b)
{
	struct raw_done done;

	raw_disable(&b->raw);
	raw_enable(&b->raw);
	memset(b->writable.mem, 0, RAW_PAGE);
	done = raw_run(&b->raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						   .length = RAW_PAGE,
						   .src = b->readable.addr,
						   .dst = b->writable.addr});
	assert_int_equal(done.code, COPY_CODE_OK);
	assert_page(b->writable.mem, RAW_PAGE, 0x5c);
}

static void random_descriptors(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b);
	any_list(&b, 1024);
	for (uint64_t round = 0; round < rounds; round++) {
		uint32_t before = (uint32_t)raw_reg(&b.raw, COPY_REG_HEAD, 4);
		uint32_t nr = 1 + (uint32_t)(next_random(&b) % RAW_ENTRIES);
		int done;

		any_list(&b, 4);
		for (uint32_t i = 0; i < nr; i++) {
			any_descriptor(&b, raw_slot(&b.raw));
			raw_ring(&b.raw);
		}
		/* Descriptors may write to the ring of completions, not past their turn. */
		done = dma_dev_step(b.raw.dev);
		assert_int_equal(done, nr);
		assert_int_equal(raw_reg(&b.raw, COPY_REG_HEAD, 4), before + nr);
		assert_int_equal(raw_state(&b.raw), COPY_STATE_READY);
	}
	check(&b);
	still_works(&b);
	raw_unmap(b.raw.dev, &b.readable);
	raw_unmap(b.raw.dev, &b.writable);
	raw_unmap(b.raw.dev, &b.list);
	raw_close(&b.raw);
}

static void random_registers(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b);
	for (uint64_t round = 0; round < rounds; round++) {
		uint64_t r = next_random(&b);
		int done;

		if (!(r & 63))
			still_works(&b);
		any_descriptor(&b, b.raw.ring.mem + (r >> 8) % 64 * COPY_DESC_SIZE);
		any_registers(&b);
		if (r >> 6 & 1)
			raw_set(&b.raw, COPY_REG_TAIL,
				raw_reg(&b.raw, COPY_REG_TAIL, 4) + (r >> 16 & 7), 4);
		done = dma_dev_step(b.raw.dev);
		assert_in_range(done, 0, 1u << 16);
	}
	check(&b);
	still_works(&b);
	raw_unmap(b.raw.dev, &b.readable);
	raw_unmap(b.raw.dev, &b.writable);
	raw_unmap(b.raw.dev, &b.list);
	raw_close(&b.raw);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_descriptors),
		cmocka_unit_test(random_registers),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	if (argc > 2)
		rounds = strtoull(argv[2], NULL, 0);
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
