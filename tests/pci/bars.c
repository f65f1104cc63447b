/* SPDX-License-Identifier: MIT */
/* Configuration space, registers and mappings of an open device. */
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"

#define CONFIG 7

static struct dma_dev *dev;

static int setup(void **state)
{
	(void)state;
	fake_device_new();
	dev = fake_open(NULL);
	return dev ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	dma_dev_close(dev);
	assert_true(fake_device.closed);
	assert_int_equal(fake_device.maps, 0);
	return 0;
}

static uint16_t command(void)
{
	return (uint16_t)fake_get(CONFIG, 4, 2);
}

static void not_every_device(void **state)
{
	struct vfio_place place = {.bdf = "0000:01:00.0", .driver = "vfio-platform"};
	struct vfio_device device;

	(void)state;
	fake_device_new();
	fake_device.flags = 1 << 2;
	assert_int_equal(vfio_device_open(&device, fake_device.fd, &place), -ENODEV);
	assert_said("is no PCI device to VFIO");
	assert_true(fake_device.closed);
	fake_device_new();
	fake_device.nr_regions = 7;
	assert_int_equal(vfio_device_open(&device, fake_device.fd, &place), -ENODEV);
	assert_true(fake_device.closed);
}

static void devices_in_software(void **state)
{
	struct ts_pci_features features;
	struct ts_pci_bar bar;
	struct dma_dev *soft;
	int fd = -1;
	char byte;
	void *cpu;

	(void)state;
	assert_int_equal(dma_dev_open("soft:copy", &soft), 0);
	assert_int_equal(ts_pci_read_config(soft, 0, &byte, 1), -EOPNOTSUPP);
	assert_said("in software");
	assert_int_equal(ts_pci_set_master(soft), -EOPNOTSUPP);
	assert_int_equal(ts_pci_find_ext_capability(soft, 1), -EOPNOTSUPP);
	assert_int_equal(ts_pci_bar_info(soft, 0, &bar), -EOPNOTSUPP);
	assert_int_equal(ts_pci_map_bar(soft, 0, 0, 4096, &cpu), -EOPNOTSUPP);
	assert_int_equal(ts_pci_reset(soft), -EOPNOTSUPP);
	assert_int_equal(ts_pci_enable_irqs(soft, TS_PCI_MSIX, &fd, 1), -EOPNOTSUPP);
	assert_int_equal(ts_pci_get_features(soft, &features), -EOPNOTSUPP);
	assert_int_equal(ts_pci_export_bar(soft, 0, 0, 4096), -EOPNOTSUPP);
	dma_dev_close(soft);
}

static void config_space(void **state)
{
	const uint8_t id[4] = {0x86, 0x80, 0x53, 0x09};
	uint8_t bytes[4];

	(void)state;
	fake_put(CONFIG, 0, id, 4);
	assert_int_equal(ts_pci_read_config(dev, 0, bytes, 4), 0);
	assert_memory_equal(bytes, id, 4);
	assert_int_equal(ts_pci_write_config(dev, 0x40, id, 3), 0);
	assert_int_equal(fake_get(CONFIG, 0x40, 4), 0x538086);
	assert_int_equal(ts_pci_read_config(dev, 4092, bytes, 4), 0);
	assert_int_equal(ts_pci_read_config(dev, 4093, bytes, 4), -ERANGE);
	assert_said("configuration space of 0000:01:00.0");
	assert_int_equal(ts_pci_write_config(dev, UINT32_MAX, bytes, 4), -ERANGE);
	/* The kernel is asked for a region once. */
	assert_int_equal(fake_device.asked, 1);
}

static void capabilities(void **state)
{
	static const uint8_t list[][2] = {{0x01, 0x60}, {0x10, 0x50}};
	const uint32_t aer = 0x14010001, acs = 0x1401000d, end = 0x00010003;
	uint8_t byte = 0x10;

	(void)state;
	assert_int_equal(ts_pci_find_capability(dev, 0x01), -ENOENT);
	assert_int_equal(ts_pci_find_ext_capability(dev, 0x01), -ENOENT);
	fake_put(CONFIG, 0x06, &byte, 1);
	/* No list behind the bit. */
	assert_int_equal(ts_pci_find_capability(dev, 0x01), -ENOENT);
	byte = 0x53; /* low bits are reserved */
	fake_put(CONFIG, 0x34, &byte, 1);
	fake_put(CONFIG, 0x50, list[0], 2);
	fake_put(CONFIG, 0x60, list[1], 2);
	assert_int_equal(ts_pci_find_capability(dev, 0x01), 0x50);
	assert_int_equal(ts_pci_find_capability(dev, 0x10), 0x60);
	/* The list runs in a circle. */
	assert_int_equal(ts_pci_find_capability(dev, 0x11), -ENOENT);
	assert_said("no capability 0x11");
	fake_put(CONFIG, 0x100, &aer, 4);
	fake_put(CONFIG, 0x140, &end, 4);
	assert_int_equal(ts_pci_find_ext_capability(dev, 0x01), 0x100);
	assert_int_equal(ts_pci_find_ext_capability(dev, 0x03), 0x140);
	assert_int_equal(ts_pci_find_ext_capability(dev, 0x0d), -ENOENT);
	fake_put(CONFIG, 0x140, &acs, 4);
	assert_int_equal(ts_pci_find_ext_capability(dev, 0x0e), -ENOENT);
	assert_said("no extended capability 0x0e");
}

