/* SPDX-License-Identifier: MIT */
/*
 * Memory for the checks' own records runs out: it is told once, calls go on working, and
 * nothing is told that is not so. Whatever allocation fails, a call does with checks what it
 * does without.
 */
#include "base/base.h"
#include "calls.h"

#define SIZE (4 * PAGE)

/* Calls of every kind, and what the device sees of them. */
static void calls_work(void)
{
	struct dma_iova_state s;
	dma_addr_t addr;

	for (int i = 0; i < 3; i++) {
		addr = first_map_single(d.dev, memory + 64, 2 * PAGE, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		assert_reads(&d, addr, 0);
		third_for_cpu(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
		third_unmap_single(d.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL);
		if (!translates())
			continue;
		s = reserved(SIZE);
		linked(&s, 0, 2, DMA_BIDIRECTIONAL);
		synced(&s, 0, 2);
		assert_reads(&d, s.addr + PAGE, 1);
		third_unlink(d.dev, &s, PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
		destroyed(&s, 1, DMA_BIDIRECTIONAL);
	}
}

/* As many mappings as fit, at once, and all of them ended. */
static void map_a_lot(void)
{
	dma_addr_t addr[MEMORY_PAGES];

	for (size_t i = 0; i < COUNT(addr); i++)
		addr[i] = first_map_phys(d.dev, phys_of(i), 100, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	for (size_t i = 0; i < COUNT(addr); i++)
		if (!dma_mapping_error(d.dev, addr[i]))
			third_unmap_phys(d.dev, addr[i], 100, DMA_TO_DEVICE, 0);
}

/* From one allocation later each time on none works, until all is done before it. */
static void records_run_out(void **state)
{
	bool reached = true, told = false;

	(void)state;
	for (uint64_t nth = 1; reached; nth++) {
		dma_dev_close(d.dev);
		d = device_open(device_uri);
		base_alloc_fail_from(nth);
		map_a_lot();
		reached = base_alloc_fail(0) >= nth;
		if (nr_kept) {
			told = true;
			only(DMA_DEBUG_INCOMPLETE, PLACE(first_map_phys), NOWHERE);
		}
		assert_int_equal(stats_of(&d).iova_live, 0);
		calls_work();
		silent();
	}
	assert_true(told);
}

/* What is known stays known, and what follows from a lack is not told. */
static void what_is_told_then(void **state)
{
	struct dma_iova_state known = reserved(SIZE), far[40], unknown;
	dma_addr_t addr;
	size_t nr;

	(void)state;
	linked(&known, 0, 1, DMA_TO_DEVICE);
	/* Far from everything, so that a record is needed; the addresses need memory as well. */
	for (nr = 0; !nr_kept; nr++) {
		assert_true(nr < COUNT(far));
		base_alloc_fail(1 + nr % 5);
		second_try_alloc(d.dev, &far[nr], 0, 64 * MIB);
		base_alloc_fail(0);
	}
	unknown = far[--nr];
	only(DMA_DEBUG_INCOMPLETE, PLACE(second_try_alloc), NOWHERE);
	assert_true(dma_use_iova(&unknown));
	while (nr)
		if (dma_use_iova(&far[--nr]))
			third_free(d.dev, &far[nr]);
	silent();
	assert_int_equal(first_link(d.dev, &unknown, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(first_sync(d.dev, &unknown, 0, PAGE), 0);
	third_unlink(d.dev, &unknown, 0, PAGE, DMA_TO_DEVICE, 0);
	third_free(d.dev, &unknown);
	third_free(d.dev, &unknown);
	silent();
	second_unlink(d.dev, &known, 0, PAGE, DMA_FROM_DEVICE, 0);
	only_at(DMA_DEBUG_DIRECTION, second_unlink, first_link);
	third_free(d.dev, &known);
	addr = mapped(phys_of(0), PAGE, DMA_TO_DEVICE);
	second_unmap_phys(d.dev, addr, PAGE + 1, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_UNMAP_SIZE, second_unmap_phys, first_map_phys);
	silent();
}

/* Opening: refused as a whole, or without a name for the device. */
static void opening(void **state)
{
	struct dma_dev *dev;
	uint64_t nth = 1;
	int failures = 0, err;

	(void)state;
	for (bool reached = true; reached; nth++) {
		dma_clear_error();
		base_alloc_fail(nth);
		err = dma_dev_open(device_uri, &dev);
		reached = base_alloc_fail(0) >= nth;
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_string_not_equal(dma_last_error(), "");
			failures++;
			continue;
		}
		assert_true(dma_debug_enabled(dma_dev_space(dev)));
		dma_dev_close(dev);
		if (nr_kept)
			only(DMA_DEBUG_INCOMPLETE, NOWHERE, NOWHERE);
	}
	assert_true(failures > 2);
}

/*
 * A driver's calls, of which one allocation fails. Returns how many calls failed; the rest
 * has been done and undone.
 */
static unsigned int program(const char *uri, uint64_t nth, bool *reached)
{
	struct device own = device_open(uri);
	bool soft = !strncmp(uri, "soft:", 5);
	struct phys_vec vec[12];
	struct dma_iova_state s = {0};
	struct dma_gather gather;
	unsigned int failed = 0;
	dma_addr_t addr, longer;
	int err;

	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){phys_of(3 * i), PAGE};
	base_alloc_fail(nth);
	addr = dma_map_single(own.dev, memory + 8, 100, DMA_BIDIRECTIONAL);
	failed += dma_mapping_error(own.dev, addr) != 0;
	longer = dma_map_phys(own.dev, phys_of(1), 5 * PAGE, DMA_FROM_DEVICE, 0);
	failed += dma_mapping_error(own.dev, longer) != 0;
	dma_gather_begin(own.dev, &gather);
	if (addr != DMA_MAPPING_ERROR)
		dma_unmap_phys_gather(own.dev, addr, 100, DMA_BIDIRECTIONAL, 0, &gather);
	dma_gather_end(&gather);
	if (longer != DMA_MAPPING_ERROR)
		dma_unmap_phys(own.dev, longer, 5 * PAGE, DMA_FROM_DEVICE, 0);
	if (soft && dma_iova_try_alloc(own.dev, &s, 0, 16 * PAGE)) {
		err = dma_iova_link(own.dev, &s, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0);
		failed += err != 0;
		if (!err) {
			failed += dma_iova_sync(own.dev, &s, 0, PAGE) != 0;
			dma_iova_unlink(own.dev, &s, 0, PAGE, DMA_TO_DEVICE, 0);
		}
		err = dma_iova_link_vec(own.dev, &s, vec, COUNT(vec), 0, DMA_TO_DEVICE, 0);
		failed += err != 0;
		dma_iova_destroy(own.dev, &s, err ? 0 : COUNT(vec) * PAGE, DMA_TO_DEVICE, 0);
	} else {
		failed += soft;
	}
	*reached = base_alloc_fail(0) >= nth;
	device_close(&own, 0);
	return failed;
}

/* How many calls fail in all, if each allocation fails once. */
static unsigned int failures_of(const char *uri)
{
	unsigned int failures = 0;
	bool reached = true;

	for (uint64_t nth = 1; reached; nth++)
		failures += program(uri, nth, &reached);
	return failures;
}

static void as_without_checks(void **state)
{
	unsigned int with, without;
	bool reached;

	/* Pools of bounce buffers are the process's: they stay. */
	assert_int_equal(program(device_uri, UINT64_MAX, &reached), 0);
	silent();
	with = failures_of(device_uri);
	for (size_t i = 0; i < nr_kept && i < MAX_KEPT; i++)
		assert_int_equal(kept[i].report.kind, DMA_DEBUG_INCOMPLETE);
	nr_kept = 0;
	without = failures_of((const char *)*state);
	assert_int_equal(with, without);
	silent();
}

/* What the test is for, for as_without_checks(). */
static int open_with_uri(void **state)
{
	char *uri = *state;
	int err = open_checked(state);

	*state = uri;
	return err;
}

#define COMPARED(uri)                                                                      \
	{                                                                                  \
		"as_without_checks " uri, as_without_checks, open_with_uri, close_checked, \
			(void *)(uintptr_t)(uri)                                           \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_DEVICE(records_run_out),
		EACH_SOFT(what_is_told_then),
		EACH_DEVICE(opening),
		COMPARED("soft:pgtable=vtd-ss"),
		COMPARED("soft:pgtable=x86-64"),
		COMPARED("soft:untrusted"),
		COMPARED("soft:coherent=off"),
		COMPARED("soft:bounce=force"),
		COMPARED("soft:absent=cache"),
		COMPARED("direct:"),
		COMPARED("direct:bounce=force"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
