/* SPDX-License-Identifier: MIT */
/* coherent= belongs to one device behind a software IOMMU, whatever the others in its space are. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/bus.h>
#include <twostep/device.h>
#include <twostep/error.h>

#include "backend/soft/space.h"

static bool is_coherent(struct dma_dev *dev)
{
	return !((struct soft_port *)dma_dev_port(dev))->shadow;
}

static void asked_for_and_not(void **state)
{
	static const struct {
		const char *uri;
		bool coherent;
	} uris[] = {
		{"soft:", true},
		{"soft:coherent=on", true},
		{"soft:coherent=off", false},
		{"soft:,coherent=off,iotlb=1", false},
		{"soft:copy,coherent=off", false},
	};
	struct dma_dev *dev;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
		assert_int_equal(dma_dev_open(uris[i].uri, &dev), 0);
		assert_int_equal(is_coherent(dev), uris[i].coherent);
		dma_dev_close(dev);
	}
}

static void each_device_of_a_space(void **state)
{
	struct dma_dev *first, *second, *third;

	(void)state;
	assert_int_equal(dma_dev_open("soft:", &first), 0);
	assert_int_equal(dma_dev_open_in("soft:coherent=off", dma_dev_space(first), &second), 0);
	assert_int_equal(dma_dev_open_in("soft:coherent=on", dma_dev_space(first), &third), 0);
	assert_true(is_coherent(first));
	assert_false(is_coherent(second));
	assert_true(is_coherent(third));
	dma_dev_close(second);
	dma_dev_close(third);
	dma_dev_close(first);
}

static void refused(void **state)
{
	static const struct {
		const char *uri, *says;
	} uris[] = {
		{"soft:coherent", "cannot be \"\"; it takes on or off"},
		{"soft:,coherent=", "has no value"},
		{"soft:,coherent=Off", "cannot be \"Off\"; it takes on or off"},
		{"soft:,coherent=off,coherent=on", "was given at byte"},
		{"direct:,coherent=off", "has no option \"coherent\""},
	};
	struct dma_dev *dev;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
		assert_int_equal(dma_dev_open(uris[i].uri, &dev), -EINVAL);
		assert_non_null(strstr(dma_last_error(), uris[i].says));
	}
}

static void no_memory_for_a_shadow(void **state)
{
	bool said = false, failed = true;

	(void)state;
	for (uint64_t nth = 1; failed; nth++) {
		struct dma_dev *dev;

		base_alloc_fail(nth);
		failed = dma_dev_open("soft:coherent=off", &dev);
		base_alloc_fail(0);
		if (!failed)
			dma_dev_close(dev);
		else
			said |= strstr(dma_last_error(), "(coherent=on)") != NULL;
	}
	assert_true(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked_for_and_not),
		cmocka_unit_test(each_device_of_a_space),
		cmocka_unit_test(refused),
		cmocka_unit_test(no_memory_for_a_shadow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
