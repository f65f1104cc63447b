/* SPDX-License-Identifier: MIT */
/* A direct space with one port, opened for each test of a file. */
#ifndef TESTS_BACKEND_DIRECT_FIXTURE_H
#define TESTS_BACKEND_DIRECT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "backend/direct/direct.h"
#include "memory/memory.h"

static struct backend *be;
static struct dma_port *port;

static inline int open_direct(void **state)
{
	const struct port_options options = {.iotlb_entries = 64, .iotlb_ways = 4};

	(void)state;
	return direct_backend_create(&be) || be->ops->port_open(be, &options, 3, &port);
}

static inline int close_direct(void **state)
{
	(void)state;
	be->ops->port_close(be, port);
	be->ops->close(be, false);
	return 0;
}

static inline dma_addr_t at(const volatile void *ptr)
{
	return virt_to_phys(ptr);
}

/* Fresh pages, filled with @byte; the test unmaps what it likes. */
static inline char *pages(size_t nr, int byte)
{
	char *map =
		mmap(NULL, nr * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(map != MAP_FAILED);
	memset(map, byte, nr * 4096);
	return map;
}

/* The only fault since the last look was this one. */
static inline void one_fault(enum dma_fault_reason reason, bool write, dma_addr_t addr,
			     uint64_t len)
{
	struct dma_fault faults[2];
	uint64_t lost;

	assert_int_equal(be->ops->read_faults(be, faults, 2, &lost), 1);
	assert_int_equal(lost, 0);
	assert_int_equal(faults[0].device, 3);
	assert_int_equal(faults[0].reason, reason);
	assert_int_equal(faults[0].write, write);
	assert_int_equal(faults[0].addr, addr);
	assert_int_equal(faults[0].len, len);
	assert_true(faults[0].time_ns > 0);
}

static inline void no_fault(void)
{
	struct dma_fault fault;

	assert_int_equal(be->ops->read_faults(be, &fault, 1, NULL), 0);
}

#endif
