/* SPDX-License-Identifier: MIT */
/* A sysfs made up for the purpose, with configuration spaces as they are and as they should not be. */
#include <sys/stat.h>
#include <unistd.h>

#include "topology_tests.h"

struct tree {
	char root[64];
};

static void put(const struct tree *tree, const char *file, const void *bytes, size_t size)
{
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", tree->root, file);
	out = fopen(path, "we");
	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, size, out), size);
	fclose(out);
}

static void put_text(const struct tree *tree, const char *dir, const char *file, const char *text)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	put(tree, path, text, strlen(text));
}

static void make(const struct tree *tree, const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && %s", tree->root, command);
	assert_int_equal(system(line), 0);
}

static struct tree tree_new(void)
{
	struct tree tree = {"/tmp/twostep-sysfs-XXXXXX"};

	assert_non_null(mkdtemp(tree.root));
	make(&tree, "mkdir -p bus/pci/devices");
	return tree;
}

static void tree_free(const struct tree *tree)
{
	char line[256];

	snprintf(line, sizeof(line), "rm -rf %s", tree->root);
	assert_int_equal(system(line), 0);
}

/* A device at devices/@path, of a vendor, with a configuration space. */
static void device(const struct tree *tree, const char *path, const char *id, const char *class,
		   const uint8_t *config, size_t size)
{
	char line[600], dir[256];

	snprintf(dir, sizeof(dir), "devices/%s", path);
	snprintf(line, sizeof(line), "mkdir -p %s && ln -s ../../../%s bus/pci/devices/", dir, dir);
	make(tree, line);
	put_text(tree, dir, "vendor", "0x8086\n");
	put_text(tree, dir, "device", id);
	put_text(tree, dir, "class", class);
	snprintf(line, sizeof(line), "%s/config", dir);
	put(tree, line, config, size);
}

/* Bytes of a port of @type with access control @acs. */
static void port_config(uint8_t *config, unsigned int type, unsigned int acs)
{
	memset(config, 0, 4096);
	config[0x06] = 0x10;
	config[0x34] = 0x50;
	config[0x50] = 0x01; /* power management first */
	config[0x51] = 0x80;
	config[0x80] = 0x10;
	config[0x82] = (uint8_t)(type << 4 | 2);
	config[0x100] = 0x01; /* error reporting first */
	config[0x102] = 0x01;
	config[0x103] = 0x14; /* next 0x140 */
	config[0x140] = 0x0d;
	config[0x142] = 0x01;
	config[0x146] = (uint8_t)acs;
}

#define PORT "pci0000:00/0000:00:1c.0"
#define SWITCH PORT "/0000:01:00.0"

static void a_switch(void **state)
{
	struct tree tree = tree_new();
	struct dma_topology *topology;
	struct dma_pci_function f;
	uint8_t config[4096], nothing[256] = {0};

	(void)state;
	port_config(config, 4, 0x1d);
	device(&tree, PORT, "0x2031\n", "0x060400\n", config, 4096);
	port_config(config, 5, 0);
	device(&tree, SWITCH, "0x8000\n", "0x060400\n", config, 4096);
	port_config(config, 6, 0);
	device(&tree, SWITCH "/0000:02:00.0", "0x8001\n", "0x060400\n", config, 4096);
	device(&tree, SWITCH "/0000:02:01.0", "0x8001\n", "0x060400\n", config, 4096);
	device(&tree, SWITCH "/0000:02:00.0/0000:03:00.0", "0x0953\n", "0x010802\n", nothing, 256);
	device(&tree, SWITCH "/0000:02:01.0/0000:04:00.0", "0x0953\n", "0x010802\n", nothing, 256);
	/* A controller with a domain of its own; and what is no device. */
	device(&tree, "pci0000:00/0000:00:1e.0/pci10000:00/10000:00:02.0", "0x1\n", "0x010802\n",
	       nothing, 256);
	make(&tree, "mkdir bus/pci/devices/nonsense; ln -s /nowhere bus/pci/devices/0000:09:00.0");
	make(&tree, "mkdir -p drv/nvme grp/3 && ln -s /x/nvme "
		    "devices/" SWITCH "/0000:02:01.0/0000:04:00.0/driver && ln -s /x/3 "
		    "devices/" SWITCH "/0000:02:01.0/0000:04:00.0/iommu_group");
	put_text(&tree, ".", "cpuinfo",
		 "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 23\n");
	make(&tree, "test -s cpuinfo");
	assert_int_equal(dma_topology_read_sysfs(tree.root, "/nonexistent", &topology), 0);
	assert_false(topology->zen);
	assert_int_equal(dma_topology_count(topology), 7);
	assert_int_equal(
		dma_topology_function(topology, (size_t)dma_topology_find(topology, "00:1c.0"), &f),
		0);
	assert_int_equal(f.type, DMA_PCI_ROOT_PORT);
	assert_int_equal(f.acs, 0x1d);
	assert_false(f.acs_unknown);
	/* The first function of the root bus, not 00.0 but a root port, tells what the host is. */
	assert_int_equal(topology->hosts[f.host].device_id, 0x2031);
	assert_int_equal(
		dma_topology_function(topology, (size_t)dma_topology_find(topology, "04:00.0"), &f),
		0);
	assert_string_equal(f.driver, "nvme");
	assert_int_equal(f.iommu_group, 3);
	assert_int_equal(f.class_code, 0x010802);
	assert_false(f.acs_unknown);
	assert_int_equal(decided(topology, "03:00.0", "04:00.0", NULL, NULL, 0),
			 PCI_P2PDMA_MAP_BUS_ADDR);
	assert_int_equal(decided(topology, "03:00.0", "10000:00:02.0", NULL, NULL, 0),
			 PCI_P2PDMA_MAP_NOT_SUPPORTED);
	dma_topology_free(topology);
	{
		char cpuinfo[128];

		snprintf(cpuinfo, sizeof(cpuinfo), "%s/cpuinfo", tree.root);
		assert_int_equal(dma_topology_read_sysfs(tree.root, cpuinfo, &topology), 0);
		assert_true(topology->zen);
		dma_topology_free(topology);
		for (uint64_t nth = 1; nth <= 3; nth++) {
			base_alloc_fail(nth);
			assert_int_equal(dma_topology_read_sysfs(tree.root, cpuinfo, &topology),
					 -ENOMEM);
			base_alloc_fail(0);
		}
	}
	tree_free(&tree);
}

