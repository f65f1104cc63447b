/* SPDX-License-Identifier: MIT */
/* What sysfs says of a function (Documentation/ABI/testing/sysfs-bus-pci, sysfs-devices-vfio-dev). */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/vfio/find.h"
#include "backend/vfio/kernel.h"
#include "base/base.h"

#define DEVICES "/sys/bus/pci/devices"

/* Exactly @digits hexadecimal digits, or at least that many if @more; what follows, or NULL. */
static const char *read_hex(const char *text, size_t digits, bool more, unsigned long last,
			    unsigned long *value)
{
	size_t len = strspn(text, "0123456789abcdefABCDEF");
	char *end;

	if (len < digits || len > (more ? 8 : digits))
		return NULL;
	*value = strtoul(text, &end, 16);
	return *value <= last ? end : NULL;
}

static bool parse_name(const char *text, char bdf[VFIO_BDF])
{
	unsigned long domain = 0, bus, device, function;
	const char *rest = text, *colon = strchr(text, ':');

	if (colon && strchr(colon + 1, ':')) {
		rest = read_hex(rest, 4, true, UINT32_MAX, &domain);
		if (!rest || *rest++ != ':')
			return false;
	}
	rest = read_hex(rest, 2, false, 0xff, &bus);
	if (!rest || *rest++ != ':')
		return false;
	rest = read_hex(rest, 2, false, 0x1f, &device);
	if (!rest || *rest++ != '.')
		return false;
	rest = read_hex(rest, 1, false, 7, &function);
	if (!rest || *rest)
		return false;
	snprintf(bdf, VFIO_BDF, "%04lx:%02lx:%02lx.%lx", domain & UINT32_MAX, bus & 0xff,
		 device & 0x1f, function & 7);
	return true;
}

static void path_of(const struct vfio_place *place, const char *file, char *path, size_t size)
{
	snprintf(path, size, DEVICES "/%s/%s", place->bdf, file);
}

static uint32_t read_number(const struct vfio_place *place, const char *file)
{
	char path[128], text[32];

	path_of(place, file, path, sizeof(path));
	return vfio_read_line(path, text, sizeof(text)) ? 0 : (uint32_t)strtoul(text, NULL, 16);
}

static void find_group(struct vfio_place *place)
{
	char path[128], name[32], *end;

	place->group = -1;
	path_of(place, "iommu_group", path, sizeof(path));
	if (vfio_link_name(path, name, sizeof(name)))
		return;
	place->group = (int)strtol(name, &end, 10);
	if (end == name || *end || place->group < 0) {
		place->group = -1;
		return;
	}
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/name", place->group);
	if (!vfio_read_line(path, name, sizeof(name)))
		place->noiommu = !strcmp(name, "vfio-noiommu");
	snprintf(place->group_file, sizeof(place->group_file), "/dev/vfio/%s%d",
		 place->noiommu ? "noiommu-" : "", place->group);
	if (vfio_access(place->group_file, F_OK))
		*place->group_file = '\0';
}

static int take_cdev(void *arg, const char *name)
{
	struct vfio_place *place = arg;
	int len =
		snprintf(place->cdev_file, sizeof(place->cdev_file), "/dev/vfio/devices/%s", name);

	if ((size_t)len < sizeof(place->cdev_file) && !vfio_access(place->cdev_file, F_OK))
		return 1;
	*place->cdev_file = '\0';
	return 0;
}

int vfio_find(const char *bdf, struct vfio_place *place)
{
	struct vfio_place found = {0};
	char path[128];

	if (!parse_name(bdf, found.bdf))
		return base_error(-EINVAL,
				  "\"%.40s\" is no PCI address; one is DDDD:BB:DD.F, such as "
				  "0000:01:00.0 (`twostep devices` lists them)",
				  bdf);
	if (vfio_access(DEVICES, F_OK))
		return base_error(-ENODEV,
				  "%s cannot be looked up: there is no " DEVICES
				  "; mount sysfs, on a kernel with PCI",
				  found.bdf);
	path_of(&found, "", path, sizeof(path));
	if (vfio_access(path, F_OK))
		return base_error(
			-ENODEV,
			"there is no PCI device %s; `twostep devices` lists those there are",
			found.bdf);
	found.vendor_id = (uint16_t)read_number(&found, "vendor");
	found.device_id = (uint16_t)read_number(&found, "device");
	found.class_code = read_number(&found, "class") & 0xffffff;
	path_of(&found, "driver", path, sizeof(path));
	if (vfio_link_name(path, found.driver, sizeof(found.driver)))
		*found.driver = '\0';
	find_group(&found);
	path_of(&found, "vfio-dev", path, sizeof(path));
	vfio_list(path, take_cdev, &found);
	*place = found;
	return 0;
}

bool vfio_is_bound(const struct vfio_place *place)
{
	char path[128];

	if (!*place->driver)
		return false;
	path_of(place, "vfio-dev", path, sizeof(path));
	/* Kernels before 6.1 have no such folder. */
	return strstr(place->driver, "vfio") || !vfio_access(path, F_OK);
}

bool vfio_noiommu_allowed(void)
{
	char text[8];

	return !vfio_read_line("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", text,
			       sizeof(text)) &&
	       (*text == 'Y' || *text == '1');
}

int vfio_check_bound(const struct vfio_place *place)
{
	if (vfio_is_bound(place))
		return 0;
	if (*place->driver)
		return base_error(
			-ENODEV,
			"%s belongs to the driver %s; give it to vfio-pci: twostep bind %s",
			place->bdf, place->driver, place->bdf);
	return base_error(-ENODEV, "%s has no driver; give it to vfio-pci: twostep bind %s",
			  place->bdf, place->bdf);
}
