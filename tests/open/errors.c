/* SPDX-License-Identifier: MIT */
/* What cannot be opened is told together with what can, however long the mistake is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/device.h>
#include <twostep/error.h>

#include "base/base.h"
#include "open/open.h"

/* @front, then as many letters as fit, then @back. */
static void refused(const char *front, const char *back, const char *exists)
{
	char uri[URI_MAX_LENGTH + 1];
	struct dma_dev *dev;
	size_t at = strlen(front), end = URI_MAX_LENGTH - strlen(back);

	memcpy(uri, front, at);
	memset(uri + at, 'x', end - at);
	memcpy(uri + end, back, strlen(back) + 1);
	assert_int_equal(dma_dev_open(uri, &dev), -EINVAL);
	assert_non_null(strstr(dma_last_error(), exists));
}

static void long_mistakes_leave_room(void **state)
{
	(void)state;
	refused("", ":", "there are: soft, direct");
	refused("soft:", "", "models: copy; options: pgtable, ");
	refused("soft:", "", ", reserved, pci, topology, debug, thread");
	refused("soft:,", "=1", ", reserved, pci, topology, debug, thread");
	refused("direct:copy,", "", "mask, pci, topology, debug, thread");
	refused("soft:,pgtable=", "", "vtd-ss, x86-64");
	refused("soft:copy,thread=", "", "on or off");
}

/* Whoever is denied a port of that size learns which option makes it smaller. */
static void no_memory_for_a_port(void **state)
{
	bool said = false, failed = true;

	(void)state;
	for (uint64_t nth = 1; failed; nth++) {
		struct dma_dev *dev;

		base_alloc_fail(nth);
		failed = dma_dev_open("soft:,iotlb=64K", &dev);
		base_alloc_fail(0);
		if (!failed)
			dma_dev_close(dev);
		else if (strstr(dma_last_error(), "(iotlb)"))
			said = true;
	}
	assert_true(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_mistakes_leave_room),
		cmocka_unit_test(no_memory_for_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