/* What a user who is not root sees, and lists that run in circles. */
static void less_than_all(void **state)
{
	struct tree tree = tree_new();
	struct dma_topology *topology;
	struct dma_pci_function f;
	uint8_t config[4096];

	(void)state;
	port_config(config, 4, 0x04);
	device(&tree, "pci0000:00/0000:00:01.0", "0x1\n", "0x060400\n", config, 64);
	config[0x51] = 0x50; /* itself */
	config[0x103] = 0x10; /* itself */
	device(&tree, "pci0000:00/0000:00:02.0", "0x1\n", "0x060400\n", config, 4096);
	config[0x34] = 0xfc;
	memset(config + 0x100, 0xff, 4);
	device(&tree, "pci0000:00/0000:00:03.0", "0x1\n", "0x060400\n", config, 4096);
	device(&tree, "pci0000:00/0000:00:04.0", "", "", config, 0);
	assert_int_equal(dma_topology_read_sysfs(tree.root, NULL, &topology), 0);
	assert_int_equal(dma_topology_count(topology), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(dma_topology_function(topology, i, &f), 0);
		assert_int_equal(f.acs_unknown, i == 0 || i == 3);
		assert_int_equal(f.acs, 0);
		assert_int_equal(f.type, i == 3 ? DMA_PCI_ENDPOINT : DMA_PCI_BRIDGE);
	}
	/* Neither 00.0 nor a root port: nobody knows what the host bridge is. */
	assert_int_equal(topology->hosts[0].vendor_id, 0);
	dma_topology_free(topology);
	tree_free(&tree);
}

static void nothing_there(void **state)
{
	struct tree tree = tree_new();
	struct dma_topology *topology;

	(void)state;
	assert_int_equal(dma_topology_read_sysfs(tree.root, NULL, &topology), 0);
	assert_int_equal(dma_topology_count(topology), 0);
	dma_topology_free(topology);
	make(&tree, "rm -r bus");
	assert_int_equal(dma_topology_read_sysfs(tree.root, NULL, &topology), 0);
	dma_topology_free(topology);
	make(&tree, "mkdir -p bus/pci && touch bus/pci/devices");
	assert_int_equal(dma_topology_read_sysfs(tree.root, NULL, &topology), -ENOTDIR);
	tree_free(&tree);
	assert_int_equal(dma_topology_read_sysfs(tree.root, NULL, &topology), -ENOENT);
	assert_non_null(strstr(dma_last_error(), "is sysfs mounted?"));
	/* The machine's own, whatever it is. */
	assert_int_equal(dma_topology_read_sysfs(NULL, NULL, &topology), 0);
	dma_topology_free(topology);
}

/* A device whose bridge is not listed. */
static void a_tree_with_a_hole(void **state)
{
	struct tree tree = tree_new();
	struct dma_topology *topology;
	uint8_t config[256] = {0};

	(void)state;
	device(&tree, PORT "/0000:01:00.0", "0x1\n", "0x010802\n", config, 256);
	assert_int_equal(dma_topology_read_sysfs(tree.root, NULL, &topology), -EINVAL);
	assert_non_null(strstr(dma_last_error(), "0000:00:1c.0, which is no device"));
	tree_free(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_switch),
		cmocka_unit_test(less_than_all),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(a_tree_with_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
