/* SPDX-License-Identifier: MIT */
/* Mistakes with streaming mappings, each by itself, on each kind of device. */
#include "calls.h"

/* An address at which nothing was ever mapped. */
static dma_addr_t unused(void)
{
	return translates() ? 0x7000 : phys_of(20);
}

static void unmap_of_what_was_never_mapped(void **state)
{
	const struct kept *k;

	(void)state;
	second_unmap_phys(d.dev, unused(), 100, DMA_TO_DEVICE, 0);
	k = only(DMA_DEBUG_UNMAP_UNKNOWN, PLACE(second_unmap_phys), NOWHERE);
	concerns(k, unused(), 100, 0);
	assert_string_equal(k->device, device_uri);
	assert_int_equal(k->report.nr_history, 0);
}

static void unmap_twice(void **state)
{
	dma_addr_t addr = mapped(phys_of(2) + 8, 100, DMA_TO_DEVICE);
	const struct kept *k;

	(void)state;
	second_unmap_single(d.dev, addr, 100, DMA_TO_DEVICE);
	silent();
	third_unmap_phys(d.dev, addr, 100, DMA_TO_DEVICE, 0);
	k = only_at(DMA_DEBUG_UNMAP_UNKNOWN, third_unmap_phys, second_unmap_single);
	concerns(k, addr, 100, phys_of(2) + 8);
	is_history(k, ACTIONS(DMA_DEBUG_MAPPED, DMA_DEBUG_UNMAPPED));
	assert_int_equal(k->history[0].addr, addr);
	assert_int_equal(k->history[0].size, 100);
	assert_int_equal(k->history[0].phys, phys_of(2) + 8);
	assert_at(k->history[0].caller, PLACE(first_map_phys));
	assert_at(k->history[1].caller, PLACE(second_unmap_single));
	assert_true(k->history[1].time_ns <= k->report.time_ns);
}

static void unmap_of_the_inside(void **state)
{
	dma_addr_t addr = mapped(phys_of(2), 3 * PAGE, DMA_BIDIRECTIONAL);

	(void)state;
	second_unmap_phys(d.dev, addr + PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	concerns(only_at(DMA_DEBUG_UNMAP_UNKNOWN, second_unmap_phys, first_map_phys), addr + PAGE,
		 PAGE, phys_of(2));
	unmapped(addr, 3 * PAGE, DMA_BIDIRECTIONAL);
}

/* The call ends what is there, so there is nothing left to unmap. */
static void unmap_in_the_same_granule(void **state)
{
	dma_addr_t addr = mapped(phys_of(2) + 64, 100, DMA_BIDIRECTIONAL);

	(void)state;
	second_unmap_phys(d.dev, addr + 64, 100, DMA_BIDIRECTIONAL, 0);
	only_at(DMA_DEBUG_UNMAP_UNKNOWN, second_unmap_phys, first_map_phys);
}

static void unmap_of_an_error(void **state)
{
	(void)state;
	second_unmap_phys(d.dev, DMA_MAPPING_ERROR, 100, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_UNMAP_ERROR, PLACE(second_unmap_phys), NOWHERE);
	second_unmap_single(d.dev, DMA_MAPPING_ERROR, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_UNMAP_ERROR, PLACE(second_unmap_single), NOWHERE);
}

static void unmap_with_another_size(void **state)
{
	static const struct {
		size_t is, said;
	} sizes[] = {{100, 101}, {PAGE, 1}, {PAGE, 2 * PAGE}, {3 * PAGE, PAGE}, {100, 0}};

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		dma_addr_t addr = mapped(phys_of(2), sizes[i].is, DMA_TO_DEVICE);

		second_unmap_phys(d.dev, addr, sizes[i].said, DMA_TO_DEVICE, 0);
		concerns(only_at(DMA_DEBUG_UNMAP_SIZE, second_unmap_phys, first_map_phys), addr,
			 sizes[i].said, phys_of(2));
		/* All of it went. */
		if (translates())
			assert_int_equal(stats_of(&d).iova_live, 0);
	}
}

