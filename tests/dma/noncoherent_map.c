/* SPDX-License-Identifier: MIT */
/* Mappings for a device that does not see the CPU's caches: what each sees of the other, when. */
#include "noncoherent.h"

#define OFF ",coherent=off"

static const enum dma_data_direction directions[] = {
	DMA_BIDIRECTIONAL,
	DMA_TO_DEVICE,
	DMA_FROM_DEVICE,
};

static bool device_may_write(enum dma_data_direction dir)
{
	return dir != DMA_TO_DEVICE;
}

static dma_addr_t map(const struct device *d, const uint8_t *memory, size_t size,
		      enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t addr = dma_map_phys(d->dev, virt_to_phys(memory), size, dir, attrs);

	assert_int_equal(dma_mapping_error(d->dev, addr), 0);
	return addr;
}

/* For each direction: the CPU's bytes are there when the mapping is, later ones when synced. */
static void what_the_cpu_writes(void **state)
{
	static const enum dma_data_direction readable[] = {DMA_BIDIRECTIONAL, DMA_TO_DEVICE};
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0);

	for (size_t i = 0; i < COUNT(readable); i++) {
		dma_addr_t addr;

		memset(memory, 0x11, 2 * PAGE);
		addr = map(&d, memory, 2 * PAGE, readable[i], 0);
		assert_device_sees(&d, addr, 2 * PAGE, 0x11);
		memset(memory, 0x22, 2 * PAGE);
		assert_device_sees(&d, addr, 2 * PAGE, 0x11);
		dma_sync_single_for_cpu(d.dev, addr, 2 * PAGE, DMA_TO_DEVICE);
		assert_device_sees(&d, addr, 2 * PAGE, 0x11);
		assert_holds(memory, 2 * PAGE, 0x22);
		dma_sync_single_for_device(d.dev, addr, 2 * PAGE, readable[i]);
		assert_device_sees(&d, addr, 2 * PAGE, 0x22);
		dma_unmap_phys(d.dev, addr, 2 * PAGE, readable[i], 0);
		assert_refused_pages(&d, addr, 2);
	}
	device_close(&d, 0);
	free(memory);
}

/* A device that writes a part leaves the CPU the rest as it was when it was mapped. */
static void what_the_device_writes(void **state)
{
	static const enum dma_data_direction writable[] = {DMA_BIDIRECTIONAL, DMA_FROM_DEVICE};
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0);

	for (size_t i = 0; i < COUNT(writable); i++) {
		dma_addr_t addr;

		memset(memory, 0x11, 2 * PAGE);
		addr = map(&d, memory, 2 * PAGE, writable[i], 0);
		device_fills(&d, addr + 100, PAGE, 0x77);
		assert_holds(memory, 2 * PAGE, 0x11);
		dma_sync_single_for_cpu(d.dev, addr, 2 * PAGE, writable[i]);
		assert_holds(memory, 100, 0x11);
		assert_holds(memory + 100, PAGE, 0x77);
		assert_holds(memory + 100 + PAGE, PAGE - 100, 0x11);
		/* It goes on, and the end brings that too. */
		device_fills(&d, addr, 50, 0x88);
		assert_holds(memory, 50, 0x11);
		dma_unmap_phys(d.dev, addr, 2 * PAGE, writable[i], 0);
		assert_holds(memory, 50, 0x88);
		assert_holds(memory + 50, 50, 0x11);
		assert_holds(memory + 100, PAGE, 0x77);
	}
	device_close(&d, 0);
	free(memory);
}

