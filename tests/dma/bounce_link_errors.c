/* SPDX-License-Identifier: MIT */
/*
 * Links that cannot or must not be bounced: which error comes first, and that nothing has
 * changed, slots of bounce pools included.
 */
#include "bounce.h"

struct link {
	phys_addr_t phys;
	size_t offset, size;
	int dir;
	unsigned long attrs;
	int err;
};

/* Each link fails as it says, alone and as a vector, and changes nothing. */
static void fail_all(const struct device *d, struct dma_iova_state *iova, size_t pages,
		     const struct dma_bounce *pool, const struct link *links, size_t nr)
{
	for (size_t i = 0; i < 2 * nr; i++) {
		const struct link *l = &links[i / 2];
		const struct phys_vec vec = {l->phys, l->size};
		struct snapshot before = snapshot_take(d, iova->addr & ~(PAGE - 1), pages);
		struct dma_iova_state was = *iova;
		uint64_t used = lent(pool);
		int err;

		dma_clear_error();
		if (i % 2)
			err = dma_iova_link_vec(d->dev, iova, &vec, 1, l->offset,
						(enum dma_data_direction)l->dir, l->attrs);
		else
			err = dma_iova_link(d->dev, iova, l->phys, l->offset, l->size,
					    (enum dma_data_direction)l->dir, l->attrs);
		assert_int_equal(err, l->err);
		assert_string_not_equal(dma_last_error(), "");
		assert_unchanged_but_tables(d, &before);
		assert_int_equal(lent(pool), used);
		assert_memory_equal(&was, iova, sizeof(was));
	}
}

/* Before anything else is looked at, but for where the piece begins. */
static void what_must_not_be_bounced(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 2 * PAGE);
	phys_addr_t phys = virt_to_phys(b.at), no_cpu = register_without_cpu(4 * PAGE);
	struct dma_iova_state iova = reserve(&d, phys, b.size);
	const struct link links[] = {
		{phys, 0, b.size, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EPERM},
		{phys, 0, b.size, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT, -EPERM},
		{no_cpu + 0x80, 0, b.size, DMA_BIDIRECTIONAL, 0, -EPERM},
		{no_cpu, 0, 5, DMA_BIDIRECTIONAL, 0, -EPERM},
		{no_cpu + 0x80, 0, PAGE - 0x80, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EPERM},
		/* What else is wrong comes later. */
		{phys, 0, 0, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EPERM},
		{phys, 0, b.size, DMA_NONE, DMA_ATTR_REQUIRE_COHERENT, -EPERM},
		{phys + 1, 0, b.size, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EPERM},
		{phys, 0, b.size + 1, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EPERM},
		{no_cpu + 0x81, 0, b.size + 1, DMA_NONE, 0, -EPERM},
		/* But this before. */
		{phys, PAGE - 0x80, b.size, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EIO},
		{no_cpu + 0x80, PAGE - 0x80, 5, DMA_NONE, 0, -EIO},
	};

	fail_all(&d, &iova, 3, NULL, links, COUNT(links));
	dma_iova_free(d.dev, &iova);
	assert_int_equal(dma_memory_unregister(no_cpu), 0);
	assert_as_before(&b);
	buffer_free(&b);
	device_close(&d, 0);
}

/* Once a part of a state was bounced nothing in it is coherent, also after its end. */
static void coherent_beside_bounced(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 0x100);
	uint8_t *page = pages_new(1, 1);
	phys_addr_t phys = virt_to_phys(page);
	struct dma_iova_state iova = reserve(&d, 0x80, 2 * PAGE);
	const struct link links[] = {
		{phys, PAGE - 0x80, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT,
		 -EOPNOTSUPP},
		{phys, PAGE - 0x80, 0, DMA_NONE, DMA_ATTR_REQUIRE_COHERENT, -EOPNOTSUPP},
		{phys, 0, 5, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT, -EOPNOTSUPP},
		{phys + 1, PAGE, 5, DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT, -EIO},
		{phys + 1, 0, 5, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EPERM},
	};

	/* What is not bounced makes no difference. */
	link_at(&d, &iova, PAGE - 0x80, page, PAGE);
	unlink_at(&d, &iova, PAGE - 0x80, PAGE);
	assert_int_equal(dma_iova_link(d.dev, &iova, phys, PAGE - 0x80, PAGE, DMA_BIDIRECTIONAL,
				       DMA_ATTR_REQUIRE_COHERENT),
			 0);
	unlink_at(&d, &iova, PAGE - 0x80, PAGE);
	link_at(&d, &iova, 0, b.at, b.size);
	fail_all(&d, &iova, 3, NULL, links, COUNT(links));
	unlink_at(&d, &iova, 0, b.size);
	fail_all(&d, &iova, 3, NULL, links, COUNT(links));
	assert_int_equal(dma_iova_size(&iova), 2 * PAGE);
	/* The rest of its life goes on. */
	link_at(&d, &iova, PAGE - 0x80, page, PAGE);
	assert_reads(&d, (iova.addr & ~(PAGE - 1)) + PAGE, 1);
	unlink_at(&d, &iova, PAGE - 0x80, PAGE);
	dma_iova_free(d.dev, &iova);
	free(page);
	buffer_free(&b);
	device_close(&d, 0);
}

