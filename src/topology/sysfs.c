/* SPDX-License-Identifier: MIT */
/*
 * The topology of the machine, from sysfs. The path of a device tells what is above it:
 * pciDDDD:BB/DDDD:BB:DD.F/DDDD:BB:DD.F, a root bus and then function below function.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "topology/topology.h"

/* Configuration space (PCI 3.0, chapter 6; PCIe 6.0, 7.5 and 7.7.11). */
#define CONFIG_SHOWN 64 /* what everybody may read */
#define CONFIG_CONVENTIONAL 256
#define CONFIG_SIZE 4096
#define CONFIG_STATUS 0x06
#define CONFIG_STATUS_CAPABILITIES 0x10
#define CONFIG_CAPABILITIES 0x34
#define CAPABILITY_EXPRESS 0x10
#define EXTENDED_ACS 0x0d
#define CLASS_BRIDGE 0x0604U

struct found {
	char name[DMA_PCI_NAME];
	char parent[DMA_PCI_NAME]; /* "" on a root bus */
	char host[DMA_PCI_NAME]; /* pciDDDD:BB */
	unsigned int depth;
	struct dma_pci_function at;
};

struct tree {
	const char *sysfs;
	struct found *found;
	size_t nr;
	struct dma_topology *topology;
};

static unsigned int word_at(const uint8_t *config, size_t at)
{
	return config[at] | (unsigned int)config[at + 1] << 8;
}

/* Where the PCI Express capability is; 0: there is none, or it is not shown. */
static size_t find_express(const uint8_t *config, size_t size)
{
	size_t at;

	if (size < CONFIG_SHOWN || !(config[CONFIG_STATUS] & CONFIG_STATUS_CAPABILITIES))
		return 0;
	at = config[CONFIG_CAPABILITIES] & 0xfcU;
	/* A list that runs in a circle ends here too. */
	for (unsigned int i = 0; i < 48 && at >= CONFIG_SHOWN && at + 4 <= size; i++) {
		if (config[at] == CAPABILITY_EXPRESS)
			return at;
		at = config[at + 1] & 0xfcU;
	}
	return 0;
}

static unsigned int find_acs(const uint8_t *config, size_t size)
{
	size_t at = CONFIG_CONVENTIONAL;

	for (unsigned int i = 0; i < 480 && at >= CONFIG_CONVENTIONAL && at + 8 <= size; i++) {
		unsigned int id = word_at(config, at);

		if (!id || id == 0xffff)
			return 0;
		if (id == EXTENDED_ACS)
			return word_at(config, at + 6) & 0x7f;
		at = word_at(config, at + 2) >> 4 & 0xffc;
	}
	return 0;
}

static enum dma_pci_type bridge_type(const uint8_t *config, size_t size)
{
	size_t express = find_express(config, size);

	switch (express ? word_at(config, express + 2) >> 4 & 0xf : 0) {
	case 4:
		return DMA_PCI_ROOT_PORT;
	case 5:
		return DMA_PCI_UPSTREAM;
	case 6:
		return DMA_PCI_DOWNSTREAM;
	default:
		return DMA_PCI_BRIDGE;
	}
}

static void path_of(const struct tree *tree, const char *name, const char *file, char *path)
{
	snprintf(path, PATH_MAX, "%.3000s/bus/pci/devices/%s%s%s", tree->sysfs, name,
		 *file ? "/" : "", file);
}

static uint32_t read_number(const struct tree *tree, const char *name, const char *file)
{
	char path[PATH_MAX], text[32] = "";
	FILE *in;

	path_of(tree, name, file, path);
	in = fopen(path, "re");
	if (!in)
		return 0;
	if (!fgets(text, sizeof(text), in))
		*text = '\0';
	fclose(in);
	return (uint32_t)strtoul(text, NULL, 16);
}

/* The last part of where a link leads, or "". */
static void read_link(const struct tree *tree, const char *name, const char *file, char *last,
		      size_t size)
{
	char path[PATH_MAX], to[PATH_MAX];
	const char *slash;
	ssize_t len;

	path_of(tree, name, file, path);
	len = readlink(path, to, sizeof(to) - 1);
	to[len > 0 ? len : 0] = '\0';
	slash = strrchr(to, '/');
	snprintf(last, size, "%.*s", (int)size - 1, slash ? slash + 1 : to);
}

