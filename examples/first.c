/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <twostep.h>
#include <twostep/bus.h>

static _Alignas(4096) char memory[4][4096];

int main(void)
{
	struct phys_vec vec[] = {{virt_to_phys(memory[3]), 4096}, {virt_to_phys(memory[0]), 4096}};
	struct dma_iova_state state;
	struct dma_dev *dev;
	char seen[13] = "";

	memcpy(memory[3] + 4089, "Hello, ", 7); /* the end of one page */
	memcpy(memory[0], "world", 6); /* the start of another */
	if (dma_dev_open("soft:", &dev) || dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)) ||
	    !dma_iova_try_alloc(dev, &state, 0, 8192) ||
	    dma_iova_link_vec(dev, &state, vec, 2, 0, DMA_TO_DEVICE, 0) ||
	    dma_iova_sync(dev, &state, 0, 8192) ||
	    dma_bus_read(dma_dev_port(dev), state.addr + 4089, seen, 13))
		return fprintf(stderr, "%s\n", dma_last_error()), 1;
	printf("the device reads: %s\n", seen);
	dma_iova_destroy(dev, &state, 8192, DMA_TO_DEVICE, 0);
	if (dma_bus_read(dma_dev_port(dev), state.addr + 4089, seen, 13))
		printf("%s\n", dma_last_error());
	dma_dev_close(dev);
	return 0;
}
