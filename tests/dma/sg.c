/* SPDX-License-Identifier: MIT */
/* Scatter-gather lists: each rule by itself, and each way to get it wrong. */
#include <sys/wait.h>
#include <unistd.h>

#include "pgtable/entries.h"
#include "sg.h"

#define BIDI DMA_BIDIRECTIONAL

static size_t map(const struct device *d, struct scatterlist *sgl, size_t nents)
{
	return dma_map_sg(d->dev, sgl, (int)nents, BIDI);
}

static void unmap(const struct device *d, struct scatterlist *sgl, size_t nents)
{
	dma_unmap_sg(d->dev, sgl, (int)nents, BIDI);
}

static void scatter(struct scatterlist *sgl, size_t nents, const uint8_t *memory)
{
	for (size_t i = 0; i < nents; i++)
		entry_set(&sgl[i], memory + (nents - 1 - i) * PAGE, PAGE);
}

/* The default segment is 64 KiB, and all of the list is one range of addresses. */
static void pages_become_segments(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(300, 0);
	static struct scatterlist sgl[300];
	bool vectors = entries_vectors;

	for (size_t nents = 1; nents <= 300; nents += nents < 20 ? 1 : 40) {
		uint64_t allocs = stats_of(&d).iova_allocs;

		scatter(sgl, nents, memory);
		assert_int_equal(map(&d, sgl, nents), (nents + 15) / 16);
		assert_int_equal(stats_of(&d).iova_allocs, allocs + 1);
		assert_int_equal(stats_of(&d).bytes_mapped, nents * PAGE);
		assert_mapped(&d, sgl, nents, (nents + 15) / 16, shape_of(&d, false));
		/* Mapped again without being set again, and without wide vectors. */
		unmap(&d, sgl, nents);
		entries_vectors = false;
		assert_int_equal(map(&d, sgl, nents), (nents + 15) / 16);
		assert_mapped(&d, sgl, nents, (nents + 15) / 16, shape_of(&d, false));
		unmap(&d, sgl, nents);
		entries_vectors = vectors;
	}
	device_close(&d, 0);
	free(memory);
}

/* The padding before a boundary is not the end of the entry before it. */
static void padding_stays_unmapped(void **state)
{
	static const char *const options[] = {"", ",absent=cache"};
	uint8_t *memory = pages_new(16, 1);

	for (size_t i = 0; i < COUNT(options); i++) {
		struct device d = soft_open(state, options[i]);
		struct scatterlist sgl[3];
		dma_addr_t addr;

		assert_int_equal(dma_set_seg_boundary(d.dev, 4 * PAGE - 1), 0);
		entry_set(&sgl[0], memory, PAGE);
		entry_set(&sgl[1], memory + 4 * PAGE, 4 * PAGE);
		entry_set(&sgl[2], memory + 10 * PAGE, PAGE);
		assert_int_equal(map(&d, sgl, 3), 3);
		addr = sg_dma_address(&sgl[0]);
		assert_int_equal(addr % (4 * PAGE), 0);
		assert_int_equal(sg_dma_len(&sgl[0]), PAGE);
		assert_int_equal(sg_dma_address(&sgl[1]), addr + 4 * PAGE);
		assert_int_equal(sg_dma_address(&sgl[2]), addr + 8 * PAGE);
		assert_reads(&d, addr, 1);
		assert_refused_pages(&d, addr + PAGE, 3);
		assert_reads_pages(&d, addr + 4 * PAGE, 4, 5);
		assert_reads(&d, addr + 8 * PAGE, 11);
		unmap(&d, sgl, 3);
		assert_refused_pages(&d, addr, 9);
		device_close(&d, 0);
	}
	free(memory);
}

