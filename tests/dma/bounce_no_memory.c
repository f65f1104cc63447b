/* SPDX-License-Identifier: MIT */
/*
 * Whichever allocation fails in a call that bounces, the call fails or does without, nothing
 * has changed, no slot stays lent, and the next call works. What takes away allocates nothing.
 */
#include "bounce.h"
#include "../denial.h"
#include "setup.h"

#define NR_VECS 40

struct link_case {
	const char *options;
	size_t start, size;
	bool vector; /* of pages, the first and the last of which are not whole */
};

static const struct link_case links[] = {
	{",untrusted", 0x80, 0x100, false},
	{",untrusted", 0x80, 3 * PAGE, false},
	{",untrusted", 0x80, NR_VECS *PAGE - 0x100, true},
	{",bounce=force", 0, PAGE, false},
	{",bounce=force", 0x80, 600 * KIB, false},
	{",bounce=force", 0x80, NR_VECS *PAGE - 0x100, true},
};

/* Pages of the buffer, each twice as far from the last one as it is long. */
static size_t pieces_of(const struct link_case *c, const struct buffer *b, struct phys_vec *vec)
{
	for (size_t i = 0; i < NR_VECS; i++)
		vec[i] = (struct phys_vec){virt_to_phys(b->pages + 2 * i * PAGE), PAGE};
	vec[0].paddr += c->start;
	vec[0].len -= c->start;
	vec[NR_VECS - 1].len -= 0x80;
	return NR_VECS;
}

static int link_it(const struct device *d, struct dma_iova_state *iova, const struct link_case *c,
		   const struct buffer *b)
{
	struct phys_vec vec[NR_VECS];

	if (!c->vector)
		return dma_iova_link(d->dev, iova, virt_to_phys(b->at), 0, c->size,
				     DMA_BIDIRECTIONAL, 0);
	return dma_iova_link_vec(d->dev, iova, vec, pieces_of(c, b, vec), 0, DMA_BIDIRECTIONAL, 0);
}

static struct buffer buffer_for(const struct link_case *c)
{
	return c->vector ? buffer_new(c->start, 2 * NR_VECS * PAGE - c->start)
			 : buffer_new(c->start, c->size);
}

/* With a pool that has a segment and must grow for more. */
static void linking(void **state)
{
	for (const struct link_case *c = links; c < links + COUNT(links); c++) {
		struct denial n = FIRST_DENIAL;
		struct buffer b = buffer_for(c);

		DENY_EACH(n)
		{
			struct device d = soft_open(state, c->options);
			struct dma_bounce *pool = pool_new(DMA_BOUNCE_SEGMENT, 4 * MIB);
			struct dma_iova_state iova = reserve(&d, c->start, c->size), was = iova;
			struct snapshot before = snapshot_take(&d, iova.addr & ~(PAGE - 1), 3);
			int err;

			assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
			deny_from(&n);
			err = link_it(&d, &iova, c, &b);
			allow(&n, err);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				assert_unchanged_but_tables(&d, &before);
				assert_memory_equal(&was, &iova, sizeof(was));
				assert_int_equal(lent(pool), 0);
				assert_int_equal(link_it(&d, &iova, c, &b), 0);
			}
			assert_true(lent(pool) >= PAGE);
			assert_reads(&d, iova.addr, b.was[0]);
			write_byte(&d, iova.addr, 0x5a);
			assert_int_equal(b.at[0], b.was[0]);
			destroy(&d, &iova, c->size);
			assert_int_equal(b.at[0], 0x5a);
			b.at[0] = b.was[0];
			assert_as_before(&b);
			device_close(&d, 0);
			pool_free(pool);
		}
		assert_true(n.failures > 1);
		buffer_free(&b);
	}
}

static void mapping(void **state)
{
	static const size_t sizes[] = {1, 3 * PAGE, 200 * KIB};
	char uri[2][64];
	const char *uris[] = {uri[0], uri[1], "direct:bounce=force"};

	snprintf(uri[0], sizeof(uri[0]), "soft:pgtable=%s,untrusted", (char *)*state);
	snprintf(uri[1], sizeof(uri[1]), "soft:pgtable=%s,untrusted,absent=cache", (char *)*state);
	for (size_t i = 0; i < COUNT(uris) * COUNT(sizes); i++) {
		bool direct = i / COUNT(sizes) == 2;
		struct denial n = FIRST_DENIAL;
		struct buffer b = buffer_new(0x80, sizes[i % COUNT(sizes)]);

		DENY_EACH(n)
		{
			struct device d = device_open(uris[i / COUNT(sizes)]);
			struct dma_bounce *pool = pool_new(DMA_BOUNCE_SEGMENT, 4 * MIB);
			/* So little is free that the pool must grow for the long ones. */
			struct buffer fill = buffer_new(1, 100 * KIB);
			struct snapshot before;
			dma_addr_t addr, first;
			uint64_t used;

			assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
			first = dma_map_single(d.dev, fill.at, fill.size, DMA_TO_DEVICE);
			assert_int_equal(dma_mapping_error(d.dev, first), 0);
			used = lent(pool);
			before = snapshot_take(&d, first, 1);
			deny_from(&n);
			addr = dma_map_single(d.dev, b.at, b.size, DMA_BIDIRECTIONAL);
			allow(&n, addr == DMA_MAPPING_ERROR);
			if (addr == DMA_MAPPING_ERROR) {
				assert_unchanged_but_tables(&d, &before);
				assert_int_equal(lent(pool), used);
				addr = dma_map_single(d.dev, b.at, b.size, DMA_BIDIRECTIONAL);
			}
			assert_reads(&d, addr, b.was[0]);
			write_byte(&d, addr, 0x5a);
			dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
			assert_int_equal(b.at[0], 0x5a);
			b.at[0] = b.was[0];
			assert_as_before(&b);
			dma_unmap_single(d.dev, first, fill.size, DMA_TO_DEVICE);
			buffer_free(&fill);
			device_close(&d, 0);
			pool_free(pool);
		}
		/* A small one has all that it needs. */
		assert_true(n.failures > 0 || sizes[i % COUNT(sizes)] < 100 * KIB || !direct);
		buffer_free(&b);
	}
}

