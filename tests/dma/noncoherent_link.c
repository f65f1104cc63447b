/* SPDX-License-Identifier: MIT */
/* Links for a device that does not see the CPU's caches: what each sees of the other, when. */
#include "noncoherent.h"

#define OFF ",coherent=off"

static int link_it(const struct device *d, struct dma_iova_state *iova, size_t offset,
		   const uint8_t *memory, size_t size, enum dma_data_direction dir,
		   unsigned long attrs)
{
	return dma_iova_link(d->dev, iova, virt_to_phys(memory), offset, size, dir, attrs);
}

static void fresh_and_stale(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(3, 0);
	struct dma_iova_state iova = reserve(&d, 0, 3 * PAGE);

	memset(memory, 0x11, 3 * PAGE);
	link_at(&d, &iova, 0, memory, 3 * PAGE);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 3 * PAGE), 0);
	assert_device_sees(&d, iova.addr, 3 * PAGE, 0x11);
	memset(memory, 0x22, 3 * PAGE);
	assert_device_sees(&d, iova.addr, 3 * PAGE, 0x11);
	/* Making links visible is not making bytes visible. */
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 3 * PAGE), 0);
	assert_device_sees(&d, iova.addr, 3 * PAGE, 0x11);
	dma_sync_single_for_device(d.dev, iova.addr + PAGE, PAGE, DMA_BIDIRECTIONAL);
	assert_device_sees(&d, iova.addr, PAGE, 0x11);
	assert_device_sees(&d, iova.addr + PAGE, PAGE, 0x22);
	assert_device_sees(&d, iova.addr + 2 * PAGE, PAGE, 0x11);

	device_fills(&d, iova.addr + PAGE, 2 * PAGE, 0x33);
	assert_holds(memory, 3 * PAGE, 0x22);
	dma_sync_single_range_for_cpu(d.dev, iova.addr, 2 * PAGE + 70, 1, DMA_BIDIRECTIONAL);
	assert_holds(memory, 2 * PAGE + LINE, 0x22);
	assert_holds(memory + 2 * PAGE + LINE, LINE, 0x33);
	assert_holds(memory + 2 * PAGE + 2 * LINE, PAGE - 2 * LINE, 0x22);
	unlink_at(&d, &iova, 0, 3 * PAGE);
	assert_refused_pages(&d, iova.addr, 3);
	assert_holds(memory, PAGE, 0x11);
	assert_holds(memory + PAGE, 2 * PAGE, 0x33);

	/* The same place for other memory, and for this again. */
	link_at(&d, &iova, 0, memory + PAGE, 2 * PAGE);
	assert_device_sees(&d, iova.addr, 2 * PAGE, 0x33);
	unlink_at(&d, &iova, 0, 2 * PAGE);
	link_at(&d, &iova, 0, memory, PAGE);
	assert_device_sees(&d, iova.addr, PAGE, 0x11);
	destroy(&d, &iova, PAGE);
	device_close(&d, 0);
	free(memory);
}

/* Each way to end, in each direction, with and without the sync: who has which bytes then. */
static void ends(void **state)
{
	static const enum dma_data_direction dirs[] = {DMA_BIDIRECTIONAL, DMA_TO_DEVICE,
						       DMA_FROM_DEVICE};
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0);

	for (unsigned int i = 0; i < 3 * 4 * 2; i++) {
		enum dma_data_direction dir = dirs[i % 3];
		unsigned int way = i / 3 % 4;
		unsigned long attrs = i / 12 ? DMA_ATTR_SKIP_CPU_SYNC : 0;
		struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);
		bool brings = dir != DMA_TO_DEVICE && !attrs;
		struct dma_gather gather;

		memset(memory, 0x11, 2 * PAGE);
		assert_int_equal(link_it(&d, &iova, 0, memory, 2 * PAGE, dir, 0), 0);
		memset(memory, 0x22, 2 * PAGE);
		if (dir == DMA_TO_DEVICE)
			assert_device_sees(&d, iova.addr, 2 * PAGE, 0x11);
		else
			device_fills(&d, iova.addr, PAGE, 0x33);
		assert_holds(memory, 2 * PAGE, 0x22);
		dma_gather_begin(d.dev, &gather);
		if (way == 0)
			dma_iova_unlink(d.dev, &iova, 0, 2 * PAGE, dir, attrs);
		else if (way == 1)
			dma_iova_unlink_gather(d.dev, &iova, 0, 2 * PAGE, dir, attrs, &gather);
		else if (way == 2)
			dma_iova_destroy(d.dev, &iova, 2 * PAGE, dir, attrs);
		else
			dma_iova_destroy_gather(d.dev, &iova, 2 * PAGE, dir, attrs, &gather);
		/* At once, whether gathered or not. */
		assert_refused_pages(&d, iova.addr, 2);
		assert_holds(memory, PAGE, brings ? 0x33 : 0x22);
		assert_holds(memory + PAGE, PAGE, brings ? 0x11 : 0x22);
		dma_gather_end(&gather);
		if (way < 2)
			dma_iova_free(d.dev, &iova);
	}
	device_close(&d, 0);
	free(memory);
}

