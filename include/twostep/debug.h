/* SPDX-License-Identifier: MIT */
/**
 * DOC: misuse checks
 *
 * What Linux's dma-debug does, and more: with checks on, a space remembers who
 * reserved, linked, mapped and unlinked what, and tells each mistake with the call
 * sites of both ends and what happened to the memory before.
 *
 * Checks belong to an address space. ``TWOSTEP_DEBUG=1`` in the environment switches
 * them on for every space that is opened from then on; ``debug=on`` and ``debug=off``
 * in the URI of the device that makes the space decide for this one. Off, they cost
 * nothing.
 *
 * Reports go to a handler, by default to standard error. A mistake changes nothing
 * of what the call does: the checks only look on.
 */
#ifndef TWOSTEP_DEBUG_H
#define TWOSTEP_DEBUG_H

#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a report is about. */
enum dma_debug_kind {
	/* Streaming mappings. */
	DMA_DEBUG_UNMAP_UNKNOWN = 1, /* unmap of an address that is not mapped */
	DMA_DEBUG_UNMAP_ERROR, /* unmap of DMA_MAPPING_ERROR */
	DMA_DEBUG_UNMAP_SIZE, /* with another size than it was mapped with */
	DMA_DEBUG_UNMAP_FUNCTION, /* by the call for another kind of mapping */
	DMA_DEBUG_DIRECTION, /* unmap or unlink with another direction */
	DMA_DEBUG_ATTRS, /* unmap or unlink with other attributes */
	DMA_DEBUG_UNCHECKED, /* dma_mapping_error() was never asked */
	DMA_DEBUG_SYNC_UNKNOWN, /* sync of memory that is not mapped */
	DMA_DEBUG_SYNC_RANGE, /* sync beyond the mapping */
	DMA_DEBUG_SYNC_DIRECTION, /* sync with another direction */
	DMA_DEBUG_SYNC_READ_ONLY, /* sync for the CPU of what the device only reads */
	DMA_DEBUG_SYNC_WRITE_ONLY, /* sync for the device of what it only writes */
	DMA_DEBUG_MAP_STACK, /* memory on the caller's stack */
	DMA_DEBUG_MAP_TEXT, /* a program's code or constants */
	DMA_DEBUG_MAP_INVALID, /* no memory is there */
	DMA_DEBUG_MAP_MMIO_RAM, /* DMA_ATTR_MMIO for ordinary memory */
	DMA_DEBUG_CACHELINE, /* shares a cache line with another mapping */
	/* Two-step mappings. */
	DMA_DEBUG_STATE_LIVE, /* a state is reserved again that still holds a reservation */
	DMA_DEBUG_WRONG_DEVICE, /* a state is used with a device that did not reserve it */
	DMA_DEBUG_STATE_UNKNOWN, /* a state that reserves nothing, or was freed, is used */
	DMA_DEBUG_LINK_OUTSIDE, /* link beyond the reservation */
	DMA_DEBUG_LINK_TWICE, /* link where something is linked */
	DMA_DEBUG_LINK_MISALIGNED, /* link that does not fit the granule */
	DMA_DEBUG_BAD_ARGUMENT, /* no direction, no bytes, memory that is none */
	DMA_DEBUG_UNLINK_OUTSIDE, /* unlink beyond the reservation */
	DMA_DEBUG_UNLINK_HOLE, /* unlink of what is not linked */
	DMA_DEBUG_UNLINK_CUT, /* unlink of part of an entry or unit: all of it went */
	DMA_DEBUG_FREE_TWICE, /* free or destroy of what was freed before */
	DMA_DEBUG_FREE_LINKED, /* free with links left */
	DMA_DEBUG_DESTROY_LENGTH, /* destroy with another length than what is linked */
	/* Devices. */
	DMA_DEBUG_ACCESS_BEFORE_SYNC, /* a transfer to what was linked and not synced */
	DMA_DEBUG_ACCESS_AFTER, /* a transfer to what was unlinked or unmapped */
	DMA_DEBUG_ACCESS_DIRECTION, /* a transfer against the direction of the mapping */
	/* The rest. */
	DMA_DEBUG_MEMORY_GONE, /* memory went away while it was mapped or linked */
	DMA_DEBUG_GATHER_OPEN, /* a gather was left open, or begun twice */
	DMA_DEBUG_NO_BOUNCE, /* no bounce buffer was free */
	DMA_DEBUG_LEAK, /* still live when the space closed, or when asked */
	DMA_DEBUG_INCOMPLETE, /* no memory for the records: checks see only part from now on */
	/* Memory that was allocated for a device. */
	DMA_DEBUG_FREE_UNKNOWN, /* free of what is not allocated */
	DMA_DEBUG_FREE_SIZE, /* with another size than it was allocated with */
	DMA_DEBUG_FREE_CPU_ADDR, /* with the CPU address of something else */
	DMA_DEBUG_FREE_FUNCTION, /* by the call for memory of another kind */
	/* Scatter-gather lists. */
	DMA_DEBUG_SG_ENTRIES, /* unmap with another number of entries */
	DMA_DEBUG_SG_SYNC_ENTRIES, /* sync with another number of entries */
	DMA_DEBUG_SG_TOO_LONG, /* a segment is longer than the device takes */
	DMA_DEBUG_SG_BOUNDARY, /* a segment crosses the device's segment boundary */
	DMA_DEBUG_NR_KINDS,
};

