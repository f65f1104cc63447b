/* SPDX-License-Identifier: MIT */
/**
 * DOC: types
 *
 * The vocabulary of the mapping layer.
 *
 * * A &phys_addr_t says where memory is, as the library knows it: the virtual
 *   address of ordinary memory, or an address inside the library's own arena
 *   for memory registered with dma_memory_register(). It means nothing in
 *   another process. Obtain one with virt_to_phys() or dma_memory_register();
 *   never by casting a pointer.
 * * A &dma_addr_t is what a device uses. Only calls of the mapping API make one.
 * * The *granule* is the smallest page of a device's address space, 4096 bytes
 *   on every backend so far. I/O virtual addresses (IOVA) are handed out and
 *   mapped in whole granules.
 */
#ifndef TWOSTEP_TYPES_H
#define TWOSTEP_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t dma_addr_t;
typedef uint64_t phys_addr_t;

/** What an address-returning call answers when it failed. */
#define DMA_MAPPING_ERROR (~(dma_addr_t)0)

/** A mask of the @n lowest address bits, 1 <= @n <= 64. */
#define DMA_BIT_MASK(n) (~0ULL >> (64 - (n)))

/** Who reads and who writes, seen from memory. The numbers are the kernel's. */
enum dma_data_direction {
	DMA_BIDIRECTIONAL = 0, /* the device reads and writes */
	DMA_TO_DEVICE = 1,     /* the device reads */
	DMA_FROM_DEVICE = 2,   /* the device writes */
	DMA_NONE = 3,          /* refused by every call */
};

/* Attributes of a mapping. The bit numbers are the kernel's. */
#define DMA_ATTR_WEAK_ORDERING (1UL << 1)
#define DMA_ATTR_WRITE_COMBINE (1UL << 2)
#define DMA_ATTR_NO_KERNEL_MAPPING (1UL << 4)
#define DMA_ATTR_SKIP_CPU_SYNC (1UL << 5)    /* no cache maintenance, no copy-back */
#define DMA_ATTR_FORCE_CONTIGUOUS (1UL << 6)
#define DMA_ATTR_ALLOC_SINGLE_PAGES (1UL << 7)
#define DMA_ATTR_NO_WARN (1UL << 8)          /* an expected failure: no report of it */
#define DMA_ATTR_PRIVILEGED (1UL << 9)
#define DMA_ATTR_MMIO (1UL << 10)            /* not RAM: never bounced, never cached */
#define DMA_ATTR_DEBUGGING_IGNORE_CACHELINES (1UL << 11)
#define DMA_ATTR_REQUIRE_COHERENT (1UL << 12) /* fail rather than bounce or need a sync */
#define DMA_ATTR_CC_SHARED (1UL << 13)

/** struct phys_vec - one piece of a scattered buffer
 * @paddr: where it is
 * @len: bytes
 */
struct phys_vec {
	phys_addr_t paddr;
	size_t len;
};

struct dma_dev;   /* a device, seen from its driver */
struct dma_space; /* one I/O address space; devices may share one */
struct dma_port;  /* a software device's way onto the bus */

#ifdef __cplusplus
}
#endif
#endif