/* The default pool is made by the first mapping that needs it; later ones find it there. */
static void the_first_of_all(void **state)
{
	struct denial n = FIRST_DENIAL;
	struct buffer b = buffer_new(0x80, 0x100);

	DENY_EACH(n)
	{
		struct device d = soft_open(state, ",untrusted");
		dma_addr_t addr;

		deny(&n);
		addr = dma_map_single(d.dev, b.at, b.size, DMA_BIDIRECTIONAL);
		allow(&n, addr == DMA_MAPPING_ERROR);
		if (addr == DMA_MAPPING_ERROR) {
			assert_int_equal(lent(NULL), 0);
			addr = dma_map_single(d.dev, b.at, b.size, DMA_BIDIRECTIONAL);
		}
		assert_sees(&d, addr, b.was, b.size);
		dma_unmap_single(d.dev, addr, b.size, DMA_BIDIRECTIONAL);
		assert_int_equal(lent(NULL), 0);
		device_close(&d, 0);
	}
	assert_true(n.failures > 0);
	buffer_free(&b);
}

static void taking_away_allocates_nothing(void **state)
{
	enum { NR = 100 };
	struct device d = soft_open(state, ",bounce=force");
	struct buffer b = buffer_new(0x80, 600 * KIB);
	struct dma_iova_state iova[NR], whole;
	bool checked = dma_debug_enabled(d.space);
	struct dma_gather gather;
	dma_addr_t addr[NR];

	assert_true(dma_iova_try_alloc_flags(d.dev, &whole, b.start, b.size, 0, DMA_IOVA_WHOLE));
	link_at(&d, &whole, 0, b.at, b.size);
	for (size_t i = 0; i < NR; i++) {
		iova[i] = reserve(&d, b.start, 3 * PAGE);
		link_at(&d, &iova[i], 0, b.at, PAGE + i);
		addr[i] = dma_map_single(d.dev, b.at, 1 + i * 1000, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_mapping_error(d.dev, addr[i]), 0);
	}
	base_alloc_fail(0);
	unlink_at(&d, &whole, 0, b.size);
	dma_iova_free(d.dev, &whole);
	dma_gather_begin(d.dev, &gather);
	for (size_t i = 0; i < NR; i++) {
		struct dma_gather *in = i % 2 ? &gather : NULL;

		dma_sync_single_for_cpu(d.dev, addr[i], 1, DMA_BIDIRECTIONAL);
		dma_unmap_phys_gather(d.dev, addr[i], 1 + i * 1000, DMA_BIDIRECTIONAL, 0, in);
		dma_iova_unlink_gather(d.dev, &iova[i], 0, PAGE + i, DMA_BIDIRECTIONAL, 0, in);
		if (i % 3)
			dma_iova_free(d.dev, &iova[i]);
		else
			dma_iova_destroy_gather(d.dev, &iova[i], 0, DMA_BIDIRECTIONAL, 0, in);
	}
	dma_gather_end(&gather);
	assert_as_before(&b);
	assert_int_equal(lent(NULL), 0);
	device_close(&d, 0);
	/* Misuse checks may have asked for more records, and do without. */
	assert_true(!base_alloc_fail(0) || checked);
	buffer_free(&b);
}

/* A space that leaks bounced memory closes without memory as well. */
static void closing_allocates_nothing(void **state)
{
	struct device d = soft_open(state, ",bounce=force");
	struct buffer b = buffer_new(0x80, 300 * KIB);

	for (size_t i = 0; i < 20; i++) {
		struct dma_iova_state iova = reserve(&d, b.start, b.size);

		link_at(&d, &iova, 0, b.at, b.size);
	}
	base_alloc_fail(0);
	dma_dev_close(d.dev);
	assert_int_equal(base_alloc_fail(0), 0);
	assert_int_equal(dma_leak_count(), d.leaks + 20);
	assert_int_equal(lent(NULL), 0);
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, before there is a default pool. */
		{"the_first_of_all", the_first_of_all, NULL, NULL, (void *)"vtd-ss"},
		EACH_FORMAT(linking),
		EACH_FORMAT(mapping),
		EACH_FORMAT(taking_away_allocates_nothing),
		EACH_FORMAT(closing_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
