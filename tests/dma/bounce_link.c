/* SPDX-License-Identifier: MIT */
/* Links of which parts are bounced: what the device sees, and what comes back. */
#include "bounce.h"

/* Where a buffer begins in its first granule, and how long it is. */
static const struct shape {
	size_t start, size;
	unsigned int bounced; /* granules */
} shapes[] = {
	{0, PAGE, 0},
	{0, 3 * PAGE, 0},
	{0x800, 0x800, 1}, /* a head that ends with its granule */
	{0x800, 0x1800, 1},
	{0xfff, 1, 1},
	{0xfff, 1 + 2 * PAGE, 1},
	{0, 1, 1}, /* a tail */
	{0, 0x800, 1},
	{0, 0x1800, 1},
	{0, 2 * PAGE + 1, 1},
	{0x123, 0x10, 1}, /* inside of a granule */
	{0x800, 0x700, 1},
	{1, PAGE - 2, 1},
	{0xfff, 2, 2}, /* a head and a tail with nothing between */
	{0x800, PAGE, 2},
	{0x800, 2 * PAGE, 2}, /* with something between */
	{1, 4 * PAGE, 2},
	{0xabc, 3 * PAGE + 0x777, 2},
};

static const unsigned int masks[] = {0, 0xff, 0x7ff, 0xfff};
static const enum dma_data_direction dirs[] = {DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE};

#define EACH_SHAPE(shape) \
	for (const struct shape *shape = shapes; shape < shapes + COUNT(shapes); shape++)

/* Whether byte @i of the buffer lies in a granule that is the buffer's alone. */
static bool is_direct(const struct buffer *b, size_t i)
{
	size_t first = (b->start + i) & ~(PAGE - 1);

	return first >= b->start && first + PAGE <= b->start + b->size;
}

/* The device reads the bytes and no others; what is shared with neighbours is a copy. */
static void ends_are_copies(void **state)
{
	struct device d = soft_open(state, ",untrusted");

	EACH_SHAPE(shape)
	{
		struct buffer b = buffer_new(shape->start, shape->size);

		for (size_t mask = 0; mask < COUNT(masks); mask++) {
			struct dma_iova_state iova;

			assert_int_equal(dma_set_min_align_mask(d.dev, masks[mask]), 0);
			iova = link_buffer(&d, &b, DMA_BIDIRECTIONAL, 0);
			assert_int_equal(dma_iova_size(&iova), b.size);
			assert_int_equal(iova.addr % PAGE, b.start);
			assert_int_equal(lent(NULL), shape->bounced * PAGE);
			assert_sees(&d, iova.addr, b.at, b.size);
			/* What the CPU writes later, wherever, is not in the copy. */
			memset(b.pages, 0x99, b.nr_pages * PAGE);
			for (size_t i = 0; i < b.size; i++)
				assert_reads(&d, iova.addr + i,
					     is_direct(&b, i) ? 0x99 : content(i));
			buffer_reset(&b);
			destroy(&d, &iova, b.size);
			assert_refused(&d, iova.addr);
			assert_as_before(&b);
			assert_int_equal(lent(NULL), 0);
		}
		buffer_free(&b);
	}
	device_close(&d, 0);
}

/* A device that writes whole granules changes the buffer, and no neighbour. */
static void writes_come_back(void **state)
{
	struct device d = soft_open(state, ",untrusted");

	EACH_SHAPE(shape)
	{
		struct buffer b = buffer_new(shape->start, shape->size);

		for (size_t dir = 0; dir < COUNT(dirs); dir++) {
			struct dma_iova_state iova;

			if (dirs[dir] == DMA_TO_DEVICE)
				continue;
			iova = link_buffer(&d, &b, dirs[dir], 0);
			write_granules(&d, iova.addr, b.size, 0x33);
			for (size_t i = 0; i < b.size; i++)
				assert_int_equal(b.at[i], is_direct(&b, i) ? 0x33 : content(i));
			dma_iova_unlink(d.dev, &iova, 0, b.size, dirs[dir], 0);
			assert_all(b.at, b.size, 0x33);
			assert_neighbours(&b);
			dma_iova_free(d.dev, &iova);
			buffer_reset(&b);
		}
		buffer_free(&b);
	}
	assert_int_equal(lent(NULL), 0);
	device_close(&d, 0);
}