/* More runs of memory than one part of a removal remembers, in one link and one end. */
static void many_scattered_pages(void **state)
{
	enum { PIECES = 200 };
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2 * PIECES, 0);
	struct phys_vec vec[PIECES];

	for (unsigned int way = 0; way < 3; way++) {
		struct dma_iova_state iova = reserve(&d, 0, PIECES * PAGE);
		uint64_t invalidations;

		memset(memory, 0x11, 2 * PIECES * PAGE);
		for (size_t i = 0; i < PIECES; i++)
			vec[i] = (struct phys_vec){virt_to_phys(memory + 2 * i * PAGE), PAGE};
		for (size_t i = 0; way == 1 && i < PIECES; i++)
			link_at(&d, &iova, i * PAGE, memory + 2 * i * PAGE, PAGE);
		if (way != 1)
			assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, PIECES, 0,
							   DMA_BIDIRECTIONAL, 0),
					 0);
		assert_int_equal(dma_iova_sync(d.dev, &iova, 0, PIECES * PAGE), 0);
		assert_device_sees(&d, iova.addr, PIECES * PAGE, 0x11);
		for (unsigned int i = 0; i < PIECES; i++)
			device_fills(&d, iova.addr + i * PAGE, PAGE, i + 1);
		assert_holds(memory, 2 * PIECES * PAGE, 0x11);
		invalidations = stats_of(&d).iotlb_invalidations;
		if (way == 2)
			unlink_at(&d, &iova, 0, PIECES * PAGE);
		else
			destroy(&d, &iova, PIECES * PAGE);
		/* In parts, but not one a page. */
		assert_in_range(stats_of(&d).iotlb_invalidations - invalidations, 1, PIECES / 10);
		assert_refused_pages(&d, iova.addr, PIECES);
		for (unsigned int i = 0; i < PIECES; i++) {
			assert_holds(memory + 2 * i * PAGE, PAGE, i + 1);
			assert_holds(memory + (2 * i + 1) * PAGE, PAGE, 0x11);
		}
		if (way == 2)
			dma_iova_free(d.dev, &iova);
	}
	device_close(&d, 0);
	free(memory);
}

/* Large entries go as one, also where pages before them have filled the list of runs. */
static void large_entries(void **state)
{
	enum { PAGES = 512 };
	struct device d = soft_open(state, OFF);
	struct expanse e = expanse_new(8 * MIB, 2 * MIB);
	uint8_t *scattered = pages_new(2 * PAGES, 0);
	struct phys_vec vec[PAGES + 2];
	struct dma_iova_state iova;
	size_t bytes = 0;

	assert_true(dma_iova_try_alloc_flags(d.dev, &iova, 0, 8 * MIB, 2 * MIB, 0));
	memset(e.at, 0x11, 6 * MIB);
	memset(scattered, 0x11, 2 * PAGES * PAGE);
	for (size_t i = 0; i < PAGES; i++)
		vec[i] = (struct phys_vec){virt_to_phys(scattered + 2 * i * PAGE), PAGE};
	vec[PAGES] = (struct phys_vec){virt_to_phys(e.at), 2 * MIB};
	vec[PAGES + 1] = (struct phys_vec){virt_to_phys(e.at + 4 * MIB), 2 * MIB};
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, PAGES + 2, 0, DMA_BIDIRECTIONAL, 0),
			 0);
	for (size_t i = 0; i < PAGES + 2; i++)
		bytes += vec[i].len;
	assert_int_equal(stats_of(&d).bytes_mapped, bytes);
	assert_device_sees(&d, iova.addr, bytes, 0x11);
	device_fills(&d, iova.addr, bytes, 0x22);
	destroy(&d, &iova, bytes);
	for (size_t i = 0; i < PAGES; i++) {
		assert_holds(scattered + 2 * i * PAGE, PAGE, 0x22);
		assert_holds(scattered + (2 * i + 1) * PAGE, PAGE, 0x11);
	}
	assert_holds(e.at, 2 * MIB, 0x22);
	assert_holds(e.at + 2 * MIB, 2 * MIB, 0x11);
	assert_holds(e.at + 4 * MIB, 2 * MIB, 0x22);
	device_close(&d, 0);
	expanse_free(&e);
	free(scattered);
}

