/* SPDX-License-Identifier: MIT */
/* Devices without an IOMMU that do not reach the memory. */
#include "bounce.h"

static const unsigned int masks[] = {0, 0xff, 0x7ff, 0xfff};

/* Memory high up, and devices that reach 24 to 40 bits: addresses lie below. */
static void without_an_iommu(void **state)
{
	static const unsigned int bits[] = {24, 30, 31, 32, 36, 40};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(bits) * COUNT(masks); i++) {
		unsigned int wide = bits[i / 2 % COUNT(bits)], mask = masks[i / 2 / COUNT(bits)];
		struct buffer b = buffer_new(0x123, 0x2345);
		struct device d;
		char uri[64];
		dma_addr_t addr;

		assert_true(virt_to_phys(b.at) > DMA_BIT_MASK(40));
		/* The bus is narrow, or the device is. */
		if (!(i % 2) && wide < 32)
			wide = 32;
		snprintf(uri, sizeof(uri), "direct:,mask=%u", i % 2 ? wide : 64);
		d = device_open(uri);
		if (!(i % 2))
			assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(wide)), 0);
		assert_int_equal(dma_set_min_align_mask(d.dev, mask), 0);
		assert_true(dma_addressing_limited(d.dev));
		assert_int_equal(dma_need_unmap(d.dev), dma_debug_enabled(d.space));
		addr = map_buffer(&d, &b, DMA_BIDIRECTIONAL);
		assert_true(addr + b.size - 1 <= DMA_BIT_MASK(wide));
		assert_int_equal(addr & mask, virt_to_phys(b.at) & mask);
		assert_true(dma_need_unmap(d.dev));
		assert_true(dma_need_sync(d.dev, addr));
		assert_reads(&d, addr, b.was[0]);
		assert_reads(&d, addr + b.size - 1, b.was[b.size - 1]);
		write_byte(&d, addr, 0x21);
		assert_as_before(&b);
		dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
		assert_int_equal(b.at[0], 0x21);
		assert_memory_equal(b.at + 1, b.was + 1, b.size - 1);
		assert_neighbours(&b);
		assert_int_equal(lent(NULL), 0);
		buffer_free(&b);
		device_close(&d, 0);
	}
}

/* What is low enough is mapped as it is, to its last byte. */
static void without_an_iommu_and_without_need(void **state)
{
	struct device d = device_open("direct:,mask=32"),
		      force = device_open("direct:bounce=force");
	uint8_t *low = mmap((void *)0x10000000, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	uint64_t maps = lent_ever(NULL);
	dma_addr_t addr;

	(void)state;
	assert_ptr_not_equal(low, MAP_FAILED);
	memset(low, 7, PAGE);
	addr = dma_map_single(d.dev, low + 3, PAGE - 3, DMA_BIDIRECTIONAL);
	assert_int_equal(addr, virt_to_phys(low + 3));
	assert_false(dma_need_sync(d.dev, addr));
	dma_unmap_single(d.dev, addr, PAGE - 3, DMA_BIDIRECTIONAL);
	addr = dma_map_single_attrs(d.dev, low, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT);
	assert_int_equal(addr, virt_to_phys(low));
	dma_unmap_single_attrs(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT);
	assert_int_equal(lent_ever(NULL), maps);
	/* Unless it is told to. */
	addr = dma_map_single(force.dev, low, PAGE, DMA_BIDIRECTIONAL);
	assert_int_not_equal(addr, virt_to_phys(low));
	assert_reads(&force, addr, 7);
	dma_unmap_single(force.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	assert_int_equal(dma_map_single_attrs(force.dev, low, PAGE, DMA_BIDIRECTIONAL,
					      DMA_ATTR_REQUIRE_COHERENT),
			 DMA_MAPPING_ERROR);
	assert_int_equal(dma_map_resource(force.dev, virt_to_phys(low), PAGE, DMA_BIDIRECTIONAL, 0),
			 DMA_MAPPING_ERROR);
	assert_int_equal(lent(NULL), 0);
	munmap(low, PAGE);
	device_close(&d, 0);
	device_close(&force, 0);
}

/* Without a direction nothing comes back, and the slots are free all the same. */
static void unmapping_without_a_direction(void **state)
{
	static const char *const uris[] = {"direct:,mask=32", "soft:untrusted"};

	(void)state;
	for (size_t u = 0; u < COUNT(uris); u++) {
		struct device d = device_open(uris[u]);
		struct buffer b = buffer_new(0x10, 0x100);
		dma_addr_t addr = map_buffer(&d, &b, DMA_BIDIRECTIONAL);

		write_byte(&d, addr, 0x23);
		dma_unmap_single(d.dev, addr, b.size, DMA_NONE);
		assert_as_before(&b);
		assert_int_equal(lent(NULL), 0);
		buffer_free(&b);
		device_close(&d, 0);
	}
}

/* A mask that is set later does not let go of what was bounced before. */
static void a_mask_that_is_set_later(void **state)
{
	struct device d = device_open("direct:");
	struct buffer b = buffer_new(0x10, 0x100);
	dma_addr_t addr;

	(void)state;
	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(32)), 0);
	addr = map_buffer(&d, &b, DMA_FROM_DEVICE);
	write_byte(&d, addr, 0x23);
	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(64)), 0);
	dma_unmap_single(d.dev, addr, b.size, DMA_FROM_DEVICE);
	assert_int_equal(b.at[0], 0x23);
	assert_int_equal(lent(NULL), 0);
	buffer_free(&b);
	device_close(&d, 0);
}

