/* SPDX-License-Identifier: MIT */
/* Entries of 2 MiB and 1 GiB: where they are chosen, and what unlinking part of one does. */
#include "setup.h"

#define LARGE (2 * MIB)

static void chosen_by_alignment(void **state)
{
	static const struct {
		size_t offset, memory, size;
		uint64_t leaves;
	} cases[] = {
		{0, 0, LARGE, 1},
		{0, 0, 2 * LARGE, 2},
		{LARGE, 0, LARGE, 1},
		{0, 0, LARGE + 1, 2},
		{0, 0, LARGE - PAGE, 511},
		{0, PAGE, LARGE, 512},
		{PAGE, 0, LARGE, 512},
		{PAGE, PAGE, 2 * LARGE - PAGE, 511 + 1},
		{LARGE - PAGE, LARGE - PAGE, LARGE + 2 * PAGE, 1 + 1 + 1},
		{LARGE - PAGE, 2 * PAGE, LARGE + 2 * PAGE, 514},
	};
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(3 * LARGE, LARGE);
	struct dma_iova_state iova = reserve(&d, 0, 4 * LARGE);

	for (size_t i = 0; i < 3 * LARGE / PAGE; i++)
		memcpy(memory.at + i * PAGE, &i, sizeof(i));
	for (size_t i = 0; i < COUNT(cases); i++) {
		dma_addr_t addr = iova.addr + cases[i].offset;
		uint64_t writes = stats_of(&d).pte_writes;
		uint64_t page;

		link_at(&d, &iova, cases[i].offset, memory.at + cases[i].memory, cases[i].size);
		assert_int_equal(leaves(&d, addr, cases[i].size, PAGE), cases[i].leaves);
		for (size_t at = 0; at + 8 < cases[i].size; at += PAGE) {
			assert_int_equal(dma_bus_read(d.port, addr + at, &page, sizeof(page)), 0);
			assert_int_equal(page, (cases[i].memory + at) / PAGE);
		}
		writes = stats_of(&d).pte_writes;
		unlink_at(&d, &iova, cases[i].offset, cases[i].size);
		assert_int_equal(stats_of(&d).pte_writes - writes, cases[i].leaves);
		assert_refused(&d, addr);
		assert_refused(&d, addr + cases[i].size - 1);
	}
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	expanse_free(&memory);
}

static void never_over_two_units(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(LARGE, LARGE);
	struct dma_iova_state iova = reserve(&d, 0, LARGE);
	struct misuse misuse;

	link_at(&d, &iova, 0, memory.at, LARGE / 2);
	link_at(&d, &iova, LARGE / 2, memory.at + LARGE / 2, LARGE / 2);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, LARGE), 0);
	assert_int_equal(leaves(&d, iova.addr, LARGE, PAGE), 512);
	/* So either can be unlinked without the other. */
	misuse = misuse_expect(&d);
	unlink_at(&d, &iova, 0, LARGE / 2);
	misuse_check(&d, misuse, 0);
	assert_refused(&d, iova.addr);
	assert_reads(&d, iova.addr + LARGE / 2, 0);
	unlink_at(&d, &iova, LARGE / 2, LARGE / 2);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	expanse_free(&memory);
}

