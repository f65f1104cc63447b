/* SPDX-License-Identifier: MIT */
/*
 * guard: access to ordinary memory at an address that may be wrong.
 *
 * A device without an IOMMU uses whatever address it was given; and where an observer
 * looks on, memory that went away while it was linked is to be told and not to crash.
 * Where there is no memory, or none that may be accessed so, the answer is "no" and
 * never a signal.
 * Only memory that another thread unmaps during the very access can still crash.
 *
 * Nothing here takes a lock or allocates.
 */
#ifndef BACKEND_GUARD_H
#define BACKEND_GUARD_H

#include "base/base.h"

/* Pieces of one access; a longer one is cut. */
#define GUARD_PAGE 4096ULL
#define GUARD_BATCH_PAGES 64

/* Whether the page of @addr can be read, or written; it is present afterwards. */
bool guard_probe(uint64_t addr, bool write);

/*
 * Copy [addr, addr + len) of ordinary memory into or out of @buf, at most
 * GUARD_BATCH_PAGES pages. Returns how many bytes were copied: @len, or all in
 * front of the first page that refused. Aligned short accesses are those of
 * memory_copy_from() and memory_copy_to().
 */
size_t guard_read(uint64_t addr, void *buf, size_t len);
size_t guard_write(uint64_t addr, const void *buf, size_t len);

#endif
