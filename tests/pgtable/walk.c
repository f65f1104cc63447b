/* SPDX-License-Identifier: MIT */
/* The device side: corrupt tables are refused, accesses are recorded or tried again. */
#include <sys/mman.h>

#include "tables.h"

/* An entry that points out of the table memory, at every level, into nothing. */
static void table_outside_of_the_memory(void **state)
{
	uint64_t *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t outside[4];
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, HUGE_PAGE, PHYS, PAGE);
	outside[0] = (uintptr_t)nowhere;
	outside[1] = 0;
	outside[2] = t.pool.memory.base - PAGE;
	outside[3] = t.pool.memory.base + t.pool.memory.size;
	for (unsigned int level = 1; level < t.d->levels; level++) {
		uint64_t *entry = entry_at(&t, HUGE_PAGE, level), good = *entry;

		for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
			struct pgt_leaf leaf;

			entry_store(entry, outside[i] | t.d->table);
			assert_int_equal(pgt_walk(&t.pt, HUGE_PAGE, &leaf), PGT_WALK_TABLE);
			assert_false(pgt_lookup(&t.pt, HUGE_PAGE, &leaf));
		}
		entry_store(entry, good);
	}
	assert_leaf(&t, HUGE_PAGE, PHYS, 12);
	close_tables(&t);
	munmap(nowhere, PAGE);
}

/* A leaf where the format has none. */
static void leaf_too_high(void **state)
{
	struct pgt_leaf leaf;
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, HUGE_PAGE, PHYS, HUGE_PAGE);
	entry_store(entry_at(&t, HUGE_PAGE, 3),
		    PHYS | t.d->leaf_bits[DMA_BIDIRECTIONAL] | t.d->large);
	assert_int_equal(pgt_walk(&t.pt, HUGE_PAGE, &leaf), PGT_WALK_TABLE);
	entry_store(&t.pt.root[0], 0);
	assert_nothing(&t, HUGE_PAGE);
	t.pt.tables = t.pool.out;
	close_tables(&t);
}

static void accesses_are_recorded(void **state)
{
	static const uint64_t sizes[] = {PAGE, LARGE, HUGE_PAGE};
	struct pgt_leaf leaf, again;
	struct tables t;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t before;

		open_tables(&t, *state);
		link_at(&t, HUGE_PAGE, PHYS, sizes[i]);
		assert_true(pgt_lookup(&t.pt, HUGE_PAGE, &leaf));
		before = leaf.value;
		assert_false(leaf.dirty);
		assert_true(pgt_mark_access(&t.pt, &leaf, false));
		assert_int_equal(*leaf.entry, before | t.d->accessed);
		assert_false(leaf.dirty);
		assert_true(pgt_mark_access(&t.pt, &leaf, true));
		assert_int_equal(*leaf.entry, before | t.d->accessed | t.d->dirty);
		assert_int_equal(leaf.value, *leaf.entry);
		assert_true(leaf.dirty);
		/* Another walker finds it, and has nothing to do. */
		assert_true(pgt_lookup(&t.pt, HUGE_PAGE + sizes[i] - 1, &again));
		assert_true(again.dirty);
		assert_true(pgt_mark_access(&t.pt, &again, true));
		assert_leaf(&t, HUGE_PAGE, PHYS, 12 + 9 * (unsigned int)i);
		assert_int_equal(unlink_at(&t, HUGE_PAGE, sizes[i], 0).bytes, sizes[i]);
		close_tables(&t);
	}
}

