/* SPDX-License-Identifier: MIT */
/* What tests of devices that are not coherent share: a port of one, and its memory linked. */
#ifndef TESTS_BACKEND_SOFT_SHADOW_H
#define TESTS_BACKEND_SOFT_SHADOW_H

#include "backend/soft/shadow.h"
#include "soft_fixture.h"

#define IOVA 0x10000000ULL
#define LINE BACKEND_CACHE_LINE

static inline struct dma_port *open_noncoherent(struct backend *be, uint32_t number)
{
	struct port_options options = {.iotlb_entries = 16, .iotlb_ways = 4, .noncoherent = true};
	struct dma_port *port;

	assert_int_equal(be->ops->port_open(be, &options, number, &port), 0);
	return port;
}

static inline void prepare(struct backend *be, phys_addr_t phys, uint64_t size)
{
	assert_int_equal(be->ops->cache_prepare(be, phys, size), 0);
}

static inline void clean(struct backend *be, const void *memory, uint64_t size)
{
	be->ops->cache_clean(be, phys_of(memory), size);
}

static inline void cache_invalidate(struct backend *be, const void *memory, uint64_t size)
{
	be->ops->cache_invalidate(be, phys_of(memory), size);
}

/* A coherent port and one that is not, and @bytes of memory that both may use, prepared. */
static inline struct dma_port *shadow_fixture_open(struct fixture *fx, size_t bytes)
{
	struct dma_port *port;

	fixture_open(fx);
	port = open_noncoherent(fx->be, 1);
	prepare(fx->be, phys_of(fx->memory), bytes);
	link_memory(fx->be, IOVA, fx->memory, bytes, DMA_BIDIRECTIONAL);
	return port;
}

static inline void shadow_fixture_close(struct fixture *fx, struct dma_port *port)
{
	fx->be->ops->port_close(fx->be, port);
	fixture_close(fx);
}

static inline void device_writes(struct dma_port *port, uint64_t offset, const void *bytes,
				 size_t len)
{
	assert_int_equal(dma_bus_write(port, IOVA + offset, bytes, len), 0);
}

/* What the device sees at @offset is @len times @value. */
static inline void assert_sees(struct dma_port *port, uint64_t offset, size_t len, uint8_t value)
{
	static uint8_t buf[64 * KIB];

	assert_true(len <= sizeof(buf));
	memset(buf, ~value, len);
	assert_int_equal(dma_bus_read(port, IOVA + offset, buf, len), 0);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != value)
			fail_msg("byte %#zx at %#llx is %#x, not %#x", i,
				 (unsigned long long)offset, buf[i], value);
}

static inline void assert_holds(const uint8_t *memory, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(memory[i], value);
}

#endif
