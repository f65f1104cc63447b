/* SPDX-License-Identifier: MIT */
/*
 * debug: the misuse checks. One observer a space, which keeps a model of its own of
 * what is mapped, reserved and linked, compares each call with it, and reports what
 * does not fit. It changes nothing of what the calls do, and it never reports what
 * it cannot know: correct programs are silent, also when memory has run out.
 *
 * Nouns, laid out in parts.h
 *	chunk	 the records of 4096 granules of DMA addresses; never removed
 *	range	 a mapping or a reservation: a record at its first granule, which stays
 *		 as a tombstone, who ended it and when, until the granule begins another
 *	granule	 a word for what is linked there: the site, synced or not; after an
 *		 unlink, the site of that and the life of the reservation
 *	site	 a caller with the direction and attributes it passed, numbered
 *	slot	 what a thread keeps in a space: where its chunks are, and its ring
 *	ring	 the last DEBUG_EVENTS events of a thread, for histories
 *	finding	 what a report is made of
 *
 * A range is a mapping, a reservation, or memory of the library's own that was allocated:
 * RANGE_STREAMING, RANGE_TWO_STEP, RANGE_ALLOCATED.
 *
 * Spaces that translate keep ranges in chunks; nobody shares a granule there, and a
 * range of n granules is aligned to n rounded up to a power of two, so that an inner
 * address finds its range by clearing bits. Spaces that do not translate have
 * no reservations, and any number of ranges at one address; they are in a table
 * under a lock (direct.c).
 *
 * Invariants
 *  - A hook that ends something needs no memory. Where memory for a new record is
 *    short, INCOMPLETE is reported once, and nothing from then on that follows from
 *    the lack of a record.
 *  - A granule is marked as linked only inside a live reservation.
 *  - A report is made with none of the room's locks held but `handler_lock`, which is
 *    taken for the handler alone.
 *
 * Locking: ranges and granule words are written by whoever owns the addresses and read
 * by anyone, all with relaxed atomics; a stranger may see a mixture, so strangers that
 * judge a whole record look at it twice. Chunks are added to their buckets by
 * compare-exchange with release. A slot is written by its thread; rings are read by
 * anyone (history.c tells how). Slot `shared` serves threads without a number, under
 * `shared_lock`. `lock` guards devices, gathers and cache lines, `direct_lock` the
 * table of mappings without translation. In the process: `text_lock` the list of
 * read-only program segments, `handler_lock` calls of the handler and its replacement.
 * No two of them are held at once.
 *
 * Files: debug.c creation and devices; model.c chunks, ranges, slots, sites; granules.h
 * runs of granule words; direct.c mappings without translation; streaming.c, sg.c, blocks.c,
 * twostep.c, link.c, unlink.c, gather.c and device.c the hooks, states.c what those of two-step
 * calls share; memory.c what memory may be mapped; cacheline.c shared cache lines;
 * check.c what is left; history.c rings and time; report.c reports, handler, counters;
 * print.c the default handler; names.c words.
 */
#ifndef DEBUG_DEBUG_H
#define DEBUG_DEBUG_H

#include <twostep/debug.h>

#include "base/observe.h"

/*
 * Checks for one space. @translates: DMA addresses are handed out by an IOVA
 * allocator, so that no two live mappings share one. 0; -ENOMEM with the error text.
 * They end with the observer's closed().
 */
int debug_create(bool translates, struct base_observer **observer);

/* dma_debug_check(), for the space whose observer this is. */
int debug_check(struct base_observer *observer);

#endif