static void unmap_of_a_reservation(void **state)
{
	struct dma_iova_state s = reserved(2 * PAGE);

	(void)state;
	second_unmap_phys(d.dev, s.addr, 2 * PAGE, DMA_TO_DEVICE, 0);
	concerns(only_at(DMA_DEBUG_UNMAP_FUNCTION, second_unmap_phys, first_try_alloc), s.addr,
		 2 * PAGE, 0);
	third_free(d.dev, &s);
}

static void destroy_of_a_mapping(void **state)
{
	dma_addr_t addr = mapped(phys_of(2), PAGE, DMA_TO_DEVICE);
	struct dma_iova_state s = {addr, PAGE};

	(void)state;
	second_destroy(d.dev, &s, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_STATE_UNKNOWN, second_destroy, first_map_phys);
	unmapped(addr, PAGE, DMA_TO_DEVICE);
}

static void another_direction(void **state)
{
	for (int was = DMA_BIDIRECTIONAL; was < DMA_NONE; was++) {
		for (int is = DMA_BIDIRECTIONAL; is <= DMA_NONE; is++) {
			dma_addr_t addr = mapped(phys_of(3), PAGE, (enum dma_data_direction)was);

			second_unmap_phys(d.dev, addr, PAGE, (enum dma_data_direction)is, 0);
			if (was != is)
				concerns(only_at(DMA_DEBUG_DIRECTION, second_unmap_phys,
						 first_map_phys),
					 addr, PAGE, phys_of(3));
		}
	}
	(void)state;
}

