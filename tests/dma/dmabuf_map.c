/* SPDX-License-Identifier: MIT */
/* Mapping: one contiguous address where there can be one, and nothing left where it fails. */
#include "base/base.h"
#include "sharing.h"

static void several_ranges_are_one_block(void **state)
{
	static const char *const options[] = {"", ",untrusted", ",coherent=off",
					      ",untrusted,bounce=off"};

	for (size_t n = 0; n < COUNT(options); n++) {
		struct device d = soft_open(state, options[n]);
		struct dma_stats before = stats_of(&d);
		struct importer i;
		struct exporter e;
		dma_addr_t addr;

		exporter_open(&e, &exporter_ops, 0);
		importer_attach(&i, e.buf, &d);
		addr = importer_map(&i);
		assert_int_equal(i.sgt->nents, 1);
		assert_int_equal(i.sgt->sgl[0].dma_length, EXPORTED * PAGE);
		assert_table(&d, i.sgt, EXPORTED, 0x10);
		assert_int_equal(stats_of(&d).iova_allocs, before.iova_allocs + 1);
		assert_int_equal(dma_bus_write(d.port, addr + 2 * PAGE, "to page 2", 9), 0);
		importer_unmap(&i);
		assert_memory_equal(e.memory + 5 * PAGE, "to page 2", 9);
		assert_refused_pages(&d, addr, EXPORTED);
		importer_detach(&i);
		exporter_close(&e);
		device_close(&d, 0);
	}
}

static void without_an_iommu_each_range_by_itself(void **state)
{
	struct device d = device_open("direct:");
	struct dma_buf_attachment *attach;
	struct exporter e;
	struct sg_table *sgt;

	(void)state;
	exporter_open(&e, &exporter_ops, 0);
	attach = dma_buf_attach(e.buf, d.dev);
	assert_false(IS_ERR(attach));
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_TO_DEVICE);
	assert_false(IS_ERR(sgt));
	assert_int_equal(sgt->nents, 3);
	assert_table(&d, sgt, EXPORTED, 0x10);
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_TO_DEVICE);
	dma_buf_detach(e.buf, attach);
	exporter_close(&e);
	device_close(&d, 0);
}

/* A copy that the device has, and gives back. */
static void bounced(void **state)
{
	struct device d = soft_open(state, ",bounce=force");
	struct importer i;
	struct exporter e;
	dma_addr_t addr;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	addr = importer_map(&i);
	assert_table(&d, i.sgt, EXPORTED, 0x10);
	assert_int_equal(dma_bus_write(d.port, addr + 5 * PAGE, "back", 4), 0);
	assert_int_equal(e.memory[0], 0x15);
	importer_unmap(&i);
	assert_memory_equal(e.memory, "back", 4);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 0);
}

/* Where the addresses do not suffice for one block, as in the kernel. */
static void without_addresses_each_range_by_itself(void **state)
{
	struct device d = soft_open(state, ",mask=16,reserved=0xc000-0xcfff");
	struct importer i;
	struct exporter e;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	importer_map(&i);
	assert_int_equal(i.sgt->nents, 3);
	assert_table(&d, i.sgt, EXPORTED, 0x10);
	importer_unmap(&i);

	/* And not even for that. */
	assert_int_equal(dma_space_reserve(d.space, 0x4000, 0xbfff), 0);
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_BIDIRECTIONAL), -ENOMEM);
	assert_int_equal(stats_of(&d).iova_live, 0);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 0);
}

/* The second range cannot be had: the first is not either, nor are addresses kept. */
static void a_range_that_fails(void **state)
{
	struct device d = soft_open(state, "");
	struct importer i;
	struct exporter e;
	struct dma_stats before;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	for (size_t bad = 0; bad < 3; bad++) {
		phys_addr_t good = e.vec[bad].paddr;

		e.vec[bad].paddr = 1ULL << 53;
		before = stats_of(&d);
		assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -ERANGE);
		assert_int_equal(stats_of(&d).iova_live, 0);
		assert_int_equal(stats_of(&d).bytes_mapped, before.bytes_mapped);
		e.vec[bad].paddr = good;
	}
	importer_map(&i);
	assert_table(&d, i.sgt, EXPORTED, 0x10);
	importer_unmap(&i);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 0);
}

static void a_range_that_fails_without_an_iommu(void **state)
{
	struct device d = device_open("direct:,bounce=off");
	struct importer i;
	struct exporter e;

	(void)state;
	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(32)), 0);
	e.vec[0].paddr = 0x100000;
	/* The first lies where the device reaches; nothing looks at it. */
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -ENOMEM);
	assert_int_equal(e.mapped, 0);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 0);
}

