/* SPDX-License-Identifier: MIT */
/* The library's own exporters, of ranges of memory, and what the CPU does with any buffer. */
#include "dma/dmabuf.h"

static struct dmabuf_ranges *ranges_of(const struct dma_buf *buf)
{
	return buf->priv;
}

static int ranges_attach(struct dma_buf *buf, struct dma_buf_attachment *attach)
{
	if (!ranges_of(buf)->provider || attach->peer2peer)
		return 0;
	return base_error(
		-EOPNOTSUPP,
		"attaching %s to a buffer of peer memory: the importer does not allow it; "
		"attach with dma_buf_dynamic_attach() and allow_peer2peer",
		attach->dev->name);
}

static struct sg_table *ranges_map(struct dma_buf_attachment *attach, enum dma_data_direction dir)
{
	const struct dmabuf_ranges *ranges = ranges_of(attach->dmabuf);

	if (ranges->provider)
		return dma_buf_phys_vec_to_sgt(attach, ranges->provider, ranges->vec,
					       ranges->nr_vecs, attach->dmabuf->size, dir);
	return dma_buf_ram_vec_to_sgt(attach, ranges->vec, ranges->nr_vecs, attach->dmabuf->size,
				      dir);
}

static void ranges_release(struct dma_buf *buf)
{
	ranges_of(buf)->release(ranges_of(buf));
}

/* Every device's bytes become the CPU's, or the other way round. */
static void sync_all(struct dma_buf *buf, bool for_device)
{
	struct dmabuf *b = dmabuf_of(buf);
	bool entered = dmabuf_enter(b);

	for (struct dmabuf_attachment *a = b->attachments; a; a = a->next)
		for (struct dmabuf_mapping *m = a->mappings; m; m = m->next)
			for (unsigned int i = 0; i < m->table.nents; i++)
				(for_device ? dma_sync_single_for_device : dma_sync_single_for_cpu)(
					a->public.dev, m->entries[i].dma_address,
					m->entries[i].dma_length, m->dir);
	if (entered)
		dmabuf_leave(b);
}

static int ram_begin_cpu_access(struct dma_buf *buf, enum dma_data_direction dir)
{
	const struct dmabuf_file *file = ranges_of(buf)->file;
	int err = file ? dmabuf_file_access(file, dir, false) : 0;

	if (!err)
		sync_all(buf, false);
	return err;
}

static int ram_end_cpu_access(struct dma_buf *buf, enum dma_data_direction dir)
{
	const struct dmabuf_file *file = ranges_of(buf)->file;

	sync_all(buf, true);
	return file ? dmabuf_file_access(file, dir, true) : 0;
}

/* Ranges that follow each other in the CPU's view are one piece. */
static int ram_vmap(struct dma_buf *buf, void **vaddr)
{
	const struct dmabuf_ranges *ranges = ranges_of(buf);
	char *first = NULL, *end = NULL;

	for (size_t i = 0; i < ranges->nr_vecs; i++) {
		char *cpu = memory_cpu_address(ranges->vec[i].paddr, ranges->vec[i].len);

		if (!cpu || (i && cpu != end))
			return base_error(
				-EOPNOTSUPP,
				"mapping a buffer for the CPU: range %zu has no CPU mapping, "
				"or none that follows the range before it",
				i);
		if (!i)
			first = cpu;
		end = cpu + ranges->vec[i].len;
	}
	*vaddr = first;
	return 0;
}

static const struct dma_buf_ops peer_ops = {
	.attach = ranges_attach,
	.map_dma_buf = ranges_map,
	.unmap_dma_buf = dma_buf_free_sgt,
	.release = ranges_release,
};

static const struct dma_buf_ops ram_ops = {
	.map_dma_buf = ranges_map,
	.unmap_dma_buf = dma_buf_free_sgt,
	.release = ranges_release,
	.begin_cpu_access = ram_begin_cpu_access,
	.end_cpu_access = ram_end_cpu_access,
	.vmap = ram_vmap,
};

struct dma_buf *dmabuf_export_ranges(struct dmabuf_ranges *ranges, const char *name, size_t size,
				     unsigned int flags)
{
	const struct dma_buf_export_info info = {
		.exp_name = name,
		.ops = ranges->provider ? &peer_ops : &ram_ops,
		.size = size,
		.flags = flags,
		.priv = ranges,
	};

	return dma_buf_export(&info);
}

/* Ranges that the caller has named. */
struct named_ranges {
	struct dmabuf_ranges ranges;
	struct phys_vec vec[];
};

static void named_release(struct dmabuf_ranges *ranges)
{
	base_free(container_of(ranges, struct named_ranges, ranges));
}

struct dma_buf *dma_buf_export_phys(struct p2pdma_provider *provider, const struct phys_vec *vec,
				    size_t nr_vecs, unsigned int flags)
{
	struct named_ranges *named;
	struct dma_buf *buf;
	size_t size;
	int err = dmabuf_check_ranges(vec, nr_vecs, &size);

	if (err)
		return ERR_PTR(err);
	named = base_alloc(sizeof(*named) + nr_vecs * sizeof(named->vec[0]));
	if (!named)
		return ERR_PTR(base_error(
			-ENOMEM, "no memory for a buffer of %zu ranges; free some", nr_vecs));
	memcpy(named->vec, vec, nr_vecs * sizeof(named->vec[0]));
	named->ranges = (struct dmabuf_ranges){
		.provider = provider,
		.vec = named->vec,
		.nr_vecs = nr_vecs,
		.release = named_release,
	};
	buf = dmabuf_export_ranges(&named->ranges, "ranges", size, flags);
	if (IS_ERR(buf))
		base_free(named);
	return buf;
}

/* The CPU, whoever the exporter is. */

static int check_access(const struct dma_buf *buf, enum dma_data_direction dir)
{
	if ((unsigned int)dir < DMA_NONE)
		return 0;
	return base_error(-EINVAL,
			  "access of the CPU to a buffer of %s without a direction; say whether it "
			  "reads or writes",
			  dmabuf_name(buf));
}

int dma_buf_begin_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	int err = check_access(dmabuf, dir);

	if (!err && dmabuf->ops->begin_cpu_access)
		err = dmabuf->ops->begin_cpu_access(dmabuf, dir);
	return err;
}

int dma_buf_end_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	int err = check_access(dmabuf, dir);

	if (!err && dmabuf->ops->end_cpu_access)
		err = dmabuf->ops->end_cpu_access(dmabuf, dir);
	return err;
}

int dma_buf_vmap(struct dma_buf *dmabuf, void **vaddr)
{
	int err = dmabuf_need_lock(dmabuf, "mapping for the CPU");

	if (err)
		return err;
	if (!dmabuf->ops->vmap)
		return base_error(-EOPNOTSUPP,
				  "mapping a buffer of %s for the CPU: its memory is not the CPU's",
				  dmabuf_name(dmabuf));
	return dmabuf->ops->vmap(dmabuf, vaddr);
}

void dma_buf_vunmap(struct dma_buf *dmabuf, void *vaddr)
{
	if (!dmabuf_need_lock(dmabuf, "unmapping for the CPU") && dmabuf->ops->vunmap)
		dmabuf->ops->vunmap(dmabuf, vaddr);
}
