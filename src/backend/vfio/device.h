/* SPDX-License-Identifier: MIT */
/*
 * device: one device that VFIO has given out: its regions, interrupts and resets. How it
 * was got, and what it may reach, is the affair of others.
 *
 * Owned by the port that has it. Calls may come from several threads, but for open and
 * close; interrupts have a lock.
 */
#ifndef BACKEND_VFIO_DEVICE_H
#define BACKEND_VFIO_DEVICE_H

#include <pthread.h>

#include "backend/vfio/find.h"
#include "backend/vfio/kernel.h"

struct vfio_device {
	int fd;
	struct vfio_place place;
	pthread_mutex_t lock; /* over interrupts */
};

/* Take over @fd, a device of VFIO's, also on failure. 0 or -errno with the error text. */
int vfio_device_open(struct vfio_device *device, int fd, const struct vfio_place *place);
/* Interrupts off, bus mastering off, closed. */
void vfio_device_close(struct vfio_device *device);

#endif
