/* SPDX-License-Identifier: MIT */
/* Streaming mappings that cannot or must not be bounced, or are ended wrongly. */
#include "bounce.h"

/* All of it goes, and is copied back once. */
static void unmapping_with_another_size(void **state)
{
	static const size_t sizes[] = {1, PAGE, 3 * PAGE, 4 * PAGE, 64 * PAGE, 0, SIZE_MAX};
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 2 * PAGE + 5);
	struct dma_gather gather;

	assert_int_equal(dma_set_min_align_mask(d.dev, 0xfff), 0);
	for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
		dma_addr_t addr = map_buffer(&d, &b, DMA_BIDIRECTIONAL);
		struct misuse misuse = misuse_expect(&d);

		write_granules(&d, addr, b.size, 0x3a);
		if (i % 2) {
			dma_gather_begin(d.dev, &gather);
			dma_unmap_phys_gather(d.dev, addr, sizes[i / 2], DMA_BIDIRECTIONAL, 0,
					      &gather);
			dma_gather_end(&gather);
		} else {
			dma_unmap_single(d.dev, addr, sizes[i / 2], DMA_BIDIRECTIONAL);
		}
		misuse_check(&d, misuse, 1);
		assert_refused_pages(&d, addr & ~(PAGE - 1), 3);
		assert_all(b.at, b.size, 0x3a);
		assert_neighbours(&b);
		assert_int_equal(lent(NULL), 0);
		buffer_reset(&b);
		/* Again: nothing is there, and nothing comes back. */
		dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
		misuse_check(&d, misuse, 2);
		assert_as_before(&b);
	}
	buffer_free(&b);
	device_close(&d, 4 * COUNT(sizes));
}

static void what_must_not_be_bounced(void **state)
{
	char uri[2][64];
	struct buffer b = buffer_new(0x80, 0x100);
	phys_addr_t phys = virt_to_phys(b.at), no_cpu = register_without_cpu(2 * PAGE);
	const struct {
		phys_addr_t phys;
		size_t size;
		unsigned long attrs;
	} cases[] = {
		{phys, b.size, DMA_ATTR_REQUIRE_COHERENT},
		{phys, b.size, DMA_ATTR_REQUIRE_COHERENT | DMA_ATTR_NO_WARN},
		{no_cpu + 1, 5, 0},
		{no_cpu, PAGE - 1, 0},
		{phys, b.size, DMA_ATTR_MMIO}, /* the last two only where everything is bounced */
		{no_cpu, PAGE, 0},
	};

	snprintf(uri[0], sizeof(uri[0]), "soft:pgtable=%s,untrusted", (char *)*state);
	snprintf(uri[1], sizeof(uri[1]), "soft:pgtable=%s,bounce=force", (char *)*state);
	for (size_t u = 0; u < 2; u++) {
		struct device d = device_open(uri[u]);

		for (size_t i = 0; i < COUNT(cases) - (u ? 0 : 2); i++) {
			struct snapshot before = snapshot_take(&d, 0, 1);
			uint64_t maps = lent_ever(NULL);

			dma_clear_error();
			assert_int_equal(dma_map_phys(d.dev, cases[i].phys, cases[i].size,
						      DMA_BIDIRECTIONAL, cases[i].attrs),
					 DMA_MAPPING_ERROR);
			assert_string_not_equal(dma_last_error(), "");
			assert_unchanged(&d, &before);
			assert_int_equal(lent_ever(NULL), maps);
		}
		device_close(&d, 0);
	}
	assert_int_equal(dma_memory_unregister(no_cpu), 0);
	buffer_free(&b);
}

static void not_at_all(void **state)
{
	char uri[64];
	const char *uris[] = {"direct:,mask=32,bounce=off", uri};
	struct buffer b = buffer_new(0x80, 0x100);

	snprintf(uri, sizeof(uri), "soft:pgtable=%s,untrusted,bounce=off", (char *)*state);
	for (size_t u = 0; u < COUNT(uris); u++) {
		struct device d = device_open(uris[u]);
		uint64_t maps = lent_ever(NULL);

		dma_clear_error();
		assert_int_equal(dma_map_single(d.dev, b.at, b.size, DMA_BIDIRECTIONAL),
				 DMA_MAPPING_ERROR);
		assert_non_null(strstr(dma_last_error(), "bounce=off"));
		assert_int_equal(lent_ever(NULL), maps);
		assert_false(dma_need_sync(d.dev, virt_to_phys(b.at)));
		device_close(&d, 0);
	}
	buffer_free(&b);
}

/* Memory that a buffer stands for must stay until the buffer has gone. */
static void memory_must_stay(void **state)
{
	char uri[64];
	const char *uris[] = {"direct:,mask=32", uri};

	snprintf(uri, sizeof(uri), "soft:pgtable=%s", (char *)*state);
	for (size_t u = 0; u < COUNT(uris); u++) {
		struct device d = device_open(uris[u]);
		struct buffer b = buffer_new(0, 2 * PAGE);
		phys_addr_t base = register_no_pin(b.pages, 2 * PAGE);
		dma_addr_t addr = dma_map_phys(d.dev, base + PAGE, 10, DMA_BIDIRECTIONAL, 0);

		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		assert_reads(&d, addr, b.was[PAGE]);
		write_byte(&d, addr, 0x2a);
		dma_clear_error();
		assert_int_equal(dma_memory_unregister(base), -EBUSY);
		assert_string_not_equal(dma_last_error(), "");
		dma_unmap_phys(d.dev, addr, 10, DMA_BIDIRECTIONAL, 0);
		assert_int_equal(b.pages[PAGE], 0x2a);
		assert_int_equal(dma_memory_unregister(base), 0);
		/* Now it is ordinary memory. */
		addr = dma_map_single(d.dev, b.pages, PAGE, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_need_sync(d.dev, addr), u == 0);
		dma_unmap_single(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
		buffer_free(&b);
		device_close(&d, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(unmapping_with_another_size),
		EACH_FORMAT(what_must_not_be_bounced),
		EACH_FORMAT(not_at_all),
		EACH_FORMAT(memory_must_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
