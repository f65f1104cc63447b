/* SPDX-License-Identifier: MIT */
/* Masks, segment limits and what a device can be asked about itself. */
#include "setup.h"

static void masks(void **state)
{
	struct dma_dev *dev;

	(void)state;
	assert_int_equal(dma_dev_open("soft:", &dev), 0);
	assert_int_equal(dma_get_mask(dev), DMA_BIT_MASK(32));
	assert_int_equal(dma_get_required_mask(dev), DMA_BIT_MASK(32));
	assert_false(dma_addressing_limited(dev));

	assert_int_equal(dma_set_mask(dev, DMA_BIT_MASK(31)), 0);
	assert_int_equal(dma_get_mask(dev), DMA_BIT_MASK(31));
	assert_true(dma_addressing_limited(dev));
	/* The coherent mask is another. */
	assert_int_equal(dma_set_coherent_mask(dev, DMA_BIT_MASK(40)), 0);
	assert_int_equal(dma_get_mask(dev), DMA_BIT_MASK(31));
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
	assert_int_equal(dma_get_mask(dev), DMA_BIT_MASK(64));
	assert_false(dma_addressing_limited(dev));

	/* Granule 1 is the first that can be handed out. */
	for (uint64_t mask = 0; mask < 0x1fff; mask = mask * 2 + 1) {
		dma_clear_error();
		assert_int_equal(dma_set_mask(dev, mask), -EIO);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(dma_set_coherent_mask(dev, mask), -EIO);
		assert_int_equal(dma_set_mask_and_coherent(dev, mask), -EIO);
		assert_int_equal(dma_get_mask(dev), DMA_BIT_MASK(64));
	}
	assert_int_equal(dma_set_mask(dev, 0x1ffe), -EIO);
	assert_int_equal(dma_set_mask(dev, 0x1fff), 0);
	dma_dev_close(dev);

	assert_int_equal(dma_dev_open("soft:,mask=30", &dev), 0);
	assert_int_equal(dma_set_mask(dev, DMA_BIT_MASK(64)), 0);
	assert_true(dma_addressing_limited(dev));
	dma_dev_close(dev);
}

static void masks_without_an_iommu(void **state)
{
	struct dma_dev *dev;
	uint64_t required;

	(void)state;
	assert_int_equal(dma_dev_open("direct:", &dev), 0);
	required = dma_get_required_mask(dev);
	assert_true((uintptr_t)&dev <= required);
	assert_int_equal(required & (required + 1), 0);
	assert_true(dma_addressing_limited(dev));
	assert_int_equal(dma_set_mask(dev, DMA_BIT_MASK(31)), -EIO);
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(16)), -EIO);
	assert_int_equal(dma_get_mask(dev), DMA_BIT_MASK(32));
	assert_int_equal(dma_set_mask_and_coherent(dev, required), 0);
	assert_false(dma_addressing_limited(dev));
	dma_dev_close(dev);
}

/* A wider mask is advised only to those whom it would help. */
static void advice_when_a_mask_is_too_narrow(void **state)
{
	static const struct {
		const char *uri;
		uint64_t mask;
		bool helps;
	} cases[] = {
		{"soft:", DMA_BIT_MASK(20), true},
		{"soft:,mask=20", DMA_BIT_MASK(64), false},
		{"soft:,mask=20", DMA_BIT_MASK(20), false},
		{"direct:", DMA_BIT_MASK(32), true},
		{"direct:,mask=32", DMA_BIT_MASK(64), false},
		{"direct:,mask=32", DMA_BIT_MASK(32), false},
	};
	struct expanse memory = expanse_new(2 * MIB, PAGE);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct device d = device_open(cases[i].uri);

		assert_int_equal(dma_set_mask(d.dev, cases[i].mask), 0);
		dma_clear_error();
		assert_true(dma_map_phys(d.dev, virt_to_phys(memory.at), 2 * MIB, DMA_TO_DEVICE,
					 0) == DMA_MAPPING_ERROR);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(strstr(dma_last_error(), "dma_set_mask_and_coherent()") != NULL,
				 cases[i].helps);
		device_close(&d, 0);
	}
	expanse_free(&memory);
}

