/* SPDX-License-Identifier: MIT */
/* Interrupts of a device, as events. */
#include <linux/vfio.h>

#include "backend/vfio/device.h"
#include "base/base.h"

static int switch_off(struct vfio_device *device, unsigned int index)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	return vfio_kernel->ioctl(device->fd, VFIO_DEVICE_SET_IRQS, &set);
}

void vfio_device_irqs_off(struct vfio_device *device)
{
	pthread_mutex_lock(&device->lock);
	if (device->irq_index >= 0)
		switch_off(device, (unsigned int)device->irq_index);
	device->irq_index = -1;
	device->irq_count = 0;
	pthread_mutex_unlock(&device->lock);
}
