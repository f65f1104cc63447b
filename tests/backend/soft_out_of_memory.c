/* SPDX-License-Identifier: MIT */
/* Wherever memory runs out, the call says so and leaves everything as it was. */
#include <twostep/error.h>

#include "backend/soft/space.h"
#include "soft_fixture.h"

#define IOVA 0x10000000ULL

static void creation_fails_whole(void **state)
{
	struct soft_options options = {.format = pgt_formats[0]};
	struct backend *none = (struct backend *)&options;
	unsigned int failed = 0;

	(void)state;
	for (uint64_t nth = 1;; nth++) {
		struct backend *be = none;
		int err;

		base_alloc_fail(nth);
		err = soft_backend_create(&options, &be);
		base_alloc_fail(0);
		if (!err) {
			be->ops->close(be, false);
			break;
		}
		failed++;
		assert_int_equal(err, -ENOMEM);
		assert_ptr_equal(be, none);
		assert_non_null(strstr(dma_last_error(), "wanted"));
	}
	/* The space, three runs of address space, the root. */
	assert_int_equal(failed, 5);
}

static void port_fails_whole_and_opens_later(void **state)
{
	struct port_options options = {.iotlb_entries = 16, .iotlb_ways = 4};
	unsigned int failed = 0;
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	link_memory(fx.be, IOVA, fx.memory, PAGE, DMA_TO_DEVICE);
	for (uint64_t nth = 1;; nth++) {
		int err;

		port = NULL;
		base_alloc_fail(nth);
		err = fx.be->ops->port_open(fx.be, &options, 1, &port);
		base_alloc_fail(0);
		if (!err)
			break;
		failed++;
		assert_int_equal(err, -ENOMEM);
		assert_null(port);
		assert_reads(fx.port, IOVA, 0);
		invalidate(fx.be, IOVA, PAGE);
	}
	assert_int_equal(failed, 3);
	assert_reads(port, IOVA, 0);
	fx.be->ops->port_close(fx.be, port);
	/* A recycled port needs memory for its lane alone, and survives not getting it. */
	base_alloc_fail(2);
	assert_int_equal(fx.be->ops->port_open(fx.be, &options, 1, &port), -ENOMEM);
	base_alloc_fail(0);
	invalidate(fx.be, IOVA, PAGE);
	port = open_port(fx.be, 16, 4, 1);
	assert_reads(port, IOVA, 0);
	fx.be->ops->port_close(fx.be, port);
	fixture_close(&fx);
}

/* Four tables: a root and one path. What needs a fifth is refused, and nothing is linked. */
static void tables_run_out(void **state)
{
	struct soft_options options = {.max_tables = 4};
	unsigned int linked = 0;
	uint64_t bytes;
	struct fixture fx;
	phys_addr_t phys;

	(void)state;
	fixture_open_as(&fx, options, 16, 4, 2 * MIB);
	while (linked < 8 && !try_link_phys(fx.be, IOVA + linked * 2 * MIB, phys_of(fx.memory),
					    PAGE, DMA_TO_DEVICE))
		linked++;
	assert_int_equal(linked, 1);
	bytes = fx.be->ops->metadata_bytes(fx.be);
	assert_int_equal(bytes, 4 * PAGE);
	assert_int_equal(try_link_phys(fx.be, IOVA + 2 * MIB - PAGE, phys_of(fx.memory), 2 * PAGE,
				       DMA_TO_DEVICE),
			 -ENOMEM);
	assert_false(fx.be->ops->lookup(fx.be, IOVA + 2 * MIB - PAGE, &phys));
	assert_refused(fx.port, IOVA + 2 * MIB - PAGE);
	assert_reads(fx.port, IOVA, 0);
	assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes);
	/* What the tables have room for still works. */
	link_memory(fx.be, IOVA + PAGE, fx.memory, PAGE, DMA_TO_DEVICE);
	assert_reads(fx.port, IOVA + PAGE, 0);
	fixture_close(&fx);
}

static void denied_table_links_nothing(void **state)
{
	struct fixture fx;
	phys_addr_t phys;

	(void)state;
	fixture_open(&fx);
	for (uint64_t nth = 1; nth <= 3; nth++) {
		base_alloc_fail(nth);
		assert_int_equal(try_link_phys(fx.be, IOVA + nth * (1ULL << 40), phys_of(fx.memory),
					       PAGE, DMA_TO_DEVICE),
				 -ENOMEM);
		base_alloc_fail(0);
		assert_false(fx.be->ops->lookup(fx.be, IOVA + nth * (1ULL << 40), &phys));
		assert_refused(fx.port, IOVA + nth * (1ULL << 40));
	}
	fixture_close(&fx);
}

static void pages_come_back_zeroed_and_are_used_again(void **state)
{
	struct table_arena arena;
	uint64_t *page[3];

	(void)state;
	assert_int_equal(tables_init(&arena, 3), 0);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 3; i++) {
			page[i] = arena.memory.get(&arena.memory);
			assert_non_null(page[i]);
			assert_int_equal((uint64_t)(uintptr_t)page[i] % PAGE, 0);
			assert_in_range((uint64_t)(uintptr_t)page[i], arena.memory.base,
					arena.memory.base + arena.memory.size - PAGE);
			for (unsigned int j = 0; j < PGT_ENTRIES; j++)
				assert_int_equal(page[i][j], 0);
			page[i][round] = round + i + 1;
		}
		assert_true(page[0] != page[1] && page[1] != page[2] && page[0] != page[2]);
		assert_null(arena.memory.get(&arena.memory));
		for (unsigned int i = 0; i < 3; i++) {
			memset(page[i], 0, PAGE);
			arena.memory.put(&arena.memory, page[i]);
		}
	}
	tables_exit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creation_fails_whole),
		cmocka_unit_test(port_fails_whole_and_opens_later),
		cmocka_unit_test(tables_run_out),
		cmocka_unit_test(denied_table_links_nothing),
		cmocka_unit_test(pages_come_back_zeroed_and_are_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
