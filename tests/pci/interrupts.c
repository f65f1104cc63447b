/* SPDX-License-Identifier: MIT */
/* Interrupts, events, resets and features of an open device. */
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "fake.h"

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
	return 0;
}

static void counts(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_irq_count(dev, TS_PCI_INTX), 1);
	assert_int_equal(ts_pci_irq_count(dev, TS_PCI_MSI), 0);
	assert_int_equal(ts_pci_irq_count(dev, TS_PCI_MSIX), 33);
	assert_int_equal(ts_pci_irq_count(dev, (enum ts_pci_irq)3), -EINVAL);
	assert_int_equal(ts_pci_irq_count(dev, (enum ts_pci_irq) - 1), -EINVAL);
}

static void on_and_off(void **state)
{
	int fds[33];

	(void)state;
	for (int i = 0; i < 33; i++)
		fds[i] = i == 5 ? -1 : eventfd(0, EFD_CLOEXEC);
	assert_int_equal(ts_pci_disable_irqs(dev), 0);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 33), 0);
	assert_int_equal(fake_device.irqs[VFIO_PCI_MSIX_IRQ_INDEX].nr, 33);
	for (int i = 0; i < 33; i++)
		assert_int_equal(fake_device.irqs[VFIO_PCI_MSIX_IRQ_INDEX].fds[i], fds[i]);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 1), -EBUSY);
	assert_said("interrupts (MSI-X) of 0000:01:00.0 are on already");
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_INTX, fds, 1), -EBUSY);
	assert_int_equal(ts_pci_disable_irqs(dev), 0);
	assert_int_equal(fake_device.irqs[VFIO_PCI_MSIX_IRQ_INDEX].nr, 0);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_INTX, fds, 1), 0);
	assert_int_equal(fake_device.irqs[VFIO_PCI_INTX_IRQ_INDEX].nr, 1);
	/* Closing switches them off. */
	dma_dev_close(dev);
	assert_int_equal(fake_device.irqs[VFIO_PCI_INTX_IRQ_INDEX].nr, 0);
	for (int i = 0; i < 33; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	setup(state);
}

static void refused(void **state)
{
	int fds[64];

	(void)state;
	for (int i = 0; i < 64; i++)
		fds[i] = -1;
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSI, fds, 1), -ENODEV);
	assert_said("has no interrupts of the kind MSI");
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 0), -ERANGE);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 34), -ERANGE);
	assert_said("it has 1 to 33");
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, NULL, 1), -EINVAL);
	assert_int_equal(ts_pci_enable_irqs(dev, (enum ts_pci_irq)4, fds, 1), -EINVAL);
	fds[3] = 9999;
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 4), -EBADF);
	assert_said("is each descriptor an eventfd, or -1?");
	fds[3] = -1;
	fake_device.vectors = 8;
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 9), -ENOSPC);
	assert_said("has 8 of the 9 vectors");
	base_alloc_fail(1);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 8), -ENOMEM);
	base_alloc_fail(0);
	/* After each of these none is on. */
	assert_int_equal(fake_device.irqs[VFIO_PCI_MSIX_IRQ_INDEX].nr, 0);
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 8), 0);
}

static void masking(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(ts_pci_unmask_intx(dev), -EINVAL);
	assert_said("are not on");
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_INTX, &fd, 1), 0);
	assert_int_equal(ts_pci_mask_intx(dev), 0);
	assert_true(fake_device.irqs[VFIO_PCI_INTX_IRQ_INDEX].masked);
	assert_int_equal(ts_pci_unmask_intx(dev), 0);
	assert_false(fake_device.irqs[VFIO_PCI_INTX_IRQ_INDEX].masked);
	fake_device.irqs[VFIO_PCI_INTX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	assert_int_equal(ts_pci_mask_intx(dev), -EOPNOTSUPP);
	close(fd);
}

