/* SPDX-License-Identifier: MIT */
/*
 * A device sees exactly what is linked, byte for byte: whole granules of it (CONTRACT 2.2,
 * step 5), and nothing before and after.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <twostep/bus.h>
#include <twostep/device.h>
#include <twostep/iova.h>
#include <twostep/memory.h>

#include "../slow.h"

#define PAGE 4096UL
#define LARGE (512 * PAGE)
#define MEMORY (3 * LARGE)
/* An odd one meets every remainder all the same. */
#define STEP (SLOW > 1 ? 11 : 1)
#define LARGE_STEP (SLOW > 1 ? 4 : 1)

static struct dma_dev *dev;
static struct dma_port *port;
static uint8_t *memory; /* a large page's alignment; no two words are the same */
static uint8_t *shadow;

/* Bytes that no other place has, in words of 4. */
static void fill(uint8_t *bytes, size_t len, uint32_t first)
{
	for (size_t i = 0; i < len / 4; i++) {
		uint32_t word = (first + (uint32_t)i) * 2654435761U;

		memcpy(bytes + 4 * i, &word, 4);
	}
}

static int open_device(void **state)
{
	uint8_t *map = mmap(NULL, MEMORY + LARGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	memory = (uint8_t *)(((uintptr_t)map + LARGE - 1) & ~(LARGE - 1));
	shadow = malloc(MEMORY);
	assert_non_null(shadow);
	fill(memory, MEMORY, 1);
	memcpy(shadow, memory, MEMORY);
	assert_int_equal(dma_dev_open(*state, &dev), 0);
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(40)), 0);
	port = dma_dev_port(dev);
	return 0;
}

static int close_device(void **state)
{
	struct dma_stats stats;

	(void)state;
	assert_int_equal(dma_space_stats(dma_dev_space(dev), &stats), 0);
	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.misuse, 0);
	dma_dev_close(dev);
	free(shadow);
	return 0;
}

static void refused(dma_addr_t addr)
{
	uint8_t byte = 0x5a;

	assert_int_equal(dma_bus_read(port, addr, &byte, 1), -EFAULT);
	assert_int_equal(byte, 0x5a);
	assert_int_equal(dma_bus_write(port, addr, &byte, 1), -EFAULT);
}

/* A read of the granules [first, end) of the bus gives what @expected has. */
static void reads(dma_addr_t first, size_t len, const uint8_t *expected)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	memset(buf, 0x5a, len);
	assert_int_equal(dma_bus_read(port, first, buf, len), 0);
	assert_memory_equal(buf, expected, len);
	free(buf);
}

/* Write at @addr, which is @place in memory: these bytes change, and no others. */
static void writes(dma_addr_t addr, size_t len, size_t place)
{
	static uint32_t unique = 1U << 24;
	uint8_t *buf = malloc(len + 8);
	size_t first = place & ~(PAGE - 1), end = (place + len + PAGE - 1) & ~(PAGE - 1);

	assert_non_null(buf);
	fill(buf, len + 8, unique);
	unique += (uint32_t)(len / 4 + 2);
	assert_int_equal(dma_bus_write(port, addr, buf, len), 0);
	memcpy(shadow + place, buf, len);
	/* With a granule on either side. */
	if (first)
		first -= PAGE;
	if (end < MEMORY)
		end += PAGE;
	assert_memory_equal(memory + first, shadow + first, end - first);
	free(buf);
}

/* What begins at @place in memory is linked at @addr, @len bytes of it. */
static void sees_exactly(dma_addr_t addr, size_t place, size_t len)
{
	size_t first = place & ~(PAGE - 1), end = (place + len + PAGE - 1) & ~(PAGE - 1);
	dma_addr_t start = addr & ~(PAGE - 1);

	assert_int_equal(addr & (PAGE - 1), place & (PAGE - 1));
	/* The bytes themselves, then head and tail of the granules as well. */
	reads(addr, len, shadow + place);
	reads(start, end - first, shadow + first);
	writes(addr, len, place);
	writes(start, end - first, first);
	refused(start - 1);
	refused(start + (end - first));
	/* A transfer that runs over the end has done the granules before it. */
	if (end - first <= 4 * PAGE) {
		uint8_t buf[5 * PAGE];

		memset(buf, 0x5a, sizeof(buf));
		assert_int_equal(dma_bus_read(port, start, buf, end - first + 1), -EFAULT);
		assert_memory_equal(buf, shadow + first, end - first);
		assert_int_equal(buf[end - first], 0x5a);
	}
}

