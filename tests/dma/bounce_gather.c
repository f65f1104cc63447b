/* SPDX-License-Identifier: MIT */
/* Bounced memory in a gather: the buffers stay the device's until the gather ends. */
#include "bounce.h"

enum kind { UNLINKED, DESTROYED, UNMAPPED };

struct bounced {
	struct buffer b;
	struct dma_iova_state iova;
	dma_addr_t addr;
};

static struct bounced bounced_new(const struct device *d, enum kind kind)
{
	struct bounced x = {.b = buffer_new(0x80, PAGE + 0x100)};

	if (kind == UNMAPPED) {
		x.addr = dma_map_single(d->dev, x.b.at, x.b.size, DMA_BIDIRECTIONAL);
		assert_int_equal(dma_mapping_error(d->dev, x.addr), 0);
	} else {
		x.iova = link_buffer(d, &x.b, DMA_BIDIRECTIONAL, 0);
		x.addr = x.iova.addr;
	}
	return x;
}

static void gather_in(const struct device *d, struct bounced *x, enum kind kind,
		      unsigned long attrs, struct dma_gather *gather)
{
	if (kind == UNMAPPED)
		dma_unmap_phys_gather(d->dev, x->addr, x->b.size, DMA_BIDIRECTIONAL, attrs, gather);
	else if (kind == DESTROYED)
		dma_iova_destroy_gather(d->dev, &x->iova, x->b.size, DMA_BIDIRECTIONAL, attrs,
					gather);
	else
		dma_iova_unlink_gather(d->dev, &x->iova, 0, x->b.size, DMA_BIDIRECTIONAL, attrs,
				       gather);
}

static void bounced_free(const struct device *d, struct bounced *x, enum kind kind)
{
	if (kind == UNLINKED)
		dma_iova_free(d->dev, &x->iova);
	buffer_free(&x->b);
}

/*
 * The device has cached the translation, so it goes on, and what it writes until the end
 * counts: it comes back then, and not before.
 */
static void until_the_end(void **state)
{
	struct device d = soft_open(state, ",untrusted");

	assert_int_equal(dma_set_min_align_mask(d.dev, 0xfff), 0);
	for (enum kind kind = UNLINKED; kind <= UNMAPPED; kind++) {
		for (unsigned int skip = 0; skip < 2; skip++) {
			struct bounced x = bounced_new(&d, kind);
			struct dma_gather gather;
			uint64_t used = lent(NULL);

			write_granules(&d, x.addr, x.b.size, 0x21);
			dma_gather_begin(d.dev, &gather);
			gather_in(&d, &x, kind, skip ? DMA_ATTR_SKIP_CPU_SYNC : 0, &gather);
			assert_as_before(&x.b);
			assert_int_equal(lent(NULL), used);
			write_byte(&d, x.addr, 0x22);
			write_byte(&d, x.addr + x.b.size - 1, 0x23);
			assert_int_equal(x.b.at[0], x.b.was[0]);
			dma_gather_end(&gather);
			assert_refused(&d, x.addr);
			assert_refused(&d, x.addr + x.b.size - 1);
			assert_int_equal(x.b.at[0], skip ? x.b.was[0] : 0x22);
			assert_int_equal(x.b.at[x.b.size - 1], skip ? x.b.was[x.b.size - 1] : 0x23);
			assert_neighbours(&x.b);
			assert_int_equal(lent(NULL), 0);
			bounced_free(&d, &x, kind);
		}
	}
	device_close(&d, 0);
}

/* More than it holds: those that made room are final, the others wait. */
static void a_full_gather(void **state)
{
	enum { NR = DMA_GATHER_RANGES + DMA_GATHER_RANGES / 2 };
	struct device d = soft_open(state, ",untrusted");
	static struct bounced x[NR];
	struct dma_gather gather;
	uint64_t each;

	for (enum kind kind = UNLINKED; kind <= UNMAPPED; kind++) {
		for (size_t i = 0; i < NR; i++) {
			x[i] = bounced_new(&d, kind);
			write_byte(&d, x[i].addr + 3, 0x31);
		}
		each = lent(NULL) / NR;
		dma_gather_begin(d.dev, &gather);
		for (size_t i = 0; i < NR; i++) {
			gather_in(&d, &x[i], kind, 0, &gather);
			assert_int_equal(
				lent(NULL),
				each * (i < DMA_GATHER_RANGES ? NR : NR - DMA_GATHER_RANGES));
			for (size_t j = 0; j < NR; j += 7)
				assert_int_equal(x[j].b.at[3] == 0x31,
						 i >= DMA_GATHER_RANGES && j < DMA_GATHER_RANGES);
		}
		dma_gather_end(&gather);
		assert_int_equal(lent(NULL), 0);
		for (size_t i = 0; i < NR; i++) {
			assert_int_equal(x[i].b.at[3], 0x31);
			bounced_free(&d, &x[i], kind);
		}
	}
	device_close(&d, 0);
}