/* An entry that exceeds what the device takes is one segment, which nothing joins. */
static void an_entry_that_is_too_long(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(16, 1);
	struct scatterlist sgl[3];

	assert_int_equal(dma_set_max_seg_size(d.dev, 2 * PAGE), 0);
	entry_set(&sgl[0], memory, 5 * PAGE);
	entry_set(&sgl[1], memory + 6 * PAGE, PAGE);
	entry_set(&sgl[2], memory + 8 * PAGE, PAGE);
	assert_int_equal(map(&d, sgl, 3), 2);
	assert_int_equal(sg_dma_len(&sgl[0]), 5 * PAGE);
	assert_int_equal(sg_dma_len(&sgl[1]), 2 * PAGE);
	assert_mapped(&d, sgl, 3, 2, shape_of(&d, false));
	unmap(&d, sgl, 3);
	device_close(&d, 0);
	free(memory);
}

/* Permissions are those of the direction; attributes that mean nothing here are no error. */
static void directions(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(2, 1), byte = 9;
	struct scatterlist sgl[2];

	scatter(sgl, 2, memory);
	assert_int_equal(dma_map_sg_attrs(d.dev, sgl, 2, DMA_TO_DEVICE,
					  DMA_ATTR_PRIVILEGED | DMA_ATTR_CC_SHARED),
			 1);
	assert_reads(&d, sgl->dma_address, 2);
	assert_int_equal(dma_bus_write(d.port, sgl->dma_address, &byte, 1), -EFAULT);
	dma_unmap_sg_attrs(d.dev, sgl, 2, DMA_TO_DEVICE, DMA_ATTR_PRIVILEGED | DMA_ATTR_CC_SHARED);
	device_close(&d, 0);
	free(memory);
}

static const char *const every_option[] = {
	"",
	",absent=cache",
	",untrusted",
	",coherent=off",
	",bounce=force",
	",untrusted,bounce=off",
};

/* What fails leaves a list that looks like it, and nothing else. */
static void assert_fails(const struct device *d, struct scatterlist *sgl, size_t nents,
			 enum dma_data_direction dir, unsigned long attrs, int err)
{
	struct scatterlist was[8];
	struct sg_table table = {sgl, 77, (unsigned int)nents};
	struct dma_stats before = stats_of(d), after;
	uint64_t used = buffers_used();

	assert_true(nents <= COUNT(was));
	memcpy(was, sgl, sizeof(was[0]) * nents);
	dma_clear_error();
	assert_int_equal(dma_map_sgtable(d->dev, &table, dir, attrs), err);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(table.nents, 77);
	assert_poisoned(sgl, nents);
	assert_same_memory(sgl, was, nents);
	assert_int_equal(dma_map_sg_attrs(d->dev, sgl, (int)nents, dir, attrs), 0);
	assert_poisoned(sgl, nents);
	after = stats_of(d);
	assert_int_equal(after.iova_live, before.iova_live);
	assert_int_equal(after.bytes_mapped, before.bytes_mapped);
	assert_int_equal(after.misuse, before.misuse);
	assert_int_equal(buffers_used(), used);
}

static void refused_everywhere(const struct device *d, const uint8_t *memory)
{
	struct scatterlist sgl[3];

	scatter(sgl, 3, memory);
	assert_fails(d, sgl, 0, BIDI, 0, -EINVAL);
	assert_fails(d, sgl, 3, DMA_NONE, 0, -EINVAL);
	assert_fails(d, sgl, 3, (enum dma_data_direction)77, 0, -EINVAL);
	scatter(sgl, 3, memory);
	sgl[1].length = 0;
	assert_fails(d, sgl, 3, BIDI, 0, -EINVAL);
	/* Memory that wraps. */
	scatter(sgl, 3, memory);
	sgl[2].paddr = (phys_addr_t)-PAGE;
	sgl[2].length = 2 * PAGE;
	assert_fails(d, sgl, 3, BIDI, 0, -EINVAL);
	assert_int_equal(dma_map_sg(d->dev, sgl, -1, BIDI), 0);
	assert_int_equal(dma_map_sg(d->dev, sgl, INT32_MIN, BIDI), 0);
}

