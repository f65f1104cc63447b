/* SPDX-License-Identifier: MIT */
/* One driver exports a buffer, another's device uses it, and the first takes it back. */
#include <stdio.h>
#include <string.h>
#include <twostep.h>
#include <twostep/bus.h>

static _Alignas(4096) char memory[3][4096];

/* The importer: unmaps when it is told to. */
struct importer {
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
};

static void let_go(struct dma_buf_attachment *attach)
{
	struct importer *importer = attach->importer_priv;

	if (importer->sgt)
		dma_buf_unmap_attachment(attach, importer->sgt, DMA_TO_DEVICE);
	importer->sgt = NULL;
}

static const struct dma_buf_attach_ops importer_ops = {.invalidate_mappings = let_go};

int main(void)
{
	/* The exporter: two ranges that are apart. */
	const struct phys_vec vec[] = {{virt_to_phys(memory[2]), 4096},
				       {virt_to_phys(memory[0]), 4096}};
	struct dma_buf *buf = dma_buf_export_phys(NULL, vec, 2, DMA_BUF_REVOCABLE);
	struct importer importer = {0};
	struct dma_dev *dev;
	char seen[13] = "";
	dma_addr_t addr;

	memcpy(memory[2] + 4089, "Hello, ", 7);
	memcpy(memory[0], "world", 6);
	if (IS_ERR(buf) || dma_dev_open("soft:", &dev) ||
	    dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)))
		goto failed;
	importer.attach = dma_buf_dynamic_attach(buf, dev, &importer_ops, &importer);
	if (IS_ERR(importer.attach))
		goto failed;
	importer.sgt = dma_buf_map_attachment_unlocked(importer.attach, DMA_TO_DEVICE);
	if (IS_ERR(importer.sgt))
		goto failed;
	addr = sg_dma_address(importer.sgt->sgl);
	if (dma_bus_read(dma_dev_port(dev), addr + 4089, seen, 13))
		goto failed;
	printf("%u DMA segment of %u bytes: %s\n", importer.sgt->nents,
	       sg_dma_len(importer.sgt->sgl), seen);

	if (dma_buf_revoke(buf, -1)) /* returns when no device reaches it */
		goto failed;
	if (dma_bus_read(dma_dev_port(dev), addr, seen, 1))
		printf("revoked: the device is refused\n");
	if (IS_ERR(dma_buf_map_attachment_unlocked(importer.attach, DMA_TO_DEVICE)))
		printf("%s\n", dma_last_error());
	dma_buf_detach(buf, importer.attach);
	dma_buf_put(buf);
	dma_dev_close(dev);
	return 0;

failed:
	fprintf(stderr, "%s\n", dma_last_error());
	return 1;
}
