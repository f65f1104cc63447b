/* SPDX-License-Identifier: MIT */
/* What is PCI about a real device: configuration space, BARs, bus mastering, resets, interrupts. */
#include <poll.h>
#include <sys/eventfd.h>

#include "setup.h"

/* The edu device (docs/specs/edu.txt of QEMU). */
#define EDU_ID 0x00
#define EDU_RAISE 0x60
#define EDU_ACK 0x64
#define EDU_STATUS 0x24

static unsigned long sysfs_number(const char *device, const char *file)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", row_of(device), file);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtoul(text, NULL, 16);
}

static uint16_t config_word(struct dma_dev *dev, unsigned int offset)
{
	uint8_t bytes[2];

	assert_int_equal(ts_pci_read_config(dev, offset, bytes, sizeof(bytes)), 0);
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* Whether @event is signalled within @ms, and how often it was. */
static uint64_t signals(int event, int ms)
{
	struct pollfd poll_event = {.fd = event, .events = POLLIN};
	uint64_t count = 0;

	if (poll(&poll_event, 1, ms) == 1)
		assert_int_equal(read(event, &count, sizeof(count)), sizeof(count));
	return count;
}

static int event_new(void)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(event >= 0);
	return event;
}

static void test_config(void **state)
{
	static const char *const devices[] = {"NVME", "EDU", "IVSHMEM"};

	(void)state;
	for (size_t i = 0; i < COUNT(devices); i++) {
		struct dma_dev *dev = device_open(devices[i]);
		uint8_t all[256], byte;

		assert_int_equal(config_word(dev, 0), sysfs_number(devices[i], "vendor"));
		assert_int_equal(config_word(dev, 2), sysfs_number(devices[i], "device"));
		assert_int_equal(ts_pci_read_config(dev, 0x0b, &byte, 1), 0);
		assert_int_equal(byte, sysfs_number(devices[i], "class") >> 16);
		assert_int_equal(ts_pci_read_config(dev, 0, all, sizeof(all)), 0);
		assert_int_equal(all[0] | all[1] << 8, config_word(dev, 0));
		/* What is written is there: the cache line size, which does nothing. */
		byte = 0x10;
		assert_int_equal(ts_pci_write_config(dev, 0x0c, &byte, 1), 0);
		byte = 0;
		assert_int_equal(ts_pci_read_config(dev, 0x0c, &byte, 1), 0);
		assert_int_equal(byte, 0x10);
		assert_int_equal(ts_pci_read_config(dev, 4096, &byte, 1), -ERANGE);
		assert_int_equal(ts_pci_read_config(dev, 4095, all, 2), -ERANGE);
		dma_dev_close(dev);
	}
}

static void test_capabilities(void **state)
{
	struct dma_dev *dev = device_open("NVME");
	struct ts_pci_features features;
	uint8_t id;
	int at;

	(void)state;
	assert_int_equal(ts_pci_get_features(dev, &features), 0);
	at = ts_pci_find_capability(dev, 0x11);
	assert_in_range(at, 0x40, 0xfc);
	assert_int_equal(ts_pci_read_config(dev, (unsigned int)at, &id, 1), 0);
	assert_int_equal(id, 0x11);
	/* The size of its table is the number of interrupts. */
	assert_int_equal((config_word(dev, (unsigned int)at + 2) & 0x7ff) + 1, features.msix);
	assert_int_equal(ts_pci_irq_count(dev, TS_PCI_MSIX), features.msix);
	assert_true(ts_pci_find_capability(dev, 0x10) > 0);
	/* Hot swap: no device of the guest has it. */
	assert_int_equal(ts_pci_find_capability(dev, 0x06), -ENOENT);
	assert_non_null(strstr(dma_last_error(), "0x06"));
	/* Multicast, of switches. */
	assert_int_equal(ts_pci_find_ext_capability(dev, 0x12), -ENOENT);
	dma_dev_close(dev);
	dev = device_open("EDU");
	assert_int_equal(ts_pci_get_features(dev, &features), 0);
	assert_int_equal(features.msi, 1);
	assert_int_equal(features.msix, 0);
	assert_true(ts_pci_find_capability(dev, 0x05) > 0);
	assert_int_equal(ts_pci_find_capability(dev, 0x11), -ENOENT);
	dma_dev_close(dev);
}

