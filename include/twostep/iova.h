/* SPDX-License-Identifier: MIT */
/**
 * DOC: two-step mapping
 *
 * Reserve an IOVA range once, link memory into it piece by piece, sync once, and
 * give the device one contiguous address. The life of a state::
 *
 *	zeroed -> dma_iova_try_alloc()
 *	       -> { dma_iova_link()* -> dma_iova_sync() -> device -> dma_iova_unlink() }*
 *	       -> dma_iova_free(), or dma_iova_destroy() for the last two at once
 *
 * A state is 16 bytes, may be copied by value and passed between threads. Links
 * and unlinks at different offsets of one state may run in parallel; calls on
 * overlapping offsets must not.
 */
#ifndef TWOSTEP_IOVA_H
#define TWOSTEP_IOVA_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct dma_iova_state - a reserved IOVA range
 * @addr: what the device gets: first byte of the range, with the offset in the
 *	granule of the first memory
 * @__size: bytes asked for and private flags; read it with dma_iova_size()
 */
struct dma_iova_state {
	dma_addr_t addr;
	uint64_t __size;
};

/*
 * Private bits of @__size: part of the range was bounced; the range is one unit; the
 * device needs its memory bounced or synced at every link.
 */
#define __DMA_IOVA_BOUNCED (1ULL << 63)
#define __DMA_IOVA_WHOLE (1ULL << 62)
#define __DMA_IOVA_SETTLE (1ULL << 61)
#define __DMA_IOVA_FLAGS (7ULL << 61)

/*
 * Size and flags. A link at another offset may set a flag at the same time, which says
 * nothing to whoever asks here.
 */
static inline uint64_t __dma_iova_word(const struct dma_iova_state *state)
{
	return __atomic_load_n(&state->__size, __ATOMIC_RELAXED);
}

/** dma_use_iova - whether a state holds a reservation */
static inline bool dma_use_iova(const struct dma_iova_state *state)
{
	return __dma_iova_word(state) != 0;
}

/** dma_iova_size - bytes asked for when it was reserved */
static inline size_t dma_iova_size(const struct dma_iova_state *state)
{
	return (size_t)(__dma_iova_word(state) & ~__DMA_IOVA_FLAGS);
}

/**
 * dma_iova_try_alloc - reserve an IOVA range
 * @dev: the device that will perform the DMA
 * @state: zeroed first, always; filled on success
 * @phys: where the first piece is; only its offset in the granule counts, 0 for
 *	aligned data
 * @size: bytes
 *
 * Nothing is mapped yet. The range is aligned to its size rounded up to a power
 * of two, lies below the device's mask and is never at address 0.
 *
 * Return: true; false if the device does not translate (``direct:``) or maps only what
 * is mapped ahead (``map=ahead``), @size is 0 or has one of its three highest bits set,
 * or no address space is left. False is a normal answer: use dma_map_phys() instead.
 */
bool dma_iova_try_alloc(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
			size_t size);

/** The range is one unit: links merge into the fewest entries, unlinking part is misuse. */
#define DMA_IOVA_WHOLE (1U << 0)

/**
 * dma_iova_try_alloc_flags - reserve with an alignment and flags
 * @align: alignment of the range in bytes, a power of two; 0 for the default,
 *	which is also the least
 * @flags: 0 or DMA_IOVA_WHOLE
 *
 * Return: as dma_iova_try_alloc(); also false for an @align that is no power of
 * two or for unknown @flags.
 */
bool dma_iova_try_alloc_flags(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
			      size_t size, size_t align, unsigned int flags);

/**
 * dma_iova_free - give a reservation back
 *
 * All links must be gone; those that are not are removed, and that is misuse.
 * The state is not cleared. Freeing twice changes nothing and is misuse.
 */
void dma_iova_free(struct dma_dev *dev, struct dma_iova_state *state);

/**
 * dma_iova_destroy - unlink a prefix and give the reservation back
 * @mapped_len: bytes linked, from the beginning; may be 0
 * @dir: as linked
 * @attrs: as linked
 *
 * When it returns the device cannot reach the memory. What is linked beyond
 * @mapped_len is removed too, and that is misuse.
 */
