/* SPDX-License-Identifier: MIT */
/* A device that carries what is in use is not taken from its driver, unless that is forced. */
#include "fake.h"

#define BDF "0000:01:00.0"
#define BELOW "../../devices/pci0000:00/" BDF "/"

static int setup(void **state)
{
	fake_drive_setup(state);
	/* Of somebody else, and in use: it must not matter. */
	fake_shell("mkdir -p sys/devices/pci0000:00/0000:02:00.0/block/sda/holders/md9 && "
		   "ln -s ../../devices/pci0000:00/0000:02:00.0/block/sda sys/class/block/sda");
	fake_file("sys/class/block/sda/dev", "8:0\n");
	return 0;
}

/* A block device, and where its link in the class leads. */
static void block(const char *name, const char *where, const char *number)
{
	char path[256];

	fake_shell("mkdir -p 'sys/class/block/%s/holders' && ln -s '%s' 'sys/class/block/%s'",
		   where, where, name);
	snprintf(path, sizeof(path), "sys/class/block/%s/dev", name);
	fake_file(path, number);
}

static void disk(void)
{
	block("nvme0n1", BELOW "nvme/nvme0/nvme0n1", "259:0\n");
	block("nvme0n1p2", BELOW "nvme/nvme0/nvme0n1/nvme0n1p2", "259:2\n");
	fake_shell("touch dev/nvme0n1 dev/nvme0n1p2");
}

static void is_refused(const char *why)
{
	assert_int_equal(ts_pci_bind(BDF, 0), -EBUSY);
	assert_said(why);
	assert_said("is not taken from nvme");
	assert_string_equal(fake_driver(BDF), "nvme");
	assert_string_equal(fake_writes(), "");
	assert_int_equal(ts_pci_bind(BDF, TS_PCI_FORCE), 0);
	assert_string_equal(fake_driver(BDF), "vfio-pci");
}

static void idle_disk(void **state)
{
	(void)state;
	disk();
	fake_file("proc/self/mountinfo", "22 1 8:0 / / rw,relatime shared:1 - ext4 /dev/sda rw\n"
					 "23 22 0:22 / /259:2 rw - tmpfs /dev/nvme0n1p22 rw\n");
	fake_file("proc/swaps", "Filename\tType\n/dev/sda2 partition 1 0 -2\n");
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_string_equal(fake_driver(BDF), "vfio-pci");
}

static void mounted_partition(void **state)
{
	(void)state;
	disk();
	fake_file("proc/self/mountinfo",
		  "22 1 8:0 / / rw,relatime shared:1 - ext4 /dev/sda rw\n"
		  "30 22 259:2 / /srv rw,relatime shared:2 - ext4 /dev/root rw\n");
	is_refused("nvme0n1p2 is mounted on /srv");
}

/* File systems of several devices have a number of their own; their source tells. */
static void mounted_by_source(void **state)
{
	(void)state;
	disk();
	fake_file("proc/self/mountinfo",
		  "30 22 0:41 /@ /data rw,relatime - btrfs /dev/nvme0n1 rw,space_cache");
	is_refused("nvme0n1 is mounted on /data");
}

static void swap(void **state)
{
	(void)state;
	disk();
	fake_file("proc/swaps",
		  "Filename\tType\tSize\n/dev/nvme0n1p2                         partition\t1\t0\n");
	is_refused("nvme0n1p2 is swap space");
}

static void held(void **state)
{
	(void)state;
	disk();
	fake_shell("mkdir sys/class/block/nvme0n1p2/holders/dm-3");
	is_refused("nvme0n1p2 is held by dm-3");
}

static void open_exclusively(void **state)
{
	(void)state;
	disk();
	fake_refuse("/dev/nvme0n1p2", -EBUSY);
	is_refused("somebody has it open exclusively");
}

static void not_to_be_told(void **state)
{
	(void)state;
	disk();
	fake_refuse("/dev/nvme0n1", -EACCES);
	assert_int_equal(ts_pci_bind(BDF, 0), -EACCES);
	assert_said("cannot be opened, to see whether it is in use");
	assert_said("be root");
	assert_string_equal(fake_driver(BDF), "nvme");
}

/* Names in which a slash stands as an exclamation mark. */
static void name_with_a_slash(void **state)
{
	(void)state;
	block("cciss!c0d0", BELOW "block/cciss!c0d0", "104:0\n");
	fake_file("proc/swaps", "/dev/cciss/c0d0 partition 1 0\n");
	is_refused("cciss!c0d0 is swap space");
}

