/* SPDX-License-Identifier: MIT */
/**
 * DOC: dma-buf
 *
 * Buffers that one driver provides and others use. The exporter hands over where the
 * memory is; the importer's device is let at it with two-step mappings, one contiguous
 * DMA address where that is possible. The names, and who may do what when, are the kernel's.
 *
 * The life of an import::
 *
 *	dma_buf_dynamic_attach()
 *	-> { dma_buf_lock() -> dma_buf_map_attachment() -> device -> dma_buf_unmap_attachment() }*
 *	-> dma_buf_detach()
 *
 * * The *reservation lock* of a buffer, dma_buf_lock(), is held over map, unmap, pin and
 *   invalidate. It is a mutex of the thread that took it. The exporter's map, unmap, pin
 *   and unpin and the importer's invalidate_mappings run with it held, and may call what
 *   needs it held; attach, detach, release and the CPU accesses run without it.
 * * An attachment with importer operations is *dynamic*. Others are pinned by the exporter,
 *   if it moves memory, while they are mapped.
 * * A *revoked* buffer cannot be mapped, and no device reaches it.
 *
 * Calls that give a pointer answer, as the kernel's, a negative errno as a pointer:
 * IS_ERR() and PTR_ERR(). All calls may be made from any thread. In a forked child nothing can
 * be attached or mapped.
 */
#ifndef TWOSTEP_DMABUF_H
#define TWOSTEP_DMABUF_H

#include <twostep/scatterlist.h>
#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Errors as pointers, as in the kernel. */
#ifndef IS_ERR
#define ERR_PTR(err) ((void *)(intptr_t)(err))
#define PTR_ERR(ptr) ((int)(intptr_t)(ptr))
#define IS_ERR(ptr) ((uintptr_t)(ptr) >= (uintptr_t)-4095)
#endif

struct dma_buf_attachment;
struct dma_buf_ops;
struct p2pdma_provider; /* who provides peer-to-peer memory: <twostep/p2pdma.h> */

/**
 * struct dma_buf - a buffer
 * @size: bytes, a multiple of 4096
 * @ops: of its exporter
 * @exp_name: of its exporter, for sentences
 * @priv: the exporter's
 *
 * Made by dma_buf_export() and its like alone; nothing of it is written by others.
 */
struct dma_buf {
	size_t size;
	const struct dma_buf_ops *ops;
	const char *exp_name;
	void *priv;
};

/**
 * struct dma_buf_attach_ops - what an importer can do
 * @allow_peer2peer: its device may be given memory of a peer
 * @invalidate_mappings: the exporter takes the memory back: stop using what was mapped, and unmap
 *	it within bounded time, here or later from another thread. Called with the reservation
 *	lock held; must not detach. May be NULL: then the importer
 *	must pin, and nothing that can be revoked can be imported
 *
 * Until the importer's fences have ended (dma_buf_fence_end()) its device may go on.
 */
struct dma_buf_attach_ops {
	bool allow_peer2peer;
	void (*invalidate_mappings)(struct dma_buf_attachment *attach);
};

/**
 * struct dma_buf_attachment - one device's use of a buffer
 * @dmabuf: the buffer
 * @dev: the device that will perform the DMA
 * @peer2peer: whether it may be given memory of a peer
 * @importer_ops: NULL unless it is dynamic
 * @importer_priv: the importer's
 * @priv: the exporter's
 */
struct dma_buf_attachment {
	struct dma_buf *dmabuf;
	struct dma_dev *dev;
	bool peer2peer;
	const struct dma_buf_attach_ops *importer_ops;
	void *importer_priv;
	void *priv;
};

/**
 * struct dma_buf_ops - what an exporter does
 * @attach: a device comes: 0, or -errno to refuse it; may be NULL
 * @detach: it goes; may be NULL
 * @pin: keep the memory where it is until @unpin; 0 or -errno; lock held; NULL if it
 *	never moves
 * @unpin: lock held; needed with @pin
 * @map_dma_buf: let the attachment's device at all of the buffer: a table, an errno as a pointer,
 *	or NULL, which is -ENOMEM; lock held
 * @unmap_dma_buf: end what @map_dma_buf gave; lock held; the device has no access when it returns
 * @release: the last user has gone; must not touch the buffer afterwards; may be NULL
 * @begin_cpu_access: the CPU is about to access the memory; 0 or -errno; may be NULL
 * @end_cpu_access: it has done so; 0 or -errno; may be NULL
 * @vmap: where the CPU may access the whole buffer; 0 or -errno; lock held; may be NULL
 * @vunmap: ends it; lock held; may be NULL
 *
 * The table has @nents DMA entries, whose addresses and lengths are multiples of 4096.
 * dma_buf_phys_vec_to_sgt() and dma_buf_ram_vec_to_sgt() make one.
 */
