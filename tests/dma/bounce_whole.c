/* SPDX-License-Identifier: MIT */
/* Links that are bounced as a whole: everything of a device, or memory that is not pinned. */
#include "bounce.h"

/* Everything is bounced, in buffers of at most 252 KiB. */
static void long_links_are_cut(void **state)
{
	static const struct {
		size_t start, size;
		uint64_t maps;
	} cases[] = {
		{0, PAGE, 1},	       {0x123, 1, 1},	      {0, 252 * KIB, 1},
		{0, 252 * KIB + 1, 2}, {1, 252 * KIB - 1, 1}, {1, 252 * KIB, 2},
		{0xfff, 600 * KIB, 3}, {0, 2 * MIB, 9},
	};
	struct device d = soft_open(state, ",bounce=force");

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buffer b = buffer_new(cases[i].start, cases[i].size);
		uint64_t maps = lent_ever(NULL);
		struct dma_iova_state iova = link_buffer(&d, &b, DMA_BIDIRECTIONAL, 0);

		assert_int_equal(lent_ever(NULL) - maps, cases[i].maps);
		assert_int_equal(lent(NULL), b.nr_pages * PAGE);
		assert_sees(&d, iova.addr, b.was, b.size);
		write_granules(&d, iova.addr, b.size, 0x3c);
		assert_as_before(&b);
		destroy(&d, &iova, b.size);
		assert_all(b.at, b.size, 0x3c);
		assert_neighbours(&b);
		assert_int_equal(lent(NULL), 0);
		buffer_free(&b);
	}
	device_close(&d, 0);
}

/* A buffer goes whole, and the call is misuse, once. */
static void cutting_a_buffer(void **state)
{
	static const struct {
		size_t offset, size;
		size_t from, to; /* what goes */
		unsigned int misuse;
	} cases[] = {
		{0, 252 * KIB, 0, 252 * KIB, 0},
		{0, PAGE, 0, 252 * KIB, 1},
		{5 * PAGE, PAGE, 0, 252 * KIB, 1},
		{252 * KIB - PAGE, PAGE, 0, 252 * KIB, 1},
		{252 * KIB - PAGE, 2 * PAGE, 0, 504 * KIB, 1},
		{252 * KIB, 252 * KIB, 252 * KIB, 504 * KIB, 0},
		{256 * KIB, 100 * KIB, 252 * KIB, 504 * KIB, 1},
		{0, 508 * KIB, 0, 600 * KIB, 1},
		{504 * KIB, 96 * KIB, 504 * KIB, 600 * KIB, 0},
		{504 * KIB, 1, 504 * KIB, 600 * KIB, 1},
		{0, 600 * KIB, 0, 600 * KIB, 0},
	};
	struct device d = soft_open(state, ",bounce=force");
	struct buffer b = buffer_new(0, 600 * KIB);
	uint64_t misused = 0;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dma_iova_state iova = link_buffer(&d, &b, DMA_BIDIRECTIONAL, 0);
		struct misuse misuse = misuse_expect(&d);
		size_t from = cases[i].from, to = cases[i].to;

		write_granules(&d, iova.addr, b.size, 0x3c);
		unlink_at(&d, &iova, cases[i].offset, cases[i].size);
		misuse_check(&d, misuse, cases[i].misuse);
		misused += cases[i].misuse;
		for (size_t at = 0; at < b.size; at += PAGE) {
			bool gone = at >= from && at < to;

			assert_int_equal(b.at[at], gone ? 0x3c : b.was[at]);
			assert_int_equal(seen_at(&d, iova.addr + at), gone ? -EFAULT : 0x3c);
		}
		assert_int_equal(lent(NULL), b.nr_pages * PAGE - (to - from));
		/* What is left can be ended in the right way. */
		if (from)
			unlink_at(&d, &iova, 0, from);
		if (to < b.size)
			unlink_at(&d, &iova, to, b.size - to);
		dma_iova_free(d.dev, &iova);
		assert_all(b.at, b.size, 0x3c);
		assert_int_equal(lent(NULL), 0);
		buffer_reset(&b);
	}
	buffer_free(&b);
	device_close(&d, misused);
}

/* Destroying a prefix that cuts a buffer takes all, as of any link. */
static void destroying_part_of_a_buffer(void **state)
{
	struct device d = soft_open(state, ",bounce=force");
	struct buffer b = buffer_new(0x800, 300 * KIB);
	struct dma_iova_state iova = link_buffer(&d, &b, DMA_FROM_DEVICE, 0);
	struct misuse misuse = misuse_expect(&d);

	write_granules(&d, iova.addr, b.size, 0x3c);
	dma_iova_destroy(d.dev, &iova, 100 * KIB, DMA_FROM_DEVICE, 0);
	misuse_check(&d, misuse, 1);
	assert_all(b.at, b.size, 0x3c);
	assert_neighbours(&b);
	assert_int_equal(lent(NULL), 0);
	buffer_free(&b);
	device_close(&d, 1);
}

/*
 * Pages that are far apart in memory are far apart for the caller, also where their copies
 * happen to follow each other: each can be unlinked alone.
 */
