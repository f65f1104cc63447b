/* SPDX-License-Identifier: MIT */
/* Words for what reports name. */
#include <stdio.h>

#include "debug/parts.h"

const char *dma_debug_kind_name(enum dma_debug_kind kind)
{
	static const char *const names[DMA_DEBUG_NR_KINDS] = {
		[DMA_DEBUG_UNMAP_UNKNOWN] = "unmap of an unknown address",
		[DMA_DEBUG_UNMAP_ERROR] = "unmap of an error",
		[DMA_DEBUG_UNMAP_SIZE] = "unmap with another size",
		[DMA_DEBUG_UNMAP_FUNCTION] = "unmap by the wrong function",
		[DMA_DEBUG_DIRECTION] = "another direction",
		[DMA_DEBUG_ATTRS] = "other attributes",
		[DMA_DEBUG_UNCHECKED] = "mapping error not checked",
		[DMA_DEBUG_SYNC_UNKNOWN] = "sync of an unknown address",
		[DMA_DEBUG_SYNC_RANGE] = "sync beyond the mapping",
		[DMA_DEBUG_SYNC_DIRECTION] = "sync with another direction",
		[DMA_DEBUG_SYNC_READ_ONLY] = "sync for the CPU of what the device only reads",
		[DMA_DEBUG_SYNC_WRITE_ONLY] = "sync for the device of what it only writes",
		[DMA_DEBUG_MAP_STACK] = "memory on the stack",
		[DMA_DEBUG_MAP_TEXT] = "memory of a program's code or constants",
		[DMA_DEBUG_MAP_INVALID] = "memory that is not there",
		[DMA_DEBUG_MAP_MMIO_RAM] = "ordinary memory as MMIO",
		[DMA_DEBUG_CACHELINE] = "shared cache line",
		[DMA_DEBUG_STATE_LIVE] = "state reserved again",
		[DMA_DEBUG_WRONG_DEVICE] = "wrong device",
		[DMA_DEBUG_STATE_UNKNOWN] = "state without a reservation",
		[DMA_DEBUG_LINK_OUTSIDE] = "link outside of the reservation",
		[DMA_DEBUG_LINK_TWICE] = "link where something is linked",
		[DMA_DEBUG_LINK_MISALIGNED] = "misaligned link",
		[DMA_DEBUG_BAD_ARGUMENT] = "bad argument",
		[DMA_DEBUG_UNLINK_OUTSIDE] = "unlink outside of the reservation",
		[DMA_DEBUG_UNLINK_HOLE] = "unlink of what is not linked",
		[DMA_DEBUG_UNLINK_CUT] = "unlink of part of a unit",
		[DMA_DEBUG_FREE_TWICE] = "freed twice",
		[DMA_DEBUG_FREE_LINKED] = "free with links left",
		[DMA_DEBUG_DESTROY_LENGTH] = "destroy with another length",
		[DMA_DEBUG_ACCESS_BEFORE_SYNC] = "device access before the sync",
		[DMA_DEBUG_ACCESS_AFTER] = "device access after the end",
		[DMA_DEBUG_ACCESS_DIRECTION] = "device access against the direction",
		[DMA_DEBUG_MEMORY_GONE] = "memory has gone",
		[DMA_DEBUG_GATHER_OPEN] = "gather left open",
		[DMA_DEBUG_NO_BOUNCE] = "no bounce buffer",
		[DMA_DEBUG_LEAK] = "leak",
		[DMA_DEBUG_INCOMPLETE] = "checks are incomplete",
		[DMA_DEBUG_FREE_UNKNOWN] = "free of an unknown address",
		[DMA_DEBUG_FREE_SIZE] = "free with another size",
		[DMA_DEBUG_FREE_CPU_ADDR] = "free with another CPU address",
		[DMA_DEBUG_FREE_FUNCTION] = "free by the wrong function",
		[DMA_DEBUG_SG_ENTRIES] = "unmap of another number of entries",
		[DMA_DEBUG_SG_SYNC_ENTRIES] = "sync of another number of entries",
		[DMA_DEBUG_SG_TOO_LONG] = "segment longer than the device takes",
		[DMA_DEBUG_SG_BOUNDARY] = "segment across a boundary",
	};

	if ((unsigned int)kind >= DMA_DEBUG_NR_KINDS || !names[kind])
		return "unknown";
	return names[kind];
}

const char *dma_debug_action_name(enum dma_debug_action action)
{
	static const char *const names[] = {
		[DMA_DEBUG_MAPPED] = "mapped",
		[DMA_DEBUG_UNMAPPED] = "unmapped",
		[DMA_DEBUG_SYNCED_FOR_CPU] = "synced for the CPU",
		[DMA_DEBUG_SYNCED_FOR_DEVICE] = "synced for the device",
		[DMA_DEBUG_RESERVED] = "reserved",
		[DMA_DEBUG_LINKED] = "linked",
		[DMA_DEBUG_SYNCED] = "synced",
		[DMA_DEBUG_UNLINKED] = "unlinked",
		[DMA_DEBUG_FREED] = "freed",
		[DMA_DEBUG_ALLOCATED] = "allocated",
		[DMA_DEBUG_DEALLOCATED] = "freed with its memory",
	};

	if ((unsigned int)action >= ARRAY_SIZE(names) || !names[action])
		return "unknown";
	return names[action];
}

const char *debug_dir_name(enum dma_data_direction dir)
{
	static const char *const names[] = {
		[DMA_BIDIRECTIONAL] = "DMA_BIDIRECTIONAL",
		[DMA_TO_DEVICE] = "DMA_TO_DEVICE",
		[DMA_FROM_DEVICE] = "DMA_FROM_DEVICE",
		[DMA_NONE] = "DMA_NONE",
	};

	return (unsigned int)dir < ARRAY_SIZE(names) ? names[dir] : "an unknown direction";
}

const char *debug_attrs_text(unsigned long attrs, char *buf, size_t size)
{
	static const struct {
		unsigned long attr;
		const char *name;
	} known[] = {
		{DMA_ATTR_NO_KERNEL_MAPPING, "DMA_ATTR_NO_KERNEL_MAPPING"},
		{DMA_ATTR_FORCE_CONTIGUOUS, "DMA_ATTR_FORCE_CONTIGUOUS"},
		{DMA_ATTR_MMIO, "DMA_ATTR_MMIO"},
		{DMA_ATTR_REQUIRE_COHERENT, "DMA_ATTR_REQUIRE_COHERENT"},
		{DMA_ATTR_PRIVILEGED, "DMA_ATTR_PRIVILEGED"},
		{DMA_ATTR_CC_SHARED, "DMA_ATTR_CC_SHARED"},
	};
	size_t len = 0;

	snprintf(buf, size, "no such attributes");
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (attrs & known[i].attr && len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? " " : "",
						known[i].name);
	}
	return buf;
}
