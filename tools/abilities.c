/* SPDX-License-Identifier: MIT */
/* What the kernel and a PCI device can do. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <twostep/error.h>

#include "abilities.h"
#include "tool.h"

static void look_inside(struct abilities *abilities)
{
	struct dma_dev *dev = NULL;
	char uri[64];
	int err;

	snprintf(uri, sizeof(uri), "vfio:%s", abilities->seen.address);
	err = dma_dev_open(uri, &dev);
	if (!err) {
		err = ts_pci_get_features(dev, &abilities->features);
		if (dma_space_pgtable(dma_dev_space(dev), &abilities->pgtable))
			abilities->pgtable.format = NULL;
	}
	if (err)
		snprintf(abilities->why_not, sizeof(abilities->why_not), "%s", dma_last_error());
	else
		abilities->opened = true;
	dma_dev_close(dev);
}

bool abilities_find(struct abilities *abilities, const char *address, bool open)
{
	*abilities = (struct abilities){.opened = false};
	if (ts_pci_probe(address, &abilities->seen)) {
		tool_say_dma("devices");
		return false;
	}
	if (open)
		look_inside(abilities);
	return true;
}

/* Words. */

static const char *access_word(int access)
{
	switch (access) {
	case 0:
		return "may be opened";
	case -ENOENT:
		return "not there";
	case -EACCES:
	case -EPERM:
		return "permission denied";
	default:
		return strerror(-access);
	}
}

static void print_name(const char *name)
{
	printf("%-15s", name);
}

static void print_driver(const struct ts_pci_abilities *seen)
{
	print_name("driver");
	if (seen->bound)
		printf("%s, of VFIO\n", seen->driver);
	else
		printf("%s; to give it to VFIO: %stwostep bind %s\n",
		       *seen->driver ? seen->driver : "none",
		       seen->vfio_pci ? "" : "modprobe vfio-pci; ", seen->address);
}

static void print_group(const struct ts_pci_abilities *seen)
{
	print_name("IOMMU group");
	if (seen->group < 0)
		puts("none: there is no IOMMU, or it is off");
	else if (seen->noiommu)
		printf("%d, WITHOUT AN IOMMU: nothing keeps the device from any memory of the "
		       "machine, and no unmap stops it; UNSAFE, open it as vfio-noiommu:%s\n",
		       seen->group, seen->address);
	else if (seen->viable)
		printf("%d, of %u device%s\n", seen->group, seen->group_size,
		       seen->group_size == 1 ? "" : "s");
	else
		printf("%d, of %u devices, which VFIO must have all; in the way: %s\n", seen->group,
		       seen->group_size, seen->blockers);
}

static void print_file(const char *name, const char *file, int access)
{
	print_name(name);
	if (*file)
		printf("%s: %s\n", file, access_word(access));
	else
		puts("not there");
}

static void print_ways(const struct ts_pci_abilities *seen)
{
	print_file("group file", seen->group_file, seen->group_access);
	print_file("device file", seen->cdev_file, seen->cdev_access);
	print_file("iommufd", "/dev/iommu", seen->iommufd_access);
	print_name("type 1");
	printf("/dev/vfio/vfio: %s%s\n", access_word(seen->container_access),
	       seen->container_access ? ""
	       : seen->type1	      ? ", version 2"
				      : ", and has no type 1");
	print_name("no-IOMMU mode");
	puts(seen->noiommu_allowed ? "on" : "off");
}

static void print_size(uint64_t size)
{
	static const char units[] = " KMGTPE";
	unsigned int unit = 0;

	while (size >= 1024 && !(size % 1024)) {
		size /= 1024;
		unit++;
	}
	if (unit)
		printf("%" PRIu64 " %ciB", size, units[unit]);
	else
		printf("%" PRIu64 " bytes", size);
}

static void print_bars(const struct ts_pci_abilities *seen)
{
	bool any = false;

	for (unsigned int i = 0; i < 6; i++) {
		char name[16];

		if (!seen->bars[i].size)
			continue;
		any = true;
		snprintf(name, sizeof(name), "BAR %u", i);
		print_name(name);
		print_size(seen->bars[i].size);
		printf(" of %s", seen->bars[i].io	      ? "I/O ports"
				 : seen->bars[i].prefetchable ? "prefetchable memory"
							      : "memory");
		/* Addresses are root's to know. */
		if (seen->bars[i].start)
			printf(" at 0x%" PRIx64, seen->bars[i].start);
		putchar('\n');
	}
	if (!any) {
		print_name("BARs");
		puts("none");
	}
}