static void errors(void **state)
{
	uint8_t *memory = pages_new(3, 1);
	struct scatterlist sgl[3];
	struct device d;

	for (size_t i = 0; i < COUNT(every_option); i++) {
		d = soft_open(state, every_option[i]);
		refused_everywhere(&d, memory);
		device_close(&d, 0);
	}
	/* The granules of one entry are more than 32 bits can count. */
	d = soft_open(state, "");
	scatter(sgl, 3, memory);
	sgl[2].length = UINT32_MAX - 5;
	assert_fails(&d, sgl, 3, BIDI, 0, -EINVAL);
	device_close(&d, 0);

	d = soft_open(state, ",mask=15");
	for (size_t i = 0; i < 3; i++)
		entry_set(&sgl[i], memory, 3 * PAGE);
	assert_fails(&d, sgl, 3, BIDI, 0, -ENOMEM);
	device_close(&d, 0);

	d = soft_open(state, ",coherent=off");
	scatter(sgl, 3, memory);
	assert_fails(&d, sgl, 3, BIDI, DMA_ATTR_REQUIRE_COHERENT, -EOPNOTSUPP);
	device_close(&d, 0);

	/* The last one would have to be bounced, and must not. */
	d = soft_open(state, ",untrusted");
	scatter(sgl, 3, memory);
	sgl[2].length = 100;
	assert_fails(&d, sgl, 3, BIDI, DMA_ATTR_REQUIRE_COHERENT, -EIO);
	device_close(&d, 0);
	d = soft_open(state, ",untrusted,bounce=off");
	assert_fails(&d, sgl, 3, BIDI, 0, -EIO);
	/* Whole granules need not be. */
	sgl[2].length = PAGE;
	assert_int_equal(map(&d, sgl, 3), 1);
	unmap(&d, sgl, 3);
	device_close(&d, 0);
	/* A segment boundary of a page leaves no room for a buffer of two. */
	d = soft_open(state, ",bounce=force");
	assert_int_equal(dma_set_seg_boundary(d.dev, PAGE - 1), 0);
	scatter(sgl, 2, memory);
	entry_set(&sgl[2], memory + PAGE, 2 * PAGE);
	assert_fails(&d, sgl, 3, BIDI, 0, -EIO);
	device_close(&d, 0);
	free(memory);
}