/* A sync of part of a mapping moves the lines that it touches, whole, and no others. */
static void parts(void **state)
{
	static const struct {
		size_t offset, size;
	} cases[] = {
		{0, 1},
		{LINE - 1, 2},
		{5 * LINE, LINE},
		{5 * LINE + 1, LINE},
		{PAGE - 1, 1},
		{PAGE - 1, 2},
		{PAGE, 1},
		{100, PAGE + 1000},
		{3 * PAGE - 1, 1},
		{0, 3 * PAGE},
	};
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(3, 0);

	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t offset = cases[i].offset, size = cases[i].size;
		size_t first = offset / LINE * LINE;
		size_t end = (offset + size + LINE - 1) / LINE * LINE;
		dma_addr_t addr;

		memset(memory, 0x11, 3 * PAGE);
		addr = map(&d, memory, 3 * PAGE, DMA_BIDIRECTIONAL, 0);
		memset(memory, 0x22, 3 * PAGE);
		dma_sync_single_range_for_device(d.dev, addr, offset, size, DMA_BIDIRECTIONAL);
		assert_device_sees(&d, addr, first, 0x11);
		assert_device_sees(&d, addr + first, end - first, 0x22);
		assert_device_sees(&d, addr + end, 3 * PAGE - end, 0x11);

		device_fills(&d, addr, 3 * PAGE, 0x33);
		dma_sync_single_range_for_cpu(d.dev, addr, offset, size, DMA_BIDIRECTIONAL);
		assert_holds(memory, first, 0x22);
		assert_holds(memory + first, end - first, 0x33);
		assert_holds(memory + end, 3 * PAGE - end, 0x22);
		/* By an address inside the mapping, it is the same. */
		device_fills(&d, addr, 3 * PAGE, 0x44);
		dma_sync_single_for_cpu(d.dev, addr + offset, size, DMA_BIDIRECTIONAL);
		assert_holds(memory, first, 0x22);
		assert_holds(memory + first, end - first, 0x44);
		assert_holds(memory + end, 3 * PAGE - end, 0x22);
		dma_unmap_single(d.dev, addr, 3 * PAGE, DMA_BIDIRECTIONAL);
		assert_holds(memory, 3 * PAGE, 0x44);
	}
	device_close(&d, 0);
	free(memory);
}

/* What the CPU writes while the device only reads is kept; what SKIP leaves alone, too. */
static void ends_that_bring_nothing(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(1, 0x11);
	dma_addr_t addr = map(&d, memory, PAGE, DMA_TO_DEVICE, 0);

	memset(memory, 0x22, PAGE);
	dma_unmap_phys(d.dev, addr, PAGE, DMA_TO_DEVICE, 0);
	assert_holds(memory, PAGE, 0x22);
	for (size_t i = 0; i < COUNT(directions); i++) {
		if (!device_may_write(directions[i]))
			continue;
		addr = map(&d, memory, PAGE, directions[i], 0);
		device_fills(&d, addr, PAGE, 0x33);
		dma_unmap_phys(d.dev, addr, PAGE, directions[i], DMA_ATTR_SKIP_CPU_SYNC);
		assert_holds(memory, PAGE, 0x22);
	}
	device_close(&d, 0);
	free(memory);
}

