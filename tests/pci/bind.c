/* SPDX-License-Identifier: MIT */
/* Giving a device to VFIO and back, and what stays as it was when that fails. */
#include <unistd.h>

#include "fake.h"

#define BDF "0000:01:00.0"
#define OVERRIDE "sys/bus/pci/devices/" BDF "/driver_override"

static void as_it_was(void)
{
	assert_string_equal(fake_driver(BDF), "nvme");
	assert_string_equal(fake_read(OVERRIDE), "(null)");
}

static void there_and_back(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_bind("01:00.0", 0), 0);
	assert_string_equal(fake_driver(BDF), "vfio-pci");
	assert_string_equal(fake_writes(), "driver_override=vfio-pci unbind=" BDF " bind=" BDF);
	/* A second time nothing is written. */
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_string_equal(fake_writes(), "");
	fake_takes("nvme");
	assert_int_equal(ts_pci_unbind(BDF, 0), 0);
	as_it_was();
	assert_string_equal(fake_writes(), "driver_override= unbind=" BDF " drivers_probe=" BDF);
}

static void without_a_driver(void **state)
{
	(void)state;
	fake_shell("rm sys/bus/pci/devices/" BDF "/driver");
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_string_equal(fake_driver(BDF), "vfio-pci");
	assert_string_equal(fake_writes(), "driver_override=vfio-pci bind=" BDF);
	/* Nobody wants it. */
	assert_int_equal(ts_pci_unbind(BDF, 0), 0);
	assert_string_equal(fake_driver(BDF), "");
	/* An override alone is taken away as well. */
	fake_file(OVERRIDE, "vfio-pci\n");
	assert_int_equal(ts_pci_unbind(BDF, 0), 0);
	assert_string_equal(fake_read(OVERRIDE), "(null)");
	assert_int_equal(ts_pci_unbind(BDF, 0), -EINVAL);
	assert_said("its driver is none");
}

static void bad_calls(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_bind("nonsense", 0), -EINVAL);
	assert_int_equal(ts_pci_unbind("nonsense", 0), -EINVAL);
	assert_int_equal(ts_pci_bind("02:00.0", 0), -ENODEV);
	assert_int_equal(ts_pci_unbind("02:00.0", 0), -ENODEV);
	assert_int_equal(ts_pci_bind(BDF, 2), -EINVAL);
	assert_said("flags 0x2");
	assert_int_equal(ts_pci_unbind(BDF, 6), -EINVAL);
	assert_int_equal(ts_pci_unbind(BDF, 0), -EINVAL);
	assert_said("VFIO does not have " BDF ": its driver is nvme");
	as_it_was();
	assert_string_equal(fake_writes(), "");
}

static void no_vfio(void **state)
{
	(void)state;
	fake_shell("rm -r sys/bus/pci/drivers/vfio-pci");
	assert_int_equal(ts_pci_bind(BDF, TS_PCI_FORCE), -ENODEV);
	assert_said("modprobe vfio-pci");
	as_it_was();
	assert_string_equal(fake_writes(), "");
}

static void no_iommu(void **state)
{
	(void)state;
	fake_shell("rm sys/bus/pci/devices/" BDF "/iommu_group");
	assert_int_equal(ts_pci_bind(BDF, TS_PCI_FORCE), -ENODEV);
	assert_said("no IOMMU group");
	assert_said("intel_iommu=on");
	assert_string_equal(fake_writes(), "");
	/* Unless the administrator has given up protection. */
	fake_file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_string_equal(fake_driver(BDF), "vfio-pci");
}

static void no_permission(void **state)
{
	(void)state;
	fake_refuse("/driver_override", -EACCES);
	assert_int_equal(ts_pci_bind(BDF, 0), -EACCES);
	assert_said("it takes root");
	fake_refuse(NULL, 0);
	as_it_was();
}

