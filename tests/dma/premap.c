/* SPDX-License-Identifier: MIT */
/* Memory mapped ahead: what is registered is reached and translated, and then it is gone. */
#include <twostep/premap.h>

#include "../slow.h"
#include "setup.h"

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

static dma_addr_t translated(const struct device *d, const void *memory, size_t size)
{
	return dma_premap_translate(d->dev, virt_to_phys(memory), size, DMA_TO_DEVICE);
}

/* Mapping is a translation: nothing is written, invalidated or handed out. */
static void mapping_does_nothing(void **state)
{
	struct device d = soft_open(state, ",map=ahead");
	uint8_t *memory = pages_new(8, 1);
	dma_addr_t addr = premap(&d, memory, 8 * PAGE, DMA_BIDIRECTIONAL), part;
	struct snapshot before = snapshot_take(&d, addr, 8);
	struct dma_iova_state iova = {1, 1};

	assert_int_equal(before.stats.iova_live, 1);
	assert_int_equal(before.stats.bytes_mapped, 8 * PAGE);
	assert_reads_pages(&d, addr, 8, 1);
	for (size_t at = 0; at < 8 * PAGE; at += 777) {
		size_t size = 8 * PAGE - at;

		part = dma_map_single(d.dev, memory + at, size, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_mapping_error(d.dev, part), 0);
		assert_int_equal(part, addr + at);
		dma_unmap_single(d.dev, part, size, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_map_phys(d.dev, virt_to_phys(memory + at), 1, DMA_FROM_DEVICE,
					      DMA_ATTR_SKIP_CPU_SYNC),
				 addr + at);
		assert_int_equal(
			dma_map_resource(d.dev, virt_to_phys(memory + at), size, DMA_TO_DEVICE, 0),
			addr + at);
		dma_unmap_phys_gather(d.dev, part, size, DMA_TO_DEVICE, 0, NULL);
		assert_int_equal(translated(&d, memory + at, size), addr + at);
	}
	assert_false(dma_need_unmap(d.dev));
	assert_false(dma_need_sync(d.dev, addr));
	assert_int_equal(dma_max_mapping_size(d.dev), SIZE_MAX);
	assert_int_equal(dma_opt_mapping_size(d.dev), SIZE_MAX);
	assert_int_equal(dma_get_merge_boundary(d.dev), 0);
	dma_clear_error();
	assert_false(dma_iova_try_alloc(d.dev, &iova, 0, PAGE));
	assert_false(dma_use_iova(&iova));
	assert_non_null(strstr(dma_last_error(), "map=ahead"));
	assert_unchanged(&d, &before);
	unpremap(&d, memory, 8 * PAGE);
	assert_refused_pages(&d, addr, 8);
	assert_int_equal(dma_map_single(d.dev, memory, 1, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	device_close(&d, 0);
	free(memory);
}

/* On another device dma_map_phys() maps as always, beside the region. */
static void on_a_device_that_maps_each(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	dma_addr_t addr = premap(&d, memory, 4 * PAGE, DMA_BIDIRECTIONAL), other;
	struct misuse misuse;

	assert_true(dma_need_unmap(d.dev));
	other = dma_map_single(d.dev, memory + PAGE, PAGE, DMA_TO_DEVICE);
	assert_int_equal(dma_mapping_error(d.dev, other), 0);
	assert_int_not_equal(other, addr + PAGE);
	assert_int_equal(translated(&d, memory + PAGE, PAGE), addr + PAGE);
	dma_unmap_single(d.dev, other, PAGE, DMA_TO_DEVICE);
	assert_refused(&d, other);

	/* Nobody's unmap takes a region. */
	misuse = misuse_expect(&d);
	dma_unmap_single(d.dev, addr, 4 * PAGE, DMA_BIDIRECTIONAL);
	dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	dma_unmap_single(d.dev, addr + PAGE, PAGE, DMA_BIDIRECTIONAL);
	dma_iova_destroy(d.dev, &(struct dma_iova_state){addr, 4 * PAGE}, 4 * PAGE,
			 DMA_BIDIRECTIONAL, 0);
	misuse_check(&d, misuse, 4);
	assert_reads_pages(&d, addr, 4, 1);
	unpremap(&d, memory, 4 * PAGE);
	assert_refused_pages(&d, addr, 4);
	device_close(&d, 4);
	free(memory);
}

/* Whole granules are registered, whatever was asked for. */
static void bytes_become_granules(void **state)
{
	struct device d = soft_open(state, ",map=ahead");
	uint8_t *memory = pages_new(3, 1);
	dma_addr_t addr = premap(&d, memory + PAGE - 1, 2, DMA_TO_DEVICE);

	assert_int_equal(addr & (PAGE - 1), PAGE - 1);
	assert_int_equal(translated(&d, memory, 2 * PAGE), addr - (PAGE - 1));
	assert_reads_pages(&d, addr - (PAGE - 1), 2, 1);
	assert_int_equal(translated(&d, memory, 2 * PAGE + 1), DMA_MAPPING_ERROR);
	assert_int_equal(dma_unpremap(d.dev, virt_to_phys(memory), 2 * PAGE), -ENOENT);
	unpremap(&d, memory + PAGE - 1, 2);
	device_close(&d, 0);
	free(memory);
}

/* Every way to lie in spans of 2 MiB. A long region costs page-table entries, not granules. */
static void long_regions(void **state)
{
	struct expanse memory = expanse_new(GIB + 8 * MIB, 2 * MIB);
	const struct {
		uint64_t at, size;
	} regions[] = {{0, GIB},
		       {5 * PAGE, GIB},
		       {2 * MIB - PAGE, 2 * MIB + 2 * PAGE},
		       {PAGE, 2 * MIB},
		       {2 * MIB, 2 * MIB},
		       {3 * PAGE + 5, 6 * MIB},
		       {MIB, GIB + 3 * MIB}};
	struct device d = soft_open(state, ",map=ahead");

	for (size_t i = 0; i < COUNT(regions); i++) {
		uint8_t *at = memory.at + regions[i].at;
		uint64_t size = regions[i].size, kept = stats_of(&d).metadata_bytes;
		dma_addr_t addr = premap(&d, at, size, DMA_BIDIRECTIONAL);

		assert_int_equal((addr ^ (uintptr_t)at) & (2 * MIB - 1), 0);
		assert_true(stats_of(&d).metadata_bytes <= kept + 512 * 1024);
		for (uint64_t off = 0; off < size; off += 2 * MIB - 3 * PAGE) {
			assert_int_equal(translated(&d, at + off, 1), addr + off);
			assert_int_equal(translated(&d, at + off, size - off), addr + off);
			assert_int_equal(translated(&d, at + off, size - off + PAGE),
					 DMA_MAPPING_ERROR);
		}
		at[size - 1] = 77;
		assert_reads(&d, addr + size - 1, 77);
		unpremap(&d, at, size);
		assert_refused(&d, addr + size - 1);
		assert_int_equal(translated(&d, at + size / 2, 1), DMA_MAPPING_ERROR);
	}
	device_close(&d, 0);
	expanse_free(&memory);
}

/* Neighbours do not become one, even with addresses that follow each other. */
static void neighbours_stay_two(void **state)
{
	struct device d = soft_open(state, ",map=ahead");
	struct expanse memory = expanse_new(16 * MIB, 4 * MIB);
	static const size_t sizes[] = {PAGE, 2 * MIB, 4 * MIB};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t size = sizes[i];

		/* Addresses come from the top down. */
		premap(&d, memory.at + size, size, DMA_TO_DEVICE);
		premap(&d, memory.at, size, DMA_TO_DEVICE);
		assert_int_equal(translated(&d, memory.at + size, size) -
					 translated(&d, memory.at, size),
				 size);
		dma_clear_error();
		assert_int_equal(translated(&d, memory.at + size - 1, 2), DMA_MAPPING_ERROR);
		assert_int_equal(translated(&d, memory.at, 2 * size), DMA_MAPPING_ERROR);
		assert_non_null(strstr(dma_last_error(), "ends after"));
		unpremap(&d, memory.at, size);
		unpremap(&d, memory.at + size, size);
	}
	device_close(&d, 0);
	expanse_free(&memory);
}

/* Devices that see links only after a sync see a region when the call returns. */
static void visible_at_once(void **state)
{
	struct device d = soft_open(state, ",absent=cache,map=ahead,mask=13");
	uint8_t *memory = pages_new(1, 9);

	assert_refused(&d, PAGE);
	assert_int_equal(premap(&d, memory, PAGE, DMA_TO_DEVICE), PAGE);
	assert_reads(&d, PAGE, 9);
	unpremap(&d, memory, PAGE);
	assert_refused(&d, PAGE);
	device_close(&d, 0);
	free(memory);
}

static void devices_share_regions(void **state)
{
	struct device d = soft_open(state, ",map=ahead"), low = {.space = d.space};
	uint8_t *memory = pages_new(2, 1);
	dma_addr_t high_addr, low_addr;

	assert_int_equal(dma_dev_open_in("soft:,map=ahead", d.space, &low.dev), 0);
	low.port = dma_dev_port(low.dev);
	high_addr = premap(&d, memory, PAGE, DMA_TO_DEVICE);
	low_addr = premap(&low, memory + PAGE, PAGE, DMA_TO_DEVICE);
	assert_true(high_addr > UINT32_MAX && low_addr <= UINT32_MAX);
	dma_clear_error();
	assert_int_equal(translated(&low, memory, 1), DMA_MAPPING_ERROR);
	assert_non_null(strstr(dma_last_error(), "dma_set_mask_and_coherent"));
	assert_int_equal(translated(&d, memory + PAGE, 1), low_addr);
	assert_int_equal(dma_set_mask(low.dev, DMA_BIT_MASK(64)), 0);
	assert_int_equal(translated(&low, memory, 1), high_addr);
	/* A region outlives the device that registered it. */
	dma_dev_close(low.dev);
	assert_reads(&d, low_addr, 2);
	unpremap(&d, memory + PAGE, PAGE);
	unpremap(&d, memory, PAGE);
	device_close(&d, 0);
	free(memory);
}

static void forgotten_regions_are_leaks(void **state)
{
	const char *const uris[] = {"soft:", "direct:"};
	uint8_t *memory = pages_new(3, 1);

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		struct device d = device_open(uris[i]);

		premap(&d, memory, PAGE, DMA_TO_DEVICE);
		premap(&d, memory + PAGE, 2 * PAGE, DMA_TO_DEVICE);
		dma_dev_close(d.dev);
		assert_int_equal(dma_leak_count() - d.leaks, 2);
	}
	free(memory);
}