/* Mapped without a sync, it is poison, or what the device had there; then it can be synced. */
static void skipping_the_first_sync(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0x11);
	dma_addr_t addr = map(&d, memory, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);

	assert_device_sees(&d, addr, 2 * PAGE, POISON);
	dma_sync_single_range_for_device(d.dev, addr, PAGE + 10, 1, DMA_BIDIRECTIONAL);
	assert_device_sees(&d, addr + PAGE, LINE, 0x12);
	assert_device_sees(&d, addr + PAGE + LINE, PAGE - LINE, POISON);
	dma_unmap_phys(d.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	assert_holds(memory, PAGE, 0x11);
	assert_holds(memory + PAGE, PAGE, 0x12);
	/* It keeps what it had, as memory does. */
	addr = map(&d, memory, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	assert_device_sees(&d, addr, PAGE, POISON);
	assert_device_sees(&d, addr + PAGE, LINE, 0x12);
	dma_unmap_phys(d.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	device_close(&d, 0);
	free(memory);
}

/*
 * Others have the rest of the granule, and write there as they like: whole lines are
 * mapped as they are, everything else through a buffer.
 */
static void neighbours(void **state)
{
	static const struct {
		size_t offset, size;
		bool bounced; /* where the device writes */
	} cases[] = {
		{0, LINE, false},
		{LINE, 3 * LINE, false},
		{PAGE - LINE, 2 * LINE, false},
		{LINE, PAGE, false},
		{0, 1, true},
		{1, LINE, true},
		{LINE, LINE + 1, true},
		{13, 2 * PAGE - 20, true},
	};
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(3, 0);

	for (size_t i = 0; i < COUNT(cases) * COUNT(directions); i++) {
		size_t offset = cases[i / 3].offset, size = cases[i / 3].size;
		enum dma_data_direction dir = directions[i % 3];
		uint64_t maps = bounce_maps();
		dma_addr_t addr;

		memset(memory, 0x11, 3 * PAGE);
		addr = map(&d, memory + offset, size, dir, 0);
		assert_int_equal(bounce_maps() - maps,
				 cases[i / 3].bounced && device_may_write(dir));
		if (dir != DMA_FROM_DEVICE)
			assert_device_sees(&d, addr, size, 0x11);
		/* The neighbours' bytes, of which nobody syncs anything. */
		memset(memory, 0x22, offset);
		memset(memory + offset + size, 0x22, 3 * PAGE - offset - size);
		if (device_may_write(dir)) {
			device_fills(&d, addr, size, 0x33);
			assert_holds(memory + offset, size, 0x11);
			dma_sync_single_for_cpu(d.dev, addr, size, dir);
			assert_holds(memory + offset, size, 0x33);
			device_fills(&d, addr, size, 0x44);
		}
		dma_unmap_phys(d.dev, addr, size, dir, 0);
		assert_holds(memory, offset, 0x22);
		assert_holds(memory + offset, size, device_may_write(dir) ? 0x44 : 0x11);
		assert_holds(memory + offset + size, 3 * PAGE - offset - size, 0x22);
	}
	assert_int_equal(bounce_used(), 0);
	device_close(&d, 0);
	free(memory);
}

/* A bounced mapping is two copies twice: the buffer, and what the device sees of it. */
static void buffers_are_synced(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0x11);
	const size_t size = PAGE + 500;
	dma_addr_t addr;

	memset(memory, 0x11, 2 * PAGE);
	addr = map(&d, memory + 3, size, DMA_BIDIRECTIONAL, 0);
	assert_device_sees(&d, addr, size, 0x11);
	memset(memory, 0x22, 2 * PAGE);
	assert_device_sees(&d, addr, size, 0x11);
	dma_sync_single_range_for_device(d.dev, addr, 10, size - 20, DMA_BIDIRECTIONAL);
	assert_device_sees(&d, addr, 10, 0x11);
	assert_device_sees(&d, addr + 10, size - 20, 0x22);
	assert_device_sees(&d, addr + size - 10, 10, 0x11);
	device_fills(&d, addr, size, 0x33);
	assert_holds(memory, 2 * PAGE, 0x22);
	dma_sync_single_range_for_cpu(d.dev, addr, 100, PAGE, DMA_BIDIRECTIONAL);
	assert_holds(memory, 103, 0x22);
	assert_holds(memory + 103, PAGE, 0x33);
	assert_holds(memory + 103 + PAGE, PAGE - 103, 0x22);
	dma_unmap_single(d.dev, addr, size, DMA_BIDIRECTIONAL);
	assert_holds(memory, 3, 0x22);
	assert_holds(memory + 3, size, 0x33);
	assert_holds(memory + 3 + size, 2 * PAGE - size - 3, 0x22);
	device_close(&d, 0);
	free(memory);
}

/* Around a buffer the device sees zeroes, whatever the buffer's place was used for before. */
static void around_a_buffer(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(4, 0);
	dma_addr_t addr[8];

	memset(memory, 0x5e, 4 * PAGE);
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT(addr); i++)
			addr[i] = map(&d, memory + 1, 3 * PAGE, DMA_BIDIRECTIONAL, 0);
		for (size_t i = 0; i < COUNT(addr); i++)
			dma_unmap_single(d.dev, addr[i], 3 * PAGE, DMA_BIDIRECTIONAL);
		for (size_t i = 0; i < COUNT(addr); i++)
			addr[i] = map(&d, memory + 1, 9, DMA_BIDIRECTIONAL, 0);
		for (size_t i = 0; i < COUNT(addr); i++) {
			dma_addr_t granule = addr[i] / PAGE * PAGE;
			size_t at = addr[i] % PAGE;

			assert_device_sees(&d, granule, at, 0);
			assert_device_sees(&d, addr[i], 9, 0x5e);
			assert_device_sees(&d, addr[i] + 9, PAGE - at - 9, 0);
		}
		for (size_t i = 0; i < COUNT(addr); i++)
			dma_unmap_single(d.dev, addr[i], 9, DMA_BIDIRECTIONAL);
	}
	device_close(&d, 0);
	free(memory);
}