/* A link, and the same as a vector of pieces of @piece bytes. */
static void one_place(size_t place, size_t len, size_t piece)
{
	phys_addr_t phys = virt_to_phys(memory + place);
	struct phys_vec vec[2 * LARGE / PAGE + 2];
	struct dma_iova_state state;
	size_t nr = 0;

	assert_true(dma_iova_try_alloc(dev, &state, phys, len));
	assert_int_equal(dma_iova_link(dev, &state, phys, 0, len, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(dma_iova_sync(dev, &state, 0, len), 0);
	sees_exactly(state.addr, place, len);
	dma_iova_destroy(dev, &state, len, DMA_BIDIRECTIONAL, 0);
	refused(state.addr);

	assert_true(dma_iova_try_alloc(dev, &state, phys, len));
	for (size_t at = 0, end; at < len; at = end) {
		end = ((place + at) & ~(PAGE - 1)) + piece - place;
		if (end > len)
			end = len;
		vec[nr++] = (struct phys_vec){phys + at, end - at};
	}
	assert_int_equal(dma_iova_link_vec(dev, &state, vec, nr, 0, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(dma_iova_sync(dev, &state, 0, len), 0);
	sees_exactly(state.addr, place, len);
	dma_iova_destroy(dev, &state, len, DMA_BIDIRECTIONAL, 0);
	refused(state.addr);
}

static const size_t lengths[] = {
	1,    2,    3,	  4,	5,    7,    8,	  15,	16,   17,   63,	   64,	  511,	 512,
	1000, 2048, 4094, 4095, 4096, 4097, 4098, 8191, 8192, 8193, 12287, 12288, 12289,
};

/* Every start inside a granule, with lengths that end around every kind of border. */
static void every_start(void **state)
{
	(void)state;
	for (size_t start = 0; start < PAGE; start += STEP) {
		size_t length = lengths[start % (sizeof(lengths) / sizeof(lengths[0]))];

		one_place(5 * PAGE + start, length, PAGE);
		/* One that ends exactly with a granule, and its neighbours. */
		one_place(5 * PAGE + start, PAGE - start + start % 3 * PAGE, PAGE);
		if (PAGE - start > 1)
			one_place(5 * PAGE + start, PAGE - start - 1, PAGE);
		one_place(5 * PAGE + start, PAGE - start + 1, PAGE);
	}
}

/* Every length to a granule and a bit, from starts around every kind of border. */
static void every_length(void **state)
{
	static const size_t starts[] = {0, 1, 8, 63, 511, 2047, 2048, 4032, 4094, 4095};

	(void)state;
	for (size_t len = 1; len <= PAGE + 64; len += STEP)
		one_place(9 * PAGE + starts[len % (sizeof(starts) / sizeof(starts[0]))], len, PAGE);
}

/* Starts and ends around the borders of large entries, which may be large or not. */
static void across_large_borders(void **state)
{
	static const long around[] = {-4097, -4096, -4095, -1, 0, 1, 4095, 4096, 4097};
	const size_t n = sizeof(around) / sizeof(around[0]);

	(void)state;
	for (size_t i = 0; i < n; i += LARGE_STEP) {
		size_t from = LARGE + (size_t)around[i], to = LARGE + (size_t)around[n - 1 - i];

		/* A large page and more, on both sides of one border, and around two. */
		one_place(from, LARGE + (size_t)around[(i * 4) % n], PAGE);
		one_place(from, LARGE + (size_t)around[(i * 7) % n], 16 * PAGE);
		if (to > from)
			one_place(from, to - from, PAGE);
		one_place(LARGE - 3 * PAGE + 1, 3 * PAGE + (size_t)around[i], PAGE);
	}
	one_place(LARGE, LARGE, PAGE);
	one_place(LARGE, LARGE, LARGE);
	one_place(0, 2 * LARGE, PAGE);
	one_place(LARGE - PAGE, LARGE + 2 * PAGE, PAGE);
}

/* Pieces out of order and far apart: each is where it belongs, whole, and nothing else. */
static void scattered(void **state)
{
	enum { PIECES = 24 };
	struct phys_vec vec[PIECES];
	struct dma_iova_state iova;
	uint8_t expected[4 * PIECES * PAGE];
	size_t len = 0, place[PIECES];

	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		size_t in = i ? 0 : 1234;

		place[i] = (i * 37 % PIECES) * 19 * PAGE + in;
		vec[i].paddr = virt_to_phys(memory + place[i]);
		vec[i].len = (1 + i % 4) * PAGE - in - (i == PIECES - 1 ? 77 : 0);
		memcpy(expected + len, shadow + place[i], vec[i].len);
		len += vec[i].len;
	}
	assert_true(dma_iova_try_alloc(dev, &iova, vec[0].paddr, len));
	assert_int_equal(dma_iova_link_vec(dev, &iova, vec, PIECES, 0, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(dma_iova_sync(dev, &iova, 0, len), 0);
	reads(iova.addr, len, expected);
	/* Every pair of neighbours, across the seam. */
	for (size_t i = 1, at = vec[0].len; i < PIECES; at += vec[i++].len)
		reads(iova.addr + at - 1, 2, expected + at - 1);
	for (size_t i = 0, at = 0; i < PIECES; at += vec[i++].len)
		writes(iova.addr + at, vec[i].len, place[i]);
	refused((iova.addr & ~(PAGE - 1)) - 1);
	refused((iova.addr + len + PAGE - 1) & ~(PAGE - 1));
	dma_iova_destroy(dev, &iova, len, DMA_BIDIRECTIONAL, 0);
}

#define TEST(function, uri)                                                                       \
	{                                                                                         \
#function " on " uri, function, open_device, close_device, (void *)(uintptr_t)uri \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_start, "soft:"),
		TEST(every_length, "soft:"),
		TEST(across_large_borders, "soft:"),
		TEST(scattered, "soft:"),
		TEST(every_start, "soft:pgtable=x86-64,absent=cache"),
		TEST(every_length, "soft:pgtable=x86-64,absent=cache"),
		TEST(across_large_borders, "soft:pgtable=x86-64,absent=cache"),
		TEST(scattered, "soft:pgtable=x86-64,absent=cache"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
