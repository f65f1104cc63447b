/* SPDX-License-Identifier: MIT */
/**
 * DOC: memory
 *
 * What the library knows about memory. Ordinary memory of the process needs no
 * registration. Memory that the CPU must not touch, or that is not RAM (a
 * device's BAR, a peer's memory, a dma-buf), is registered once by its provider
 * and gets physical addresses inside an arena that no pointer can point into.
 * From then on every call knows whether the CPU may read an address.
 */
#ifndef TWOSTEP_MEMORY_H
#define TWOSTEP_MEMORY_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum dma_memory_type {
	DMA_MEMORY_RAM = 0,    /* ordinary memory, described by file or by mapping */
	DMA_MEMORY_MMIO = 1,   /* registers or memory of a device, behind its driver */
	DMA_MEMORY_P2P = 2,    /* memory of a device that peers may use */
	DMA_MEMORY_DMABUF = 3, /* what a dma-buf describes */
};

/**
 * struct dma_memory_ops - how a software device's access reaches the memory
 * @read: copy @len bytes at @offset into @buf; 0 or -errno
 * @write: copy @len bytes from @buf to @offset; 0 or -errno
 *
 * Needed for memory that has neither a mapping nor a descriptor, such as the BAR
 * of a device in software. Called on the accessing device's thread; must not
 * block and must not call the mapping API.
 */
struct dma_memory_ops {
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len);
	int (*write)(void *arg, uint64_t offset, const void *buf, size_t len);
};

/** The pages may move or go: no device is given them, all access is through bounce buffers. */
#define DMA_MEMORY_NO_PIN (1U << 0)

/**
 * struct dma_memory_desc - what a provider says about its memory
 * @type: what it is
 * @size: bytes, a multiple of 4096
 * @cpu: where the CPU may access it, or NULL if it must not
 * @fd: descriptor of the memory (memfd, dma-buf), or -1; duplicated by the library
 * @fd_offset: where the memory begins in @fd, a multiple of 4096
 * @bus_addr: address of the memory on the bus, as peers see it; 0 if none
 * @provider: who provides it; only compared, never followed; may be NULL
 * @ops: how software devices access it, in place until the memory is unregistered;
 *	NULL if @cpu or @fd serve
 * @ops_arg: passed to @ops
 * @flags: 0 or DMA_MEMORY_NO_PIN
 *
 * At least one of @cpu, @fd and @ops is needed for a software device to reach
 * the memory. With only @fd or @ops the CPU has no mapping and the memory is
 * never bounced, copied or synced.
 */
struct dma_memory_desc {
	enum dma_memory_type type;
	uint64_t size;
	void *cpu;
	int fd;
	uint64_t fd_offset;
	uint64_t bus_addr;
	const void *provider;
	const struct dma_memory_ops *ops;
	void *ops_arg;
	unsigned int flags;
};

/**
 * dma_memory_register - make memory known
 * @desc: what it is; copied
 * @base: where its first physical address is stored; untouched on failure
 *
 * The @size bytes from *@base are physical addresses of this memory, contiguous.
 * Pointers into @desc->cpu are from now on translated to them by virt_to_phys().
 *
 * Return: 0; -EINVAL for a description that contradicts itself; -EEXIST if
 * @desc->cpu overlaps memory registered before; -ENOMEM; -ENOSPC if the arena is
 * full; -EBADF or another errno of mmap() for a descriptor that cannot be used.
 */
int dma_memory_register(const struct dma_memory_desc *desc, phys_addr_t *base);

/**
 * dma_memory_unregister - forget memory
 * @base: what dma_memory_register() gave
 *
 * In spaces opened with ``lazy=on`` it makes final what is unmapped and not yet flushed.
 *
 * Return: 0; -ENOENT if nothing was registered there; -EBUSY if a device can
 * still reach part of it: unlink or unmap first.
 */
int dma_memory_unregister(phys_addr_t base);

/**
 * dma_memory_query - what an address is
 * @phys: the address
 * @desc: where the description of the memory it lies in is stored; may be NULL. Its
 *	descriptor is the library's own: it must not be closed, and ends with the registration
 * @base: where that memory's first address is stored; may be NULL
 *
 * Return: 0 for registered memory; -ENOENT for ordinary memory; -EFAULT for an
 * address inside the arena where nothing is registered.
 */
int dma_memory_query(phys_addr_t phys, struct dma_memory_desc *desc, phys_addr_t *base);

/** dma_virt_to_phys - see virt_to_phys() */
phys_addr_t dma_virt_to_phys(const volatile void *ptr);

/**
 * virt_to_phys - the physical address of memory of this process
 * @ptr: a pointer to ordinary memory, or into the CPU mapping of registered memory
 *
 * Tag bits are removed. A pointer into the CPU mapping of registered memory gives
 * an address of that memory, so that the library still knows what it is.
 */
static inline phys_addr_t virt_to_phys(const volatile void *ptr)
{
	return dma_virt_to_phys(ptr);
}

#ifdef __cplusplus
}
#endif
#endif