static void registered_memory(void **state)
{
	const char *const uris[] = {"soft:,map=ahead", "direct:,map=ahead"};
	uint8_t *memory = pages_new(2, 5);
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = 2 * PAGE, .cpu = memory, .fd = -1};
	phys_addr_t base;
	dma_addr_t addr;

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		struct device d = device_open(uris[i]);

		assert_int_equal(dma_memory_register(&desc, &base), 0);
		assert_int_equal(
			dma_premap(d.dev, base, 2 * PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO, &addr), 0);
		assert_int_equal(dma_map_resource(d.dev, base + PAGE, 8, DMA_TO_DEVICE, 0),
				 addr + PAGE);
		assert_int_equal(dma_map_single(d.dev, memory + PAGE, 8, DMA_TO_DEVICE),
				 addr + PAGE);
		assert_reads(&d, addr + PAGE, 6);
		assert_int_equal(dma_memory_unregister(base), -EBUSY);
		assert_int_equal(dma_unpremap(d.dev, base, 2 * PAGE), 0);
		assert_int_equal(dma_memory_unregister(base), 0);
		device_close(&d, 0);
	}
	free(memory);
}

static void without_an_iommu(void **state)
{
	struct device d = device_open("direct:,map=ahead");
	uint8_t *memory = pages_new(3, 1);
	phys_addr_t phys = virt_to_phys(memory);
	uint64_t kept = stats_of(&d).metadata_bytes;

	(void)state;
	assert_int_equal(dma_map_phys(d.dev, phys, PAGE, DMA_TO_DEVICE, 0), DMA_MAPPING_ERROR);
	assert_int_equal(premap(&d, memory, 2 * PAGE, DMA_FROM_DEVICE), phys);
	assert_true(stats_of(&d).metadata_bytes > kept);
	assert_int_equal(dma_map_phys(d.dev, phys + 5, PAGE, DMA_FROM_DEVICE, 0), phys + 5);
	assert_int_equal(dma_map_phys(d.dev, phys, PAGE, DMA_BIDIRECTIONAL, 0), DMA_MAPPING_ERROR);
	assert_int_equal(dma_map_phys(d.dev, phys, 2 * PAGE + 1, DMA_FROM_DEVICE, 0),
			 DMA_MAPPING_ERROR);
	assert_false(dma_need_unmap(d.dev));
	dma_unmap_phys(d.dev, phys, PAGE, DMA_FROM_DEVICE, 0);
	unpremap(&d, memory, 2 * PAGE);
	assert_int_equal(dma_map_phys(d.dev, phys, PAGE, DMA_FROM_DEVICE, 0), DMA_MAPPING_ERROR);
	device_close(&d, 0);
	free(memory);
}

