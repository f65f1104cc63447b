/* SPDX-License-Identifier: MIT */
/* Bounced memory that is handed over and back, and what a device says of it. */
#include "bounce.h"

/* Only what is asked for moves, and only in the direction that is asked for. */
static void partial_syncs(void **state)
{
	char uri[64];
	const char *uris[] = {"direct:,mask=32", uri};

	snprintf(uri, sizeof(uri), "soft:pgtable=%s,untrusted", (char *)*state);
	for (size_t u = 0; u < COUNT(uris); u++) {
		struct device d = device_open(uris[u]);
		struct buffer b = buffer_new(0x80, 0x2100);
		dma_addr_t addr = map_buffer(&d, &b, DMA_BIDIRECTIONAL);
		static const struct {
			size_t offset, size;
		} parts[] = {{0, 1},	  {1, 7},	   {0x7ff, 2}, {0xf00, 0x300},
			     {0x20ff, 1}, {0x123, 0x1f00}, {0, 0x2100}};
		uint8_t *bytes = malloc(b.size);

		assert_non_null(bytes);
		for (size_t i = 0; i < COUNT(parts); i++) {
			size_t from = parts[i].offset, to = from + parts[i].size;

			/* To the CPU. */
			memset(bytes, 0x33, b.size);
			assert_int_equal(dma_bus_write(d.port, addr, bytes, b.size), 0);
			memset(b.at, 0x22, b.size);
			dma_sync_single_range_for_cpu(d.dev, addr, from, to - from,
						      DMA_FROM_DEVICE);
			assert_all(b.at, from, 0x22);
			assert_all(b.at + from, to - from, 0x33);
			assert_all(b.at + to, b.size - to, 0x22);
			assert_neighbours(&b);
			/* To the device. */
			memset(b.at, 0x44, b.size);
			dma_sync_single_range_for_device(d.dev, addr, from, to - from,
							 DMA_TO_DEVICE);
			assert_int_equal(dma_bus_read(d.port, addr, bytes, b.size), 0);
			assert_all(bytes, from, 0x33);
			assert_all(bytes + from, to - from, 0x44);
			assert_all(bytes + to, b.size - to, 0x33);
			/* The same with an address inside of the mapping. */
			memset(b.at, 0x55, b.size);
			dma_sync_single_for_device(d.dev, addr + from, to - from,
						   DMA_BIDIRECTIONAL);
			assert_reads(&d, addr + from, 0x55);
			write_byte(&d, addr + to - 1, 0x66);
			dma_sync_single_for_cpu(d.dev, addr + from, to - from, DMA_BIDIRECTIONAL);
			assert_int_equal(b.at[to - 1], 0x66);
			/* Against the direction nothing moves. */
			memset(b.at, 0x77, b.size);
			dma_sync_single_range_for_cpu(d.dev, addr, from, to - from, DMA_TO_DEVICE);
			assert_all(b.at, b.size, 0x77);
			dma_sync_single_range_for_device(d.dev, addr, from, to - from,
							 DMA_FROM_DEVICE);
			assert_reads(&d, addr + to - 1, 0x66);
		}
		/* What was synced already is not lost at the end. */
		memset(bytes, 0x12, b.size);
		assert_int_equal(dma_bus_write(d.port, addr, bytes, b.size), 0);
		dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
		assert_all(b.at, b.size, 0x12);
		assert_neighbours(&b);
		free(bytes);
		buffer_free(&b);
		device_close(&d, 0);
	}
}

/* Two-step mappings can be handed over and back as well. */
static void syncing_what_was_linked(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 2 * PAGE);
	struct dma_iova_state iova = reserve(&d, virt_to_phys(b.at), b.size);

	assert_int_equal(
		dma_iova_link(d.dev, &iova, virt_to_phys(b.at), 0, b.size, DMA_BIDIRECTIONAL, 0),
		0);
	write_granules(&d, iova.addr, b.size, 0x31);
	dma_sync_single_for_cpu(d.dev, iova.addr, b.size, DMA_BIDIRECTIONAL);
	assert_all(b.at, b.size, 0x31);
	assert_neighbours(&b);
	memset(b.at, 0x32, b.size);
	dma_sync_single_range_for_device(d.dev, iova.addr, 1, b.size - 2, DMA_BIDIRECTIONAL);
	assert_reads(&d, iova.addr, 0x31);
	assert_reads(&d, iova.addr + 1, 0x32);
	assert_reads(&d, iova.addr + b.size - 2, 0x32);
	assert_reads(&d, iova.addr + b.size - 1, 0x31);
	assert_int_equal(dma_need_sync(d.dev, iova.addr), true);
	assert_int_equal(dma_need_sync(d.dev, iova.addr + PAGE), false);
	destroy(&d, &iova, b.size);
	buffer_free(&b);
	device_close(&d, 0);
}

