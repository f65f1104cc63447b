/* SPDX-License-Identifier: MIT */
/* The IOTLB against a model: the last fill of each page that no invalidation has named. */
#include "backend/soft/iotlb.h"
#include "soft_fixture.h"

#define MODEL_PAGES 4096 /* 16 MiB of IOVA */
#define BASE 0x7f00000000ULL

struct model {
	/* By page and by size 1 (4 KiB) and 2 (2 MiB): what was stored, 0 for nothing. */
	uint64_t data[3][MODEL_PAGES];
};

static void model_fill(struct model *model, uint64_t page, unsigned int size, uint64_t data)
{
	uint64_t pages = size == 2 ? 512 : 1;

	page &= ~(pages - 1);
	for (uint64_t i = 0; i < pages; i++)
		model->data[size][page + i] = data;
}

static void model_drop(struct model *model, uint64_t first, uint64_t last)
{
	for (uint64_t page = first; page <= last; page++) {
		model->data[1][page] = 0;
		if (model->data[2][page])
			model_fill(model, page, 2, 0);
	}
}

/* Whatever is found is what was stored there last; dropped pages are never found. */
static void check(const struct iotlb *iotlb, const struct model *model, uint64_t page)
{
	unsigned int shift;
	const uint64_t *found = iotlb_find(iotlb, BASE + page * PAGE + 5, &shift);

	if (!found)
		return;
	assert_int_not_equal(*found, 0);
	assert_int_equal(*found, model->data[shift == 21 ? 2 : 1][page]);
}

static void run(uint64_t *random, unsigned int entries, unsigned int ways)
{
	struct iotlb *iotlb = iotlb_create(entries, ways);
	struct model *model = calloc(1, sizeof(*model));
	uint64_t filled = 0, dropped = 0;

	assert_non_null(iotlb);
	assert_non_null(model);
	for (unsigned int step = 0; step < 20000 / SLOW; step++) {
		uint64_t page = next_random(random) % MODEL_PAGES;
		unsigned int size = next_random(random) % 8 ? 1 : 2;
		uint64_t pages = next_random(random) % 4 ? 1 + next_random(random) % 8
							 : 1 + next_random(random) % 2000;

		if (next_random(random) % 4) {
			uint64_t data = (next_random(random) << PGT_PAGE_SHIFT) | PGT_READ;

			iotlb_fill(iotlb, BASE + page * PAGE, size == 2 ? 21 : 12, data);
			model_fill(model, page, size, data);
			check(iotlb, model, page);
			filled++;
		} else {
			if (page + pages > MODEL_PAGES)
				pages = MODEL_PAGES - page;
			dropped += iotlb_invalidate(iotlb, BASE + page * PAGE,
						    BASE + (page + pages) * PAGE - 1);
			model_drop(model, page, page + pages - 1);
			check(iotlb, model, page);
			check(iotlb, model, page + pages - 1);
		}
		check(iotlb, model, next_random(random) % MODEL_PAGES);
	}
	for (uint64_t page = 0; page < MODEL_PAGES; page++)
		check(iotlb, model, page);
	assert_in_range(dropped, 1, filled);
	iotlb_empty(iotlb);
	assert_int_equal(iotlb_empty(iotlb), 0);
	for (uint64_t page = 0; page < MODEL_PAGES; page++) {
		unsigned int shift;

		assert_null(iotlb_find(iotlb, BASE + page * PAGE, &shift));
	}
	base_free(iotlb);
	free(model);
}

static void finds_what_was_stored_last(void **state)
{
	uint64_t random = random_seed();

	(void)state;
	for (unsigned int entries = 1; entries <= 1024; entries *= 2)
		for (unsigned int ways = 1; ways <= 16 && ways <= entries; ways *= 4)
			run(&random, entries, ways);
}

static void count_of_dropped_entries_is_exact(void **state)
{
	struct iotlb *iotlb = iotlb_create(256, 16);

	(void)state;
	assert_non_null(iotlb);
	for (uint64_t page = 0; page < 256; page++)
		iotlb_fill(iotlb, BASE + page * PAGE, 12, page << PGT_PAGE_SHIFT | PGT_READ);
	/* By probing sets, and by the scan of all. */
	assert_int_equal(iotlb_invalidate(iotlb, BASE + 3 * PAGE, BASE + 7 * PAGE - 1), 4);
	assert_int_equal(iotlb_invalidate(iotlb, BASE + 3 * PAGE, BASE + 7 * PAGE - 1), 0);
	assert_int_equal(iotlb_invalidate(iotlb, BASE, BASE + 200 * PAGE - 1), 196);
	assert_int_equal(iotlb_empty(iotlb), 56);
	base_free(iotlb);
}

static void gigabyte_entry_is_found_and_dropped(void **state)
{
	struct iotlb *iotlb = iotlb_create(16, 2);
	uint64_t iova = 3ULL << 30;
	unsigned int shift;

	(void)state;
	assert_non_null(iotlb);
	iotlb_fill(iotlb, iova + 77 * MIB, 30, 1ULL << 40 | PGT_READ);
	assert_non_null(iotlb_find(iotlb, iova + (1ULL << 30) - 1, &shift));
	assert_int_equal(shift, 30);
	assert_null(iotlb_find(iotlb, iova - 1, &shift));
	assert_null(iotlb_find(iotlb, iova + (1ULL << 30), &shift));
	assert_int_equal(iotlb_invalidate(iotlb, iova - PAGE, iova - 1), 0);
	assert_int_equal(iotlb_invalidate(iotlb, iova + 500 * MIB, iova + 500 * MIB + PAGE - 1), 1);
	assert_null(iotlb_find(iotlb, iova, &shift));
	base_free(iotlb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_stored_last),
		cmocka_unit_test(count_of_dropped_entries_is_exact),
		cmocka_unit_test(gigabyte_entry_is_found_and_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