static void test_bars(void **state)
{
	struct dma_dev *dev = device_open("NVME");
	uint64_t cap = 0, through_kernel = 0, word;
	struct ts_pci_bar info;
	uint8_t bytes[24];
	void *cpu = NULL;

	(void)state;
	assert_int_equal(ts_pci_bar_info(dev, 0, &info), 0);
	assert_true(info.size >= 2 * PAGE && info.readable && info.writable);
	assert_in_range(info.nr_parts, 1, TS_PCI_PARTS);
	assert_int_equal(ts_pci_bar_info(dev, 6, &info), -ENODEV);
	assert_int_equal(ts_pci_bar_info(dev, 1, &info), 0);
	assert_int_equal(info.size, 0); /* the upper half of BAR 0 */
	assert_int_equal(ts_pci_map_bar(dev, 1, 0, PAGE, &cpu), -ENODEV);

	/* One register, by each way to it. */
	assert_int_equal(dma_dev_reg_read(dev, 0, 0, &cap, 8), 0);
	assert_true(cap && cap != UINT64_MAX);
	assert_int_equal(ts_pci_read_bar(dev, 0, 0, &word, 8), 0);
	assert_int_equal(word, cap);
	assert_int_equal(ts_pci_read_bar(dev, 0, 0, bytes, sizeof(bytes)), 0);
	memcpy(&through_kernel, bytes, 8);
	assert_int_equal(through_kernel, cap);
	assert_int_equal(ts_pci_map_bar(dev, 0, 0, PAGE, &cpu), 0);
	assert_int_equal(*(volatile uint32_t *)cpu, (uint32_t)cap);
	assert_int_equal(((volatile uint32_t *)cpu)[1], (uint32_t)(cap >> 32));
	assert_int_equal(ts_pci_unmap_bar(dev, cpu), 0);
	assert_int_equal(ts_pci_unmap_bar(dev, cpu), -ENOENT);

	assert_int_equal(ts_pci_map_bar(dev, 0, 12, PAGE, &cpu), -EINVAL);
	assert_int_equal(ts_pci_map_bar(dev, 0, 1UL << 40, PAGE, &cpu), -ERANGE);
	assert_int_equal(ts_pci_read_bar(dev, 0, 1UL << 40, &word, 4), -ERANGE);
	assert_int_equal(dma_dev_reg_read(dev, 0, 2, &word, 4), -EINVAL);
	assert_int_equal(dma_dev_reg_read(dev, 5, 0, &word, 4), -ENODEV);
	dma_dev_close(dev);
}

/* A BAR that is memory, and the same bytes by each way to it. */
static void test_memory_bar(void **state)
{
	struct dma_dev *dev = device_open("IVSHMEM");
	struct ts_pci_bar info;
	uint8_t bytes[16];
	uint32_t word = 0;
	uint8_t *cpu;
	void *mapped;

	(void)state;
	assert_int_equal(ts_pci_bar_info(dev, 2, &info), 0);
	assert_int_equal(info.size, 1 << 20);
	assert_int_equal(info.nr_parts, 1);
	assert_int_equal(info.parts[0].size, 1 << 20);
	assert_int_equal(ts_pci_map_bar(dev, 2, PAGE, 2 * PAGE, &mapped), 0);
	cpu = mapped;
	memset(cpu, 0xa5, 2 * PAGE);
	cpu[8] = 0x01, cpu[9] = 0x02, cpu[10] = 0x03, cpu[11] = 0x04;
	assert_int_equal(ts_pci_read_bar(dev, 2, PAGE + 8, &word, 4), 0);
	assert_int_equal(word, 0x04030201);
	assert_int_equal(ts_pci_read_bar(dev, 2, PAGE + 5, bytes, 7), 0);
	assert_memory_equal(bytes, "\xa5\xa5\xa5\x01\x02\x03\x04", 7);
	assert_int_equal(ts_pci_write_bar(dev, 2, PAGE + 17, "twostep", 7), 0);
	assert_memory_equal(cpu + 17, "twostep", 7);
	assert_int_equal(cpu[16], 0xa5);
	assert_int_equal(cpu[24], 0xa5);
	/* The mapping ends with the device. */
	dma_dev_close(dev);
}

