/* SPDX-License-Identifier: MIT */
/* Interrupts of an open device, and what it can do. */
#include <linux/vfio.h>

#include "backend/vfio/uapi_device.h"
#include "pci/pci.h"

_Static_assert((int)TS_PCI_INTX == VFIO_PCI_INTX_IRQ_INDEX &&
		       (int)TS_PCI_MSI == VFIO_PCI_MSI_IRQ_INDEX &&
		       (int)TS_PCI_MSIX == VFIO_PCI_MSIX_IRQ_INDEX,
	       "kinds are the kernel's numbers");

static int check_kind(struct dma_dev *dev, enum ts_pci_irq kind, struct vfio_device **device)
{
	int err = pci_device(dev, device);

	if (!err && (unsigned int)kind > TS_PCI_MSIX)
		err = base_error(-EINVAL,
				 "interrupts of the kind %u: there are 0 (INTx), 1 (MSI) and 2 "
				 "(MSI-X)",
				 (unsigned int)kind);
	return err;
}

int ts_pci_irq_count(struct dma_dev *dev, enum ts_pci_irq kind)
{
	struct vfio_device *device;
	struct vfio_irqs irqs;
	int err = check_kind(dev, kind, &device);

	if (!err)
		err = vfio_device_irqs(device, kind, &irqs);
	return err ? err : (int)irqs.count;
}

int ts_pci_enable_irqs(struct dma_dev *dev, enum ts_pci_irq kind, const int *eventfds,
		       unsigned int nr)
{
	struct vfio_device *device;
	int err = check_kind(dev, kind, &device);

	if (!err && !eventfds)
		err = base_error(-EINVAL, "interrupts without eventfds; pass one a vector, or -1");
	return err ? err : vfio_device_irqs_on(device, kind, eventfds, nr);
}

int ts_pci_disable_irqs(struct dma_dev *dev)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	if (!err)
		vfio_device_irqs_off(device);
	return err;
}

static int mask_intx(struct dma_dev *dev, bool mask)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_irq_mask(device, TS_PCI_INTX, mask);
}

int ts_pci_mask_intx(struct dma_dev *dev)
{
	return mask_intx(dev, true);
}

int ts_pci_unmask_intx(struct dma_dev *dev)
{
	return mask_intx(dev, false);
}

int ts_pci_set_removal_event(struct dma_dev *dev, int eventfd)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_event(device, VFIO_PCI_REQ_IRQ_INDEX, eventfd);
}

int ts_pci_set_error_event(struct dma_dev *dev, int eventfd)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_event(device, VFIO_PCI_ERR_IRQ_INDEX, eventfd);
}

int ts_pci_get_features(struct dma_dev *dev, struct ts_pci_features *features)
{
	struct vfio_irqs irqs[VFIO_PCI_NUM_IRQS];
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	for (unsigned int i = 0; !err && i < ARRAY_SIZE(irqs); i++)
		err = vfio_device_irqs(device, i, &irqs[i]);
	if (err)
		return err;
	*features = (struct ts_pci_features){
		.reset = device->can_reset,
		.bus_reset = vfio_device_bus_resets(device),
		.intx = irqs[VFIO_PCI_INTX_IRQ_INDEX].count,
		.msi = irqs[VFIO_PCI_MSI_IRQ_INDEX].count,
		.msix = irqs[VFIO_PCI_MSIX_IRQ_INDEX].count,
		.error_event = irqs[VFIO_PCI_ERR_IRQ_INDEX].count,
		.removal_event = irqs[VFIO_PCI_REQ_IRQ_INDEX].count,
		.dmabuf = !vfio_device_has(device, UAPI_FEATURE_DMA_BUF, true, false),
		.low_power = !vfio_device_has(device, UAPI_FEATURE_LOW_POWER, false, true),
		.migration = !vfio_device_has(device, UAPI_FEATURE_MIGRATION, true, false),
		.dma_logging = !vfio_device_has(device, UAPI_FEATURE_DMA_LOGGING, false, true),
	};
	return 0;
}
