/* SPDX-License-Identifier: MIT */
/* What can be known of a device that is not open. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "pci/pci.h"

#define CONFIG 4096
/* Flags of a resource, as sysfs shows them. */
#define RESOURCE_IO 0x100U
#define RESOURCE_PREFETCH 0x2000U

/* The group. */

struct members {
	const struct vfio_place *place;
	struct ts_pci_abilities *abilities;
};

/* Drivers that let others have the rest of their group: they make no use of DMA. */
static bool is_harmless(const char *driver)
{
	return strstr(driver, "vfio") || !strcmp(driver, "pci-stub") || !strcmp(driver, "pcieport");
}

static int count_member(void *arg, const char *name)
{
	const struct members *members = arg;
	struct ts_pci_abilities *abilities = members->abilities;
	size_t used = strlen(abilities->blockers);
	char path[160], driver[64];

	abilities->group_size++;
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices/%.60s/driver",
		 members->place->group, name);
	if (!strcmp(name, members->place->bdf) || vfio_link_name(path, driver, sizeof(driver)) ||
	    is_harmless(driver))
		return 0;
	abilities->viable = false;
	snprintf(abilities->blockers + used, sizeof(abilities->blockers) - used, "%s%.60s (%.31s)",
		 used ? ", " : "", name, driver);
	return 0;
}

static void look_at_group(const struct vfio_place *place, struct ts_pci_abilities *abilities)
{
	struct members members = {place, abilities};
	char path[64];

	abilities->viable = place->group >= 0;
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices", place->group);
	if (place->group >= 0)
		vfio_list(path, count_member, &members);
}

/* Files. */

static int access_to(const char *file)
{
	return *file ? vfio_access(file, R_OK | W_OK) : -ENOENT;
}

static void look_at_files(const struct vfio_place *place, struct ts_pci_abilities *abilities)
{
	int fd;

	abilities->group_access = access_to(place->group_file);
	abilities->cdev_access = access_to(place->cdev_file);
	abilities->iommufd_access = access_to("/dev/iommu");
	abilities->container_access = access_to("/dev/vfio/vfio");
	if (abilities->container_access)
		return;
	fd = vfio_open("/dev/vfio/vfio", O_RDWR);
	if (fd < 0) {
		abilities->container_access = fd;
		return;
	}
	abilities->type1 = vfio_kernel->ioctl(fd, VFIO_CHECK_EXTENSION,
					      (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU) > 0;
	vfio_kernel->close(fd);
}

/* The function. */

static unsigned int word_at(const uint8_t *config, unsigned int at)
{
	return config[at] | (unsigned int)config[at + 1] << 8;
}

static void look_at_capability(const uint8_t *config, unsigned int at,
			       struct ts_pci_abilities *abilities)
{
	unsigned int control = word_at(config, at + 2);

	if (config[at] == PCI_CAP_ID_MSI)
		abilities->msi = 1U << ((control & PCI_MSI_FLAGS_QMASK) >> 1);
	else if (config[at] == PCI_CAP_ID_MSIX)
		abilities->msix = (control & PCI_MSIX_FLAGS_QSIZE) + 1;
}

static void look_at_config(const struct vfio_place *place, struct ts_pci_abilities *abilities)
{
	uint8_t config[CONFIG];
	char path[128];
	unsigned int at;
	ssize_t got;
	int fd;

	pci_path(place, "config", path, sizeof(path));
	fd = vfio_open(path, O_RDONLY);
	if (fd < 0)
		return;
	got = vfio_kernel->pread(fd, config, sizeof(config), 0);
	vfio_kernel->close(fd);
	if (got < PCI_STD_HEADER_SIZEOF)
		return;
	abilities->config_shown = (unsigned int)got;
	abilities->intx = config[PCI_INTERRUPT_PIN] != 0;
	if (!(config[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return;
	at = config[PCI_CAPABILITY_LIST] & 0xfcU;
	/* A list that runs in a circle ends here too. */
	for (int i = 0; i < 48 && at >= PCI_STD_HEADER_SIZEOF && at + 4 <= (unsigned int)got; i++) {
		look_at_capability(config, at, abilities);
		at = config[at + 1] & 0xfcU;
	}
}

static void look_at_bars(const struct vfio_place *place, struct ts_pci_abilities *abilities)
{
	char path[128], *lines, *rest, *line;

	pci_path(place, "resource", path, sizeof(path));
	if (vfio_read_all(path, &lines))
		return;
	rest = lines;
	for (size_t i = 0; i < ARRAY_SIZE(abilities->bars) && (line = strsep(&rest, "\n")); i++) {
		unsigned long long first, last, flags;

		if (sscanf(line, "%llx %llx %llx", &first, &last, &flags) != 3 || !flags ||
		    last < first)
			continue;
		abilities->bars[i].start = first;
		abilities->bars[i].size = last - first + 1;
		abilities->bars[i].io = flags & RESOURCE_IO;
		abilities->bars[i].prefetchable = flags & RESOURCE_PREFETCH;
	}
	base_free(lines);
}

int ts_pci_probe(const char *address, struct ts_pci_abilities *abilities)
{
	struct ts_pci_abilities seen = {0};
	struct vfio_place place;
	char path[128];
	int err = vfio_find(address, &place);

	if (err)
		return err;
	snprintf(seen.address, sizeof(seen.address), "%s", place.bdf);
	snprintf(seen.driver, sizeof(seen.driver), "%s", place.driver);
	snprintf(seen.group_file, sizeof(seen.group_file), "%s", place.group_file);
	snprintf(seen.cdev_file, sizeof(seen.cdev_file), "%s", place.cdev_file);
	seen.bound = vfio_is_bound(&place);
	seen.vfio_pci = !vfio_access("/sys/bus/pci/drivers/vfio-pci", F_OK);
	seen.group = place.group;
	seen.noiommu = place.noiommu;
	seen.noiommu_allowed = vfio_noiommu_allowed();
	look_at_group(&place, &seen);
	look_at_files(&place, &seen);
	look_at_config(&place, &seen);
	look_at_bars(&place, &seen);
	pci_path(&place, "reset_method", path, sizeof(path));
	if (vfio_read_line(path, seen.resets, sizeof(seen.resets)))
		*seen.resets = '\0';
	*abilities = seen;
	return 0;
}