/* A drive that may not put transfers on the bus cannot read its commands. */
static void test_master(void **state)
{
	uint8_t *memory;
	struct nvme nvme;
	dma_addr_t addr;

	(void)state;
	nvme_start(&nvme, device_open("NVME"));
	memory = dma_alloc_coherent(nvme.dev, PAGE, &addr);
	assert_non_null(memory);
	assert_true(config_word(nvme.dev, 4) & 4);
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	assert_true(is_identity(memory));
	memset(memory, 0, PAGE);
	assert_int_equal(ts_pci_clear_master(nvme.dev), 0);
	assert_false(config_word(nvme.dev, 4) & 4);
	assert_int_equal(nvme_identify(&nvme, addr, 0), -ETIMEDOUT);
	assert_false(is_identity(memory));
	/* What it could not read has stopped it: from the beginning. */
	nvme_stop(&nvme);
	nvme_start(&nvme, nvme.dev);
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	assert_true(is_identity(memory));
	nvme_stop(&nvme);
	dma_free_coherent(nvme.dev, PAGE, memory, addr);
	dma_dev_close(nvme.dev);
}

/* Closing switches it off, and nobody switches it on. */
static void test_master_after_close(void **state)
{
	struct dma_dev *dev = device_open("NVME");

	(void)state;
	assert_int_equal(ts_pci_set_master(dev), 0);
	assert_true(config_word(dev, 4) & 4);
	dma_dev_close(dev);
	dev = device_open("NVME");
	assert_false(config_word(dev, 4) & 4);
	dma_dev_close(dev);
}

static void test_reset(void **state)
{
	struct ts_pci_features features;
	struct nvme nvme;

	(void)state;
	nvme_start(&nvme, device_open("NVME"));
	assert_int_equal(ts_pci_get_features(nvme.dev, &features), 0);
	assert_true(features.reset || features.bus_reset);
	assert_int_equal(nvme_reg(&nvme, NVME_CC) & 1, 1);
	assert_int_equal(nvme_reg(&nvme, NVME_CSTS) & 1, 1);
	assert_int_equal(ts_pci_reset(nvme.dev), 0);
	assert_int_equal(nvme_reg(&nvme, NVME_CC) & 1, 0);
	assert_int_equal(nvme_reg(&nvme, NVME_CSTS) & 1, 0);
	nvme_stop(&nvme);
	nvme_start(&nvme, nvme.dev);
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
}

static void test_msix(void **state)
{
	struct nvme nvme;
	uint8_t *memory;
	dma_addr_t addr;
	int events[2];
	int count;

	(void)state;
	nvme_start(&nvme, device_open("NVME"));
	memory = dma_alloc_coherent(nvme.dev, PAGE, &addr);
	assert_non_null(memory);
	events[0] = event_new();
	events[1] = event_new();
	count = ts_pci_irq_count(nvme.dev, TS_PCI_MSIX);
	assert_true(count >= 2);
	assert_int_equal(ts_pci_enable_irqs(nvme.dev, TS_PCI_MSIX, events, (unsigned int)count + 1),
			 -ERANGE);
	assert_int_equal(ts_pci_enable_irqs(nvme.dev, TS_PCI_MSIX, events, 2), 0);
	assert_int_equal(ts_pci_enable_irqs(nvme.dev, TS_PCI_MSIX, events, 2), -EBUSY);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
		/* The admin queue has vector 0. */
		assert_int_equal(signals(events[0], 2000), 1);
		assert_int_equal(signals(events[1], 0), 0);
	}
	assert_int_equal(ts_pci_disable_irqs(nvme.dev), 0);
	assert_int_equal(ts_pci_disable_irqs(nvme.dev), 0);
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	assert_int_equal(signals(events[0], 50), 0);
	/* Again, with the first vector nobody's. */
	events[0] = -1;
	assert_int_equal(ts_pci_enable_irqs(nvme.dev, TS_PCI_MSIX, events, 2), 0);
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	assert_int_equal(signals(events[1], 50), 0);
	close(events[1]);
	nvme_stop(&nvme);
	dma_free_coherent(nvme.dev, PAGE, memory, addr);
	dma_dev_close(nvme.dev);
}

static void edu_set(struct dma_dev *dev, uint64_t offset, uint32_t value)
{
	assert_int_equal(dma_dev_reg_write(dev, 0, offset, value, 4), 0);
}