struct dma_buf_ops {
	int (*attach)(struct dma_buf *dmabuf, struct dma_buf_attachment *attach);
	void (*detach)(struct dma_buf *dmabuf, struct dma_buf_attachment *attach);
	int (*pin)(struct dma_buf_attachment *attach);
	void (*unpin)(struct dma_buf_attachment *attach);
	struct sg_table *(*map_dma_buf)(struct dma_buf_attachment *attach,
					enum dma_data_direction dir);
	void (*unmap_dma_buf)(struct dma_buf_attachment *attach, struct sg_table *sgt,
			      enum dma_data_direction dir);
	void (*release)(struct dma_buf *dmabuf);
	int (*begin_cpu_access)(struct dma_buf *dmabuf, enum dma_data_direction dir);
	int (*end_cpu_access)(struct dma_buf *dmabuf, enum dma_data_direction dir);
	int (*vmap)(struct dma_buf *dmabuf, void **vaddr);
	void (*vunmap)(struct dma_buf *dmabuf, void *vaddr);
};

/** The exporter may revoke the buffer: importers that cannot be told are refused. */
#define DMA_BUF_REVOCABLE (1U << 0)

/**
 * struct dma_buf_export_info - what an exporter says of a buffer
 * @exp_name: who it is, in place as long as the buffer; NULL for no name
 * @ops: what it does, in place as long as the buffer; @map_dma_buf and @unmap_dma_buf are needed
 * @size: bytes, a multiple of 4096 and not 0
 * @flags: 0 or DMA_BUF_REVOCABLE
 * @priv: the exporter's
 */
struct dma_buf_export_info {
	const char *exp_name;
	const struct dma_buf_ops *ops;
	size_t size;
	unsigned int flags;
	void *priv;
};

/* Buffers. */

/**
 * dma_buf_export - make a buffer
 * @info: what it is; copied
 *
 * Return: the buffer, with one reference, which dma_buf_put() gives back; -EINVAL for a
 * description that is not complete; -ENOMEM.
 */
struct dma_buf *dma_buf_export(const struct dma_buf_export_info *info);

/**
 * dma_buf_export_phys - make a buffer of ranges of memory
 * @provider: whose memory it is; NULL for ordinary and registered memory that is not a peer's
 * @vec: the ranges, page aligned; copied
 * @nr_vecs: how many
 * @flags: 0 or DMA_BUF_REVOCABLE
 *
 * An exporter that is ready to use. The memory must stay until the buffer is released.
 * Memory of a peer can be attached by importers with allow_peer2peer only, and not be
 * accessed by the CPU.
 *
 * Return: the buffer; -EINVAL for no ranges, a range that is empty or not aligned, or sizes whose
 * sum is no size; -ENOMEM.
 */
struct dma_buf *dma_buf_export_phys(struct p2pdma_provider *provider, const struct phys_vec *vec,
				    size_t nr_vecs, unsigned int flags);

/** dma_buf_ref - see get_dma_buf() */
void dma_buf_ref(struct dma_buf *dmabuf);

/** get_dma_buf - one more reference */
static inline void get_dma_buf(struct dma_buf *dmabuf)
{
	dma_buf_ref(dmabuf);
}

/**
 * dma_buf_put - give a reference back
 * @dmabuf: the buffer, or NULL for nothing
 *
 * With the last one the buffer is released. If a device is still attached then, that is misuse,
 * and the buffer stays until the last one is detached. The last one is not given back with the
 * reservation lock held: nothing, and an error text.
 */
void dma_buf_put(struct dma_buf *dmabuf);

/**
 * dma_buf_lock - take the reservation lock
 * @dmabuf: the buffer
 *
 * Return: 0; -EDEADLK if the calling thread has it already.
 */
int dma_buf_lock(struct dma_buf *dmabuf);
/** dma_buf_unlock - give it back; by a thread that does not have it: nothing, and an error text */
void dma_buf_unlock(struct dma_buf *dmabuf);
/** dma_buf_is_locked - whether the calling thread has it */
bool dma_buf_is_locked(const struct dma_buf *dmabuf);

