/* SPDX-License-Identifier: MIT */
/*
 * What the engine must know of a page-table format. A format's file fills one
 * constant of this type and instantiates the engine with it, so that every field
 * folds into the code.
 */
#ifndef PGTABLE_FORMAT_H
#define PGTABLE_FORMAT_H

#include "pgtable/pgtable.h"

struct pgt_descriptor {
	const char *name;
	unsigned int levels; /* tables from the root to a 4 KiB leaf */
	unsigned int va_bits; /* translates addresses below 2^va_bits */
	unsigned int oa_bits; /* output addresses are below 2^oa_bits */
	unsigned int large_levels; /* bit n: a level n entry may be a leaf */
	uint64_t present; /* an entry is present if any of these is set */
	uint64_t table; /* bits of an entry that points to a table */
	uint64_t large; /* marks a leaf above level 0 */
	uint64_t readable; /* a leaf may be read if all of these are set */
	uint64_t writable; /* a leaf may be written if all of these are set */
	uint64_t accessed; /* set by the device side at the first access */
	uint64_t dirty; /* set by the device side at the first write */
	uint64_t mark; /* a bit that hardware ignores in a non-present entry, as
				     it does bits 51:12, which say whose mark it is */
	uint64_t leaf_bits[4]; /* of a leaf, by enum dma_data_direction; 0: none */
};

/* Bits 51:12 hold the address in every format so far. */
#define PGT_ADDR_MASK 0x000ffffffffff000ULL

struct pgt_format {
	const struct pgt_descriptor *descriptor;
	int (*link)(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
		    const struct phys_vec *vec, size_t nr_vecs, uint64_t bits, unsigned long attrs,
		    struct pgt_linked *linked);
	void (*unlink)(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova, uint64_t size,
		       uint64_t mark, struct pgt_removed *removed);
	enum pgt_walk_result (*walk)(const struct pgtable *pt, uint64_t iova,
				     struct pgt_leaf *leaf);
};

extern const struct pgt_format pgt_vtd_ss;
extern const struct pgt_format pgt_x86_64;

#endif