/* One unit: links merge into large entries, and still each byte comes back. */
static void whole_units(void **state)
{
	struct device d = soft_open(state, OFF);
	struct expanse e = expanse_new(4 * MIB, 2 * MIB);
	struct dma_iova_state iova;
	struct misuse misuse;

	memset(e.at, 0x11, 4 * MIB);
	for (unsigned int cut = 0; cut < 2; cut++) {
		assert_true(dma_iova_try_alloc_flags(d.dev, &iova, 0, 4 * MIB, 2 * MIB,
						     DMA_IOVA_WHOLE));
		for (size_t at = 0; at < 4 * MIB; at += PAGE)
			link_at(&d, &iova, at, e.at + at, PAGE);
		assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 4 * MIB), 0);
		assert_device_sees(&d, iova.addr, 4 * MIB, 0x11 + cut);
		device_fills(&d, iova.addr, 4 * MIB, 0x12 + cut);
		misuse = misuse_expect(&d);
		if (cut) {
			/* All of it goes; the bytes that the caller has named are brought. */
			unlink_at(&d, &iova, MIB, 16 * PAGE);
			misuse_check(&d, misuse, 1);
			assert_refused(&d, iova.addr);
			assert_refused(&d, iova.addr + 3 * MIB);
			assert_holds(e.at + MIB, 16 * PAGE, 0x13);
			assert_holds(e.at + 3 * MIB, MIB, 0x12);
			dma_iova_free(d.dev, &iova);
		} else {
			destroy(&d, &iova, 4 * MIB);
			misuse_check(&d, misuse, 0);
			assert_holds(e.at, 4 * MIB, 0x12);
		}
	}
	device_close(&d, 1);
	expanse_free(&e);
}

/* A buffer at any offset: its ends share pages with others, its middle does not. */
static void heads_and_tails(void **state)
{
	static const struct {
		size_t offset, size;
	} cases[] = {
		{0, 5},	       {LINE, 10},	    {100, 2 * PAGE},	   {PAGE - 1, 2},
		{1, PAGE - 1}, {0, 2 * PAGE + 100}, {LINE, 3 * PAGE + 50}, {13, 4 * PAGE - 13},
		{0, 4 * PAGE}, {LINE, 3 * PAGE},    {LINE, LINE},
	};
	static const enum dma_data_direction dirs[] = {DMA_BIDIRECTIONAL, DMA_TO_DEVICE,
						       DMA_FROM_DEVICE};
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(5, 0);

	for (size_t i = 0; i < COUNT(cases) * COUNT(dirs); i++) {
		size_t offset = cases[i / 3].offset, size = cases[i / 3].size;
		enum dma_data_direction dir = dirs[i % 3];
		uint8_t *at = memory + offset;
		struct dma_iova_state iova = reserve(&d, virt_to_phys(at), size);
		uint64_t maps = bounce_maps();
		bool bounced;

		memset(memory, 0x11, 5 * PAGE);
		assert_int_equal(link_it(&d, &iova, 0, at, size, dir, 0), 0);
		bounced = (offset | size) % LINE && dir != DMA_TO_DEVICE;
		assert_int_equal(bounce_maps() > maps, bounced);
		assert_true(bounce_maps() - maps <= 2);
		memset(memory, 0x22, offset);
		memset(at + size, 0x22, 5 * PAGE - offset - size);
		if (dir != DMA_FROM_DEVICE)
			assert_device_sees(&d, iova.addr, size, 0x11);
		if (dir != DMA_TO_DEVICE) {
			device_fills(&d, iova.addr, size, 0x33);
			assert_holds(at, size, 0x11);
			dma_sync_single_for_cpu(d.dev, iova.addr, size, dir);
			assert_holds(at, size, 0x33);
			device_fills(&d, iova.addr, size, 0x44);
		}
		dma_iova_destroy(d.dev, &iova, size, dir, 0);
		assert_holds(memory, offset, 0x22);
		assert_holds(at, size, dir == DMA_TO_DEVICE ? 0x11 : 0x44);
		assert_holds(at + size, 5 * PAGE - offset - size, 0x22);
	}
	assert_int_equal(bounce_used(), 0);
	device_close(&d, 0);
	free(memory);
}

