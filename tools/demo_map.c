/* SPDX-License-Identifier: MIT */
/* The modes: how the pages of one side of a request are mapped. */
#include "demo.h"

static int link_pages(struct dma_dev *dev, struct demo_side *side, size_t *linked)
{
	int err = 0;

	for (size_t i = 0; i < side->nr && !err; i++) {
		err = dma_iova_link(dev, &side->state, side->vec[i].paddr, *linked,
				    side->vec[i].len, side->dir, 0);
		if (!err)
			*linked += side->vec[i].len;
	}
	return err;
}

static int link_vec(struct dma_dev *dev, struct demo_side *side, size_t *linked)
{
	int err = dma_iova_link_vec(dev, &side->state, side->vec, side->nr, 0, side->dir, 0);

	if (!err)
		*linked = side->bytes;
	return err;
}

const struct demo_mode demo_modes[DEMO_NR_MODES] = {
	{"per-page", NULL},
	{"link", link_pages},
	{"vec", link_vec},
};

static bool map_pages(struct dma_dev *dev, struct demo_side *side)
{
	for (size_t i = 0; i < side->nr; i++) {
		side->addr[i] =
			dma_map_phys(dev, side->vec[i].paddr, side->vec[i].len, side->dir, 0);
		if (!dma_mapping_error(dev, side->addr[i]))
			continue;
		while (i--)
			dma_unmap_phys(dev, side->addr[i], side->vec[i].len, side->dir, 0);
		return false;
	}
	return true;
}

bool demo_map(struct dma_dev *dev, const struct demo_mode *mode, struct demo_side *side)
{
	size_t linked = 0;
	int err;

	side->state = (struct dma_iova_state){0};
	if (!mode->link || !dma_iova_try_alloc(dev, &side->state, side->vec[0].paddr, side->bytes))
		return map_pages(dev, side);
	err = mode->link(dev, side, &linked);
	if (!err)
		err = dma_iova_sync(dev, &side->state, 0, side->bytes);
	if (err) {
		dma_iova_destroy(dev, &side->state, linked, side->dir, 0);
		return false;
	}
	return true;
}

void demo_unmap(struct dma_dev *dev, struct demo_side *side)
{
	if (dma_use_iova(&side->state)) {
		dma_iova_destroy(dev, &side->state, side->bytes, side->dir, 0);
		return;
	}
	for (size_t i = 0; i < side->nr; i++)
		dma_unmap_phys(dev, side->addr[i], side->vec[i].len, side->dir, 0);
}

void demo_segments(struct demo_side *side)
{
	if (dma_use_iova(&side->state)) {
		side->seg[0] = (struct ts_copy_seg){.addr = side->state.addr, .len = side->bytes};
		side->nr_segs = 1;
		return;
	}
	for (size_t i = 0; i < side->nr; i++) {
		side->seg[i].addr = side->addr[i];
		side->seg[i].len = side->vec[i].len;
	}
	side->nr_segs = side->nr;
}

size_t demo_kept(const struct demo_side *side)
{
	return dma_use_iova(&side->state) ? sizeof(side->state) : side->nr * sizeof(side->addr[0]);
}
