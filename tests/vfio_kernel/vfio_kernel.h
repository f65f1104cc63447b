/* SPDX-License-Identifier: MIT */
/*
 * vfio_kernel: a stand-in for what the kernel is to the room backend/vfio: /dev/iommu, VFIO's
 * containers, groups and devices, and the sysfs around them. It keeps what is mapped page by
 * page, checks what the kernel checks, in its order and with its codes (Linux 7), and shows
 * the devices' side: what a transfer would reach.
 *
 * One is at work at a time, from fake_start() to fake_stop(). Descriptors it gives out are
 * descriptors of the process, so that they can be counted, closed and inherited.
 *
 * What it does not model: physical pages. A transfer goes where the process has the memory
 * now; whether it was still mapped there when it was pinned is checked at the map ioctl.
 *
 * One lock is around everything. ThreadSanitizer is told to see neither it nor what it
 * protects: as with a kernel, no order between threads comes from a system call.
 */
#ifndef TESTS_VFIO_KERNEL_H
#define TESTS_VFIO_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

#include "backend/vfio/uapi.h"

#define FAKE_PAGE 4096ULL

/* A closed range of I/O addresses. */
struct fake_window {
	uint64_t start;
	uint64_t last;
};

/* The machine. All zero: a machine with everything and no limit that a test meets. */
struct fake_options {
	bool no_iommufd; /* no /dev/iommu */
	bool no_containers; /* no /dev/vfio/vfio and no groups: only cdevs */
	bool no_type1; /* containers, but vfio_iommu_type1 is not loaded */
	bool no_cdevs; /* CONFIG_VFIO_DEVICE_CDEV is off */
	bool no_file_memory; /* before Linux 6.13: no UAPI_IOAS_MAP_FILE */
	bool dmabufs; /* UAPI_IOAS_MAP_FILE takes dma-bufs, as Linux 7 does */
	bool empty_is_error; /* iommufd: an unmap that finds nothing is -ENOENT, as in some versions */
	bool no_dma_avail; /* before Linux 5.10: type1 does not tell how many entries are left */
	bool noiommu; /* vfio's enable_unsafe_noiommu_mode */
	bool noiommu_cdevs; /* and devices without an IOMMU have cdevs, as in Linux 7 */
	bool dirty_tracking; /* the IOMMU has dirty bits */
	bool no_rawio; /* the process has no CAP_SYS_RAWIO */
	struct fake_window aperture; /* last 0: 48 bits */
	uint64_t page_sizes; /* of the IOMMU; 0: 4 KiB, 2 MiB and 1 GiB */
	uint32_t entries; /* of a type1 container; 0: 65535 */
	uint64_t locked_pages; /* the limit of locked memory; 0: none */
};

enum fake_use {
	FAKE_UNUSED,
	FAKE_USED_BY_HOST, /* another device of the group is bound to a driver of the kernel's */
	FAKE_USED_BY_GROUP, /* another process has the group's file open */
	FAKE_USED_BY_CDEV, /* another process has bound the cdev */
};

/* A PCI function. */
struct fake_function {
	const char *bdf; /* in full */
	const char *driver; /* NULL: vfio-pci; "": none */
	int group; /* -1: none; with noiommu VFIO makes one */
	bool no_isolated_msi; /* interrupts are not remapped: binding it is refused */
	struct fake_window aperture; /* of its IOMMU; last 0: the machine's */
	const struct fake_window *reserved;
	size_t nr_reserved;
};

/* Start; false: the kernel underneath cannot serve it, and the test must be skipped. */
bool fake_start(const struct fake_options *options);
/* Everything is forgotten, also what is open. */
void fake_stop(void);
/* Change the machine; what is open stays as it is. */
void fake_configure(const struct fake_options *options);
/* Plug a function in; its number. */
int fake_plug(const struct fake_function *function);
void fake_set_use(int function, enum fake_use use);
/* open() of @path, without the root, gives @err; 0: as it would be. */
void fake_refuse_open(const char *path, int err);
/* A new descriptor of @size bytes that stands for a dma-buf. */
int fake_dmabuf(size_t size);
/* Another thing with a container: the root of its /sys and /dev. */
const char *fake_root(void);

/* The log: one record an ioctl, in the order in which they ended. */
struct fake_call {
	unsigned long request;
	uint64_t iova;
	uint64_t size;
	int result;
};

/* Ioctls of a kind since the last fake_forget(); 0: all of them. */
size_t fake_count(unsigned long request);
/* Those that map, and those that unmap, in either way. */
size_t fake_maps(void);
size_t fake_unmaps(void);
/* Copies the first @max records; returns how many there are. */
size_t fake_log(struct fake_call *calls, size_t max);
void fake_forget(void);

/* The @nth ioctl of the kind from now on (1 is the next) fails with @err, without effect. */
void fake_fail(unsigned long request, unsigned int nth, int err);
/* So do all after it. */
void fake_fail_from(unsigned long request, unsigned int nth, int err);
/* Every @n-th does. In all three, 0 ends what was ordered for the kind. */
void fake_fail_every(unsigned long request, unsigned int n, int err);

enum fake_when {
	FAKE_BEFORE, /* it has no effect yet */
	FAKE_AFTER,
};

/* The @nth ioctl of the kind from now on stops before or after it has taken effect. */
void fake_pause(unsigned long request, unsigned int nth, enum fake_when when);
/* Wait until it has stopped; let it go on. */
void fake_wait_paused(void);
void fake_resume(void);

/*
 * The devices' side. All of [iova, iova + size) must be mapped for the function, with the
 * permission. NULL or -EFAULT otherwise; fake_read() and fake_write() then have moved what
 * lies before. fake_reach() also wants it in one piece in memory.
 */
void *fake_reach(int function, uint64_t iova, size_t size, bool write);
int fake_read(int function, uint64_t iova, void *buf, size_t len);
int fake_write(int function, uint64_t iova, const void *buf, size_t len);
/* Bytes and maps that the function can reach at all. */
uint64_t fake_mapped(int function);
size_t fake_areas(int function);
/* Physical addresses of no-IOMMU devices are the stand-in's: to 2 MiB blocks, in disorder. */
uint64_t fake_phys(const void *memory);
void *fake_phys_reach(uint64_t phys);

/* What the process holds of the kernel now. */
uint64_t fake_locked(void);
size_t fake_open_files(void);
/* Whether the function may start transfers: bus mastering in its command register. */
bool fake_bus_master(int function);
/* Requests that would have cut a map in two, successful or not: a library makes none. */
size_t fake_cuts(void);

#endif