/* Pieces with a head, pages of others between them, and a tail. */
static void vectors(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(8, 0);
	const struct phys_vec vec[] = {
		{virt_to_phys(memory + 300), PAGE - 300},
		{virt_to_phys(memory + 2 * PAGE), PAGE},
		{virt_to_phys(memory + 4 * PAGE), 2 * PAGE},
		{virt_to_phys(memory + 7 * PAGE), 33},
	};
	const size_t size = 4 * PAGE - 300 + 33;
	struct dma_iova_state iova = reserve(&d, vec[0].paddr, size);
	uint64_t maps = bounce_maps();

	memset(memory, 0x11, 8 * PAGE);
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, COUNT(vec), 0, DMA_BIDIRECTIONAL, 0),
			 0);
	assert_int_equal(bounce_maps() - maps, 2);
	memset(memory, 0x22, 300);
	memset(memory + PAGE, 0x22, PAGE);
	memset(memory + 3 * PAGE, 0x22, PAGE);
	memset(memory + 6 * PAGE, 0x22, PAGE);
	memset(memory + 7 * PAGE + 33, 0x22, PAGE - 33);
	assert_device_sees(&d, iova.addr, size, 0x11);
	device_fills(&d, iova.addr, size, 0x33);
	destroy(&d, &iova, size);
	assert_holds(memory, 300, 0x22);
	assert_holds(memory + 300, PAGE - 300, 0x33);
	assert_holds(memory + PAGE, PAGE, 0x22);
	assert_holds(memory + 2 * PAGE, PAGE, 0x33);
	assert_holds(memory + 3 * PAGE, PAGE, 0x22);
	assert_holds(memory + 4 * PAGE, 2 * PAGE, 0x33);
	assert_holds(memory + 6 * PAGE, PAGE, 0x22);
	assert_holds(memory + 7 * PAGE, 33, 0x33);
	assert_holds(memory + 7 * PAGE + 33, PAGE - 33, 0x22);
	device_close(&d, 0);
	free(memory);
}

/* Links of one state come and go by themselves. */
static void one_of_several(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(5, 0);
	struct dma_iova_state iova = reserve(&d, 0, 3 * PAGE);

	memset(memory, 0x11, 5 * PAGE);
	for (size_t i = 0; i < 3; i++)
		link_at(&d, &iova, i * PAGE, memory + 2 * i * PAGE, PAGE);
	device_fills(&d, iova.addr, 3 * PAGE, 0x22);
	unlink_at(&d, &iova, PAGE, PAGE);
	assert_holds(memory, 2 * PAGE, 0x11);
	assert_holds(memory + 2 * PAGE, PAGE, 0x22);
	assert_holds(memory + 3 * PAGE, 2 * PAGE, 0x11);
	assert_refused(&d, iova.addr + PAGE);
	assert_device_sees(&d, iova.addr, PAGE, 0x22);
	assert_device_sees(&d, iova.addr + 2 * PAGE, PAGE, 0x22);
	link_at(&d, &iova, PAGE, memory + 3 * PAGE, PAGE);
	assert_device_sees(&d, iova.addr + PAGE, PAGE, 0x11);
	destroy(&d, &iova, 3 * PAGE);
	assert_holds(memory, PAGE, 0x22);
	assert_holds(memory + PAGE, PAGE, 0x11);
	assert_holds(memory + 2 * PAGE, PAGE, 0x22);
	assert_holds(memory + 3 * PAGE, PAGE, 0x11);
	assert_holds(memory + 4 * PAGE, PAGE, 0x22);
	device_close(&d, 0);
	free(memory);
}