static void test_intx(void **state)
{
	struct dma_dev *dev = device_open("EDU");
	uint64_t id = 0, status = 0;
	int event = event_new();

	(void)state;
	assert_int_equal(dma_dev_reg_read(dev, 0, EDU_ID, &id, 4), 0);
	assert_int_equal(id & 0xffff, 0x00ed);
	if (ts_pci_irq_count(dev, TS_PCI_INTX) != 1)
		skip();
	assert_int_equal(ts_pci_unmask_intx(dev), -EINVAL);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_INTX, &event, 1), 0);
	for (uint32_t i = 1; i <= 3; i++) {
		edu_set(dev, EDU_RAISE, i);
		assert_int_equal(signals(event, 2000), 1);
		/* The line is masked until the device has been served. */
		assert_int_equal(signals(event, 20), 0);
		assert_int_equal(dma_dev_reg_read(dev, 0, EDU_STATUS, &status, 4), 0);
		assert_int_equal(status, i);
		edu_set(dev, EDU_ACK, i);
		assert_int_equal(ts_pci_unmask_intx(dev), 0);
		assert_int_equal(signals(event, 20), 0);
	}
	assert_int_equal(ts_pci_mask_intx(dev), 0);
	edu_set(dev, EDU_RAISE, 1);
	assert_int_equal(signals(event, 50), 0);
	assert_int_equal(ts_pci_unmask_intx(dev), 0);
	assert_int_equal(signals(event, 2000), 1);
	edu_set(dev, EDU_ACK, 1);
	assert_int_equal(ts_pci_disable_irqs(dev), 0);
	close(event);
	dma_dev_close(dev);
}

static void test_msi(void **state)
{
	struct dma_dev *dev = device_open("EDU");
	int event = event_new();

	(void)state;
	assert_int_equal(ts_pci_set_master(dev), 0);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSI, &event, 1), 0);
	edu_set(dev, EDU_RAISE, 1);
	assert_int_equal(signals(event, 2000), 1);
	edu_set(dev, EDU_ACK, 1);
	close(event);
	dma_dev_close(dev);
}

static void test_no_interrupts(void **state)
{
	struct dma_dev *dev = device_open("IVSHMEM");
	int event = event_new();

	(void)state;
	for (int kind = TS_PCI_INTX; kind <= TS_PCI_MSIX; kind++) {
		int count = ts_pci_irq_count(dev, (enum ts_pci_irq)kind);

		assert_true(count >= 0);
		if (count)
			continue;
		assert_int_equal(ts_pci_enable_irqs(dev, (enum ts_pci_irq)kind, &event, 1),
				 -ENODEV);
		assert_non_null(strstr(dma_last_error(), row_of("IVSHMEM")));
		assert_non_null(strstr(dma_last_error(), "no interrupts of the kind"));
	}
	assert_int_equal(ts_pci_irq_count(dev, TS_PCI_MSI), 0);
	assert_int_equal(ts_pci_irq_count(dev, TS_PCI_MSIX), 0);
	assert_int_equal(ts_pci_irq_count(dev, (enum ts_pci_irq)7), -EINVAL);
	close(event);
	dma_dev_close(dev);
}

/* No eventfd, and a descriptor that is none. */
static void test_bad_events(void **state)
{
	struct dma_dev *dev = device_open("NVME");
	int events[2] = {event_new(), STDOUT_FILENO};

	(void)state;
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, NULL, 1), -EINVAL);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, events, 0), -ERANGE);
	assert_true(ts_pci_enable_irqs(dev, TS_PCI_MSIX, events, 2) < 0);
	assert_non_null(strstr(dma_last_error(), "eventfd"));
	/* None is on. */
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, events, 1), 0);
	close(events[0]);
	dma_dev_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),	      cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_bars),	      cmocka_unit_test(test_memory_bar),
		cmocka_unit_test(test_master),	      cmocka_unit_test(test_master_after_close),
		cmocka_unit_test(test_reset),	      cmocka_unit_test(test_msix),
		cmocka_unit_test(test_intx),	      cmocka_unit_test(test_msi),
		cmocka_unit_test(test_no_interrupts), cmocka_unit_test(test_bad_events),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
