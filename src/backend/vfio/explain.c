/* SPDX-License-Identifier: MIT */
/* What the kernel's refusals mean, in sentences. */
#include <sys/resource.h>

#include "backend/vfio/space.h"

static int no_memory(const struct vfio_space *space, const struct vfio_piece *piece)
{
	unsigned long long mapped = counter_read(&space->extents.bytes) - piece->size;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= mapped + piece->size)
		return base_error(-ENOMEM,
				  "cannot map %llu bytes at 0x%llx: the kernel has no memory for "
				  "it, with %llu bytes mapped in this space; unmap something, or "
				  "raise the limit of locked memory (ulimit -l) if other programs "
				  "of this user have used it up",
				  (unsigned long long)piece->size, (unsigned long long)piece->iova,
				  mapped);
	return base_error(-ENOMEM,
			  "cannot map %llu bytes at 0x%llx: mapped memory is locked, %llu bytes "
			  "are, and the limit is %llu; raise it (ulimit -l), or unmap something",
			  (unsigned long long)piece->size, (unsigned long long)piece->iova, mapped,
			  (unsigned long long)limit.rlim_cur);
}

int vfio_map_error(const struct vfio_space *space, const struct vfio_piece *piece, int err)
{
	unsigned long long size = piece->size, iova = piece->iova, phys = piece->phys;

	switch (err) {
	case -ENOMEM:
		return no_memory(space, piece);
	case -EFAULT:
		return base_error(err,
				  "cannot map %llu bytes of 0x%llx at 0x%llx: the memory is not "
				  "there any more%s, or is of a kind that the kernel cannot lock",
				  size, phys, iova,
				  piece->access & PGT_WRITE
					  ? ", or may only be read and the device is to write"
					  : "");
	case -EEXIST:
	case -EADDRINUSE:
		return base_error(err,
				  "cannot map %llu bytes at 0x%llx: the kernel has something "
				  "mapped there that this program does not know of",
				  size, iova);
	case -ENOSPC:
		return base_error(err,
				  "cannot map %llu bytes at 0x%llx: the space has as many mappings "
				  "as the kernel allows (%llu here); link larger pieces, or raise "
				  "dma_entry_limit of vfio_iommu_type1",
				  size, iova,
				  (unsigned long long)counter_read(&space->extents.nr) - 1);
	case -EOPNOTSUPP:
	case -ENOTTY:
		return base_error(-EOPNOTSUPP,
				  "cannot map %llu bytes of 0x%llx at 0x%llx: this kernel does not "
				  "map such memory by its file; give it a CPU mapping",
				  size, phys, iova);
	default:
		return base_error(err, "cannot map %llu bytes of 0x%llx at 0x%llx: %s", size, phys,
				  iova, strerror(-err));
	}
}
