/* SPDX-License-Identifier: MIT */
/* Linking what another device has mapped, in whatever space. */
#include "dma/dma.h"

/* Where @from's space has the granule at @addr. */
static int find_granule(struct dma_dev *from, dma_addr_t addr, phys_addr_t *phys)
{
	struct backend *be = from->be;

	if (!be->ops->lookup(be, addr, phys))
		return base_error(-ENOENT,
				  "link of what %s has mapped: nothing is mapped at 0x%llx",
				  from->name, (unsigned long long)addr);
	if (bounce_find(*phys))
		return base_error(-EPERM,
				  "link of what %s has mapped: at 0x%llx it has a bounce buffer, "
				  "which is its alone; link the memory itself",
				  from->name, (unsigned long long)addr);
	return 0;
}

/* The memory behind [addr, addr + size) as pieces, the fewest; @vec may be NULL to count them. */
static int find_pieces(struct dma_dev *from, dma_addr_t addr, size_t size, struct phys_vec *vec,
		       size_t *nr)
{
	phys_addr_t next = 0;
	size_t len;

	*nr = 0;
	for (size_t done = 0; done < size; done += len) {
		phys_addr_t phys;
		int err = find_granule(from, addr + done, &phys);

		if (err)
			return err;
		len = GRANULE - ((addr + done) & GRANULE_MASK);
		if (len > size - done)
			len = size - done;
		if (*nr && phys == next) {
			if (vec)
				vec[*nr - 1].len += len;
		} else {
			if (vec)
				vec[*nr] = (struct phys_vec){phys, len};
			(*nr)++;
		}
		next = phys + len;
	}
	return 0;
}

static int check_source(struct dma_dev *dev, struct dma_dev *from, dma_addr_t addr, size_t size)
{
	int err = dma_space_check(dev->space);

	if (!err)
		err = dma_space_check(from->space);
	if (err)
		return err;
	if (!from->be->translates)
		return base_error(-EINVAL,
				  "link of what %s has mapped: it has no IOMMU, and so nothing is "
				  "mapped for it; link the memory itself",
				  from->name);
	if (!size || size > from->be->last || addr > from->be->last - size + 1)
		return base_error(-EINVAL,
				  "link of %zu bytes that %s has mapped at 0x%llx: there are no "
				  "such addresses",
				  size, from->name, (unsigned long long)addr);
	return 0;
}

int dma_iova_link_mapped(struct dma_dev *dev, struct dma_iova_state *state, size_t offset,
			 struct dma_dev *from, dma_addr_t addr, size_t size,
			 enum dma_data_direction dir, unsigned long attrs)
{
	struct backend *be = dev->be;
	struct phys_vec *vec;
	size_t nr;
	int err = check_source(dev, from, addr, size);

	if (!err)
		err = find_pieces(from, addr, size, NULL, &nr);
	if (err)
		return err;
	vec = base_alloc(nr * sizeof(*vec));
	if (!vec)
		return base_error(-ENOMEM, "no memory for %zu pieces of what %s has mapped", nr,
				  from->name);
	err = find_pieces(from, addr, size, vec, &nr);
	if (!err)
		err = dma_iova_link_vec(dev, state, vec, nr, offset, dir, attrs);
	base_free(vec);
	/* What can be taken from there need not be mapped by a sync. */
	if (!err && be->ops->copy && from->be->ops->copy == be->ops->copy)
		be->ops->copy(be, (state->addr + offset) & ~GRANULE_MASK,
			      align_up((addr & GRANULE_MASK) + size, GRANULE), from->be,
			      addr & ~GRANULE_MASK);
	return err;
}