/* Disks with several paths are below no controller. */
static void several_paths(void **state)
{
	(void)state;
	block("nvme3n1", "../../devices/virtual/nvme-subsystem/nvme-subsys3/nvme3n1", "259:9\n");
	fake_shell("mkdir -p sys/class/nvme-subsystem/nvme-subsys3/nvme3n1 "
		   "sys/class/nvme-subsystem/nvme-subsys3/nvme4 "
		   "sys/devices/pci0000:00/" BDF "/nvme/nvme4 && "
		   "ln -s ../../devices/pci0000:00/0000:02:00.0/nvme/nvme4 sys/class/nvme/nvme4");
	fake_file("proc/self/mountinfo", "30 22 259:9 / /many rw - xfs /dev/nvme3n1 rw\n");
	/* The controller is another function's, */
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_int_equal(ts_pci_unbind(BDF, 0), 0);
	fake_shell("ln -s ../../../bus/pci/drivers/nvme sys/bus/pci/devices/" BDF "/driver && "
		   "rm sys/class/nvme/nvme4 && "
		   "ln -s " BELOW "nvme/nvme4 sys/class/nvme/nvme4");
	fake_writes();
	/* and now it is ours. */
	is_refused("nvme3n1 is mounted on /many");
}

static void network(void **state)
{
	(void)state;
	fake_shell("mkdir -p sys/devices/pci0000:00/" BDF "/net/eth5 && "
		   "ln -s " BELOW "net/eth5 sys/class/net/eth5");
	fake_file("sys/class/net/eth5/flags", "0x1002\n");
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_int_equal(ts_pci_unbind(BDF, 0), 0);
	fake_shell("ln -s ../../../bus/pci/drivers/nvme sys/bus/pci/devices/" BDF "/driver");
	fake_writes();
	fake_file("sys/class/net/eth5/flags", "0x1003\n");
	is_refused("eth5 is a network interface that is up");
}

static void console(void **state)
{
	(void)state;
	fake_shell("mkdir -p sys/devices/pci0000:00/" BDF "/tty/ttyS4 && "
		   "ln -s " BELOW "tty/ttyS4 sys/class/tty/ttyS4");
	fake_file("sys/class/tty/ttyS4/console", "Y\n");
	is_refused("ttyS4 is a console");
}

static void bridge(void **state)
{
	(void)state;
	fake_file("sys/bus/pci/devices/" BDF "/class", "0x060400\n");
	is_refused("is a bridge");
}

static void screen(void **state)
{
	(void)state;
	fake_file("sys/bus/pci/devices/" BDF "/boot_vga", "0\n");
	assert_int_equal(ts_pci_bind(BDF, 0), 0);
	assert_int_equal(ts_pci_unbind(BDF, 0), 0);
	fake_shell("ln -s ../../../bus/pci/drivers/nvme sys/bus/pci/devices/" BDF "/driver");
	fake_writes();
	fake_file("sys/bus/pci/devices/" BDF "/boot_vga", "1\n");
	is_refused("the screen that the machine started with");
}

/* Tables longer than any buffer. */
static void many_mounts(void **state)
{
	char *text = malloc(1 << 20), *at = text;

	(void)state;
	assert_non_null(text);
	disk();
	for (int i = 0; i < 3000; i++)
		at += sprintf(at, "%d 1 0:%d / /mnt/%d rw,relatime shared:1 - tmpfs none rw\n", i,
			      i, i);
	sprintf(at, "9999 1 259:0 / /last rw - ext4 /dev/nvme0n1 rw\n");
	fake_file("proc/self/mountinfo", text);
	free(text);
	is_refused("nvme0n1 is mounted on /last");
}

int main(void)
{
	const struct CMUnitTest units[] = {
		cmocka_unit_test_setup_teardown(idle_disk, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(mounted_partition, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(mounted_by_source, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(swap, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(held, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(open_exclusively, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(not_to_be_told, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(name_with_a_slash, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(several_paths, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(network, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(console, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(bridge, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(screen, setup, fake_machine_teardown),
		cmocka_unit_test_setup_teardown(many_mounts, setup, fake_machine_teardown),
	};

	return cmocka_run_group_tests(units, NULL, NULL);
}
