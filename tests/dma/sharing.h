/* SPDX-License-Identifier: MIT */
/* What the tests of dma-bufs share: an exporter that counts, an importer, what it sees. */
#ifndef TESTS_DMA_SHARING_H
#define TESTS_DMA_SHARING_H

#include <twostep/dmabuf.h>

#include "setup.h"

#define assert_error(ptr, err)                                 \
	do {                                                   \
		dma_clear_error();                             \
		void *got_ = (ptr);                            \
		assert_true(IS_ERR(got_));                     \
		assert_int_equal(PTR_ERR(got_), err);          \
		assert_string_not_equal(dma_last_error(), ""); \
	} while (0)

#define assert_errno(call, err)                                \
	do {                                                   \
		dma_clear_error();                             \
		assert_int_equal(call, err);                   \
		assert_string_not_equal(dma_last_error(), ""); \
	} while (0)

/* An exporter of scattered memory, which counts what it is asked. */
struct exporter {
	struct dma_buf *buf;
	uint8_t *memory; /* that it takes its ranges from */
	struct phys_vec vec[4];
	size_t nr_vecs;
	int attached, pinned, mapped, released;
	int attach_err, pin_err, map_err;
	bool gives_nothing;
	struct sg_table *gives; /* instead of mapping */
};

static inline int exporter_attach(struct dma_buf *buf, struct dma_buf_attachment *attach)
{
	struct exporter *e = buf->priv;

	assert_false(dma_buf_is_locked(buf));
	attach->priv = e;
	if (e->attach_err)
		return e->attach_err;
	e->attached++;
	return 0;
}

static inline void exporter_detach(struct dma_buf *buf, struct dma_buf_attachment *attach)
{
	struct exporter *e = attach->priv;

	assert_false(dma_buf_is_locked(buf));
	e->attached--;
}

static inline int exporter_pin(struct dma_buf_attachment *attach)
{
	struct exporter *e = attach->priv;

	assert_true(dma_buf_is_locked(attach->dmabuf));
	if (e->pin_err)
		return e->pin_err;
	e->pinned++;
	return 0;
}

static inline void exporter_unpin(struct dma_buf_attachment *attach)
{
	struct exporter *e = attach->priv;

	assert_true(dma_buf_is_locked(attach->dmabuf));
	e->pinned--;
}

static inline struct sg_table *exporter_map(struct dma_buf_attachment *attach,
					    enum dma_data_direction dir)
{
	struct exporter *e = attach->priv;
	struct sg_table *sgt;

	assert_true(dma_buf_is_locked(attach->dmabuf));
	if (e->gives_nothing)
		return NULL;
	if (e->map_err)
		return ERR_PTR(e->map_err);
	sgt = e->gives ? e->gives
		       : dma_buf_ram_vec_to_sgt(attach, e->vec, e->nr_vecs, attach->dmabuf->size,
						dir);
	if (!IS_ERR(sgt))
		e->mapped++;
	return sgt;
}

static inline void exporter_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
				  enum dma_data_direction dir)
{
	struct exporter *e = attach->priv;

	e->mapped--;
	if (sgt != e->gives)
		dma_buf_free_sgt(attach, sgt, dir);
}

static inline void exporter_release(struct dma_buf *buf)
{
	struct exporter *e = buf->priv;

	assert_int_equal(e->attached + e->pinned + e->mapped, 0);
	free(e->memory);
	e->memory = NULL;
	e->released++;
}

static const struct dma_buf_ops exporter_ops = {
	.attach = exporter_attach,
	.detach = exporter_detach,
	.map_dma_buf = exporter_map,
	.unmap_dma_buf = exporter_unmap,
	.release = exporter_release,
};

static const struct dma_buf_ops pinning_ops = {
	.attach = exporter_attach,
	.detach = exporter_detach,
	.pin = exporter_pin,
	.unpin = exporter_unpin,
	.map_dma_buf = exporter_map,
	.unmap_dma_buf = exporter_unmap,
	.release = exporter_release,
};

/* Six pages in three ranges that are apart: the device is to see 0x10 to 0x15, in this order. */
#define EXPORTED 6

static inline void exporter_open(struct exporter *e, const struct dma_buf_ops *ops,
				 unsigned int flags)
{
	static const uint8_t values[] = {0x15, 0, 0x10, 0x11, 0, 0x12, 0x13, 0x14};
	phys_addr_t phys;

	*e = (struct exporter){.memory = pages_new(8, 0), .nr_vecs = 3};
	phys = virt_to_phys(e->memory);
	for (size_t i = 0; i < 8; i++)
		memset(e->memory + i * PAGE, values[i], PAGE);
	e->vec[0] = (struct phys_vec){phys + 2 * PAGE, 2 * PAGE};
	e->vec[1] = (struct phys_vec){phys + 5 * PAGE, 3 * PAGE};
	e->vec[2] = (struct phys_vec){phys, PAGE};
	e->buf = dma_buf_export(&(struct dma_buf_export_info){
		.exp_name = "test", .ops = ops, .size = EXPORTED * PAGE, .flags = flags, .priv = e});
	assert_false(IS_ERR(e->buf));
}

static inline void exporter_close(struct exporter *e)
{
	dma_buf_put(e->buf);
	assert_int_equal(e->released, 1);
}

/* An importer that unmaps when it is told to. */
struct importer {
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	int invalidated;
	bool keeps; /* what it is told to unmap */
};

static inline void importer_invalidate(struct dma_buf_attachment *attach)
{
	struct importer *i = attach->importer_priv;

	i->invalidated++;
	if (i->sgt && !i->keeps) {
		dma_buf_unmap_attachment(attach, i->sgt, DMA_BIDIRECTIONAL);
		i->sgt = NULL;
	}
}

static const struct dma_buf_attach_ops importer_ops = {.allow_peer2peer = true,
						       .invalidate_mappings = importer_invalidate};

static inline void importer_attach(struct importer *i, struct dma_buf *buf, const struct device *d)
{
	*i = (struct importer){0};
	i->attach = dma_buf_dynamic_attach(buf, d->dev, &importer_ops, i);
	assert_false(IS_ERR(i->attach));
}

static inline dma_addr_t importer_map(struct importer *i)
{
	i->sgt = dma_buf_map_attachment_unlocked(i->attach, DMA_BIDIRECTIONAL);
	assert_false(IS_ERR(i->sgt));
	return i->sgt->sgl[0].dma_address;
}

static inline void importer_unmap(struct importer *i)
{
	dma_buf_unmap_attachment_unlocked(i->attach, i->sgt, DMA_BIDIRECTIONAL);
	i->sgt = NULL;
}

static inline void importer_detach(struct importer *i)
{
	dma_buf_detach(i->attach->dmabuf, i->attach);
}

/* What the device finds through a table, from the first page on. */
static inline void assert_table(const struct device *d, const struct sg_table *sgt, size_t pages,
				unsigned int value)
{
	struct scatterlist *sg;
	unsigned int i;

	assert_int_equal(sgt->orig_nents, 0);
	for_each_sgtable_dma_sg(sgt, sg, i)
	{
		assert_int_equal(sg->paddr | sg->length, 0);
		assert_reads_pages(d, sg->dma_address, sg->dma_length / PAGE, value);
		value += sg->dma_length / PAGE;
		pages -= sg->dma_length / PAGE;
	}
	assert_int_equal(pages, 0);
}

#endif
