/* SPDX-License-Identifier: MIT */
/* Lists on devices that map only what is mapped ahead: each entry is looked up. */
#include <twostep/premap.h>

#include "noncoherent.h"
#include "sg.h"

#define BIDI DMA_BIDIRECTIONAL
#define PAGES 8

static dma_addr_t premap(const struct device *d, const void *memory, size_t size,
			 enum dma_data_direction dir)
{
	dma_addr_t addr = 0;

	assert_int_equal(dma_premap(d->dev, virt_to_phys(memory), size, dir, 0, &addr), 0);
	return addr;
}

static void unpremap(const struct device *d, const void *memory, size_t size)
{
	assert_int_equal(dma_unpremap(d->dev, virt_to_phys(memory), size), 0);
}

/* Misuse checks are on in some, and must have nothing to say. */
static uint64_t reports;

static void count_report(const struct dma_debug_report *report, void *arg)
{
	(void)arg;
	dma_debug_print(report);
	reports++;
}

static const char *const options[] = {
	",map=ahead",
	",map=ahead,untrusted",
	",map=ahead,coherent=off",
	",map=ahead,debug=on",
	",map=ahead,coherent=off,debug=on",
};

/* Pages that follow each other, and parts of pages: none of them joins another. */
static size_t entries_set(struct scatterlist *sgl, const uint8_t *memory)
{
	entry_set(&sgl[0], memory, PAGE);
	entry_set(&sgl[1], memory + PAGE, PAGE);
	entry_set(&sgl[2], memory + 2 * PAGE, 3 * PAGE);
	entry_set(&sgl[3], memory + 6 * PAGE + 64, 640);
	entry_set(&sgl[4], memory + PAGE, PAGE);
	return 5;
}

static void assert_translated(const struct scatterlist *sgl, size_t nents, const uint8_t *memory,
			      dma_addr_t addr)
{
	for (size_t i = 0; i < nents; i++) {
		assert_int_equal(sg_dma_address(&sgl[i]),
				 addr + (uint64_t)(entry_memory(&sgl[i]) - memory));
		assert_int_equal(sg_dma_len(&sgl[i]), sgl[i].length);
	}
}

static void each_entry_is_a_segment(void **state)
{
	uint8_t *memory = pages_new(PAGES, 1);
	struct scatterlist sgl[5], was[5];

	for (size_t i = 0; i < COUNT(options); i++) {
		struct device d = soft_open(state, options[i]);
		dma_addr_t addr = premap(&d, memory, PAGES * PAGE, BIDI);
		struct snapshot before = snapshot_take(&d, addr, PAGES);
		size_t nents = entries_set(sgl, memory);
		struct sg_table table = {sgl, 0, (unsigned int)nents};
		struct dma_gather gather;

		memcpy(was, sgl, sizeof(was));
		assert_int_equal(dma_map_sg(d.dev, sgl, (int)nents, BIDI), nents);
		assert_translated(sgl, nents, memory, addr);
		assert_same_memory(sgl, was, nents);
		assert_device_reads(&d, sgl, nents, nents);
		dma_sync_sg_for_cpu(d.dev, sgl, (int)nents, BIDI);
		dma_sync_sg_for_device(d.dev, sgl, (int)nents, BIDI);
		dma_unmap_sg(d.dev, sgl, (int)nents, BIDI);

		/* As a table, with a gather, and only in one direction. */
		assert_int_equal(dma_map_sgtable(d.dev, &table, DMA_TO_DEVICE, 0), 0);
		assert_int_equal(table.nents, nents);
		assert_translated(sgl, nents, memory, addr);
		dma_gather_begin(d.dev, &gather);
		dma_unmap_sg_gather(d.dev, sgl, (int)nents, DMA_TO_DEVICE, 0, &gather);
		dma_gather_end(&gather);

		/* Whole pages, of which other devices make few segments. */
		for (size_t page = 0; page < 5; page++)
			entry_set(&sgl[page], memory + page * PAGE, PAGE);
		assert_int_equal(dma_map_sg(d.dev, sgl, 5, BIDI), 5);
		assert_translated(sgl, 5, memory, addr);
		dma_unmap_sg(d.dev, sgl, 5, BIDI);
		/* Mapped again without having been unmapped. */
		assert_int_equal(dma_map_sg(d.dev, sgl, 5, DMA_TO_DEVICE), 5);
		assert_int_equal(dma_map_sg(d.dev, sgl, 5, DMA_TO_DEVICE), 5);
		assert_translated(sgl, 5, memory, addr);

		/* Nothing was taken and nothing is gone. */
		assert_unchanged(&d, &before);
		assert_reads_pages(&d, addr, PAGES, 1);
		unpremap(&d, memory, PAGES * PAGE);
		device_close(&d, 0);
	}
	assert_int_equal(reports, 0);
	free(memory);
}

