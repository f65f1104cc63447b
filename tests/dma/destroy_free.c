/* SPDX-License-Identifier: MIT */
/* The end of a reservation: with every prefix linked, twice, too early, with the wrong size. */
#include "setup.h"

/* In a space of 15 granules, so that one that is not given back would be missed. */
static void every_prefix(void **state)
{
	enum { PAGES = 5 };
	struct device d = soft_open(state, ",mask=16");
	uint8_t *memory = pages_new(PAGES + 1, 1);
	size_t size = PAGES * PAGE - 0x100;
	struct dma_iova_state iova;
	dma_addr_t base = 0;

	for (size_t round = 0; round < 3; round++) {
		for (size_t linked = 0; linked <= PAGES; linked++) {
			size_t mapped = linked ? linked * PAGE - 0x100 : 0;

			iova = reserve(&d, 0x100, size);
			if (!base)
				base = iova.addr;
			assert_int_equal(iova.addr, base);
			if (mapped)
				link_at(&d, &iova, 0, memory + 0x100, mapped);
			assert_reads_pages(&d, iova.addr, linked, 1);
			/* Any length inside the last granule means the same. */
			destroy(&d, &iova, mapped && round ? mapped - round * 100 : mapped);
			assert_refused_pages(&d, iova.addr, PAGES);
			assert_int_equal(stats_of(&d).iova_live, 0);
			/* The state is not cleared. */
			assert_true(dma_use_iova(&iova));
		}
	}
	device_close(&d, 0);
	free(memory);
}

static void with_less_linked_than_said(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	struct misuse misuse;

	link_at(&d, &iova, 0, memory, 2 * PAGE);
	assert_reads_pages(&d, iova.addr, 2, 1);
	misuse = misuse_expect(&d);
	destroy(&d, &iova, 3 * PAGE);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 4);
	assert_int_equal(stats_of(&d).iova_live, 0);

	/* Longer than the reservation. */
	iova = reserve(&d, 0, 4 * PAGE);
	link_at(&d, &iova, 0, memory, 4 * PAGE);
	assert_reads_pages(&d, iova.addr, 4, 1);
	misuse = misuse_expect(&d);
	destroy(&d, &iova, 4 * PAGE + 1);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 4);
	iova = reserve(&d, 0, 4 * PAGE);
	link_at(&d, &iova, 0, memory, 4 * PAGE);
	misuse = misuse_expect(&d);
	destroy(&d, &iova, SIZE_MAX);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 4);
	device_close(&d, 3);
	free(memory);
}

/* The device never keeps access that the caller thinks is gone. */
static void with_links_left(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova, one;
	struct misuse misuse;

	/* Destroy of a prefix, links beyond it. */
	iova = reserve(&d, 0, 4 * PAGE);
	link_at(&d, &iova, 0, memory, PAGE);
	link_at(&d, &iova, 2 * PAGE, memory + 2 * PAGE, 2 * PAGE);
	assert_reads(&d, iova.addr, 1);
	assert_reads_pages(&d, iova.addr + 2 * PAGE, 2, 3);
	misuse = misuse_expect(&d);
	destroy(&d, &iova, PAGE);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 4);

	/* Free, of several granules and of one. */
	iova = reserve(&d, 0, 4 * PAGE);
	link_at(&d, &iova, PAGE, memory + PAGE, PAGE);
	assert_reads(&d, iova.addr + PAGE, 2);
	one = reserve(&d, 0, PAGE);
	link_at(&d, &one, 0, memory, PAGE);
	assert_reads(&d, one.addr, 1);
	misuse = misuse_expect(&d);
	dma_iova_free(d.dev, &iova);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 4);
	assert_reads(&d, one.addr, 1);
	misuse = misuse_expect(&d);
	dma_iova_free(d.dev, &one);
	misuse_check(&d, misuse, 1);
	assert_refused(&d, one.addr);
	assert_int_equal(stats_of(&d).bytes_mapped, 0);

	/* Destroy of nothing. */
	iova = reserve(&d, 0, PAGE);
	link_at(&d, &iova, 0, memory, PAGE);
	assert_reads(&d, iova.addr, 1);
	misuse = misuse_expect(&d);
	destroy(&d, &iova, 0);
	misuse_check(&d, misuse, 1);
	assert_refused(&d, iova.addr);
	device_close(&d, 4);
	free(memory);
}

