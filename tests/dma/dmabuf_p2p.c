/* SPDX-License-Identifier: MIT */
/*
 * Memory of a peer: by bus address, through the host bridge, or not at all. The linker puts
 * the functions below in the place of the library's, so that the test says which it is.
 */
#include <twostep/p2pdma.h>

#include "base/base.h"
#include "sharing.h"

#define BARS 3
#define BUS_OFFSET 0x7000000000ULL

/* A device's memory in several windows, which nothing but its own functions reaches. */
struct bar {
	phys_addr_t base;
	uint64_t size;
	uint8_t first; /* byte of the first page; each page has the next one */
};

static struct bar bars[BARS];
static struct p2pdma_provider *const provider = (struct p2pdma_provider *)&bars;
static struct p2pdma_provider *const stranger = (struct p2pdma_provider *)&provider;
static enum pci_p2pdma_map_type answer, answer_for_second;

enum pci_p2pdma_map_type __wrap_pci_p2pdma_state(struct pci_p2pdma_map_state *state,
						 struct dma_dev *dev, phys_addr_t phys);
dma_addr_t __wrap_pci_p2pdma_bus_addr_map(struct p2pdma_provider *of, phys_addr_t phys);

enum pci_p2pdma_map_type __wrap_pci_p2pdma_state(struct pci_p2pdma_map_state *state,
						 struct dma_dev *dev, phys_addr_t phys)
{
	(void)dev;
	for (size_t i = 0; i < BARS; i++) {
		if (phys - bars[i].base >= bars[i].size)
			continue;
		state->mem = provider;
		state->map = i == 1 ? answer_for_second : answer;
		return state->map;
	}
	return PCI_P2PDMA_MAP_NONE;
}

dma_addr_t __wrap_pci_p2pdma_bus_addr_map(struct p2pdma_provider *of, phys_addr_t phys)
{
	assert_ptr_equal(of, provider);
	return phys + BUS_OFFSET;
}

static int bar_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	const struct bar *bar = arg;

	memset(buf, (int)(bar->first + offset / PAGE), len);
	return 0;
}

static const struct dma_memory_ops bar_ops = {.read = bar_read};

static void bars_register(uint64_t size)
{
	for (size_t i = 0; i < BARS; i++) {
		bars[i] = (struct bar){.size = size, .first = (uint8_t)(0x20 + 0x10 * i)};
		assert_int_equal(
			dma_memory_register(&(struct dma_memory_desc){.type = DMA_MEMORY_P2P,
								      .size = size,
								      .fd = -1,
								      .ops = &bar_ops,
								      .ops_arg = &bars[i]},
					    &bars[i].base),
			0);
	}
}

static void bars_unregister(void)
{
	for (size_t i = 0; i < BARS; i++) {
		assert_int_equal(dma_memory_unregister(bars[i].base), 0);
		bars[i].size = 0;
	}
}

static void answer_all(enum pci_p2pdma_map_type type)
{
	answer = answer_for_second = type;
}

/* Two pages of each window. */
static struct dma_buf *export_bars(unsigned int flags)
{
	struct phys_vec vec[BARS];
	struct dma_buf *buf;

	for (size_t i = 0; i < BARS; i++)
		vec[i] = (struct phys_vec){bars[i].base + PAGE, 2 * PAGE};
	buf = dma_buf_export_phys(provider, vec, BARS, flags);
	assert_false(IS_ERR(buf));
	assert_int_equal(buf->size, 2 * BARS * PAGE);
	return buf;
}

static void who_may_attach(void **state)
{
	static const struct dma_buf_attach_ops no_peers = {.invalidate_mappings =
								   importer_invalidate};
	static const struct dma_buf_attach_ops deaf = {.allow_peer2peer = true};
	struct device d = soft_open(state, "");
	struct dma_buf *buf;
	struct importer i;

	bars_register(4 * PAGE);
	buf = export_bars(DMA_BUF_REVOCABLE);
	assert_error(dma_buf_attach(buf, d.dev), -EOPNOTSUPP);
	assert_error(dma_buf_dynamic_attach(buf, d.dev, &no_peers, NULL), -EOPNOTSUPP);
	assert_error(dma_buf_dynamic_attach(buf, d.dev, &deaf, NULL), -EOPNOTSUPP);
	importer_attach(&i, buf, &d);
	importer_detach(&i);
	assert_int_equal(dma_buf_revoke(buf, 0), 0);
	assert_error(dma_buf_dynamic_attach(buf, d.dev, &importer_ops, NULL), -ENODEV);
	dma_buf_put(buf);
	buf = export_bars(0);
	assert_error(dma_buf_attach(buf, d.dev), -EOPNOTSUPP);
	dma_buf_put(buf);
	bars_unregister();
	device_close(&d, 0);
}

