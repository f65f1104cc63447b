/* SPDX-License-Identifier: MIT */
/*
 * Addresses that a gather has not given back belong to nobody else: a device that still has
 * their old translation would use it for the new memory.
 */
#include "strict.h"

#define NEXT 0x22

struct another {
	struct dma_dev *dev;
	uint8_t *memory; /* all NEXT */
	bool streaming;
	unsigned int seen;
};

/* Map @memory at whatever address comes; is it what the device finds there? */
static unsigned int map_next(struct dma_dev *dev, uint8_t *memory, bool streaming)
{
	struct dma_port *port = dma_dev_port(dev);
	struct dma_iova_state state = {0};
	dma_addr_t addr;
	uint8_t byte = 0;

	if (streaming) {
		addr = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, 0);
		if (addr == DMA_MAPPING_ERROR)
			return 0;
	} else {
		if (!dma_iova_try_alloc(dev, &state, 0, PAGE))
			return 0;
		require(!dma_iova_link(dev, &state, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE,
				       0));
		addr = state.addr;
	}
	require(!dma_bus_read(port, addr, &byte, 1));
	if (streaming)
		dma_unmap_phys(dev, addr, PAGE, DMA_TO_DEVICE, 0);
	else
		dma_iova_destroy(dev, &state, PAGE, DMA_TO_DEVICE, 0);
	return byte != NEXT;
}

/* What the device has cached is then taken away in a gather that stays open. */
static void gather_one(struct dma_dev *dev, uint8_t *memory, bool streaming,
		       struct dma_gather *gather)
{
	struct dma_port *port = dma_dev_port(dev);
	struct dma_iova_state state;
	dma_addr_t addr;
	uint8_t byte = 0;

	if (streaming) {
		addr = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, 0);
		require(addr != DMA_MAPPING_ERROR);
	} else {
		require(dma_iova_try_alloc(dev, &state, 0, PAGE));
		require(!dma_iova_link(dev, &state, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE,
				       0));
		addr = state.addr;
	}
	require(!dma_bus_read(port, addr, &byte, 1));
	require(byte == GOOD);
	if (streaming)
		dma_unmap_phys_gather(dev, addr, PAGE, DMA_TO_DEVICE, 0, gather);
	else
		dma_iova_destroy_gather(dev, &state, PAGE, DMA_TO_DEVICE, 0, gather);
}

unsigned int reused_in_gather(void)
{
	struct dma_dev *dev = open_device("soft:");
	uint8_t *memory = good_memory(2 * PAGE, PAGE);
	struct dma_gather gather;
	unsigned int seen = 0, missed = 0;

	memset(memory + PAGE, NEXT, PAGE);
	for (unsigned int i = 0; i < 4; i++) {
		bool streaming = i & 1, next_streaming = i & 2;
		unsigned int now = 0;

		dma_gather_begin(dev, &gather);
		for (unsigned int j = 0; j < 8; j++) {
			gather_one(dev, memory, streaming, &gather);
			now += map_next(dev, memory + PAGE, next_streaming);
		}
		dma_gather_end(&gather);
		if (now)
			fprintf(stderr, "gather: new memory at %u addresses that were gathered\n",
				now);
		missed += !now;
		seen += now;
	}
	free(memory);
	close_devices(dev, NULL);
	return expect_caught && missed ? 0 : seen;
}

static void *map_in_another_thread(void *arg)
{
	struct another *another = arg;

	another->seen = map_next(another->dev, another->memory, another->streaming);
	return NULL;
}

/* With every address of a small space gathered: whoever asks gets none, and does not wait. */
unsigned int exhausted_in_gather(void)
{
	struct dma_dev *dev = open_device("soft:mask=17");
	uint8_t *memory = good_memory(2 * PAGE, PAGE);
	struct another another = {.dev = dev, .memory = memory + PAGE};
	struct dma_gather gather;
	unsigned int seen = 0;
	dma_addr_t addr[32];
	uint8_t byte;
	size_t n = 0;

	memset(memory + PAGE, NEXT, PAGE);
	while (n < 32) {
		addr[n] = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE,
				       DMA_ATTR_NO_WARN);
		if (addr[n] == DMA_MAPPING_ERROR)
			break;
		require(!dma_bus_read(dma_dev_port(dev), addr[n++], &byte, 1));
	}
	require(n > 16 && n < 32);
	dma_gather_begin(dev, &gather);
	while (n)
		dma_unmap_phys_gather(dev, addr[--n], PAGE, DMA_TO_DEVICE, 0, &gather);
	for (unsigned int i = 0; i < 4; i++) {
		another.streaming = i & 1;
		if (i & 2)
			join(start(map_in_another_thread, &another));
		else
			map_in_another_thread(&another);
		seen += another.seen;
	}
	dma_gather_end(&gather);
	if (seen)
		fprintf(stderr, "gather: %u mappings in an exhausted space\n", seen);
	/* After it there is room again. */
	addr[0] = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, 0);
	require(addr[0] != DMA_MAPPING_ERROR);
	dma_unmap_phys(dev, addr[0], PAGE, DMA_TO_DEVICE, 0);
	free(memory);
	close_devices(dev, NULL);
	return seen;
}