/* The boundary that a segment must not cross holds for buffers, too. */
static void segment_boundaries(void **state)
{
	struct device direct = device_open("direct:,mask=32");
	struct buffer b = buffer_new(0x80, 40 * KIB);
	dma_addr_t addr;

	(void)state;
	assert_int_equal(dma_set_seg_boundary(direct.dev, 64 * KIB - 1), 0);
	for (unsigned int i = 0; i < 20; i++) {
		addr = map_buffer(&direct, &b, DMA_TO_DEVICE);
		assert_int_equal(addr / (64 * KIB), (addr + b.size - 1) / (64 * KIB));
		dma_unmap_single(direct.dev, addr, b.size, DMA_TO_DEVICE);
	}
	assert_int_equal(dma_set_seg_boundary(direct.dev, 32 * KIB - 1), 0);
	dma_clear_error();
	assert_int_equal(dma_map_single(direct.dev, b.at, b.size, DMA_TO_DEVICE),
			 DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(lent(NULL), 0);
	buffer_free(&b);
	device_close(&direct, 0);
}

/* Without an IOMMU nothing tells a second unmap from a first, but it does no harm. */
static void unmapping_twice_without_an_iommu(void **state)
{
	struct device d = device_open("direct:,mask=32");
	struct buffer b = buffer_new(0x80, 0x100);
	dma_addr_t addr = map_buffer(&d, &b, DMA_BIDIRECTIONAL);

	(void)state;
	write_byte(&d, addr, 0x3a);
	dma_unmap_single(d.dev, addr, b.size + PAGE, DMA_BIDIRECTIONAL);
	assert_int_equal(b.at[0], 0x3a);
	assert_int_equal(lent(NULL), 0);
	b.at[0] = 0x3b;
	dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
	dma_unmap_single(d.dev, virt_to_phys(b.at), b.size, DMA_BIDIRECTIONAL);
	dma_unmap_single(d.dev, DMA_MAPPING_ERROR, b.size, DMA_BIDIRECTIONAL);
	assert_int_equal(b.at[0], 0x3b);
	buffer_free(&b);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_an_iommu),
		cmocka_unit_test(without_an_iommu_and_without_need),
		cmocka_unit_test(unmapping_without_a_direction),
		cmocka_unit_test(a_mask_that_is_set_later),
		cmocka_unit_test(segment_boundaries),
		cmocka_unit_test(unmapping_twice_without_an_iommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