/* The whole buffer is copied in, whatever the direction, so a partial write loses nothing. */
static void bytes_that_were_not_written_stay(void **state)
{
	struct device d = soft_open(state, ",untrusted");

	EACH_SHAPE(shape)
	{
		struct buffer b = buffer_new(shape->start, shape->size);

		for (size_t dir = 0; dir < COUNT(dirs); dir++) {
			static const unsigned long attrs[] = {0, DMA_ATTR_SKIP_CPU_SYNC};

			for (size_t i = 0; i < COUNT(attrs); i++) {
				struct dma_iova_state iova =
					link_buffer(&d, &b, dirs[dir], attrs[i]);

				if (dirs[dir] != DMA_TO_DEVICE) {
					write_byte(&d, iova.addr, 0x44);
					write_byte(&d, iova.addr + b.size - 1, 0x55);
				}
				dma_iova_destroy(d.dev, &iova, b.size, dirs[dir], 0);
				if (dirs[dir] != DMA_TO_DEVICE) {
					assert_int_equal(b.at[b.size - 1], 0x55);
					b.at[b.size - 1] = b.was[b.size - 1];
					if (b.size > 1)
						assert_int_equal(b.at[0], 0x44);
					b.at[0] = b.was[0];
				}
				assert_as_before(&b);
			}
		}
		buffer_free(&b);
	}
	device_close(&d, 0);
}

/* What the CPU has written since is not lost to an old copy. */
static void nothing_comes_back_that_was_only_read(void **state)
{
	static const struct {
		enum dma_data_direction linked, unlinked;
		unsigned long attrs;
	} cases[] = {
		{DMA_TO_DEVICE, DMA_TO_DEVICE, 0},
		{DMA_BIDIRECTIONAL, DMA_TO_DEVICE, 0},
		{DMA_TO_DEVICE, DMA_TO_DEVICE, DMA_ATTR_SKIP_CPU_SYNC},
		{DMA_BIDIRECTIONAL, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC},
		{DMA_FROM_DEVICE, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC},
		{DMA_FROM_DEVICE, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_NO_WARN},
	};
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x123, 0x456);

	for (size_t i = 0; i < 2 * COUNT(cases); i++) {
		enum dma_data_direction linked = cases[i / 2].linked, dir = cases[i / 2].unlinked;
		struct dma_iova_state iova = link_buffer(&d, &b, linked, 0);

		if (linked != DMA_TO_DEVICE)
			write_granules(&d, iova.addr, b.size, 0x33);
		memset(b.at, 0x77, b.size);
		if (i % 2) {
			dma_iova_destroy(d.dev, &iova, b.size, dir, cases[i / 2].attrs);
		} else {
			dma_iova_unlink(d.dev, &iova, 0, b.size, dir, cases[i / 2].attrs);
			dma_iova_free(d.dev, &iova);
		}
		assert_all(b.at, b.size, 0x77);
		assert_neighbours(&b);
		assert_int_equal(lent(NULL), 0);
		buffer_reset(&b);
	}
	buffer_free(&b);
	device_close(&d, 0);
}

/* Of a vector the first piece's head and the last one's tail. */
static void vectors(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct buffer first = buffer_new(0x321, PAGE - 0x321 + PAGE);
	struct buffer middle = buffer_new(0, 2 * PAGE), last = buffer_new(0, PAGE + 5);
	const struct phys_vec vec[] = {
		{virt_to_phys(first.at), first.size},
		{virt_to_phys(middle.at), middle.size},
		{virt_to_phys(last.at), last.size},
	};
	size_t size = first.size + middle.size + last.size;
	struct dma_iova_state iova = reserve(&d, vec[0].paddr, size);
	uint8_t *expected = malloc(size);

	assert_non_null(expected);
	memcpy(expected, first.was, first.size);
	memcpy(expected + first.size, middle.was, middle.size);
	memcpy(expected + first.size + middle.size, last.was, last.size);
	assert_int_equal(dma_iova_link_vec(d.dev, &iova, vec, COUNT(vec), 0, DMA_BIDIRECTIONAL, 0),
			 0);
	assert_int_equal(lent(NULL), 2 * PAGE);
	assert_sees(&d, iova.addr, expected, size);
	write_granules(&d, iova.addr, size, 0x66);
	/* Piece by piece, as they were linked. */
	unlink_at(&d, &iova, first.size + middle.size, last.size);
	assert_all(last.at, last.size, 0x66);
	assert_int_equal(lent(NULL), PAGE);
	unlink_at(&d, &iova, first.size, middle.size);
	unlink_at(&d, &iova, 0, first.size);
	assert_all(first.at, first.size, 0x66);
	assert_all(middle.at, middle.size, 0x66);
	assert_neighbours(&first);
	assert_neighbours(&last);
	assert_int_equal(lent(NULL), 0);
	dma_iova_free(d.dev, &iova);
	free(expected);
	buffer_free(&first);
	buffer_free(&middle);
	buffer_free(&last);
	device_close(&d, 0);
}

/* The addresses stay, and other memory can come there. */
static void again_and_again(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct buffer a = buffer_new(0x10, PAGE + 0x200), b = buffer_new(0x10, PAGE + 0x200);
	struct dma_iova_state iova = reserve(&d, 0x10, a.size);

	for (unsigned int i = 0; i < 100; i++) {
		struct buffer *now = i % 2 ? &a : &b;

		memset(now->at, (int)i + 1, now->size);
		link_at(&d, &iova, 0, now->at, now->size);
		assert_sees(&d, iova.addr, now->at, now->size);
		write_granules(&d, iova.addr, now->size, (uint8_t)(i + 101));
		unlink_at(&d, &iova, 0, now->size);
		assert_refused_pages(&d, iova.addr & ~(PAGE - 1), 2);
		assert_all(now->at, now->size, (uint8_t)(i + 101));
		assert_neighbours(now);
		assert_int_equal(lent(NULL), 0);
	}
	dma_iova_free(d.dev, &iova);
	buffer_free(&a);
	buffer_free(&b);
	device_close(&d, 0);
}

