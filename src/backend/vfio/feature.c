/* SPDX-License-Identifier: MIT */
/* What a device can besides: features of the kernel's interface, each asked for when wanted. */
#include <fcntl.h>

#include <linux/vfio.h>

#include "backend/vfio/device.h"
#include "backend/vfio/uapi_device.h"
#include "base/base.h"

int vfio_device_has(struct vfio_device *device, unsigned int feature, bool get, bool set)
{
	struct vfio_device_feature ask = {
		.argsz = sizeof(ask),
		.flags = feature | VFIO_DEVICE_FEATURE_PROBE |
			 (get ? (uint32_t)VFIO_DEVICE_FEATURE_GET : 0) |
			 (set ? (uint32_t)VFIO_DEVICE_FEATURE_SET : 0),
	};
	int err = vfio_kernel->ioctl(device->fd, VFIO_DEVICE_FEATURE, &ask);

	return err < 0 ? err : 0;
}

int vfio_device_dmabuf(struct vfio_device *device, unsigned int bar, uint64_t offset, uint64_t size)
{
	struct {
		struct uapi_feature_head feature;
		struct uapi_dmabuf dmabuf;
		struct uapi_dmabuf_range range;
	} ask = {
		.feature = {.size = sizeof(ask),
			    .flags = UAPI_FEATURE_DMA_BUF | VFIO_DEVICE_FEATURE_GET},
		.dmabuf = {.region = bar, .open_flags = O_RDWR | O_CLOEXEC, .nr_ranges = 1},
		.range = {.offset = offset, .length = size},
	};
	int fd;

	_Static_assert(sizeof(ask) == 8 + 16 + 16, "the argument has no holes");
	if (vfio_device_has(device, UAPI_FEATURE_DMA_BUF, true, false))
		return base_error(
			-EOPNOTSUPP,
			"the kernel exports no BAR of %s as a dma-buf; Linux 6.19 does, "
			"with CONFIG_VFIO_PCI_DMABUF, where the device is behind an IOMMU",
			device->place.bdf);
	fd = vfio_kernel->ioctl(device->fd, VFIO_DEVICE_FEATURE, &ask);
	if (fd < 0)
		return base_error(fd,
				  "0x%llx bytes at 0x%llx of BAR %u of %s cannot be exported: %s",
				  (unsigned long long)size, (unsigned long long)offset, bar,
				  device->place.bdf, strerror(-fd));
	return fd;
}
