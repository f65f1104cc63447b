/* SPDX-License-Identifier: MIT */
/*
 * Memory that no pointer leads to, from its provider through a device into other such
 * memory, and out through the provider again.
 */
#include <unistd.h>

#include <twostep/bounce.h>
#include <twostep/copy.h>

#include "setup.h"

#define PAGES 8
#define BYTES (PAGES * PAGE)

/* Whoever provides memory reads and writes it in ways of his own. */
struct provider {
	uint8_t *card; /* memory of a card that answers calls; or NULL: */
	int fd; /* memory of a file that nobody has mapped */
	phys_addr_t base;
};

static int card_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, (uint8_t *)arg + offset, len);
	return 0;
}

static int card_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	memcpy((uint8_t *)arg + offset, buf, len);
	return 0;
}

static const struct dma_memory_ops card_ops = {card_read, card_write};

static void provider_open(struct provider *p, bool card)
{
	struct dma_memory_desc desc = {
		.type = card ? DMA_MEMORY_MMIO : DMA_MEMORY_RAM,
		.size = BYTES,
		.fd = -1,
	};

	*p = (struct provider){.fd = -1};
	if (card) {
		p->card = calloc(1, BYTES);
		assert_non_null(p->card);
		desc.ops = &card_ops;
		desc.ops_arg = p->card;
	} else {
		p->fd = memfd_create("memory", MFD_CLOEXEC);
		assert_true(p->fd >= 0);
		assert_int_equal(ftruncate(p->fd, BYTES), 0);
		desc.fd = p->fd;
	}
	assert_int_equal(dma_memory_register(&desc, &p->base), 0);
}

static void provider_close(struct provider *p)
{
	assert_int_equal(dma_memory_unregister(p->base), 0);
	if (p->fd >= 0)
		close(p->fd);
	free(p->card);
}

static void provider_write(const struct provider *p, const uint8_t *bytes)
{
	if (p->card)
		memcpy(p->card, bytes, BYTES);
	else
		assert_int_equal(pwrite(p->fd, bytes, BYTES, 0), BYTES);
}

static void provider_read(const struct provider *p, uint8_t *bytes)
{
	if (p->card)
		memcpy(bytes, p->card, BYTES);
	else
		assert_int_equal(pread(p->fd, bytes, BYTES, 0), BYTES);
}

struct scene {
	struct dma_dev *dev;
	struct ts_copy *copy;
	struct provider src, dst;
	uint8_t sent[BYTES];
	uint64_t lent; /* by the driver's own mappings, too */
};

static uint64_t bounce_maps(void)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(NULL, &stats);
	return stats.maps;
}

static void scene_open(struct scene *s, const char *uri, bool from_card, bool to_card)
{
	uint8_t zeroes[BYTES] = {0};

	assert_int_equal(dma_dev_open(uri, &s->dev), 0);
	assert_int_equal(ts_copy_open(s->dev, 4, &s->copy), 0);
	provider_open(&s->src, from_card);
	provider_open(&s->dst, to_card);
	for (size_t i = 0; i < BYTES; i++)
		s->sent[i] = (uint8_t)(i * 11 + i / PAGE + 1);
	provider_write(&s->src, s->sent);
	provider_write(&s->dst, zeroes);
	s->lent = bounce_maps();
}

/* No byte went through a buffer, and nothing is left. */
static void scene_close(struct scene *s)
{
	struct dma_stats stats;

	assert_int_equal(bounce_maps(), s->lent);
	ts_copy_close(s->copy);
	assert_int_equal(dma_space_stats(dma_dev_space(s->dev), &stats), 0);
	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.misuse, 0);
	assert_int_equal(stats.faults, 0);
	provider_close(&s->src);
	provider_close(&s->dst);
	dma_dev_close(s->dev);
}

static void copy(struct scene *s, dma_addr_t from, dma_addr_t to, size_t len)
{
	struct ts_copy_result result;

	assert_int_equal(ts_copy_submit(s->copy, &(struct ts_copy_seg){from, len}, 1,
					&(struct ts_copy_seg){to, len}, 1, 1),
			 0);
	assert_int_equal(ts_copy_wait(s->copy, &result, -1), 0);
	assert_int_equal(result.status, 0);
	assert_int_equal(result.bytes, len);
}

/* What arrived of [from, from + len), at @to; nothing else is there. */
static void check_arrived(struct scene *s, size_t from, size_t to, size_t len)
{
	uint8_t seen[BYTES];

	provider_read(&s->dst, seen);
	for (size_t i = 0; i < BYTES; i++)
		assert_int_equal(seen[i], i >= to && i < to + len ? s->sent[from + i - to] : 0);
	provider_read(&s->src, seen);
	assert_memory_equal(seen, s->sent, BYTES);
}