static void other_attributes(void **state)
{
	static const unsigned long attrs[] = {DMA_ATTR_NO_KERNEL_MAPPING, DMA_ATTR_FORCE_CONTIGUOUS,
					      DMA_ATTR_PRIVILEGED};
	dma_addr_t addr;

	(void)state;
	for (size_t i = 0; i < COUNT(attrs); i++) {
		addr = mapped(phys_of(3), PAGE, DMA_TO_DEVICE);
		second_unmap_single_attrs(d.dev, addr, PAGE, DMA_TO_DEVICE, attrs[i]);
		only_at(DMA_DEBUG_ATTRS, second_unmap_single_attrs, first_map_phys);
		addr = first_map_single_attrs(d.dev, memory + PAGE, PAGE, DMA_TO_DEVICE, attrs[i]);
		assert_int_equal(dma_mapping_error(d.dev, addr), 0);
		second_unmap_single(d.dev, addr, PAGE, DMA_TO_DEVICE);
		concerns(only_at(DMA_DEBUG_ATTRS, second_unmap_single, first_map_single_attrs),
			 addr, PAGE, phys_of(1));
	}
	addr = mapped(phys_of(3), PAGE, DMA_TO_DEVICE);
	second_unmap_resource(d.dev, addr, PAGE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_ATTRS, second_unmap_resource, first_map_phys);
	/* Those that say nothing of what the mapping is may come and go. */
	addr = first_map_phys(d.dev, phys_of(3), PAGE, DMA_TO_DEVICE, DMA_ATTR_WEAK_ORDERING);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	second_unmap_phys(d.dev, addr, PAGE, DMA_TO_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
}

static void error_not_checked(void **state)
{
	dma_addr_t addr = first_map_single(d.dev, memory, PAGE, DMA_FROM_DEVICE);
	const struct kept *k;

	(void)state;
	assert_int_not_equal(addr, DMA_MAPPING_ERROR);
	second_unmap_single(d.dev, addr, PAGE, DMA_FROM_DEVICE);
	k = only_at(DMA_DEBUG_UNCHECKED, second_unmap_single, first_map_single);
	concerns(k, addr, PAGE, phys_of(0));
	is_history(k, ACTIONS(DMA_DEBUG_MAPPED));
	/* Another mapping's answer is not this one's. */
	addr = first_map_single(d.dev, memory, PAGE, DMA_FROM_DEVICE);
	assert_int_equal(dma_mapping_error(d.dev, addr + PAGE), 0);
	second_unmap_single(d.dev, addr, PAGE, DMA_FROM_DEVICE);
	only_at(DMA_DEBUG_UNCHECKED, second_unmap_single, first_map_single);
}

static void sync_of_what_is_not_mapped(void **state)
{
	dma_addr_t addr;

	(void)state;
	second_for_cpu(d.dev, unused(), 100, DMA_FROM_DEVICE);
	concerns(only(DMA_DEBUG_SYNC_UNKNOWN, PLACE(second_for_cpu), NOWHERE), unused(), 100, 0);
	second_for_device(d.dev, unused(), 100, DMA_TO_DEVICE);
	only(DMA_DEBUG_SYNC_UNKNOWN, PLACE(second_for_device), NOWHERE);
	addr = mapped(phys_of(4), PAGE, DMA_FROM_DEVICE);
	third_unmap_phys(d.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	second_range_for_cpu(d.dev, addr, 64, 64, DMA_FROM_DEVICE);
	ends_with(only_at(DMA_DEBUG_SYNC_UNKNOWN, second_range_for_cpu, third_unmap_phys),
		  ACTIONS(DMA_DEBUG_MAPPED, DMA_DEBUG_UNMAPPED));
}

static void sync_of_a_reservation(void **state)
{
	struct dma_iova_state s = reserved(2 * PAGE);

	(void)state;
	linked(&s, 0, 1, DMA_FROM_DEVICE);
	second_for_cpu(d.dev, s.addr, PAGE, DMA_FROM_DEVICE);
	only_at(DMA_DEBUG_SYNC_UNKNOWN, second_for_cpu, first_try_alloc);
	destroyed(&s, 1, DMA_FROM_DEVICE);
}

static void sync_beyond_the_mapping(void **state)
{
	dma_addr_t addr = mapped(phys_of(4), 100, DMA_BIDIRECTIONAL);

	(void)state;
	second_for_cpu(d.dev, addr, 101, DMA_BIDIRECTIONAL);
	concerns(only_at(DMA_DEBUG_SYNC_RANGE, second_for_cpu, first_map_phys), addr, 101,
		 phys_of(4));
	second_for_device(d.dev, addr + 40, 61, DMA_BIDIRECTIONAL);
	concerns(only_at(DMA_DEBUG_SYNC_RANGE, second_for_device, first_map_phys), addr + 40, 61,
		 phys_of(4) + 40);
	second_range_for_device(d.dev, addr, 99, 2, DMA_BIDIRECTIONAL);
	concerns(only_at(DMA_DEBUG_SYNC_RANGE, second_range_for_device, first_map_phys), addr + 99,
		 2, phys_of(4) + 99);
	second_range_for_cpu(d.dev, addr, 100, 1, DMA_BIDIRECTIONAL);
	second_range_for_cpu(d.dev, addr, 99, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(nr_kept, 1);
	assert_int_equal(kept[0].report.kind, DMA_DEBUG_SYNC_UNKNOWN);
	nr_kept = 0;
	unmapped(addr, 100, DMA_BIDIRECTIONAL);
}

static void sync_with_another_direction(void **state)
{
	dma_addr_t addr = mapped(phys_of(4), PAGE, DMA_TO_DEVICE);

	(void)state;
	second_for_device(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	concerns(only_at(DMA_DEBUG_SYNC_DIRECTION, second_for_device, first_map_phys), addr, PAGE,
		 phys_of(4));
	unmapped(addr, PAGE, DMA_TO_DEVICE);
	addr = mapped(phys_of(4), PAGE, DMA_FROM_DEVICE);
	second_for_cpu(d.dev, addr, PAGE, DMA_TO_DEVICE);
	only_at(DMA_DEBUG_SYNC_DIRECTION, second_for_cpu, first_map_phys);
	unmapped(addr, PAGE, DMA_FROM_DEVICE);
}

/* As in the kernel, a direction of its own is wrong in two ways. */
static void sync_against_the_direction(void **state)
{
	dma_addr_t addr = mapped(phys_of(4), PAGE, DMA_TO_DEVICE);

	(void)state;
	second_for_cpu(d.dev, addr, PAGE, DMA_TO_DEVICE);
	silent();
	second_for_cpu(d.dev, addr, PAGE, DMA_FROM_DEVICE);
	assert_int_equal(nr_kept, 2);
	among(DMA_DEBUG_SYNC_DIRECTION, PLACE(second_for_cpu), PLACE(first_map_phys));
	concerns(among(DMA_DEBUG_SYNC_READ_ONLY, PLACE(second_for_cpu), PLACE(first_map_phys)),
		 addr, PAGE, phys_of(4));
	nr_kept = 0;
	unmapped(addr, PAGE, DMA_TO_DEVICE);

	addr = mapped(phys_of(4), PAGE, DMA_FROM_DEVICE);
	second_for_device(d.dev, addr, PAGE, DMA_FROM_DEVICE);
	silent();
	second_range_for_device(d.dev, addr, 64, 64, DMA_TO_DEVICE);
	assert_int_equal(nr_kept, 2);
	among(DMA_DEBUG_SYNC_DIRECTION, PLACE(second_range_for_device), PLACE(first_map_phys));
	concerns(among(DMA_DEBUG_SYNC_WRITE_ONLY, PLACE(second_range_for_device),
		       PLACE(first_map_phys)),
		 addr + 64, 64, phys_of(4) + 64);
	nr_kept = 0;
	unmapped(addr, PAGE, DMA_FROM_DEVICE);
}

static void history_of_a_mapping(void **state)
{
	dma_addr_t addr = mapped(phys_of(5), PAGE, DMA_BIDIRECTIONAL);
	const struct kept *k;

	(void)state;
	third_for_device(d.dev, addr, PAGE, DMA_BIDIRECTIONAL);
	third_range_for_cpu(d.dev, addr, 8, 8, DMA_BIDIRECTIONAL);
	second_unmap_phys(d.dev, addr, PAGE + 1, DMA_BIDIRECTIONAL, 0);
	k = only_at(DMA_DEBUG_UNMAP_SIZE, second_unmap_phys, first_map_phys);
	is_history(k, ACTIONS(DMA_DEBUG_MAPPED, DMA_DEBUG_SYNCED_FOR_DEVICE,
			      DMA_DEBUG_SYNCED_FOR_CPU));
	assert_at(k->history[1].caller, PLACE(third_for_device));
	assert_at(k->history[2].caller, PLACE(third_range_for_cpu));
	assert_int_equal(k->history[2].addr, addr + 8);
	assert_int_equal(k->history[2].size, 8);
	for (size_t i = 0; i < 3; i++) {
		assert_true(k->history[i].thread);
		assert_int_equal(k->history[i].thread, k->history[0].thread);
		assert_true(i == 0 || k->history[i - 1].time_ns <= k->history[i].time_ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_DEVICE(unmap_of_what_was_never_mapped),
		EACH_DEVICE(unmap_twice),
		EACH_DEVICE(unmap_of_the_inside),
		EACH_SOFT(unmap_in_the_same_granule),
		EACH_DEVICE(unmap_of_an_error),
		EACH_DEVICE(unmap_with_another_size),
		EACH_SOFT(unmap_of_a_reservation),
		EACH_SOFT(destroy_of_a_mapping),
		EACH_DEVICE(another_direction),
		EACH_DEVICE(other_attributes),
		EACH_DEVICE(error_not_checked),
		EACH_DEVICE(sync_of_what_is_not_mapped),
		EACH_SOFT(sync_of_a_reservation),
		EACH_DEVICE(sync_beyond_the_mapping),
		EACH_DEVICE(sync_with_another_direction),
		EACH_DEVICE(sync_against_the_direction),
		EACH_DEVICE(history_of_a_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
