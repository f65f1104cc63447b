/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of a device, as events. The kernel has one kind of INTx, MSI and MSI-X on at a
 * time, and switches a kind on and off as a whole.
 */
#include <linux/vfio.h>

#include "backend/vfio/device.h"
#include "base/base.h"

static const char *kind_name(unsigned int index)
{
	static const char *const names[] = {"INTx", "MSI", "MSI-X", "error event",
					    "removal request"};

	return index < ARRAY_SIZE(names) ? names[index] : "unknown kind";
}

int vfio_device_irqs(struct vfio_device *device, unsigned int index, struct vfio_irqs *irqs)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};
	int err;

	*irqs = (struct vfio_irqs){0};
	if (index >= device->nr_irqs)
		return 0;
	err = vfio_kernel->ioctl(device->fd, VFIO_DEVICE_GET_IRQ_INFO, &info);
	/* Errors and requests are told so where there are none. */
	if (err == -EINVAL)
		return 0;
	if (err < 0)
		return base_error(err, "VFIO does not say which interrupts (%s) %s has: %s",
				  kind_name(index), device->place.bdf, strerror(-err));
	if (info.flags & VFIO_IRQ_INFO_EVENTFD)
		irqs->count = info.count;
	irqs->maskable = info.flags & VFIO_IRQ_INFO_MASKABLE;
	irqs->automasked = info.flags & VFIO_IRQ_INFO_AUTOMASKED;
	return 0;
}

/* @eventfds NULL: without data. As the ioctl. */
static int set_irqs(struct vfio_device *device, unsigned int index, uint32_t action,
		    const int *eventfds, unsigned int nr)
{
	size_t size = sizeof(struct vfio_irq_set) + (eventfds ? nr * sizeof(int32_t) : 0);
	struct vfio_irq_set *set = base_zalloc(size);
	int err;

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = action | (eventfds ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->count = nr;
	for (unsigned int i = 0; eventfds && i < nr; i++) {
		int32_t fd = eventfds[i];

		memcpy(set->data + i * sizeof(fd), &fd, sizeof(fd));
	}
	err = vfio_kernel->ioctl(device->fd, VFIO_DEVICE_SET_IRQS, set);
	base_free(set);
	return err;
}

static int switch_on(struct vfio_device *device, unsigned int index, const int *eventfds,
		     unsigned int nr)
{
	int err;

	if (device->irq_index >= 0)
		return base_error(-EBUSY,
				  "interrupts (%s) of %s are on already; switch them off first",
				  kind_name((unsigned int)device->irq_index), device->place.bdf);
	err = set_irqs(device, index, VFIO_IRQ_SET_ACTION_TRIGGER, eventfds, nr);
	/* So many could be had. */
	if (err > 0)
		return base_error(-ENOSPC,
				  "%s of %s: the machine has %d of the %u vectors to give; ask for "
				  "fewer",
				  kind_name(index), device->place.bdf, err, nr);
	if (err)
		return base_error(err, "%u interrupts (%s) of %s cannot be switched on: %s%s", nr,
				  kind_name(index), device->place.bdf, strerror(-err),
				  err == -EBADF || err == -EINVAL
					  ? "; is each descriptor an eventfd, or -1?"
					  : "");
	device->irq_index = (int)index;
	device->irq_count = nr;
	return 0;
}

int vfio_device_irqs_on(struct vfio_device *device, unsigned int index, const int *eventfds,
			unsigned int nr)
{
	struct vfio_irqs irqs;
	int err = vfio_device_irqs(device, index, &irqs);

	if (err)
		return err;
	if (!irqs.count)
		return base_error(-ENODEV, "%s has no interrupts of the kind %s", device->place.bdf,
				  kind_name(index));
	if (!nr || nr > irqs.count)
		return base_error(-ERANGE, "%u interrupts (%s) of %s: it has 1 to %u", nr,
				  kind_name(index), device->place.bdf, irqs.count);
	pthread_mutex_lock(&device->lock);
	err = switch_on(device, index, eventfds, nr);
	pthread_mutex_unlock(&device->lock);
	return err;
}

static void switch_off(struct vfio_device *device, unsigned int index)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	/* Refused only where none is on. */
	vfio_kernel->ioctl(device->fd, VFIO_DEVICE_SET_IRQS, &set);
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

int vfio_device_irq_mask(struct vfio_device *device, unsigned int index, bool mask)
{
	struct vfio_irqs irqs;
	int err = vfio_device_irqs(device, index, &irqs);

	if (err)
		return err;
	if (!irqs.count || !irqs.maskable)
		return base_error(-EOPNOTSUPP, "interrupts (%s) of %s cannot be masked by VFIO",
				  kind_name(index), device->place.bdf);
	pthread_mutex_lock(&device->lock);
	if (device->irq_index == (int)index)
		err = set_irqs(device, index,
			       mask ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK, NULL,
			       1);
	else
		err = 1;
	pthread_mutex_unlock(&device->lock);
	if (err > 0)
		return base_error(-EINVAL, "interrupts (%s) of %s are not on; switch them on first",
				  kind_name(index), device->place.bdf);
	if (err)
		base_error(err, "the interrupt (%s) of %s cannot be %s: %s", kind_name(index),
			   device->place.bdf, mask ? "masked" : "unmasked", strerror(-err));
	return err;
}

int vfio_device_event(struct vfio_device *device, unsigned int index, int eventfd)
{
	struct vfio_irqs irqs;
	int err = vfio_device_irqs(device, index, &irqs);

	if (err)
		return err;
	if (!irqs.count)
		return base_error(-EOPNOTSUPP, "%s has no %s", device->place.bdf, kind_name(index));
	err = set_irqs(device, index, VFIO_IRQ_SET_ACTION_TRIGGER, &eventfd, 1);
	if (err < 0)
		return base_error(err,
				  "the %s of %s cannot signal descriptor %d: %s; pass an eventfd",
				  kind_name(index), device->place.bdf, eventfd, strerror(-err));
	return 0;
}
