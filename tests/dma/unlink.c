/* SPDX-License-Identifier: MIT */
/* Unlinking: what the device can still reach afterwards, and what counts as misuse. */
#include "setup.h"

#define PAGES 8

struct linked {
	struct device d;
	struct dma_iova_state iova;
	uint8_t *memory;
};

static struct linked linked_open(void **state)
{
	struct linked l = {.d = soft_open(state, ""), .memory = pages_new(PAGES, 1)};

	l.iova = reserve(&l.d, 0, PAGES * PAGE - 100);
	link_at(&l.d, &l.iova, 0, l.memory, PAGES * PAGE - 100);
	assert_reads_pages(&l.d, l.iova.addr, PAGES, 1);
	return l;
}

static void linked_close(struct linked *l, uint64_t misuse)
{
	dma_iova_free(l->d.dev, &l->iova);
	device_close(&l->d, misuse);
	free(l->memory);
}

static uint64_t count_bits(unsigned int mask)
{
	uint64_t count = 0;

	for (; mask; mask &= mask - 1)
		count++;
	return count;
}

/* @mask has a bit for each page that is linked still. */
static void check_pages(const struct linked *l, unsigned int mask)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		if (mask & 1U << i)
			assert_reads(&l->d, l->iova.addr + i * PAGE, i + 1);
		else
			assert_refused(&l->d, l->iova.addr + i * PAGE);
	}
	assert_int_equal(stats_of(&l->d).bytes_mapped, count_bits(mask) * PAGE);
	assert_int_equal(stats_of(&l->d).iova_live, 1);
}

static void whole_granules_go(void **state)
{
	struct linked l = linked_open(state);
	struct misuse misuse = misuse_expect(&l.d);

	unlink_at(&l.d, &l.iova, PAGE + 1, 1);
	check_pages(&l, 0xfd);
	unlink_at(&l.d, &l.iova, 3 * PAGE - 1, 2);
	check_pages(&l, 0xf1);
	unlink_at(&l.d, &l.iova, 0, 1);
	check_pages(&l, 0xf0);
	unlink_at(&l.d, &l.iova, PAGES * PAGE - 101, 1);
	check_pages(&l, 0x70);
	unlink_at(&l.d, &l.iova, 4 * PAGE, 3 * PAGE);
	check_pages(&l, 0);
	misuse_check(&l.d, misuse, 0);
	linked_close(&l, 0);
}

static void a_hole_is_misuse(void **state)
{
	struct linked l = linked_open(state);
	struct misuse misuse;

	unlink_at(&l.d, &l.iova, 3 * PAGE, PAGE);
	misuse = misuse_expect(&l.d);
	unlink_at(&l.d, &l.iova, 2 * PAGE, 3 * PAGE);
	check_pages(&l, 0xe3);
	misuse_check(&l.d, misuse, 1);
	/* All of it a hole: the second time. */
	misuse = misuse_expect(&l.d);
	unlink_at(&l.d, &l.iova, 2 * PAGE, 3 * PAGE);
	check_pages(&l, 0xe3);
	misuse_check(&l.d, misuse, 1);
	unlink_at(&l.d, &l.iova, 0, 2 * PAGE);
	unlink_at(&l.d, &l.iova, 5 * PAGE, 3 * PAGE - 100);
	linked_close(&l, 2);
}

static void outside_of_the_reservation(void **state)
{
	static const struct {
		size_t offset, size;
		unsigned int left;
	} cases[] = {
		{PAGES * PAGE - 100, 1, 0xff},
		{PAGES * PAGE, PAGE, 0xff},
		{SIZE_MAX - 10, 100, 0xff},
		{0, 0, 0xff},
		{SIZE_MAX, SIZE_MAX, 0xff},
		/* What lies inside goes. */
		{7 * PAGE, PAGE, 0x7f},
		{5 * PAGE, SIZE_MAX, 0x1f},
		{4 * PAGE + 1, SIZE_MAX - 4 * PAGE, 0x0f},
	};
	struct linked l = linked_open(state);
	/* A neighbour that must not notice. */
	struct dma_iova_state next = reserve(&l.d, 0, PAGE);
	struct dma_iova_state empty = {0};
	struct misuse misuse;

	link_at(&l.d, &next, 0, l.memory, PAGE);
	for (size_t i = 0; i < COUNT(cases); i++) {
		misuse = misuse_expect(&l.d);
		unlink_at(&l.d, &l.iova, cases[i].offset, cases[i].size);
		misuse_check(&l.d, misuse, 1);
		assert_reads(&l.d, next.addr, 1);
		destroy(&l.d, &next, PAGE);
		check_pages(&l, cases[i].left);
		next = reserve(&l.d, 0, PAGE);
		link_at(&l.d, &next, 0, l.memory, PAGE);
		if (cases[i].left != 0xff) {
			unlink_at(&l.d, &l.iova, 0, count_bits(cases[i].left) * PAGE);
			link_at(&l.d, &l.iova, 0, l.memory, PAGES * PAGE - 100);
		}
	}
	misuse = misuse_expect(&l.d);
	unlink_at(&l.d, &empty, 0, PAGE);
	misuse_check(&l.d, misuse, 1);
	destroy(&l.d, &next, PAGE);
	unlink_at(&l.d, &l.iova, 0, PAGES * PAGE - 100);
	linked_close(&l, COUNT(cases) + 1);
}

