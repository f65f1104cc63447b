/* SPDX-License-Identifier: MIT */
/* Letting an attachment's device at ranges of memory: what exporters' map_dma_buf is made of. */
#include "dma/dmabuf.h"

/* The longest DMA entry, a whole number of pages. */
#define LONGEST (UINT32_MAX & ~(uint64_t)GRANULE_MASK)

/* How the ranges were mapped, which is how they are unmapped. */
enum mapped_by {
	BY_BUS_ADDRESS, /* not at all */
	BY_IOVA, /* all at one reservation */
	BY_RANGE, /* each by itself */
};

struct mapped_range {
	dma_addr_t addr;
	size_t len;
};

/* A table, and behind its entries the ranges, if each was mapped by itself. */
struct mapped_table {
	struct sg_table table;
	enum mapped_by by;
	enum dma_data_direction dir;
	unsigned long attrs;
	struct dma_iova_state state;
	size_t size;
	size_t nr_ranges; /* that are mapped */
	struct mapped_range *ranges;
	struct scatterlist entries[];
};

int dmabuf_check_ranges(const struct phys_vec *vec, size_t nr_vecs, size_t *size)
{
	size_t sum = 0;

	if (!nr_vecs || !vec)
		return base_error(-EINVAL, "a buffer without ranges; give at least one");
	for (size_t i = 0; i < nr_vecs; i++) {
		if (!vec[i].len || (vec[i].paddr | vec[i].len) & GRANULE_MASK)
			return base_error(
				-EINVAL,
				"range %zu of a buffer, 0x%zx bytes at 0x%llx: whole pages "
				"of 4096 bytes are needed, and at least one",
				i, vec[i].len, (unsigned long long)vec[i].paddr);
		if (vec[i].len > (SIZE_MAX >> 1) - sum)
			return base_error(
				-EINVAL,
				"range %zu of a buffer, 0x%zx bytes: with those before it "
				"they are 2^63 or more",
				i, vec[i].len);
		sum += vec[i].len;
	}
	*size = sum;
	return 0;
}

/* What both ways refuse. */
static int check_call(const struct dma_buf_attachment *attach, const struct phys_vec *vec,
		      size_t nr_vecs, size_t size, enum dma_data_direction dir)
{
	size_t sum;
	int err;

	if (!attach)
		return base_error(-EINVAL, "mapping ranges without an attachment");
	err = dma_space_check(attach->dev->space);
	if (!err)
		err = dmabuf_need_lock(attach->dmabuf, "mapping ranges");
	if (err)
		return err;
	if ((unsigned int)dir >= DMA_NONE)
		return base_error(-EINVAL,
				  "mapping ranges for %s without a direction; say what the device "
				  "will do with them",
				  attach->dev->name);
	err = dmabuf_check_ranges(vec, nr_vecs, &sum);
	if (!err && sum != size)
		err = base_error(
			-EINVAL,
			"mapping %zu ranges of 0x%zx bytes together as 0x%zx; pass the sum",
			nr_vecs, sum, size);
	return err;
}

/* Memory that was registered and is not any more has gone with its provider. */
static int check_there(const struct phys_vec *range)
{
	const struct memory_record *record;

	if (memory_in_arena(range->paddr) && !memory_lookup(range->paddr))
		return base_error(-ENODEV,
				  "mapping 0x%zx bytes at 0x%llx: their provider has gone, and the "
				  "memory with it; revoke buffers before unregistering",
				  range->len, (unsigned long long)range->paddr);
	return memory_check(range->paddr, range->len, &record);
}

/* How the device reaches the provider's memory, the same for all ranges. */
static int decide(const struct dma_buf_attachment *attach, struct p2pdma_provider *provider,
		  const struct phys_vec *vec, size_t nr_vecs, enum pci_p2pdma_map_type *type)
{
	struct pci_p2pdma_map_state state = {0};
	enum pci_p2pdma_map_type one;
	int err;

	for (size_t i = 0; i < nr_vecs; i++) {
		err = check_there(&vec[i]);
		if (err)
			return err;
		one = pci_p2pdma_state(&state, attach->dev, vec[i].paddr);
		if (one == PCI_P2PDMA_MAP_NONE || state.mem != provider)
			return base_error(-EINVAL,
					  "mapping 0x%llx for %s: it is not memory of the provider "
					  "that was named",
					  (unsigned long long)vec[i].paddr, attach->dev->name);
		if (i && one != *type)
			return base_error(
				-EINVAL,
				"mapping 0x%llx for %s: the way to it changes while it is "
				"mapped; try again",
				(unsigned long long)vec[i].paddr, attach->dev->name);
		*type = one;
	}
	if (*type == PCI_P2PDMA_MAP_BUS_ADDR || *type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE)
		return 0;
	return base_error(-EINVAL,
			  "mapping 0x%llx for %s: the device cannot reach this peer, neither "
			  "directly nor through the host bridge",
			  (unsigned long long)vec[0].paddr, attach->dev->name);
}

