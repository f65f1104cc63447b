/* SPDX-License-Identifier: MIT */
/* Streaming mappings: what a device reaches, what is refused, and ends that do not fit. */
#include "setup.h"

#define BIDI DMA_BIDIRECTIONAL

static void any_place_and_size(void **state)
{
	static const size_t offsets[] = {0, 1, 100, 2048, 4095};
	static const size_t sizes[] = {1, 3, 4095, 4096, 4097, 10000, 7 * 4096};
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(9, 0), seen[7 * 4096];

	for (size_t i = 0; i < 9 * PAGE; i++)
		memory[i] = (uint8_t)(i * 11 + i / PAGE);
	for (size_t i = 0; i < COUNT(offsets) * COUNT(sizes); i++) {
		size_t offset = offsets[i % COUNT(offsets)], size = sizes[i / COUNT(offsets)];
		size_t pages = (offset + size + PAGE - 1) / PAGE;
		dma_addr_t addr = dma_map_single(d.dev, memory + offset, size, BIDI);

		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		assert_int_equal(addr % PAGE, offset);
		assert_int_not_equal(addr / PAGE, 0);
		assert_int_equal(stats_of(&d).bytes_mapped, pages * PAGE);
		assert_int_equal(dma_bus_read(d.port, addr, seen, size), 0);
		assert_memory_equal(seen, memory + offset, size);
		/* Whole granules, and nothing beside them. */
		assert_reads(&d, addr - offset, memory[0]);
		assert_reads(&d, addr - offset + pages * PAGE - 1, memory[pages * PAGE - 1]);
		assert_refused(&d, addr - offset - 1);
		assert_refused(&d, addr - offset + pages * PAGE);
		assert_int_equal(dma_bus_write(d.port, addr + size - 1, "!", 1), 0);
		assert_int_equal(memory[offset + size - 1], '!');
		dma_unmap_single(d.dev, addr, size, BIDI);
		assert_refused(&d, addr);
		assert_refused(&d, addr + size - 1);
	}
	device_close(&d, 0);
	free(memory);
}

static void every_call_is_the_same_mapping(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 5);
	phys_addr_t phys = virt_to_phys(memory);
	dma_addr_t addr[] = {
		dma_map_phys(d.dev, phys, PAGE, BIDI, 0),
		dma_map_single(d.dev, memory, PAGE, BIDI),
		dma_map_single_attrs(d.dev, memory, PAGE, BIDI, DMA_ATTR_SKIP_CPU_SYNC),
		dma_map_resource(d.dev, phys, PAGE, BIDI, 0),
		dma_map_phys(d.dev, phys, PAGE, BIDI, DMA_ATTR_REQUIRE_COHERENT),
		dma_map_phys(d.dev, phys, PAGE, BIDI,
			     DMA_ATTR_PRIVILEGED | DMA_ATTR_NO_WARN | DMA_ATTR_WEAK_ORDERING),
	};

	for (size_t i = 0; i < COUNT(addr); i++) {
		assert_int_equal(dma_mapping_error(d.dev, addr[i]), 0);
		assert_reads(&d, addr[i], 5);
		for (size_t other = 0; other < i; other++)
			assert_int_not_equal(addr[i], addr[other]);
	}
	dma_unmap_phys(d.dev, addr[0], PAGE, BIDI, 0);
	dma_unmap_single(d.dev, addr[1], PAGE, BIDI);
	dma_unmap_single_attrs(d.dev, addr[2], PAGE, BIDI, DMA_ATTR_SKIP_CPU_SYNC);
	dma_unmap_resource(d.dev, addr[3], PAGE, BIDI, 0);
	dma_unmap_phys(d.dev, addr[4], PAGE, BIDI, DMA_ATTR_REQUIRE_COHERENT);
	dma_unmap_phys(d.dev, addr[5], PAGE, BIDI, DMA_ATTR_PRIVILEGED);
	for (size_t i = 0; i < COUNT(addr); i++)
		assert_refused(&d, addr[i]);
	device_close(&d, 0);
	free(memory);
}

