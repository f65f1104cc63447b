/* SPDX-License-Identifier: MIT */
/* The stand-in's groups and devices: who gets them, who does not, and what sysfs says. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"

static int group_status(int group)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};

	assert_int_equal(call(group, VFIO_GROUP_GET_STATUS, &status), 0);
	return (int)status.flags;
}

static void link_leads(const char *path, const char *name)
{
	char full[PATH_MAX], to[PATH_MAX];
	ssize_t len;

	snprintf(full, sizeof(full), "%s%s", fake_root(), path);
	len = readlink(full, to, sizeof(to) - 1);
	assert_true(len > 0);
	to[len] = '\0';
	assert_string_equal(strrchr(to, '/') + 1, name);
	assert_int_equal(access(full, F_OK), 0);
}

static void test_sysfs(void **state)
{
	char path[PATH_MAX];

	(void)state;
	start(NULL);
	fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	link_leads("/sys/bus/pci/devices/" BDF, BDF);
	link_leads("/sys/bus/pci/devices/" BDF "/driver", "vfio-pci");
	link_leads("/sys/bus/pci/devices/" BDF "/iommu_group", "7");
	link_leads("/sys/kernel/iommu_groups/7/devices/" BDF, BDF);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/" BDF "/vfio-dev/vfio0", fake_root());
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s", fake_root());
	fake_stop();
	assert_int_equal(access(path, F_OK), -1);
}

static void test_absent(void **state)
{
	(void)state;
	start(&(struct fake_options){.no_iommufd = true, .no_cdevs = true});
	fake_plug(&(struct fake_function){.bdf = BDF, .group = 7, .driver = "nvme"});
	assert_int_equal(vfio_open("/dev/iommu", O_RDWR), -ENOENT);
	assert_int_equal(vfio_open("/dev/vfio/7", O_RDWR), -ENOENT);
	assert_int_equal(vfio_open("/dev/vfio/devices/vfio0", O_RDWR), -ENOENT);
	fake_refuse_open("/dev/vfio/vfio", -EACCES);
	assert_int_equal(vfio_open("/dev/vfio/vfio", O_RDWR), -EACCES);
	fake_refuse_open("/dev/vfio/vfio", 0);
	assert_true(vfio_open("/dev/vfio/vfio", O_RDWR) >= 0);
	fake_stop();
}

static void test_group(void **state)
{
	char name[] = BDF, other[] = "0000:03:00.0";
	int group, container, device, first;

	(void)state;
	start(NULL);
	first = fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	group = vfio_open("/dev/vfio/7", O_RDWR);
	assert_int_equal(vfio_open("/dev/vfio/7", O_RDWR), -EBUSY);
	assert_int_equal(group_status(group), VFIO_GROUP_FLAGS_VIABLE);
	assert_int_equal(call(group, VFIO_GROUP_GET_DEVICE_FD, name), -EINVAL);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &(int){999}), -EBADF);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &group), -EBADFD);
	container = vfio_open("/dev/vfio/vfio", O_RDWR);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &container), -EINVAL);
	assert_int_equal(call(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(call(group, VFIO_GROUP_GET_DEVICE_FD, other), -ENODEV);
	device = call(group, VFIO_GROUP_GET_DEVICE_FD, name);
	assert_true(device >= 0);
	assert_int_equal(call(group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
	assert_int_equal(group_status(group),
			 VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET);
	/* The device keeps its group. */
	vfio_kernel->close(group);
	assert_int_equal(vfio_open("/dev/vfio/7", O_RDWR), -EBUSY);
	assert_false(fake_bus_master(first));
	assert_int_equal(vfio_kernel->pwrite(device, &(uint8_t){4}, 1, (7ULL << 40) + 4), 1);
	assert_true(fake_bus_master(first));
	vfio_kernel->close(device);
	assert_false(fake_bus_master(first));
	group = vfio_open("/dev/vfio/7", O_RDWR);
	assert_true(group >= 0);
	fake_stop();
}

