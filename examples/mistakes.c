/* SPDX-License-Identifier: MIT */
/* A driver with mistakes, and what misuse checks say of them. */
#include <stdio.h>
#include <twostep.h>
#include <twostep/bus.h>

static _Alignas(4096) char memory[2][4096];

static void tell(const struct dma_debug_report *report, void *arg)
{
	(void)arg;
	printf("%s\n", dma_debug_kind_name(report->kind));
	for (size_t i = 0; i < report->nr_history; i++)
		printf("    %s\n", dma_debug_action_name(report->history[i].action));
}

int main(void)
{
	phys_addr_t first = virt_to_phys(memory[0]), second = virt_to_phys(memory[1]);
	struct dma_iova_state state;
	struct dma_dev *dev;
	char byte;

	dma_debug_set_handler(tell, NULL); /* instead of standard error, with the call sites */
	if (dma_dev_open("soft:,debug=on", &dev) ||
	    dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)) ||
	    !dma_iova_try_alloc(dev, &state, 0, 8192) ||
	    dma_iova_link(dev, &state, first, 0, 4096, DMA_TO_DEVICE, 0))
		return fprintf(stderr, "%s\n", dma_last_error()), 1;
	dma_bus_read(dma_dev_port(dev), state.addr, &byte, 1); /* not synced yet */
	dma_iova_sync(dev, &state, 0, 4096);
	dma_iova_link(dev, &state, second, 0, 4096, DMA_TO_DEVICE, 0); /* should be at 4096 */
	dma_iova_unlink(dev, &state, 0, 4096, DMA_FROM_DEVICE, 0); /* was linked to the device */
	dma_bus_read(dma_dev_port(dev), state.addr, &byte, 1); /* is unlinked */
	dma_dev_close(dev); /* and nobody has freed the state */
	return 0;
}