/* What the caller has said wrongly is told once, and what was linked comes back. */
static void holes(void **state)
{
	enum { PAGES = 300 };
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2 * PAGES, 0);
	struct dma_iova_state iova = reserve(&d, 0, PAGES * PAGE);
	struct misuse misuse;

	for (unsigned int destroys = 0; destroys < 2; destroys++) {
		memset(memory, 0x11, 2 * PAGES * PAGE);
		for (size_t i = 0; i < PAGES; i++)
			if (i % 10 != 5)
				link_at(&d, &iova, i * PAGE, memory + 2 * i * PAGE, PAGE);
		for (size_t i = 0; i < PAGES; i++)
			if (i % 10 != 5)
				device_fills(&d, iova.addr + i * PAGE, PAGE, 0x22);
		misuse = misuse_expect(&d);
		if (destroys)
			destroy(&d, &iova, PAGES * PAGE);
		else
			unlink_at(&d, &iova, 0, PAGES * PAGE);
		misuse_check(&d, misuse, 1);
		assert_refused_pages(&d, iova.addr, PAGES);
		for (size_t i = 0; i < PAGES; i++)
			assert_holds(memory + 2 * i * PAGE, PAGE, i % 10 == 5 ? 0x11 : 0x22);
	}
	device_close(&d, 2);
	free(memory);
}

/* Nobody says in which direction: the device loses its access, and nothing is brought. */
static void freed_with_links(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0);
	const size_t size = PAGE + 100;
	struct dma_iova_state iova = reserve(&d, 0, size);
	struct misuse misuse;

	memset(memory, 0x11, 2 * PAGE);
	link_at(&d, &iova, 0, memory, size);
	device_fills(&d, iova.addr, size, 0x22);
	misuse = misuse_expect(&d);
	dma_iova_free(d.dev, &iova);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 2);
	assert_holds(memory, 2 * PAGE, 0x11);
	assert_int_equal(bounce_used(), 0);

	/* A prefix that is shorter than what is linked: only it is brought. */
	iova = reserve(&d, 0, 2 * PAGE);
	link_at(&d, &iova, 0, memory, 2 * PAGE);
	device_fills(&d, iova.addr, 2 * PAGE, 0x22);
	misuse = misuse_expect(&d);
	destroy(&d, &iova, PAGE);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 2);
	assert_holds(memory, PAGE, 0x22);
	assert_holds(memory + PAGE, PAGE, 0x11);
	misuse = misuse_expect(&d);
	destroy(&d, &iova, PAGE);
	dma_iova_free(d.dev, &iova);
	misuse_check(&d, misuse, 2);
	device_close(&d, 4);
	free(memory);
}

/* A buffer is one thing: it goes whole, with all that the device wrote there. */
static void cut_buffers(void **state)
{
	struct device d = soft_open(state, OFF ",bounce=force");
	uint8_t *memory = pages_new(4, 0);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	struct misuse misuse;

	memset(memory, 0x11, 4 * PAGE);
	link_at(&d, &iova, 0, memory, 4 * PAGE);
	device_fills(&d, iova.addr, 4 * PAGE, 0x22);
	misuse = misuse_expect(&d);
	unlink_at(&d, &iova, PAGE, PAGE);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, iova.addr, 4);
	assert_holds(memory, 4 * PAGE, 0x22);
	assert_int_equal(bounce_used(), 0);
	dma_iova_free(d.dev, &iova);
	device_close(&d, 1);
	free(memory);
}

/* Cache lines of others in the first and the last granule of a link. */
static void neighbours(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(3, 0), *at = memory + 10 * LINE;
	const size_t size = 2 * PAGE - 20 * LINE;

	for (unsigned int destroys = 0; destroys < 2; destroys++) {
		struct dma_iova_state iova = reserve(&d, virt_to_phys(at), size);

		memset(memory, 0x11, 3 * PAGE);
		link_at(&d, &iova, 0, at, size);
		/* The device may reach the padding, and what it does there stays its own. */
		device_fills(&d, iova.addr - 10 * LINE, 2 * PAGE, 0x22);
		if (destroys) {
			destroy(&d, &iova, size);
		} else {
			unlink_at(&d, &iova, 0, size);
			dma_iova_free(d.dev, &iova);
		}
		assert_holds(memory, 10 * LINE, 0x11);
		assert_holds(at, size, 0x22);
		assert_holds(at + size, 3 * PAGE - size - 10 * LINE, 0x11);
	}
	device_close(&d, 0);
	free(memory);
}

