/* SPDX-License-Identifier: MIT */
/*
 * Addresses whose unmap waits for a flush belong to nobody else: a device that still has
 * their old translation would use it for the new memory.
 */
#include "strict.h"

/* So many that an address comes back for another one, whenever it does. */
#define PAGES 7

/* More than the flush queue holds, several times. */
#define TIMES 2000

unsigned int reused_lazily(void)
{
	struct dma_dev *dev = open_device("soft:,lazy=on,iotlb=4096");
	struct dma_port *port = dma_dev_port(dev);
	uint8_t *memory = good_memory(PAGES * PAGE, PAGE);
	unsigned int seen = 0;

	for (size_t i = 0; i < PAGES; i++)
		memset(memory + i * PAGE, (int)(GOOD + i), PAGE);
	for (unsigned int i = 0; i < TIMES; i++) {
		uint8_t *page = memory + i % PAGES * PAGE, byte = 0;
		dma_addr_t addr = dma_map_phys(dev, virt_to_phys(page), PAGE, DMA_TO_DEVICE, 0);

		require(addr != DMA_MAPPING_ERROR);
		require(!dma_bus_read(port, addr, &byte, 1));
		seen += byte != page[0];
		dma_unmap_phys(dev, addr, PAGE, DMA_TO_DEVICE, 0);
	}
	if (seen)
		fprintf(stderr, "reused lazily: %u transfers of other memory\n", seen);
	require(!dma_space_flush(dma_dev_space(dev)));
	dma_dev_close(dev);
	free(memory);
	return seen;
}