void dma_iova_destroy(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
		      enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_iova_link - put memory at an offset of the range
 * @phys: where the memory is; only the first piece may start inside a granule
 * @offset: byte offset in the range
 * @size: bytes
 * @dir: what the device will do
 * @attrs: DMA_ATTR_*
 *
 * Links may come in any order. On failure nothing has changed and nothing of it
 * was ever visible to the device.
 *
 * Return, first match: 0; -EPERM in a forked child; -EINVAL (the device
 * translates nothing); -ERANGE (a state beyond the device's addresses); -EIO (@phys not aligned, @offset not 0); -EOPNOTSUPP
 * (DMA_ATTR_REQUIRE_COHERENT on a non-coherent device or a bounced range);
 * -EPERM (would have to be bounced and must not); -EINVAL (@size 0, no
 * direction, memory that is not registered); -ENXIO (offset in the granule does
 * not match); -ERANGE (past the reservation, or memory beyond the format's
 * addresses); -ENOMEM (would have to be bounced and cannot); -ENXIO (memory that the
 * kernel cannot map for a real device: type 1 takes what has a CPU mapping, iommufd
 * also what has a descriptor); -EADDRINUSE (already linked there); -ENOMEM (table memory
 * exhausted).
 */
int dma_iova_link(struct dma_dev *dev, struct dma_iova_state *state, phys_addr_t phys,
		  size_t offset, size_t size, enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_iova_link_vec - link a scattered buffer in one call
 * @vec: the pieces
 * @nr_vecs: how many, at least 1
 * @offset: where the first one goes; the others follow without a gap
 *
 * As @nr_vecs links at running offsets, but all or nothing. Pieces that are
 * contiguous in memory are one unit.
 *
 * Return: as dma_iova_link(); -EINVAL for @nr_vecs 0. What is wrong with the
 * arguments of any piece comes before what is wrong with its place, and the first
 * piece's error before the next one's.
 */
int dma_iova_link_vec(struct dma_dev *dev, struct dma_iova_state *state, const struct phys_vec *vec,
		      size_t nr_vecs, size_t offset, enum dma_data_direction dir,
		      unsigned long attrs);

/**
 * dma_iova_link_mapped - link what another device has mapped
 * @offset: byte offset in the range
 * @from: the other device, of any space but one without an IOMMU
 * @addr: a DMA address of @from's, behind which memory is linked or mapped
 * @size: bytes, all of them mapped for @from; they stay so during the call
 * @dir: what @dev will do; @from's mapping does not limit it
 * @attrs: DMA_ATTR_*
 *
 * As dma_iova_link_vec() of the memory behind @addr, without knowing what it is. Afterwards the
 * two links have nothing to do with each other: either may go first. Between two spaces of
 * iommufd the kernel shares the pinned pages, where the places are mapped alike; the device
 * may then reach them before dma_iova_sync(), which is due all the same.
 *
 * Return: as dma_iova_link_vec(); -ENOENT if something there is not mapped; -EPERM if it is a bounce
 * buffer; -EINVAL if there are no such addresses, or @from has no IOMMU; -ENOMEM.
 */
int dma_iova_link_mapped(struct dma_dev *dev, struct dma_iova_state *state, size_t offset,
			 struct dma_dev *from, dma_addr_t addr, size_t size,
			 enum dma_data_direction dir, unsigned long attrs);

/**
 * dma_iova_sync - make what was linked visible to the device
 *
 * Needed once, after the last link and before the device is told the address.
 *
 * Return, first match: 0; -EPERM in a forked child; -EINVAL for @size 0 or a device
 * that translates nothing; -ERANGE past the reservation; or the errno of the
 * backend, after which earlier synced links stay and the caller destroys or
 * retries.
 */
int dma_iova_sync(struct dma_dev *dev, struct dma_iova_state *state, size_t offset, size_t size);

/**
 * dma_iova_unlink - take memory out of the range
 *
 * The range is widened to whole granules. When it returns the device cannot
 * reach the memory. The addresses stay reserved and can be linked again. Parts
 * where nothing was linked are skipped, and that is misuse.
 */
void dma_iova_unlink(struct dma_dev *dev, struct dma_iova_state *state, size_t offset, size_t size,
		     enum dma_data_direction dir, unsigned long attrs);

/* Gathering: many unlinks, one invalidation. */

#define DMA_GATHER_RANGES 64

/**
 * struct dma_gather - unlinks that wait for one invalidation
 *
 * Belongs to one thread and one address space; lives where the caller puts it, and
 * must be ended before the last device of the space is closed. The members are
 * private.
 */
struct dma_gather {
	struct dma_space *space;
	uint64_t *free_tables;
	void *bounced;
	uint64_t mark;
	uint64_t count;
	struct {
		dma_addr_t addr;
		uint64_t info;
	} range[DMA_GATHER_RANGES];
};

/**
 * dma_gather_begin - start to gather
 * @dev: a device of the space; NULL makes every call with @gather simply strict
 * @gather: need not be initialised
 */
void dma_gather_begin(struct dma_dev *dev, struct dma_gather *gather);

/**
 * dma_gather_end - make all gathered unlinks final
 *
 * When it returns, no device of the space can reach the memory, and IOVA and
 * table memory are free again. What was bounced comes back now and not before: until
 * then the memory has its old bytes, and what is written to it is lost.
 * Cannot fail. The gather may be begun again; until then it makes calls strict.
 */
void dma_gather_end(struct dma_gather *gather);

/**
 * dma_iova_unlink_gather - dma_iova_unlink(), made final by dma_gather_end()
 *
 * Linking into the range before that is allowed and makes it final first. A
 * gather of another space, or NULL, makes the call strict.
 */
void dma_iova_unlink_gather(struct dma_dev *dev, struct dma_iova_state *state, size_t offset,
			    size_t size, enum dma_data_direction dir, unsigned long attrs,
			    struct dma_gather *gather);

/** dma_iova_destroy_gather - dma_iova_destroy(), made final by dma_gather_end() */
void dma_iova_destroy_gather(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
			     enum dma_data_direction dir, unsigned long attrs,
			     struct dma_gather *gather);

#ifdef __cplusplus
}
#endif
#endif
