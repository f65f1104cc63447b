/* SPDX-License-Identifier: MIT */
/*
 * Random lists, on every kind of device: the segments are those of the reference, the device
 * sees the bytes of the entries and nothing between them, what it writes arrives where it
 * belongs, and nothing is left behind.
 */
#include <time.h>

#include "sg.h"

#define ARENA_PAGES 768
#define ROUNDS 20

static const char *const soft_options[] = {
	"",
	",absent=cache",
	",untrusted",
	",coherent=off",
	",bounce=force",
	",coherent=off,untrusted",
	",debug=on",
	",coherent=off,debug=on",
	",untrusted,debug=on",
};

static const char *const direct_uris[] = {
	"direct:",
	"direct:,mask=32",
	"direct:,bounce=force",
	"direct:,debug=on",
};

static uint32_t seed;

static uint32_t below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

struct lists {
	struct expanse memory;
	uint8_t *model; /* what the memory must be in the end */
	struct scatterlist sgl[MAX_ENTRIES], was[MAX_ENTRIES];
	size_t nents;
	bool unaligned;
};

/* Disjoint pieces, each in granules of its own, in any order. */
static void make_list(struct lists *l)
{
	bool pages_only = !below(3);
	size_t at = 0, most = 1 + below(64);

	l->unaligned = false;
	l->nents = 0;
	while (l->nents < most) {
		size_t offset = pages_only || below(2) ? 0 : below(PAGE);
		size_t length = pages_only ? PAGE : 1 + below(below(8) ? 2 * PAGE : 20 * PAGE);

		if (!pages_only && below(2))
			length = (length + PAGE - 1) / PAGE * PAGE - offset;
		at += below(3) ? 0 : PAGE;
		if (at + offset + length > ARENA_PAGES * PAGE)
			break;
		entry_set(&l->sgl[l->nents++], l->memory.at + at + offset, length);
		l->unaligned |= (offset | length) % PAGE != 0;
		at = (at + offset + length + PAGE - 1) / PAGE * PAGE;
	}
	for (size_t i = l->nents; below(2) && i > 1; i--) {
		struct scatterlist swap = l->sgl[i - 1];
		size_t other = below((uint32_t)i);

		l->sgl[i - 1] = l->sgl[other];
		l->sgl[other] = swap;
	}
	memcpy(l->was, l->sgl, l->nents * sizeof(l->sgl[0]));
}

static void fill_memory(struct lists *l)
{
	for (size_t i = 0; i < ARENA_PAGES * PAGE; i += 4) {
		uint32_t word = below(UINT32_MAX);

		memcpy(l->memory.at + i, &word, 4);
	}
	memcpy(l->model, l->memory.at, ARENA_PAGES * PAGE);
}

/* The device writes some bytes of each entry; so does the model. */
static void device_writes(const struct device *d, struct lists *l, size_t count)
{
	size_t entry = 0, at = 0;

	for (size_t i = 0; i < count; i++) {
		for (size_t done = 0, part; done < sg_dma_len(&l->sgl[i]); done += part) {
			uint8_t byte = (uint8_t)below(256);
			size_t off = (size_t)(entry_memory(&l->sgl[entry]) - l->memory.at) + at;

			part = l->sgl[entry].length - at;
			if (part > 100)
				part = 100;
			assert_int_equal(
				dma_bus_write(d->port, sg_dma_address(&l->sgl[i]) + done, &byte, 1),
				0);
			l->model[off] = byte;
			at += part;
			if (at == l->sgl[entry].length) {
				entry++;
				at = 0;
			}
		}
	}
}

/* Between the first granule of a block and its last, what is no entry's is not there. */
static void assert_holes_refused(const struct device *d, const struct lists *l, size_t count)
{
	static uint64_t place[MAX_ENTRIES], length[MAX_ENTRIES];
	struct shape shape = shape_of(d, false);
	uint64_t at = 0;
	dma_addr_t block;

	assert_int_equal(count, reference(l->sgl, l->nents, shape, place, length));
	block = sg_dma_address(&l->sgl[0]) - place[0];
	for (size_t i = 0; i < l->nents; i++) {
		for (; at < place[i] / PAGE * PAGE; at += PAGE)
			assert_refused(d, block + at);
		at = (place[i] + l->sgl[i].length + PAGE - 1) / PAGE * PAGE;
	}
	assert_refused(d, block + at);
}

