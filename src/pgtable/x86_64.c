/* SPDX-License-Identifier: MIT */
/*
 * x86-64 page tables, 4 levels (Intel 64 and IA-32 Architectures Software
 * Developer's Manual, volume 3, section 4.5 "4-Level Paging"), as Intel's first
 * stage and AMD's v2 tables use them. Addresses are sign-extended there; the lower
 * half is what devices get.
 *
 * The format cannot say "write only": memory for the device to write may also be
 * read by it.
 */
#include "pgtable/engine.h"

#define X86_P (1ULL << 0) /* present */
#define X86_RW (1ULL << 1) /* may be written */
#define X86_US (1ULL << 2) /* user: what requests without privilege need */
#define X86_A (1ULL << 5) /* accessed */
#define X86_D (1ULL << 6) /* dirty */
#define X86_PS (1ULL << 7) /* page size: a leaf above the lowest level */
#define X86_IGNORED (1ULL << 52) /* everything is ignored while P is clear */

static const struct pgt_descriptor descriptor = {
	.name = "x86-64",
	.levels = 4,
	.va_bits = 47,
	.oa_bits = 52,
	.large_levels = 1 << 1 | 1 << 2,
	.present = X86_P,
	.table = X86_P | X86_RW | X86_US | X86_A,
	.large = X86_PS,
	.readable = X86_P,
	.writable = X86_P | X86_RW,
	.accessed = X86_A,
	.dirty = X86_D,
	.mark = X86_IGNORED,
	.leaf_bits =
		{
			[DMA_BIDIRECTIONAL] = X86_P | X86_RW | X86_US,
			[DMA_TO_DEVICE] = X86_P | X86_US,
			[DMA_FROM_DEVICE] = X86_P | X86_RW | X86_US,
		},
};

static int x86_64_link(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
		       const struct phys_vec *vec, size_t nr_vecs, uint64_t bits,
		       unsigned long attrs, struct pgt_linked *linked)
{
	return engine_link(pt, &descriptor, cursor, iova, vec, nr_vecs, bits, attrs, linked);
}

static void x86_64_unlink(struct pgtable *pt, struct pgt_cursor *cursor, uint64_t iova,
			  uint64_t size, uint64_t mark, struct pgt_removed *removed)
{
	engine_unlink(pt, &descriptor, cursor, iova, size, mark, removed);
}

static enum pgt_walk_result x86_64_walk(const struct pgtable *pt, uint64_t iova,
					struct pgt_leaf *leaf)
{
	return engine_walk(pt, &descriptor, iova, leaf);
}

const struct pgt_format pgt_x86_64 = {
	.descriptor = &descriptor,
	.link = x86_64_link,
	.unlink = x86_64_unlink,
	.walk = x86_64_walk,
};