static void bus_mastering(void **state)
{
	const uint16_t was = 0x0402;

	(void)state;
	fake_put(CONFIG, 4, &was, 2);
	assert_int_equal(ts_pci_set_master(dev), 0);
	assert_int_equal(command(), 0x0406);
	assert_int_equal(ts_pci_set_master(dev), 0);
	assert_int_equal(ts_pci_clear_master(dev), 0);
	assert_int_equal(command(), 0x0402);
	/* Closing switches it off. */
	assert_int_equal(ts_pci_set_master(dev), 0);
	{
		int fd = dup(fake_device.fd);
		uint16_t now;

		dma_dev_close(dev);
		assert_int_equal(pread(fd, &now, 2, (off_t)FAKE_REGION(CONFIG) + 4), 2);
		assert_int_equal(now, 0x0402);
		close(fd);
	}
	setup(state);
}

static void what_bars_there_are(void **state)
{
	struct ts_pci_bar bar;

	(void)state;
	assert_int_equal(ts_pci_bar_info(dev, 0, &bar), 0);
	assert_int_equal(bar.size, 65536);
	assert_true(bar.readable && bar.writable);
	assert_int_equal(bar.nr_parts, 1);
	assert_int_equal(bar.parts[0].size, 65536);
	assert_int_equal(ts_pci_bar_info(dev, 1, &bar), 0);
	assert_int_equal(bar.size, 0);
	assert_int_equal(ts_pci_bar_info(dev, 2, &bar), 0);
	assert_int_equal(bar.nr_parts, 2);
	assert_int_equal(bar.parts[0].offset, 0);
	assert_int_equal(bar.parts[0].size, 4096);
	assert_int_equal(bar.parts[1].offset, 8192);
	assert_int_equal(bar.parts[1].size, 8192);
	assert_int_equal(ts_pci_bar_info(dev, 4, &bar), 0);
	assert_int_equal(bar.size, 32);
	assert_int_equal(bar.nr_parts, 0);
	assert_int_equal(ts_pci_bar_info(dev, 6, &bar), -ENODEV);
}

/* Lists that are too long, out of bounds or not in pages. */
static void strange_parts(void **state)
{
	struct ts_pci_bar bar;

	(void)state;
	fake_device.regions[2].nr_areas = 5;
	fake_device.regions[2].areas[0].offset = 0x800;
	fake_device.regions[2].areas[0].size = 4096;
	fake_device.regions[2].areas[1].offset = 65536;
	fake_device.regions[2].areas[1].size = 4096;
	fake_device.regions[2].areas[2].offset = 4096;
	fake_device.regions[2].areas[2].size = 0;
	fake_device.regions[2].areas[3].offset = 4096;
	fake_device.regions[2].areas[3].size = 100;
	fake_device.regions[2].areas[4].offset = 8192;
	fake_device.regions[2].areas[4].size = UINT64_MAX;
	assert_int_equal(ts_pci_bar_info(dev, 2, &bar), 0);
	assert_int_equal(bar.nr_parts, 1);
	assert_int_equal(bar.parts[0].offset, 8192);
	assert_int_equal(bar.parts[0].size, 8192);
	/* The kernel maps the page that a small BAR is in. */
	fake_device.regions[1] = fake_device.regions[0];
	fake_device.regions[1].size = 256;
	assert_int_equal(ts_pci_bar_info(dev, 1, &bar), 0);
	assert_int_equal(bar.nr_parts, 1);
	assert_int_equal(bar.parts[0].size, 4096);
}

