/* SPDX-License-Identifier: MIT */
/* Parts of BARs that are registered memory. */
#include "backend/vfio/device.h"
#include "base/base.h"
#include "memory/memory.h"

void vfio_registered_add(struct vfio_device *device, struct vfio_registered *registered)
{
	registered->device = device;
	pthread_mutex_lock(&device->lock);
	registered->next = device->registered;
	device->registered = registered;
	pthread_mutex_unlock(&device->lock);
}

struct vfio_registered *vfio_registered_take(struct vfio_device *device, phys_addr_t base)
{
	struct vfio_registered **at, *found;

	pthread_mutex_lock(&device->lock);
	for (at = &device->registered; *at && (*at)->base != base; at = &(*at)->next)
		;
	found = *at;
	if (found)
		*at = found->next;
	pthread_mutex_unlock(&device->lock);
	return found;
}

void vfio_registered_drop(struct vfio_device *device, bool forked)
{
	while (device->registered) {
		struct vfio_registered *registered = device->registered;

		device->registered = registered->next;
		/* Who still has it mapped keeps addresses at which nothing is found. */
		if (forked || (!registered->peer && dma_memory_unregister(registered->base)))
			memory_hide_for_good(registered->base);
		base_free(registered);
	}
}