static void twice(void **state)
{
	static const size_t sizes[] = {1, PAGE, PAGE + 1, 3 * PAGE, 700 * PAGE};
	struct device d = soft_open(state, "");
	uint64_t misused = 0;

	for (size_t i = 0; i < COUNT(sizes) * 4; i++) {
		struct dma_iova_state iova = reserve(&d, 0, sizes[i / 4]);
		struct dma_iova_state copy = iova, again[2];
		struct misuse misuse;

		if (i & 1)
			destroy(&d, &iova, 0);
		else
			dma_iova_free(d.dev, &iova);
		assert_int_equal(stats_of(&d).iova_live, 0);
		misuse = misuse_expect(&d);
		if (i & 2)
			destroy(&d, &copy, 0);
		else
			dma_iova_free(d.dev, &copy);
		misuse_check(&d, misuse, 1);
		assert_int_equal(stats_of(&d).iova_live, 0);
		/* Nobody gets it twice. */
		again[0] = reserve(&d, 0, sizes[i / 4]);
		again[1] = reserve(&d, 0, sizes[i / 4]);
		assert_true(again[0].addr + sizes[i / 4] <= again[1].addr ||
			    again[1].addr + sizes[i / 4] <= again[0].addr);
		dma_iova_free(d.dev, &again[0]);
		dma_iova_free(d.dev, &again[1]);
		misused++;
	}
	device_close(&d, misused);
}

/* What is not that reservation is left alone: the device keeps its access. */
static void of_something_else(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE), streaming;
	dma_addr_t addr = dma_map_single(d.dev, memory, PAGE, DMA_BIDIRECTIONAL);
	struct dma_iova_state wrong[] = {
		{iova.addr, 3 * PAGE},
		{iova.addr, 4 * PAGE + 1},
		{iova.addr, 1},
		{iova.addr, 0},
		{iova.addr + PAGE, 3 * PAGE},
		{iova.addr - PAGE, PAGE},
		{0, 0},
		{0, PAGE},
		{UINT64_MAX - PAGE + 1, PAGE},
		{addr, PAGE},
	};

	link_at(&d, &iova, 0, memory, 4 * PAGE);
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct misuse misuse = misuse_expect(&d);

		dma_iova_free(d.dev, &wrong[i]);
		misuse_check(&d, misuse, 1);
		misuse = misuse_expect(&d);
		destroy(&d, &wrong[i], PAGE);
		misuse_check(&d, misuse, 1);
		assert_reads_pages(&d, iova.addr, 4, 1);
		assert_reads(&d, addr, 1);
		assert_int_equal(stats_of(&d).iova_live, 2);
	}
	dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	/* Bits of the state that are the library's do not count as size. */
	streaming = iova;
	streaming.__size |= __DMA_IOVA_BOUNCED;
	assert_int_equal(dma_iova_size(&streaming), 4 * PAGE);
	destroy(&d, &streaming, 4 * PAGE);
	assert_refused_pages(&d, iova.addr, 4);
	device_close(&d, 2 * COUNT(wrong));
	free(memory);
}

/* A state holds no pointers: a copy does as well, on another thread's stack or anywhere. */
static void a_copy_of_the_state(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(2, 1);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE), first = iova, second;

	link_at(&d, &first, 0, memory, PAGE);
	second = first;
	link_at(&d, &second, PAGE, memory + PAGE, PAGE);
	assert_int_equal(dma_iova_sync(d.dev, &first, 0, 2 * PAGE), 0);
	assert_reads_pages(&d, iova.addr, 2, 1);
	destroy(&d, &iova, 2 * PAGE);
	assert_refused_pages(&d, iova.addr, 2);
	device_close(&d, 0);
	free(memory);
}

/* More tables than are kept for the next time: they go when what they translate is freed. */
static void tables_are_given_back(void **state)
{
	static struct phys_vec vec[512];
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 0x77);
	uint64_t size = 1200 * 2 * MIB, kept;
	struct dma_iova_state iova = reserve(&d, 0, size);

	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory), PAGE};
	for (size_t round = 0; round < 2; round++) {
		for (uint64_t at = 0; at < size; at += 2 * MIB)
			assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, COUNT(vec), at,
							   DMA_TO_DEVICE, 0),
					 0);
		assert_true(stats_of(&d).metadata_bytes > 1200 * PAGE);
		assert_reads(&d, iova.addr, 0x77);
		assert_reads(&d, iova.addr + size - 1, 0x77);
		if (!round)
			unlink_at(&d, &iova, 0, size);
		else
			destroy(&d, &iova, size);
		kept = stats_of(&d).metadata_bytes;
		assert_true(kept < 1100 * PAGE + MIB);
		assert_refused(&d, iova.addr);
		assert_refused(&d, iova.addr + size - 1);
	}
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(every_prefix),	    EACH_FORMAT(with_less_linked_than_said),
		EACH_FORMAT(with_links_left),	    EACH_FORMAT(twice),
		EACH_FORMAT(of_something_else),	    EACH_FORMAT(a_copy_of_the_state),
		EACH_FORMAT(tables_are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