static void refusals(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	phys_addr_t phys = virt_to_phys(memory);
	const struct {
		phys_addr_t phys;
		size_t size;
		int dir;
		unsigned long attrs;
	} cases[] = {
		{phys, 0, DMA_TO_DEVICE, 0},
		{phys + 1, 0, DMA_TO_DEVICE, DMA_ATTR_MMIO},
		{phys, PAGE, DMA_NONE, 0},
		{phys, 100, 4, 0},
		{phys, 1, -1, 0},
		{phys, PAGE, DMA_TO_DEVICE, DMA_ATTR_CC_SHARED},
		{phys, PAGE, DMA_TO_DEVICE, DMA_ATTR_CC_SHARED | DMA_ATTR_MMIO},
		{1ULL << 52, PAGE, DMA_TO_DEVICE, 0},
		{(1ULL << 52) - PAGE, PAGE + 1, DMA_TO_DEVICE, 0},
		{UINT64_MAX, 1, DMA_TO_DEVICE, 0},
		{UINT64_MAX - PAGE, 2 * PAGE, DMA_TO_DEVICE, 0},
		{phys, SIZE_MAX, DMA_TO_DEVICE, 0},
		{phys, 1ULL << 48, DMA_TO_DEVICE, 0},
		{0xfff, SIZE_MAX - 0xfff, DMA_TO_DEVICE, 0},
		{0, SIZE_MAX, DMA_TO_DEVICE, 0},
	};
	struct snapshot before;
	dma_addr_t addr;

	for (size_t i = 0; i < COUNT(cases); i++) {
		before = snapshot_take(&d, 0, 1);
		dma_clear_error();
		addr = dma_map_phys(d.dev, cases[i].phys, cases[i].size,
				    (enum dma_data_direction)cases[i].dir, cases[i].attrs);
		assert_int_equal(addr, DMA_MAPPING_ERROR);
		assert_int_equal(dma_mapping_error(d.dev, addr), -ENOMEM);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged_but_tables(&d, &before);
	}
	assert_int_equal(dma_set_min_align_mask(d.dev, 8191), 0);
	assert_int_equal(dma_map_phys(d.dev, phys, PAGE, BIDI, 0), DMA_MAPPING_ERROR);
	assert_int_equal(dma_set_min_align_mask(d.dev, 4095), 0);
	addr = dma_map_phys(d.dev, phys, PAGE, BIDI, 0);
	assert_reads(&d, addr, 1);
	dma_unmap_phys(d.dev, addr, PAGE, BIDI, 0);
	device_close(&d, 0);
	free(memory);
}

static void no_room(void **state)
{
	struct device d = soft_open(state, ",mask=15");
	uint8_t *memory = pages_new(1, 1);
	struct snapshot before;
	dma_addr_t addr[7];

	for (size_t i = 0; i < COUNT(addr); i++) {
		addr[i] = dma_map_single(d.dev, memory, PAGE, BIDI);
		assert_int_equal(dma_mapping_error(d.dev, addr[i]), 0);
	}
	before = snapshot_take(&d, 0, 8);
	dma_clear_error();
	assert_int_equal(dma_map_single(d.dev, memory, 1, BIDI), DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_unchanged(&d, &before);
	dma_unmap_single(d.dev, addr[3], PAGE, BIDI);
	assert_int_equal(dma_map_single(d.dev, memory, PAGE, BIDI), addr[3]);
	for (size_t i = 0; i < COUNT(addr); i++)
		dma_unmap_single(d.dev, addr[i], PAGE, BIDI);
	device_close(&d, 0);
	free(memory);
}

/* Nothing there: nothing changes. */
static void unmapping_what_is_not_mapped(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	dma_addr_t kept = dma_map_single(d.dev, memory, 4 * PAGE, BIDI);
	dma_addr_t gone = dma_map_single(d.dev, memory, PAGE, BIDI);
	dma_addr_t long_gone = dma_map_single(d.dev, memory, 3 * PAGE, BIDI);
	struct dma_iova_state iova = reserve(&d, 0, PAGE);
	const struct {
		dma_addr_t addr;
		size_t size;
	} cases[] = {
		{DMA_MAPPING_ERROR, PAGE},
		{DMA_MAPPING_ERROR, 1},
		{0, PAGE},
		{gone, PAGE},
		{long_gone, 3 * PAGE},
		{kept + PAGE, PAGE},
		{kept + 3 * PAGE, PAGE},
		{kept - PAGE, 5 * PAGE},
		{iova.addr, PAGE},
		{iova.addr, 2 * PAGE},
		{1ULL << 60, PAGE},
		{gone, 0},
	};
	struct misuse misuse;

	link_at(&d, &iova, 0, memory + PAGE, PAGE);
	dma_unmap_single(d.dev, gone, PAGE, BIDI);
	dma_unmap_single(d.dev, long_gone, 3 * PAGE, BIDI);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dma_stats before = stats_of(&d);

		misuse = misuse_expect(&d);
		dma_unmap_single(d.dev, cases[i].addr, cases[i].size, BIDI);
		misuse_check(&d, misuse, 1);
		assert_int_equal(stats_of(&d).iova_live, before.iova_live);
		assert_int_equal(stats_of(&d).bytes_mapped, before.bytes_mapped);
		assert_reads_pages(&d, kept, 4, 1);
		assert_reads(&d, iova.addr, 2);
	}
	dma_unmap_single(d.dev, kept, 4 * PAGE, BIDI);
	destroy(&d, &iova, PAGE);
	device_close(&d, COUNT(cases));
	free(memory);
}