static void a_gigabyte(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(2 * GIB, GIB);
	struct dma_iova_state iova = reserve(&d, 0, 2 * GIB);
	size_t size = GIB + LARGE + PAGE;
	struct misuse misuse;

	memory.at[0] = 1;
	memory.at[GIB - 1] = 2;
	memory.at[GIB] = 3;
	memory.at[GIB + LARGE] = 4;
	link_at(&d, &iova, 0, memory.at, size);
	assert_int_equal(leaves(&d, iova.addr, size, LARGE), 3);
	assert_reads(&d, iova.addr, 1);
	assert_reads(&d, iova.addr + GIB - 1, 2);
	assert_reads(&d, iova.addr + GIB, 3);
	assert_reads(&d, iova.addr + GIB + LARGE, 4);
	assert_refused(&d, iova.addr + size);
	/* A page of it takes all of the large entry, and nothing of the others. */
	misuse = misuse_expect(&d);
	unlink_at(&d, &iova, GIB / 2, PAGE);
	misuse_check(&d, misuse, 1);
	assert_refused(&d, iova.addr);
	assert_refused(&d, iova.addr + GIB - 1);
	assert_reads(&d, iova.addr + GIB, 3);
	assert_reads(&d, iova.addr + GIB + LARGE, 4);
	assert_int_equal(stats_of(&d).bytes_mapped, LARGE + PAGE);
	unlink_at(&d, &iova, GIB, LARGE + PAGE);
	/* One that begins at the wrong place in memory is in 2 MiB entries. */
	link_at(&d, &iova, 0, memory.at + LARGE, GIB);
	assert_int_equal(leaves(&d, iova.addr, GIB, LARGE), 512);
	unlink_at(&d, &iova, 0, GIB);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 1);
	expanse_free(&memory);
}

static void cutting_one_takes_it_whole(void **state)
{
	static const struct {
		size_t offset, size;
		unsigned int gone; /* bits of the three large entries */
	} cases[] = {
		{LARGE, PAGE, 2},
		{LARGE + 17 * PAGE, 1, 2},
		{2 * LARGE - 1, 1, 2},
		{LARGE - PAGE, 2 * PAGE, 3},
		{LARGE - PAGE, LARGE + 2 * PAGE, 7},
		{0, 3 * LARGE - PAGE, 7},
	};
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(3 * LARGE, LARGE);
	struct dma_iova_state iova = reserve(&d, 0, 3 * LARGE);
	struct misuse misuse;

	for (size_t i = 0; i < COUNT(cases); i++) {
		link_at(&d, &iova, 0, memory.at, 3 * LARGE);
		assert_int_equal(leaves(&d, iova.addr, 3 * LARGE, PAGE), 3);
		misuse = misuse_expect(&d);
		unlink_at(&d, &iova, cases[i].offset, cases[i].size);
		misuse_check(&d, misuse, 1);
		for (size_t at = 0; at < 3 * LARGE; at += LARGE / 4) {
			if (cases[i].gone & 1U << (at / LARGE))
				assert_refused(&d, iova.addr + at);
			else
				assert_reads(&d, iova.addr + at, 0);
		}
		for (size_t n = 0; n < 3; n++)
			if (!(cases[i].gone & 1U << n))
				unlink_at(&d, &iova, n * LARGE, LARGE);
		assert_int_equal(stats_of(&d).bytes_mapped, 0);
	}
	dma_iova_free(d.dev, &iova);
	device_close(&d, COUNT(cases));
	expanse_free(&memory);
}

