/* SPDX-License-Identifier: MIT */
/*
 * observe: how somebody looks on while the mapping API works. A space has at most
 * one observer, from before its first device until it closes. With one, a bit in the
 * space's generation word, which every call looks at anyway, leads the call to tell
 * the observer what it does. Without one nothing is told and nothing is paid.
 *
 * Observers only observe: they change nothing, may not call the mapping API, and what
 * must be refused is refused by the room that observes itself being misused.
 *
 * All calls may come from several threads at once. `caller` is where the program
 * called the API: a code address.
 */
#ifndef BASE_OBSERVE_H
#define BASE_OBSERVE_H

#include <twostep/types.h>

struct base_observer;
struct dma_fault;
struct dma_gather;
struct dma_iova_state;
struct scatterlist;

/* How the library's own memory was asked for. */
enum base_block {
	BASE_BLOCK_COHERENT,
	BASE_BLOCK_PAGES,
	BASE_BLOCK_NONCONTIGUOUS,
};

struct base_observer_ops {
	/* Devices come and go; @number is the one that faults and accesses name. */
	void (*attached)(struct base_observer *observer, struct dma_dev *dev, uint32_t number,
			 const char *uri, bool coherent);
	void (*detached)(struct base_observer *observer, uint32_t number);

	/* Streaming. A mapping has been made; it will be ended, @addr is what was given for it. */
	void (*mapped)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		       dma_addr_t addr, phys_addr_t phys, size_t size, enum dma_data_direction dir,
		       unsigned long attrs);
	/* Before anything of it is undone, whatever is wrong with the arguments. */
	void (*unmapping)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			  dma_addr_t addr, size_t size, enum dma_data_direction dir,
			  unsigned long attrs);
	void (*checked)(struct base_observer *observer, struct dma_dev *dev, dma_addr_t addr);
	void (*syncing)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			dma_addr_t addr, size_t size, enum dma_data_direction dir, bool for_device);

	/*
	 * Memory of the library's own: it has been allocated and mapped; it will be freed,
	 * before anything of it is undone, whatever is wrong with the arguments. @addr is the
	 * DMA address that the caller named, @freed that of what will be freed because its
	 * CPU address was named: DMA_MAPPING_ERROR if nothing will.
	 */
	void (*allocated)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			  dma_addr_t addr, phys_addr_t phys, size_t size, enum base_block kind,
			  enum dma_data_direction dir, unsigned long attrs);
	void (*deallocating)(struct base_observer *observer, const void *caller,
			     struct dma_dev *dev, dma_addr_t addr, dma_addr_t freed, size_t size,
			     enum base_block kind, enum dma_data_direction dir,
			     unsigned long attrs);

	/*
	 * Scatter-gather lists, range by range: a list is one range of DMA addresses, or
	 * one for each entry. [sgl, sgl + nr) are the entries of this range, of @nents of
	 * the list. Before a range ends, its @size is what the list says now; of a list
	 * with many ranges, or segments that are synced, the first is told with @nents, and
	 * the others with 0. sg_exceeds(): a segment that was just mapped is longer than the
	 * device says it can take, or crosses the boundary that it says.
	 */
	void (*mapped_sg)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			  dma_addr_t addr, uint64_t size, const struct scatterlist *sgl,
			  unsigned int nr, unsigned int nents, enum dma_data_direction dir,
			  unsigned long attrs);
	void (*unmapping_sg)(struct base_observer *observer, const void *caller,
			     struct dma_dev *dev, dma_addr_t addr, uint64_t size,
			     unsigned int nents, enum dma_data_direction dir, unsigned long attrs);
	void (*syncing_sg)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			   dma_addr_t addr, uint64_t size, unsigned int nents,
			   enum dma_data_direction dir, bool for_device);
	void (*sg_exceeds)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			   const struct scatterlist *segment, unsigned int max_seg_size,
			   unsigned long boundary);

	/*
	 * Two-step. reserving() comes before the state is zeroed, and may read it; the
	 * others get the state as it is. linked() and synced() come after success,
	 * unlinking() and freeing() before anything of it is undone, whatever is wrong
	 * with the arguments. A destroy is a freeing() with @destroy; dma_iova_free() has
	 * @mapped_len 0 and not @destroy. link_failed() tells the errno of a link that
	 * was refused; @phys and @size are those of the first piece and of all pieces.
	 * linked_page() is a linked() of one whole granule, without attributes.
	 */
	void (*reserving)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			  const struct dma_iova_state *state);
	void (*reserved)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			 const struct dma_iova_state *state);
	void (*linked)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		       const struct dma_iova_state *state, size_t offset,
		       const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
		       unsigned long attrs);
	void (*linked_page)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			    const struct dma_iova_state *state, size_t offset, phys_addr_t phys,
			    enum dma_data_direction dir);
	void (*link_failed)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			    const struct dma_iova_state *state, size_t offset, phys_addr_t phys,
			    size_t size, enum dma_data_direction dir, unsigned long attrs, int err);
	void (*synced)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
		       const struct dma_iova_state *state, size_t offset, size_t size);
	void (*unlinking)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			  const struct dma_iova_state *state, size_t offset, size_t size,
			  enum dma_data_direction dir, unsigned long attrs);
	void (*freeing)(struct base_observer *observer, const void *caller, struct dma_dev *dev,
			const struct dma_iova_state *state, size_t mapped_len, bool destroy,
			enum dma_data_direction dir, unsigned long attrs);
	/* An unlink cut a large entry or a unit: all of [first, last] went. */
	void (*cut)(struct base_observer *observer, const void *caller, dma_addr_t first,
		    dma_addr_t last);

	void (*gather_begun)(struct base_observer *observer, const void *caller,
			     const struct dma_gather *gather);
	void (*gather_ended)(struct base_observer *observer, const struct dma_gather *gather);

	/* Memory had to be bounced and no pool had room; not told with DMA_ATTR_NO_WARN. */
	void (*bounce_failed)(struct base_observer *observer, const void *caller,
			      struct dma_dev *dev, phys_addr_t phys, size_t size);

	/*
	 * Device side, on the device's thread. An IOTLB miss was served; or memory that
	 * is linked was not there to be accessed; or a transfer was refused, after it has
	 * ended.
	 */
	void (*accessed)(struct base_observer *observer, uint32_t device, dma_addr_t addr,
			 bool write);
	void (*memory_gone)(struct base_observer *observer, uint32_t device, dma_addr_t addr,
			    phys_addr_t phys, bool write);
	void (*faulted)(struct base_observer *observer, const struct dma_fault *fault);

	/* The last device has gone; what is live is about to be removed as a leak. */
	void (*closing)(struct base_observer *observer);
	/* Nothing is told any more. @forked: in a child, which owns nothing: free memory only. */
	void (*closed)(struct base_observer *observer, bool forked);
};

/* The first member of an observer's own structure. */
struct base_observer {
	const struct base_observer_ops *ops;
};

#endif