/* A device that remembers absence sees a copy once it is synced. */
static void where_absence_is_cached(void **state)
{
	struct device d = soft_open(state, ",untrusted,absent=cache");
	struct buffer b = buffer_new(0x80, 2 * PAGE);
	struct dma_iova_state iova = reserve(&d, virt_to_phys(b.at), b.size);
	dma_addr_t first = iova.addr & ~(PAGE - 1);

	assert_refused_pages(&d, first, 3);
	link_at(&d, &iova, 0, b.at, b.size);
	assert_refused_pages(&d, first, 3);
	assert_int_equal(dma_iova_sync(d.dev, &iova, 0, b.size), 0);
	assert_sees(&d, iova.addr, b.at, b.size);
	write_granules(&d, iova.addr, b.size, 0x21);
	unlink_at(&d, &iova, 0, b.size);
	assert_refused_pages(&d, first, 3);
	assert_all(b.at, b.size, 0x21);
	assert_neighbours(&b);
	dma_iova_free(d.dev, &iova);
	buffer_free(&b);
	device_close(&d, 0);
}

/* One unit with copies in it: what is unlinked of it is all of it. */
static void whole_states(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 2 * PAGE), c = buffer_new(0, PAGE + 1);
	size_t size = 3 * PAGE - 0x80 + c.size;
	struct dma_iova_state iova;
	struct misuse misuse;

	for (unsigned int i = 0; i < 3; i++) {
		assert_true(
			dma_iova_try_alloc_flags(d.dev, &iova, b.start, size, 0, DMA_IOVA_WHOLE));
		link_at(&d, &iova, 0, b.at, b.size);
		link_at(&d, &iova, 3 * PAGE - 0x80, c.at, c.size);
		assert_int_equal(dma_iova_sync(d.dev, &iova, 0, size), 0);
		assert_int_equal(dma_iova_size(&iova), size);
		assert_int_equal(lent(NULL), 3 * PAGE);
		assert_sees(&d, iova.addr, b.at, b.size);
		write_granules(&d, iova.addr, size, 0x31);
		misuse = misuse_expect(&d);
		if (i == 0)
			unlink_at(&d, &iova, 0, size);
		else if (i == 1)
			unlink_at(&d, &iova, 3 * PAGE - 0x80, c.size);
		else
			destroy(&d, &iova, size);
		misuse_check(&d, misuse, i == 1);
		assert_refused_pages(&d, iova.addr & ~(PAGE - 1), 5);
		assert_int_equal(lent(NULL), 0);
		assert_all(b.at, b.size, 0x31);
		assert_all(c.at, c.size, 0x31);
		assert_neighbours(&b);
		assert_neighbours(&c);
		if (i < 2)
			dma_iova_free(d.dev, &iova);
		buffer_reset(&b);
		buffer_reset(&c);
	}
	buffer_free(&b);
	buffer_free(&c);
	device_close(&d, 1);
}

/* Trusted devices, and whole granules, have the memory itself. */
static void nothing_is_bounced_without_need(void **state)
{
	struct device trusted = soft_open(state, ""), d = soft_open(state, ",untrusted");
	struct buffer b = buffer_new(0x80, 2 * PAGE);
	struct dma_iova_state iova = link_buffer(&trusted, &b, DMA_BIDIRECTIONAL, 0);
	uint64_t maps = lent_ever(NULL);

	assert_reads(&trusted, iova.addr - 1, NEIGHBOUR);
	destroy(&trusted, &iova, b.size);
	iova = reserve(&d, 0, PAGE);
	assert_int_equal(dma_iova_link(d.dev, &iova, virt_to_phys(b.pages), 0, PAGE,
				       DMA_BIDIRECTIONAL, DMA_ATTR_REQUIRE_COHERENT),
			 0);
	write_byte(&d, iova.addr, 0x12);
	assert_int_equal(b.pages[0], 0x12);
	destroy(&d, &iova, PAGE);
	assert_int_equal(lent_ever(NULL), maps);
	buffer_free(&b);
	device_close(&trusted, 0);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(ends_are_copies),
		EACH_FORMAT(writes_come_back),
		EACH_FORMAT(bytes_that_were_not_written_stay),
		EACH_FORMAT(nothing_comes_back_that_was_only_read),
		EACH_FORMAT(vectors),
		EACH_FORMAT(again_and_again),
		EACH_FORMAT(where_absence_is_cached),
		EACH_FORMAT(whole_states),
		EACH_FORMAT(nothing_is_bounced_without_need),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