static void skipping_the_first_sync(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);

	memset(memory, 0x11, 2 * PAGE);
	assert_int_equal(
		link_it(&d, &iova, 0, memory, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC),
		0);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, 2 * PAGE), 0);
	assert_device_sees(&d, iova.addr, 2 * PAGE, POISON);
	dma_sync_single_for_device(d.dev, iova.addr, PAGE, DMA_BIDIRECTIONAL);
	assert_device_sees(&d, iova.addr, PAGE, 0x11);
	assert_device_sees(&d, iova.addr + PAGE, PAGE, POISON);
	device_fills(&d, iova.addr, 2 * PAGE, 0x22);
	dma_iova_destroy(d.dev, &iova, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	assert_holds(memory, 2 * PAGE, 0x11);
	device_close(&d, 0);
	free(memory);
}

static void as_registers(void **state)
{
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);

	/* Linked in the common way before: its shadow must not be what the device sees now. */
	link_at(&d, &iova, 0, memory, 2 * PAGE);
	unlink_at(&d, &iova, 0, 2 * PAGE);
	memset(memory, 0x11, 2 * PAGE);
	assert_int_equal(link_it(&d, &iova, 0, memory, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO),
			 0);
	assert_device_sees(&d, iova.addr, 2 * PAGE, 0x11);
	memset(memory, 0x22, 2 * PAGE);
	assert_device_sees(&d, iova.addr, 2 * PAGE, 0x22);
	device_fills(&d, iova.addr, PAGE, 0x33);
	assert_holds(memory, PAGE, 0x33);
	dma_iova_unlink(d.dev, &iova, 0, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	assert_holds(memory, PAGE, 0x33);
	assert_holds(memory + PAGE, PAGE, 0x22);
	/* And in the common way again: another view from now on. */
	link_at(&d, &iova, 0, memory, 2 * PAGE);
	assert_device_sees(&d, iova.addr, PAGE, 0x33);
	memset(memory, 0x44, 2 * PAGE);
	assert_device_sees(&d, iova.addr, PAGE, 0x33);
	destroy(&d, &iova, 2 * PAGE);
	device_close(&d, 0);
	free(memory);
}

static void refused(void **state)
{
	static struct card card;
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(2, 0x11);
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	uint64_t used = bounce_used();
	struct snapshot before;

	card_register(&card, DMA_MEMORY_MMIO, 0x66);
	{
		const phys_addr_t ram = virt_to_phys(memory);
		const struct {
			phys_addr_t phys;
			size_t size;
			enum dma_data_direction dir;
			unsigned long attrs;
			int answer;
		} cases[] = {
			{ram, PAGE, DMA_TO_DEVICE, DMA_ATTR_REQUIRE_COHERENT, -EOPNOTSUPP},
			{ram, 10, DMA_FROM_DEVICE, DMA_ATTR_REQUIRE_COHERENT, -EOPNOTSUPP},
			{card.base, PAGE, DMA_TO_DEVICE, DMA_ATTR_REQUIRE_COHERENT, -EOPNOTSUPP},
			{ram, 10, DMA_FROM_DEVICE, DMA_ATTR_MMIO, -EPERM},
			{card.base, PAGE, DMA_TO_DEVICE, 0, -EPERM},
			{card.base, PAGE, DMA_FROM_DEVICE, DMA_ATTR_NO_WARN, -EPERM},
			{card.base, PAGE, DMA_FROM_DEVICE, DMA_ATTR_CC_SHARED, -EPERM},
			{card.base, PAGE + 8, DMA_FROM_DEVICE, DMA_ATTR_MMIO, -EPERM},
			{card.base, PAGE + 8, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC, -EPERM},
			{card.base, 5 * PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO, -EINVAL},
		};

		for (size_t i = 0; i < COUNT(cases); i++) {
			const struct phys_vec vec[] = {{ram, PAGE}, {cases[i].phys, cases[i].size}};

			before = snapshot_take(&d, iova.addr, 4);
			dma_clear_error();
			assert_int_equal(dma_iova_link(d.dev, &iova, cases[i].phys, 0,
						       cases[i].size, cases[i].dir, cases[i].attrs),
					 cases[i].answer);
			assert_string_not_equal(dma_last_error(), "");
			assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, 2, 0, cases[i].dir,
							   cases[i].attrs),
					 cases[i].answer);
			assert_int_equal(bounce_used(), used);
			assert_unchanged(&d, &before);
		}
	}
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_memory_unregister(card.base), 0);
	device_close(&d, 0);
	free(memory);
}

