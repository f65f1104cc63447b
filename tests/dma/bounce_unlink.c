/* SPDX-License-Identifier: MIT */
/* The end of links that are bounced: right, wrong, or never. */
#include "bounce.h"

/* A granule of a few bytes each, as in a ring of small packets. */
#define RING 16
#define SMALL 0x40

struct ring {
	struct dma_iova_state iova;
	struct buffer b[RING];
};

static void ring_link(const struct device *d, struct ring *ring, size_t nr)
{
	ring->iova = reserve(d, 0, RING * PAGE);
	for (size_t i = 0; i < RING; i++) {
		ring->b[i] = buffer_new(0, SMALL + i);
		if (i >= nr)
			continue;
		link_at(d, &ring->iova, i * PAGE, ring->b[i].at, ring->b[i].size);
		write_granules(d, ring->iova.addr + i * PAGE, SMALL + i, (uint8_t)(0x40 + i));
	}
}

/* The first @back ones have what the device wrote, the others what they had. */
static void ring_check(struct ring *ring, size_t back)
{
	for (size_t i = 0; i < RING; i++) {
		struct buffer *b = &ring->b[i];

		if (i < back)
			assert_all(b->at, b->size, (uint8_t)(0x40 + i));
		else
			assert_memory_equal(b->at, b->was, b->size);
		assert_neighbours(b);
	}
}

static void ring_free(struct ring *ring)
{
	for (size_t i = 0; i < RING; i++)
		buffer_free(&ring->b[i]);
}

static void destroying_each_prefix(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct ring ring;

	for (size_t nr = 0; nr <= RING; nr++) {
		ring_link(&d, &ring, nr);
		assert_int_equal(lent(NULL), nr * PAGE);
		ring_check(&ring, 0);
		/* The last granule in whole, or as much as was linked. */
		destroy(&d, &ring.iova, nr % 2 ? (nr - 1) * PAGE + SMALL : nr * PAGE);
		ring_check(&ring, nr);
		assert_int_equal(lent(NULL), 0);
		ring_free(&ring);
	}
	device_close(&d, 0);
}

/* More is linked than is said: all of it ends in the way that is asked for. */
static void destroying_too_little(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct misuse misuse;
	struct ring ring;

	for (size_t said = 0; said < RING; said += 5) {
		ring_link(&d, &ring, RING);
		misuse = misuse_expect(&d);
		destroy(&d, &ring.iova, said * PAGE);
		misuse_check(&d, misuse, 1);
		ring_check(&ring, RING);
		assert_int_equal(lent(NULL), 0);
		ring_free(&ring);
	}
	device_close(&d, 4);
}

/* Nobody has said in which direction: nothing comes back. */
static void freeing_with_links_left(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct misuse misuse;
	struct ring ring;

	ring_link(&d, &ring, RING);
	misuse = misuse_expect(&d);
	dma_iova_free(d.dev, &ring.iova);
	misuse_check(&d, misuse, 1);
	assert_refused_pages(&d, ring.iova.addr, RING);
	ring_check(&ring, 0);
	assert_int_equal(lent(NULL), 0);
	ring_free(&ring);
	device_close(&d, 1);
}

static void what_is_leaked_gives_its_slots_back(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct dma_bounce *pool = pool_new(MIB, MIB);
	struct buffer b = buffer_new(0x80, 3 * PAGE);
	struct ring ring;

	assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
	ring_link(&d, &ring, RING);
	assert_int_not_equal(dma_map_single(d.dev, b.at, b.size, DMA_BIDIRECTIONAL),
			     DMA_MAPPING_ERROR);
	assert_int_equal(lent(pool), (RING + 3) * PAGE);
	dma_dev_close(d.dev);
	assert_int_equal(dma_leak_count(), d.leaks + 2);
	ring_check(&ring, 0);
	assert_as_before(&b);
	pool_free(pool);
	ring_free(&ring);
	buffer_free(&b);
}

/* Parts where nothing is linked are skipped, whatever is around them. */
static void unlinking_holes(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct misuse misuse;
	struct ring ring;

	ring_link(&d, &ring, RING);
	unlink_at(&d, &ring.iova, 3 * PAGE, 1);
	unlink_at(&d, &ring.iova, 7 * PAGE, 2 * PAGE);
	assert_int_equal(lent(NULL), (RING - 3) * PAGE);
	misuse = misuse_expect(&d);
	unlink_at(&d, &ring.iova, 3 * PAGE, PAGE);
	misuse_check(&d, misuse, 1);
	unlink_at(&d, &ring.iova, 0, RING * PAGE);
	misuse_check(&d, misuse, 2);
	ring_check(&ring, RING);
	assert_int_equal(lent(NULL), 0);
	unlink_at(&d, &ring.iova, 0, RING * PAGE);
	misuse_check(&d, misuse, 3);
	dma_iova_free(d.dev, &ring.iova);
	ring_free(&ring);
	device_close(&d, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(destroying_each_prefix),
		EACH_FORMAT(destroying_too_little),
		EACH_FORMAT(freeing_with_links_left),
		EACH_FORMAT(what_is_leaked_gives_its_slots_back),
		EACH_FORMAT(unlinking_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