static void list_once(const struct device *d, struct lists *l, bool separate, bool strict)
{
	static const unsigned int sizes[] = {100, PAGE, 3 * PAGE + 5, 65536, UINT32_MAX};
	static const unsigned long masks[] = {PAGE - 1, 4 * PAGE - 1, 64 * PAGE - 1, UINT32_MAX,
					      ~0UL};
	struct dma_stats before = stats_of(d), after;
	uint64_t used = buffers_used();
	struct dma_gather gather;
	struct scatterlist mapped[MAX_ENTRIES];
	size_t count;

	make_list(l);
	fill_memory(l);
	assert_int_equal(dma_set_max_seg_size(d->dev, sizes[below(COUNT(sizes))]), 0);
	assert_int_equal(dma_set_seg_boundary(d->dev, masks[below(COUNT(masks))]), 0);
	/* A bounce buffer may not cross a boundary, so what is longer cannot be bounced. */
	if (separate)
		assert_int_equal(dma_set_seg_boundary(d->dev, ~0UL), 0);
	count = dma_map_sg(d->dev, l->sgl, (int)l->nents, DMA_BIDIRECTIONAL);
	assert_true(count);
	assert_same_memory(l->sgl, l->was, l->nents);
	assert_mapped(d, l->sgl, l->nents, count, shape_of(d, separate));
	if (!separate)
		assert_holes_refused(d, l, count);
	device_writes(d, l, count);
	dma_sync_sg_for_cpu(d->dev, l->sgl, (int)l->nents, DMA_BIDIRECTIONAL);
	assert_memory_equal(l->memory.at, l->model, ARENA_PAGES * PAGE);
	for (size_t i = 0; i < l->nents; i++) {
		uint8_t *byte = entry_memory(&l->sgl[i]) + below(l->sgl[i].length);

		*byte = (uint8_t) ~*byte;
		l->model[byte - l->memory.at] = *byte;
	}
	dma_sync_sg_for_device(d->dev, l->sgl, (int)l->nents, DMA_BIDIRECTIONAL);
	assert_device_reads(d, l->sgl, l->nents, count);
	device_writes(d, l, count);
	memcpy(mapped, l->sgl, l->nents * sizeof(mapped[0]));
	if (below(2)) {
		dma_unmap_sg(d->dev, l->sgl, (int)l->nents, DMA_BIDIRECTIONAL);
	} else {
		dma_gather_begin(d->dev, &gather);
		dma_unmap_sg_gather(d->dev, l->sgl, (int)l->nents, DMA_BIDIRECTIONAL, 0, &gather);
		dma_gather_end(&gather);
	}
	assert_memory_equal(l->memory.at, l->model, ARENA_PAGES * PAGE);
	assert_same_memory(l->sgl, l->was, l->nents);
	for (size_t i = 0; strict && i < count; i++)
		for (uint64_t at = 0; at < mapped[i].dma_length; at += PAGE)
			assert_refused(d, mapped[i].dma_address + at);
	after = stats_of(d);
	assert_int_equal(after.iova_live, before.iova_live);
	assert_int_equal(after.bytes_mapped, before.bytes_mapped);
	assert_int_equal(after.misuse, before.misuse);
	assert_int_equal(buffers_used(), used);
}

static struct lists *lists_new(void)
{
	struct lists *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->memory = expanse_new(ARENA_PAGES * PAGE, PAGE);
	l->model = malloc(ARENA_PAGES * PAGE);
	assert_non_null(l->model);
	seed = (uint32_t)time(NULL);
	printf("seed %u\n", seed);
	return l;
}

static void lists_free(struct lists *l)
{
	expanse_free(&l->memory);
	free(l->model);
	free(l);
}

/* Misuse checks have nothing to say, but that entries are longer than the device takes. */
static unsigned int wrong_reports;

static void hear(const struct dma_debug_report *report, void *arg)
{
	(void)arg;
	/* The test itself looks at what was unmapped. */
	if (report->kind == DMA_DEBUG_ACCESS_AFTER || report->kind == DMA_DEBUG_SG_TOO_LONG ||
	    report->kind == DMA_DEBUG_SG_BOUNDARY)
		return;
	fprintf(stderr, "%s\n", report->text);
	wrong_reports++;
}

static void behind_an_iommu(void **state)
{
	struct lists *l = lists_new();

	dma_debug_set_handler(hear, NULL);
	for (size_t i = 0; i < COUNT(soft_options); i++) {
		struct device d = soft_open(state, soft_options[i]);
		bool settles = strstr(soft_options[i], "coherent=off") ||
			       strstr(soft_options[i], "force");

		for (unsigned int round = 0; round < ROUNDS; round++) {
			uint32_t start = seed;

			/* Whether an entry must be bounced is known once the list is made. */
			make_list(l);
			seed = start;
			list_once(&d, l,
				  settles || (l->unaligned && strstr(soft_options[i], "untrusted")),
				  true);
		}
		device_close(&d, 0);
		assert_int_equal(wrong_reports, 0);
	}
	lists_free(l);
}

static void without_an_iommu(void **state)
{
	struct lists *l = lists_new();

	(void)state;
	for (size_t i = 0; i < COUNT(direct_uris); i++) {
		struct device d = device_open(direct_uris[i]);

		if (i == 1)
			assert_int_equal(dma_set_mask_and_coherent(d.dev, DMA_BIT_MASK(32)), 0);
		for (unsigned int round = 0; round < ROUNDS; round++)
			list_once(&d, l, true, false);
		device_close(&d, 0);
		assert_int_equal(wrong_reports, 0);
	}
	lists_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(behind_an_iommu),
		cmocka_unit_test(without_an_iommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