static int check_not_peers(const struct dma_buf_attachment *attach, const struct phys_vec *vec,
			   size_t nr_vecs)
{
	struct pci_p2pdma_map_state state = {0};
	int err;

	for (size_t i = 0; i < nr_vecs; i++) {
		err = check_there(&vec[i]);
		if (err)
			return err;
		if (pci_p2pdma_state(&state, attach->dev, vec[i].paddr) != PCI_P2PDMA_MAP_NONE)
			return base_error(
				-EINVAL,
				"mapping 0x%llx for %s as ordinary memory: it is a peer's; "
				"map it with dma_buf_phys_vec_to_sgt()",
				(unsigned long long)vec[i].paddr, attach->dev->name);
	}
	return 0;
}

static uint64_t entries_of(uint64_t size)
{
	return (size + LONGEST - 1) / LONGEST;
}

/* A table with room for all that the ranges can need; NULL with the error text. */
static struct mapped_table *table_new(const struct phys_vec *vec, size_t nr_vecs, size_t size,
				      bool one_block)
{
	size_t nr_ranges = one_block ? 0 : nr_vecs;
	struct mapped_table *t = NULL;
	uint64_t nents = 0;
	size_t bytes;

	if (one_block)
		nents = entries_of(size);
	else
		for (size_t i = 0; i < nr_vecs; i++)
			nents += entries_of(vec[i].len);
	if (nents <= UINT32_MAX) {
		bytes = sizeof(*t) + nents * sizeof(t->entries[0]);
		bytes = align_up(bytes, sizeof(*t->ranges)) + nr_ranges * sizeof(*t->ranges);
		t = base_zalloc(bytes);
	}
	if (!t) {
		base_error(-ENOMEM, "no memory for a table of %llu DMA entries; free some",
			   (unsigned long long)nents);
		return NULL;
	}
	t->table.sgl = t->entries;
	t->size = size;
	if (nr_ranges)
		t->ranges = (struct mapped_range *)((char *)t + bytes) - nr_ranges;
	return t;
}

/* Entries for a block of DMA addresses. */
static void fill(struct mapped_table *t, dma_addr_t addr, uint64_t size)
{
	uint64_t part;

	for (; size; addr += part, size -= part) {
		struct scatterlist *sg = &t->entries[t->table.nents++];

		part = size < LONGEST ? size : LONGEST;
		sg->dma_address = addr;
		sg->dma_length = (unsigned int)part;
	}
}

static void fill_bus_addresses(struct mapped_table *t, struct p2pdma_provider *provider,
			       const struct phys_vec *vec, size_t nr_vecs)
{
	for (size_t i = 0; i < nr_vecs; i++)
		fill(t, pci_p2pdma_bus_addr_map(provider, vec[i].paddr), vec[i].len);
}

/* At one reservation, which the table owns on success alone. */
static int map_block(struct dma_dev *dev, struct mapped_table *t, const struct phys_vec *vec,
		     size_t nr_vecs)
{
	int err = dma_iova_link_vec(dev, &t->state, vec, nr_vecs, 0, t->dir, t->attrs);
	size_t linked = err ? 0 : t->size;

	if (!err)
		err = dma_iova_sync(dev, &t->state, 0, t->size);
	if (err)
		dma_iova_destroy(dev, &t->state, linked, t->dir, t->attrs);
	else
		fill(t, t->state.addr, t->size);
	return err;
}

static void unmap_ranges(struct dma_dev *dev, struct mapped_table *t)
{
	while (t->nr_ranges--)
		dma_unmap_phys(dev, t->ranges[t->nr_ranges].addr, t->ranges[t->nr_ranges].len,
			       t->dir, t->attrs);
}