/* Importing. */

/**
 * dma_buf_dynamic_attach - let a device at a buffer
 * @dmabuf: the buffer
 * @dev: the device; must stay open until dma_buf_detach()
 * @importer_ops: what the importer can do, in place until then; NULL for nothing
 * @importer_priv: the importer's
 *
 * Holds the buffer until it is detached. Without the reservation lock.
 *
 * Return: the attachment; -EINVAL; -EPERM in a forked child; -EOPNOTSUPP if the buffer can be
 * revoked and the importer has no invalidate_mappings, or the buffer is a peer's and the importer
 * does not allow it; -ENODEV if it is revoked; -EDEADLK with the lock held; -ENOMEM; or what the
 * exporter refused it with.
 */
struct dma_buf_attachment *dma_buf_dynamic_attach(struct dma_buf *dmabuf, struct dma_dev *dev,
						  const struct dma_buf_attach_ops *importer_ops,
						  void *importer_priv);

/** dma_buf_attach - dma_buf_dynamic_attach() of an importer that can do nothing */
struct dma_buf_attachment *dma_buf_attach(struct dma_buf *dmabuf, struct dma_dev *dev);

/**
 * dma_buf_detach - end an attachment
 * @dmabuf: the buffer
 * @attach: the attachment; gone afterwards
 *
 * What is still mapped or pinned is unmapped and unpinned, and that is misuse. With the lock held
 * by the caller only this is done: that is misuse, and the attachment stays.
 */
void dma_buf_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach);

/** dma_buf_attach_revocable - whether an importer can be told to let go */
bool dma_buf_attach_revocable(const struct dma_buf_attachment *attach);

/**
 * dma_buf_pin - keep the memory where it is
 * @attach: a dynamic attachment
 *
 * Each one needs a dma_buf_unpin(). To a pinned importer an invalidation means that the
 * memory has gone for good. With the lock held.
 *
 * Return: 0; -EINVAL without importer operations or without the lock; -ENODEV if it is revoked; or
 * what the exporter refused it with.
 */
int dma_buf_pin(struct dma_buf_attachment *attach);
/** dma_buf_unpin - ends dma_buf_pin(); without one nothing, and misuse. With the lock held */
void dma_buf_unpin(struct dma_buf_attachment *attach);

/**
 * dma_buf_map_attachment - let the device at the memory
 * @attach: the attachment
 * @dir: what the device will do
 *
 * The table has DMA entries only, whose number is nents: for_each_sgtable_dma_sg(). It belongs to
 * the attachment. Several can live at once. With the lock held.
 *
 * Return: the table; -EINVAL without the lock or a direction, or if what the exporter gave is not
 * page aligned; -EPERM in a forked child; -ENODEV if it is revoked; -ENOMEM, also if the exporter
 * gave nothing; or what the exporter refused it with.
 */
struct sg_table *dma_buf_map_attachment(struct dma_buf_attachment *attach,
					enum dma_data_direction dir);

/**
 * dma_buf_unmap_attachment - take the memory back
 * @attach: the attachment
 * @sgt: what dma_buf_map_attachment() gave; gone afterwards
 * @dir: as given to it
 *
 * When it returns the device cannot reach the memory. A table that the attachment does not
 * have changes nothing; that, another direction, and calling it without the lock are misuse.
 */
void dma_buf_unmap_attachment(struct dma_buf_attachment *attach, struct sg_table *sgt,
			      enum dma_data_direction dir);

/** dma_buf_map_attachment_unlocked - the same; takes the lock, -EDEADLK if the caller has it */
struct sg_table *dma_buf_map_attachment_unlocked(struct dma_buf_attachment *attach,
						 enum dma_data_direction dir);
/** dma_buf_unmap_attachment_unlocked - the same; takes the lock */
void dma_buf_unmap_attachment_unlocked(struct dma_buf_attachment *attach, struct sg_table *sgt,
				       enum dma_data_direction dir);

/**
 * dma_buf_fence_begin - the device is about to use what was mapped
 * @attach: the attachment
 *
 * dma_buf_revoke() waits for its end. With the lock held, so that it comes wholly before
 * or after an invalidation.
 *
 * Return: 0; -EINVAL without the lock; -ENODEV if the buffer is revoked.
 */