static void mapping(void **state)
{
	volatile uint32_t *regs;
	void *cpu = NULL, *other;

	(void)state;
	assert_int_equal(ts_pci_map_bar(dev, 0, 4096, 8192, &cpu), 0);
	/* A device that does not decode would answer with ones. */
	assert_int_equal(command() & 2, 2);
	regs = cpu;
	regs[1] = 0x12345678;
	assert_int_equal(fake_get(0, 4100, 4), 0x12345678);
	assert_int_equal(ts_pci_map_bar(dev, 2, 8192, 8192, &other), 0);
	assert_int_equal(fake_device.maps, 2);
	assert_int_equal(ts_pci_unmap_bar(dev, cpu), 0);
	assert_int_equal(ts_pci_unmap_bar(dev, cpu), -ENOENT);
	assert_said("nothing is unmapped");
	assert_int_equal(ts_pci_unmap_bar(dev, (char *)other + 4096), -ENOENT);
	assert_int_equal(fake_device.maps, 1);
	/* The second goes with the device. */
}

static void mapping_refused(void **state)
{
	void *cpu = dev;

	(void)state;
	assert_int_equal(ts_pci_map_bar(dev, 7, 0, 4096, &cpu), -ENODEV);
	assert_int_equal(ts_pci_map_bar(dev, 1, 0, 4096, &cpu), -ENODEV);
	assert_int_equal(ts_pci_map_bar(dev, 0, 0, 0, &cpu), -EINVAL);
	assert_int_equal(ts_pci_map_bar(dev, 0, 100, 4096, &cpu), -EINVAL);
	assert_int_equal(ts_pci_map_bar(dev, 0, 0, 4097, &cpu), -EINVAL);
	assert_int_equal(ts_pci_map_bar(dev, 0, 0, 65536 + 4096, &cpu), -ERANGE);
	assert_int_equal(ts_pci_map_bar(dev, 0, 65536, 4096, &cpu), -ERANGE);
	assert_int_equal(ts_pci_map_bar(dev, 0, 4096, SIZE_MAX & ~4095UL, &cpu), -ERANGE);
	/* The hole of BAR 2, and across it. */
	assert_int_equal(ts_pci_map_bar(dev, 2, 4096, 4096, &cpu), -EOPNOTSUPP);
	assert_said("does not map");
	assert_int_equal(ts_pci_map_bar(dev, 2, 0, 16384, &cpu), -EOPNOTSUPP);
	assert_int_equal(ts_pci_map_bar(dev, 4, 0, 4096, &cpu), -EOPNOTSUPP);
	fake_device.map_err = -EAGAIN;
	assert_int_equal(ts_pci_map_bar(dev, 0, 0, 4096, &cpu), -EAGAIN);
	fake_device.map_err = 0;
	base_alloc_fail(1);
	assert_int_equal(ts_pci_map_bar(dev, 0, 0, 4096, &cpu), -ENOMEM);
	base_alloc_fail(0);
	assert_ptr_equal(cpu, dev);
	assert_int_equal(fake_device.maps, 0);
}