static void events(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC), fds[2] = {-1, -1};

	(void)state;
	assert_int_equal(ts_pci_enable_irqs(dev, TS_PCI_MSIX, fds, 2), 0);
	assert_int_equal(ts_pci_set_removal_event(dev, fd), 0);
	assert_int_equal(fake_device.irqs[VFIO_PCI_REQ_IRQ_INDEX].fds[0], fd);
	assert_int_equal(ts_pci_set_removal_event(dev, -1), 0);
	assert_int_equal(fake_device.irqs[VFIO_PCI_REQ_IRQ_INDEX].fds[0], -1);
	assert_int_equal(ts_pci_set_removal_event(dev, 9999), -EBADF);
	assert_said("pass an eventfd");
	assert_int_equal(ts_pci_set_error_event(dev, fd), -EOPNOTSUPP);
	assert_said("has no error event");
	/* Interrupts are not touched by any of it. */
	assert_int_equal(fake_device.irqs[VFIO_PCI_MSIX_IRQ_INDEX].nr, 2);
	close(fd);
}

static void resets(void **state)
{
	(void)state;
	assert_int_equal(ts_pci_reset(dev), 0);
	assert_int_equal(fake_device.resets, 1);
	fake_device.reset_err = -EAGAIN;
	assert_int_equal(ts_pci_reset(dev), -EAGAIN);
	assert_said("cannot be reset");
	assert_int_equal(fake_device.resets, 1);
	assert_int_equal(fake_device.bus_resets, 0);
}

static void reset_of_the_bus(void **state)
{
	(void)state;
	dma_dev_close(dev);
	fake_device_new();
	fake_device.flags = VFIO_DEVICE_FLAGS_PCI;
	dev = fake_open(NULL);
	assert_non_null(dev);
	assert_int_equal(ts_pci_reset(dev), -EOPNOTSUPP);
	/* Others are on it. */
	fake_device.on_bus = 2;
	fake_device.bus_flags = 3;
	assert_int_equal(ts_pci_reset(dev), -EOPNOTSUPP);
	assert_said("would reach other devices");
	/* Alone, but not the owner. */
	fake_device.on_bus = 1;
	fake_device.bus_flags = 1;
	assert_int_equal(ts_pci_reset(dev), -EOPNOTSUPP);
	assert_int_equal(fake_device.bus_resets, 0);
	fake_device.bus_flags = 3;
	assert_int_equal(ts_pci_reset(dev), 0);
	assert_int_equal(fake_device.bus_resets, 1);
	/* By group, whose descriptor proves whose it is. */
	fake_device.bus_flags = 0;
	assert_int_equal(ts_pci_reset(dev), -EOPNOTSUPP);
	assert_int_equal(fake_device.bus_resets, 1);
	{
		struct vfio_device device;
		struct vfio_place place = {.bdf = "0000:01:00.0"};

		assert_int_equal(vfio_device_open(&device, dup(fake_device.fd), &place), -EBADF);
		assert_int_equal(vfio_device_open(&device, fake_device.fd, &place), 0);
		device.group_fd = 5;
		assert_int_equal(vfio_device_reset(&device), 0);
		assert_int_equal(fake_device.bus_resets, 2);
	}
	assert_int_equal(fake_device.resets, 0);
}

static void features(void **state)
{
	struct ts_pci_features f;

	(void)state;
	assert_int_equal(ts_pci_get_features(dev, &f), 0);
	assert_true(f.reset && !f.bus_reset && f.removal_event && !f.error_event);
	assert_int_equal(f.intx, 1);
	assert_int_equal(f.msi, 0);
	assert_int_equal(f.msix, 33);
	assert_false(f.dmabuf || f.low_power || f.migration || f.dma_logging);
	fake_device.features = 1 << 11 | 1 << 3;
	assert_int_equal(ts_pci_get_features(dev, &f), 0);
	assert_true(f.dmabuf && f.low_power && !f.migration && !f.dma_logging);
	fake_device.features = 1 << 1 | 1 << 6;
	assert_int_equal(ts_pci_get_features(dev, &f), 0);
	assert_true(!f.dmabuf && !f.low_power && f.migration && f.dma_logging);
}

int main(void)
{
	const struct CMUnitTest units[] = {
		cmocka_unit_test_setup_teardown(counts, setup, teardown),
		cmocka_unit_test_setup_teardown(on_and_off, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(masking, setup, teardown),
		cmocka_unit_test_setup_teardown(events, setup, teardown),
		cmocka_unit_test_setup_teardown(resets, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_of_the_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(features, setup, teardown),
	};

	return cmocka_run_group_tests(units, NULL, NULL);
}
