/* SPDX-License-Identifier: MIT */
/*
 * Links of which the device cannot have all memory itself: pieces are cut, parts of
 * them are bounced, and what goes into the page table is the list of parts. So the
 * table still sees one link, which is stored whole or not at all.
 */
#include "dma/dma.h"

/* What one link at a time is made of without asking for memory. */
#define FEW_PARTS 8

struct parts {
	struct phys_vec *part; /* as linked: memory, or what is lent for it */
	struct phys_vec few[FEW_PARTS];
	uint64_t *lent; /* bits: which parts are */
	uint64_t lent_few[1];
	size_t nr;
};

/* Longest buffer of a link, with room to keep any offset in the granule. */
static uint64_t longest_buffer(void)
{
	return bounce_max_size(GRANULE_MASK);
}

/* How many parts a piece can be cut into. */
static size_t parts_of(uint64_t len)
{
	return 3 + len / longest_buffer() + 1;
}

static int parts_init(struct parts *parts, const struct phys_vec *vec, size_t nr_vecs)
{
	size_t nr = 0;

	for (size_t i = 0; i < nr_vecs; i++)
		nr += parts_of(vec[i].len);
	*parts = (struct parts){.part = parts->few, .lent = parts->lent_few};
	if (nr <= FEW_PARTS)
		return 0;
	parts->part = base_alloc(nr * sizeof(*parts->part) + (nr + 63) / 64 * sizeof(uint64_t));
	if (!parts->part)
		return base_error(-ENOMEM,
				  "a link of %zu pieces, parts of which must be bounced: no memory "
				  "for a list of %zu parts; free some, or link fewer at a time",
				  nr_vecs, nr);
	parts->lent = (uint64_t *)(parts->part + nr);
	memset(parts->lent, 0, (nr + 63) / 64 * sizeof(uint64_t));
	return 0;
}

static bool is_lent(const struct parts *parts, size_t i)
{
	return parts->lent[i / 64] >> (i % 64) & 1;
}

/* @undo: the device has seen nothing, so what was lent comes back uncopied. */
static void parts_exit(struct parts *parts, bool undo)
{
	for (size_t i = 0; undo && i < parts->nr; i++)
		if (is_lent(parts, i))
			dma_take_back(parts->part[i].paddr);
	if (parts->part != parts->few)
		base_free(parts->part);
}

static void add_part(struct parts *parts, phys_addr_t phys, uint64_t len)
{
	parts->part[parts->nr++] = (struct phys_vec){phys, len};
}

/* Memory itself: what goes on where the part before it ended is one unit with it. */
static void add_direct(struct parts *parts, phys_addr_t phys, uint64_t len)
{
	struct phys_vec *next = &parts->part[parts->nr];

	if (parts->nr && !is_lent(parts, parts->nr - 1) && next[-1].paddr + next[-1].len == phys)
		next[-1].len += len;
	else
		add_part(parts, phys, len);
}

static int add_lent(struct dma_dev *dev, struct parts *parts, phys_addr_t phys, uint64_t len,
		    enum dma_data_direction dir, unsigned long attrs)
{
	phys_addr_t lent;
	int err;

	/* The whole offset in the granule is kept, whatever mask the device has. */
	err = dma_lend(dev, phys, len, GRANULE_MASK, GRANULE_MASK, dir, attrs, &lent);
	if (err)
		return err;
	parts->lent[parts->nr / 64] |= 1ULL << (parts->nr % 64);
	add_part(parts, lent, len);
	return 0;
}

/* All of a piece, in buffers that end on granules. */
static int lend_all(struct dma_dev *dev, struct parts *parts, phys_addr_t phys, uint64_t len,
		    enum dma_data_direction dir, unsigned long attrs)
{
	int err = 0;

	while (len && !err) {
		uint64_t most = longest_buffer() - (phys & GRANULE_MASK);
		uint64_t part = len < most ? len : most;

		err = add_lent(dev, parts, phys, part, dir, attrs);
		phys += part;
		len -= part;
	}
	return err;
}

/* The granules that are not the piece's alone, before and behind the rest. */
static int lend_ends(struct dma_dev *dev, struct parts *parts, phys_addr_t phys, uint64_t len,
		     enum dma_data_direction dir, unsigned long attrs)
{
	uint64_t head = phys & GRANULE_MASK ? GRANULE - (phys & GRANULE_MASK) : 0;
	uint64_t tail;
	int err = 0;

	if (head > len)
		head = len;
	tail = (len - head) & GRANULE_MASK;
	if (head)
		err = add_lent(dev, parts, phys, head, dir, attrs);
	if (!err && len > head + tail)
		add_direct(parts, phys + head, len - head - tail);
	if (!err && tail)
		err = add_lent(dev, parts, phys + len - tail, tail, dir, attrs);
	return err;
}

static int cut_piece(struct dma_dev *dev, struct parts *parts, const struct phys_vec *piece,
		     enum dma_data_direction dir, unsigned long attrs)
{
	if (dma_reach(dev, piece->paddr, piece->len, dir, attrs) == REACH_ITSELF) {
		add_direct(parts, piece->paddr, piece->len);
		return 0;
	}
	if (dma_must_bounce_whole(dev, piece->paddr))
		return lend_all(dev, parts, piece->paddr, piece->len, dir, attrs);
	return lend_ends(dev, parts, piece->paddr, piece->len, dir, attrs);
}

static int prepare_caches(struct dma_dev *dev, const struct parts *parts, unsigned long attrs)
{
	int err = 0;

	for (size_t i = 0; dev->noncoherent && i < parts->nr && !err; i++)
		err = dma_cache_prepare(dev, parts->part[i].paddr, parts->part[i].len, attrs);
	return err;
}

int dma_link_copied(struct dma_dev *dev, dma_addr_t iova, const struct phys_vec *vec,
		    size_t nr_vecs, uint64_t bytes, enum dma_data_direction dir,
		    unsigned long attrs, bool *bounced)
{
	struct parts parts;
	int err = parts_init(&parts, vec, nr_vecs);

	*bounced = false;
	if (err)
		return err;
	for (size_t i = 0; i < nr_vecs && !err; i++)
		err = cut_piece(dev, &parts, &vec[i], dir, attrs);
	if (!err)
		err = prepare_caches(dev, &parts, attrs);
	/* Buffers may follow each other in the pool, and are no unit for that. */
	if (!err)
		err = dma_link(dev->space, iova, parts.part, parts.nr, bytes, dir,
			       attrs | PGT_ATTR_APART);
	for (size_t i = 0; i < parts.nr && !err; i++) {
		dma_cache_clean(dev, parts.part[i].paddr, parts.part[i].len, attrs);
		*bounced |= is_lent(&parts, i);
	}
	parts_exit(&parts, err);
	return err;
}
