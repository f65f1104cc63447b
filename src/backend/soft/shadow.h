/* SPDX-License-Identifier: MIT */
/*
 * shadow: what devices that are not coherent see of memory. Think of it as the
 * DRAM behind the CPU's cache, and of memory itself as the cache: the CPU works on
 * memory, such a device on the shadow, and cache maintenance alone moves bytes
 * between them, by whole lines. A sync that was forgotten shows as stale bytes.
 *
 * Nouns
 *	page   4 KiB of shadow, for one physical granule, and 4 KiB of what the CPU had there
 *	       at the last maintenance, which tells lines that it has written since; starts
 *	       as poison
 *	node   512 slots of a radix tree, keyed by the granule's number: all 52 bits
 *	slot   of a node at level 0: the address of a page, and whether it is hidden
 *
 * A granule without a page, with a hidden page, or of registered memory that the
 * CPU has no mapping of, is accessed directly by every device: registers, memory of
 * others, memory that is mapped coherent.
 *
 * Invariants
 *  - Nodes and pages stay until the space closes, like real DRAM. So a look-up
 *    takes no lock: it loads with acquire what was stored with release, complete.
 *    A page that is not needed any more keeps its bytes, as memory does.
 *  - A page is seen only when every page of the same prepare exists: they are
 *    installed hidden and shown at the end, which cannot fail.
 *  - Clean and invalidate allocate nothing.
 *
 * Copying a line while others use it
 *  - A device may write other words of a line that is being invalidated, and the
 *    CPU other words of one that is being cleaned. So words are read until two
 *    readings agree: then the line was so at one moment, as a cache moves it. A
 *    line that changes all the time is taken after a few readings.
 *  - Even then a record whose valid word is last is complete when the word is seen.
 *    Words are read from the last to the first with acquire: who reads the new
 *    valid word reads what was stored before it. They are stored from the first to
 *    the last with release: who sees the new valid word sees the rest. Reading in
 *    ascending order would take the former words of a record and its new valid word.
 *  - Two threads that maintain the same line take turns (`lines`), or the later
 *    store of the earlier reading would take back what the other has made visible.
 *  - Devices access pages by aligned single accesses alone, whatever the transfer
 *    is cut into, because a line is copied whatever else is in it.
 *  - Where an invalidated word is what memory holds already, nothing is stored.
 *
 * Locking: `grow` serialises whoever changes slots. `lines`, by the granule's
 * number, is held while lines of a granule are copied: memory of which this process
 * itself supplies the pages (userfaultfd) must be present then. Devices take
 * neither; nor does destroy, for a forked child.
 */
#ifndef BACKEND_SOFT_SHADOW_H
#define BACKEND_SOFT_SHADOW_H

#include <twostep/types.h>

#include "base/base.h"

#define SHADOW_POISON 0xdb

struct shadow;

/* NULL without memory. */
struct shadow *shadow_create(void);
/* Frees everything; NULL is allowed. Takes no lock. */
void shadow_destroy(struct shadow *shadow);

/* Memory that it takes: itself, nodes and pages. */
uint64_t shadow_bytes(const struct shadow *shadow);

/* See struct backend_ops. */
int shadow_prepare(struct shadow *shadow, phys_addr_t phys, uint64_t size);
void shadow_bypass(struct shadow *shadow, phys_addr_t phys, uint64_t size);
void shadow_clean(struct shadow *shadow, phys_addr_t phys, uint64_t size);
void shadow_write_back(struct shadow *shadow, phys_addr_t phys, uint64_t size);
void shadow_invalidate(struct shadow *shadow, phys_addr_t phys, uint64_t size);

/*
 * Where a device that is not coherent finds [phys, phys + len), at most one granule
 * and inside one; NULL: in memory itself.
 */
void *shadow_pointer(struct shadow *shadow, phys_addr_t phys, size_t len);

/* A device's copies from and to what shadow_pointer() gave. */
void shadow_load(void *buf, const void *page, size_t len);
void shadow_store(void *page, const void *buf, size_t len);

#endif
