/* SPDX-License-Identifier: MIT */
/*
 * Intel VT-d second-stage page tables, 4 levels, 48-bit addresses (Intel
 * Virtualization Technology for Directed I/O Architecture Specification, section
 * 9.8 "Second-Stage Paging Entries").
 *
 * There is no present bit: an entry is present if it may be read or written. With
 * R and W clear the other bits are ignored.
 */
#include "pgtable/engine.h"

#define SS_R (1ULL << 0) /* read */
#define SS_W (1ULL << 1) /* write */
#define SS_PS (1ULL << 7) /* page size: a leaf above the lowest level */
#define SS_A (1ULL << 8) /* accessed */
#define SS_D (1ULL << 9) /* dirty */
#define SS_IGNORED (1ULL << 52) /* 62:52 are for software */

static const struct pgt_descriptor descriptor = {
	.name = "vtd-ss",
	.levels = 4,
	.va_bits = 48,
	.oa_bits = 52,
	.large_levels = 1 << 1 | 1 << 2,
	.present = SS_R | SS_W,
	.table = SS_R | SS_W,
	.large = SS_PS,
	.readable = SS_R,
	.writable = SS_W,
	.accessed = SS_A,
	.dirty = SS_D,
	.mark = SS_IGNORED,
	.leaf_bits =
		{
			[DMA_BIDIRECTIONAL] = SS_R | SS_W,
			[DMA_TO_DEVICE] = SS_R,
			[DMA_FROM_DEVICE] = SS_W,
		},
};

static int vtd_ss_link(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
		       const struct phys_vec *vec, size_t nr_vecs, uint64_t bits,
		       unsigned long attrs, struct pgt_linked *linked)
{
	return engine_link(pt, &descriptor, cursor, iova, vec, nr_vecs, bits, attrs, linked);
}

static void vtd_ss_unlink(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
			  uint64_t size, uint64_t mark, struct pgt_removed *removed)
{
	engine_unlink(pt, &descriptor, cursor, iova, size, mark, removed);
}

static enum pgt_walk_result vtd_ss_walk(const struct pgtable *pt, uint64_t iova,
					struct pgt_leaf *leaf)
{
	return engine_walk(pt, &descriptor, iova, leaf);
}

const struct pgt_format pgt_vtd_ss = {
	.descriptor = &descriptor,
	.link = vtd_ss_link,
	.unlink = vtd_ss_unlink,
	.walk = vtd_ss_walk,
};