/* As registers, nothing is cached: also where the same memory was mapped otherwise before. */
static void as_registers(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(1, 0x11);
	dma_addr_t addr;

	for (size_t round = 0; round < 2; round++) {
		addr = map(&d, memory, PAGE, DMA_BIDIRECTIONAL, 0);
		dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
		memset(memory, 0x22, PAGE);
		addr = map(&d, memory + 5, 100, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
		assert_device_sees(&d, addr, 100, 0x22);
		memset(memory, 0x33, PAGE);
		assert_device_sees(&d, addr, 100, 0x33);
		device_fills(&d, addr, 100, 0x44);
		assert_holds(memory, 5, 0x33);
		assert_holds(memory + 5, 100, 0x44);
		/* A sync has nothing to do and does no harm. */
		dma_sync_single_for_cpu(d.dev, addr, 100, DMA_BIDIRECTIONAL);
		dma_sync_single_for_device(d.dev, addr, 100, DMA_BIDIRECTIONAL);
		assert_holds(memory + 5, 100, 0x44);
		dma_unmap_phys(d.dev, addr, 100, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
		assert_holds(memory + 5, 100, 0x44);
		assert_holds(memory + 105, PAGE - 105, 0x33);
	}
	device_close(&d, 0);
	free(memory);
}

/* Registers at the addresses of RAM that was registered before them have no shadow of it. */
static void registered_again(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(4, 0);
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM, .size = 4 * PAGE, .cpu = memory, .fd = -1};
	phys_addr_t ram, bar;
	dma_addr_t addr;

	memset(memory, 0x11, 4 * PAGE);
	assert_int_equal(dma_memory_register(&desc, &ram), 0);
	addr = dma_map_phys(d.dev, ram, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	device_fills(&d, addr, 4 * PAGE, 0x22);
	assert_holds(memory, 4 * PAGE, 0x11);
	dma_unmap_phys(d.dev, addr, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_holds(memory, 4 * PAGE, 0x22);
	assert_int_equal(dma_memory_unregister(ram), 0);

	desc.type = DMA_MEMORY_MMIO;
	assert_int_equal(dma_memory_register(&desc, &bar), 0);
	assert_int_equal(bar, ram);
	memset(memory, 0x33, 4 * PAGE);
	addr = dma_map_phys(d.dev, bar, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_device_sees(&d, addr, 4 * PAGE, 0x33);
	device_fills(&d, addr, 4 * PAGE, 0x44);
	assert_holds(memory, 4 * PAGE, 0x44);
	dma_unmap_phys(d.dev, addr, 4 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_holds(memory, 4 * PAGE, 0x44);
	assert_int_equal(dma_memory_unregister(bar), 0);
	device_close(&d, 0);
	free(memory);
}

static void what_it_says_of_itself(void **state)
{
	struct device d = soft_open(state, OFF), plain = soft_open(state, "");
	struct device never = soft_open(state, OFF ",bounce=off");
	uint8_t *memory = pages_new(1, 0);
	dma_addr_t addr = map(&d, memory, PAGE, DMA_TO_DEVICE, 0);
	dma_addr_t coherent = map(&plain, memory, PAGE, DMA_TO_DEVICE, 0);

	assert_true(dma_need_sync(d.dev, addr));
	assert_false(dma_need_sync(plain.dev, coherent));
	assert_true(dma_need_unmap(d.dev));
	assert_true(dma_max_mapping_size(d.dev) >= 128 * 1024);
	assert_true(dma_max_mapping_size(d.dev) <= DMA_BOUNCE_SEGMENT);
	assert_int_equal(dma_max_mapping_size(plain.dev), SIZE_MAX);
	assert_int_equal(dma_max_mapping_size(never.dev), SIZE_MAX);
	dma_unmap_single(d.dev, addr, PAGE, DMA_TO_DEVICE);
	dma_unmap_single(plain.dev, coherent, PAGE, DMA_TO_DEVICE);
	device_close(&d, 0);
	device_close(&plain, 0);
	device_close(&never, 0);
	free(memory);
}

/* Exactly as much as it says can be bounced; whole lines have no limit. */
static void longest(void **state)
{
	struct device d = soft_open(state, OFF);
	const size_t most = dma_max_mapping_size(d.dev), size = 2 * MIB + LINE;
	uint8_t *memory = pages_new(2 * MIB / PAGE + 1, 0);
	dma_addr_t addr;

	memset(memory, 0x11, 2 * MIB + PAGE);
	addr = map(&d, memory + 1, most, DMA_FROM_DEVICE, 0);
	device_fills(&d, addr, most, 0x22);
	dma_unmap_phys(d.dev, addr, most, DMA_FROM_DEVICE, 0);
	assert_holds(memory, 1, 0x11);
	assert_holds(memory + 1, most, 0x22);
	assert_holds(memory + 1 + most, 100, 0x11);
	dma_clear_error();
	assert_int_equal(
		dma_map_phys(d.dev, virt_to_phys(memory + 1), most + 1, DMA_FROM_DEVICE, 0),
		DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");

	addr = map(&d, memory, size, DMA_BIDIRECTIONAL, 0);
	device_fills(&d, addr, size, 0x33);
	dma_unmap_phys(d.dev, addr, size, DMA_BIDIRECTIONAL, 0);
	assert_holds(memory, size, 0x33);
	assert_holds(memory + size, 100, 0x11);
	device_close(&d, 0);
	free(memory);
}

static void required_coherence(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(1, 0x11);
	struct snapshot before = snapshot_take(&d, 0, 0);

	for (size_t i = 0; i < COUNT(directions); i++) {
		dma_clear_error();
		assert_int_equal(dma_map_phys(d.dev, virt_to_phys(memory), PAGE, directions[i],
					      DMA_ATTR_REQUIRE_COHERENT),
				 DMA_MAPPING_ERROR);
		assert_string_not_equal(dma_last_error(), "");
	}
	assert_unchanged(&d, &before);
	device_close(&d, 0);
	free(memory);
}

/* Memory that nobody could sync: refused, or accessed directly where the caller says so. */
static void no_cpu_mapping(void **state)
{
	static const unsigned long attrs[] = {DMA_ATTR_MMIO, DMA_ATTR_SKIP_CPU_SYNC};
	static struct card card;
	struct device d = soft_open(state, OFF);
	struct misuse misuse;
	dma_addr_t addr;

	card_register(&card, DMA_MEMORY_P2P, 0x11);
	dma_clear_error();
	assert_int_equal(dma_map_phys(d.dev, card.base, PAGE, DMA_TO_DEVICE, 0), DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	for (size_t i = 0; i < COUNT(attrs); i++) {
		memset(card.bytes, 0x11, sizeof(card.bytes));
		addr = dma_map_phys(d.dev, card.base, 2 * PAGE, DMA_BIDIRECTIONAL, attrs[i]);
		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		assert_device_sees(&d, addr, 2 * PAGE, 0x11);
		device_fills(&d, addr, PAGE, 0x22);
		assert_holds(card.bytes, PAGE, 0x22);
		misuse = misuse_expect(&d);
		dma_sync_single_for_cpu(d.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL);
		misuse_check(&d, misuse, 1);
		misuse = misuse_expect(&d);
		dma_sync_single_for_device(d.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL);
		misuse_check(&d, misuse, 1);
		assert_holds(card.bytes, PAGE, 0x22);
		assert_device_sees(&d, addr + PAGE, PAGE, 0x11);
		dma_unmap_phys(d.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, attrs[i]);
		assert_holds(card.bytes, PAGE, 0x22);
	}
	assert_int_equal(dma_memory_unregister(card.base), 0);
	device_close(&d, 4);
}

/* All of a mapping goes; of what the device wrote, what the caller has named is brought. */
static void another_size(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(4, 0);
	struct misuse misuse;
	dma_addr_t addr;

	memset(memory, 0x11, 4 * PAGE);
	addr = map(&d, memory, 3 * PAGE, DMA_FROM_DEVICE, 0);
	device_fills(&d, addr, 3 * PAGE, 0x22);
	misuse = misuse_expect(&d);
	dma_unmap_phys(d.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, addr, 3);
	assert_holds(memory, PAGE, 0x22);
	assert_holds(memory + PAGE, 3 * PAGE, 0x11);

	memset(memory, 0x11, 4 * PAGE);
	addr = map(&d, memory, PAGE, DMA_FROM_DEVICE, 0);
	device_fills(&d, addr, PAGE, 0x22);
	misuse = misuse_expect(&d);
	dma_unmap_phys(d.dev, addr, 4 * PAGE, DMA_FROM_DEVICE, 0);
	misuse_check(&d, misuse, 1);
	assert_refused(&d, addr);
	assert_holds(memory, PAGE, 0x22);
	assert_holds(memory + PAGE, 3 * PAGE, 0x11);

	/* Again, and what was never mapped. */
	misuse = misuse_expect(&d);
	dma_unmap_phys(d.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	dma_unmap_phys(d.dev, DMA_MAPPING_ERROR, PAGE, DMA_FROM_DEVICE, 0);
	misuse_check(&d, misuse, 2);
	assert_holds(memory, PAGE, 0x22);
	device_close(&d, 4);
	free(memory);
}

/* A gather does not put off what has to be copied: each unmap is final by itself. */
static void gathered(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(100, 0);
	dma_addr_t addr[100];
	struct dma_gather gather;

	memset(memory, 0x11, 100 * PAGE);
	for (size_t i = 0; i < COUNT(addr); i++) {
		size_t size = i % 2 ? PAGE : 1000;

		addr[i] = map(&d, memory + i * PAGE, size, DMA_BIDIRECTIONAL, 0);
		device_fills(&d, addr[i], size, (unsigned int)i);
	}
	dma_gather_begin(d.dev, &gather);
	for (size_t i = 0; i < COUNT(addr); i++) {
		size_t size = i % 2 ? PAGE : 1000;

		dma_unmap_phys_gather(d.dev, addr[i], size, DMA_BIDIRECTIONAL, 0, &gather);
		assert_refused(&d, addr[i]);
		assert_holds(memory + i * PAGE, size, (unsigned int)i);
	}
	assert_int_equal(stats_of(&d).iova_live, 0);
	dma_gather_end(&gather);
	device_close(&d, 0);
	free(memory);
}

/* One space, one address, two views. */
static void both_kinds_in_a_space(void **state)
{
	struct device d = soft_open(state, OFF), coherent = d;
	uint8_t *memory = pages_new(2, 0x11);
	dma_addr_t addr, other;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &coherent.dev), 0);
	assert_int_equal(dma_set_mask_and_coherent(coherent.dev, DMA_BIT_MASK(64)), 0);
	coherent.port = dma_dev_port(coherent.dev);
	memset(memory, 0x11, 2 * PAGE);
	addr = map(&d, memory, PAGE, DMA_BIDIRECTIONAL, 0);
	other = map(&coherent, memory + PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	memset(memory, 0x22, 2 * PAGE);
	assert_device_sees(&d, addr, PAGE, 0x11);
	assert_device_sees(&coherent, addr, PAGE, 0x22);
	/* What only the coherent one was mapped for has no shadow. */
	assert_device_sees(&d, other, PAGE, 0x22);
	assert_device_sees(&coherent, other, PAGE, 0x22);
	assert_true(dma_need_sync(d.dev, other));
	assert_false(dma_need_sync(coherent.dev, addr));
	device_fills(&coherent, addr, PAGE, 0x33);
	assert_holds(memory, PAGE, 0x33);
	assert_device_sees(&d, addr, PAGE, 0x11);
	dma_sync_single_for_device(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	assert_device_sees(&d, addr, PAGE, 0x33);
	device_fills(&d, addr, PAGE, 0x44);
	assert_device_sees(&coherent, addr, PAGE, 0x33);
	dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	assert_holds(memory, PAGE, 0x44);
	dma_unmap_single(coherent.dev, other, PAGE, DMA_BIDIRECTIONAL);
	assert_holds(memory + PAGE, PAGE, 0x22);
	dma_dev_close(coherent.dev);
	device_close(&d, 0);
	free(memory);
}

/* Whichever allocation fails, nothing is mapped or lent; some can be done without. */
static void no_memory(void **state)
{
	static const struct {
		size_t offset, size;
	} cases[] = {{0, 3 * PAGE}, {5, 3 * PAGE}};
	uint8_t *memory = pages_new(4, 0);

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t used = bounce_used(), failed = 0;
		bool all = false;
		size_t size = cases[i].size;
		uint8_t *at = memory + cases[i].offset;

		for (uint64_t nth = 1; !all; nth++) {
			struct device d = soft_open(state, OFF);
			dma_addr_t addr;

			memset(memory, 0x11, 4 * PAGE);
			dma_clear_error();
			base_alloc_fail(nth);
			addr = dma_map_phys(d.dev, virt_to_phys(at), size, DMA_BIDIRECTIONAL, 0);
			all = base_alloc_fail(0) < nth && addr != DMA_MAPPING_ERROR;
			if (addr == DMA_MAPPING_ERROR) {
				assert_string_not_equal(dma_last_error(), "");
				assert_int_equal(bounce_used(), used);
				failed++;
			} else {
				device_fills(&d, addr, size, 0x22);
				dma_unmap_phys(d.dev, addr, size, DMA_BIDIRECTIONAL, 0);
				assert_holds(at, size, 0x22);
				assert_int_equal(bounce_used(), used);
			}
			device_close(&d, 0);
		}
		assert_true(failed >= 3);
	}
	free(memory);
}

/* A device that remembers absent entries sees a new mapping at an old address. */
static void absent_entries(void **state)
{
	struct device d = soft_open(state, OFF ",absent=cache");
	uint8_t *memory = pages_new(2, 0x11);

	for (unsigned int i = 0; i < 4; i++) {
		size_t size = i % 2 ? PAGE : PAGE + 7;
		dma_addr_t addr;

		memset(memory, (int)i, 2 * PAGE);
		addr = map(&d, memory, size, DMA_BIDIRECTIONAL, 0);
		assert_device_sees(&d, addr, size, i);
		device_fills(&d, addr, size, 0x80 + i);
		dma_unmap_single(d.dev, addr, size, DMA_BIDIRECTIONAL);
		assert_refused(&d, addr);
		assert_holds(memory, size, 0x80 + i);
		assert_holds(memory + size, 2 * PAGE - size, i);
	}
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(what_the_cpu_writes),
		EACH_FORMAT(what_the_device_writes),
		EACH_FORMAT(parts),
		EACH_FORMAT(ends_that_bring_nothing),
		EACH_FORMAT(skipping_the_first_sync),
		EACH_FORMAT(neighbours),
		EACH_FORMAT(buffers_are_synced),
		EACH_FORMAT(around_a_buffer),
		EACH_FORMAT(as_registers),
		EACH_FORMAT(registered_again),
		EACH_FORMAT(what_it_says_of_itself),
		EACH_FORMAT(longest),
		EACH_FORMAT(required_coherence),
		EACH_FORMAT(no_cpu_mapping),
		EACH_FORMAT(another_size),
		EACH_FORMAT(gathered),
		EACH_FORMAT(both_kinds_in_a_space),
		EACH_FORMAT(no_memory),
		EACH_FORMAT(absent_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