/* Tables that are empty and still there give way. */
static void over_an_empty_table(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(GIB, GIB);
	struct dma_iova_state iova = reserve(&d, 0, GIB);
	uint64_t metadata;

	for (size_t i = 0; i < 512; i++)
		memory.at[i * LARGE] = (uint8_t)(i | 1);
	for (size_t round = 0; round < 3; round++) {
		link_at(&d, &iova, 5 * PAGE, memory.at, PAGE);
		assert_reads(&d, iova.addr + 5 * PAGE, 1);
		unlink_at(&d, &iova, 5 * PAGE, PAGE);
		metadata = stats_of(&d).metadata_bytes;
		link_at(&d, &iova, 0, memory.at, LARGE);
		assert_int_equal(stats_of(&d).metadata_bytes, metadata - PAGE);
		assert_int_equal(leaves(&d, iova.addr, LARGE, PAGE), 1);
		unlink_at(&d, &iova, 0, LARGE);
	}
	/* And a whole tree of them. */
	for (size_t i = 0; i < 512; i++)
		link_at(&d, &iova, i * LARGE + i * PAGE, memory.at, PAGE);
	assert_reads(&d, iova.addr + 300 * (LARGE + PAGE), 1);
	for (size_t i = 0; i < 512; i++)
		unlink_at(&d, &iova, i * LARGE + i * PAGE, PAGE);
	metadata = stats_of(&d).metadata_bytes;
	link_at(&d, &iova, 0, memory.at, GIB);
	assert_int_equal(stats_of(&d).metadata_bytes, metadata - 513 * PAGE);
	assert_int_equal(leaves(&d, iova.addr, GIB, LARGE), 1);
	for (size_t i = 0; i < 512; i++)
		assert_reads(&d, iova.addr + i * LARGE, (unsigned int)i | 1);
	destroy(&d, &iova, GIB);
	assert_refused(&d, iova.addr + 300 * (LARGE + PAGE));
	/* The tables that went are of use again. */
	iova = reserve(&d, 0, GIB);
	for (size_t i = 0; i < 512; i++)
		link_at(&d, &iova, i * LARGE, memory.at + i * LARGE, PAGE);
	for (size_t i = 0; i < 512; i++) {
		assert_reads(&d, iova.addr + i * LARGE, (unsigned int)i | 1);
		assert_refused(&d, iova.addr + i * LARGE + PAGE);
		unlink_at(&d, &iova, i * LARGE, PAGE);
	}
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	expanse_free(&memory);
}

static void overlap_with_other_sizes(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(2 * LARGE, LARGE);
	struct dma_iova_state iova = reserve(&d, 0, 2 * LARGE);
	phys_addr_t phys = virt_to_phys(memory.at);
	struct snapshot before;

	link_at(&d, &iova, LARGE - PAGE, memory.at, PAGE);
	before = snapshot_take(&d, iova.addr + LARGE - 4 * PAGE, 8);
	assert_int_equal(dma_iova_link(d.dev, &iova, phys, 0, LARGE, DMA_BIDIRECTIONAL, 0),
			 -EADDRINUSE);
	assert_int_equal(dma_iova_link(d.dev, &iova, phys, 0, 2 * LARGE, DMA_BIDIRECTIONAL, 0),
			 -EADDRINUSE);
	assert_unchanged_but_tables(&d, &before);
	unlink_at(&d, &iova, LARGE - PAGE, PAGE);

	link_at(&d, &iova, LARGE, memory.at, LARGE);
	before = snapshot_take(&d, iova.addr + LARGE - 4 * PAGE, 8);
	assert_int_equal(dma_iova_link(d.dev, &iova, phys, 0, 2 * LARGE, DMA_BIDIRECTIONAL, 0),
			 -EADDRINUSE);
	assert_int_equal(
		dma_iova_link(d.dev, &iova, phys, LARGE + 9 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0),
		-EADDRINUSE);
	assert_int_equal(dma_iova_link(d.dev, &iova, phys, LARGE, LARGE, DMA_BIDIRECTIONAL, 0),
			 -EADDRINUSE);
	assert_unchanged_but_tables(&d, &before);
	unlink_at(&d, &iova, LARGE, LARGE);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	expanse_free(&memory);
}

static void streaming_mappings_have_them_too(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(2 * LARGE, LARGE);
	dma_addr_t addr = dma_map_single(d.dev, memory.at, 2 * LARGE, DMA_BIDIRECTIONAL);

	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	assert_int_equal(leaves(&d, addr, 2 * LARGE, PAGE), 2);
	dma_unmap_single(d.dev, addr, 2 * LARGE, DMA_BIDIRECTIONAL);
	assert_refused(&d, addr);
	assert_refused(&d, addr + 2 * LARGE - 1);
	device_close(&d, 0);
	expanse_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(chosen_by_alignment),
		EACH_FORMAT(never_over_two_units),
		EACH_FORMAT(a_gigabyte),
		EACH_FORMAT(cutting_one_takes_it_whole),
		EACH_FORMAT(over_an_empty_table),
		EACH_FORMAT(overlap_with_other_sizes),
		EACH_FORMAT(streaming_mappings_have_them_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