/* Other memory at the same addresses: the device loses the first, which still comes back. */
static void linking_in_between(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct bounced x = bounced_new(&d, UNLINKED);
	struct buffer other = buffer_new(0x80, PAGE + 0x100);
	struct dma_gather gather;

	memset(other.at, 0x51, other.size);
	write_granules(&d, x.addr, x.b.size, 0x21);
	dma_gather_begin(d.dev, &gather);
	gather_in(&d, &x, UNLINKED, 0, &gather);
	link_at(&d, &x.iova, 0, other.at, other.size);
	assert_sees(&d, x.addr, other.at, other.size);
	write_granules(&d, x.addr, other.size, 0x52);
	dma_gather_end(&gather);
	assert_all(x.b.at, x.b.size, 0x21);
	assert_neighbours(&x.b);
	assert_all(other.at, other.size, 0x51);
	assert_int_equal(lent(NULL), 2 * PAGE);
	unlink_at(&d, &x.iova, 0, other.size);
	assert_all(other.at, other.size, 0x52);
	assert_neighbours(&other);
	assert_int_equal(lent(NULL), 0);
	buffer_free(&other);
	bounced_free(&d, &x, UNLINKED);
	device_close(&d, 0);
}

/* The same memory twice in one gather: what the device wrote last is what remains. */
static void the_later_write_wins(void **state)
{
	struct device d = soft_open(state, ",untrusted");

	for (unsigned int streaming = 0; streaming < 2; streaming++) {
		struct buffer b = buffer_new(0x80, 0x100);
		struct dma_gather gather;

		dma_gather_begin(d.dev, &gather);
		for (uint8_t i = 1; i <= 5; i++) {
			struct dma_iova_state iova;
			dma_addr_t addr;

			if (streaming) {
				addr = dma_map_single(d.dev, b.at, b.size, DMA_FROM_DEVICE);
				assert_int_equal(dma_mapping_error(d.dev, addr), 0);
			} else {
				iova = link_buffer(&d, &b, DMA_FROM_DEVICE, 0);
				addr = iova.addr;
			}
			write_granules(&d, addr, b.size, i);
			if (streaming)
				dma_unmap_phys_gather(d.dev, addr, b.size, DMA_FROM_DEVICE, 0,
						      &gather);
			else
				dma_iova_destroy_gather(d.dev, &iova, b.size, DMA_FROM_DEVICE, 0,
							&gather);
		}
		assert_as_before(&b);
		dma_gather_end(&gather);
		assert_all(b.at, b.size, 5);
		assert_neighbours(&b);
		assert_int_equal(lent(NULL), 0);
		buffer_free(&b);
	}
	device_close(&d, 0);
}

/* Unlinked and then given back, in one gather or with the other call strict. */
static void unlinking_then_destroying(void **state)
{
	struct device d = soft_open(state, ",untrusted");

	for (unsigned int i = 0; i < 3; i++) {
		struct bounced x = bounced_new(&d, DESTROYED);
		struct dma_gather gather;

		write_granules(&d, x.addr, x.b.size, 0x21);
		dma_gather_begin(d.dev, &gather);
		gather_in(&d, &x, UNLINKED, 0, &gather);
		if (i == 0)
			dma_iova_destroy_gather(d.dev, &x.iova, 0, DMA_BIDIRECTIONAL, 0, &gather);
		else if (i == 1)
			dma_iova_destroy(d.dev, &x.iova, 0, DMA_BIDIRECTIONAL, 0);
		else
			dma_iova_free(d.dev, &x.iova);
		assert_refused_pages(&d, x.addr & ~(PAGE - 1), 2);
		dma_gather_end(&gather);
		assert_all(x.b.at, x.b.size, 0x21);
		assert_neighbours(&x.b);
		assert_int_equal(lent(NULL), 0);
		buffer_free(&x.b);
	}
	device_close(&d, 0);
}

