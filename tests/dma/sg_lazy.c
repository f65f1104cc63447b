/* SPDX-License-Identifier: MIT */
/* Lists in lazy spaces: the end of one waits for others, unless something must be settled. */
#include "lazy_setup.h"
#include "sg.h"

#define BIDI DMA_BIDIRECTIONAL
#define NENTS 5

static unsigned int map_list(const struct device *d, struct scatterlist *sgl, uint8_t *memory)
{
	for (size_t i = 0; i < NENTS; i++)
		entry_set(&sgl[i], memory + 2 * i * PAGE, PAGE);
	return dma_map_sg(d->dev, sgl, NENTS, BIDI);
}

static void one_invalidation_for_many_lists(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(2 * NENTS, 1);
	static struct scatterlist sgl[100][NENTS];
	dma_addr_t addr[100];
	uint64_t before;

	for (unsigned int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 100; i++) {
			assert_int_equal(map_list(&d, sgl[i], memory), 1);
			addr[i] = sg_dma_address(sgl[i]);
			assert_reads(&d, addr[i], 1);
			assert_reads(&d, addr[i] + 4 * PAGE, 9);
		}
		before = invalidations(&d);
		for (size_t i = 0; i < 100; i++)
			dma_unmap_sg(d.dev, sgl[i], NENTS, BIDI);
		assert_int_equal(invalidations(&d), before);
		assert_int_equal(stats_of(&d).iova_live, 0);
		assert_int_equal(stats_of(&d).bytes_mapped, 0);
		/* What it has cached the device keeps; the rest is gone. */
		assert_refused(&d, addr[99] + 2 * PAGE);
		flush(&d);
		assert_int_equal(invalidations(&d), before + 1);
		for (size_t i = 0; i < 100; i++)
			assert_refused_pages(&d, addr[i], NENTS);
	}
	free(memory);
	lazy_close(&d, 0);
}

/* Nobody gets queued addresses, though there are no others. */
static void queued_addresses_are_taken(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(2 * NENTS, 1);
	struct scatterlist sgl[NENTS], other[NENTS];
	dma_addr_t addr;

	assert_int_equal(map_list(&d, sgl, memory), 1);
	addr = sg_dma_address(sgl);
	assert_reads(&d, addr, 1);
	dma_unmap_sg(d.dev, sgl, NENTS, BIDI);
	assert_reads(&d, addr, 1);
	for (size_t i = 0; i < 200; i++) {
		assert_int_equal(map_list(&d, other, memory), 1);
		assert_true(sg_dma_address(other) + NENTS * PAGE <= addr ||
			    sg_dma_address(other) >= addr + NENTS * PAGE);
		dma_unmap_sg(d.dev, other, NENTS, BIDI);
	}
	free(memory);
	lazy_close(&d, 0);
}

/* A full ring, and lists among single mappings in it. */
static void with_single_mappings(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(2 * NENTS, 1);
	struct scatterlist sgl[NENTS];
	uint64_t before = invalidations(&d);

	for (unsigned int i = 1; i <= 4 * LAZY_RING; i++) {
		if (i % 2) {
			assert_int_equal(map_list(&d, sgl, memory), 1);
			dma_unmap_sg(d.dev, sgl, NENTS, BIDI);
		} else {
			unmap(&d, map(&d, memory, PAGE), PAGE);
		}
		assert_int_equal(invalidations(&d), before + (i - 1) / LAZY_RING);
	}
	free(memory);
	lazy_close(&d, 0);
}

/* Padding before a segment boundary is a hole, and no reason not to wait. */
static void holes(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(16, 1);
	struct scatterlist sgl[2];
	dma_addr_t addr;
	uint64_t before;

	assert_int_equal(dma_set_seg_boundary(d.dev, 4 * PAGE - 1), 0);
	entry_set(&sgl[0], memory, PAGE);
	entry_set(&sgl[1], memory + 4 * PAGE, 4 * PAGE);
	assert_int_equal(dma_map_sg(d.dev, sgl, 2, BIDI), 2);
	addr = sg_dma_address(&sgl[0]);
	before = invalidations(&d);
	dma_unmap_sg(d.dev, sgl, 2, BIDI);
	assert_int_equal(invalidations(&d), before);
	flush(&d);
	assert_int_equal(invalidations(&d), before + 1);
	assert_refused_pages(&d, addr, 8);
	free(memory);
	lazy_close(&d, 0);
}