static int map_ranges(struct dma_dev *dev, struct mapped_table *t, const struct phys_vec *vec,
		      size_t nr_vecs)
{
	for (size_t i = 0; i < nr_vecs; i++) {
		dma_addr_t addr = dma_map_phys(dev, vec[i].paddr, vec[i].len, t->dir, t->attrs);
		int err = dma_mapping_error(dev, addr);

		if (err) {
			unmap_ranges(dev, t);
			return err;
		}
		t->ranges[t->nr_ranges++] = (struct mapped_range){addr, vec[i].len};
		fill(t, addr, vec[i].len);
	}
	return 0;
}

/* Through the IOMMU, if there is one. */
static struct sg_table *map(struct dma_dev *dev, const struct phys_vec *vec, size_t nr_vecs,
			    size_t size, enum dma_data_direction dir, unsigned long attrs)
{
	struct dma_iova_state state = {0};
	bool block = dma_iova_try_alloc(dev, &state, 0, size);
	struct mapped_table *t = table_new(vec, nr_vecs, size, block);
	int err;

	if (!t) {
		if (block)
			dma_iova_free(dev, &state);
		return ERR_PTR(-ENOMEM);
	}
	t->by = block ? BY_IOVA : BY_RANGE;
	t->dir = dir;
	t->attrs = attrs;
	t->state = state;
	err = block ? map_block(dev, t, vec, nr_vecs) : map_ranges(dev, t, vec, nr_vecs);
	if (err) {
		base_free(t);
		return ERR_PTR(err);
	}
	return &t->table;
}

struct sg_table *dma_buf_phys_vec_to_sgt(struct dma_buf_attachment *attach,
					 struct p2pdma_provider *provider,
					 const struct phys_vec *vec, size_t nr_vecs, size_t size,
					 enum dma_data_direction dir)
{
	enum pci_p2pdma_map_type type = PCI_P2PDMA_MAP_UNKNOWN;
	struct mapped_table *t;
	int err = check_call(attach, vec, nr_vecs, size, dir);

	if (!err && !provider)
		err = base_error(
			-EINVAL,
			"mapping peer memory for %s without a provider; ordinary memory is "
			"mapped with dma_buf_ram_vec_to_sgt()",
			attach->dev->name);
	if (!err)
		err = decide(attach, provider, vec, nr_vecs, &type);
	if (err)
		return ERR_PTR(err);
	if (type == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE)
		return map(attach->dev, vec, nr_vecs, size, dir, DMA_ATTR_MMIO);
	t = table_new(vec, nr_vecs, size, false);
	if (!t)
		return ERR_PTR(-ENOMEM);
	t->by = BY_BUS_ADDRESS;
	t->dir = dir;
	fill_bus_addresses(t, provider, vec, nr_vecs);
	return &t->table;
}

struct sg_table *dma_buf_ram_vec_to_sgt(struct dma_buf_attachment *attach,
					const struct phys_vec *vec, size_t nr_vecs, size_t size,
					enum dma_data_direction dir)
{
	int err = check_call(attach, vec, nr_vecs, size, dir);

	if (!err)
		err = check_not_peers(attach, vec, nr_vecs);
	if (err)
		return ERR_PTR(err);
	return map(attach->dev, vec, nr_vecs, size, dir, 0);
}

void dma_buf_free_sgt(struct dma_buf_attachment *attach, struct sg_table *sgt,
		      enum dma_data_direction dir)
{
	struct mapped_table *t = container_of(sgt, struct mapped_table, table);
	struct dma_dev *dev = attach->dev;

	if (!dmabuf_holds(dmabuf_of(attach->dmabuf)) || dir != t->dir)
		dma_misuse(dev->space,
			   "ending a table for %s without the reservation lock, or with direction "
			   "%d instead of %d; it was ended as mapped",
			   dev->name, (int)dir, (int)t->dir);
	switch (t->by) {
	case BY_BUS_ADDRESS:
		break;
	case BY_IOVA:
		dma_iova_destroy(dev, &t->state, t->size, t->dir, t->attrs);
		break;
	case BY_RANGE:
		unmap_ranges(dev, t);
		break;
	}
	base_free(t);
}