/* Memory without a CPU mapping, alone and beside memory with one; syncing it is misuse. */
static void no_cpu_mapping(void **state)
{
	static struct card card;
	struct device d = soft_open(state, OFF);
	uint8_t *memory = pages_new(1, 0x11);
	struct dma_iova_state iova = reserve(&d, 0, 5 * PAGE);
	struct misuse misuse;

	card_register(&card, DMA_MEMORY_MMIO, 0x66);
	{
		const struct phys_vec vec[] = {{virt_to_phys(memory), PAGE}, {card.base, 4 * PAGE}};

		assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, 2, 0, DMA_BIDIRECTIONAL,
						   DMA_ATTR_SKIP_CPU_SYNC),
				 0);
	}
	assert_device_sees(&d, iova.addr, PAGE, POISON);
	assert_device_sees(&d, iova.addr + PAGE, 4 * PAGE, 0x66);
	dma_sync_single_for_device(d.dev, iova.addr, PAGE, DMA_BIDIRECTIONAL);
	assert_device_sees(&d, iova.addr, PAGE, 0x11);
	misuse = misuse_expect(&d);
	dma_sync_single_for_cpu(d.dev, iova.addr + 2 * PAGE, 1, DMA_BIDIRECTIONAL);
	misuse_check(&d, misuse, 1);
	device_fills(&d, iova.addr, 5 * PAGE, 0x22);
	assert_holds(card.bytes, 4 * PAGE, 0x22);
	assert_holds(memory, PAGE, 0x11);
	/* Without the attribute what can be brought is, and the rest is there already. */
	dma_iova_unlink(d.dev, &iova, 0, 5 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_holds(memory, PAGE, 0x22);
	assert_holds(card.bytes, 4 * PAGE, 0x22);
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_memory_unregister(card.base), 0);
	device_close(&d, 1);
	free(memory);
}

/* Linked for one device of a space, seen by both, each in its way. */
static void both_kinds_in_a_space(void **state)
{
	struct device d = soft_open(state, OFF), coherent = d;
	uint8_t *memory = pages_new(2, 0);
	struct dma_iova_state iova, other;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &coherent.dev), 0);
	assert_int_equal(dma_set_mask_and_coherent(coherent.dev, DMA_BIT_MASK(64)), 0);
	coherent.port = dma_dev_port(coherent.dev);
	memset(memory, 0x11, 2 * PAGE);
	iova = reserve(&d, 0, PAGE);
	other = reserve(&coherent, 0, PAGE);
	link_at(&d, &iova, 0, memory, PAGE);
	link_at(&coherent, &other, 0, memory, PAGE);
	memset(memory, 0x22, 2 * PAGE);
	for (unsigned int i = 0; i < 2; i++) {
		dma_addr_t addr = i ? other.addr : iova.addr;

		assert_device_sees(&d, addr, PAGE, 0x11);
		assert_device_sees(&coherent, addr, PAGE, 0x22);
	}
	/* The coherent one's end copies nothing. */
	device_fills(&d, other.addr, PAGE, 0x33);
	destroy(&coherent, &other, PAGE);
	assert_holds(memory, 2 * PAGE, 0x22);
	assert_device_sees(&d, iova.addr, PAGE, 0x33);
	destroy(&d, &iova, PAGE);
	assert_holds(memory, PAGE, 0x33);
	assert_holds(memory + PAGE, PAGE, 0x22);
	dma_dev_close(coherent.dev);
	device_close(&d, 0);
	free(memory);
}

/* Whichever allocation fails, nothing is linked or lent, and the next try works. */
static void no_memory(void **state)
{
	uint8_t *memory = pages_new(32, 0);
	struct phys_vec vec[16];
	const size_t size = 15 * PAGE + 77;

	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory + 2 * i * PAGE), PAGE};
	vec[15].len = 77;
	for (unsigned int once = 0; once < 2; once++) {
		uint64_t used = bounce_used(), failed = 0;
		bool all = false;
		int err;

		for (uint64_t nth = 1; !all; nth++) {
			struct device d = soft_open(state, OFF);
			struct dma_iova_state iova = reserve(&d, 0, size);
			struct snapshot before = snapshot_take(&d, iova.addr, 16);

			memset(memory, 0x11, 32 * PAGE);
			dma_clear_error();
			base_alloc_fail(nth);
			err = once ? link_it(&d, &iova, 0, memory, size, DMA_BIDIRECTIONAL, 0)
				   : dma_iova_link_vec(d.dev, &iova, vec, COUNT(vec), 0,
						       DMA_BIDIRECTIONAL, 0);
			all = base_alloc_fail(0) < nth && !err;
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_string_not_equal(dma_last_error(), "");
				assert_int_equal(bounce_used(), used);
				assert_unchanged_but_tables(&d, &before);
				link_at(&d, &iova, 0, memory, size);
				failed++;
			}
			assert_device_sees(&d, iova.addr, size, 0x11);
			device_fills(&d, iova.addr, size, 0x22);
			destroy(&d, &iova, size);
			assert_holds(memory, PAGE, 0x22);
			assert_int_equal(bounce_used(), used);
			device_close(&d, 0);
		}
		assert_true(failed >= 3);
	}
	free(memory);
}