static void print_interrupts(unsigned int intx, unsigned int msi, unsigned int msix, bool hidden)
{
	print_name("interrupts");
	if (!intx && !msi && !msix && !hidden) {
		puts("none");
		return;
	}
	if (intx)
		printf("INTx%s", msi || msix ? ", " : "");
	if (msi)
		printf("%u MSI%s", msi, msix ? ", " : "");
	if (msix)
		printf("%u MSI-X", msix);
	if (hidden)
		printf("%sMSI and MSI-X are not shown without root", intx ? "; " : "");
	putchar('\n');
}

static void print_can(const char *name, bool can)
{
	print_name(name);
	puts(can ? "yes" : "no");
}

static void print_features(const struct abilities *abilities)
{
	const struct ts_pci_features *can = &abilities->features;

	puts("\nopened:");
	print_interrupts(can->intx, can->msi, can->msix, false);
	print_name("reset");
	puts(can->reset ? "of the function" : can->bus_reset ? "of its bus" : "none");
	print_can("error event", can->error_event);
	print_can("removal event", can->removal_event);
	print_can("BAR as dma-buf", can->dmabuf);
	print_can("low power", can->low_power);
	print_can("migration", can->migration);
	print_can("DMA logging", can->dma_logging);
	print_name("page table");
	puts(abilities->pgtable.format ? abilities->pgtable.format : "the kernel's");
}

void abilities_print(const struct abilities *abilities)
{
	const struct ts_pci_abilities *seen = &abilities->seen;

	putchar('\n');
	print_driver(seen);
	print_group(seen);
	print_ways(seen);
	print_bars(seen);
	print_interrupts(seen->intx, seen->msi, seen->msix, seen->config_shown <= 64);
	print_name("resets");
	puts(*seen->resets ? seen->resets : "none");
	if (abilities->opened)
		print_features(abilities);
}

/* JSON. */

static void json_file(struct json *json, const char *name, const char *file, int access)
{
	json_object(json, name);
	json_string(json, "file", *file ? file : NULL);
	json_string(json, "access", *file ? access_word(access) : NULL);
	json_end(json);
}

static void json_bars(const struct ts_pci_abilities *seen, struct json *json)
{
	json_list(json, "bars");
	for (unsigned int i = 0; i < 6; i++) {
		if (!seen->bars[i].size)
			continue;
		json_object(json, NULL);
		json_unsigned(json, "bar", i);
		json_unsigned(json, "size", seen->bars[i].size);
		json_bool(json, "io", seen->bars[i].io);
		json_bool(json, "prefetchable", seen->bars[i].prefetchable);
		if (seen->bars[i].start)
			json_unsigned(json, "start", seen->bars[i].start);
		else
			json_null(json, "start");
		json_end(json);
	}
	json_end(json);
}

static void json_features(const struct abilities *abilities, struct json *json)
{
	const struct ts_pci_features *can = &abilities->features;

	json_object(json, "opened");
	json_bool(json, "reset", can->reset);
	json_bool(json, "bus_reset", can->bus_reset);
	json_unsigned(json, "intx", can->intx);
	json_unsigned(json, "msi", can->msi);
	json_unsigned(json, "msix", can->msix);
	json_bool(json, "error_event", can->error_event);
	json_bool(json, "removal_event", can->removal_event);
	json_bool(json, "dmabuf", can->dmabuf);
	json_bool(json, "low_power", can->low_power);
	json_bool(json, "migration", can->migration);
	json_bool(json, "dma_logging", can->dma_logging);
	json_string(json, "pgtable", abilities->pgtable.format);
	json_end(json);
}

void abilities_json(const struct abilities *abilities, struct json *json, const char *name)
{
	const struct ts_pci_abilities *seen = &abilities->seen;

	json_object(json, name);
	json_bool(json, "bound", seen->bound);
	json_bool(json, "vfio_pci", seen->vfio_pci);
	json_unsigned(json, "group_size", seen->group_size);
	json_bool(json, "viable", seen->viable);
	json_string(json, "in_the_way", *seen->blockers ? seen->blockers : NULL);
	json_bool(json, "noiommu", seen->noiommu);
	json_bool(json, "noiommu_allowed", seen->noiommu_allowed);
	json_file(json, "group", seen->group_file, seen->group_access);
	json_file(json, "device", seen->cdev_file, seen->cdev_access);
	json_file(json, "iommufd", "/dev/iommu", seen->iommufd_access);
	json_file(json, "container", "/dev/vfio/vfio", seen->container_access);
	json_bool(json, "type1", seen->type1);
	json_bars(seen, json);
	json_bool(json, "intx", seen->intx);
	if (seen->config_shown > 64) {
		json_unsigned(json, "msi", seen->msi);
		json_unsigned(json, "msix", seen->msix);
	} else {
		json_null(json, "msi");
		json_null(json, "msix");
	}
	json_string(json, "resets", *seen->resets ? seen->resets : NULL);
	if (abilities->opened)
		json_features(abilities, json);
	else
		json_null(json, "opened");
	json_end(json);
}