static void neighbours_in_the_pool_are_strangers(void **state)
{
	enum { PAGES = 1536 };
	struct device d = soft_open(state, ",bounce=force");
	struct dma_bounce *pool = pool_new(16 * MIB, 16 * MIB);
	struct expanse memory = expanse_new(2 * PAGES * PAGE, PAGE);
	struct dma_iova_state iova = reserve(&d, 0, PAGES * PAGE), shift;
	static struct phys_vec vec[PAGES];

	assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
	for (size_t i = 0; i < PAGES; i++) {
		memset(memory.at + 2 * i * PAGE, (int)(i % 250) + 1, PAGE);
		vec[i] = (struct phys_vec){virt_to_phys(memory.at + 2 * i * PAGE), PAGE};
	}
	/* Wherever in a large page the pool's first free granule is. */
	for (size_t taken = 0; taken < 512; taken += 64) {
		shift = reserve(&d, 0, 512 * PAGE);
		if (taken)
			assert_int_equal(
				dma_iova_link_vec(d.dev, &shift, vec, taken, 0, DMA_TO_DEVICE, 0),
				0);
		assert_int_equal(
			dma_iova_link_vec(d.dev, &iova, vec, PAGES, 0, DMA_BIDIRECTIONAL, 0), 0);
		for (size_t i = 0; i < PAGES; i++)
			assert_reads(&d, iova.addr + i * PAGE, (unsigned int)(i % 250) + 1);
		for (size_t i = 0; i < PAGES; i += 2)
			unlink_at(&d, &iova, i * PAGE, PAGE);
		for (size_t i = 0; i < PAGES; i++)
			assert_int_equal(seen_at(&d, iova.addr + i * PAGE),
					 i % 2 ? (int)(i % 250) + 1 : -EFAULT);
		for (size_t i = 1; i < PAGES; i += 2)
			unlink_at(&d, &iova, i * PAGE, PAGE);
		dma_iova_destroy(d.dev, &shift, taken * PAGE, DMA_TO_DEVICE, 0);
	}
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_dev_set_bounce(d.dev, NULL), 0);
	pool_free(pool);
	expanse_free(&memory);
	device_close(&d, 0);
}

/* Memory whose pages may move is never linked itself, whoever the device is. */
static void memory_that_is_not_pinned(void **state)
{
	struct device d = soft_open(state, "");
	struct buffer b = buffer_new(0, 64 * PAGE);
	uint8_t *plain = pages_new(2, 1);
	phys_addr_t base = register_no_pin(b.pages, 64 * PAGE);
	const struct phys_vec vec[] = {
		{virt_to_phys(plain), PAGE},
		{base + 2 * PAGE, 2 * PAGE},
		{virt_to_phys(plain + PAGE), PAGE},
		{base + 9 * PAGE, 100},
	};
	struct dma_iova_state iova = reserve(&d, 0, 80 * PAGE);

	assert_int_equal(virt_to_phys(b.pages), base);
	assert_int_equal(dma_iova_link(d.dev, &iova, base, 0, PAGE, DMA_TO_DEVICE,
				       DMA_ATTR_REQUIRE_COHERENT),
			 -EPERM);
	assert_int_equal(dma_iova_link(d.dev, &iova, base, 0, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO),
			 -EPERM);
	/* Page by page, where the next one goes the shortest way. */
	for (size_t i = 0; i < 8; i++)
		link_at(&d, &iova, i * PAGE, i % 2 ? b.pages + i * PAGE : plain, PAGE);
	assert_int_equal(lent(NULL), 4 * PAGE);
	write_granules(&d, iova.addr, 8 * PAGE, 0x3c);
	assert_as_before(&b);
	assert_int_equal(plain[0], 0x3c);
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	unlink_at(&d, &iova, 0, 8 * PAGE);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(b.pages[i * PAGE + 7], i % 2 ? 0x3c : b.was[i * PAGE + 7]);
	assert_int_equal(lent(NULL), 0);
	buffer_reset(&b);

	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, COUNT(vec), 0, DMA_BIDIRECTIONAL, 0),
			 0);
	assert_int_equal(lent(NULL), 3 * PAGE);
	write_granules(&d, iova.addr, 5 * PAGE, 0x3d);
	assert_as_before(&b);
	assert_int_equal(plain[PAGE], 0x3d);
	unlink_at(&d, &iova, 0, 4 * PAGE + 100);
	assert_all(b.pages + 2 * PAGE, 2 * PAGE, 0x3d);
	assert_all(b.pages + 9 * PAGE, 100, 0x3d);
	assert_memory_equal(b.pages + 9 * PAGE + 100, b.was + 9 * PAGE + 100, PAGE - 100);
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_memory_unregister(base), 0);
	buffer_free(&b);
	free(plain);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(long_links_are_cut),
		EACH_FORMAT(cutting_a_buffer),
		EACH_FORMAT(destroying_part_of_a_buffer),
		EACH_FORMAT(neighbours_in_the_pool_are_strangers),
		EACH_FORMAT(memory_that_is_not_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