static void test_not_viable(void **state)
{
	int group, container, iommufd, cdev;

	(void)state;
	start(NULL);
	fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	fake_plug(&(struct fake_function){.bdf = "0000:01:00.1", .group = 7, .driver = "e1000e"});
	group = vfio_open("/dev/vfio/7", O_RDWR);
	assert_int_equal(group_status(group), 0);
	container = vfio_open("/dev/vfio/vfio", O_RDWR);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &container), -EPERM);
	vfio_kernel->close(group);
	iommufd = vfio_open("/dev/iommu", O_RDWR);
	cdev = vfio_open("/dev/vfio/devices/vfio0", O_RDWR);
	assert_int_equal(bind_to(cdev, iommufd), -EPERM);
	fake_stop();
}

static void test_bind(void **state)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int iommufd, cdev, second, group, function;

	(void)state;
	start(NULL);
	function = fake_plug(&(struct fake_function){.bdf = BDF, .group = 7});
	iommufd = vfio_open("/dev/iommu", O_RDWR);
	cdev = vfio_open("/dev/vfio/devices/vfio0", O_RDWR);
	second = vfio_open("/dev/vfio/devices/vfio0", O_RDWR);
	assert_int_equal(call(cdev, VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	assert_int_equal(bind_to(cdev, 999), -EBADF);
	assert_int_equal(bind_to(cdev, second), -EBADFD);
	group = vfio_open("/dev/vfio/7", O_RDWR);
	assert_int_equal(bind_to(cdev, iommufd), -EBUSY);
	vfio_kernel->close(group);
	fake_set_use(function, FAKE_USED_BY_CDEV);
	assert_int_equal(bind_to(cdev, iommufd), -EINVAL);
	fake_set_use(function, FAKE_UNUSED);
	assert_int_equal(bind_to(cdev, iommufd), 0);
	assert_int_equal(bind_to(cdev, iommufd), -EINVAL);
	assert_int_equal(bind_to(second, iommufd), -EINVAL);
	assert_int_equal(vfio_open("/dev/vfio/7", O_RDWR), -EBUSY);
	assert_int_equal(call(cdev, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(attach_to(cdev, 77), -ENOENT);
	vfio_kernel->close(cdev);
	assert_int_equal(bind_to(second, iommufd), 0);
	fake_stop();
}

static void test_no_isolated_msi(void **state)
{
	int iommufd, cdev;

	(void)state;
	start(NULL);
	fake_plug(&(struct fake_function){.bdf = BDF, .group = 7, .no_isolated_msi = true});
	iommufd = vfio_open("/dev/iommu", O_RDWR);
	cdev = vfio_open("/dev/vfio/devices/vfio0", O_RDWR);
	assert_int_equal(bind_to(cdev, iommufd), -EPERM);
	fake_stop();
}

static void test_noiommu(void **state)
{
	char name[] = BDF;
	int container, group;

	(void)state;
	start(&(struct fake_options){.noiommu = true});
	fake_plug(&(struct fake_function){.bdf = BDF, .group = -1});
	container = vfio_open("/dev/vfio/vfio", O_RDWR);
	group = vfio_open("/dev/vfio/noiommu-100", O_RDWR);
	assert_true(group >= 0);
	assert_int_equal(call(container, VFIO_CHECK_EXTENSION, (void *)VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(call(container, VFIO_SET_IOMMU, (void *)VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(dma_map(container, 0x10000, NULL, PAGE, 3), -ENOTTY);
	assert_true(call(group, VFIO_GROUP_GET_DEVICE_FD, name) >= 0);
	fake_stop();
	start(&(struct fake_options){.noiommu = true, .no_rawio = true});
	fake_plug(&(struct fake_function){.bdf = BDF, .group = -1});
	assert_int_equal(vfio_open("/dev/vfio/noiommu-100", O_RDWR), -EPERM);
	fake_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sysfs),	cmocka_unit_test(test_absent),
		cmocka_unit_test(test_group),	cmocka_unit_test(test_not_viable),
		cmocka_unit_test(test_bind),	cmocka_unit_test(test_no_isolated_msi),
		cmocka_unit_test(test_noiommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