static void segments(void **state)
{
	static const unsigned long boundaries[] = {0xfff, 0xffff, 0x7fffffff, ~0UL};
	static const unsigned long no_boundaries[] = {0, 1, 0x7ff, 0x1000, 0x1fffe, ~0UL - 1};
	struct device d = soft_open(state, "");

	assert_int_equal(dma_get_max_seg_size(d.dev), 65536);
	assert_int_equal(dma_set_max_seg_size(d.dev, 0), -EINVAL);
	assert_int_equal(dma_get_max_seg_size(d.dev), 65536);
	assert_int_equal(dma_set_max_seg_size(d.dev, 1), 0);
	assert_int_equal(dma_get_max_seg_size(d.dev), 1);
	assert_int_equal(dma_set_max_seg_size(d.dev, UINT32_MAX), 0);
	assert_int_equal(dma_get_max_seg_size(d.dev), UINT32_MAX);

	assert_int_equal(dma_get_seg_boundary(d.dev), 0xffffffff);
	for (size_t i = 0; i < COUNT(boundaries); i++) {
		assert_int_equal(dma_set_seg_boundary(d.dev, boundaries[i]), 0);
		assert_int_equal(dma_get_seg_boundary(d.dev), boundaries[i]);
	}
	for (size_t i = 0; i < COUNT(no_boundaries); i++) {
		dma_clear_error();
		assert_int_equal(dma_set_seg_boundary(d.dev, no_boundaries[i]), -EINVAL);
		assert_string_not_equal(dma_last_error(), "");
		assert_int_equal(dma_get_seg_boundary(d.dev), ~0UL);
	}

	assert_int_equal(dma_get_min_align_mask(d.dev), 0);
	assert_int_equal(dma_set_min_align_mask(d.dev, 4095), 0);
	assert_int_equal(dma_get_min_align_mask(d.dev), 4095);
	assert_int_equal(dma_set_min_align_mask(d.dev, 4096), -EINVAL);
	assert_int_equal(dma_set_min_align_mask(d.dev, 6), -EINVAL);
	assert_int_equal(dma_get_min_align_mask(d.dev), 4095);
	assert_int_equal(dma_set_min_align_mask(d.dev, 0), 0);
	assert_int_equal(dma_get_min_align_mask(d.dev), 0);
	device_close(&d, 0);
}

static void what_a_device_says_of_itself(void **state)
{
	struct device d = soft_open(state, ""), direct = device_open("direct:");
	struct dma_pgtable_info info;

	assert_int_equal(dma_get_merge_boundary(d.dev), PAGE - 1);
	assert_int_equal(dma_get_merge_boundary(direct.dev), 0);
	assert_true(dma_need_unmap(d.dev));
	/* Misuse checks need it. */
	assert_int_equal(dma_need_unmap(direct.dev), dma_debug_enabled(direct.space));
	assert_int_equal(dma_max_mapping_size(d.dev), SIZE_MAX);
	assert_int_equal(dma_max_mapping_size(direct.dev), SIZE_MAX);
	assert_true(dma_opt_mapping_size(d.dev) >= 128 * 1024);
	assert_int_equal(dma_opt_mapping_size(direct.dev), SIZE_MAX);

	assert_int_equal(dma_space_pgtable(d.space, &info), 0);
	assert_string_equal(info.format, *state);
	assert_int_equal(info.levels, 4);
	assert_int_not_equal(info.root, 0);
	assert_int_equal(info.root % PAGE, 0);
	dma_clear_error();
	assert_int_equal(dma_space_pgtable(direct.space, &info), -EOPNOTSUPP);
	assert_string_not_equal(dma_last_error(), "");
	assert_string_equal(info.format, "none");
	assert_string_equal(dma_dev_uri(direct.dev), "direct:");
	device_close(&d, 0);
	device_close(&direct, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks),
		cmocka_unit_test(masks_without_an_iommu),
		cmocka_unit_test(advice_when_a_mask_is_too_narrow),
		EACH_FORMAT(segments),
		EACH_FORMAT(what_a_device_says_of_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
