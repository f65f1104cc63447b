/* SPDX-License-Identifier: MIT */
/* DMA_IOVA_WHOLE: links merge into the fewest entries, and go together. */
#include "setup.h"

static struct dma_iova_state reserve_whole(const struct device *d, size_t size)
{
	struct dma_iova_state iova;

	assert_true(dma_iova_try_alloc_flags(d->dev, &iova, 0, size, 0, DMA_IOVA_WHOLE));
	assert_int_equal(dma_iova_size(&iova), size);
	return iova;
}

static void link_pages(const struct device *d, struct dma_iova_state *iova, size_t offset,
		       const uint8_t *memory, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		link_at(d, iova, offset + at, memory + at, PAGE);
}

static void pages_merge(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(4 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve_whole(&d, 4 * MIB);
	struct dma_stats before;

	memset(memory.at, 0x11, 2 * MIB);
	memset(memory.at + 2 * MIB, 0x22, 2 * MIB);
	link_pages(&d, &iova, 0, memory.at, 4 * MIB);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 4 * MIB), 0);
	assert_int_equal(leaves(&d, iova.addr, 4 * MIB, PAGE), 2);
	assert_reads(&d, iova.addr + 2 * MIB - 1, 0x11);
	assert_reads(&d, iova.addr + 2 * MIB, 0x22);
	assert_int_equal(stats_of(&d).bytes_mapped, 4 * MIB);
	/* It is linked all the same. */
	assert_int_equal(dma_iova_link(d.dev, &iova, virt_to_phys(memory.at), MIB, PAGE,
				       DMA_BIDIRECTIONAL, 0),
			 -EADDRINUSE);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 4 * MIB), 0);
	before = stats_of(&d);
	destroy(&d, &iova, 4 * MIB);
	assert_int_equal(stats_of(&d).pte_writes - before.pte_writes, 2);
	assert_int_equal(stats_of(&d).iotlb_invalidations - before.iotlb_invalidations, 1);
	assert_refused(&d, iova.addr);
	assert_refused(&d, iova.addr + 4 * MIB - 1);
	device_close(&d, 0);
	expanse_free(&memory);
}

static void a_gigabyte_merges(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(GIB, GIB);
	struct dma_iova_state iova = reserve_whole(&d, GIB);
	uint64_t entries, tables;

	for (size_t unit = PAGE; unit <= 2 * MIB; unit *= 512) {
		for (size_t at = 0; at < GIB; at += unit)
			link_at(&d, &iova, at, memory.at + at, unit);
		tables = stats_of(&d).metadata_bytes;
		assert_int_equal(dma_iova_sync(d.dev, &iova, 0, GIB), 0);
		assert_true(stats_of(&d).metadata_bytes < tables);
		assert_int_equal(leaves(&d, iova.addr, GIB, 2 * MIB), 1);
		entries = stats_of(&d).pte_writes;
		unlink_at(&d, &iova, 0, GIB);
		assert_int_equal(stats_of(&d).pte_writes - entries, 1);
		assert_refused(&d, iova.addr);
		assert_refused(&d, iova.addr + GIB - 1);
	}
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	expanse_free(&memory);
}

/* What does not fit together stays as it is, and works. */
static void what_cannot_merge(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(4 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve_whole(&d, 2 * MIB), plain = reserve(&d, 0, 2 * MIB);
	phys_addr_t phys = virt_to_phys(memory.at);

	/* A page is missing. */
	link_pages(&d, &iova, 0, memory.at, 2 * MIB - PAGE);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * MIB), 0);
	assert_int_equal(leaves(&d, iova.addr, 2 * MIB - PAGE, PAGE), 511);
	assert_refused(&d, iova.addr + 2 * MIB - 1);
	unlink_at(&d, &iova, 0, 2 * MIB - PAGE);
	/* Memory at another offset in 2 MiB. */
	link_pages(&d, &iova, 0, memory.at + PAGE, 2 * MIB);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * MIB), 0);
	assert_int_equal(leaves(&d, iova.addr, 2 * MIB, PAGE), 512);
	unlink_at(&d, &iova, 0, 2 * MIB);
	/* Two pages exchanged. */
	for (size_t i = 0; i < 512; i++)
		link_at(&d, &iova, i * PAGE, memory.at + (i ^ (i / 2 == 255)) * PAGE, PAGE);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * MIB), 0);
	assert_int_equal(leaves(&d, iova.addr, 2 * MIB, PAGE), 512);
	unlink_at(&d, &iova, 0, 2 * MIB);
	/* Another direction. */
	link_pages(&d, &iova, 0, memory.at, 2 * MIB - PAGE);
	assert_int_equal(dma_iova_link(d.dev, &iova, phys + 2 * MIB - PAGE, 2 * MIB - PAGE, PAGE,
				       DMA_TO_DEVICE, 0),
			 0);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * MIB), 0);
	assert_int_equal(leaves(&d, iova.addr, 2 * MIB, PAGE), 512);
	assert_int_equal(dma_bus_write(d.port, iova.addr, "x", 1), 0);
	assert_int_equal(dma_bus_write(d.port, iova.addr + 2 * MIB - 1, "x", 1), -EFAULT);
	unlink_at(&d, &iova, 0, 2 * MIB);
	/* Sync of part of it. */
	link_pages(&d, &iova, 0, memory.at, 2 * MIB);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * MIB - PAGE), 0);
	assert_int_equal(leaves(&d, iova.addr, 2 * MIB, PAGE), 512);
	unlink_at(&d, &iova, 0, 2 * MIB);
	/* A reservation that is not one unit. */
	link_pages(&d, &plain, 0, memory.at, 2 * MIB);
	assert_int_equal(dma_iova_sync(d.dev, &plain, 0, 2 * MIB), 0);
	assert_int_equal(leaves(&d, plain.addr, 2 * MIB, PAGE), 512);
	destroy(&d, &plain, 2 * MIB);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	expanse_free(&memory);
}

