/* SPDX-License-Identifier: MIT */
/*
 * uapi_device: what the kernel's interface to devices has that the headers of older systems
 * do not (Linux 7.0, include/uapi/linux/vfio.h), under names of our own.
 */
#ifndef BACKEND_VFIO_UAPI_DEVICE_H
#define BACKEND_VFIO_UAPI_DEVICE_H

#include <stdint.h>

/* Numbers of features (VFIO_DEVICE_FEATURE). */
#define UAPI_FEATURE_MIGRATION 1U /* 5.18 */
#define UAPI_FEATURE_LOW_POWER 3U /* 6.1: entry */
#define UAPI_FEATURE_DMA_LOGGING 6U /* 6.1: start */
#define UAPI_FEATURE_MIG_DATA_SIZE 9U /* 6.2 */
#define UAPI_FEATURE_DMA_BUF 11U /* 6.19 */

/* What a device says of its migration. */
struct uapi_migration {
	uint64_t flags;
};
#define UAPI_MIGRATION_STOP_COPY (1U << 0)
#define UAPI_MIGRATION_P2P (1U << 1)
#define UAPI_MIGRATION_PRE_COPY (1U << 2)

struct uapi_dmabuf_range {
	uint64_t offset; /* in the region, whole pages */
	uint64_t length;
};

/* The argument of a get: a dma-buf of ranges of one region; the call returns its descriptor. */
struct uapi_dmabuf {
	uint32_t region;
	uint32_t open_flags; /* as of open() */
	uint32_t flags; /* 0 */
	uint32_t nr_ranges; /* they follow */
};

/* Flags of struct vfio_pci_hot_reset_info, for devices opened without their group (6.6). */
#define UAPI_HOT_RESET_DEV_ID (1U << 0)
#define UAPI_HOT_RESET_DEV_ID_OWNED (1U << 1)

/*
 * The heads of VFIO_DEVICE_FEATURE and VFIO_DEVICE_PCI_HOT_RESET: the kernel's have an array
 * of no length behind them, so that nothing of ours could follow.
 */
struct uapi_feature_head {
	uint32_t size;
	uint32_t flags;
};
struct uapi_hot_reset_head {
	uint32_t size;
	uint32_t flags;
	uint32_t count;
};

#endif
