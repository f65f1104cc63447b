/* SPDX-License-Identifier: MIT */
/**
 * DOC: PCI devices
 *
 * The PCI side of a real device: configuration space, registers and memory behind its BARs,
 * interrupts and resets. Mapping memory for it is the affair of the other headers, which
 * know no difference between a device in software and a real one.
 *
 * A real device is given to the kernel's VFIO once (ts_pci_bind(), ``twostep bind``) and then
 * opened by its address: ``vfio:0000:01:00.0``. Calls that take a &struct dma_dev are for such
 * devices: of a device in software they return -EOPNOTSUPP, and in a forked child -EPERM.
 * They may come from any thread; what two threads do to one register or one capability is
 * for them to agree on.
 *
 * Sources: PCI Local Bus 3.0, chapter 6; PCI Express 6.0, chapter 7; the kernel's
 * Documentation/driver-api/vfio.rst and include/uapi/linux/vfio.h.
 */
#ifndef TWOSTEP_PCI_H
#define TWOSTEP_PCI_H

#include <twostep/memory.h>
#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Configuration space. */

/**
 * ts_pci_read_config - read configuration space
 * @dev: the device
 * @offset: byte offset
 * @buf: where the bytes go, as the device has them: little-endian
 * @len: bytes
 *
 * The kernel shows some registers otherwise than they are: BARs and capabilities that it keeps
 * for itself.
 *
 * Return: 0; -ERANGE beyond the end, which is 256 or 4096; the errno of the kernel.
 */
int ts_pci_read_config(struct dma_dev *dev, unsigned int offset, void *buf, size_t len);

/** ts_pci_write_config - write configuration space; see ts_pci_read_config() */
int ts_pci_write_config(struct dma_dev *dev, unsigned int offset, const void *buf, size_t len);

/**
 * ts_pci_find_capability - where a capability is
 * @dev: the device
 * @id: which one: 0x01 power management, 0x05 MSI, 0x10 PCI Express, 0x11 MSI-X, ...
 *
 * Return: its offset in configuration space; -ENOENT if the device has none such; or as
 * ts_pci_read_config().
 */
int ts_pci_find_capability(struct dma_dev *dev, uint8_t id);

/** ts_pci_find_ext_capability - the same among the extended capabilities, from 0x100 on */
int ts_pci_find_ext_capability(struct dma_dev *dev, uint16_t id);

/**
 * ts_pci_set_master - let the device put transfers on the bus
 * @dev: the device
 *
 * Off when a device is opened. Set up the device first: it may begin at once.
 *
 * Return: 0; or as ts_pci_write_config().
 */
int ts_pci_set_master(struct dma_dev *dev);

/** ts_pci_clear_master - the opposite; new transfers, and MSI and MSI-X, stop at once */
int ts_pci_clear_master(struct dma_dev *dev);

/* BARs. */

/* Parts of a BAR that struct ts_pci_bar can tell. */
#define TS_PCI_PARTS 8

/**
 * struct ts_pci_bar - a base address register
 * @size: bytes behind it; 0: there is none
 * @readable: it can be read
 * @writable: it can be written
 * @nr_parts: how many parts of it ts_pci_map_bar() can map; 0: none
 * @parts: the parts, whole pages; one BAR-sized part is the usual case
 * @parts.offset: where it begins in the BAR
 * @parts.size: its bytes
 */
struct ts_pci_bar {
	uint64_t size;
	bool readable;
	bool writable;
	unsigned int nr_parts;
	struct {
		uint64_t offset;
		uint64_t size;
	} parts[TS_PCI_PARTS];
};

/**
 * ts_pci_bar_info - describe a BAR
 * @dev: the device
 * @bar: its number, 0 to 5
 * @info: where the description is stored
 *
 * Return: 0, also for a BAR that the device does not have; -ENODEV for another number; the
 * errno of the kernel.
 */
int ts_pci_bar_info(struct dma_dev *dev, unsigned int bar, struct ts_pci_bar *info);

