/* SPDX-License-Identifier: MIT */
/* Resets: of the function, or of its bus if nothing else is on it. */
#include <linux/vfio.h>

#include "backend/vfio/device.h"
#include "backend/vfio/uapi_device.h"
#include "base/base.h"

/*
 * Whether a reset of the bus would reach this function alone. Of others even their owner
 * must agree, and who in this process uses them is not known here.
 */
static bool bus_is_ours(struct vfio_device *device)
{
	union {
		struct vfio_pci_hot_reset_info info;
		uint8_t room[sizeof(struct vfio_pci_hot_reset_info) +
			     sizeof(struct vfio_pci_dependent_device)];
	} answer = {.info = {.argsz = sizeof(answer)}};

	/* With more than one the answer does not fit: -ENOSPC. */
	return vfio_kernel->ioctl(device->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &answer) >= 0 &&
	       answer.info.count == 1 &&
	       (answer.info.flags & UAPI_HOT_RESET_DEV_ID
			? (answer.info.flags & UAPI_HOT_RESET_DEV_ID_OWNED) != 0
			: device->group_fd >= 0);
}

bool vfio_device_bus_resets(struct vfio_device *device)
{
	return bus_is_ours(device);
}

static int reset_bus(struct vfio_device *device)
{
	struct {
		struct uapi_hot_reset_head reset;
		int32_t group_fd;
	} ask = {
		.reset = {.size = sizeof(ask), .count = device->group_fd >= 0},
		.group_fd = device->group_fd,
	};

	return vfio_kernel->ioctl(device->fd, VFIO_DEVICE_PCI_HOT_RESET, &ask);
}

int vfio_device_reset(struct vfio_device *device)
{
	int err;

	if (!device->can_reset && !bus_is_ours(device))
		return base_error(
			-EOPNOTSUPP,
			"%s cannot be reset by itself, and a reset of its bus would reach "
			"other devices or is not to be had",
			device->place.bdf);
	err = device->can_reset ? vfio_kernel->ioctl(device->fd, VFIO_DEVICE_RESET, NULL)
				: reset_bus(device);
	if (err < 0)
		return base_error(err, "%s cannot be reset: %s", device->place.bdf, strerror(-err));
	return 0;
}