static void errors_without_an_iommu(void **state)
{
	struct device d = device_open("direct:"), off = device_open("direct:,mask=32,bounce=off");
	uint8_t *memory = pages_new(3, 1);
	struct scatterlist sgl[3];

	(void)state;
	refused_everywhere(&d, memory);
	refused_everywhere(&off, memory);
	scatter(sgl, 3, memory);
	assert_fails(&off, sgl, 3, BIDI, 0, -EIO);
	assert_int_equal(map(&d, sgl, 3), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(sg_dma_address(&sgl[i]), sgl[i].paddr);
	unmap(&d, sgl, 3);
	device_close(&off, 0);
	device_close(&d, 0);
	free(memory);
}

static void tables(void **state)
{
	struct device d = soft_open(state, ",coherent=off");
	uint8_t *memory = pages_new(3, 1);
	struct scatterlist sgl[3], *sg;
	struct sg_table table = {sgl, 0, 3};
	unsigned int i, n = 0;

	scatter(sgl, 3, memory);
	assert_int_equal(dma_map_sgtable(d.dev, &table, BIDI, 0), 0);
	for_each_sgtable_dma_sg(&table, sg, i)
	{
		uint8_t byte = (uint8_t)(50 + i);

		assert_int_equal(dma_bus_write(d.port, sg_dma_address(sg), &byte, 1), 0);
		n++;
	}
	assert_int_equal(n, 3);
	assert_int_equal(memory[0], 1);
	dma_sync_sgtable_for_cpu(d.dev, &table, BIDI);
	assert_int_equal(memory[0], 52);
	memory[0] = 7;
	assert_reads(&d, sgl[2].dma_address, 52);
	dma_sync_sgtable_for_device(d.dev, &table, BIDI);
	assert_reads(&d, sgl[2].dma_address, 7);
	dma_unmap_sgtable(d.dev, &table, BIDI, 0);
	device_close(&d, 0);
	free(memory);
}

/* Calls that are wrong do the safe part, and say so once. */
static void misuse(void **state)
{
	for (size_t i = 0; i < COUNT(every_option) - 1; i++) {
		struct device d = soft_open(state, every_option[i]);
		uint8_t *memory = pages_new(40, 1);
		struct scatterlist sgl[40], mapped[40];
		struct misuse m = misuse_expect(&d);
		dma_addr_t addr;
		size_t count;

		scatter(sgl, 40, memory);
		/* Never mapped: by sg_set_phys(), and with what it held before. */
		sg_set_phys(&sgl[0], sgl[0].paddr, PAGE);
		unmap(&d, sgl, 40);
		misuse_check(&d, m, 1);
		unmap(&d, sgl + 1, 39);
		misuse_check(&d, m, 2);
		dma_unmap_sg(d.dev, sgl, 0, BIDI);
		misuse_check(&d, m, 3);
		dma_sync_sg_for_cpu(d.dev, sgl, 0, BIDI);
		dma_sync_sg_for_device(d.dev, sgl, 40, DMA_NONE);
		misuse_check(&d, m, 5);
		/* Only a part: all goes. */
		count = map(&d, sgl, 40);
		assert_true(count);
		memcpy(mapped, sgl, sizeof(mapped));
		unmap(&d, sgl, 1);
		misuse_check(&d, m, 6);
		for (size_t j = 0; j < count; j++)
			assert_refused(&d, mapped[j].dma_address);
		assert_int_equal(stats_of(&d).iova_live, 0);
		/* Twice. */
		assert_true(map(&d, sgl, 40));
		unmap(&d, sgl, 40);
		unmap(&d, sgl, 40);
		misuse_check(&d, m, 7);
		/* A list by the call for one piece; one piece by the call for lists. */
		assert_int_equal(map(&d, sgl, 1), 1);
		addr = sg_dma_address(sgl);
		dma_unmap_phys(d.dev, addr, PAGE, BIDI, 0);
		misuse_check(&d, m, 8);
		assert_refused(&d, addr);
		addr = dma_map_single(d.dev, memory, PAGE, BIDI);
		sgl[0].dma_flags = 0;
		sgl[0].dma_address = addr;
		sgl[0].dma_length = PAGE;
		unmap(&d, sgl, 1);
		misuse_check(&d, m, 9);
		assert_refused(&d, addr);
		device_close(&d, 9);
		free(memory);
	}
}

/* A reservation stays: its state still holds it. */
static void unmap_of_a_reservation(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	struct dma_iova_state iova = reserve(&d, 0, PAGE);
	struct misuse m = misuse_expect(&d);
	struct scatterlist sg;

	link_at(&d, &iova, 0, memory, PAGE);
	scatter(&sg, 1, memory);
	sg.dma_address = iova.addr;
	sg.dma_length = PAGE;
	unmap(&d, &sg, 1);
	misuse_check(&d, m, 1);
	assert_reads(&d, iova.addr, 1);
	destroy(&d, &iova, PAGE);
	device_close(&d, 1);
	free(memory);
}

/* Whichever allocation fails: nothing is left, and the next call works. */
static void without_memory(void **state)
{
	static const size_t lengths[] = {300};

	for (size_t i = 0; i < COUNT(every_option) * COUNT(lengths); i++) {
		const char *options = every_option[i % COUNT(every_option)];
		size_t nents = lengths[i / COUNT(every_option)];
		static struct scatterlist sgl[600], was[600];
		uint8_t *memory = pages_new(nents, 1);
		unsigned int failures = 0;
		bool reached = true;

		for (uint64_t nth = 1; reached; nth++) {
			struct device d = soft_open(state, options);
			uint64_t used = buffers_used();
			unsigned int count;

			scatter(sgl, nents, memory);
			memcpy(was, sgl, sizeof(was));
			dma_clear_error();
			base_alloc_fail_from(nth);
			count = dma_map_sg(d.dev, sgl, (int)nents, BIDI);
			reached = base_alloc_fail(0) >= nth;
			assert_same_memory(sgl, was, nents);
			if (!count) {
				assert_true(reached);
				assert_string_not_equal(dma_last_error(), "");
				failures++;
				assert_poisoned(sgl, nents);
				assert_int_equal(stats_of(&d).iova_live, 0);
				assert_int_equal(stats_of(&d).bytes_mapped, 0);
				assert_int_equal(buffers_used(), used);
				assert_true(map(&d, sgl, nents));
			}
			base_alloc_fail_from(1);
			unmap(&d, sgl, nents);
			/* Misuse checks may have asked for more records, and do without. */
			assert_true(!base_alloc_fail(0) || dma_debug_enabled(d.space));
			device_close(&d, 0);
		}
		assert_true(failures);
		free(memory);
	}
}

/* Lists that fit the stack ask for nothing, once there are tables. */
static void short_lists_allocate_nothing(void **state)
{
	struct device d = soft_open(state, "");
	static struct scatterlist sgl[256];
	uint8_t *memory = pages_new(256, 1);

	scatter(sgl, 256, memory);
	assert_int_equal(map(&d, sgl, 256), 16);
	unmap(&d, sgl, 256);
	for (size_t i = 0; i < 256; i += 100) {
		sgl[i].length = 100;
		base_alloc_fail(0);
		assert_true(map(&d, sgl, 256));
		assert_int_equal(base_alloc_fail(0), 0);
		unmap(&d, sgl, 256);
	}
	device_close(&d, 0);
	free(memory);
}

/* All of it is one page of memory, so the list is what is long. */
static void a_huge_list(void **state)
{
	const size_t nents = 1 << 18;
	struct device d = soft_open(state, "");
	struct scatterlist *sgl = malloc(nents * sizeof(*sgl));
	uint8_t *memory = pages_new(1, 7);
	size_t count;

	assert_non_null(sgl);
	for (size_t i = 0; i < nents; i++)
		entry_set(&sgl[i], memory, i == 1000 ? 50 : PAGE);
	count = map(&d, sgl, nents);
	assert_int_equal(sgl[count - 1].dma_address + sgl[count - 1].dma_length,
			 sgl[0].dma_address + nents * PAGE);
	assert_reads(&d, sgl[count - 1].dma_address, 7);
	assert_int_equal(stats_of(&d).bytes_mapped, nents * PAGE);
	unmap(&d, sgl, nents);
	/* The addresses together are more than there are: 4 GiB each, 2^18 times. */
	for (size_t i = 0; i < nents; i++)
		entry_set(&sgl[i], memory, UINT32_MAX - PAGE + 1);
	dma_clear_error();
	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(40)), 0);
	assert_int_equal(map(&d, sgl, nents), 0);
	assert_string_not_equal(dma_last_error(), "");
	assert_poisoned(sgl, nents);
	device_close(&d, 0);
	free(sgl);
	free(memory);
}

