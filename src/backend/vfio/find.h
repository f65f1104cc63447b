/* SPDX-License-Identifier: MIT */
/*
 * find: what sysfs says of a PCI function: who drives it, in which IOMMU group it is, and by
 * which files VFIO gives it out.
 */
#ifndef BACKEND_VFIO_FIND_H
#define BACKEND_VFIO_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFIO_BDF 20 /* DDDD:BB:DD.F and its end; behind some controllers domains are longer */
#define VFIO_FILE 64

struct vfio_place {
	char bdf[VFIO_BDF]; /* in full, lower case */
	char driver[32]; /* "" for none */
	int group; /* IOMMU group; -1: none */
	char group_file[VFIO_FILE]; /* /dev/vfio/7, /dev/vfio/noiommu-7; "" if there is none */
	char cdev_file[VFIO_FILE]; /* /dev/vfio/devices/vfio0; "" if there is none */
	bool noiommu; /* the group is VFIO's own, for a device without an IOMMU */
	uint16_t vendor_id, device_id;
	uint32_t class_code;
};

/*
 * Find a function by its name, with or without the domain. 0; -EINVAL: no such name can be;
 * -ENODEV: no such function, or no sysfs; with the error text.
 */
int vfio_find(const char *bdf, struct vfio_place *place);

/* Whether the driver is VFIO's: vfio-pci, or one that a vendor has made of it. */
bool vfio_is_bound(const struct vfio_place *place);
/* Whether the module was told to give out devices without an IOMMU. */
bool vfio_noiommu_allowed(void);

/* 0 if the function is bound to a driver of VFIO's; -ENODEV with a text that says what to do. */
int vfio_check_bound(const struct vfio_place *place);

#endif
