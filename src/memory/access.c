/* SPDX-License-Identifier: MIT */
/* What a range of physical addresses is, and how to reach it. */
#include <inttypes.h>

#include "memory/memory.h"

int memory_check_registered(phys_addr_t phys, uint64_t size, const struct memory_record **record)
{
	phys_addr_t end = phys + size;
	const struct memory_record *found;

	if (!size)
		return base_error(-EINVAL,
				  "a mapping of 0 bytes of memory at 0x%" PRIx64
				  ": pass the number of bytes",
				  phys);
	if (end <= phys)
		return base_error(-EINVAL,
				  "memory at 0x%" PRIx64 " with 0x%" PRIx64 " bytes ends beyond "
				  "the highest address: pass its real size",
				  phys, size);
	if (!memory_in_arena(phys))
		return base_error(
			-EINVAL,
			"memory at 0x%" PRIx64 " with 0x%" PRIx64 " bytes runs into "
			"the arena of registered memory: a mapping is ordinary or registered "
			"memory, not both",
			phys, size);
	found = memory_lookup(phys);
	if (!found)
		return base_error(-EINVAL,
				  "nothing is registered at 0x%" PRIx64 ", an address of "
				  "registered memory: pass what dma_memory_register() gave",
				  phys);
	if (size > found->size - (phys - found->base))
		return base_error(-EINVAL,
				  "memory at 0x%" PRIx64 " with 0x%" PRIx64 " bytes leaves the "
				  "registration 0x%" PRIx64 "..0x%" PRIx64
				  ": map each registration by "
				  "itself",
				  phys, size, found->base, found->base + found->size - 1);
	*record = found;
	return 0;
}

/* As memory_check(), without a word. */
static bool one_piece(phys_addr_t phys, uint64_t size, const struct memory_record **record)
{
	unsigned int shift = __atomic_load_n(&memory_arena.shift, __ATOMIC_RELAXED);
	uint64_t id = __atomic_load_n(&memory_arena.id, __ATOMIC_RELAXED);
	phys_addr_t end = phys + size;

	if (end <= phys)
		return false;
	*record = NULL;
	if ((end - 1) >> shift < id || phys >> shift > id)
		return true;
	*record = memory_lookup(phys);
	return *record && size <= (*record)->size - (phys - (*record)->base);
}

void *memory_cpu_address(phys_addr_t phys, uint64_t size)
{
	const struct memory_record *record;

	if (!one_piece(phys, size, &record))
		return NULL;
	if (!record)
		return (void *)(uintptr_t)phys;
	return record->cpu ? (char *)record->cpu + (phys - record->base) : NULL;
}

void *memory_bus_pointer(phys_addr_t phys, size_t len)
{
	const struct memory_record *record;

	if (!one_piece(phys, len, &record))
		return NULL;
	if (!record)
		return (void *)(uintptr_t)phys;
	if (!record->bus_map || record->bus_readonly)
		return NULL;
	return (char *)record->bus_map + (phys - record->base);
}

int memory_bus_read(phys_addr_t phys, void *buf, size_t len)
{
	const struct memory_record *record;
	uint64_t offset;

	if (!one_piece(phys, len, &record))
		return -EFAULT;
	if (!record) {
		memory_copy_from(buf, (const void *)(uintptr_t)phys, len);
		return 0;
	}
	offset = phys - record->base;
	if (record->bus_map) {
		memory_copy_from(buf, (const char *)record->bus_map + offset, len);
		return 0;
	}
	if (!record->ops || !record->ops->read)
		return -EFAULT;
	return record->ops->read(record->ops_arg, offset, buf, len) ? -EFAULT : 0;
}

int memory_bus_write(phys_addr_t phys, const void *buf, size_t len)
{
	const struct memory_record *record;
	uint64_t offset;

	if (!one_piece(phys, len, &record))
		return -EFAULT;
	if (!record) {
		memory_copy_to((void *)(uintptr_t)phys, buf, len);
		return 0;
	}
	offset = phys - record->base;
	if (record->bus_map) {
		if (record->bus_readonly)
			return -EFAULT;
		memory_copy_to((char *)record->bus_map + offset, buf, len);
		return 0;
	}
	if (!record->ops || !record->ops->write)
		return -EFAULT;
	return record->ops->write(record->ops_arg, offset, buf, len) ? -EFAULT : 0;
}
