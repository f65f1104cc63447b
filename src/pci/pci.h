/* SPDX-License-Identifier: MIT */
/*
 * pci: what is PCI about a real device, for its driver, and giving devices to VFIO and back.
 *
 * It owns nothing: regions, interrupts and mappings are those of the device in
 * backend/vfio/device.h, which the device's port owns; memory of BARs is registered below
 * (memory/, dma/p2p.h) and recorded there. All access to the system goes through the table in
 * backend/vfio/kernel.h.
 *
 * Locking: none here.
 */
#ifndef PCI_PCI_H
#define PCI_PCI_H

#include <twostep/pci.h>

#include "backend/vfio/device.h"
#include "base/base.h"

/* The real device behind @dev. 0; -EPERM in a forked child; -EOPNOTSUPP: it is in software. */
int pci_device(struct dma_dev *dev, struct vfio_device **device);

/* in_use.c */

/* 0; -EBUSY, or -EACCES if it cannot be told, with the error text: what a device carries. */
int pci_in_use(const struct vfio_place *place);
/* The process that has a device open through VFIO: its number; 0: none that can be seen. */
long pci_holder(const struct vfio_place *place);

/* A path below /sys/bus/pci/devices. */
void pci_path(const struct vfio_place *place, const char *file, char *path, size_t size);

#endif