/**
 * ts_pci_map_bar - map a part of a BAR for the CPU
 * @dev: the device
 * @bar: its number
 * @offset: where the part begins in the BAR, a multiple of the page size
 * @size: bytes, a multiple of the page size; inside one of the parts of ts_pci_bar_info()
 * @cpu: where its address is stored; untouched on failure
 *
 * Switches memory decoding on. The mapping is the caller's until ts_pci_unmap_bar() or until
 * @dev is closed. It is memory of a device: use volatile accesses of the width that the
 * device wants. While the device is reset, or powered down, an access may be answered with
 * SIGBUS.
 *
 * Return: 0; -ENODEV without such a BAR; -EINVAL if not whole pages; -ERANGE beyond its end;
 * -EOPNOTSUPP for a part that the kernel does not map; -ENOMEM; the errno of mmap().
 */
int ts_pci_map_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, size_t size, void **cpu);

/** ts_pci_unmap_bar - end a mapping: what ts_pci_map_bar() gave, else -ENOENT */
int ts_pci_unmap_bar(struct dma_dev *dev, void *cpu);

/**
 * ts_pci_read_bar - read behind a BAR
 * @dev: the device
 * @bar: its number
 * @offset: byte offset
 * @buf: where the bytes go, as the device has them: little-endian
 * @len: bytes
 *
 * 1, 2, 4 and 8 bytes, naturally aligned, are one access where the kernel maps the place;
 * elsewhere, and for other lengths, the kernel accesses the device, by at most 4 or 8 bytes at
 * a time. I/O ports are read by this, too. For registers of 4 and 8 bytes dma_dev_reg_read() is
 * the same, and also serves devices in software.
 *
 * Return: 0; -ENODEV without such a BAR; -ERANGE beyond its end; the errno of the kernel.
 */
int ts_pci_read_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, void *buf, size_t len);

/** ts_pci_write_bar - write behind a BAR; see ts_pci_read_bar() */
int ts_pci_write_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, const void *buf,
		     size_t len);

/**
 * ts_pci_export_bar - a dma-buf of a part of a BAR
 * @dev: the device
 * @bar: its number
 * @offset: where the part begins in the BAR, a multiple of the page size
 * @size: bytes, a multiple of the page size
 *
 * Other drivers of the kernel, and iommufd, can let their devices at it. It goes when the
 * device is closed or reset: then who uses it is stopped.
 *
 * Return: the descriptor, close-on-exec, the caller's to close; -EOPNOTSUPP if the kernel
 * cannot (Linux 6.19 can); -EINVAL; -ERANGE; -ENODEV; the errno of the kernel.
 */
int ts_pci_export_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t size);

/**
 * ts_pci_register_bar - make a part of a BAR registered memory
 * @dev: the device
 * @bar: its number
 * @offset: where the part begins in the BAR, a multiple of 4096
 * @size: bytes, a multiple of 4096
 * @type: %DMA_MEMORY_MMIO, or %DMA_MEMORY_P2P for memory that peers may use
 * @base: where its first physical address is stored; untouched on failure
 *
 * From then on it is memory like what dma_memory_register() registers: with a CPU mapping where
 * the kernel maps it, else accessed through the kernel, and with a dma-buf where the kernel
 * exports it, by which other devices of this process are let at it. It is not RAM: map it
 * with %DMA_ATTR_MMIO. %DMA_MEMORY_P2P goes through pci_p2pdma_add_resource(): @dev needs a
 * place in the topology that has this BAR, and the BAR no other memory.
 *
 * Ends with ts_pci_unregister_bar(), never with dma_memory_unregister(). If @dev is closed
 * before, nobody finds the memory any more, though it may be in page tables still.
 *
 * Return: 0; -EINVAL; -ENODEV; -ERANGE; and as dma_memory_register() and
 * pci_p2pdma_add_resource().
 */
int ts_pci_register_bar(struct dma_dev *dev, unsigned int bar, uint64_t offset, uint64_t size,
			enum dma_memory_type type, phys_addr_t *base);

/**
 * ts_pci_unregister_bar - end it
 * @dev: the device
 * @base: what ts_pci_register_bar() gave
 *
 * Return: 0; -ENOENT for anything else; -EBUSY while a device can reach the memory, or has some
 * of it from pci_alloc_p2pmem(): then nothing has changed.
 */
int ts_pci_unregister_bar(struct dma_dev *dev, phys_addr_t base);

/* Resets. */