static void without_an_iommu(void **state)
{
	struct device d = device_open("direct:,map=ahead");
	uint8_t *memory = pages_new(PAGES, 1);
	struct scatterlist sgl[5];
	struct sg_table table = {sgl, 0, 5};
	dma_addr_t addr = premap(&d, memory, PAGES * PAGE, BIDI);

	(void)state;
	assert_int_equal(addr, virt_to_phys(memory));
	assert_int_equal(entries_set(sgl, memory), 5);
	assert_int_equal(dma_map_sg(d.dev, sgl, 5, BIDI), 5);
	assert_translated(sgl, 5, memory, addr);
	dma_unmap_sg(d.dev, sgl, 5, BIDI);
	unpremap(&d, memory, PAGES * PAGE);
	assert_int_equal(dma_map_sgtable(d.dev, &table, BIDI, 0), -EINVAL);
	assert_poisoned(sgl, 5);
	device_close(&d, 0);
	free(memory);
}

static void assert_fails(const struct device *d, struct scatterlist *sgl, unsigned int nents,
			 enum dma_data_direction dir, const char *why)
{
	struct sg_table table = {sgl, 77, nents};
	struct scatterlist was[8];

	assert_true(nents <= COUNT(was));
	memcpy(was, sgl, nents * sizeof(*sgl));
	dma_clear_error();
	assert_int_equal(dma_map_sgtable(d->dev, &table, dir, 0), -EINVAL);
	if (!strstr(dma_last_error(), why))
		fail_msg("\"%s\" does not say \"%s\"", dma_last_error(), why);
	assert_int_equal(table.nents, 77);
	assert_poisoned(sgl, nents);
	assert_int_equal(dma_map_sg(d->dev, sgl, (int)nents, dir), 0);
	assert_poisoned(sgl, nents);
	assert_same_memory(sgl, was, nents);
}

/* Whichever entry it is. The others stay what they were: registered. */
static void what_is_not_mapped_ahead_fails(void **state)
{
	uint8_t *memory = pages_new(PAGES, 1);
	struct scatterlist sgl[5];

	for (size_t i = 0; i < COUNT(options); i++) {
		struct device d = soft_open(state, options[i]);
		dma_addr_t addr = premap(&d, memory, 4 * PAGE, DMA_TO_DEVICE);
		struct snapshot before;

		premap(&d, memory + 4 * PAGE, PAGE, DMA_TO_DEVICE);
		before = snapshot_take(&d, addr, 4);
		for (size_t bad = 0; bad < 4; bad++) {
			for (size_t entry = 0; entry < 4; entry++)
				entry_set(&sgl[entry], memory + entry * PAGE, PAGE);
			entry_set(&sgl[bad], memory + 6 * PAGE, PAGE);
			assert_fails(&d, sgl, 4, DMA_TO_DEVICE, "not mapped ahead");
			entry_set(&sgl[bad], memory + 3 * PAGE, 2 * PAGE);
			assert_fails(&d, sgl, 4, DMA_TO_DEVICE, "ends after 4096 bytes");
			entry_set(&sgl[bad], memory + bad * PAGE, PAGE);
			assert_fails(&d, sgl, 4, DMA_FROM_DEVICE, "registered with DMA_TO_DEVICE");
			assert_fails(&d, sgl, 4, DMA_NONE, "direction");
			sgl[bad].length = 0;
			assert_fails(&d, sgl, 4, DMA_TO_DEVICE, "0 bytes");
		}
		assert_unchanged(&d, &before);
		assert_int_equal(stats_of(&d).misuse, 0);
		unpremap(&d, memory, 4 * PAGE);
		unpremap(&d, memory + 4 * PAGE, PAGE);
		device_close(&d, 0);
	}
	assert_int_equal(reports, 0);
	free(memory);
}

