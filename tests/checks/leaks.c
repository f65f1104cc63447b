/* SPDX-License-Identifier: MIT */
/* What is left when a space closes, or when somebody asks: mappings, reservations, gathers. */
#include "calls.h"

#define SIZE (4 * PAGE)

/* For tests in which something is left: the space closes here. */
static void close_space(void)
{
	dma_dev_close(d.dev);
	d.dev = NULL;
}

static void at_the_end(void **state)
{
	dma_addr_t addr = mapped(phys_of(1) + 8, 100, DMA_FROM_DEVICE);
	uint64_t leaks = dma_leak_count(), all = dma_debug_count(DMA_DEBUG_LEAK);
	struct dma_iova_state s;
	const struct kept *k;

	(void)state;
	close_space();
	k = only_at(DMA_DEBUG_LEAK, first_map_phys, first_map_phys);
	concerns(k, addr, 100, phys_of(1) + 8);
	is_history(k, ACTIONS(DMA_DEBUG_MAPPED));
	assert_string_equal(k->device, device_uri);
	assert_int_equal(dma_debug_count(DMA_DEBUG_LEAK), all + 1);
	if (!translates())
		return;
	assert_int_equal(dma_leak_count(), leaks + 1);
	d = device_open(device_uri);
	s = reserved(SIZE);
	linked(&s, 1, 2, DMA_TO_DEVICE);
	close_space();
	k = only_at(DMA_DEBUG_LEAK, first_try_alloc, first_try_alloc);
	concerns(k, s.addr, SIZE, phys_of(1));
	assert_non_null(strstr(k->text, "with 8192 bytes linked"));
	is_history(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED));
}

/* Each is told, the device that has gone by its name. */
static void many(void **state)
{
	struct dma_dev *other;
	struct dma_iova_state s;

	(void)state;
	assert_int_equal(dma_dev_open_in("soft:iotlb=32", d.space, &other), 0);
	assert_int_equal(dma_set_mask_and_coherent(other, DMA_BIT_MASK(64)), 0);
	for (size_t i = 0; i < 20; i++)
		mapped(phys_of(i), PAGE, DMA_TO_DEVICE);
	assert_true(second_try_alloc(other, &s, 0, SIZE));
	dma_dev_close(other);
	silent();
	close_space();
	assert_int_equal(nr_kept, 21);
	for (size_t i = 0; i < nr_kept; i++) {
		assert_int_equal(kept[i].report.kind, DMA_DEBUG_LEAK);
		if (kept[i].report.addr != s.addr) {
			assert_at(kept[i].report.origin, PLACE(first_map_phys));
			continue;
		}
		assert_at(kept[i].report.origin, PLACE(second_try_alloc));
		assert_string_equal(kept[i].device, "soft:iotlb=32");
	}
	nr_kept = 0;
}

static void on_demand(void **state)
{
	dma_addr_t addr = mapped(phys_of(1), PAGE, DMA_TO_DEVICE);
	struct dma_iova_state s;
	struct dma_stats before = stats_of(&d), after;

	(void)state;
	assert_true(dma_debug_enabled(d.space));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dma_debug_check(d.space), 1);
		concerns(only_at(DMA_DEBUG_LEAK, first_map_phys, first_map_phys), addr, PAGE,
			 phys_of(1));
	}
	/* Asking changes nothing. */
	after = stats_of(&d);
	assert_memory_equal(&before, &after, sizeof(before));
	unmapped(addr, PAGE, DMA_TO_DEVICE);
	assert_int_equal(dma_debug_check(d.space), 0);
	if (!translates())
		return;
	s = reserved(SIZE);
	assert_int_equal(dma_debug_check(d.space), 1);
	concerns(only_at(DMA_DEBUG_LEAK, first_try_alloc, first_try_alloc), s.addr, SIZE, 0);
	third_free(d.dev, &s);
	assert_int_equal(dma_debug_check(d.space), 0);
}

static void gather_left_open(void **state)
{
	struct dma_gather gather;
	dma_addr_t addr;

	(void)state;
	first_gather_begin(d.dev, &gather);
	assert_int_equal(dma_debug_check(d.space), 1);
	only_at(DMA_DEBUG_GATHER_OPEN, first_gather_begin, first_gather_begin);
	addr = mapped(phys_of(1), PAGE, DMA_TO_DEVICE);
	third_unmap_phys_gather(d.dev, addr, PAGE, DMA_TO_DEVICE, 0, &gather);
	dma_gather_end(&gather);
	assert_int_equal(dma_debug_check(d.space), 0);
	silent();
	/* Begun twice; the second time counts. */
	first_gather_begin(d.dev, &gather);
	second_gather_begin(d.dev, &gather);
	only_at(DMA_DEBUG_GATHER_OPEN, second_gather_begin, first_gather_begin);
	assert_int_equal(dma_debug_check(d.space), 1);
	only_at(DMA_DEBUG_GATHER_OPEN, second_gather_begin, second_gather_begin);
	dma_gather_end(&gather);
	first_gather_begin(d.dev, &gather);
	dma_gather_end(&gather);
	silent();
	third_gather_begin(d.dev, &gather);
	close_space();
	only_at(DMA_DEBUG_GATHER_OPEN, third_gather_begin, third_gather_begin);
}

static void without_checks(void **state)
{
	struct dma_dev *dev;

	(void)state;
	assert_int_equal(dma_dev_open("soft:,debug=off", &dev), 0);
	assert_false(dma_debug_enabled(dma_dev_space(dev)));
	dma_clear_error();
	assert_int_equal(dma_debug_check(dma_dev_space(dev)), -EOPNOTSUPP);
	assert_string_not_equal(dma_last_error(), "");
	dma_dev_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_DEVICE(at_the_end),	 ON(many, "soft:pgtable=vtd-ss"),
		ON(many, "soft:pgtable=x86-64"), EACH_DEVICE(on_demand),
		EACH_SOFT(gather_left_open),	 ON(without_checks, "soft:pgtable=vtd-ss"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