struct way {
	const char *uri;
	unsigned long attrs;
};

static const struct way ways[] = {
	{"soft:copy", 0},
	{"soft:copy", DMA_ATTR_MMIO},
	{"soft:copy,pgtable=x86-64", DMA_ATTR_MMIO},
	{"soft:copy", DMA_ATTR_REQUIRE_COHERENT},
	{"soft:copy,untrusted", 0},
	{"soft:copy,untrusted", DMA_ATTR_MMIO},
	{"soft:copy,untrusted,bounce=off", DMA_ATTR_REQUIRE_COHERENT},
	{"soft:copy,coherent=off", DMA_ATTR_MMIO},
	{"soft:copy,coherent=off", DMA_ATTR_SKIP_CPU_SYNC},
	{"soft:copy,untrusted,coherent=off", DMA_ATTR_MMIO},
	{"direct:copy", 0},
	{"direct:copy", DMA_ATTR_MMIO},
};

/* All pages, in reversed order, behind one address on each side. */
static void link_all(struct scene *s, const struct way *way)
{
	struct dma_iova_state in, out;
	struct phys_vec from[PAGES];
	uint8_t seen[BYTES];

	if (!dma_iova_try_alloc(s->dev, &in, 0, BYTES)) {
		assert_int_equal(strncmp(way->uri, "direct:", 7), 0);
		return;
	}
	assert_true(dma_iova_try_alloc(s->dev, &out, 0, BYTES));
	for (size_t i = 0; i < PAGES; i++)
		from[i] = (struct phys_vec){s->src.base + (PAGES - 1 - i) * PAGE, PAGE};
	assert_int_equal(dma_iova_link_vec(s->dev, &in, from, PAGES, 0, DMA_TO_DEVICE, way->attrs),
			 0);
	assert_int_equal(
		dma_iova_link(s->dev, &out, s->dst.base, 0, BYTES, DMA_FROM_DEVICE, way->attrs), 0);
	assert_int_equal(dma_iova_sync(s->dev, &in, 0, BYTES), 0);
	assert_int_equal(dma_iova_sync(s->dev, &out, 0, BYTES), 0);
	copy(s, in.addr, out.addr, BYTES);
	/* It can be withdrawn when no page of it is linked any more, and not before. */
	dma_clear_error();
	assert_int_equal(dma_memory_unregister(s->src.base), -EBUSY);
	assert_string_not_equal(dma_last_error(), "");
	dma_iova_unlink(s->dev, &in, 0, (PAGES - 1) * PAGE, DMA_TO_DEVICE, way->attrs);
	assert_int_equal(dma_memory_unregister(s->src.base), -EBUSY);
	assert_int_equal(dma_memory_unregister(s->dst.base), -EBUSY);
	dma_iova_unlink(s->dev, &in, (PAGES - 1) * PAGE, PAGE, DMA_TO_DEVICE, way->attrs);
	dma_iova_free(s->dev, &in);
	dma_iova_destroy(s->dev, &out, BYTES, DMA_FROM_DEVICE, way->attrs);

	provider_read(&s->dst, seen);
	for (size_t i = 0; i < PAGES; i++)
		assert_memory_equal(seen + i * PAGE, s->sent + (PAGES - 1 - i) * PAGE, PAGE);
	memset(seen, 0, BYTES);
	provider_write(&s->dst, seen);
}

static void map_some(struct scene *s, const struct way *way)
{
	bool direct = !strncmp(way->uri, "direct:", 7);
	const size_t from = 2 * PAGE, to = 3 * PAGE, len = 4 * PAGE;
	dma_addr_t in = dma_map_phys(s->dev, s->src.base + from, len, DMA_TO_DEVICE, way->attrs);
	dma_addr_t out = dma_map_phys(s->dev, s->dst.base + to, len, DMA_FROM_DEVICE, way->attrs);

	assert_int_equal(dma_mapping_error(s->dev, in), 0);
	assert_int_equal(dma_mapping_error(s->dev, out), 0);
	copy(s, in, out, len);
	/* Without an IOMMU nobody can know. */
	if (!direct) {
		assert_int_equal(dma_memory_unregister(s->src.base), -EBUSY);
		assert_int_equal(dma_memory_unregister(s->dst.base), -EBUSY);
	}
	dma_unmap_phys(s->dev, in, len, DMA_TO_DEVICE, way->attrs);
	dma_unmap_phys(s->dev, out, len, DMA_FROM_DEVICE, way->attrs);
	check_arrived(s, from, to, len);
}

