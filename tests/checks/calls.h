/* SPDX-License-Identifier: MIT */
/* The mapping API, each call in places of its own: first_map_phys(), second_map_phys(), ... */
#ifndef TESTS_CHECKS_CALLS_H
#define TESTS_CHECKS_CALLS_H

#include "checks.h"

/* A call that answers, and one that does not. */
#define ANSWERS(type, name, call, ...)  \
	AT(name) type name(__VA_ARGS__) \
	{                               \
		type answer = call;     \
                                        \
		STAY();                 \
		return answer;          \
	}

#define ENDS(name, call, ...)           \
	AT(name) void name(__VA_ARGS__) \
	{                               \
		call;                   \
		STAY();                 \
	}

#define DEV struct dma_dev *dev
#define STATE struct dma_iova_state *state
#define DIR enum dma_data_direction dir
#define GATHER struct dma_gather *gather

#define CALLS_MAP(at)                                                                              \
	ANSWERS(dma_addr_t, at##_map_phys, dma_map_phys(dev, phys, size, dir, attrs), DEV,         \
		phys_addr_t phys, size_t size, DIR, unsigned long attrs)                           \
	ANSWERS(dma_addr_t, at##_map_single, dma_map_single(dev, ptr, size, dir), DEV, void *ptr,  \
		size_t size, DIR)                                                                  \
	ANSWERS(dma_addr_t, at##_map_single_attrs,                                                 \
		dma_map_single_attrs(dev, ptr, size, dir, attrs), DEV, void *ptr, size_t size,     \
		DIR, unsigned long attrs)                                                          \
	ANSWERS(dma_addr_t, at##_map_resource, dma_map_resource(dev, phys, size, dir, attrs), DEV, \
		phys_addr_t phys, size_t size, DIR, unsigned long attrs)

#define CALLS_UNMAP(at)                                                                          \
	ENDS(at##_unmap_phys, dma_unmap_phys(dev, addr, size, dir, attrs), DEV, dma_addr_t addr, \
	     size_t size, DIR, unsigned long attrs)                                              \
	ENDS(at##_unmap_phys_gather, dma_unmap_phys_gather(dev, addr, size, dir, attrs, gather), \
	     DEV, dma_addr_t addr, size_t size, DIR, unsigned long attrs, GATHER)                \
	ENDS(at##_unmap_single, dma_unmap_single(dev, addr, size, dir), DEV, dma_addr_t addr,    \
	     size_t size, DIR)                                                                   \
	ENDS(at##_unmap_single_attrs, dma_unmap_single_attrs(dev, addr, size, dir, attrs), DEV,  \
	     dma_addr_t addr, size_t size, DIR, unsigned long attrs)                             \
	ENDS(at##_unmap_resource, dma_unmap_resource(dev, addr, size, dir, attrs), DEV,          \
	     dma_addr_t addr, size_t size, DIR, unsigned long attrs)

#define CALLS_SYNC(at)                                                                             \
	ENDS(at##_for_cpu, dma_sync_single_for_cpu(dev, addr, size, dir), DEV, dma_addr_t addr,    \
	     size_t size, DIR)                                                                     \
	ENDS(at##_for_device, dma_sync_single_for_device(dev, addr, size, dir), DEV,               \
	     dma_addr_t addr, size_t size, DIR)                                                    \
	ENDS(at##_range_for_cpu, dma_sync_single_range_for_cpu(dev, addr, offset, size, dir), DEV, \
	     dma_addr_t addr, unsigned long offset, size_t size, DIR)                              \
	ENDS(at##_range_for_device,                                                                \
	     dma_sync_single_range_for_device(dev, addr, offset, size, dir), DEV, dma_addr_t addr, \
	     unsigned long offset, size_t size, DIR)

#define CALLS_LINK(at)                                                                          \
	ANSWERS(bool, at##_try_alloc, dma_iova_try_alloc(dev, state, phys, size), DEV, STATE,   \
		phys_addr_t phys, size_t size)                                                  \
	ANSWERS(bool, at##_try_alloc_flags,                                                     \
		dma_iova_try_alloc_flags(dev, state, phys, size, align, flags), DEV, STATE,     \
		phys_addr_t phys, size_t size, size_t align, unsigned int flags)                \
	ANSWERS(int, at##_link, dma_iova_link(dev, state, phys, offset, size, dir, attrs), DEV, \
		STATE, phys_addr_t phys, size_t offset, size_t size, DIR, unsigned long attrs)  \
	ANSWERS(int, at##_link_vec, dma_iova_link_vec(dev, state, vec, nr, offset, dir, attrs), \
		DEV, STATE, const struct phys_vec *vec, size_t nr, size_t offset, DIR,          \
		unsigned long attrs)                                                            \
	ANSWERS(int, at##_sync, dma_iova_sync(dev, state, offset, size), DEV, STATE,            \
		size_t offset, size_t size)

#define CALLS_UNLINK(at)                                                                          \
	ENDS(at##_unlink, dma_iova_unlink(dev, state, offset, size, dir, attrs), DEV, STATE,      \
	     size_t offset, size_t size, DIR, unsigned long attrs)                                \
	ENDS(at##_unlink_gather,                                                                  \
	     dma_iova_unlink_gather(dev, state, offset, size, dir, attrs, gather), DEV, STATE,    \
	     size_t offset, size_t size, DIR, unsigned long attrs, GATHER)                        \
	ENDS(at##_free, dma_iova_free(dev, state), DEV, STATE)                                    \
	ENDS(at##_destroy, dma_iova_destroy(dev, state, len, dir, attrs), DEV, STATE, size_t len, \
	     DIR, unsigned long attrs)                                                            \
	ENDS(at##_destroy_gather, dma_iova_destroy_gather(dev, state, len, dir, attrs, gather),   \
	     DEV, STATE, size_t len, DIR, unsigned long attrs, GATHER)                            \
	ENDS(at##_gather_begin, dma_gather_begin(dev, gather), DEV, GATHER)

#define CALLS(at)       \
	CALLS_MAP(at)   \
	CALLS_UNMAP(at) \
	CALLS_SYNC(at)  \
	CALLS_LINK(at)  \
	CALLS_UNLINK(at)

/* Who begins, who makes the mistake, and who else was there. */
CALLS(first)
CALLS(second)
CALLS(third)

/* A mapping that is as it should be. */
static inline dma_addr_t mapped(phys_addr_t phys, size_t size, enum dma_data_direction dir)
{
	dma_addr_t addr = first_map_phys(d.dev, phys, size, dir, 0);

	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	return addr;
}

static inline void unmapped(dma_addr_t addr, size_t size, enum dma_data_direction dir)
{
	third_unmap_phys(d.dev, addr, size, dir, 0);
}

/* A reservation, with its first pages linked: page i is page i of the memory. */
static inline struct dma_iova_state reserved(size_t size)
{
	struct dma_iova_state s;

	assert_true(first_try_alloc(d.dev, &s, 0, size));
	return s;
}

static inline void linked(struct dma_iova_state *s, size_t first, size_t pages,
			  enum dma_data_direction dir)
{
	for (size_t i = first; i < first + pages; i++)
		assert_int_equal(first_link(d.dev, s, phys_of(i), i * PAGE, PAGE, dir, 0), 0);
}

static inline void synced(struct dma_iova_state *s, size_t first, size_t pages)
{
	assert_int_equal(first_sync(d.dev, s, first * PAGE, pages * PAGE), 0);
}

static inline void destroyed(struct dma_iova_state *s, size_t pages, enum dma_data_direction dir)
{
	third_destroy(d.dev, s, pages * PAGE, dir, 0);
}

#endif
