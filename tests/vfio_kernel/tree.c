/* SPDX-License-Identifier: MIT */
/* The files below the root: sysfs's, and nodes in /dev, which are empty files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

/* A path below the root, with the folders on the way to it. */
static void path_of(char full[PATH_MAX], const char *path)
{
	snprintf(full, PATH_MAX, "%s%s", fake->root, path);
	for (char *slash = full + strlen(fake->root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
}

static void write_file(const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *file;

	path_of(full, path);
	file = fopen(full, "we");
	if (!file || fputs(text, file) < 0 || fclose(file))
		abort();
}

static void make_link(const char *path, const char *target)
{
	char full[PATH_MAX];

	path_of(full, path);
	if (symlink(target, full) && errno != EEXIST)
		abort();
}

static void make_folder(const char *path)
{
	char full[PATH_MAX];

	path_of(full, path);
	mkdir(full, 0755);
}

void fake_make_node(const char *path)
{
	write_file(path, "");
}

void fake_remove_node(const char *path)
{
	char full[PATH_MAX];

	path_of(full, path);
	unlink(full);
}

int fake_make_root(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(fake->root, sizeof(fake->root), "%s/vfio_kernel.XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(fake->root))
		return -errno;
	make_folder("/sys/bus/pci/devices");
	make_folder("/sys/bus/pci/drivers");
	make_folder("/sys/kernel/iommu_groups");
	return 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *where)
{
	(void)stat;
	(void)type;
	(void)where;
	return remove(path);
}

void fake_remove_root(void)
{
	nftw(fake->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fake_plug_sysfs(const struct fake_plugged *function)
{
	char device[64], path[160], text[160];

	snprintf(device, sizeof(device), "/sys/devices/pci%.7s/%s", function->bdf, function->bdf);
	snprintf(path, sizeof(path), "%s/vendor", device);
	write_file(path, "0x1b36\n");
	snprintf(path, sizeof(path), "%s/device", device);
	write_file(path, "0x0010\n");
	snprintf(path, sizeof(path), "%s/class", device);
	write_file(path, "0x010802\n");
	snprintf(path, sizeof(path), "%s/driver_override", device);
	write_file(path, "(null)\n");

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", function->bdf);
	snprintf(text, sizeof(text), "../../..%s", device + 4);
	make_link(path, text);

	if (function->driver[0]) {
		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s", function->driver);
		make_folder(path);
		snprintf(path, sizeof(path), "%s/driver", device);
		snprintf(text, sizeof(text), "../../../bus/pci/drivers/%s", function->driver);
		make_link(path, text);
	}
	if (function->group) {
		snprintf(path, sizeof(path), "%s/iommu_group", device);
		snprintf(text, sizeof(text), "../../../kernel/iommu_groups/%d",
			 function->group->number);
		make_link(path, text);
		snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices/%s",
			 function->group->number, function->bdf);
		snprintf(text, sizeof(text), "../../../..%s", device + 4);
		make_link(path, text);
		if (function->noiommu) {
			snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/name",
				 function->group->number);
			write_file(path, "vfio-noiommu\n");
		}
	}
	if (function->cdev_file[0]) {
		snprintf(path, sizeof(path), "%s/vfio-dev/%s/dev", device, function->cdev_file);
		write_file(path, "511:0\n");
	}
}
