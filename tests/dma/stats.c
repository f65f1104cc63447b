/* SPDX-License-Identifier: MIT */
/* Each counter after a known sequence, to the last digit. */
#include "setup.h"

/* What a step adds to the counters; the metadata is looked at by itself. */
struct step {
	uint64_t allocs;
	int64_t live;
	uint64_t ptes;
	uint64_t invalidations;
	int64_t pages;
	uint64_t faults;
	uint64_t misuse;
};

static void check_step(const struct device *d, struct dma_stats *before, struct step step)
{
	struct dma_stats now = stats_of(d);

	assert_int_equal(now.iova_allocs - before->iova_allocs, step.allocs);
	assert_int_equal(now.iova_live - before->iova_live, step.live);
	assert_int_equal(now.pte_writes - before->pte_writes, step.ptes);
	assert_int_equal(now.iotlb_invalidations - before->iotlb_invalidations, step.invalidations);
	assert_int_equal(now.bytes_mapped - before->bytes_mapped, step.pages * 4096);
	assert_int_equal(now.ioctls, 0);
	assert_int_equal(now.faults - before->faults, step.faults);
	assert_int_equal(now.misuse - before->misuse, step.misuse);
	*before = now;
}

static void counted_exactly(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(256, 0), byte;
	struct dma_stats at = stats_of(&d);
	struct phys_vec vec[256];
	struct dma_iova_state iova;
	struct dma_gather gather;
	dma_addr_t addr[2];

	assert_int_equal(at.iova_allocs | at.iova_live | at.pte_writes | at.iotlb_invalidations |
				 at.ioctls | at.bytes_mapped | at.faults | at.misuse,
			 0);
	assert_true(at.metadata_bytes >= PAGE);
	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + (255 - i) * PAGE), PAGE};

	iova = reserve(&d, 0, COUNT(vec) * PAGE);
	check_step(&d, &at, (struct step){.allocs = 1, .live = 1});
	/* Three tables below the root come with the first link. */
	link_at(&d, &iova, 0, memory, PAGE);
	check_step(&d, &at, (struct step){.ptes = 3 + 1, .pages = 1});
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec + 1, 255, PAGE, DMA_BIDIRECTIONAL, 0),
			 0);
	check_step(&d, &at, (struct step){.ptes = 255, .pages = 255});
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, COUNT(vec) * PAGE), 0);
	check_step(&d, &at, (struct step){0});
	assert_reads_pages(&d, iova.addr, 1, 0);
	check_step(&d, &at, (struct step){0});
	unlink_at(&d, &iova, 0, 10 * PAGE);
	check_step(&d, &at, (struct step){.ptes = 10, .pages = -10, .invalidations = 1});
	link_at(&d, &iova, 0, memory, 10 * PAGE - 1);
	check_step(&d, &at, (struct step){.ptes = 10, .pages = 10});
	destroy(&d, &iova, COUNT(vec) * PAGE);
	check_step(&d, &at,
		   (struct step){.live = -1, .ptes = 256, .pages = -256, .invalidations = 1});
	/* Nothing linked, nothing to invalidate. */
	iova = reserve(&d, 0, PAGE);
	dma_iova_free(d.dev, &iova);
	check_step(&d, &at, (struct step){.allocs = 1});

	/* These lie in the same 2 MiB, whose table is there. */
	addr[0] = dma_map_single(d.dev, memory, 100, DMA_BIDIRECTIONAL);
	check_step(&d, &at, (struct step){.allocs = 1, .live = 1, .ptes = 1, .pages = 1});
	addr[1] = dma_map_single(d.dev, memory + 4095, 2, DMA_BIDIRECTIONAL);
	check_step(&d, &at, (struct step){.allocs = 1, .live = 1, .ptes = 2, .pages = 2});
	dma_unmap_single(d.dev, addr[0], 100, DMA_BIDIRECTIONAL);
	check_step(&d, &at, (struct step){.live = -1, .ptes = 1, .pages = -1, .invalidations = 1});
	dma_unmap_single(d.dev, addr[0], 100, DMA_BIDIRECTIONAL);
	check_step(&d, &at, (struct step){.misuse = 1});
	dma_gather_begin(d.dev, &gather);
	dma_unmap_phys_gather(d.dev, addr[1], 2, DMA_BIDIRECTIONAL, 0, &gather);
	check_step(&d, &at, (struct step){.live = -1, .ptes = 2, .pages = -2});
	dma_gather_end(&gather);
	check_step(&d, &at, (struct step){.invalidations = 1});

	assert_int_equal(dma_bus_read(d.port, addr[1], &byte, 1), -EFAULT);
	check_step(&d, &at, (struct step){.faults = 1});
	assert_int_equal(dma_map_single(d.dev, memory, 0, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	assert_false(dma_iova_try_alloc(d.dev, &iova, 0, 0));
	assert_int_equal(dma_iova_link(d.dev, &iova, 0, 0, PAGE, DMA_TO_DEVICE, 0), -ERANGE);
	/* What answers is no misuse. */
	check_step(&d, &at, (struct step){0});
	device_close(&d, 1);
	free(memory);
}

static void a_large_entry_is_one(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(2 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve(&d, 0, 2 * MIB);
	struct dma_stats at = stats_of(&d);

	link_at(&d, &iova, 0, memory.at, 2 * MIB);
	check_step(&d, &at, (struct step){.ptes = 2 + 1, .pages = 512});
	destroy(&d, &iova, 2 * MIB);
	check_step(&d, &at,
		   (struct step){.live = -1, .ptes = 1, .pages = -512, .invalidations = 1});
	device_close(&d, 0);
	expanse_free(&memory);
}

static void metadata_is_what_is_kept(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state iova = reserve(&d, 0, PAGE);
	uint64_t before = stats_of(&d).metadata_bytes;

	link_at(&d, &iova, 0, memory, PAGE);
	assert_int_equal(stats_of(&d).metadata_bytes, before + 3 * PAGE);
	/* Tables stay for the next time, so that a loop takes no more. */
	for (size_t i = 0; i < 100; i++) {
		destroy(&d, &iova, PAGE);
		iova = reserve(&d, 0, PAGE);
		link_at(&d, &iova, 0, memory, PAGE);
	}
	assert_int_equal(stats_of(&d).metadata_bytes, before + 3 * PAGE);
	destroy(&d, &iova, PAGE);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(counted_exactly),
		EACH_FORMAT(a_large_entry_is_one),
		EACH_FORMAT(metadata_is_what_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