/* A gather of nothing, or of another space, or none, or one that has ended. */
static void strict_without_a_gather(void **state)
{
	struct device d = soft_open(state, ",untrusted"), other = soft_open(state, ",untrusted");
	struct device direct = device_open("direct:,mask=32");
	struct dma_gather gather;

	for (enum kind kind = UNLINKED; kind <= UNMAPPED; kind++) {
		for (unsigned int i = 0; i < 4; i++) {
			struct bounced x = bounced_new(&d, kind);

			write_granules(&d, x.addr, x.b.size, 0x21);
			dma_gather_begin(i == 0 ? NULL : i == 1 ? other.dev : d.dev, &gather);
			if (i == 2)
				dma_gather_end(&gather);
			gather_in(&d, &x, kind, 0, i == 3 ? NULL : &gather);
			assert_all(x.b.at, x.b.size, 0x21);
			assert_int_equal(lent(NULL), 0);
			dma_gather_end(&gather);
			bounced_free(&d, &x, kind);
		}
	}
	/* Without an IOMMU there is nothing to gather. */
	for (unsigned int i = 0; i < 2; i++) {
		struct bounced x = bounced_new(&direct, UNMAPPED);

		write_byte(&direct, x.addr, 0x21);
		dma_gather_begin(i ? direct.dev : NULL, &gather);
		gather_in(&direct, &x, UNMAPPED, 0, &gather);
		assert_int_equal(x.b.at[0], 0x21);
		assert_int_equal(lent(NULL), 0);
		dma_gather_end(&gather);
		bounced_free(&direct, &x, UNMAPPED);
	}
	device_close(&d, 0);
	device_close(&other, 0);
	device_close(&direct, 0);
}

/* What has no copies, and what has, in one gather. */
static void beside_what_is_not_bounced(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	uint8_t *pages = pages_new(4, 1);
	struct bounced x = bounced_new(&d, UNLINKED), y = bounced_new(&d, UNMAPPED);
	struct dma_iova_state iova = reserve(&d, 0, 2 * PAGE);
	dma_addr_t addr = dma_map_single(d.dev, pages, PAGE, DMA_BIDIRECTIONAL);
	uint64_t invalidations = stats_of(&d).iotlb_invalidations;
	struct dma_gather gather;

	link_at(&d, &iova, 0, pages + PAGE, 2 * PAGE);
	write_granules(&d, x.addr, x.b.size, 0x21);
	write_granules(&d, y.addr, y.b.size, 0x22);
	dma_gather_begin(d.dev, &gather);
	dma_unmap_phys_gather(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	gather_in(&d, &x, UNLINKED, 0, &gather);
	dma_iova_unlink_gather(d.dev, &iova, 0, 2 * PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	gather_in(&d, &y, UNMAPPED, 0, &gather);
	assert_int_equal(stats_of(&d).iotlb_invalidations, invalidations);
	dma_gather_end(&gather);
	/* One for all of it. */
	assert_int_equal(stats_of(&d).iotlb_invalidations, invalidations + 1);
	assert_all(x.b.at, x.b.size, 0x21);
	assert_all(y.b.at, y.b.size, 0x22);
	assert_int_equal(lent(NULL), 0);
	dma_iova_free(d.dev, &iova);
	bounced_free(&d, &x, UNLINKED);
	bounced_free(&d, &y, UNMAPPED);
	free(pages);
	device_close(&d, 0);
}

/* Its cache lines are dropped when the device has lost its access: at once. */
static void devices_that_are_not_coherent_are_strict(void **state)
{
	struct device d = soft_open(state, ",coherent=off,untrusted");
	struct dma_gather gather;

	assert_int_equal(dma_set_min_align_mask(d.dev, 0xfff), 0);
	for (enum kind kind = UNLINKED; kind <= UNMAPPED; kind++) {
		struct bounced x = bounced_new(&d, kind);
		uint8_t *pages = aligned_alloc(PAGE, PAGE);
		dma_addr_t addr;

		memset(pages, 1, PAGE);
		addr = dma_map_single(d.dev, pages, PAGE, DMA_BIDIRECTIONAL);
		write_granules(&d, x.addr, x.b.size, 0x21);
		write_granules(&d, addr, PAGE, 0x22);
		dma_gather_begin(d.dev, &gather);
		gather_in(&d, &x, kind, 0, &gather);
		assert_refused_pages(&d, x.addr & ~(PAGE - 1), 2);
		assert_all(x.b.at, x.b.size, 0x21);
		assert_neighbours(&x.b);
		assert_int_equal(lent(NULL), 0);
		dma_unmap_phys_gather(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
		assert_refused(&d, addr);
		assert_all(pages, PAGE, 0x22);
		dma_gather_end(&gather);
		bounced_free(&d, &x, kind);
		free(pages);
	}
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(until_the_end),
		EACH_FORMAT(a_full_gather),
		EACH_FORMAT(linking_in_between),
		EACH_FORMAT(the_later_write_wins),
		EACH_FORMAT(unlinking_then_destroying),
		EACH_FORMAT(strict_without_a_gather),
		EACH_FORMAT(beside_what_is_not_bounced),
		EACH_FORMAT(devices_that_are_not_coherent_are_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