int dma_buf_fence_begin(struct dma_buf_attachment *attach);
/**
 * dma_buf_fence_end - it has used it
 *
 * With or without the lock. One that was not begun is misuse; one that has not ended when the
 * attachment ends is ended there, and misuse.
 */
void dma_buf_fence_end(struct dma_buf_attachment *attach);

/* Exporting. */

/**
 * dma_buf_invalidate_mappings - tell all importers to let go
 * @dmabuf: the buffer
 *
 * Calls invalidate_mappings of each attachment that has it. With the lock held: without, nothing is
 * called and the error text is set. What is not unmapped yet is seen by dma_buf_nr_mapped().
 */
void dma_buf_invalidate_mappings(struct dma_buf *dmabuf);

/** dma_buf_nr_mapped - how many mappings of a buffer are live, of all attachments */
size_t dma_buf_nr_mapped(struct dma_buf *dmabuf);

/**
 * dma_buf_revoke - take a buffer away from all devices
 * @dmabuf: a buffer with DMA_BUF_REVOCABLE
 * @timeout_ms: how long to wait, in milliseconds; negative for ever
 *
 * From now on mapping, attaching, pinning and new fences answer -ENODEV. Invalidates, waits for
 * fences, then for the importers to unmap: when it returns 0, no device can reach the memory.
 * Where a peer has been given bus addresses no IOMMU is in the way: there its importer must have
 * stopped it before it unmaps. Without the lock held; waits without it, too. Of a revoked
 * buffer: waits again.
 *
 * Return: 0; -EOPNOTSUPP without DMA_BUF_REVOCABLE; -EDEADLK with the lock held; -ETIMEDOUT if an
 * importer has not let go: the buffer stays revoked, and may still be reached.
 */
int dma_buf_revoke(struct dma_buf *dmabuf, int timeout_ms);

/**
 * dma_buf_unrevoke - let the buffer be mapped again
 * @dmabuf: the buffer
 *
 * Invalidates first, so that importers know that something has changed. Without the lock held.
 *
 * Return: 0, also if it was not revoked; -EDEADLK with the lock held; -EBUSY while dma_buf_revoke()
 * is waiting.
 */
int dma_buf_unrevoke(struct dma_buf *dmabuf);

/** dma_buf_is_revoked - whether it is; may change at once unless the lock is held */
bool dma_buf_is_revoked(const struct dma_buf *dmabuf);

/**
 * dma_buf_phys_vec_to_sgt - let an attachment's device at memory of a peer
 * @attach: the attachment
 * @provider: whose memory it is
 * @vec: the ranges, page aligned
 * @nr_vecs: how many, at least 1
 * @size: bytes of all ranges
 * @dir: what the device will do
 *
 * For the exporter's map_dma_buf, with the lock held. The way is pci_p2pdma_state()'s: by bus
 * address, without an IOVA; or through the host bridge with DMA_ATTR_MMIO: the ranges follow each
 * other at one contiguous DMA address if the device translates, else each is mapped by itself.
 * Entries longer than 4 GiB - 4096 are split. The table has no CPU entries: orig_nents is 0.
 *
 * Return: the table, for dma_buf_free_sgt(); -EINVAL without provider or lock, for ranges that are
 * empty, not aligned, not @size together or not the provider's, for a size that is none, and where
 * the hardware cannot do it; -ENODEV if the memory has gone; -EPERM in a forked child; -ENOMEM;
 * or the errno of dma_iova_link_vec() or dma_iova_sync(). Failure leaves nothing behind.
 */
struct sg_table *dma_buf_phys_vec_to_sgt(struct dma_buf_attachment *attach,
					 struct p2pdma_provider *provider,
					 const struct phys_vec *vec, size_t nr_vecs, size_t size,
					 enum dma_data_direction dir);

/**
 * dma_buf_ram_vec_to_sgt - the same for memory that is not a peer's
 *
 * Mapped without attributes, by the usual rules: a device that is not coherent sees what was synced
 * to it (dma_buf_begin_cpu_access(), dma_buf_end_cpu_access()), and a device that must have
 * everything bounced gets a copy, which other devices of the buffer see when it is synced or
 * unmapped.
 */
struct sg_table *dma_buf_ram_vec_to_sgt(struct dma_buf_attachment *attach,
					const struct phys_vec *vec, size_t nr_vecs, size_t size,
					enum dma_data_direction dir);