/**
 * ts_pci_reset - reset the device
 * @dev: the device
 *
 * The function by itself if it can (FLR or another way that the kernel knows), else its bus
 * if nothing else is on it. Configuration space is put back by the kernel, the device's own
 * registers are not; dma-bufs of BARs are revoked for the time. Stop using it first.
 *
 * Return: 0; -EOPNOTSUPP if there is no way that leaves other devices alone; the errno of the
 * kernel.
 */
int ts_pci_reset(struct dma_dev *dev);

/* Interrupts. */

/** Kinds of interrupts. A device uses one of them at a time. */
enum ts_pci_irq {
	TS_PCI_INTX = 0, /* a line, shared: one */
	TS_PCI_MSI = 1,  /* 1 to 32 */
	TS_PCI_MSIX = 2, /* 1 to 2048 */
};

/**
 * ts_pci_irq_count - how many interrupts of a kind a device has
 * @dev: the device
 * @kind: which kind
 *
 * Return: how many, 0 for none; -EINVAL for another kind; the errno of the kernel.
 */
int ts_pci_irq_count(struct dma_dev *dev, enum ts_pci_irq kind);

/**
 * ts_pci_enable_irqs - switch interrupts on
 * @dev: the device
 * @kind: which kind
 * @eventfds: one eventfd a vector, from vector 0 on; -1 for a vector that nobody wants
 * @nr: how many
 *
 * Each interrupt adds 1 to the eventfd of its vector, of which the kernel keeps a reference.
 * After INTx the line is masked: ts_pci_unmask_intx() when the device has been served. All or
 * none; they end with ts_pci_disable_irqs(), or when @dev is closed.
 *
 * Return: 0; -EBUSY if interrupts of @dev are on; -ENODEV if it has none of this kind; -ERANGE
 * for 0 or more than it has; -ENOSPC if the machine has fewer to give; -EINVAL for another
 * kind or without @eventfds; -ENOMEM; the errno of the kernel.
 */
int ts_pci_enable_irqs(struct dma_dev *dev, enum ts_pci_irq kind, const int *eventfds,
		       unsigned int nr);

/** ts_pci_disable_irqs - switch them off, of whatever kind; 0, also if none is on */
int ts_pci_disable_irqs(struct dma_dev *dev);

/** ts_pci_unmask_intx - let INTx come again; 0, or -EINVAL if INTx is not on */
int ts_pci_unmask_intx(struct dma_dev *dev);
/** ts_pci_mask_intx - keep INTx away; see ts_pci_unmask_intx() */
int ts_pci_mask_intx(struct dma_dev *dev);

/**
 * ts_pci_set_removal_event - be told that the kernel wants the device back
 * @dev: the device
 * @eventfd: what is signalled; -1 for nothing
 *
 * Somebody unbinds the device, or it is pulled out: close it soon. Who unbinds it waits for
 * that, and is told again from time to time.
 *
 * Return: 0; -EOPNOTSUPP; -EBADF or another errno of the kernel for what is no eventfd.
 */
int ts_pci_set_removal_event(struct dma_dev *dev, int eventfd);

/** ts_pci_set_error_event - be told of an uncorrectable error (AER); reset the device then */
int ts_pci_set_error_event(struct dma_dev *dev, int eventfd);

/**
 * struct ts_pci_features - what an open device, its driver and the kernel can do
 * @reset: the function can be reset by itself
 * @bus_reset: its bus can be reset, and nothing else is on it
 * @intx: interrupts of that kind
 * @msi: interrupts of that kind
 * @msix: interrupts of that kind
 * @error_event: ts_pci_set_error_event() works
 * @removal_event: ts_pci_set_removal_event() works
 * @dmabuf: ts_pci_export_bar() works
 * @low_power: it may be put into a low power state
 * @migration: its state can be saved and restored
 * @dma_logging: it can record what it writes
 */
struct ts_pci_features {
	bool reset;
	bool bus_reset;
	unsigned int intx;
	unsigned int msi;
	unsigned int msix;
	bool error_event;
	bool removal_event;
	bool dmabuf;
	bool low_power;
	bool migration;
	bool dma_logging;
};

/** ts_pci_get_features - ask the kernel what an open device can do; 0 or its errno */
int ts_pci_get_features(struct dma_dev *dev, struct ts_pci_features *features);

/* Without opening it. */