/* Holes in what is linked are passed over, and whoever names too much is done soon. */
static void holes_are_passed_over(void **state)
{
	static const size_t distance[] = {PAGE, 2 * PAGE, 2UL << 20, (1UL << 30) + PAGE, 5UL << 30};

	for (size_t i = 0; i < COUNT(distance); i++) {
		struct device d = soft_open(state, ",untrusted");
		struct buffer near = buffer_new(0, 0x100), far = buffer_new(0, 0x100);
		struct dma_iova_state iova = reserve(&d, 0, distance[i] + PAGE);

		assert_int_equal(dma_iova_link(d.dev, &iova, virt_to_phys(near.at), 0, near.size,
					       DMA_BIDIRECTIONAL, 0),
				 0);
		assert_int_equal(dma_iova_link(d.dev, &iova, virt_to_phys(far.at), distance[i],
					       far.size, DMA_BIDIRECTIONAL, 0),
				 0);
		write_byte(&d, iova.addr, 0x41);
		write_byte(&d, iova.addr + distance[i] + 0xff, 0x42);
		dma_sync_single_for_cpu(d.dev, iova.addr, distance[i] + 0x100, DMA_FROM_DEVICE);
		assert_int_equal(near.at[0], 0x41);
		assert_int_equal(far.at[0xff], 0x42);
		write_byte(&d, iova.addr + distance[i], 0x43);
		dma_sync_single_for_cpu(d.dev, iova.addr + 1, SIZE_MAX - iova.addr - 1,
					DMA_FROM_DEVICE);
		assert_int_equal(far.at[0], 0x43);
		dma_sync_single_for_device(d.dev, 1ULL << 60, 1ULL << 59, DMA_TO_DEVICE);
		dma_iova_unlink(d.dev, &iova, 0, 0x100, DMA_BIDIRECTIONAL, 0);
		dma_iova_unlink(d.dev, &iova, distance[i], 0x100, DMA_BIDIRECTIONAL, 0);
		dma_iova_free(d.dev, &iova);
		buffer_free(&near);
		buffer_free(&far);
		device_close(&d, 0);
	}
}

/* What a device can be asked, before something was bounced and after. */
static void what_a_device_says_of_itself(void **state)
{
	struct device d = soft_open(state, ",untrusted"),
		      off = soft_open(state, ",untrusted,bounce=off");
	struct device direct = device_open("direct:,mask=40"), wide = device_open("direct:");
	struct buffer b = buffer_new(0x80, 0x100);
	uint8_t *page = pages_new(1, 1);
	dma_addr_t whole = dma_map_single(d.dev, page, PAGE, DMA_BIDIRECTIONAL), addr;

	assert_true(dma_need_unmap(d.dev));
	assert_false(dma_need_sync(d.dev, whole));
	addr = map_buffer(&d, &b, DMA_BIDIRECTIONAL);
	assert_true(dma_need_sync(d.dev, addr));
	assert_false(dma_need_sync(d.dev, whole));
	dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
	dma_unmap_single(d.dev, whole, PAGE, DMA_BIDIRECTIONAL);
	assert_false(dma_need_sync(d.dev, addr));

	assert_int_equal(dma_max_mapping_size(off.dev), SIZE_MAX);
	assert_int_equal(dma_max_mapping_size(d.dev), 256 * KIB);
	assert_int_equal(dma_max_mapping_size(direct.dev), 256 * KIB);
	assert_int_equal(dma_opt_mapping_size(direct.dev), 256 * KIB);
	assert_int_equal(dma_max_mapping_size(wide.dev), SIZE_MAX);
	assert_int_equal(dma_set_mask(wide.dev, DMA_BIT_MASK(32)), 0);
	assert_int_equal(dma_max_mapping_size(wide.dev), 256 * KIB);
	assert_int_equal(dma_set_min_align_mask(wide.dev, DMA_BOUNCE_SEGMENT - 1), 0);
	assert_int_equal(dma_max_mapping_size(wide.dev), 0);
	assert_int_equal(dma_map_single(wide.dev, page, 1, DMA_TO_DEVICE), DMA_MAPPING_ERROR);

	assert_int_equal(dma_need_unmap(direct.dev), dma_debug_enabled(direct.space));
	addr = map_buffer(&direct, &b, DMA_BIDIRECTIONAL);
	assert_true(dma_need_unmap(direct.dev));
	assert_true(dma_need_sync(direct.dev, addr + 5));
	assert_false(dma_need_sync(direct.dev, virt_to_phys(page)));
	dma_unmap_single(direct.dev, addr, b.size, DMA_BIDIRECTIONAL);
	assert_true(dma_need_unmap(direct.dev));
	/* A wider mask does not end mappings that were made before. */
	assert_int_equal(dma_set_mask(direct.dev, DMA_BIT_MASK(64)), 0);
	assert_true(dma_need_unmap(direct.dev));
	free(page);
	buffer_free(&b);
	device_close(&d, 0);
	device_close(&off, 0);
	device_close(&direct, 0);
	device_close(&wide, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(partial_syncs),
		EACH_FORMAT(syncing_what_was_linked),
		EACH_FORMAT(holes_are_passed_over),
		EACH_FORMAT(what_a_device_says_of_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