/* Regions of one granule, so many that one table and one look at the record would not do. */
static void many_regions(void **state)
{
	size_t nr = 1000000 / (SLOW > 1 ? 50 : 1);
	struct device d = soft_open(state, ",map=ahead");
	uint8_t *memory = mmap(NULL, 2 * nr * PAGE, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t kept = stats_of(&d).metadata_bytes;
	dma_addr_t *addr = malloc(nr * sizeof(*addr));

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_non_null(addr);
	for (size_t i = 0; i < nr; i++)
		addr[i] = premap(&d, memory + 2 * i * PAGE, PAGE, DMA_BIDIRECTIONAL);
	for (size_t i = 0; i < nr; i++) {
		if (translated(&d, memory + 2 * i * PAGE, PAGE) != addr[i] ||
		    translated(&d, memory + 2 * i * PAGE + PAGE, PAGE) != DMA_MAPPING_ERROR)
			fail_msg("region %zu", i);
	}
	assert_int_equal(stats_of(&d).iova_live, nr);
	assert_true(stats_of(&d).metadata_bytes - kept < nr * 128 + MIB);
	for (size_t i = 0; i < nr; i++)
		unpremap(&d, memory + 2 * ((i * 7919) % nr) * PAGE, PAGE);
	device_close(&d, 0);
	free(addr);
	munmap(memory, 2 * nr * PAGE);
}

/* Misuse checks are told of regions, and see nothing wrong. */
static void check_with_misuse_checks(struct device d)
{
	uint8_t *memory = pages_new(4, 1);
	uint64_t reports = dma_debug_count(0);
	dma_addr_t addr = premap(&d, memory, 4 * PAGE, DMA_TO_DEVICE);

	for (unsigned int i = 0; i < 3; i++) {
		dma_addr_t part = dma_map_single(d.dev, memory + PAGE, 100, DMA_TO_DEVICE);

		assert_int_equal(dma_mapping_error(d.dev, part), 0);
		assert_reads(&d, part, 2);
		dma_sync_single_for_device(d.dev, part, 100, DMA_TO_DEVICE);
		if (dma_need_unmap(d.dev))
			dma_unmap_single(d.dev, part, 100, DMA_TO_DEVICE);
	}
	assert_reads(&d, addr, 1);
	unpremap(&d, memory, 4 * PAGE);
	assert_int_equal(dma_debug_count(0), reports);
	device_close(&d, 0);
	free(memory);
}

static void with_misuse_checks(void **state)
{
	check_with_misuse_checks(soft_open(state, ",map=ahead,debug=on"));
}

static void with_misuse_checks_and_no_iommu(void **state)
{
	(void)state;
	check_with_misuse_checks(device_open("direct:,map=ahead,debug=on"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(mapping_does_nothing),
		EACH_FORMAT(on_a_device_that_maps_each),
		EACH_FORMAT(bytes_become_granules),
		EACH_FORMAT(long_regions),
		EACH_FORMAT(neighbours_stay_two),
		EACH_FORMAT(visible_at_once),
		EACH_FORMAT(devices_share_regions),
		cmocka_unit_test(forgotten_regions_are_leaks),
		cmocka_unit_test(registered_memory),
		cmocka_unit_test(without_an_iommu),
		EACH_FORMAT(many_regions),
		EACH_FORMAT(with_misuse_checks),
		cmocka_unit_test(with_misuse_checks_and_no_iommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
