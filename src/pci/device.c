/* SPDX-License-Identifier: MIT */
/* Configuration space and BARs of an open device. */
#include <endian.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "backend/vfio/vfio.h"
#include "dma/dma.h"
#include "pci/pci.h"

/* Most capabilities that fit: a longer list runs in a circle. */
#define CAPABILITIES ((256 - 64) / 4)
#define EXT_CAPABILITIES ((4096 - 256) / 8)

int pci_device(struct dma_dev *dev, struct vfio_device **device)
{
	int err = dma_space_check(dev->space);
	struct vfio_port *port;

	*device = NULL;
	if (err)
		return err;
	port = vfio_port_of(dev->port);
	if (!port)
		return base_error(-EOPNOTSUPP,
				  "device %s is in software and has no PCI side; open a real one: "
				  "vfio:DDDD:BB:DD.F",
				  dev->name);
	*device = &port->device;
	return 0;
}

/* Configuration space. */

int ts_pci_read_config(struct dma_dev *dev, unsigned int offset, void *buf, size_t len)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_read(device, VFIO_PCI_CONFIG_REGION_INDEX, offset, buf, len);
}

int ts_pci_write_config(struct dma_dev *dev, unsigned int offset, const void *buf, size_t len)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err
		   : vfio_device_write(device, VFIO_PCI_CONFIG_REGION_INDEX, offset, buf, len);
}

static int no_capability(const struct dma_dev *dev, const char *extended, unsigned int id)
{
	return base_error(-ENOENT, "device %s has no %scapability 0x%02x", dev->name, extended, id);
}

int ts_pci_find_capability(struct dma_dev *dev, uint8_t id)
{
	uint8_t status[2], at, header[2];
	int err = ts_pci_read_config(dev, PCI_STATUS, status, sizeof(status));

	if (!err && !(status[0] & PCI_STATUS_CAP_LIST))
		return no_capability(dev, "", id);
	if (!err)
		err = ts_pci_read_config(dev, PCI_CAPABILITY_LIST, &at, 1);
	for (int i = 0; !err && i < CAPABILITIES; i++) {
		at &= 0xfc;
		if (at < PCI_STD_HEADER_SIZEOF)
			break;
		err = ts_pci_read_config(dev, at, header, sizeof(header));
		if (!err && header[0] == id)
			return at;
		/* A device that is gone answers with ones. */
		if (header[0] == 0xff)
			break;
		at = header[1];
	}
	return err ? err : no_capability(dev, "", id);
}

int ts_pci_find_ext_capability(struct dma_dev *dev, uint16_t id)
{
	const struct vfio_region *config;
	struct vfio_device *device;
	uint32_t at = PCI_CFG_SPACE_SIZE, header;
	int err = pci_device(dev, &device);

	if (!err)
		err = vfio_device_region(device, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	for (int i = 0; !err && i < EXT_CAPABILITIES; i++) {
		if (at < PCI_CFG_SPACE_SIZE || at + sizeof(header) > config->size)
			break;
		err = ts_pci_read_config(dev, at, &header, sizeof(header));
		header = le32toh(header);
		if (err || !header || header == UINT32_MAX)
			break;
		if (PCI_EXT_CAP_ID(header) == id)
			return (int)at;
		at = PCI_EXT_CAP_NEXT(header);
	}
	return err ? err : no_capability(dev, "extended ", id);
}

int ts_pci_set_master(struct dma_dev *dev)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_command(device, PCI_COMMAND_MASTER, 0);
}

int ts_pci_clear_master(struct dma_dev *dev)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_command(device, 0, PCI_COMMAND_MASTER);
}

/* BARs. */

static int no_bar(const struct dma_dev *dev, unsigned int bar)
{
	return base_error(-ENODEV, "device %s has no BAR %u; there are 0 to 5", dev->name, bar);
}

int ts_pci_bar_info(struct dma_dev *dev, unsigned int bar, struct ts_pci_bar *info)
{
	const struct vfio_region *region;
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	_Static_assert(TS_PCI_PARTS >= VFIO_PARTS, "all parts fit");
	if (err)
		return err;
	if (bar >= VFIO_BARS)
		return no_bar(dev, bar);
	err = vfio_device_region(device, bar, &region);
	if (err)
		return err;
	*info = (struct ts_pci_bar){
		.size = region->size,
		.readable = region->readable,
		.writable = region->writable,
		.nr_parts = region->nr_parts,
	};
	for (unsigned int i = 0; i < region->nr_parts; i++) {
		info->parts[i].offset = region->parts[i].offset;
		info->parts[i].size = region->parts[i].size;
	}
	return 0;
}

int ts_pci_map_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, size_t size, void **cpu)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_map(device, bar, offset, size, cpu);
}

int ts_pci_unmap_bar(struct dma_dev *dev, void *cpu)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_unmap(device, cpu);
}

static bool is_register(uint64_t offset, size_t len)
{
	return len <= 8 && is_power_of_two(len) && !(offset & (len - 1));
}

/* The real device behind @dev, if it can have such a BAR. */
static int bar_device(struct dma_dev *dev, unsigned int bar, struct vfio_device **device)
{
	int err = pci_device(dev, device);

	return !err && bar >= VFIO_BARS ? no_bar(dev, bar) : err;
}

int ts_pci_read_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, void *buf, size_t len)
{
	struct vfio_device *device;
	uint64_t value;
	int err = bar_device(dev, bar, &device);

	if (err)
		return err;
	if (!is_register(offset, len))
		return vfio_device_read(device, bar, offset, buf, len);
	err = vfio_reg_read(device, bar, offset, &value, (unsigned int)len);
	if (err)
		return err == -EINVAL ? -ERANGE : err;
	value = htole64(value);
	memcpy(buf, &value, len);
	return 0;
}

int ts_pci_write_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, const void *buf,
		     size_t len)
{
	struct vfio_device *device;
	uint64_t value = 0;
	int err = bar_device(dev, bar, &device);

	if (err)
		return err;
	if (!is_register(offset, len))
		return vfio_device_write(device, bar, offset, buf, len);
	memcpy(&value, buf, len);
	err = vfio_reg_write(device, bar, offset, le64toh(value), (unsigned int)len);
	return err == -EINVAL ? -ERANGE : err;
}

int ts_pci_reset(struct dma_dev *dev)
{
	struct vfio_device *device;
	int err = pci_device(dev, &device);

	return err ? err : vfio_device_reset(device);
}