/* One block of addresses, the ranges one after the other, also where the CPU cannot go. */
static void through_the_host_bridge(void **state)
{
	static const char *const options[] = {"", ",untrusted", ",coherent=off", ",bounce=off"};

	bars_register(4 * PAGE);
	answer_all(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	for (size_t n = 0; n < COUNT(options); n++) {
		struct device d = soft_open(state, options[n]);
		struct dma_buf *buf = export_bars(DMA_BUF_REVOCABLE);
		struct importer i;
		dma_addr_t addr;

		importer_attach(&i, buf, &d);
		addr = importer_map(&i);
		assert_int_equal(i.sgt->nents, 1);
		assert_int_equal(i.sgt->sgl[0].dma_length, 2 * BARS * PAGE);
		for (size_t page = 0; page < 2 * BARS; page++)
			assert_reads(&d, addr + page * PAGE,
				     bars[page / 2].first + 1 + (unsigned int)page % 2);
		assert_int_equal(dma_memory_unregister(bars[1].base), -EBUSY);
		assert_int_equal(dma_buf_revoke(buf, 0), 0);
		assert_refused_pages(&d, addr, 2 * BARS);
		assert_int_equal(stats_of(&d).iova_live, 0);
		importer_detach(&i);
		dma_buf_put(buf);
		device_close(&d, 0);
	}
	bars_unregister();
}

static void without_an_iommu(void **state)
{
	struct device d = device_open("direct:");
	struct dma_buf *buf;
	struct importer i;

	(void)state;
	bars_register(4 * PAGE);
	answer_all(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	buf = export_bars(0);
	importer_attach(&i, buf, &d);
	importer_map(&i);
	assert_int_equal(i.sgt->nents, BARS);
	for (size_t n = 0; n < BARS; n++) {
		assert_int_equal(i.sgt->sgl[n].dma_length, 2 * PAGE);
		assert_reads_pages(&d, i.sgt->sgl[n].dma_address, 2, bars[n].first + 1U);
	}
	importer_unmap(&i);
	importer_detach(&i);
	dma_buf_put(buf);
	bars_unregister();
	device_close(&d, 0);
}

static void by_bus_address(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_stats before = stats_of(&d);
	struct dma_buf *buf;
	struct importer i;

	bars_register(4 * PAGE);
	answer_all(PCI_P2PDMA_MAP_BUS_ADDR);
	buf = export_bars(DMA_BUF_REVOCABLE);
	importer_attach(&i, buf, &d);
	importer_map(&i);
	assert_int_equal(i.sgt->nents, BARS);
	for (size_t n = 0; n < BARS; n++) {
		assert_int_equal(i.sgt->sgl[n].dma_address, bars[n].base + PAGE + BUS_OFFSET);
		assert_int_equal(i.sgt->sgl[n].dma_length, 2 * PAGE);
	}
	assert_int_equal(stats_of(&d).iova_allocs, before.iova_allocs);
	assert_int_equal(stats_of(&d).pte_writes, before.pte_writes);
	assert_int_equal(dma_buf_nr_mapped(buf), 1);
	assert_int_equal(dma_buf_revoke(buf, 0), 0);
	assert_int_equal(dma_buf_nr_mapped(buf), 0);
	importer_detach(&i);
	dma_buf_put(buf);
	bars_unregister();
	device_close(&d, 0);
}

/* A DMA entry has 32 bits of length. */
static void longer_than_an_entry(void **state)
{
	const uint64_t size = 9 * GIB, longest = 4 * GIB - PAGE;
	struct device d = soft_open(state, "");
	struct dma_buf_attachment *attach;
	struct phys_vec vec[2];
	struct dma_buf *buf;
	struct sg_table *sgt;

	bars_register(size);
	vec[0] = (struct phys_vec){bars[0].base, size};
	vec[1] = (struct phys_vec){bars[2].base, PAGE};
	buf = dma_buf_export_phys(provider, vec, 2, 0);
	assert_false(IS_ERR(buf));
	for (int through = 0; through < 2; through++) {
		uint64_t at = 0;

		answer_all(through ? PCI_P2PDMA_MAP_THRU_HOST_BRIDGE : PCI_P2PDMA_MAP_BUS_ADDR);
		attach = dma_buf_dynamic_attach(buf, d.dev, &importer_ops, &(struct importer){0});
		assert_false(IS_ERR(attach));
		sgt = dma_buf_map_attachment_unlocked(attach, DMA_TO_DEVICE);
		assert_false(IS_ERR(sgt));
		assert_int_equal(sgt->nents, through ? 3 : 4);
		for (unsigned int n = 0; n < 3; n++) {
			assert_int_equal(sgt->sgl[n].dma_address, sgt->sgl[0].dma_address + at);
			if (n < 2)
				assert_int_equal(sgt->sgl[n].dma_length, longest);
			at += sgt->sgl[n].dma_length;
		}
		assert_int_equal(at, through ? size + PAGE : size);
		if (through)
			assert_reads(&d, sgt->sgl[0].dma_address + size, bars[2].first);
		else
			assert_int_equal(sgt->sgl[3].dma_address, bars[2].base + BUS_OFFSET);
		dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_TO_DEVICE);
		dma_buf_detach(buf, attach);
	}
	dma_buf_put(buf);
	bars_unregister();
	device_close(&d, 0);
}

static void what_is_refused(void **state)
{
	struct device d = soft_open(state, "");
	enum dma_data_direction dir = DMA_TO_DEVICE;
	struct phys_vec vec[2];
	struct dma_buf *buf;
	struct importer i;
	uint8_t *memory = pages_new(1, 0);

	bars_register(4 * PAGE);
	answer_all(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	vec[0] = (struct phys_vec){bars[0].base, PAGE};
	vec[1] = (struct phys_vec){bars[1].base, PAGE};
	buf = export_bars(0);
	importer_attach(&i, buf, &d);
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, provider, vec, 2, 2 * PAGE, dir), -EINVAL);
	assert_int_equal(dma_buf_lock(buf), 0);
	assert_error(dma_buf_phys_vec_to_sgt(NULL, provider, vec, 2, 2 * PAGE, dir), -EINVAL);
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, NULL, vec, 2, 2 * PAGE, dir), -EINVAL);
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, stranger, vec, 2, 2 * PAGE, dir), -EINVAL);
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, provider, vec, 0, 0, dir), -EINVAL);
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, provider, vec, 2, PAGE, dir), -EINVAL);
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, provider, vec, 2, 2 * PAGE, DMA_NONE),
		     -EINVAL);
	/* Memory of a peer is not ordinary, and ordinary memory not a peer's. */
	assert_error(dma_buf_ram_vec_to_sgt(i.attach, vec, 2, 2 * PAGE, dir), -EINVAL);
	vec[1].paddr = virt_to_phys(memory);
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, provider, vec, 2, 2 * PAGE, dir), -EINVAL);
	vec[1].paddr = bars[1].base + 4 * PAGE;
	assert_error(dma_buf_phys_vec_to_sgt(i.attach, provider, vec, 2, 2 * PAGE, dir), -ENODEV);
	vec[1].paddr = bars[1].base;
	/* The topology forbids it, or changes. */
	answer_for_second = PCI_P2PDMA_MAP_BUS_ADDR;
	assert_error(dma_buf_map_attachment(i.attach, dir), -EINVAL);
	answer_all(PCI_P2PDMA_MAP_NOT_SUPPORTED);
	assert_error(dma_buf_map_attachment(i.attach, dir), -EINVAL);
	dma_buf_unlock(buf);
	assert_int_equal(stats_of(&d).iova_live, 0);

	/* The provider goes. */
	bars_unregister();
	answer_all(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	assert_error(dma_buf_map_attachment_unlocked(i.attach, dir), -ENODEV);
	importer_detach(&i);
	dma_buf_put(buf);
	device_close(&d, 0);
	free(memory);
}