static void from_provider_to_provider(void **state)
{
	static struct scene s;

	(void)state;
	for (size_t i = 0; i < COUNT(ways) * 4; i++) {
		const struct way *way = &ways[i / 4];

		scene_open(&s, way->uri, i & 1, i & 2);
		link_all(&s, way);
		map_some(&s, way);
		scene_close(&s);
	}
}

/* A device that may have it at any place gets bytes of any place. */
static void odd_places(void **state)
{
	static const struct way odd[] = {
		{"soft:copy", 0},
		{"soft:copy,untrusted", DMA_ATTR_MMIO}, /* never bounced by a map */
		{"soft:copy,coherent=off", DMA_ATTR_MMIO},
		{"direct:copy", 0},
	};
	static struct scene s;
	const size_t from = 13, to = PAGE + 100, len = 2 * PAGE + 7;

	(void)state;
	for (size_t i = 0; i < COUNT(odd) * 4; i++) {
		const struct way *way = &odd[i / 4];
		dma_addr_t in, out;

		scene_open(&s, way->uri, i & 1, i & 2);
		in = dma_map_phys(s.dev, s.src.base + from, len, DMA_TO_DEVICE, way->attrs);
		out = dma_map_phys(s.dev, s.dst.base + to, len, DMA_FROM_DEVICE, way->attrs);
		assert_int_equal(dma_mapping_error(s.dev, in), 0);
		assert_int_equal(dma_mapping_error(s.dev, out), 0);
		copy(&s, in, out, len);
		dma_unmap_phys(s.dev, in, len, DMA_TO_DEVICE, way->attrs);
		dma_unmap_phys(s.dev, out, len, DMA_FROM_DEVICE, way->attrs);
		check_arrived(&s, from, to, len);
		scene_close(&s);
	}
}

/* What would need a buffer or a sync says so, and leaves everything as it was. */
static void what_cannot_be(void **state)
{
	static const struct {
		const char *uri;
		unsigned long attrs;
		size_t size;
	} cases[] = {
		{"soft:copy,untrusted", 0, PAGE + 8},
		{"soft:copy,untrusted", DMA_ATTR_REQUIRE_COHERENT, PAGE + 8},
		{"soft:copy,untrusted", DMA_ATTR_SKIP_CPU_SYNC, 100},
		{"soft:copy,untrusted,bounce=off", 0, PAGE + 8},
		{"soft:copy,coherent=off", 0, PAGE},
		{"soft:copy,coherent=off", DMA_ATTR_NO_WARN, PAGE},
		{"soft:copy,coherent=off", DMA_ATTR_SKIP_CPU_SYNC, PAGE + 8},
		{"soft:copy,bounce=force", DMA_ATTR_MMIO, PAGE},
		{"soft:copy,bounce=force", 0, PAGE},
		{"direct:copy,bounce=force", 0, PAGE},
		{"direct:copy,mask=32", 0, PAGE},
		{"direct:copy,mask=32", DMA_ATTR_MMIO, PAGE},
	};
	static struct scene s;

	(void)state;
	for (size_t i = 0; i < COUNT(cases) * 2; i++) {
		unsigned long attrs = cases[i / 2].attrs;
		size_t size = cases[i / 2].size;
		struct dma_iova_state iova;
		struct dma_stats before, after;

		scene_open(&s, cases[i / 2].uri, i & 1, !(i & 1));
		assert_int_equal(dma_space_stats(dma_dev_space(s.dev), &before), 0);
		dma_clear_error();
		assert_int_equal(dma_map_phys(s.dev, s.dst.base, size, DMA_BIDIRECTIONAL, attrs),
				 DMA_MAPPING_ERROR);
		assert_non_null(strstr(dma_last_error(), "without CPU mapping"));
		if (dma_iova_try_alloc(s.dev, &iova, 0, BYTES)) {
			dma_clear_error();
			assert_int_equal(dma_iova_link(s.dev, &iova, s.dst.base, 0, size,
						       DMA_BIDIRECTIONAL, attrs),
					 -EPERM);
			assert_non_null(strstr(dma_last_error(), "without CPU mapping"));
			dma_iova_free(s.dev, &iova);
		}
		assert_int_equal(dma_space_stats(dma_dev_space(s.dev), &after), 0);
		assert_int_equal(after.iova_live, before.iova_live);
		assert_int_equal(after.bytes_mapped, before.bytes_mapped);
		check_arrived(&s, 0, 0, 0);
		scene_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_provider_to_provider),
		cmocka_unit_test(odd_places),
		cmocka_unit_test(what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