/* The entry has changed since the walk: an entry that is gone never comes back. */
static void changed_since_the_walk(void **state)
{
	struct pgt_leaf leaf, other;
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, PAGE, PHYS, PAGE);
	for (unsigned int write = 0; write < 2; write++) {
		/* Unlinked. */
		assert_true(pgt_lookup(&t.pt, PAGE, &leaf));
		unlink_at(&t, PAGE, PAGE, 0);
		assert_false(pgt_mark_access(&t.pt, &leaf, write));
		assert_int_equal(sum_all(&t), 0);
		/* Unlinked in a gather. */
		link_at(&t, PAGE, PHYS, PAGE);
		assert_true(pgt_lookup(&t.pt, PAGE, &leaf));
		unlink_at(&t, PAGE, PAGE, 1);
		assert_false(pgt_mark_access(&t.pt, &leaf, write));
		assert_int_equal(*entry_at(&t, PAGE, 0), t.d->mark | 1ULL << PGT_PAGE_SHIFT);
		pgt_unmark(&t.pt, PAGE, PAGE, 0);
		/* Other memory. */
		link_at(&t, PAGE, PHYS, PAGE);
		assert_true(pgt_lookup(&t.pt, PAGE, &leaf));
		unlink_at(&t, PAGE, PAGE, 0);
		link_at(&t, PAGE, 2 * PHYS, PAGE);
		assert_false(pgt_mark_access(&t.pt, &leaf, write));
		assert_true(pgt_lookup(&t.pt, PAGE, &other));
		assert_false(other.value & (t.d->accessed | t.d->dirty));
		unlink_at(&t, PAGE, PAGE, 0);
		/* Another walker was faster: that is no change. */
		link_at(&t, PAGE, PHYS, PAGE);
		assert_true(pgt_lookup(&t.pt, PAGE, &leaf));
		assert_true(pgt_lookup(&t.pt, PAGE, &other));
		assert_true(pgt_mark_access(&t.pt, &other, !write));
		assert_true(pgt_mark_access(&t.pt, &leaf, write));
		assert_true(leaf.value & t.d->dirty);
		assert_int_equal(*leaf.entry, leaf.value);
		unlink_at(&t, PAGE, PAGE, 0);
		link_at(&t, PAGE, PHYS, PAGE);
	}
	close_tables(&t);
}

static void who_maps_memory(void **state)
{
	static const uint64_t sizes[] = {PAGE, LARGE, HUGE_PAGE};
	struct tables t;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t last = PHYS + sizes[i] - 1;

		open_tables(&t, *state);
		assert_false(pgt_maps_phys(&t.pt, 0, UINT64_MAX));
		link_at(&t, 5 * HUGE_PAGE, PHYS, sizes[i]);
		assert_true(pgt_maps_phys(&t.pt, PHYS, PHYS));
		assert_true(pgt_maps_phys(&t.pt, last, last));
		assert_true(pgt_maps_phys(&t.pt, 0, PHYS));
		assert_true(pgt_maps_phys(&t.pt, last, UINT64_MAX));
		assert_true(pgt_maps_phys(&t.pt, PHYS + sizes[i] / 2, PHYS + sizes[i] / 2));
		assert_false(pgt_maps_phys(&t.pt, 0, PHYS - 1));
		assert_false(pgt_maps_phys(&t.pt, last + 1, UINT64_MAX));
		/* A mark is no mapping. */
		unlink_at(&t, 5 * HUGE_PAGE, sizes[i], 1);
		assert_false(pgt_maps_phys(&t.pt, 0, UINT64_MAX));
		close_tables(&t);
	}
}

/* It owns none of the addresses it looks at: a table may be freed and used anew meanwhile. */
static void who_maps_memory_trusts_no_entry(void **state)
{
	uint64_t *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct tables t;

	open_tables(&t, *state);
	link_at(&t, HUGE_PAGE, PHYS, PAGE);
	link_at(&t, 3 * HUGE_PAGE, 2 * PHYS, PAGE);
	for (unsigned int level = 1; level < t.d->levels - 1; level++) {
		uint64_t *entry = entry_at(&t, HUGE_PAGE, level), good = *entry;

		entry_store(entry, (uintptr_t)nowhere | t.d->table);
		assert_false(pgt_maps_phys(&t.pt, PHYS, PHYS));
		assert_true(pgt_maps_phys(&t.pt, 2 * PHYS, 2 * PHYS));
		entry_store(entry, good);
	}
	close_tables(&t);
	munmap(nowhere, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH_FORMAT(table_outside_of_the_memory),
		ON_EACH_FORMAT(leaf_too_high),
		ON_EACH_FORMAT(accesses_are_recorded),
		ON_EACH_FORMAT(changed_since_the_walk),
		ON_EACH_FORMAT(who_maps_memory),
		ON_EACH_FORMAT(who_maps_memory_trusts_no_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
