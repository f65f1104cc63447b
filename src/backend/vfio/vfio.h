/* SPDX-License-Identifier: MIT */
/*
 * vfio: real devices, behind the kernel's IOMMU, by ioctls.
 *
 * Three ways to the kernel: iommufd.c, type1.c and noiommu.c. The first two share space.c:
 * what is linked is in a page table of our own, the *shadow*, which no hardware reads; a
 * link stores there, a sync maps in the kernel what is not yet mapped, and an invalidation
 * unmaps what was unlinked.
 */
#ifndef BACKEND_VFIO_VFIO_H
#define BACKEND_VFIO_VFIO_H

#include "backend/backend.h"
#include "backend/vfio/device.h"

/* Windows between what the kernel lets devices have; more of them are joined. */
#define VFIO_MAX_RANGES 16

struct vfio_group;

struct vfio_port {
	struct dma_port port;
	struct vfio_device device;
	struct vfio_port *next; /* in the space */
	struct vfio_group *group; /* type1 */
	uint32_t dev_id; /* iommufd */
};

/* What a space is made with. */
struct vfio_options {
	const char *way; /* "vfio-iommufd", "vfio-type1"; "vfio": what the kernel has */
	const char *bdf; /* of the first device */
};

/* 0; -EINVAL, -ENODEV, -EACCES, -EOPNOTSUPP, -ENOMEM with the error text. */
int vfio_backend_create(const struct vfio_options *options, struct backend **be);

/* noiommu.c: devices that are behind no IOMMU. 0; -ENOMEM with the error text. */
int noiommu_backend_create(struct backend **be);

/* Take a port, which is there, off a list. */
void vfio_ports_remove(struct vfio_port **ports, const struct vfio_port *port);

/*
 * Ops of what there is not: a count of nothing; faults, which the kernel tells nobody; routes to
 * peers, which are the IOMMU's affair.
 */
uint64_t vfio_none(struct backend *be);
int vfio_no_faults(struct backend *be, struct dma_fault *faults, size_t max, uint64_t *lost);
void vfio_no_routes(struct backend *be, struct dma_port *port, const struct peer_routes *routes);

/* What tells a real device's port from others. */
extern const struct port_ops vfio_port_ops;

/* The port of a device of VFIO's, or NULL if it is another's. */
struct vfio_port *vfio_port_of(struct dma_port *port);

#endif