/* The device loses all of it. */
static void unmapping_with_another_size(void **state)
{
	static const struct {
		size_t mapped, unmapped;
	} cases[] = {
		{PAGE, PAGE + 1},     {PAGE, 2 * PAGE}, {2 * PAGE, PAGE},     {4 * PAGE, 1},
		{3 * PAGE, 4 * PAGE}, {PAGE, 0},	{4 * PAGE, SIZE_MAX}, {PAGE, SIZE_MAX},
	};
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	struct misuse misuse;

	for (size_t i = 0; i < COUNT(cases); i++) {
		dma_addr_t addr = dma_map_single(d.dev, memory, cases[i].mapped, BIDI);
		dma_addr_t next = dma_map_single(d.dev, memory, PAGE, BIDI);

		assert_reads_pages(&d, addr, cases[i].mapped / PAGE, 1);
		misuse = misuse_expect(&d);
		dma_unmap_single(d.dev, addr, cases[i].unmapped, BIDI);
		misuse_check(&d, misuse, 1);
		assert_refused_pages(&d, addr, cases[i].mapped / PAGE);
		assert_reads(&d, next, 1);
		dma_unmap_single(d.dev, next, PAGE, BIDI);
	}
	/* So long that it would wrap around to what is mapped. */
	for (size_t size = SIZE_MAX - 0x7ff; size; size++) {
		dma_addr_t addr = dma_map_single(d.dev, memory + 0x800, 100, BIDI);

		misuse = misuse_expect(&d);
		dma_unmap_single(d.dev, addr, size, BIDI);
		misuse_check(&d, misuse, 1);
		assert_refused(&d, addr);
	}
	device_close(&d, COUNT(cases) + 0x800);
	free(memory);
}

/* What is never true of a mapping behind an IOMMU is not looked at, as in the kernel. */
static void unmapping_as_shared_does_nothing(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	dma_addr_t addr = dma_map_single(d.dev, memory, PAGE, BIDI);

	dma_unmap_phys(d.dev, addr, PAGE, BIDI, DMA_ATTR_CC_SHARED);
	assert_reads(&d, addr, 1);
	dma_unmap_phys(d.dev, addr, PAGE, BIDI, 0);
	device_close(&d, 0);
	free(memory);
}

static void directions(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 9), byte = 0x55;
	dma_addr_t to = dma_map_single(d.dev, memory, PAGE, DMA_TO_DEVICE);
	dma_addr_t from = dma_map_single(d.dev, memory, PAGE, DMA_FROM_DEVICE);

	assert_reads(&d, to, 9);
	assert_int_equal(dma_bus_write(d.port, to, &byte, 1), -EFAULT);
	assert_int_equal(memory[0], 9);
	/* A write says it all where the format can: x86-64 has no memory only to be written. */
	assert_int_equal(dma_bus_read(d.port, from, &byte, 1),
			 strcmp(*state, "x86-64") ? -EFAULT : 0);
	byte = 0x55;
	assert_int_equal(dma_bus_write(d.port, from, &byte, 1), 0);
	assert_int_equal(memory[0], 0x55);
	dma_unmap_single(d.dev, to, PAGE, DMA_TO_DEVICE);
	dma_unmap_single(d.dev, from, PAGE, DMA_FROM_DEVICE);
	device_close(&d, 0);
	free(memory);
}

static void untrusted_devices_get_whole_granules(void **state)
{
	struct device d = soft_open(state, ",untrusted,bounce=off");
	uint8_t *memory = pages_new(2, 1);
	phys_addr_t phys = virt_to_phys(memory);
	struct snapshot before = snapshot_take(&d, 0, 1);
	dma_addr_t addr;

	for (size_t i = 0; i < 4; i++) {
		dma_clear_error();
		addr = dma_map_phys(d.dev, phys + (i & 1), PAGE - 8, DMA_TO_DEVICE,
				    i & 2 ? DMA_ATTR_REQUIRE_COHERENT : 0);
		assert_int_equal(addr, DMA_MAPPING_ERROR);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged(&d, &before);
	}
	addr = dma_map_phys(d.dev, phys, 2 * PAGE, BIDI, 0);
	assert_reads_pages(&d, addr, 2, 1);
	dma_unmap_phys(d.dev, addr, 2 * PAGE, BIDI, 0);
	addr = dma_map_phys(d.dev, phys, PAGE, BIDI, DMA_ATTR_REQUIRE_COHERENT);
	assert_reads(&d, addr, 1);
	dma_unmap_phys(d.dev, addr, PAGE, BIDI, DMA_ATTR_REQUIRE_COHERENT);
	/* Not RAM, so never bounced, as in the kernel. */
	addr = dma_map_resource(d.dev, phys + 8, 16, BIDI, 0);
	assert_reads(&d, addr, 1);
	dma_unmap_resource(d.dev, addr, 16, BIDI, 0);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(any_place_and_size),
		EACH_FORMAT(every_call_is_the_same_mapping),
		EACH_FORMAT(refusals),
		EACH_FORMAT(no_room),
		EACH_FORMAT(unmapping_what_is_not_mapped),
		EACH_FORMAT(unmapping_with_another_size),
		EACH_FORMAT(unmapping_as_shared_does_nothing),
		EACH_FORMAT(directions),
		EACH_FORMAT(untrusted_devices_get_whole_granules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
