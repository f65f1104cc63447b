/* SPDX-License-Identifier: MIT */
/* The guest has what its row of the matrix promises; else the other programs prove nothing. */
#include <glob.h>

#include "setup.h"

static void test_devices(void **state)
{
	static const char *const devices[] = {"NVME", "NVME2", "NVME3", "EDU", "IVSHMEM"};

	(void)state;
	for (size_t i = 0; i < COUNT(devices); i++) {
		char path[256];

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", row_of(devices[i]));
		if (access(path, R_OK))
			fail_msg("%s is not there", path);
	}
}

static void test_bound(void **state)
{
	static const char *const devices[] = {"NVME", "NVME3", "EDU", "IVSHMEM"};

	(void)state;
	for (size_t i = 0; i < COUNT(devices); i++) {
		char path[256], driver[256] = "";

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", row_of(devices[i]));
		if (readlink(path, driver, sizeof(driver) - 1) < 0)
			fail_msg("%s: %s", path, strerror(errno));
		assert_non_null(strstr(driver, "vfio-pci"));
	}
}

/* The name that a link of the device's folder ends with, empty where there is no link. */
static void link_end(const char *device, const char *link, char *end, size_t size)
{
	char path[256], target[256] = "";
	const char *slash;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, link);
	if (readlink(path, target, sizeof(target) - 1) < 0)
		target[0] = 0;
	slash = strrchr(target, '/');
	snprintf(end, size, "%s", slash ? slash + 1 : target);
}

/* A drive that the kernel keeps, with the name that run.sh gives it. */
static void test_kernel_drive(void **state)
{
	char path[300], driver[64], serial[64] = "";
	glob_t found;
	FILE *file;

	(void)state;
	link_end(row_of("NVME2"), "driver", driver, sizeof(driver));
	assert_string_equal(driver, "nvme");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/nvme/nvme*/serial", row_of("NVME2"));
	assert_int_equal(glob(path, 0, NULL, &found), 0);
	file = fopen(found.gl_pathv[0], "r");
	assert_non_null(file);
	assert_non_null(fgets(serial, sizeof(serial), file));
	fclose(file);
	globfree(&found);
	assert_memory_equal(serial, "twostep1", 8);
}

static void test_iommu(void **state)
{
	static const struct {
		const char *row, *link;
	} kinds[] = {{"intel", "/dmar"}, {"amd", "/ivhd"}, {"virtio", "/virtio"}};
	char path[256], target[256] = "";

	(void)state;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu", row_of("NVME"));
	if (!has_iommu()) {
		assert_int_equal(readlink(path, target, sizeof(target) - 1), -1);
		return;
	}
	if (readlink(path, target, sizeof(target) - 1) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (!strcmp(kinds[i].row, row_of("IOMMU")) && strstr(target, kinds[i].link))
			return;
	fail_msg("an IOMMU of %s that is %s", row_of("IOMMU"), target);
}

/* Each device that a test opens is alone; the two that are to share a group do. */
static void test_groups(void **state)
{
	static const char *const devices[] = {"NVME", "NVME2", "NVME3", "EDU", "IVSHMEM"};
	char group[COUNT(devices)][32], shared[2][32], first[32];
	const char *both = row_of("SHARED"), *comma = strchr(both, ',');

	(void)state;
	assert_non_null(comma);
	snprintf(first, sizeof(first), "%.*s", (int)(comma - both), both);
	link_end(first, "iommu_group", shared[0], sizeof(shared[0]));
	link_end(comma + 1, "iommu_group", shared[1], sizeof(shared[1]));
	assert_string_equal(shared[0], shared[1]);
	assert_int_equal(shared[0][0] != 0, has_iommu());
	for (size_t i = 0; i < COUNT(devices); i++) {
		link_end(row_of(devices[i]), "iommu_group", group[i], sizeof(group[i]));
		/* Without an IOMMU a group is made for what VFIO has. */
		if (!has_iommu() && !strcmp(devices[i], "NVME2")) {
			assert_string_equal(group[i], "");
			continue;
		}
		assert_string_not_equal(group[i], "");
		assert_string_not_equal(group[i], shared[0]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(group[i], group[j]);
	}
}

static void assert_usable(const char *path)
{
	if (access(path, R_OK | W_OK))
		fail_msg("%s: %s", path, strerror(errno));
}

/* What a process opens: a device by itself, or a container and a group. */
static void test_files(void **state)
{
	char path[300], group[32];
	glob_t found;

	(void)state;
	if (is_scheme("vfio-iommufd")) {
		assert_usable("/dev/iommu");
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*",
			 row_of("NVME"));
		assert_int_equal(glob(path, 0, NULL, &found), 0);
		snprintf(path, sizeof(path), "/dev/vfio/devices%s",
			 strrchr(found.gl_pathv[0], '/'));
		globfree(&found);
		assert_usable(path);
		return;
	}
	assert_usable("/dev/vfio/vfio");
	link_end(row_of("NVME"), "iommu_group", group, sizeof(group));
	snprintf(path, sizeof(path), "/dev/vfio/%s%s", has_iommu() ? "" : "noiommu-", group);
	assert_usable(path);
}

static void test_huge_pages(void **state)
{
	size_t size = 2UL << 20;
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	(void)state;
	if (memory == MAP_FAILED)
		fail_msg("%s", strerror(errno));
	memset(memory, 1, size);
	assert_int_equal(munmap(memory, size), 0);
}

/* A device that leaves: on a bus that can lose it. */
static void test_unplug(void **state)
{
	(void)state;
	if (!getenv("TWOSTEP_TEST_UNPLUG"))
		skip();
	assert_string_equal(row_of("UNPLUG"), row_of("NVME3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices),	     cmocka_unit_test(test_bound),
		cmocka_unit_test(test_kernel_drive), cmocka_unit_test(test_iommu),
		cmocka_unit_test(test_groups),	     cmocka_unit_test(test_files),
		cmocka_unit_test(test_huge_pages),   cmocka_unit_test(test_unplug),
	};

	return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
