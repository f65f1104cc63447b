/* SPDX-License-Identifier: MIT */
/* Finding a function by its name, and whether it is VFIO's. */
#include "fake.h"

static void names(void **state)
{
	static const char *const wrong[] = {
		"",	     "zz",	    "1:00.0",	    "001:00.0",	     "01:00",
		"01:00.8",   "01:20.0",	    "01:00.0 ",	    "000:01:00.0",   "0000:01:00.0/",
		"+1:00.0",   "0x0:01:00.0", "0000:001:0.0", "0000:01:00.00", "000000001:01:00.0",
		"01:00.0\n",
	};
	struct vfio_place place;

	(void)state;
	fake_machine_new();
	fake_function("0000:01:00.0", "0x010802\n", "nvme", 7);
	fake_function("10000:e1:1f.7", "0x010802\n", "", -1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (vfio_find(wrong[i], &place) != -EINVAL)
			fail_msg("\"%s\" is taken for an address", wrong[i]);
		assert_said("is no PCI address");
	}
	assert_int_equal(vfio_find("01:00.0", &place), 0);
	assert_string_equal(place.bdf, "0000:01:00.0");
	assert_int_equal(vfio_find("0000:01:00.0", &place), 0);
	assert_int_equal(vfio_find("10000:E1:1F.7", &place), 0);
	assert_string_equal(place.bdf, "10000:e1:1f.7");
	assert_int_equal(vfio_find("01:00.1", &place), -ENODEV);
	assert_said("there is no PCI device 0000:01:00.1");
	fake_shell("rm -r sys/bus");
	assert_int_equal(vfio_find("01:00.0", &place), -ENODEV);
	assert_said("mount sysfs");
	fake_machine_free();
}

static void what_it_is(void **state)
{
	struct vfio_place place;

	(void)state;
	fake_machine_new();
	fake_function("0000:01:00.0", "0x010802\n", "nvme", 7);
	assert_int_equal(vfio_find("01:00.0", &place), 0);
	assert_string_equal(place.driver, "nvme");
	assert_int_equal(place.group, 7);
	assert_string_equal(place.group_file, "/dev/vfio/7");
	assert_string_equal(place.cdev_file, "");
	assert_false(place.noiommu);
	assert_int_equal(place.vendor_id, 0x8086);
	assert_int_equal(place.device_id, 0x0953);
	assert_int_equal(place.class_code, 0x010802);
	assert_int_equal(vfio_check_bound(&place), -ENODEV);
	assert_said("belongs to the driver nvme; give it to vfio-pci: twostep bind 0000:01:00.0");

	fake_function("0000:02:00.0", "0x010802\n", "", -1);
	assert_int_equal(vfio_find("02:00.0", &place), 0);
	assert_int_equal(place.group, -1);
	assert_string_equal(place.group_file, "");
	assert_int_equal(vfio_check_bound(&place), -ENODEV);
	assert_said("has no driver");

	/* A file that is not there yet is not named. */
	fake_function("0000:03:00.0", "0x010802\n", "vfio-pci", 9);
	fake_shell("mkdir -p sys/bus/pci/devices/0000:03:00.0/vfio-dev/vfio4 dev/vfio/devices");
	assert_int_equal(vfio_find("03:00.0", &place), 0);
	assert_string_equal(place.cdev_file, "");
	fake_shell("touch dev/vfio/devices/vfio4 && rm dev/vfio/9");
	assert_int_equal(vfio_find("03:00.0", &place), 0);
	assert_string_equal(place.cdev_file, "/dev/vfio/devices/vfio4");
	assert_string_equal(place.group_file, "");
	assert_int_equal(place.group, 9);
	assert_int_equal(vfio_check_bound(&place), 0);
	fake_machine_free();
}

static void vendors_drivers(void **state)
{
	struct vfio_place place;

	(void)state;
	fake_machine_new();
	fake_function("0000:01:00.0", "0x020000\n", "mlx5_vfio_pci", 7);
	fake_function("0000:02:00.0", "0x020000\n", "secret", 8);
	assert_int_equal(vfio_find("01:00.0", &place), 0);
	assert_int_equal(vfio_check_bound(&place), 0);
	assert_int_equal(vfio_find("02:00.0", &place), 0);
	assert_int_equal(vfio_check_bound(&place), -ENODEV);
	fake_shell("mkdir -p sys/bus/pci/devices/0000:02:00.0/vfio-dev/vfio0");
	assert_int_equal(vfio_check_bound(&place), 0);
	fake_machine_free();
}

static void without_iommu(void **state)
{
	struct vfio_place place;

	(void)state;
	fake_machine_new();
	fake_function("0000:01:00.0", "0x020000\n", "vfio-pci", 0);
	fake_file("sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
	fake_shell("mv dev/vfio/0 dev/vfio/noiommu-0");
	assert_int_equal(vfio_find("01:00.0", &place), 0);
	assert_true(place.noiommu);
	assert_string_equal(place.group_file, "/dev/vfio/noiommu-0");
	assert_false(vfio_noiommu_allowed());
	fake_file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
	assert_false(vfio_noiommu_allowed());
	fake_file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	assert_true(vfio_noiommu_allowed());
	fake_machine_free();
}

int main(void)
{
	const struct CMUnitTest units[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(what_it_is),
		cmocka_unit_test(vendors_drivers),
		cmocka_unit_test(without_iommu),
	};

	return cmocka_run_group_tests(units, NULL, NULL);
}
