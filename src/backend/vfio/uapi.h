/* SPDX-License-Identifier: MIT */
/*
 * uapi: what the kernel's interface has and the headers of older systems have not: all of
 * iommufd, and how a VFIO device is given to it. Layouts and numbers are those of
 * include/uapi/linux/iommufd.h and vfio.h of Linux 7.x; each structure begins with its size,
 * so that kernels older and newer than it understand each other.
 */
#ifndef BACKEND_VFIO_UAPI_H
#define BACKEND_VFIO_UAPI_H

#include <linux/ioctl.h>
#include <stdint.h>

#define UAPI_IOMMU(nr) _IO(';', nr)

#define UAPI_DESTROY UAPI_IOMMU(0x80)
struct uapi_destroy {
	uint32_t size;
	uint32_t id;
};

#define UAPI_IOAS_ALLOC UAPI_IOMMU(0x81)
struct uapi_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id; /* out */
};

#define UAPI_IOAS_ALLOW_IOVAS UAPI_IOMMU(0x82)
#define UAPI_IOAS_IOVA_RANGES UAPI_IOMMU(0x84)
struct uapi_iova_range {
	uint64_t start;
	uint64_t last;
};
struct uapi_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t nr; /* room in; how many there are out, also with -EMSGSIZE */
	uint32_t reserved;
	uint64_t ranges; /* pointer */
	uint64_t alignment; /* out; not part of ALLOW_IOVAS */
};

/* Flags of map, map by file and copy. */
#define UAPI_MAP_FIXED 1U
#define UAPI_MAP_WRITEABLE 2U
#define UAPI_MAP_READABLE 4U

#define UAPI_IOAS_MAP UAPI_IOMMU(0x85)
struct uapi_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova;
};

#define UAPI_IOAS_COPY UAPI_IOMMU(0x83)
struct uapi_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	uint64_t length;
	uint64_t dst_iova;
	uint64_t src_iova;
};

#define UAPI_IOAS_UNMAP UAPI_IOMMU(0x86)
struct uapi_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length; /* out: what was unmapped */
};

#define UAPI_OPTION UAPI_IOMMU(0x87)
#define UAPI_OPTION_RLIMIT_MODE 0U
#define UAPI_OPTION_HUGE_PAGES 1U
struct uapi_option {
	uint32_t size;
	uint32_t option;
	uint16_t op; /* 0: set, 1: get */
	uint16_t reserved;
	uint32_t object_id;
	uint64_t value;
};

#define UAPI_HWPT_ALLOC UAPI_IOMMU(0x89)
#define UAPI_HWPT_NEST_PARENT 1U
#define UAPI_HWPT_DIRTY_TRACKING 2U
struct uapi_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t hwpt_id; /* out */
	uint32_t reserved;
	uint32_t data_type;
	uint32_t data_len;
	uint64_t data;
	uint32_t fault_id;
	uint32_t reserved2;
};

#define UAPI_GET_HW_INFO UAPI_IOMMU(0x8a)
#define UAPI_HW_INFO_INTEL 1U
#define UAPI_HW_INFO_SMMUV3 2U
#define UAPI_HW_INFO_AMD 4U
#define UAPI_HW_CAP_DIRTY_TRACKING 1ULL
struct uapi_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t data_len;
	uint64_t data;
	uint32_t type; /* out */
	uint8_t max_pasid_log2;
	uint8_t reserved[3];
	uint64_t capabilities; /* out */
};

#define UAPI_HWPT_SET_DIRTY_TRACKING UAPI_IOMMU(0x8b)
struct uapi_set_dirty_tracking {
	uint32_t size;
	uint32_t flags; /* 1: on */
	uint32_t hwpt_id;
	uint32_t reserved;
};

#define UAPI_HWPT_GET_DIRTY_BITMAP UAPI_IOMMU(0x8c)
#define UAPI_DIRTY_NO_CLEAR 1U
struct uapi_dirty_bitmap {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t reserved;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t bitmap; /* pointer */
};

#define UAPI_IOAS_MAP_FILE UAPI_IOMMU(0x8f)
struct uapi_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	uint64_t start;
	uint64_t length;
	uint64_t iova;
};

/* Linux 7: for devices without an IOMMU, which do not translate what is mapped. */
#define UAPI_IOAS_NOIOMMU_GET_PA UAPI_IOMMU(0x95)
struct uapi_noiommu_get_pa {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t reserved;
	uint64_t iova;
	uint64_t length; /* in: at most; out: contiguous in memory */
	uint64_t phys; /* out */
};

/* Of /proc/self/pagemap, include/uapi/linux/fs.h; since Linux 6.7. */
#define UAPI_PAGE_IS_PRESENT (1ULL << 3)
#define UAPI_PAGE_IS_HUGE (1ULL << 6)
struct uapi_page_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};
struct uapi_page_scan {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end; /* out */
	uint64_t vec; /* pointer */
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};
#define UAPI_PAGEMAP_SCAN _IOWR('f', 16, struct uapi_page_scan)

/* Of a VFIO device: 100 is VFIO_BASE. */
#define UAPI_VFIO(nr) _IO(';', 100 + (nr))

#define UAPI_DEVICE_BIND_IOMMUFD UAPI_VFIO(18)
struct uapi_bind_iommufd {
	uint32_t size;
	uint32_t flags;
	int32_t iommufd;
	uint32_t dev_id; /* out */
};

#define UAPI_DEVICE_ATTACH_PT UAPI_VFIO(19)
struct uapi_attach_pt {
	uint32_t size;
	uint32_t flags;
	uint32_t pt_id; /* in: IOAS or HWPT; out: the HWPT */
};

#define UAPI_DEVICE_DETACH_PT UAPI_VFIO(20)
struct uapi_detach_pt {
	uint32_t size;
	uint32_t flags;
};

#endif
