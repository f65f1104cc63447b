/* SPDX-License-Identifier: MIT */
/*
 * Descriptors do what the manual says; one that is malformed gets its code and
 * moves nothing.
 */
#include "raw.h"

#define PAGES 4u
#define SIZE (PAGES * RAW_PAGE)

struct bench {
	struct raw raw;
	struct raw_buf src, dst, list;
};

static void bench_open(struct bench *b)
{
	raw_open(&b->raw, "soft:copy,thread=off");
	raw_map(b->raw.dev, &b->src, PAGES, DMA_TO_DEVICE);
	raw_map(b->raw.dev, &b->dst, PAGES, DMA_FROM_DEVICE);
	raw_map(b->raw.dev, &b->list, 32, DMA_TO_DEVICE);
	for (size_t i = 0; i < SIZE; i++)
		b->src.mem[i] = (uint8_t)(i * 31 + i / 251 + 1);
}

static void bench_close(struct bench *b)
{
	raw_unmap(b->raw.dev, &b->src);
	raw_unmap(b->raw.dev, &b->dst);
	raw_unmap(b->raw.dev, &b->list);
	raw_close(&b->raw);
}

static void assert_untouched(const struct raw_buf *buf, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		assert_int_equal(buf->mem[i], 0);
}

static void nop(void **state)
{
	struct bench b;
	struct raw_done done;

	(void)state;
	bench_open(&b);
	for (uint64_t i = 0; i < 3 * RAW_ENTRIES; i++) { /* three passes: the phase turns */
		done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_NOP, .cookie = ~i});
		assert_int_equal(done.code, COPY_CODE_OK);
		assert_int_equal(done.bytes, 0);
		assert_int_equal(done.addr, 0);
	}
	bench_close(&b);
}

static void copies(void **state)
{
	struct bench b;
	struct raw_done done;

	(void)state;
	bench_open(&b);
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						  .length = 9001,
						  .src = b.src.addr + 5,
						  .dst = b.dst.addr + 3});
	assert_int_equal(done.code, COPY_CODE_OK);
	assert_int_equal(done.bytes, 9001);
	assert_memory_equal(b.dst.mem + 3, b.src.mem + 5, 9001);
	assert_untouched(&b.dst, 0, 3);
	assert_untouched(&b.dst, 3 + 9001, SIZE);
	bench_close(&b);
}

static void fills(void **state)
{
	const uint64_t pattern = 0x8877665544332211;
	struct bench b;
	struct raw_done done;

	(void)state;
	bench_open(&b);
	raw_piece(b.list.mem, 0, b.dst.addr + 1, 3);
	raw_piece(b.list.mem, 1, b.dst.addr + 10, 4200);
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_FILL,
						  .flags = COPY_FLAG_DST_LIST,
						  .length = 4203,
						  .src = pattern,
						  .dst = b.list.addr,
						  .nr_dst = 2});
	assert_int_equal(done.code, COPY_CODE_OK);
	assert_int_equal(done.bytes, 4203);
	assert_int_equal(b.dst.mem[0], 0);
	for (size_t i = 0; i < 4203; i++)
		assert_int_equal(b.dst.mem[i < 3 ? 1 + i : 7 + i], pattern >> 8 * (i % 8) & 0xff);
	assert_untouched(&b.dst, 4, 10);
	assert_untouched(&b.dst, 4210, SIZE);
	bench_close(&b);
}

/* More pieces than a burst has room for requests, and lists over many pages. */
static void long_lists(void **state)
{
	struct bench b;
	struct raw_done done;

	(void)state;
	bench_open(&b);
	for (unsigned int i = 0; i < 4096; i++) {
		raw_piece(b.list.mem, i, b.src.addr + i * 4, 3);
		raw_piece(b.list.mem + 65536, i, b.dst.addr + (4095 - i) * 3, 3);
	}
	done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
						  .flags = COPY_FLAG_SRC_LIST | COPY_FLAG_DST_LIST,
						  .length = 3 * 4096,
						  .src = b.list.addr,
						  .dst = b.list.addr + 65536,
						  .nr_src = 4096,
						  .nr_dst = 4096});
	assert_int_equal(done.code, COPY_CODE_OK);
	assert_int_equal(done.bytes, 3 * 4096);
	for (unsigned int i = 0; i < 4096; i++)
		assert_memory_equal(b.dst.mem + (4095 - i) * 3, b.src.mem + i * 4, 3);
	bench_close(&b);
}

