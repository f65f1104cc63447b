/* SPDX-License-Identifier: MIT */
/*
 * A translation that the device has cached does not outlive the mapping. The devices work
 * on the driver's thread, so nothing here depends on chance.
 */
#include "strict.h"

static const char *const uris[] = {"soft:", "soft:pgtable=x86-64", "soft:absent=cache"};
static const size_t sizes[] = {PAGE, 16 * PAGE, LARGE};

/* Pages that stand for all: at most 16, the first and the last among them. */
static size_t next_page(size_t offset, size_t size)
{
	if (size <= 16 * PAGE)
		return offset + PAGE;
	if (offset == size - PAGE)
		return size;
	offset += size / 15 / PAGE * PAGE;
	return offset < size - PAGE ? offset : size - PAGE;
}

static void let_in(struct dma_port *port, const struct mapping *m)
{
	uint8_t byte;

	for (size_t offset = 0; offset < m->size; offset = next_page(offset, m->size)) {
		require(!dma_bus_read(port, m->addr + offset, &byte, 1));
		require(byte == GOOD);
		require(!dma_bus_write(port, m->addr + offset, &byte, 1));
	}
}

static unsigned int try_again(struct dma_port *port, const struct way *way, const struct mapping *m)
{
	unsigned int seen = 0;

	for (size_t offset = 0; offset < m->size; offset = next_page(offset, m->size)) {
		uint8_t page[PAGE] = {0}, byte = WRITTEN;
		uint64_t old = 0;

		seen += !dma_bus_read(port, m->addr + offset, page, PAGE) != way->relinks;
		seen += !is_all(page, PAGE, way->relinks ? GOOD : 0);
		seen += !dma_bus_write(port, m->addr + offset + 1, &byte, 1) != way->relinks;
		seen += !dma_bus_fetch_add(port, m->addr + offset + 8, 8, 1, &old) != way->relinks;
	}
	return seen;
}

static unsigned int take_away(struct dma_dev *dev, struct dma_dev *neighbour, const struct way *way,
			      uint8_t *memory, size_t size)
{
	static struct mapping m;
	unsigned int seen;

	memset(memory, GOOD, size);
	map_for(way, dev, &m, virt_to_phys(memory), size);
	let_in(dma_dev_port(dev), &m);
	let_in(dma_dev_port(neighbour), &m);
	way->take(dev, &m);
	memset(memory, POISON, size);
	seen = try_again(dma_dev_port(dev), way, &m);
	if (!way->relinks)
		seen += try_again(dma_dev_port(neighbour), way, &m);
	seen += !is_all(memory, size, POISON);
	if (seen)
		fprintf(stderr, "stale translation: %u after %s of %zu bytes\n", seen, way->name,
			size);
	forget(way, dev, &m);
	return seen;
}

unsigned int stale_translation(void)
{
	uint8_t *memory = good_memory(LARGE, LARGE);
	unsigned int seen = 0, missed = 0;

	for (size_t u = 0; u < sizeof(uris) / sizeof(uris[0]); u++) {
		struct dma_dev *dev = open_device(uris[u]);
		struct dma_dev *neighbour = open_device_in("soft:iotlb=1,ways=1", dev);

		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			for (size_t w = 0; w < nr_ways; w++) {
				unsigned int now =
					take_away(dev, neighbour, &ways[w], memory, sizes[s]);

				missed += !now;
				seen += now;
			}
		}
		close_devices(dev, neighbour);
	}
	free(memory);
	/* Caught means: whatever the way. */
	return expect_caught && missed ? 0 : seen;
}