static void unbind_refused(void **state)
{
	(void)state;
	fake_refuse("/unbind", -EACCES);
	assert_int_equal(ts_pci_bind(BDF, 0), -EACCES);
	assert_said("it is as it was (driver nvme)");
	as_it_was();
	/* What another had overridden stays so. */
	fake_file(OVERRIDE, "nvme\n");
	assert_int_equal(ts_pci_bind(BDF, 0), -EACCES);
	assert_string_equal(fake_read(OVERRIDE), "nvme");
}

static void bind_refused(void **state)
{
	(void)state;
	fake_refuse("/vfio-pci/bind", -EINVAL);
	assert_int_equal(ts_pci_bind(BDF, 0), -EINVAL);
	assert_said("it is as it was (driver nvme)");
	as_it_was();
	assert_string_equal(fake_writes(),
			    "driver_override=vfio-pci unbind=" BDF " driver_override= bind=" BDF);
}

static void nothing_can_be_undone(void **state)
{
	(void)state;
	fake_refuse("/bind", -EIO);
	assert_int_equal(ts_pci_bind(BDF, 0), -EIO);
	assert_said("could not be put back as it was");
	assert_said("(driver nvme)");
}

static void unbind_from_vfio_refused(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	fake_refuse("/unbind", -EACCES);
	assert_int_equal(ts_pci_unbind(BDF, 0), -EACCES);
	assert_said("it is as it was");
	assert_string_equal(fake_driver(BDF), "vfio-pci");
	assert_string_equal(fake_read(OVERRIDE), "vfio-pci");
	fake_refuse("/driver_override", -EPERM);
	assert_int_equal(ts_pci_unbind(BDF, 0), -EPERM);
	assert_string_equal(fake_driver(BDF), "vfio-pci");
	fake_refuse("/drivers_probe", -EINVAL);
	assert_int_equal(ts_pci_unbind(BDF, 0), -EINVAL);
	assert_said("is free, and the kernel finds no driver");
}

static void taken_again(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	fake_takes("vfio-pci");
	assert_int_equal(ts_pci_unbind(BDF, 0), -EBUSY);
	assert_said("echo 8086 0953 > /sys/bus/pci/drivers/vfio-pci/remove_id");
}

static void open_elsewhere(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	fake_writes();
	fake_shell("mkdir -p proc/4242/fd proc/acpi && ln -s /dev/null proc/4242/fd/0 && "
		   "ln -s /dev/vfio/7 proc/4242/fd/9");
	assert_int_equal(ts_pci_unbind(BDF, 0), -EBUSY);
	assert_said("is open in process 4242");
	assert_string_equal(fake_writes(), "");
	assert_int_equal(ts_pci_unbind(BDF, TS_PCI_FORCE), 0);
	assert_string_equal(fake_driver(BDF), "");
}

static void open_by_its_own_file(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	fake_shell("mkdir -p sys/bus/pci/devices/" BDF "/vfio-dev/vfio3 dev/vfio/devices "
		   "proc/77/fd && touch dev/vfio/devices/vfio3 && "
		   "ln -s /dev/vfio/devices/vfio3 proc/77/fd/5");
	assert_int_equal(ts_pci_unbind(BDF, 0), -EBUSY);
	assert_said("is open in process 77");
	/* Who has it itself cannot wait for itself, whatever it wants. */
	fake_shell("mv proc/77 proc/%ld", (long)getpid());
	assert_int_equal(ts_pci_unbind(BDF, TS_PCI_FORCE), -EBUSY);
	assert_said("close it first");
	assert_string_equal(fake_driver(BDF), "vfio-pci");
}

int main(void)
{
	const struct CMUnitTest units[] = {
		cmocka_unit_test_setup_teardown(there_and_back, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(without_a_driver, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(bad_calls, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(no_vfio, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(no_iommu, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(no_permission, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(unbind_refused, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(bind_refused, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(nothing_can_be_undone, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(unbind_from_vfio_refused, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(taken_again, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(open_elsewhere, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(open_by_its_own_file, fake_drive_setup, fake_machine_teardown),
	};

	return cmocka_run_group_tests(units, NULL, NULL);
}
