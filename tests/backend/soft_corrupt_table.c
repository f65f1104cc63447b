/* SPDX-License-Identifier: MIT */
/* A table address that is none is refused by the walk, not followed. */
#include "backend/soft/space.h"
#include "pgtable/format.h"
#include "soft_fixture.h"

#define IOVA 0x10000000ULL

/* The root's entry for IOVA, which points to a table. */
static uint64_t *root_entry(struct fixture *fx)
{
	struct pgtable *pt = &soft_space_of(fx->be)->pt;
	unsigned int shift = PGT_PAGE_SHIFT + 9 * (pgt_format_levels(pt->format) - 1);

	return &pt->root[IOVA >> shift & (PGT_ENTRIES - 1)];
}

static void check(struct fixture *fx, uint64_t address)
{
	uint64_t *entry = root_entry(fx);
	uint64_t good = *entry;

	*entry = (good & ~PGT_ADDR_MASK) | address;
	assert_refused(fx->port, IOVA);
	assert_int_equal(only_fault(fx->be).reason, DMA_FAULT_TABLE);
	*entry = good;
	assert_reads(fx->port, IOVA, 6);
	invalidate(fx->be, IOVA, PAGE);
}

static void wild_table_address_is_a_fault(void **state)
{
	(void)state;
	for (size_t f = 0; f < pgt_nr_formats; f++) {
		const struct pgt_memory *memory;
		struct fixture fx;

		fixture_open_as(&fx, (struct soft_options){.format = pgt_formats[f]}, 16, 4,
				2 * MIB);
		memory = &soft_space_of(fx.be)->tables.memory;
		fx.memory[0] = 6;
		link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
		check(&fx, 0);
		check(&fx, phys_of(fx.memory));
		check(&fx, memory->base - PAGE);
		check(&fx, memory->base + memory->size);
		check(&fx, PGT_ADDR_MASK);
		unlink_strict(fx.be, IOVA, PAGE);
		fixture_close(&fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wild_table_address_is_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