static void reading_and_writing(void **state)
{
	uint8_t in[300], out[300];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7);
	assert_int_equal(ts_pci_write_bar(dev, 0, 11, in, sizeof(in)), 0);
	assert_int_equal(ts_pci_read_bar(dev, 0, 11, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	/* Registers: one access each, where there is a mapping and where there is none. */
	for (unsigned int width = 1; width <= 8; width *= 2) {
		for (unsigned int bar = 0; bar <= 4; bar += 2) {
			memset(out, 0, sizeof(out));
			assert_int_equal(ts_pci_write_bar(dev, bar, 16, in + 1, width), 0);
			assert_memory_equal(&(uint64_t){fake_get(bar, 16, width)}, in + 1, width);
			assert_int_equal(ts_pci_read_bar(dev, bar, 16, out, width), 0);
			assert_memory_equal(in + 1, out, width);
			assert_int_equal(out[width], 0);
		}
	}
	/* In the hole. */
	assert_int_equal(ts_pci_write_bar(dev, 2, 4096, in, 8), 0);
	assert_memory_equal(&(uint64_t){fake_get(2, 4096, 8)}, in, 8);
	assert_int_equal(ts_pci_read_bar(dev, 0, 65536, out, 1), -ERANGE);
	assert_int_equal(ts_pci_read_bar(dev, 0, 65533, out, 4), -ERANGE);
	assert_int_equal(ts_pci_write_bar(dev, 4, 32, in, 4), -ERANGE);
	assert_int_equal(ts_pci_write_bar(dev, 1, 0, in, 4), -ENODEV);
	assert_int_equal(ts_pci_read_bar(dev, 6, 0, out, 4), -ENODEV);
	fake_device.regions[5].size = 4096;
	fake_device.regions[5].flags = 1;
	assert_int_equal(ts_pci_read_bar(dev, 5, 0, out, 4), 0);
	assert_int_equal(ts_pci_write_bar(dev, 5, 0, in, 4), -EACCES);
	assert_int_equal(ts_pci_write_bar(dev, 5, 0, in, 3), -EACCES);
}

/* A driver uses these, whatever its device is. */
static void registers(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(dma_dev_reg_write(dev, 0, 8, 0x1122334455667788, 8), 0);
	assert_int_equal(fake_get(0, 8, 8), 0x1122334455667788);
	assert_int_equal(fake_device.maps, 1);
	assert_int_equal(dma_dev_reg_read(dev, 0, 12, &value, 4), 0);
	assert_int_equal(value, 0x11223344);
	assert_int_equal(fake_device.maps, 1);
	assert_int_equal(dma_dev_reg_write(dev, 4, 4, 0xabcdef01, 4), 0);
	assert_int_equal(dma_dev_reg_read(dev, 4, 4, &value, 4), 0);
	assert_int_equal(value, 0xabcdef01);
	assert_int_equal(fake_get(4, 4, 8), 0xabcdef01);
	assert_int_equal(dma_dev_reg_read(dev, 0, 65536, &value, 4), -EINVAL);
	assert_int_equal(dma_dev_reg_read(dev, 0, 2, &value, 4), -EINVAL);
	assert_int_equal(dma_dev_reg_read(dev, 0, 0, &value, 2), -EINVAL);
	assert_int_equal(dma_dev_reg_read(dev, 3, 0, &value, 4), -ENODEV);
	assert_int_equal(dma_dev_reg_read(dev, 9, 0, &value, 4), -ENODEV);
	assert_int_equal(dma_dev_step(dev), -EOPNOTSUPP);
	/* Where a mapping cannot be had the kernel does it. */
	fake_device.map_err = -ENOMEM;
	assert_int_equal(dma_dev_reg_write(dev, 2, 0, 77, 4), 0);
	assert_int_equal(fake_get(2, 0, 4), 77);
	fake_device.map_err = 0;
}

/* What is asked and mapped when first wanted, wanted by several at once. */
static void *use_registers(void *arg)
{
	uint64_t at = (uint64_t)(uintptr_t)arg * 8, value;

	for (uint64_t i = 0; i < 2000; i++)
		if (dma_dev_reg_write(dev, 0, at, i, 8) ||
		    dma_dev_reg_read(dev, 0, at, &value, 8) || value != i ||
		    dma_dev_reg_write(dev, 2, 8192 + at, i, 4) ||
		    ts_pci_read_config(dev, 0, &value, 4) || ts_pci_set_master(dev))
			return arg;
	return NULL;
}

static void threads(void **state)
{
	pthread_t thread[4];
	void *failed;

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, use_registers, (void *)(i + 1)),
				 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(fake_device.maps, 2);
	assert_int_equal(fake_device.asked, 3);
}

static void forked(void **state)
{
	struct ts_pci_bar bar;
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(ts_pci_bar_info(dev, 0, &bar) == -EPERM && ts_pci_set_master(dev) == -EPERM
			      ? 0
			      : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(command(), 0);
}

static void forgetting(void **state)
{
	struct vfio_place place = {.bdf = "0000:01:00.0", .driver = "vfio-pci"};
	struct vfio_device device;
	uint16_t master = 4;
	void *cpu;
	int fd;

	(void)state;
	fake_device_new();
	fd = dup(fake_device.fd);
	fake_put(CONFIG, 4, &master, 2);
	assert_int_equal(vfio_device_open(&device, fake_device.fd, &place), 0);
	assert_int_equal(vfio_device_map(&device, 0, 0, 4096, &cpu), 0);
	vfio_device_forget(&device);
	assert_true(fake_device.closed);
	assert_int_equal(fake_device.maps, 0);
	assert_int_equal(pread(fd, &master, 2, (off_t)FAKE_REGION(CONFIG) + 4), 2);
	assert_int_equal(master & 4, 4);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest units[] = {
		cmocka_unit_test(not_every_device),
		cmocka_unit_test_setup_teardown(devices_in_software, setup, teardown),
		cmocka_unit_test_setup_teardown(config_space, setup, teardown),
		cmocka_unit_test_setup_teardown(capabilities, setup, teardown),
		cmocka_unit_test_setup_teardown(bus_mastering, setup, teardown),
		cmocka_unit_test_setup_teardown(what_bars_there_are, setup, teardown),
		cmocka_unit_test_setup_teardown(strange_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(mapping, setup, teardown),
		cmocka_unit_test_setup_teardown(mapping_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(reading_and_writing, setup, teardown),
		cmocka_unit_test_setup_teardown(registers, setup, teardown),
		cmocka_unit_test_setup_teardown(threads, setup, teardown),
		cmocka_unit_test_setup_teardown(forked, setup, teardown),
		cmocka_unit_test(forgetting),
	};

	return cmocka_run_group_tests(units, NULL, NULL);
}