static void read_config(const struct tree *tree, struct dma_pci_function *is, const char *name)
{
	uint8_t config[CONFIG_SIZE];
	char path[PATH_MAX];
	struct stat stat;
	size_t size = 0;
	ssize_t got = -1;
	int fd;

	path_of(tree, name, "config", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	stat.st_size = 0;
	if (fd >= 0) {
		if (fstat(fd, &stat))
			stat.st_size = 0;
		got = read(fd, config, sizeof(config));
		close(fd);
	}
	size = got > 0 ? (size_t)got : 0;
	if (is->class_code >> 8 == CLASS_BRIDGE)
		is->type = bridge_type(config, size);
	/* Without extended configuration space there is no access control. */
	is->acs_unknown = size <= CONFIG_SHOWN && stat.st_size != CONFIG_CONVENTIONAL;
	is->acs = find_acs(config, size);
}

/* What is above a device, from its path. False: it is not below a root bus. */
static bool read_path(const struct tree *tree, struct found *found)
{
	char path[PATH_MAX], real[PATH_MAX], *rest = real, *part;
	struct dma_pci_function above;

	path_of(tree, found->name, "", path);
	if (!realpath(path, real))
		return false;
	found->depth = 0;
	*found->host = *found->parent = '\0';
	while ((part = strsep(&rest, "/"))) {
		size_t len = strlen(part);

		if (!strncmp(part, "pci", 3) && strchr(part, ':') && len < sizeof(found->host)) {
			memcpy(found->host, part, len + 1);
			*found->parent = '\0';
			found->depth = 0;
		} else if (*found->host && topology_parse_address(part, &above)) {
			if (rest)
				memcpy(found->parent, part, len + 1);
			found->depth++;
		}
	}
	return *found->host;
}

static int collect(struct tree *tree)
{
	struct dirent *entry;
	char path[PATH_MAX];
	DIR *dir;
	int err = 0;

	path_of(tree, "", "", path);
	dir = opendir(path);
	/* A kernel without PCI has no such folder. */
	if (!dir && errno == ENOENT && !access(tree->sysfs, X_OK))
		return 0;
	if (!dir)
		return base_error(-errno, "%.120s cannot be read: %s; is sysfs mounted?", path,
				  strerror(errno));
	while ((entry = readdir(dir)) && !err) {
		struct found *found = &tree->found[tree->nr];

		if (strlen(entry->d_name) >= sizeof(found->name) ||
		    !topology_parse_address(entry->d_name, &found->at))
			continue;
		snprintf(found->name, sizeof(found->name), "%.31s", entry->d_name);
		if (!read_path(tree, found))
			continue;
		if (++tree->nr == TOPOLOGY_FUNCTIONS)
			err = base_error(-EINVAL, "%.120s holds %d devices or more", path,
					 TOPOLOGY_FUNCTIONS);
	}
	closedir(dir);
	return err;
}

static uint64_t order_of_address(const struct dma_pci_function *at)
{
	return (uint64_t)at->domain << 16 | (uint64_t)at->bus << 8 |
	       (uint64_t)(at->device << 3 | at->function);
}

/* What is above comes first; else by address, as the kernel finds them. */
static int compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	uint64_t ox = order_of_address(&x->at), oy = order_of_address(&y->at);

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return ox < oy ? -1 : ox > oy;
}

static int host_of(struct tree *tree, const struct found *found)
{
	struct topology_host host = {0};
	struct dma_pci_function at;
	char address[2 * DMA_PCI_NAME];
	int number = topology_find_host(tree->topology, found->host), err;

	if (number >= 0)
		return number;
	snprintf(host.name, sizeof(host.name), "%s", found->host);
	snprintf(address, sizeof(address), "%s:00.0", found->host + 3);
	if (!topology_parse_address(address, &at))
		return base_error(-EINVAL, "\"%s\" is the name of no root bus", found->host);
	host.domain = at.domain;
	host.bus = at.bus;
	err = topology_add_host(tree->topology, &host);
	return err ? err : (int)tree->topology->nr_hosts - 1;
}

/* The first function on a root bus tells what the host bridge is, if it is one of two kinds. */
static void identify_host(struct topology_host *host, const struct dma_pci_function *is)
{
	if ((is->device || is->function) && is->type != DMA_PCI_ROOT_PORT)
		return;
	host->vendor_id = is->vendor_id;
	host->device_id = is->device_id;
}

static int add_found(struct tree *tree, const struct found *found)
{
	struct topology_function function = {.is = found->at};
	struct dma_pci_function *is = &function.is;
	struct dma_topology *topology = tree->topology;
	size_t nr_hosts = topology->nr_hosts;
	char group[16], *end;

	is->host = host_of(tree, found);
	if (is->host < 0)
		return is->host;
	is->parent = *found->parent ? topology_find_function(topology, found->parent) : -1;
	if (*found->parent && is->parent < 0)
		return base_error(-EINVAL, "%s is below %s, which is no device in sysfs",
				  found->name, found->parent);
	/* What has something below it is a bridge, whatever it says. */
	if (is->parent >= 0 && !topology_is_bridge(&topology->functions[is->parent]))
		topology->functions[is->parent].is.type = DMA_PCI_BRIDGE;
	snprintf(is->name, sizeof(is->name), "%s", found->name);
	is->type = DMA_PCI_ENDPOINT;
	is->vendor_id = (uint16_t)read_number(tree, found->name, "vendor");
	is->device_id = (uint16_t)read_number(tree, found->name, "device");
	is->class_code = read_number(tree, found->name, "class") & 0xffffff;
	read_link(tree, found->name, "driver", is->driver, sizeof(is->driver));
	read_link(tree, found->name, "iommu_group", group, sizeof(group));
	is->iommu_group = (int)strtol(group, &end, 10);
	if (end == group || *end)
		is->iommu_group = -1;
	read_config(tree, is, found->name);
	if (topology->nr_hosts != nr_hosts)
		identify_host(&topology->hosts[is->host], is);
	return topology_add_function(topology, &function);
}

int dma_topology_read_sysfs(const char *sysfs, const char *cpuinfo, struct dma_topology **topology)
{
	struct tree tree = {.sysfs = sysfs ? sysfs : "/sys"};
	int err;

	tree.found = base_alloc((TOPOLOGY_FUNCTIONS + 1) * sizeof(*tree.found));
	if (!tree.found)
		return base_error(-ENOMEM, "no memory for a list of PCI devices; free some");
	tree.topology = topology_create();
	err = tree.topology ? collect(&tree) : -ENOMEM;
	if (!err && tree.nr)
		qsort(tree.found, tree.nr, sizeof(*tree.found), compare);
	for (size_t i = 0; i < tree.nr && !err; i++)
		err = add_found(&tree, &tree.found[i]);
	base_free(tree.found);
	if (err) {
		topology_destroy(tree.topology);
		return err;
	}
	tree.topology->machine = true;
	topology_read_cpu(tree.topology, cpuinfo ? cpuinfo : "/proc/cpuinfo");
	*topology = tree.topology;
	return 0;
}
