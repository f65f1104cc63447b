/* SPDX-License-Identifier: MIT */
/* What can be told of a device that is not open. */
#include "fake.h"

#define BDF "0000:01:00.0"
#define AT "sys/bus/pci/devices/" BDF "/"

static void bare(void **state)
{
	struct ts_pci_abilities a;

	(void)state;
	memset(&a, 0xff, sizeof(a));
	assert_int_equal(ts_pci_probe("zz", &a), -EINVAL);
	assert_int_equal(ts_pci_probe("09:00.0", &a), -ENODEV);
	assert_int_equal((unsigned char)a.address[0], 0xff);
	assert_int_equal(ts_pci_probe("01:00.0", &a), 0);
	assert_string_equal(a.address, BDF);
	assert_string_equal(a.driver, "nvme");
	assert_false(a.bound);
	assert_true(a.vfio_pci);
	assert_int_equal(a.group, 7);
	assert_int_equal(a.group_size, 1);
	assert_true(a.viable);
	assert_string_equal(a.blockers, "");
	assert_string_equal(a.group_file, "/dev/vfio/7");
	assert_int_equal(a.group_access, 0);
	assert_string_equal(a.cdev_file, "");
	assert_int_equal(a.cdev_access, -ENOENT);
	assert_int_equal(a.iommufd_access, -ENOENT);
	assert_int_equal(a.container_access, -ENOENT);
	assert_false(a.type1);
	assert_false(a.noiommu_allowed);
	assert_int_equal(a.config_shown, 0);
	assert_string_equal(a.resets, "");
	assert_int_equal(a.bars[0].size, 0);
}

static void no_group(void **state)
{
	struct ts_pci_abilities a;

	(void)state;
	fake_shell("rm " AT "iommu_group");
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_int_equal(a.group, -1);
	assert_false(a.viable);
	assert_int_equal(a.group_size, 0);
	assert_int_equal(a.group_access, -ENOENT);
}

/* Whoever has a driver that uses DMA keeps the rest of the group from VFIO. */
static void blockers(void **state)
{
	struct ts_pci_abilities a;

	(void)state;
	fake_function("0000:00:01.0", "0x060400\n", "pcieport", 7);
	fake_function("0000:01:00.1", "0x040300\n", "snd_hda_intel", 7);
	fake_function("0000:01:00.2", "0x0c0330\n", "xhci_hcd", 7);
	fake_function("0000:01:00.3", "0x0c8000\n", "", 7);
	fake_function("0000:01:00.4", "0x0c8000\n", "vfio-pci", 7);
	fake_function("0000:02:00.0", "0x020000\n", "e1000e", 8);
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_int_equal(a.group_size, 6);
	assert_false(a.viable);
	assert_non_null(strstr(a.blockers, "0000:01:00.1 (snd_hda_intel)"));
	assert_non_null(strstr(a.blockers, "0000:01:00.2 (xhci_hcd)"));
	assert_null(strstr(a.blockers, "pcieport"));
	assert_null(strstr(a.blockers, BDF));
	assert_null(strstr(a.blockers, "0000:02"));
	fake_shell("rm sys/bus/pci/devices/0000:01:00.[12]/driver");
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_true(a.viable);
	assert_string_equal(a.blockers, "");
}

static void files(void **state)
{
	struct ts_pci_abilities a;

	(void)state;
	fake_shell("mkdir -p " AT "vfio-dev/vfio0 dev/vfio/devices && "
		   "touch dev/vfio/vfio dev/iommu dev/vfio/devices/vfio0");
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_true(a.bound);
	assert_string_equal(a.cdev_file, "/dev/vfio/devices/vfio0");
	assert_int_equal(a.cdev_access, 0);
	assert_int_equal(a.iommufd_access, 0);
	assert_int_equal(a.container_access, 0);
	assert_true(a.type1);
	fake_refuse("/dev/vfio/7", -EACCES);
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_int_equal(a.group_access, -EACCES);
	assert_int_equal(a.cdev_access, 0);
	fake_refuse("/dev/vfio/vfio", -EACCES);
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_int_equal(a.group_access, 0);
	assert_int_equal(a.container_access, -EACCES);
	assert_false(a.type1);
	fake_refuse("/dev/iommu", -EACCES);
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_int_equal(a.iommufd_access, -EACCES);
	fake_refuse(NULL, 0);
}

static void put_config(const uint8_t *config, size_t size)
{
	char *line = malloc(8192), *at = line;

	assert_non_null(line);
	at += sprintf(at, "printf '");
	for (size_t i = 0; i < size; i++)
		if (i < 0xa0)
			at += sprintf(at, "\\%o", config[i]);
	sprintf(at, "' > " AT "config && truncate -s %zu " AT "config", size);
	fake_shell("%s", line);
	free(line);
}

static void config(void **state)
{
	uint8_t bytes[256] = {0};
	struct ts_pci_abilities a;

	(void)state;
	bytes[0x06] = 0x10; /* it has capabilities, */
	bytes[0x34] = 0x50;
	bytes[0x3d] = 1; /* and INTA */
	bytes[0x50] = 0x05; /* MSI, 8 of them */
	bytes[0x51] = 0x60;
	bytes[0x52] = 3 << 1;
	bytes[0x60] = 0x11; /* MSI-X, 2048 of them */
	bytes[0x61] = 0x50; /* a list that does not end */
	bytes[0x62] = 0xff;
	bytes[0x63] = 0x87;
	put_config(bytes, 256);
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_int_equal(a.config_shown, 256);
	assert_true(a.intx);
	assert_int_equal(a.msi, 8);
	assert_int_equal(a.msix, 2048);
	/* Without root. */
	put_config(bytes, 64);
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_int_equal(a.config_shown, 64);
	assert_true(a.intx);
	assert_int_equal(a.msi, 0);
	assert_int_equal(a.msix, 0);
}

static void resources(void **state)
{
	struct ts_pci_abilities a;

	(void)state;
	fake_file(AT "reset_method", "flr bus\n");
	fake_file(AT "resource", "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n"
				 "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				 "0x0000000800000000 0x00000008ffffffff 0x000000000014220c\n"
				 "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				 "0x000000000000e000 0x000000000000e01f 0x0000000000040101\n"
				 "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
				 "0x00000000fe100000 0x00000000fe10ffff 0x0000000000046200\n");
	assert_int_equal(ts_pci_probe(BDF, &a), 0);
	assert_string_equal(a.resets, "flr bus");
	assert_int_equal(a.bars[0].size, 0x4000);
	assert_int_equal(a.bars[0].start, 0xfe000000);
	assert_false(a.bars[0].prefetchable);
	assert_int_equal(a.bars[1].size, 0);
	assert_int_equal(a.bars[2].size, 0x100000000);
	assert_true(a.bars[2].prefetchable);
	assert_false(a.bars[2].io);
	assert_int_equal(a.bars[4].size, 32);
	assert_true(a.bars[4].io);
	assert_int_equal(a.bars[5].size, 0);
}

int main(void)
{
	const struct CMUnitTest units[] = {
		cmocka_unit_test_setup_teardown(bare, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(no_group, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(blockers, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(files, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(config, fake_drive_setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(resources, fake_drive_setup, fake_machine_teardown),
	};

	return cmocka_run_group_tests(units, NULL, NULL);
}
