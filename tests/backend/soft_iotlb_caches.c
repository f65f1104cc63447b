/* SPDX-License-Identifier: MIT */
/* What the IOTLB holds stays usable until it is invalidated, and not a moment longer. */
#include "soft_fixture.h"

#define IOVA 0x40000000ULL

static void removed_entry_serves_until_invalidated(void **state)
{
	struct pgt_removed removed;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	fx.memory[0] = 7;
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA, 7);
	unlink_untold(fx.be, IOVA, PAGE, &removed);
	assert_reads(fx.port, IOVA, 7);
	invalidate(fx.be, IOVA, PAGE);
	assert_refused(fx.port, IOVA);
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, 1);
	assert_int_equal(stats_of(fx.port).faults, 1);
	fixture_close(&fx);
}

static void entry_never_used_is_gone_at_once(void **state)
{
	struct pgt_removed removed;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	unlink_untold(fx.be, IOVA, PAGE, &removed);
	assert_refused(fx.port, IOVA);
	fixture_close(&fx);
}

static void invalidation_spares_the_neighbours(void **state)
{
	struct pgt_removed removed;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, 16 * PAGE, DMA_TO_DEVICE);
	for (uint64_t i = 0; i < 16; i++)
		assert_reads(fx.port, IOVA + i * PAGE, 0);
	unlink_untold(fx.be, IOVA, 16 * PAGE, &removed);
	invalidate(fx.be, IOVA + 5 * PAGE, 3 * PAGE);
	for (uint64_t i = 0; i < 16; i++) {
		if (i >= 5 && i < 8)
			assert_refused(fx.port, IOVA + i * PAGE);
		else
			assert_reads(fx.port, IOVA + i * PAGE, 0);
	}
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, 3);
	invalidate(fx.be, IOVA, 16 * PAGE);
	for (uint64_t i = 0; i < 16; i++)
		assert_refused(fx.port, IOVA + i * PAGE);
	fixture_close(&fx);
}

/* A working set as large as the cache hits from the second round on; one way more misses. */
static void every_geometry_holds_what_it_should(void **state)
{
	static const struct {
		unsigned int entries, ways;
	} geometries[] = {{1, 1}, {2, 2}, {8, 1}, {8, 8}, {16, 16}, {64, 4}, {256, 2}, {512, 16}};

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(geometries); g++) {
		uint64_t entries = geometries[g].entries;
		struct fixture fx;

		fixture_open_as(&fx, (struct soft_options){0}, geometries[g].entries,
				geometries[g].ways, 4 * MIB);
		/* The first page of the IOVA has an odd index: page sets are not all aligned. */
		link_memory(fx.be, IOVA + PAGE, fx.memory, (entries + 1) * PAGE, DMA_TO_DEVICE);
		unlink_strict(fx.be, IOVA + PAGE, (entries + 1) * PAGE);
		for (uint64_t i = 0; i <= entries; i++)
			link_memory(fx.be, IOVA + (i + 1) * PAGE,
				    fx.memory + ((i * 7) % 600) * PAGE, PAGE, DMA_TO_DEVICE);
		for (unsigned int round = 0; round < 3; round++)
			for (uint64_t i = 0; i < entries; i++)
				assert_reads(fx.port, IOVA + (i + 1) * PAGE, 0);
		assert_int_equal(stats_of(fx.port).iotlb_misses, entries);
		assert_int_equal(stats_of(fx.port).iotlb_hits, 2 * entries);
		/* One more page takes somebody's place, and only then is that one walked again. */
		assert_reads(fx.port, IOVA + (entries + 1) * PAGE, 0);
		for (uint64_t i = 0; i < entries; i++)
			assert_reads(fx.port, IOVA + (i + 1) * PAGE, 0);
		assert_in_range(stats_of(fx.port).iotlb_misses, entries + 2,
				entries + 1 + geometries[g].ways);
		fixture_close(&fx);
	}
}