static void nothing_for_the_cpu(void **state)
{
	struct dma_buf *buf;
	void *vaddr;

	(void)state;
	bars_register(4 * PAGE);
	buf = export_bars(0);
	assert_int_equal(dma_buf_lock(buf), 0);
	assert_errno(dma_buf_vmap(buf, &vaddr), -EOPNOTSUPP);
	dma_buf_unlock(buf);
	assert_int_equal(dma_buf_begin_cpu_access(buf, DMA_FROM_DEVICE), 0);
	assert_int_equal(dma_buf_end_cpu_access(buf, DMA_FROM_DEVICE), 0);
	assert_errno(dma_buf_fd(buf, 0), -EOPNOTSUPP);
	dma_buf_put(buf);
	bars_unregister();
}

/* Whatever cannot be had, nothing is left, and the next call works. */
static void without_memory(void **state)
{
	bars_register(4 * PAGE);
	for (int type = PCI_P2PDMA_MAP_BUS_ADDR; type <= (int)PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	     type++) {
		unsigned int failures = 0;
		uint64_t nth = 1;

		answer_all((enum pci_p2pdma_map_type)type);
		for (bool reached = true; reached; nth++) {
			struct device d = soft_open(state, "");
			struct dma_buf *buf = export_bars(0);
			struct sg_table *sgt;
			struct importer i;

			importer_attach(&i, buf, &d);
			base_alloc_fail(nth);
			sgt = dma_buf_map_attachment_unlocked(i.attach, DMA_BIDIRECTIONAL);
			reached = base_alloc_fail(0) >= nth;
			if (IS_ERR(sgt)) {
				assert_true(reached);
				assert_int_equal(PTR_ERR(sgt), -ENOMEM);
				assert_int_equal(stats_of(&d).iova_live, 0);
				assert_int_equal(stats_of(&d).bytes_mapped, 0);
				failures++;
			} else {
				i.sgt = sgt;
				importer_unmap(&i);
			}
			importer_map(&i);
			importer_unmap(&i);
			importer_detach(&i);
			dma_buf_put(buf);
			device_close(&d, 0);
		}
		assert_true(failures >= 2);
	}
	bars_unregister();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(who_may_attach),	    EACH_FORMAT(through_the_host_bridge),
		EACH_FORMAT(by_bus_address),	    EACH_FORMAT(longer_than_an_entry),
		EACH_FORMAT(what_is_refused),	    EACH_FORMAT(without_memory),
		cmocka_unit_test(without_an_iommu), cmocka_unit_test(nothing_for_the_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
