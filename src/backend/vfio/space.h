/* SPDX-License-Identifier: MIT */
/*
 * space: an I/O address space of the kernel's, which is changed by ioctls.
 *
 * What is linked is in the *shadow*, a page table that no hardware reads: a link stores
 * there, and overlap and bounds are told at once. A leaf is *pending* while no extent
 * covers it; a sync makes extents of what is pending. Leaves carry JOINS where they go on
 * with the unit of the leaf before them, so that no ioctl spans two units; it is set after
 * the leaf is stored, and a sync that runs meanwhile only makes more extents than needed.
 *
 * An unlink takes leaves out of the shadow and leaves their extents dead, and the
 * invalidation that follows unmaps what is dead in its range: neighbours by one ioctl, and
 * over the holes between them where the unlink's caller has these addresses (`joined`).
 * A range that holds anything else is never sent. So a gather costs one ioctl for what
 * lies side by side in it.
 *
 * Where an unlink cuts an extent, all of the extent goes.
 *
 * Files: link.c changes the shadow, map.c what the kernel has mapped, attach.c has the devices,
 * space.c the life of a space; extents.c is the tree, explain.c has the sentences.
 *
 * Locking: `lock` covers extents, unhooking of tables and the list of ports, and is never
 * held over an ioctl that maps or unmaps. Extents that a thread has taken for its ioctls
 * are BUSY or DYING: who needs them waits on `changed`, and never while it holds some of
 * its own. Links take no lock: they store in addresses that they own, to tables that only
 * an owner of all their addresses unhooks. In a forked child nothing is locked; it only
 * frees.
 */
#ifndef BACKEND_VFIO_SPACE_H
#define BACKEND_VFIO_SPACE_H

#include "backend/tables.h"
#include "backend/vfio/extents.h"
#include "backend/vfio/vfio.h"
#include "memory/memory.h"
#include "pgtable/format.h"

/* In a leaf: it goes on with the unit of the one before. */
#define LEAF_JOINS (1ULL << PGT_SOFTWARE_SHIFT)

/* What is mapped by one ioctl. */
struct vfio_piece {
	dma_addr_t iova;
	uint64_t size;
	phys_addr_t phys;
	const struct memory_record *record; /* NULL: ordinary memory */
	unsigned int access; /* PGT_READ | PGT_WRITE */
};

struct vfio_space;

/* What differs between the ways to the kernel. Errors come with the error text. */
struct vfio_way {
	const char *name;
	int (*open)(struct vfio_space *space);
	/* @forked: in a child, which only gives up what it has inherited. */
	void (*close)(struct vfio_space *space, bool forked);
	/* Under the lock. Attach gives port->device and space->allowed. */
	int (*attach)(struct vfio_space *space, struct vfio_port *port,
		      const struct vfio_place *place);
	void (*detach)(struct vfio_space *space, struct vfio_port *port);
	/* Whether such memory can be mapped at all; 0 or -ENXIO. */
	int (*check)(const struct vfio_space *space, const struct memory_record *record);
	/* Of @nr more extents: 0, or -ENOSPC: the kernel would refuse. Under the lock. */
	int (*room)(const struct vfio_space *space, uint64_t nr);
	int (*map)(struct vfio_space *space, const struct vfio_piece *piece);
	/* @piece is mapped in @from at @from_iova, by one ioctl. Without text; NULL: not possible. */
	int (*copy)(struct vfio_space *space, const struct vfio_piece *piece,
		    const struct vfio_space *from, dma_addr_t from_iova);
	/* Without text; *@unmapped is how many bytes went. */
	int (*unmap)(struct vfio_space *space, dma_addr_t iova, uint64_t size, uint64_t *unmapped);
};

extern const struct vfio_way vfio_iommufd, vfio_type1;

struct vfio_space {
	struct backend be;
	const struct vfio_way *way;
	struct backend_ops ops; /* named after the way */
	struct table_arena tables;
	struct pgtable shadow;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct extents extents;
	uint64_t taken; /* of them BUSY or DYING */
	uint64_t ioctls; /* that map or unmap */
	struct vfio_port *ports;
	/* What devices may be given, ascending. */
	struct backend_range allowed[VFIO_MAX_RANGES];
	size_t nr_allowed;
	int fd; /* /dev/iommu, or the container */
	struct iommufd_context *context; /* iommufd: what `fd` is of */
	uint32_t ioas; /* iommufd */
	uint64_t max_extents; /* type1; 0: not known */
	bool ready; /* type1: the container has its IOMMU */
	struct vfio_group *groups; /* type1 */
};

static inline struct vfio_space *vfio_space_of(struct backend *be)
{
	return container_of(be, struct vfio_space, be);
}

/*
 * Why mapping @piece has failed with @err, as the error text: limits, memory that is gone,
 * memory that may only be read. Returns @err.
 */
int vfio_map_error(const struct vfio_space *space, const struct vfio_piece *piece, int err);

/* Where the CPU has @piece, or NULL. */
static inline void *vfio_piece_cpu(const struct vfio_piece *piece)
{
	if (!piece->record)
		return (void *)(uintptr_t)piece->phys;
	return piece->record->cpu ? (char *)piece->record->cpu + (piece->phys - piece->record->base)
				  : NULL;
}

/* link.c, map.c, attach.c: the ops of a space. */
int vfio_link(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova,
	      const struct phys_vec *vec, size_t nr_vecs, enum dma_data_direction dir,
	      unsigned long attrs, struct pgt_linked *linked);
void vfio_unlink(struct backend *be, struct pgt_cursor *cursor, dma_addr_t iova, uint64_t size,
		 uint64_t mark, struct pgt_removed *removed);
int vfio_sync(struct backend *be, dma_addr_t iova, uint64_t size, bool whole);
void vfio_copy(struct backend *be, dma_addr_t iova, uint64_t size, struct backend *from_be,
	       dma_addr_t from_iova);
void vfio_invalidate(struct backend *be, const struct backend_range *ranges, size_t nr);
void vfio_drain(struct backend *be);
int vfio_port_open(struct backend *be, const struct port_options *options, uint32_t number,
		   struct dma_port **opened);
void vfio_port_close(struct backend *be, struct dma_port *opened);
size_t vfio_port_windows(struct backend *be, struct dma_port *port, struct backend_range *windows,
			 size_t max);

/* What devices may be given, from ascending ranges of the kernel's. 0, or -ENOSPC. */
int vfio_set_allowed(struct vfio_space *space, const struct backend_range *ranges, size_t nr,
		     const char *bdf);

#endif