/* A mistake, and the region stays. */
static void unmapped_wrongly(void **state)
{
	struct device d = soft_open(state, ",map=ahead");
	uint8_t *memory = pages_new(PAGES, 1);
	dma_addr_t addr = premap(&d, memory, PAGES * PAGE, BIDI);
	struct scatterlist sgl[5];
	struct misuse misuse;

	assert_int_equal(entries_set(sgl, memory), 5);
	assert_int_equal(dma_map_sg(d.dev, sgl, 5, BIDI), 5);
	misuse = misuse_expect(&d);
	dma_unmap_sg(d.dev, sgl, 3, BIDI);
	misuse_check(&d, misuse, 1);
	misuse = misuse_expect(&d);
	dma_unmap_sg(d.dev, sgl, 5, BIDI);
	misuse_check(&d, misuse, 1);
	assert_reads_pages(&d, addr, PAGES, 1);
	unpremap(&d, memory, PAGES * PAGE);
	device_close(&d, 2);
	free(memory);
}

/* Bytes move between the CPU and a device that does not see its caches. */
static void caches(void **state)
{
	struct device d = soft_open(state, ",map=ahead,coherent=off");
	uint8_t *memory = pages_new(PAGES, 1);
	dma_addr_t addr = premap(&d, memory, PAGES * PAGE, BIDI);
	struct scatterlist sgl[2];

	entry_set(&sgl[0], memory, PAGE);
	entry_set(&sgl[1], memory + 2 * PAGE, PAGE);
	memset(memory, 0x11, 3 * PAGE);
	assert_int_equal(dma_map_sg(d.dev, sgl, 2, BIDI), 2);
	assert_device_sees(&d, addr, PAGE, 0x11);
	assert_device_sees(&d, addr + 2 * PAGE, PAGE, 0x11);
	/* Between the entries nothing was done. */
	assert_device_sees(&d, addr + PAGE, PAGE, 2);
	device_fills(&d, addr, 3 * PAGE, 0x22);
	assert_holds(memory, 3 * PAGE, 0x11);
	dma_sync_sg_for_cpu(d.dev, sgl, 2, BIDI);
	assert_holds(memory, PAGE, 0x22);
	assert_holds(memory + PAGE, PAGE, 0x11);
	assert_holds(memory + 2 * PAGE, PAGE, 0x22);
	memset(memory, 0x33, 3 * PAGE);
	dma_sync_sg_for_device(d.dev, sgl, 2, BIDI);
	assert_device_sees(&d, addr, PAGE, 0x33);
	assert_device_sees(&d, addr + PAGE, PAGE, 0x22);
	device_fills(&d, addr, 3 * PAGE, 0x44);
	dma_unmap_sg(d.dev, sgl, 2, BIDI);
	assert_holds(memory, PAGE, 0x44);
	assert_holds(memory + PAGE, PAGE, 0x33);
	assert_holds(memory + 2 * PAGE, PAGE, 0x44);
	/* A failing map does not touch what the device wrote. */
	device_fills(&d, addr, PAGE, 0x55);
	unpremap(&d, memory, PAGES * PAGE);
	assert_int_equal(dma_map_sg(d.dev, sgl, 2, BIDI), 0);
	assert_holds(memory, PAGE, 0x44);
	device_close(&d, 0);
	free(memory);
}

static int count_reports(void **state)
{
	(void)state;
	dma_debug_set_handler(count_report, NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(each_entry_is_a_segment),
		cmocka_unit_test(without_an_iommu),
		EACH_FORMAT(what_is_not_mapped_ahead_fails),
		EACH_FORMAT(unmapped_wrongly),
		EACH_FORMAT(caches),
	};

	return cmocka_run_group_tests(tests, count_reports, NULL);
}