/**
 * struct ts_pci_abilities - what can be known of a device without opening it
 * @address: in full: DDDD:BB:DD.F
 * @driver: who has it; "" for nobody
 * @bound: the driver is VFIO's
 * @vfio_pci: there is a vfio-pci in the kernel
 * @group: its IOMMU group; -1: none, because there is no IOMMU or it is off
 * @group_size: devices in the group, this one included
 * @viable: no other driver holds a device of the group
 * @blockers: the devices that it is not viable for, with their drivers
 * @noiommu: it is in a group without an IOMMU
 * @noiommu_allowed: VFIO was told to give out devices without an IOMMU
 * @group_file: file of the group, "" if there is none
 * @group_access: 0, or -errno: whether this process may open it
 * @cdev_file: file of the device for iommufd, "" if there is none
 * @cdev_access: as @group_access
 * @iommufd_access: of /dev/iommu
 * @container_access: of /dev/vfio/vfio, for type 1
 * @type1: type 1 is there, version 2; false also if @container_access is not 0
 * @config_shown: bytes of configuration space that this process is shown: 64 without root
 * @intx: has INTx
 * @msi: how many; 0 also if they are not shown
 * @msix: how many; 0 also if they are not shown
 * @resets: how the kernel can reset it, its words joined by blanks; "" if it cannot
 * @bars: what is behind its BARs
 * @bars.start: address on the bus, as the CPU has it
 * @bars.size: bytes; 0 for none
 * @bars.io: I/O ports, no memory
 * @bars.prefetchable: reading has no side effects
 */
struct ts_pci_abilities {
	char address[24];
	char driver[32];
	bool bound;
	bool vfio_pci;
	int group;
	unsigned int group_size;
	bool viable;
	char blockers[256];
	bool noiommu;
	bool noiommu_allowed;
	char group_file[64];
	int group_access;
	char cdev_file[64];
	int cdev_access;
	int iommufd_access;
	int container_access;
	bool type1;
	unsigned int config_shown;
	bool intx;
	unsigned int msi;
	unsigned int msix;
	char resets[64];
	struct {
		uint64_t start;
		uint64_t size;
		bool io;
		bool prefetchable;
	} bars[6];
};

/**
 * ts_pci_probe - look at a device without opening it
 * @address: of the device, with or without the domain 0000
 * @abilities: where what is seen is stored; untouched on failure
 *
 * Looks at sysfs and at the files of VFIO. Changes nothing.
 *
 * Return: 0; -EINVAL for what is no address; -ENODEV if there is no such device.
 */
int ts_pci_probe(const char *address, struct ts_pci_abilities *abilities);

/* For ts_pci_bind() and ts_pci_unbind(). */

/** Bind a device though it is in use: what uses it loses it. */
#define TS_PCI_FORCE (1U << 0)

/**
 * ts_pci_bind - give a device to VFIO
 * @address: of the device, with or without the domain 0000
 * @flags: 0 or TS_PCI_FORCE
 *
 * Takes it from its driver and gives it to vfio-pci, which gives it to programs
 * (driver_override, unbind and bind in sysfs). Takes root. Refused, unless forced, if what the
 * device carries is in use: file systems and swap of block devices below it, also through dm,
 * md and others that hold them, a network interface that is up, a console, the screen that the
 * machine started with; or if it is a bridge. Of a device that VFIO has already nothing changes.
 *
 * A group of several devices can be used only when VFIO has all of them, or nobody:
 * ts_pci_probe() tells who is in the way.
 *
 * Return: 0; -EINVAL for what is no address or flag; -ENODEV without such a device, without
 * vfio-pci, or without an IOMMU; -EBUSY if it is in use; -EACCES; or the errno of the kernel. On
 * failure the device is its driver's, as before; where even that failed dma_last_error() says so.
 */
int ts_pci_bind(const char *address, unsigned int flags);

/**
 * ts_pci_unbind - give a device back to the kernel
 * @address: of the device
 * @flags: 0 or TS_PCI_FORCE
 *
 * Takes it from VFIO, and lets the kernel find it a driver. Refused with -EBUSY while a program
 * has it open; if forced, the program is asked for it (ts_pci_set_removal_event()), and the call
 * waits until it closes the device.
 *
 * Return: 0, also if no driver wants it; -EINVAL if VFIO does not have it; and as ts_pci_bind().
 */
int ts_pci_unbind(const char *address, unsigned int flags);

#ifdef __cplusplus
}
#endif
#endif