/** What happened, in a history. */
enum dma_debug_action {
	DMA_DEBUG_MAPPED = 1,
	DMA_DEBUG_UNMAPPED,
	DMA_DEBUG_SYNCED_FOR_CPU,
	DMA_DEBUG_SYNCED_FOR_DEVICE,
	DMA_DEBUG_RESERVED,
	DMA_DEBUG_LINKED,
	DMA_DEBUG_SYNCED,
	DMA_DEBUG_UNLINKED,
	DMA_DEBUG_FREED,
	DMA_DEBUG_ALLOCATED,
	DMA_DEBUG_DEALLOCATED,
};

/**
 * struct dma_debug_event - something that happened to a range of DMA addresses
 * @action: what
 * @thread: a small number for the thread that did it; 0 for threads without one
 * @addr: first DMA address
 * @size: bytes
 * @phys: memory behind @addr, where the action names one; else 0
 * @time_ns: CLOCK_MONOTONIC, in nanoseconds
 * @caller: code address of the call
 */
struct dma_debug_event {
	enum dma_debug_action action;
	uint32_t thread;
	dma_addr_t addr;
	uint64_t size;
	phys_addr_t phys;
	uint64_t time_ns;
	const void *caller;
};

/**
 * struct dma_debug_report - one mistake
 * @kind: what is wrong
 * @device: URI of the device concerned, or of the first of the space
 * @text: one sentence: what was asked, what is wrong, what to do
 * @addr: DMA address concerned; for a transfer, the one that the device used
 * @size: bytes concerned
 * @phys: memory concerned, 0 if unknown
 * @time_ns: when; CLOCK_MONOTONIC, in nanoseconds
 * @caller: call site of the mistake; NULL for a device's transfer
 * @origin: call site of the other end: who mapped, linked, reserved, unlinked or
 *	freed what this is about; NULL if unknown
 * @history: what happened to these addresses, oldest first, as far as it is remembered
 * @nr_history: elements in @history
 *
 * All pointers are valid during the handler's call only, but for code addresses.
 */
struct dma_debug_report {
	enum dma_debug_kind kind;
	const char *device;
	const char *text;
	dma_addr_t addr;
	uint64_t size;
	phys_addr_t phys;
	uint64_t time_ns;
	const void *caller;
	const void *origin;
	const struct dma_debug_event *history;
	size_t nr_history;
};

typedef void (*dma_debug_handler_t)(const struct dma_debug_report *report, void *arg);

/**
 * dma_debug_set_handler - where reports go
 * @handler: called on the thread that made the mistake, one call at a time in the
 *	process; must not call the mapping API. NULL for the default, which prints to
 *	standard error, of reports that are alike (the same kind from the same call sites,
 *	in one space) the first three
 * @arg: passed to @handler
 *
 * For the whole process. When it returns, the former handler is not running and will
 * not be called again, unless it is called from inside that handler.
 */
void dma_debug_set_handler(dma_debug_handler_t handler, void *arg);

/**
 * dma_debug_print - print a report to standard error, as the default handler does
 * @report: the report
 *
 * Call sites are printed as ``object+0xoffset (symbol+0xoffset)``, as addr2line(1) wants them.
 */
void dma_debug_print(const struct dma_debug_report *report);

/**
 * dma_debug_check - look for mistakes now
 * @space: the space
 *
 * Reports everything that is live as %DMA_DEBUG_LEAK, memory that is mapped or linked
 * and not there any more as %DMA_DEBUG_MEMORY_GONE, and open gathers as
 * %DMA_DEBUG_GATHER_OPEN. Other threads may go on; what they do meanwhile may or may
 * not be seen.
 *
 * Return: number of reports; -EOPNOTSUPP if the space has no checks; -EPERM in a
 * forked child.
 */
int dma_debug_check(struct dma_space *space);

/** dma_debug_enabled - whether a space has checks */
bool dma_debug_enabled(struct dma_space *space);

/** dma_debug_count - reports of a kind made in this process so far; of all kinds for 0 */
uint64_t dma_debug_count(enum dma_debug_kind kind);

/** dma_debug_kind_name - a kind in words; a static string, also for unknown ones */
const char *dma_debug_kind_name(enum dma_debug_kind kind);

/** dma_debug_action_name - an action in words; a static string, also for unknown ones */
const char *dma_debug_action_name(enum dma_debug_action action);

#ifdef __cplusplus
}
#endif
#endif
