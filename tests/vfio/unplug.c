/* SPDX-License-Identifier: MIT */
/*
 * A drive is pulled out while it is in use: the removal event arrives, what reads its registers
 * gets what is there, ones or an error, memory comes back, closing it does not hang, and then
 * it is gone.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "setup.h"

static bool is_signalled(int event, int ms)
{
	struct pollfd poll_event = {.fd = event, .events = POLLIN};

	return poll(&poll_event, 1, ms) == 1;
}

static void test_unplug(void **state)
{
	uint8_t *memory = pages_new(4, 0);
	char path[128], uri[128];
	struct dma_iova_state pending = {0};
	dma_addr_t addr;
	struct dma_dev *dev = NULL;
	int event, err = 0;
	uint64_t leaks, value, count, cap = 0;
	struct nvme nvme;
	uint16_t id = 0, vendor = 0;

	(void)state;
	/* init has found it behind a slot. */
	if (!getenv("TWOSTEP_TEST_UNPLUG"))
		skip();
	nvme_start(&nvme, device_open("NVME3"));
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(event >= 0);
	if (ts_pci_set_removal_event(nvme.dev, event))
		fail_msg("%s", dma_last_error());
	addr = dma_map_phys(nvme.dev, virt_to_phys(memory), 2 * PAGE, DMA_FROM_DEVICE, 0);
	if (dma_mapping_error(nvme.dev, addr))
		fail_msg("%s", dma_last_error());
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	/* What is linked and not synced is to go as well. */
	if (has_iommu()) {
		assert_true(dma_iova_try_alloc(nvme.dev, &pending, 0, PAGE));
		assert_int_equal(dma_iova_link(nvme.dev, &pending, virt_to_phys(memory + 2 * PAGE),
					       0, PAGE, DMA_FROM_DEVICE, 0),
				 0);
	}
	assert_int_equal(dma_dev_reg_read(nvme.dev, 0, NVME_CAP, &cap, 8), 0);
	assert_int_equal(ts_pci_read_config(nvme.dev, 0, &vendor, 2), 0);
	assert_false(is_signalled(event, 0));

	printf("vm: unplug\n");
	fflush(stdout);
	assert_true(is_signalled(event, 60000));
	assert_int_equal(read(event, &count, sizeof(count)), sizeof(count));
	/*
	 * The kernel waits for us, and power goes after that; with a hand that does not wait
	 * registers read as ones, or VFIO says that it is gone. Never another value, no signal.
	 */
	for (int i = 0; i < 20; i++) {
		value = 0;
		err = dma_dev_reg_read(nvme.dev, 0, NVME_CAP, &value, 8);
		assert_true(err < 0 || value == cap || value == UINT64_MAX);
		err = ts_pci_read_config(nvme.dev, 0, &id, 2);
		assert_true(err < 0 || id == vendor || id == 0xffff);
		sleep_ms(10);
	}
	/* Its memory is ours as before. */
	leaks = dma_leak_count();
	dma_unmap_phys(nvme.dev, addr, 2 * PAGE, DMA_FROM_DEVICE, 0);
	assert_true(is_identity(memory));
	if (has_iommu())
		dma_iova_destroy(nvme.dev, &pending, PAGE, DMA_FROM_DEVICE, 0);
	dma_free_coherent(nvme.dev, PAGE, nvme.submission, nvme.submission_addr);
	dma_free_coherent(nvme.dev, PAGE, nvme.completion, nvme.completion_addr);
	dma_dev_close(nvme.dev);
	assert_int_equal(dma_leak_count(), leaks);
	close(event);

	/* The kernel lets go of it once it is closed. */
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", row_of("NVME3"));
	for (int i = 0; !access(path, F_OK); i++) {
		assert_true(i < 3000);
		sleep_ms(10);
	}
	uri_of("NVME3", uri, sizeof(uri));
	assert_int_equal(dma_dev_open(uri, &dev), -ENODEV);
	assert_null(dev);
	assert_non_null(strstr(dma_last_error(), "there is no PCI device"));
	/* The others are there. */
	nvme_start(&nvme, device_open("NVME"));
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	pages_free(memory, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_unplug)};

	return cmocka_run_group_tests_name("unplug", tests, NULL, NULL);
}