static void calls_that_are_refused(void **state)
{
	struct device d = soft_open(state, "");
	static struct p2pdma_provider *const somebody = (struct p2pdma_provider *)&exporter_ops;
	struct dma_buf_attachment *a;
	struct exporter e;
	struct phys_vec *v;
	size_t size = EXPORTED * PAGE;

	exporter_open(&e, &exporter_ops, 0);
	a = dma_buf_attach(e.buf, d.dev);
	v = e.vec;
	assert_int_equal(dma_buf_lock(e.buf), 0);
	assert_error(dma_buf_map_attachment(NULL, DMA_TO_DEVICE), -EINVAL);
	assert_error(dma_buf_map_attachment(a, DMA_NONE), -EINVAL);
	assert_error(dma_buf_ram_vec_to_sgt(NULL, v, 3, size, DMA_TO_DEVICE), -EINVAL);
	assert_error(dma_buf_ram_vec_to_sgt(a, v, 0, size, DMA_TO_DEVICE), -EINVAL);
	assert_error(dma_buf_ram_vec_to_sgt(a, NULL, 3, size, DMA_TO_DEVICE), -EINVAL);
	assert_error(dma_buf_ram_vec_to_sgt(a, v, 3, size + PAGE, DMA_TO_DEVICE), -EINVAL);
	assert_error(dma_buf_ram_vec_to_sgt(a, v, 3, size, DMA_NONE), -EINVAL);
	assert_error(dma_buf_phys_vec_to_sgt(a, NULL, v, 3, size, DMA_TO_DEVICE), -EINVAL);
	/* Ordinary memory is nobody's. */
	assert_error(dma_buf_phys_vec_to_sgt(a, somebody, v, 3, size, DMA_TO_DEVICE), -EINVAL);
	v[1].paddr += 0x200;
	assert_error(dma_buf_ram_vec_to_sgt(a, v, 3, size, DMA_TO_DEVICE), -EINVAL);
	v[1].paddr -= 0x200;
	v[1].len = 0;
	assert_error(dma_buf_ram_vec_to_sgt(a, v, 3, size, DMA_TO_DEVICE), -EINVAL);
	v[1].len = ~0xfffULL;
	assert_error(dma_buf_ram_vec_to_sgt(a, v, 3, size, DMA_TO_DEVICE), -EINVAL);
	dma_buf_unlock(e.buf);
	dma_buf_detach(e.buf, a);
	exporter_close(&e);
	device_close(&d, 0);
}

static void what_an_exporter_gives(void **state)
{
	struct device d = soft_open(state, "");
	struct scatterlist entries[2] = {{.dma_address = 0x4000, .dma_length = PAGE},
					 {.dma_address = 0x8000, .dma_length = 2 * PAGE}};
	struct sg_table table = {entries, 2, 2};
	struct sg_table *sgt;
	struct importer i;
	struct exporter e;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	e.gives_nothing = true;
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -ENOMEM);
	e.gives_nothing = false;
	e.map_err = -EBUSY;
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -EBUSY);
	e.map_err = 0;

	e.gives = &table;
	entries[0].paddr = 0x1234000;
	entries[0].length = PAGE;
	sgt = dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE);
	assert_false(IS_ERR(sgt));
	assert_ptr_not_equal(sgt, &table);
	assert_int_equal(sgt->nents, 2);
	assert_int_equal(sgt->orig_nents, 0);
	assert_int_equal(sgt->sgl[0].paddr | sgt->sgl[0].length, 0);
	assert_int_equal(sg_dma_address(&sgt->sgl[1]), 0x8000);
	assert_int_equal(sg_dma_len(&sgt->sgl[1]), 2 * PAGE);
	dma_buf_unmap_attachment_unlocked(i.attach, sgt, DMA_TO_DEVICE);
	assert_int_equal(e.mapped, 0);

	entries[1].dma_address += 4;
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -EINVAL);
	entries[1].dma_address -= 4;
	entries[1].dma_length = 100;
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -EINVAL);
	table.nents = 0;
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -EINVAL);
	table.nents = 2;
	entries[1].dma_length = 0;
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -EINVAL);
	assert_int_equal(e.mapped, 0);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 0);
}

static void unmapping_what_is_not_mapped(void **state)
{
	struct device d = soft_open(state, "");
	struct sg_table none = {0};
	struct importer i, other;
	struct exporter e;
	dma_addr_t addr;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	importer_attach(&other, e.buf, &d);
	addr = importer_map(&i);
	dma_buf_unmap_attachment_unlocked(i.attach, &none, DMA_BIDIRECTIONAL);
	dma_buf_unmap_attachment_unlocked(other.attach, i.sgt, DMA_BIDIRECTIONAL);
	assert_int_equal(stats_of(&d).misuse, 2);
	assert_reads_pages(&d, addr, EXPORTED, 0x10);
	assert_int_equal(dma_buf_nr_mapped(e.buf), 1);
	dma_buf_unmap_attachment_unlocked(i.attach, i.sgt, DMA_TO_DEVICE);
	assert_int_equal(stats_of(&d).misuse, 3);
	assert_refused_pages(&d, addr, EXPORTED);
	assert_int_equal(dma_buf_nr_mapped(e.buf), 0);
	importer_detach(&other);
	importer_detach(&i);
	exporter_close(&e);
	device_close(&d, 3);
}