/* Entries of a coherent device behind an IOMMU do not make others be copied. */
static void memory_that_is_not_pinned(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(4, 1);
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_RAM,
		.size = PAGE,
		.cpu = memory + 2 * PAGE,
		.fd = -1,
		.flags = DMA_MEMORY_NO_PIN,
	};
	struct scatterlist sgl[2];
	phys_addr_t base;
	uint8_t byte = 99;

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	entry_set(&sgl[0], memory, PAGE);
	entry_set(&sgl[1], memory + 2 * PAGE, PAGE);
	assert_int_equal(map(&d, sgl, 2), 2);
	assert_true(sg_dma_is_swiotlb(&sgl[0]));
	assert_reads(&d, sgl[1].dma_address, 3);
	assert_int_equal(dma_bus_write(d.port, sgl[1].dma_address, &byte, 1), 0);
	assert_int_equal(dma_bus_write(d.port, sgl[0].dma_address, &byte, 1), 0);
	assert_int_equal(memory[2 * PAGE], 3);
	assert_int_equal(memory[0], 99);
	unmap(&d, sgl, 2);
	assert_int_equal(memory[2 * PAGE], 99);
	assert_int_equal(dma_memory_unregister(base), 0);
	device_close(&d, 0);
	free(memory);
}

/* No copy back, if the caller says so; and never to what the device only reads. */
static void what_comes_back(void **state)
{
	struct device d = soft_open(state, ",bounce=force");
	uint8_t *memory = pages_new(2, 1), byte = 99;
	struct scatterlist sgl[2];

	scatter(sgl, 2, memory);
	assert_int_equal(dma_map_sg(d.dev, sgl, 2, DMA_FROM_DEVICE), 2);
	assert_int_equal(dma_bus_write(d.port, sgl[0].dma_address, &byte, 1), 0);
	dma_unmap_sg_attrs(d.dev, sgl, 2, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	assert_int_equal(memory[PAGE], 2);
	assert_int_equal(dma_map_sg(d.dev, sgl, 2, DMA_FROM_DEVICE), 2);
	assert_int_equal(dma_bus_write(d.port, sgl[0].dma_address, &byte, 1), 0);
	dma_unmap_sg(d.dev, sgl, 2, DMA_FROM_DEVICE);
	assert_int_equal(memory[PAGE], 99);
	assert_int_equal(memory[PAGE + 1], 2);
	device_close(&d, 0);
	free(memory);
}

/* A hundred buffers, and one invalidation for each portion of a gather. */
static void one_invalidation(void **state)
{
	static const char *const options[] = {"", ",bounce=force"};
	static const uint64_t most[] = {1, 2};
	uint8_t *memory = pages_new(100, 1);
	struct scatterlist sgl[100];

	for (size_t i = 0; i < COUNT(options); i++) {
		struct device d = soft_open(state, options[i]);
		uint64_t before;

		scatter(sgl, 100, memory);
		assert_true(map(&d, sgl, 100));
		before = stats_of(&d).iotlb_invalidations;
		unmap(&d, sgl, 100);
		assert_int_equal(stats_of(&d).iotlb_invalidations - before, most[i]);
		device_close(&d, 0);
	}
	free(memory);
}

static void gathered(void **state)
{
	struct device d = soft_open(state, ",bounce=force");
	uint8_t *memory = pages_new(4, 1), byte = 99;
	struct scatterlist sgl[4];
	struct dma_gather gather;
	uint64_t used = buffers_used();

	scatter(sgl, 4, memory);
	assert_int_equal(map(&d, sgl, 4), 4);
	assert_int_equal(dma_bus_write(d.port, sgl[3].dma_address, &byte, 1), 0);
	dma_gather_begin(d.dev, &gather);
	dma_unmap_sg_gather(d.dev, sgl, 4, BIDI, 0, &gather);
	assert_int_equal(memory[0], 1);
	assert_true(buffers_used() > used);
	dma_gather_end(&gather);
	assert_int_equal(memory[0], 99);
	assert_int_equal(buffers_used(), used);
	device_close(&d, 0);
	free(memory);
}

static void after_fork(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(2, 1);
	struct scatterlist sgl[2], other[2];
	struct sg_table table = {other, 0, 2};
	int status;
	pid_t pid;

	scatter(sgl, 2, memory);
	scatter(other, 2, memory);
	assert_int_equal(map(&d, sgl, 2), 1);
	pid = fork();
	if (!pid) {
		bool good = dma_map_sgtable(d.dev, &table, BIDI, 0) == -EPERM &&
			    other[1].dma_address == DMA_MAPPING_ERROR && !other[1].dma_length &&
			    !map(&d, other, 2);

		dma_sync_sg_for_cpu(d.dev, sgl, 2, BIDI);
		unmap(&d, sgl, 2);
		dma_dev_close(d.dev);
		_exit(!good);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_reads(&d, sgl[0].dma_address, 2);
	unmap(&d, sgl, 2);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(pages_become_segments),
		EACH_FORMAT(padding_stays_unmapped),
		EACH_FORMAT(an_entry_that_is_too_long),
		EACH_FORMAT(directions),
		EACH_FORMAT(errors),
		cmocka_unit_test(errors_without_an_iommu),
		EACH_FORMAT(tables),
		EACH_FORMAT(misuse),
		EACH_FORMAT(unmap_of_a_reservation),
		EACH_FORMAT(without_memory),
		EACH_FORMAT(short_lists_allocate_nothing),
		EACH_FORMAT(a_huge_list),
		EACH_FORMAT(memory_that_is_not_pinned),
		EACH_FORMAT(what_comes_back),
		EACH_FORMAT(one_invalidation),
		EACH_FORMAT(gathered),
		EACH_FORMAT(after_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