/* A device that reads before the sync finds the same memory after it. */
static void merging_what_the_device_uses(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(2 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve_whole(&d, 2 * MIB);

	for (size_t i = 0; i < 512; i++)
		memory.at[i * PAGE] = (uint8_t)i;
	link_pages(&d, &iova, 0, memory.at, 2 * MIB);
	assert_int_equal(dma_bus_write(d.port, iova.addr + 5 * PAGE, "\5", 1), 0);
	assert_reads_pages(&d, iova.addr, 512, 0);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * MIB), 0);
	assert_reads_pages(&d, iova.addr, 512, 0);
	destroy(&d, &iova, 2 * MIB);
	assert_refused(&d, iova.addr + 5 * PAGE);
	device_close(&d, 0);
	expanse_free(&memory);
}

static void unlinking_part_takes_all(void **state)
{
	static const struct {
		size_t offset, size;
	} parts[] = {
		{0, PAGE}, {MIB, PAGE}, {4 * MIB - 1, 1}, {0, 2 * MIB}, {PAGE, 4 * MIB - PAGE}};
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(4 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve_whole(&d, 4 * MIB);
	struct dma_gather gather;
	uint64_t misused = 0, before;

	for (size_t i = 0; i < COUNT(parts) * 4; i++) {
		link_pages(&d, &iova, 0, memory.at, 4 * MIB);
		/* Merged or not, strict or gathered. */
		if (i & 1)
			assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 4 * MIB), 0);
		assert_reads(&d, iova.addr, 0);
		assert_reads(&d, iova.addr + 3 * MIB, 0);
		before = stats_of(&d).misuse;
		dma_clear_error();
		dma_gather_begin(i & 2 ? d.dev : NULL, &gather);
		dma_iova_unlink_gather(d.dev, &iova, parts[i / 4].offset, parts[i / 4].size,
				       DMA_BIDIRECTIONAL, 0, &gather);
		dma_gather_end(&gather);
		assert_int_equal(stats_of(&d).misuse, before + 1);
		assert_string_not_equal(dma_last_error(), "");
		misused += stats_of(&d).misuse - before;
		assert_int_equal(stats_of(&d).bytes_mapped, 0);
		for (size_t at = 0; at < 4 * MIB; at += MIB / 2)
			assert_refused(&d, iova.addr + at);
		assert_int_equal(stats_of(&d).iova_live, 1);
	}
	/* What is linked, and no more: as it should be. */
	link_pages(&d, &iova, PAGE, memory.at, 4 * PAGE);
	assert_int_equal(dma_iova_sync(d.dev, &iova, PAGE, 4 * PAGE), 0);
	unlink_at(&d, &iova, PAGE, 4 * PAGE);
	assert_refused_pages(&d, iova.addr, 8);
	dma_iova_free(d.dev, &iova);
	device_close(&d, misused);
	expanse_free(&memory);
}

static void destroying_part_takes_all(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(4 * MIB, 2 * MIB);
	static const size_t mapped[] = {0, PAGE, 2 * MIB, 3 * MIB};
	uint64_t misused = 0;

	for (size_t i = 0; i < COUNT(mapped); i++) {
		struct dma_iova_state iova = reserve_whole(&d, 4 * MIB);
		uint64_t before = stats_of(&d).misuse;

		link_pages(&d, &iova, 0, memory.at, 4 * MIB);
		assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 4 * MIB), 0);
		assert_reads(&d, iova.addr, 0);
		assert_reads(&d, iova.addr + 4 * MIB - 1, 0);
		destroy(&d, &iova, mapped[i]);
		assert_int_equal(stats_of(&d).misuse, before + 1);
		misused += stats_of(&d).misuse - before;
		assert_refused(&d, iova.addr);
		assert_refused(&d, iova.addr + 4 * MIB - 1);
		assert_int_equal(stats_of(&d).iova_live, 0);
		assert_int_equal(stats_of(&d).bytes_mapped, 0);
	}
	device_close(&d, misused);
	expanse_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(pages_merge),
		EACH_FORMAT(a_gigabyte_merges),
		EACH_FORMAT(what_cannot_merge),
		EACH_FORMAT(merging_what_the_device_uses),
		EACH_FORMAT(unlinking_part_takes_all),
		EACH_FORMAT(destroying_part_takes_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