static void absent_entries(void **state)
{
	struct device d = soft_open(state, OFF ",absent=cache");
	uint8_t *memory = pages_new(2, 0);
	struct dma_iova_state iova = reserve(&d, 0, PAGE + 100);

	for (unsigned int i = 0; i < 3; i++) {
		memset(memory, (int)i, 2 * PAGE);
		assert_refused_pages(&d, iova.addr, 2);
		link_at(&d, &iova, 0, memory, PAGE + 100);
		assert_refused_pages(&d, iova.addr, 2);
		assert_int_equal(dma_iova_sync(d.dev, &iova, 0, PAGE + 100), 0);
		assert_device_sees(&d, iova.addr, PAGE + 100, i);
		device_fills(&d, iova.addr, PAGE + 100, 0x80 + i);
		unlink_at(&d, &iova, 0, PAGE + 100);
		assert_holds(memory, PAGE + 100, 0x80 + i);
		assert_holds(memory + PAGE + 100, PAGE - 100, i);
	}
	dma_iova_free(d.dev, &iova);
	device_close(&d, 0);
	free(memory);
}

/* Ranges that a gather of another device of the space has left behind are linked again. */
static void behind_a_gather(void **state)
{
	struct device d = soft_open(state, OFF), coherent = d;
	uint8_t *memory = pages_new(2, 0);
	struct dma_iova_state iova;
	struct dma_gather gather;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &coherent.dev), 0);
	coherent.port = dma_dev_port(coherent.dev);
	memset(memory, 0x11, 2 * PAGE);
	iova = reserve(&coherent, 0, 2 * PAGE);
	link_at(&coherent, &iova, 0, memory, 2 * PAGE);
	assert_device_sees(&coherent, iova.addr, 2 * PAGE, 0x11);
	dma_gather_begin(coherent.dev, &gather);
	dma_iova_unlink_gather(coherent.dev, &iova, 0, 2 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	assert_int_equal(link_it(&d, &iova, 0, memory, PAGE, DMA_BIDIRECTIONAL, 0), 0);
	assert_device_sees(&d, iova.addr, PAGE, 0x11);
	assert_refused(&coherent, iova.addr + PAGE);
	device_fills(&d, iova.addr, PAGE, 0x22);
	dma_sync_single_for_cpu(d.dev, iova.addr, PAGE, DMA_BIDIRECTIONAL);
	assert_holds(memory, PAGE, 0x22);
	dma_gather_end(&gather);
	assert_device_sees(&d, iova.addr, PAGE, 0x22);
	destroy(&coherent, &iova, PAGE);
	dma_dev_close(coherent.dev);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(fresh_and_stale),
		EACH_FORMAT(ends),
		EACH_FORMAT(many_scattered_pages),
		EACH_FORMAT(large_entries),
		EACH_FORMAT(whole_units),
		EACH_FORMAT(heads_and_tails),
		EACH_FORMAT(vectors),
		EACH_FORMAT(one_of_several),
		EACH_FORMAT(holes),
		EACH_FORMAT(freed_with_links),
		EACH_FORMAT(cut_buffers),
		EACH_FORMAT(neighbours),
		EACH_FORMAT(skipping_the_first_sync),
		EACH_FORMAT(as_registers),
		EACH_FORMAT(refused),
		EACH_FORMAT(no_cpu_mapping),
		EACH_FORMAT(both_kinds_in_a_space),
		EACH_FORMAT(no_memory),
		EACH_FORMAT(absent_entries),
		EACH_FORMAT(behind_a_gather),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
