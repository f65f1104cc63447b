/* SPDX-License-Identifier: MIT */
/*
 * Which driver has a function (Documentation/ABI/testing/sysfs-bus-pci: driver_override,
 * bind, unbind, drivers_probe). An override names the only driver that may take it.
 */
#include <stdio.h>
#include <unistd.h>

#include "pci/pci.h"

#define DRIVERS "/sys/bus/pci/drivers"
#define VFIO_PCI "vfio-pci"

void pci_path(const struct vfio_place *place, const char *file, char *path, size_t size)
{
	snprintf(path, size, "/sys/bus/pci/devices/%s/%s", place->bdf, file);
}

static int set_override(const struct vfio_place *place, const char *driver)
{
	char path[128], line[64];

	pci_path(place, "driver_override", path, sizeof(path));
	snprintf(line, sizeof(line), "%.60s\n", driver);
	return vfio_write_line(path, line);
}

/* The override, "" for none. */
static void get_override(const struct vfio_place *place, char *driver, size_t size)
{
	char path[128];

	pci_path(place, "driver_override", path, sizeof(path));
	if (vfio_read_line(path, driver, size) || !strcmp(driver, "(null)"))
		*driver = '\0';
}

static int leave_driver(const struct vfio_place *place)
{
	char path[128];

	pci_path(place, "driver/unbind", path, sizeof(path));
	return *place->driver ? vfio_write_line(path, place->bdf) : 0;
}

static int enter_driver(const struct vfio_place *place, const char *driver)
{
	char path[128];

	snprintf(path, sizeof(path), DRIVERS "/%.60s/bind", driver);
	return vfio_write_line(path, place->bdf);
}

static const char *say_errno(int err)
{
	return err == -EACCES || err == -EPERM ? "permission denied; it takes root"
					       : strerror(-err);
}

static int check_call(unsigned int flags)
{
	if (flags & ~TS_PCI_FORCE)
		return base_error(-EINVAL, "flags 0x%x: the only one is TS_PCI_FORCE (1)", flags);
	return 0;
}

static int check_vfio(const struct vfio_place *place)
{
	if (vfio_access(DRIVERS "/" VFIO_PCI, F_OK))
		return base_error(
			-ENODEV,
			"%s cannot be given to vfio-pci, which the kernel has not; load it: "
			"modprobe vfio-pci",
			place->bdf);
	if (place->group < 0 && !vfio_noiommu_allowed())
		return base_error(
			-ENODEV,
			"%s has no IOMMU group, so there is no IOMMU or it is off: switch "
			"VT-d or AMD-Vi on in the firmware, and boot with intel_iommu=on on "
			"Intel; or go without protection: modprobe vfio "
			"enable_unsafe_noiommu_mode=1",
			place->bdf);
	return 0;
}

/* As before: its override, and its driver if it had to leave that. */
static int undo(const struct vfio_place *place, const char *override, bool left)
{
	int err = set_override(place, override);

	if (left && *place->driver) {
		int again = enter_driver(place, place->driver);

		err = err ? err : again;
	}
	return err;
}

static __cold int bind_error(const struct vfio_place *place, const char *override, bool left,
			     int why)
{
	int err = undo(place, override, left);

	if (err)
		return base_error(
			why,
			"vfio-pci does not take %s: %s; and it could not be put back as it "
			"was: %s (driver %s)",
			place->bdf, say_errno(why), say_errno(err),
			*place->driver ? place->driver : "none");
	return base_error(why, "%s cannot be given to vfio-pci: %s; it is as it was (driver %s)",
			  place->bdf, say_errno(why), *place->driver ? place->driver : "none");
}

static int to_vfio(const struct vfio_place *place)
{
	struct vfio_place now;
	char override[64];
	bool left = false;
	int err;

	get_override(place, override, sizeof(override));
	err = set_override(place, VFIO_PCI);
	if (err)
		return base_error(err, "%s cannot be given to vfio-pci: %s", place->bdf,
				  say_errno(err));
	err = leave_driver(place);
	if (!err) {
		left = true;
		err = enter_driver(place, VFIO_PCI);
	}
	/* The kernel binds asynchronously nowhere here, but asks nobody else. */
	if (!err && (vfio_find(place->bdf, &now) || !vfio_is_bound(&now)))
		err = -EIO;
	return err ? bind_error(place, override, left, err) : 0;
}

int ts_pci_bind(const char *address, unsigned int flags)
{
	struct vfio_place place;
	int err = check_call(flags);

	if (!err)
		err = vfio_find(address, &place);
	if (err || vfio_is_bound(&place))
		return err;
	err = check_vfio(&place);
	if (!err && !(flags & TS_PCI_FORCE))
		err = pci_in_use(&place);
	return err ? err : to_vfio(&place);
}

/* Back. */

static int check_holder(const struct vfio_place *place, unsigned int flags)
{
	long pid = pci_holder(place);

	if (pid == (long)getpid())
		return base_error(
			-EBUSY,
			"%s is open in this process, which would wait for itself; close it "
			"first",
			place->bdf);
	if (pid && !(flags & TS_PCI_FORCE))
		return base_error(
			-EBUSY,
			"%s is open in process %ld; end that first, or force it (--force, "
			"TS_PCI_FORCE): then it waits until the process closes it",
			place->bdf, pid);
	return 0;
}

static int to_kernel(const struct vfio_place *place)
{
	struct vfio_place now;
	char override[64];
	int err;

	get_override(place, override, sizeof(override));
	err = set_override(place, "");
	if (!err) {
		err = leave_driver(place);
		if (err && set_override(place, override))
			return base_error(err,
					  "%s cannot be taken from %s: %s; what may take it next "
					  "(driver_override) is lost",
					  place->bdf, place->driver, say_errno(err));
	}
	if (err)
		return base_error(err, "%s cannot be taken from %s: %s; it is as it was",
				  place->bdf, *place->driver ? place->driver : VFIO_PCI,
				  say_errno(err));
	err = vfio_write_line("/sys/bus/pci/drivers_probe", place->bdf);
	if (err)
		return base_error(
			err,
			"%s is free, and the kernel finds no driver for it: %s; ask again: "
			"echo %s > /sys/bus/pci/drivers_probe",
			place->bdf, say_errno(err), place->bdf);
	if (!vfio_find(place->bdf, &now) && vfio_is_bound(&now))
		return base_error(
			-EBUSY,
			"%s is taken by %s again, which was told to take its kind; undo that: "
			"echo %04x %04x > " DRIVERS "/%s/remove_id",
			place->bdf, now.driver, now.vendor_id, now.device_id, now.driver);
	return 0;
}

int ts_pci_unbind(const char *address, unsigned int flags)
{
	struct vfio_place place;
	char override[64];
	int err = check_call(flags);

	if (!err)
		err = vfio_find(address, &place);
	if (err)
		return err;
	get_override(&place, override, sizeof(override));
	/* A function that vfio-pci may take, and has not, is given back as well. */
	if (!vfio_is_bound(&place) && (*place.driver || strcmp(override, VFIO_PCI)))
		return base_error(-EINVAL,
				  "VFIO does not have %s: its driver is %s; nothing is to be done",
				  place.bdf, *place.driver ? place.driver : "none");
	err = check_holder(&place, flags);
	return err ? err : to_kernel(&place);
}