static void one_buffer_of_several_devices(void **state)
{
	struct device d = soft_open(state, ""), other = soft_open(state, ",coherent=off");
	struct importer i, j;
	struct sg_table *again;
	struct exporter e;
	dma_addr_t addr;

	exporter_open(&e, &exporter_ops, 0);
	importer_attach(&i, e.buf, &d);
	importer_attach(&j, e.buf, &other);
	addr = importer_map(&i);
	again = dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE);
	assert_false(IS_ERR(again));
	importer_map(&j);
	assert_table(&d, again, EXPORTED, 0x10);
	assert_table(&other, j.sgt, EXPORTED, 0x10);
	assert_int_equal(dma_buf_nr_mapped(e.buf), 3);
	importer_unmap(&i);
	assert_refused_pages(&d, addr, EXPORTED);
	assert_table(&d, again, EXPORTED, 0x10);
	assert_table(&other, j.sgt, EXPORTED, 0x10);
	dma_buf_unmap_attachment_unlocked(i.attach, again, DMA_TO_DEVICE);
	importer_unmap(&j);
	importer_detach(&i);
	importer_detach(&j);
	exporter_close(&e);
	device_close(&d, 0);
	device_close(&other, 0);
}

/* Registered memory that is withdrawn while the buffer is there. */
static void memory_that_has_gone(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(2, 0x40);
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM, .size = 2 * PAGE, .cpu = memory, .fd = -1};
	struct phys_vec vec = {.len = 2 * PAGE};
	struct dma_buf *buf;
	struct importer i;

	assert_int_equal(dma_memory_register(&desc, &vec.paddr), 0);
	buf = dma_buf_export_phys(NULL, &vec, 1, 0);
	assert_false(IS_ERR(buf));
	importer_attach(&i, buf, &d);
	importer_map(&i);
	assert_table(&d, i.sgt, 2, 0x40);
	assert_int_equal(dma_memory_unregister(vec.paddr), -EBUSY);
	importer_unmap(&i);
	assert_int_equal(dma_memory_unregister(vec.paddr), 0);
	assert_error(dma_buf_map_attachment_unlocked(i.attach, DMA_TO_DEVICE), -ENODEV);
	importer_detach(&i);
	dma_buf_put(buf);
	device_close(&d, 0);
	free(memory);
}

/* Whichever allocation fails, the exporter is asked to end what it gave. */
static void without_memory(void **state)
{
	unsigned int failures = 0;
	uint64_t nth = 1;

	for (bool reached = true; reached; nth++) {
		struct device d = soft_open(state, "");
		struct sg_table *sgt;
		struct importer i;
		struct exporter e;

		exporter_open(&e, &pinning_ops, 0);
		importer_attach(&i, e.buf, &d);
		base_alloc_fail(nth);
		sgt = dma_buf_map_attachment_unlocked(i.attach, DMA_BIDIRECTIONAL);
		reached = base_alloc_fail(0) >= nth;
		if (IS_ERR(sgt)) {
			assert_true(reached);
			assert_int_equal(PTR_ERR(sgt), -ENOMEM);
			assert_int_equal(e.mapped + e.pinned, 0);
			assert_int_equal(stats_of(&d).iova_live, 0);
			assert_int_equal(dma_buf_nr_mapped(e.buf), 0);
			failures++;
			importer_map(&i);
			importer_unmap(&i);
		} else {
			dma_buf_unmap_attachment_unlocked(i.attach, sgt, DMA_BIDIRECTIONAL);
		}
		importer_detach(&i);
		exporter_close(&e);
		device_close(&d, 0);
	}
	assert_true(failures >= 2);
}

static void exporting_and_attaching_without_memory(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 0);
	const struct phys_vec vec = {virt_to_phys(memory), PAGE};
	struct dma_buf *buf;

	for (uint64_t nth = 1; nth <= 2; nth++) {
		base_alloc_fail(nth);
		assert_error(dma_buf_export_phys(NULL, &vec, 1, 0), -ENOMEM);
	}
	base_alloc_fail(0);
	buf = dma_buf_export_phys(NULL, &vec, 1, 0);
	assert_false(IS_ERR(buf));
	base_alloc_fail(1);
	assert_error(dma_buf_attach(buf, d.dev), -ENOMEM);
	base_alloc_fail(0);
	dma_buf_put(buf);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(several_ranges_are_one_block),
		cmocka_unit_test(without_an_iommu_each_range_by_itself),
		EACH_FORMAT(bounced),
		EACH_FORMAT(without_addresses_each_range_by_itself),
		EACH_FORMAT(a_range_that_fails),
		cmocka_unit_test(a_range_that_fails_without_an_iommu),
		EACH_FORMAT(calls_that_are_refused),
		EACH_FORMAT(what_an_exporter_gives),
		EACH_FORMAT(unmapping_what_is_not_mapped),
		EACH_FORMAT(one_buffer_of_several_devices),
		EACH_FORMAT(memory_that_has_gone),
		EACH_FORMAT(without_memory),
		EACH_FORMAT(exporting_and_attaching_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
