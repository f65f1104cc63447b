/* SPDX-License-Identifier: MIT */
/*
 * frames: where memory lies on a bus without an IOMMU. What is in use is kept by blocks of
 * 2 MiB: a block is in memory that cannot move, and is asked for when it is first taken and
 * forgotten when it is last released. Nothing is remembered in between, because the program
 * may have put other memory at the same addresses.
 *
 * Two ways to know. By the process's page map, which needs CAP_SYS_ADMIN: huge pages of
 * hugetlbfs, which the kernel does not move by itself. Or by iommufd, which pins a block and
 * tells where it is: then transparent huge pages will do as well.
 *
 * A lock is over all of it. Release allocates nothing and cannot fail.
 */
#ifndef BACKEND_VFIO_FRAMES_H
#define BACKEND_VFIO_FRAMES_H

#include <pthread.h>

#include <twostep/types.h>

#include "base/base.h"

#define FRAMES_BUCKETS 1024

struct frame; /* a block in use */

struct frames {
	pthread_mutex_t lock;
	struct frame *by_memory[FRAMES_BUCKETS], *by_bus[FRAMES_BUCKETS];
	uint64_t nr;
	int pagemap, kpageflags; /* -1: not open */
	int iommufd; /* -1: by the page map; not owned */
	uint32_t ioas;
	uint64_t ioctls;
};

/*
 * @iommufd: with @ioas, to which a device is attached when memory is taken; -1: by the page
 * map. 0; -EPERM, -EACCES, -EOPNOTSUPP with the error text.
 */
int frames_init(struct frames *frames, int iommufd, uint32_t ioas);
/* @forked: in a child of fork(), where nothing is asked. */
void frames_exit(struct frames *frames, bool forked);

/*
 * Where [memory, memory + size) is, which stays there: one piece. 0; -ENXIO without the
 * error text: it is not in huge pages, or not one piece; -ENOMEM, -errno with it.
 */
int frames_take(struct frames *frames, uint64_t memory, uint64_t size, dma_addr_t *addr);
void frames_release(struct frames *frames, uint64_t memory, uint64_t size);
/* The memory at @addr, if it is taken. */
bool frames_find(struct frames *frames, dma_addr_t addr, uint64_t *memory);

#endif
