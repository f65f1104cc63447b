/* SPDX-License-Identifier: MIT */
/* The guest has what its row of the matrix promises; else the other programs prove nothing. */
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

static void test_groups(void **state)
{
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", row_of("NVME"));
	assert_int_equal(!access(path, F_OK), true);
}

static void test_files(void **state)
{
	(void)state;
	if (is_scheme("vfio-iommufd"))
		assert_int_equal(access("/dev/iommu", R_OK | W_OK), 0);
	if (is_scheme("vfio-type1"))
		assert_int_equal(access("/dev/vfio/vfio", R_OK | W_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