/**
 * dma_buf_free_sgt - end what dma_buf_phys_vec_to_sgt() or dma_buf_ram_vec_to_sgt() gave
 * @attach: the attachment
 * @sgt: the table; gone afterwards
 * @dir: as mapped
 *
 * The device has no access when it returns. Without the lock, or with another direction, it is
 * done all the same, and that is misuse.
 */
void dma_buf_free_sgt(struct dma_buf_attachment *attach, struct sg_table *sgt,
		      enum dma_data_direction dir);

/* The CPU. */

/**
 * dma_buf_begin_cpu_access - before the CPU accesses the memory
 * @dmabuf: the buffer
 * @dir: DMA_FROM_DEVICE to read, DMA_TO_DEVICE to write, or both
 *
 * Buffers of the library's own exporters are synced for the CPU from all devices that they are
 * mapped for, and a dma-buf of the kernel is told. Waits for no fence.
 *
 * Return: 0; -EINVAL without a direction; or the exporter's errno.
 */
int dma_buf_begin_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir);
/** dma_buf_end_cpu_access - after it; see dma_buf_begin_cpu_access() */
int dma_buf_end_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir);

/**
 * dma_buf_vmap - where the CPU may access the buffer
 * @dmabuf: the buffer
 * @vaddr: where the address of its first byte is stored
 *
 * Valid until dma_buf_vunmap(), and as long as the buffer is held. With the lock held. Between
 * dma_buf_begin_cpu_access() and dma_buf_end_cpu_access() it may be used.
 *
 * Return: 0; -EINVAL without the lock; -EOPNOTSUPP if the CPU has no mapping of it, or none in one
 * piece; or the exporter's errno.
 */
int dma_buf_vmap(struct dma_buf *dmabuf, void **vaddr);
/** dma_buf_vunmap - ends dma_buf_vmap(); with the lock held */
void dma_buf_vunmap(struct dma_buf *dmabuf, void *vaddr);

/* Descriptors, which can be passed to other processes. */

/**
 * dma_buf_export_memfd - make a buffer of part of a memfd
 * @memfd: its descriptor; duplicated by the library
 * @offset: where the buffer begins in it, a multiple of 4096
 * @size: bytes, a multiple of 4096; 0 for all to the end
 * @flags: 0 or DMA_BUF_REVOCABLE
 *
 * The memory is registered as DMA_MEMORY_DMABUF. The file must never shrink under its users: it is
 * sealed with F_SEAL_SHRINK if it is not yet.
 *
 * Return: the buffer; -EBADF; -EINVAL if it is no memfd, has not these bytes, or they are not
 * aligned; -EPERM if it can shrink and cannot be sealed; -EEXIST if this process has a
 * buffer of these bytes; -ENOMEM; or an errno of dma_memory_register().
 */
struct dma_buf *dma_buf_export_memfd(int memfd, uint64_t offset, uint64_t size, unsigned int flags);

/**
 * dma_buf_export_udmabuf - the same as a dma-buf of the kernel, which its drivers take as well
 *
 * Return: as dma_buf_export_memfd(); -ENODEV if the machine has no /dev/udmabuf; or its errno.
 */
struct dma_buf *dma_buf_export_udmabuf(int memfd, uint64_t offset, uint64_t size,
				       unsigned int flags);

/**
 * dma_buf_fd - a descriptor of a buffer, to be passed on
 * @dmabuf: a buffer with a descriptor
 * @flags: 0 or O_CLOEXEC
 *
 * Who gets it needs the buffer's offset in the file, too, if that is not 0. Revoking does not
 * reach other processes.
 *
 * Return: the descriptor, the caller's to close; -EOPNOTSUPP if the buffer has none; -EINVAL for
 * other flags; -EMFILE.
 */
int dma_buf_fd(struct dma_buf *dmabuf, int flags);

/**
 * dma_buf_get_fd - the buffer behind a descriptor
 * @fd: a memfd, or a dma-buf of the kernel; duplicated by the library
 * @offset: where it begins, a multiple of 4096
 * @size: bytes, a multiple of 4096; 0 for all to the end
 *
 * A buffer that this process has of the same bytes already is given once more, with one
 * more reference; else one is made as by dma_buf_export_memfd().
 *
 * Return: as dma_buf_export_memfd().
 */
struct dma_buf *dma_buf_get_fd(int fd, uint64_t offset, uint64_t size);

/** dma_buf_get - dma_buf_get_fd() of the whole file */
struct dma_buf *dma_buf_get(int fd);

#ifdef __cplusplus
}
#endif
#endif
