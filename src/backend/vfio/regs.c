/* SPDX-License-Identifier: MIT */
/*
 * Registers of a device: one access each. Where the kernel maps them a register is memory,
 * mapped a whole part of the BAR at a time when first wanted.
 */
#include <endian.h>

#include "backend/vfio/device.h"
#include "base/base.h"

/*
 * What was written to memory before is seen by a device that a register write sets going, and
 * what is read from memory after a register read is no older than it.
 */
static inline void before_write(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshst" ::: "memory");
#elif defined(__riscv)
	__asm__ volatile("fence w, o" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

static inline void after_read(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshld" ::: "memory");
#elif defined(__riscv)
	__asm__ volatile("fence i, r" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

/* Where the register is, or NULL if it is not in memory. */
static void *find_reg(struct vfio_device *device, unsigned int bar, uint64_t offset,
		      unsigned int width)
{
	struct vfio_region *region = &device->regions[bar];

	for (unsigned int i = 0; i < region->nr_parts; i++) {
		struct vfio_part *part = &region->parts[i];
		void *regs, *mapped, *other = NULL;

		if (offset < part->offset || offset - part->offset > part->size - width)
			continue;
		regs = __atomic_load_n(&part->regs, __ATOMIC_ACQUIRE);
		if (!regs) {
			/* Through the kernel it goes as well, only slower. */
			if (vfio_device_map(device, bar, part->offset, part->size, &mapped))
				return NULL;
			if (__atomic_compare_exchange_n(&part->regs, &other, mapped, false,
							__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
				regs = mapped;
			} else {
				vfio_device_unmap(device, mapped);
				regs = other;
			}
		}
		return (char *)regs + (offset - part->offset);
	}
	return NULL;
}

static int check(struct vfio_device *device, unsigned int bar, uint64_t offset, unsigned int width)
{
	const struct vfio_region *region;
	int err;

	if (bar >= VFIO_BARS)
		return base_error(-ENODEV, "%s has no BAR %u; there are 0 to 5", device->place.bdf,
				  bar);
	err = vfio_device_region(device, bar, &region);
	if (err)
		return err;
	if (!region->size)
		return base_error(-ENODEV, "%s has no BAR %u", device->place.bdf, bar);
	if (offset >= region->size || width > region->size - offset || offset % width)
		return base_error(-EINVAL,
				  "%u bytes at 0x%llx are no register of BAR %u of %s, which has "
				  "0x%llx bytes",
				  width, (unsigned long long)offset, bar, device->place.bdf,
				  (unsigned long long)region->size);
	return 0;
}

int vfio_reg_read(struct vfio_device *device, unsigned int bar, uint64_t offset, uint64_t *value,
		  unsigned int width)
{
	int err = check(device, bar, offset, width);
	const volatile void *reg;
	uint8_t bytes[8] = {0};

	if (err)
		return err;
	reg = find_reg(device, bar, offset, width);
	if (!reg) {
		uint64_t raw;

		err = vfio_device_read(device, bar, offset, bytes, width);
		if (err)
			return err;
		memcpy(&raw, bytes, sizeof(raw));
		*value = le64toh(raw);
		return 0;
	}
	switch (width) {
	case 1:
		*value = *(const volatile uint8_t *)reg;
		break;
	case 2:
		*value = le16toh(*(const volatile uint16_t *)reg);
		break;
	case 4:
		*value = le32toh(*(const volatile uint32_t *)reg);
		break;
	default:
		*value = le64toh(*(const volatile uint64_t *)reg);
		break;
	}
	after_read();
	return 0;
}

int vfio_reg_write(struct vfio_device *device, unsigned int bar, uint64_t offset, uint64_t value,
		   unsigned int width)
{
	int err = check(device, bar, offset, width);
	uint64_t raw = htole64(value);
	volatile void *reg;

	if (err)
		return err;
	if (!device->regions[bar].writable)
		return vfio_device_write(device, bar, offset, &raw, width);
	reg = find_reg(device, bar, offset, width);
	before_write();
	if (!reg)
		return vfio_device_write(device, bar, offset, &raw, width);
	switch (width) {
	case 1:
		*(volatile uint8_t *)reg = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)reg = htole16((uint16_t)value);
		break;
	case 4:
		*(volatile uint32_t *)reg = htole32((uint32_t)value);
		break;
	default:
		*(volatile uint64_t *)reg = raw;
		break;
	}
	return 0;
}

static int model_read(void *model, unsigned int bar, uint64_t offset, uint64_t *value,
		      unsigned int width)
{
	return vfio_reg_read(model, bar, offset, value, width);
}

static int model_write(void *model, unsigned int bar, uint64_t offset, uint64_t value,
		       unsigned int width)
{
	return vfio_reg_write(model, bar, offset, value, width);
}

/* The port owns the device. */
static void model_close(void *model)
{
	(void)model;
}

const struct dma_model_ops vfio_device_regs = {
	.reg_read = model_read,
	.reg_write = model_write,
	.close = model_close,
};