/* The addresses stay reserved and may be linked again, to whatever. */
static void linking_again(void **state)
{
	struct linked l = linked_open(state);
	uint8_t *other = pages_new(PAGES, 0x80);
	struct misuse misuse = misuse_expect(&l.d);

	for (size_t i = 0; i < PAGES; i++) {
		size_t size = i == PAGES - 1 ? PAGE - 100 : PAGE;

		unlink_at(&l.d, &l.iova, i * PAGE, size);
		assert_refused(&l.d, l.iova.addr + i * PAGE);
		link_at(&l.d, &l.iova, i * PAGE, other + i * PAGE, size);
		assert_reads_pages(&l.d, l.iova.addr, i + 1, 0x80);
		if (i < PAGES - 1)
			assert_reads(&l.d, l.iova.addr + (i + 1) * PAGE, (unsigned int)i + 2);
	}
	/* Again where it is linked: no. */
	assert_int_equal(dma_iova_link(l.d.dev, &l.iova, virt_to_phys(l.memory), 0, PAGE,
				       DMA_BIDIRECTIONAL, 0),
			 -EADDRINUSE);
	assert_reads(&l.d, l.iova.addr, 0x80);
	dma_clear_error();
	unlink_at(&l.d, &l.iova, 0, PAGES * PAGE - 100);
	assert_refused_pages(&l.d, l.iova.addr, PAGES);
	link_at(&l.d, &l.iova, 0, l.memory, PAGE);
	assert_reads(&l.d, l.iova.addr, 1);
	unlink_at(&l.d, &l.iova, 0, PAGE);
	misuse_check(&l.d, misuse, 0);
	linked_close(&l, 0);
	free(other);
}

/* A device that reads and writes sees what its direction allows. */
static void directions(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(3, 1), byte = 0xee;
	struct dma_iova_state iova = reserve(&d, 0, 3 * PAGE);
	phys_addr_t phys = virt_to_phys(memory);
	bool write_only = !strcmp(*state, "vtd-ss");

	assert_int_equal(dma_iova_link(d.dev, &iova, phys, 0, PAGE, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(dma_iova_link(d.dev, &iova, phys + PAGE, PAGE, PAGE, DMA_FROM_DEVICE, 0),
			 0);
	assert_int_equal(
		dma_iova_link(d.dev, &iova, phys + 2 * PAGE, 2 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0),
		0);
	assert_reads(&d, iova.addr, 1);
	assert_int_equal(dma_bus_write(d.port, iova.addr, &byte, 1), -EFAULT);
	assert_int_equal(memory[0], 1);
	/* x86-64 cannot say that memory may only be written. */
	assert_int_equal(dma_bus_read(d.port, iova.addr + PAGE, &byte, 1),
			 write_only ? -EFAULT : 0);
	byte = 0xee;
	assert_int_equal(dma_bus_write(d.port, iova.addr + PAGE, &byte, 1), 0);
	assert_int_equal(memory[PAGE], 0xee);
	assert_reads(&d, iova.addr + 2 * PAGE, 3);
	assert_int_equal(dma_bus_write(d.port, iova.addr + 2 * PAGE, &byte, 1), 0);
	assert_int_equal(memory[2 * PAGE], 0xee);
	destroy(&d, &iova, 3 * PAGE);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(whole_granules_go),
		EACH_FORMAT(a_hole_is_misuse),
		EACH_FORMAT(outside_of_the_reservation),
		EACH_FORMAT(linking_again),
		EACH_FORMAT(directions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
