/* SPDX-License-Identifier: MIT */
/* Whichever allocation fails, a region is registered whole or not at all; ending one needs none. */
#include <twostep/premap.h>

#include "base/base.h"
#include "setup.h"

/* Regions of at most @most bytes: the shadow of a device that is not coherent is many pieces. */
static void registering(void **state, const char *options, const char *uri, uint64_t most)
{
	static const struct {
		uint64_t at, size;
	} regions[] = {{0, 1}, {PAGE, 4 * MIB}, {2 * MIB, 2 * MIB}, {2 * MIB - PAGE, 2 * PAGE}};
	struct expanse memory = expanse_new(8 * MIB, 2 * MIB);
	unsigned int failures = 0;

	memset(memory.at, 3, 8 * MIB);
	for (size_t i = 0; i < COUNT(regions); i++) {
		phys_addr_t phys = virt_to_phys(memory.at + regions[i].at);
		bool reached = regions[i].size <= most;

		for (uint64_t nth = 1; reached; nth++) {
			struct device d = uri ? device_open(uri) : soft_open(state, options);
			struct snapshot before = snapshot_take(&d, 0x1000, 1);
			dma_addr_t addr = 0;
			int err;

			dma_clear_error();
			base_alloc_fail_from(nth);
			err = dma_premap(d.dev, phys, regions[i].size, DMA_TO_DEVICE, 0, &addr);
			reached = base_alloc_fail(0) >= nth;
			if (err) {
				failures++;
				assert_true(reached);
				assert_int_equal(err, -ENOMEM);
				assert_string_not_equal(dma_last_error(), "");
				assert_unchanged_but_tables(&d, &before);
				assert_int_equal(dma_map_phys(d.dev, phys, 1, DMA_TO_DEVICE, 0),
						 DMA_MAPPING_ERROR);
				assert_int_equal(dma_premap(d.dev, phys, regions[i].size,
							    DMA_TO_DEVICE, 0, &addr),
						 0);
			}
			assert_reads(&d, addr + regions[i].size - 1, 3);
			base_alloc_fail_from(1);
			assert_int_equal(
				dma_map_phys(d.dev, phys, regions[i].size, DMA_TO_DEVICE, 0), addr);
			assert_int_equal(dma_unpremap(d.dev, phys, regions[i].size), 0);
			/* Misuse checks may have asked for more records, and do without. */
			assert_true(!base_alloc_fail(0) || dma_debug_enabled(d.space));
			device_close(&d, 0);
		}
	}
	assert_true(failures > 5);
	expanse_free(&memory);
}

static void on_soft(void **state)
{
	registering(state, ",map=ahead", NULL, 4 * MIB);
}

static void on_a_device_that_is_not_coherent(void **state)
{
	registering(state, ",map=ahead,coherent=off,absent=cache", NULL, 2 * PAGE);
}

static void without_an_iommu(void **state)
{
	registering(state, NULL, "direct:,map=ahead", 4 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(on_soft),
		EACH_FORMAT(on_a_device_that_is_not_coherent),
		cmocka_unit_test(without_an_iommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