/* A link that fails behind the bounce gives the slots back, and the state is not bounced. */
static void where_something_is_linked(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 3 * PAGE);
	uint8_t *page = pages_new(1, 1);
	phys_addr_t phys = virt_to_phys(page);
	size_t tail = 3 * PAGE - 0x80;
	struct dma_iova_state iova = reserve(&d, 0x80, 4 * PAGE);

	/* What is in the way: of the head, of the middle, of the tail. */
	for (size_t granule = 0; granule < 4; granule++) {
		size_t offset = granule ? granule * PAGE - 0x80 : 0;
		struct link link = {virt_to_phys(b.at), 0, b.size,
				    DMA_BIDIRECTIONAL,	0, -EADDRINUSE};

		if (granule) {
			link_at(&d, &iova, offset, page, PAGE);
			fail_all(&d, &iova, 4, NULL, &link, 1);
			assert_reads(&d, (iova.addr & ~(PAGE - 1)) + granule * PAGE, 1);
			unlink_at(&d, &iova, offset, PAGE);
		} else {
			link_at(&d, &iova, 0, b.at, 0x10);
			assert_int_equal(lent(NULL), PAGE);
			fail_all(&d, &iova, 4, NULL, &link, 1);
			unlink_at(&d, &iova, 0, 0x10);
			/* A state of its own again: this one is marked. */
			dma_iova_free(d.dev, &iova);
			iova = reserve(&d, 0x80, 4 * PAGE);
		}
		assert_int_equal(lent(NULL), 0);
		assert_int_equal(dma_iova_link(d.dev, &iova, phys, tail, PAGE, DMA_BIDIRECTIONAL,
					       DMA_ATTR_REQUIRE_COHERENT),
				 0);
		unlink_at(&d, &iova, tail, PAGE);
	}
	assert_as_before(&b);
	dma_iova_free(d.dev, &iova);
	free(page);
	buffer_free(&b);
	device_close(&d, 0);
}

/* All of the arguments of all pieces, then the pool, then the place. */
static void order(void **state)
{
	struct device d = soft_open(state, ",untrusted,bounce=off");
	struct buffer b = buffer_new(0x80, 2 * PAGE);
	uint8_t *page = pages_new(1, 1);
	phys_addr_t phys = virt_to_phys(b.at), whole = virt_to_phys(page);
	struct dma_iova_state iova = reserve(&d, 0x80, 3 * PAGE);
	size_t second = PAGE - 0x80;
	const struct link links[] = {
		{phys, 0, b.size, DMA_BIDIRECTIONAL, 0, -ENOMEM},
		{phys, 0, 0, DMA_BIDIRECTIONAL, 0, -EINVAL},
		{phys, 0, b.size, DMA_NONE, 0, -EINVAL},
		{phys + 1, 0, b.size, DMA_BIDIRECTIONAL, 0, -ENXIO},
		{phys, 0, 3 * PAGE + 1, DMA_BIDIRECTIONAL, 0, -ERANGE},
		{(1ULL << 52) + 0x80, 0, 5, DMA_BIDIRECTIONAL, 0, -ERANGE},
		{phys, 0, b.size, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO, -EPERM},
	};
	const struct {
		struct phys_vec vec[2];
		int err;
	} vecs[] = {
		{{{phys, second}, {whole, PAGE}}, -ENOMEM},
		{{{phys, second}, {whole, 0}}, -EINVAL},
		{{{phys, second}, {whole + 1, PAGE}}, -EIO},
		{{{phys, second - 1}, {whole, PAGE}}, -ENXIO},
		{{{phys, second}, {whole, 3 * PAGE}}, -ERANGE},
		{{{phys, second}, {1ULL << 52, PAGE}}, -ERANGE},
	};

	/* In the way of all of them. */
	link_at(&d, &iova, second, page, PAGE);
	fail_all(&d, &iova, 4, NULL, links, COUNT(links));
	for (size_t i = 0; i < COUNT(vecs); i++) {
		struct snapshot before = snapshot_take(&d, iova.addr & ~(PAGE - 1), 4);

		assert_int_equal(
			dma_iova_link_vec(d.dev, &iova, vecs[i].vec, 2, 0, DMA_BIDIRECTIONAL, 0),
			vecs[i].err);
		assert_unchanged_but_tables(&d, &before);
	}
	unlink_at(&d, &iova, second, PAGE);
	dma_iova_free(d.dev, &iova);
	free(page);
	buffer_free(&b);
	device_close(&d, 0);
}

