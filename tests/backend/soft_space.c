/* SPDX-License-Identifier: MIT */
/* What the space says of itself, and what becomes of its tables. */
#include "soft_fixture.h"

#define IOVA 0x10000000ULL

static void describes_its_format(void **state)
{
	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		struct dma_pgtable_info info;
		struct fixture fx;

		fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 16, 4,
				2 * MIB);
		assert_int_equal(fx.be->ops->pgtable_info(fx.be, &info), 0);
		assert_string_equal(info.format, pgt_format_name(pgt_formats[f]));
		assert_int_equal(info.levels, pgt_format_levels(pgt_formats[f]));
		assert_int_not_equal(info.root, 0);
		assert_int_equal(info.root % PAGE, 0);
		assert_int_equal(fx.be->first, PAGE);
		assert_int_equal(fx.be->last, pgt_format_last(pgt_formats[f]));
		assert_int_equal(fx.be->phys_end, pgt_format_phys_end(pgt_formats[f]));
		assert_true(fx.be->translates);
		for (unsigned int dir = 0; dir < 4; dir++)
			assert_int_equal(fx.be->leaf_bits[dir],
					 dir == DMA_NONE ? 0
							 : pgt_format_leaf_bits(
								   pgt_formats[f],
								   (enum dma_data_direction)dir));
		fixture_close(&fx);
	}
}

static void finds_what_is_linked(void **state)
{
	phys_addr_t phys;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	assert_int_equal(fx.be->ops->linked(fx.be, NULL, IOVA, 16 * PAGE), 0);
	assert_false(fx.be->ops->lookup(fx.be, IOVA, &phys));
	link_memory(fx.be, IOVA + 3 * PAGE, fx.memory + PAGE, PAGE, DMA_TO_DEVICE);
	assert_int_equal(fx.be->ops->linked(fx.be, NULL, IOVA, 16 * PAGE), PGT_LINKED_LEAF);
	assert_true(fx.be->ops->lookup(fx.be, IOVA + 3 * PAGE + 9, &phys));
	assert_int_equal(phys, phys_of(fx.memory) + PAGE + 9);
	assert_true(fx.be->ops->maps_phys(fx.be, phys, phys));
	assert_false(fx.be->ops->maps_phys(fx.be, phys + PAGE, phys + PAGE));
	assert_true(fx.be->ops->table_writes(fx.be) > 0);
	assert_int_equal(
		try_link_phys(fx.be, IOVA + 2 * PAGE, phys_of(fx.memory), 2 * PAGE, DMA_TO_DEVICE),
		-EADDRINUSE);
	assert_refused(fx.port, IOVA + 2 * PAGE);
	fixture_close(&fx);
}

static void marks_stand_until_unmarked(void **state)
{
	struct pgt_removed removed = {.first = 1};
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA, 0);
	fx.be->ops->unlink(fx.be, NULL, IOVA, PAGE, true, &removed);
	assert_int_equal(fx.be->ops->linked(fx.be, NULL, IOVA, PAGE), PGT_LINKED_MARK);
	invalidate(fx.be, IOVA, PAGE);
	assert_refused(fx.port, IOVA);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys_of(fx.memory), PAGE, DMA_TO_DEVICE),
			 -ESTALE);
	fx.be->ops->unmark(fx.be, IOVA, PAGE, 0);
	assert_int_equal(fx.be->ops->linked(fx.be, NULL, IOVA, PAGE), 0);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA, 0);
	fixture_close(&fx);
}

/* Linked page by page, synced as one unit: one large entry, and the table is free again. */
static void whole_sync_merges(void **state)
{
	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		uint64_t bytes;
		struct fixture fx;

		fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 4, 1,
				2 * MIB);
		for (uint64_t i = 0; i < 512; i++) {
			fx.memory[i * PAGE] = (uint8_t)i;
			assert_int_equal(try_link_phys(fx.be, IOVA + i * PAGE,
						       phys_of(fx.memory) + i * PAGE, PAGE,
						       DMA_TO_DEVICE),
					 0);
		}
		bytes = fx.be->ops->metadata_bytes(fx.be);
		assert_int_equal(fx.be->ops->sync(fx.be, IOVA, 2 * MIB, true), 1);
		assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes - PAGE);
		/* Nothing is left to merge, so nothing is posted. */
		assert_int_equal(fx.be->ops->sync(fx.be, IOVA, 2 * MIB, true), 0);
		for (uint64_t i = 0; i < 512; i++)
			assert_reads(fx.port, IOVA + i * PAGE, (uint8_t)i);
		assert_int_equal(stats_of(fx.port).iotlb_misses, 1);
		unlink_strict(fx.be, IOVA, 2 * MIB);
		for (uint64_t i = 0; i < 512; i++)
			assert_refused(fx.port, IOVA + i * PAGE);
		fixture_close(&fx);
	}
}

struct owner {
	bool refuse;
	uint64_t taken, given;
};

static bool take(void *arg, dma_addr_t first, uint64_t size)
{
	struct owner *owner = arg;

	if (owner->refuse)
		return false;
	assert_int_equal(first, IOVA);
	assert_int_equal(size, PGT_TABLE_SPAN);
	owner->taken++;
	return true;
}

static void give(void *arg, dma_addr_t first, uint64_t size)
{
	struct owner *owner = arg;

	assert_int_equal(first, IOVA);
	assert_int_equal(size, PGT_TABLE_SPAN);
	owner->given++;
}

static void empty_tables_can_be_reclaimed(void **state)
{
	struct owner owner = {.refuse = true};
	uint64_t bytes;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	assert_int_equal(fx.be->ops->reclaim(fx.be, take, give, &owner), 0);
	assert_reads(fx.port, IOVA, 0);
	unlink_strict(fx.be, IOVA, PAGE);
	bytes = fx.be->ops->metadata_bytes(fx.be);
	assert_int_equal(fx.be->ops->reclaim(fx.be, take, give, &owner), 0);
	assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes);
	owner.refuse = false;
	assert_int_equal(fx.be->ops->reclaim(fx.be, take, give, &owner), 1);
	assert_int_equal(owner.taken, 1);
	assert_int_equal(owner.given, 1);
	assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes - PAGE);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA, 0);
	assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes);
	fixture_close(&fx);
}

static void price_changes_nothing_but_time(void **state)
{
	struct fixture fx;

	(void)state;
	assert_true(soft_nr_inval_presets >= 3);
	for (size_t i = 0; i < soft_nr_inval_presets; i++) {
		const struct soft_inval_preset *preset = &soft_inval_presets[i];

		assert_true(preset->ns > 0 && preset->ns < 100000);
		assert_true(strlen(preset->source) > 20);
		fixture_open_as(&fx, (struct soft_options){.inval_ns = preset->ns}, 16, 4, 2 * MIB);
		link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
		assert_reads(fx.port, IOVA, 0);
		unlink_strict(fx.be, IOVA, PAGE);
		assert_refused(fx.port, IOVA);
		fixture_close(&fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(describes_its_format),
		cmocka_unit_test(finds_what_is_linked),
		cmocka_unit_test(marks_stand_until_unmarked),
		cmocka_unit_test(whole_sync_merges),
		cmocka_unit_test(empty_tables_can_be_reclaimed),
		cmocka_unit_test(price_changes_nothing_but_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