/* Lists longer than a table, whose tables are unhooked. */
static void long_lists(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(16, 1);
	static struct scatterlist sgl[1024];
	dma_addr_t addr;

	for (unsigned int round = 0; round < 20; round++) {
		for (size_t i = 0; i < COUNT(sgl); i++)
			entry_set(&sgl[i], memory + (i * 5 + round) % 16 * PAGE, PAGE);
		assert_int_equal(dma_map_sg(d.dev, sgl, COUNT(sgl), BIDI), COUNT(sgl) / 16);
		assert_device_reads(&d, sgl, COUNT(sgl), COUNT(sgl) / 16);
		addr = sg_dma_address(sgl);
		dma_unmap_sg(d.dev, sgl, COUNT(sgl), BIDI);
		if (round % 4 == 3) {
			flush(&d);
			assert_refused(&d, addr);
			assert_refused(&d, addr + COUNT(sgl) * PAGE - 1);
		}
	}
	free(memory);
	lazy_close(&d, 0);
}

/* A gather, also one that is none; a copy; caches; an untrusted device. */
static void strict_all_the_same(void **state)
{
	static const char *const options[] = {"", "", ",bounce=force", ",coherent=off",
					      ",untrusted"};
	uint8_t *memory = pages_new(2 * NENTS, 1);
	struct scatterlist sgl[NENTS];

	for (size_t i = 0; i < COUNT(options); i++) {
		struct device d = lazy_open(state, options[i]);
		struct dma_gather gather;
		dma_addr_t addr;

		assert_int_not_equal(map_list(&d, sgl, memory), 0);
		addr = sg_dma_address(sgl);
		assert_reads(&d, addr, 1);
		if (i == 0) {
			dma_gather_begin(d.dev, &gather);
			dma_unmap_sg_gather(d.dev, sgl, NENTS, BIDI, 0, &gather);
			dma_gather_end(&gather);
		} else if (i == 1) {
			dma_unmap_sg_gather(d.dev, sgl, NENTS, BIDI, 0, NULL);
		} else {
			dma_unmap_sg(d.dev, sgl, NENTS, BIDI);
		}
		assert_refused(&d, addr);
		lazy_close(&d, 0);
	}
	free(memory);
}

/* By the wrong call all goes; what there is to say is said. */
static void by_the_wrong_call(void **state)
{
	struct device d = lazy_open(state, "");
	uint8_t *memory = pages_new(2 * NENTS, 1);
	struct scatterlist sgl[NENTS];
	struct misuse misuse;
	dma_addr_t addr;

	assert_int_equal(map_list(&d, sgl, memory), 1);
	addr = sg_dma_address(sgl);
	misuse = misuse_expect(&d);
	unmap(&d, addr, PAGE);
	misuse_check(&d, misuse, 1);
	assert_int_equal(stats_of(&d).iova_live, 0);
	misuse = misuse_expect(&d);
	dma_unmap_sg(d.dev, sgl, NENTS, BIDI);
	misuse_check(&d, misuse, 1);
	flush(&d);
	assert_refused_pages(&d, addr, NENTS);

	/* A single mapping that is ended as a list. */
	addr = map(&d, memory, 2 * PAGE);
	sgl[0] = (struct scatterlist){.dma_address = addr, .dma_length = 2 * PAGE};
	misuse = misuse_expect(&d);
	dma_unmap_sg(d.dev, sgl, 1, BIDI);
	misuse_check(&d, misuse, 1);
	flush(&d);
	assert_refused_pages(&d, addr, 2);
	free(memory);
	lazy_close(&d, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(one_invalidation_for_many_lists),
		EACH_FORMAT(queued_addresses_are_taken),
		EACH_FORMAT(with_single_mappings),
		EACH_FORMAT(holes),
		EACH_FORMAT(long_lists),
		EACH_FORMAT(strict_all_the_same),
		EACH_FORMAT(by_the_wrong_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