static void malformed_descriptors(void **state)
{
	struct bench b;
	const uint64_t last = ~(uint64_t)0;

	(void)state;
	bench_open(&b);
	{
		const uint64_t s = b.src.addr, d = b.dst.addr, l = b.list.addr;
		const struct raw_desc bad[] = {
			{.opcode = 3, .length = 8, .src = s, .dst = d},
			{.opcode = 255, .length = 8, .src = s, .dst = d},
			{.opcode = COPY_OP_NOP, .flags = 1},
			{.opcode = COPY_OP_NOP, .length = 8},
			{.opcode = COPY_OP_NOP, .src = s},
			{.opcode = COPY_OP_NOP, .dst = d},
			{.opcode = COPY_OP_NOP, .nr_dst = 1},
			{.opcode = COPY_OP_COPY, .flags = 4, .length = 8, .src = s, .dst = d},
			{.opcode = COPY_OP_COPY, .length = 0, .src = s, .dst = d},
			{.opcode = COPY_OP_COPY, .length = (1ULL << 40) + 1, .src = s, .dst = d},
			{.opcode = COPY_OP_COPY, .length = last, .src = s, .dst = d},
			{.opcode = COPY_OP_COPY, .length = 8, .src = last - 6, .dst = d},
			{.opcode = COPY_OP_COPY, .length = 8, .src = s, .dst = last - 6},
			{.opcode = COPY_OP_COPY, .length = 8, .src = s, .dst = d, .nr_src = 1},
			{.opcode = COPY_OP_COPY, .length = 8, .src = s, .dst = d, .nr_dst = 1},
			{.opcode = COPY_OP_FILL, .flags = 1, .length = 8, .dst = d},
			{.opcode = COPY_OP_FILL, .length = 8, .dst = d, .nr_src = 1},
			{.opcode = COPY_OP_COPY, .flags = 2, .length = 8, .src = s, .dst = l},
			{.opcode = COPY_OP_COPY,
			 .flags = 2,
			 .length = 8,
			 .src = s,
			 .dst = l,
			 .nr_dst = 4097},
			{.opcode = COPY_OP_COPY,
			 .flags = 2,
			 .length = 8,
			 .src = s,
			 .dst = l,
			 .nr_dst = 0xffffffff},
			{.opcode = COPY_OP_COPY,
			 .flags = 2,
			 .length = 8,
			 .src = s,
			 .dst = l + 8,
			 .nr_dst = 1},
			{.opcode = COPY_OP_COPY,
			 .flags = 2,
			 .length = 8,
			 .src = s,
			 .dst = last - 15,
			 .nr_dst = 2},
			{.opcode = COPY_OP_COPY,
			 .flags = 1,
			 .length = 8,
			 .src = l + 1,
			 .dst = d,
			 .nr_src = 1},
		};

		raw_piece(b.list.mem, 0, d, 8);
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			struct raw_done done = raw_run(&b.raw, &bad[i]);

			assert_int_equal(done.code, COPY_CODE_BAD_DESCRIPTOR);
			assert_int_equal(done.bytes, 0);
			assert_int_equal(done.addr, 0);
		}
	}
	assert_untouched(&b.dst, 0, SIZE);
	bench_close(&b);
}

static void reserved_bytes(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b);
	for (unsigned int at = 0; at < COPY_DESC_SIZE; at++) {
		uint32_t index = b.raw.tail;
		uint8_t *slot = raw_slot(&b.raw);

		if (at < COPY_DESC_RESERVED0 ||
		    (at >= COPY_DESC_COOKIE && at < COPY_DESC_RESERVED1))
			continue;
		raw_write_desc(slot, &(struct raw_desc){.opcode = COPY_OP_FILL,
							.length = 8,
							.src = ~0ULL,
							.dst = b.dst.addr});
		slot[at] = 0x40;
		raw_ring(&b.raw);
		assert_int_equal(dma_dev_step(b.raw.dev), 1);
		assert_int_equal(raw_done_at(&b.raw, index).code, COPY_CODE_BAD_DESCRIPTOR);
	}
	assert_untouched(&b.dst, 0, SIZE);
	bench_close(&b);
}

/* Each with a good first piece, of which nothing is moved. */
static void malformed_lists(void **state)
{
	const uint64_t last = ~(uint64_t)0;
	struct bench b;

	(void)state;
	bench_open(&b);
	{
		const uint64_t d = b.dst.addr;
		const struct {
			uint64_t addr, len;
			unsigned int code;
		} second[] = {
			{d + 100, 0, COPY_CODE_BAD_LIST},     {last - 6, 8, COPY_CODE_BAD_LIST},
			{d + 100, last, COPY_CODE_BAD_LIST},  {0, last, COPY_CODE_LENGTH},
			{d + 100, 7, COPY_CODE_LENGTH},	      {d + 100, 9, COPY_CODE_LENGTH},
			{last - 7, 8, COPY_CODE_WRITE_FAULT}, /* well formed */
		};

		for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
			struct raw_done done;

			raw_piece(b.list.mem, 0, d, 8);
			raw_piece(b.list.mem, 1, second[i].addr, second[i].len);
			done = raw_run(&b.raw, &(struct raw_desc){.opcode = COPY_OP_COPY,
								  .flags = COPY_FLAG_DST_LIST,
								  .length = 16,
								  .src = b.src.addr,
								  .dst = b.list.addr,
								  .nr_dst = 2});
			assert_int_equal(done.code, second[i].code);
			if (second[i].code == COPY_CODE_WRITE_FAULT) {
				assert_int_equal(done.bytes, 8);
				assert_int_equal(done.addr, last - 7);
				continue;
			}
			assert_int_equal(done.bytes, 0);
			assert_int_equal(done.addr, 0);
			assert_untouched(&b.dst, 0, SIZE);
		}
	}
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nop),
		cmocka_unit_test(copies),
		cmocka_unit_test(fills),
		cmocka_unit_test(long_lists),
		cmocka_unit_test(malformed_descriptors),
		cmocka_unit_test(reserved_bytes),
		cmocka_unit_test(malformed_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
