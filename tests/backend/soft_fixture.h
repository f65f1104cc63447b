/* SPDX-License-Identifier: MIT */
/* What tests of the software IOMMU share: a space, a port, memory, and the driver's steps. */
#ifndef TESTS_BACKEND_SOFT_FIXTURE_H
#define TESTS_BACKEND_SOFT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/soft/soft.h"

#include "../slow.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define PAGE PGT_PAGE_SIZE

struct fixture {
	struct backend *be;
	struct dma_port *port;
	uint8_t *memory; /* aligned to 2 MiB */
	size_t bytes;
};

static inline struct dma_port *open_port(struct backend *be, unsigned int entries,
					 unsigned int ways, uint32_t number)
{
	struct port_options options = {.iotlb_entries = entries, .iotlb_ways = ways};
	struct dma_port *port;

	assert_int_equal(be->ops->port_open(be, &options, number, &port), 0);
	return port;
}

static inline void fixture_open_as(struct fixture *fx, struct soft_options options,
				   unsigned int entries, unsigned int ways, size_t bytes)
{
	if (!options.format)
		options.format = pgt_formats[0];
	assert_int_equal(soft_backend_create(&options, &fx->be), 0);
	fx->port = open_port(fx->be, entries, ways, 0);
	fx->bytes = align_up(bytes, 2 * MIB);
	fx->memory = aligned_alloc(2 * MIB, fx->bytes);
	assert_non_null(fx->memory);
	memset(fx->memory, 0, fx->bytes);
}

static inline void fixture_open(struct fixture *fx)
{
	fixture_open_as(fx, (struct soft_options){0}, 64, 4, 2 * MIB);
}

static inline void fixture_close(struct fixture *fx)
{
	if (fx->port)
		fx->be->ops->port_close(fx->be, fx->port);
	fx->be->ops->close(fx->be, false);
	free(fx->memory);
}

static inline phys_addr_t phys_of(const void *memory)
{
	return (phys_addr_t)(uintptr_t)memory;
}

static inline int try_link_phys(struct backend *be, dma_addr_t iova, phys_addr_t phys, size_t len,
				enum dma_data_direction dir)
{
	struct phys_vec vec = {phys, len};
	struct pgt_linked linked = {0};
	struct backend_range range = {iova, iova + len - 1};
	int err = be->ops->link(be, NULL, iova, &vec, 1, dir, 0, &linked);

	if (linked.free_tables) {
		be->ops->invalidate(be, &range, 1);
		be->ops->free_tables(be, linked.free_tables);
	}
	return err;
}

static inline void link_memory(struct backend *be, dma_addr_t iova, const void *memory, size_t len,
			       enum dma_data_direction dir)
{
	assert_int_equal(try_link_phys(be, iova, phys_of(memory), len, dir), 0);
	assert_true(be->ops->sync(be, iova, len, false) >= 0);
}

/* Entries go, the IOTLB and whoever is inside a transfer are not told. */
static inline void unlink_untold(struct backend *be, dma_addr_t iova, size_t len,
				 struct pgt_removed *removed)
{
	*removed = (struct pgt_removed){.first = 1};
	be->ops->unlink(be, NULL, iova, len, false, removed);
}

static inline void invalidate(struct backend *be, dma_addr_t iova, size_t len)
{
	struct backend_range range = {iova, iova + len - 1};

	be->ops->invalidate(be, &range, 1);
}

static inline void unlink_strict(struct backend *be, dma_addr_t iova, size_t len)
{
	struct pgt_removed removed;

	unlink_untold(be, iova, len, &removed);
	if (removed.first <= removed.last)
		invalidate(be, removed.first, removed.last - removed.first + 1);
	if (removed.free_tables)
		be->ops->free_tables(be, removed.free_tables);
}

static inline struct dma_port_stats stats_of(struct dma_port *port)
{
	struct dma_port_stats stats;

	dma_port_stats(port, &stats);
	return stats;
}

/* The device can read a byte at @iova, and it is @value. */
static inline void assert_reads(struct dma_port *port, dma_addr_t iova, uint8_t value)
{
	uint8_t byte = (uint8_t)~value;

	assert_int_equal(dma_bus_read(port, iova, &byte, 1), 0);
	assert_int_equal(byte, value);
}

static inline void assert_refused(struct dma_port *port, dma_addr_t iova)
{
	uint8_t byte = 0x5a;

	assert_int_equal(dma_bus_read(port, iova, &byte, 1), -EFAULT);
	assert_int_equal(byte, 0x5a);
}

/* The only record in the log; takes it out. */
static inline struct dma_fault only_fault(struct backend *be)
{
	struct dma_fault faults[2];
	uint64_t lost;

	assert_int_equal(be->ops->read_faults(be, faults, 2, &lost), 1);
	assert_int_equal(lost, 0);
	return faults[0];
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* From the environment variable SEED, or new; printed. */
static inline uint64_t random_seed(void)
{
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)(uintptr_t)&given >> 4 | 1;

	print_message("SEED=%#llx\n", (unsigned long long)seed);
	return seed;
}

#endif