static void large_leaf_takes_one_entry(void **state)
{
	struct pgt_removed removed;
	struct fixture fx;

	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 4, 1,
				2 * MIB);
		link_memory(fx.be, IOVA, fx.memory, 2 * MIB, DMA_BIDIRECTIONAL);
		for (uint64_t i = 0; i < 512; i++) {
			fx.memory[i * PAGE + i] = (uint8_t)i;
			assert_reads(fx.port, IOVA + i * PAGE + i, (uint8_t)i);
		}
		assert_int_equal(stats_of(fx.port).iotlb_misses, 1);
		assert_int_equal(stats_of(fx.port).iotlb_hits, 511);
		unlink_untold(fx.be, IOVA, 2 * MIB, &removed);
		assert_reads(fx.port, IOVA + 3 * PAGE, 0);
		/* One page of it is enough: the entry goes as a whole. */
		invalidate(fx.be, IOVA + 100 * PAGE, PAGE);
		assert_refused(fx.port, IOVA + 3 * PAGE);
		assert_int_equal(stats_of(fx.port).iotlb_invalidated, 1);
		fixture_close(&fx);
	}
}

static void range_too_large_to_name_drops_everything(void **state)
{
	struct pgt_removed removed;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, 4 * PAGE, DMA_TO_DEVICE);
	for (uint64_t i = 0; i < 4; i++)
		assert_reads(fx.port, IOVA + i * PAGE, 0);
	unlink_untold(fx.be, IOVA, 4 * PAGE, &removed);
	/* 2^52 pages: all there is. */
	fx.be->ops->invalidate(fx.be, &(struct backend_range){0, UINT64_MAX}, 1);
	for (uint64_t i = 0; i < 4; i++)
		assert_refused(fx.port, IOVA + i * PAGE);
	assert_int_equal(stats_of(fx.port).iotlb_invalidated, 4);
	fixture_close(&fx);
}

static void longest_nameable_range_reaches_its_last_page(void **state)
{
	uint64_t span = ((1ULL << 19) - 2) * PAGE;
	struct pgt_removed removed;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA + span - PAGE, fx.memory, 2 * PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA + span - PAGE, 0);
	assert_reads(fx.port, IOVA + span, 0);
	unlink_untold(fx.be, IOVA + span - PAGE, 2 * PAGE, &removed);
	invalidate(fx.be, IOVA, span);
	assert_refused(fx.port, IOVA + span - PAGE);
	assert_reads(fx.port, IOVA + span, 0);
	fixture_close(&fx);
}

static void one_request_may_name_many_ranges(void **state)
{
	static struct backend_range ranges[1100];
	struct pgt_removed removed;
	struct fixture fx;

	(void)state;
	for (size_t nr = 2; nr <= ARRAY_SIZE(ranges); nr += 549) {
		fixture_open(&fx);
		link_memory(fx.be, IOVA, fx.memory, 2 * PAGE, DMA_TO_DEVICE);
		assert_reads(fx.port, IOVA, 0);
		assert_reads(fx.port, IOVA + PAGE, 0);
		unlink_untold(fx.be, IOVA, 2 * PAGE, &removed);
		for (size_t i = 0; i < nr; i++)
			ranges[i].first = IOVA + (i + 16) * PAGE;
		ranges[0].first = IOVA;
		ranges[nr - 1].first = IOVA + PAGE;
		for (size_t i = 0; i < nr; i++)
			ranges[i].last = ranges[i].first + PAGE - 1;
		fx.be->ops->invalidate(fx.be, ranges, nr);
		assert_refused(fx.port, IOVA);
		assert_refused(fx.port, IOVA + PAGE);
		fixture_close(&fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(removed_entry_serves_until_invalidated),
		cmocka_unit_test(entry_never_used_is_gone_at_once),
		cmocka_unit_test(invalidation_spares_the_neighbours),
		cmocka_unit_test(every_geometry_holds_what_it_should),
		cmocka_unit_test(large_leaf_takes_one_entry),
		cmocka_unit_test(range_too_large_to_name_drops_everything),
		cmocka_unit_test(longest_nameable_range_reaches_its_last_page),
		cmocka_unit_test(one_request_may_name_many_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
