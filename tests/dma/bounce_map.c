/* SPDX-License-Identifier: MIT */
/* Streaming mappings that are bounced as a whole: what the device sees, and what comes back. */
#include "bounce.h"

static const unsigned int masks[] = {0, 0xff, 0x7ff, 0xfff};
static const enum dma_data_direction dirs[] = {DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE};

static const struct {
	size_t start, size;
} places[] = {
	{0, 1},		 {0, 0x7ff},	     {0x123, 0x10},	{0x800, 0x800}, {0xfff, 1},
	{0xfff, 2},	 {1, PAGE - 1},	     {1, PAGE},		{0, PAGE + 1},	{0x7ff, 2 * PAGE},
	{0xabc, 0x3333}, {0, 100 * KIB + 3}, {0x801, 250 * KIB}};

static void any_place_and_size(void **state)
{
	static const char *const options[] = {",untrusted", ",bounce=force"};

	for (size_t o = 0; o < COUNT(options); o++) {
		struct device d = soft_open(state, options[o]);

		for (size_t i = 0; i < COUNT(places) * COUNT(masks); i++) {
			struct buffer b = buffer_new(places[i / COUNT(masks)].start,
						     places[i / COUNT(masks)].size);
			unsigned int mask = masks[i % COUNT(masks)];
			dma_addr_t addr;

			assert_int_equal(dma_set_min_align_mask(d.dev, mask), 0);
			addr = map_buffer(&d, &b, DMA_BIDIRECTIONAL);
			/* The low bits are kept, and other bits are not told. */
			assert_int_equal(addr % PAGE, b.start & mask);
			assert_sees(&d, addr, b.was, b.size);
			assert_refused(&d, (addr & ~(PAGE - 1)) - 1);
			assert_refused(&d, (addr + b.size + PAGE - 1) & ~(PAGE - 1));
			write_granules(&d, addr, b.size, 0x61);
			assert_as_before(&b);
			dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
			assert_refused(&d, addr);
			assert_all(b.at, b.size, 0x61);
			assert_neighbours(&b);
			assert_int_equal(lent(NULL), 0);
			buffer_free(&b);
		}
		device_close(&d, 0);
	}
}

static void directions_and_attributes(void **state)
{
	static const unsigned long attrs[] = {0, DMA_ATTR_SKIP_CPU_SYNC, DMA_ATTR_NO_WARN,
					      DMA_ATTR_WEAK_ORDERING};
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 0x1234);

	assert_int_equal(dma_set_min_align_mask(d.dev, 0xfff), 0);
	for (size_t i = 0; i < COUNT(dirs) * COUNT(attrs) * COUNT(attrs); i++) {
		enum dma_data_direction dir = dirs[i % COUNT(dirs)];
		unsigned long at_map = attrs[i / COUNT(dirs) % COUNT(attrs)];
		unsigned long at_unmap = attrs[i / COUNT(dirs) / COUNT(attrs)];
		bool back = dir != DMA_TO_DEVICE && at_unmap != DMA_ATTR_SKIP_CPU_SYNC;
		dma_addr_t addr;

		addr = dma_map_phys(d.dev, virt_to_phys(b.at), b.size, dir, at_map);
		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		/* It was copied in: what the device does not write is the same afterwards. */
		if (dir == DMA_TO_DEVICE) {
			assert_sees(&d, addr, b.was, b.size);
			assert_int_equal(dma_bus_write(d.port, addr, "x", 1), -EFAULT);
		} else {
			write_byte(&d, addr, 0x71);
			write_byte(&d, addr + b.size - 1, 0x72);
		}
		b.at[5] = 0xdd;
		dma_unmap_phys(d.dev, addr, b.size, dir, at_unmap);
		assert_int_equal(b.at[5], back ? b.was[5] : 0xdd);
		assert_int_equal(b.at[0], back ? 0x71 : b.was[0]);
		assert_int_equal(b.at[b.size - 1], back ? 0x72 : b.was[b.size - 1]);
		assert_memory_equal(b.at + 6, b.was + 6, b.size - 7);
		assert_neighbours(&b);
		assert_int_equal(lent(NULL), 0);
		buffer_reset(&b);
	}
	buffer_free(&b);
	device_close(&d, 0);
}

/* Exactly what dma_max_mapping_size() says, and not a byte more. */
static void the_longest_mapping(void **state)
{
	static const size_t longest[] = {256 * KIB, 254 * KIB, 254 * KIB, 252 * KIB};
	char direct_uri[] = "direct:,mask=32", force_uri[64], untrusted_uri[64];
	const char *uris[] = {direct_uri, force_uri, untrusted_uri};

	snprintf(force_uri, sizeof(force_uri), "soft:pgtable=%s,bounce=force", (char *)*state);
	snprintf(untrusted_uri, sizeof(untrusted_uri), "soft:pgtable=%s,untrusted", (char *)*state);
	for (size_t i = 0; i < COUNT(uris) * COUNT(masks); i++) {
		struct device d = device_open(uris[i / COUNT(masks)]);
		size_t max = longest[i % COUNT(masks)];
		struct buffer b = buffer_new(0xfff, max + 1);
		struct snapshot before;
		dma_addr_t addr;

		assert_int_equal(dma_set_min_align_mask(d.dev, masks[i % COUNT(masks)]), 0);
		assert_int_equal(dma_max_mapping_size(d.dev), max);
		assert_in_range(dma_opt_mapping_size(d.dev), 1, max);
		before = snapshot_take(&d, 0, 1);
		dma_clear_error();
		assert_int_equal(dma_map_single(d.dev, b.at, max + 1, DMA_BIDIRECTIONAL),
				 DMA_MAPPING_ERROR);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged(&d, &before);
		assert_int_equal(lent(NULL), 0);
		addr = dma_map_single(d.dev, b.at, max, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		assert_reads(&d, addr + max - 1, b.was[max - 1]);
		write_byte(&d, addr + max - 1, 0x11);
		dma_unmap_single(d.dev, addr, max, DMA_BIDIRECTIONAL);
		assert_int_equal(b.at[max - 1], 0x11);
		assert_int_equal(b.at[max], b.was[max]);
		assert_int_equal(lent(NULL), 0);
		buffer_free(&b);
		device_close(&d, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(any_place_and_size),
		EACH_FORMAT(directions_and_attributes),
		EACH_FORMAT(the_longest_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