/* A pool that is full, but for one granule. */
static void no_slots_left(void **state)
{
	enum { GRANULES = DMA_BOUNCE_SEGMENT / PAGE };
	struct device d = soft_open(state, ",untrusted");
	struct dma_bounce *pool = pool_new(DMA_BOUNCE_SEGMENT, DMA_BOUNCE_SEGMENT);
	struct buffer b = buffer_new(0x80, 3 * PAGE);
	struct buffer fill = buffer_new(0, 5);
	struct dma_iova_state full = reserve(&d, 0, GRANULES * PAGE), iova;
	phys_addr_t phys = virt_to_phys(b.at);
	const struct link links[] = {
		{phys, 0, b.size, DMA_BIDIRECTIONAL, 0, -ENOMEM},
		{phys, 0, b.size, DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN, -ENOMEM},
		{phys, 0, b.size, DMA_NONE, 0, -EINVAL},
	};
	uint8_t *page = pages_new(1, 1);
	const struct phys_vec vec[] = {
		{phys, PAGE - 0x80}, {virt_to_phys(page), PAGE}, {virt_to_phys(fill.at), 5}};
	struct dma_bounce_stats stats;
	struct snapshot before;

	assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
	for (size_t i = 0; i < GRANULES - 1; i++)
		link_at(&d, &full, i * PAGE, fill.at, fill.size);
	assert_int_equal(lent(pool), (GRANULES - 1) * PAGE);
	iova = reserve(&d, phys, 4 * PAGE);
	before = snapshot_take(&d, full.addr, 1);
	fail_all(&d, &iova, 4, pool, links, COUNT(links));
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, COUNT(vec), 0, DMA_BIDIRECTIONAL, 0),
			 -ENOMEM);
	assert_unchanged_but_tables(&d, &before);
	dma_bounce_stats(pool, &stats);
	assert_int_equal(stats.failed_full, 5);
	assert_as_before(&b);
	/* Now there is room for it. */
	unlink_at(&d, &full, 0, PAGE);
	link_at(&d, &iova, 0, b.at, b.size);
	assert_sees(&d, iova.addr, b.at, b.size);
	assert_int_equal(lent(pool), DMA_BOUNCE_SEGMENT);
	destroy(&d, &iova, b.size);
	unlink_at(&d, &full, PAGE, (GRANULES - 2) * PAGE);
	dma_iova_free(d.dev, &full);
	assert_int_equal(dma_bounce_destroy(pool), -EBUSY);
	assert_int_equal(dma_dev_set_bounce(d.dev, NULL), 0);
	pool_free(pool);
	free(page);
	buffer_free(&fill);
	buffer_free(&b);
	device_close(&d, 0);
}

/* No table for the last part. */
static void no_tables_left(void **state)
{
	struct device d = soft_open(state, ",untrusted,tables=8");
	struct expanse memory = expanse_new(32 * MIB, 2 * MIB);
	struct dma_iova_state iova = reserve(&d, 0x80, 32 * MIB - 0x80);
	struct phys_vec *vec = calloc(8192, sizeof(*vec));

	assert_non_null(vec);
	/* Large entries need few tables: the same page again and again needs many. */
	for (size_t i = 0; i < 8192; i++)
		vec[i] = (struct phys_vec){virt_to_phys(memory.at), PAGE};
	vec[0] = (struct phys_vec){virt_to_phys(memory.at + 0x80), PAGE - 0x80};
	vec[8191].len = 77;
	for (unsigned int i = 0; i < 2; i++) {
		struct snapshot before = snapshot_take(&d, iova.addr & ~(PAGE - 1), 3);

		assert_int_equal(
			dma_iova_link_vec(d.dev, &iova, vec, 8192, 0, DMA_BIDIRECTIONAL, 0),
			-ENOMEM);
		assert_unchanged_but_tables(&d, &before);
		assert_int_equal(lent(NULL), 0);
	}
	/* The state is not bounced. */
	assert_int_equal(dma_iova_link(d.dev, &iova, vec[1].paddr, PAGE - 0x80, PAGE,
				       DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT),
			 0);
	unlink_at(&d, &iova, PAGE - 0x80, PAGE);
	dma_iova_free(d.dev, &iova);
	free(vec);
	expanse_free(&memory);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(what_must_not_be_bounced),
		EACH_FORMAT(coherent_beside_bounced),
		EACH_FORMAT(where_something_is_linked),
		EACH_FORMAT(order),
		EACH_FORMAT(no_slots_left),
		EACH_FORMAT(no_tables_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
