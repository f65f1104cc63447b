/* SPDX-License-Identifier: MIT */
/* Memory that goes while devices have it: they are refused, and whoever forgot it is told. */
#include "calls.h"

#define PAGES 4
#define SIZE (PAGES * PAGE)

static uint8_t *own;

static void come(void)
{
	own = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(own, MAP_FAILED);
	memset(own, 5, SIZE);
}

static void go(void)
{
	munmap(own, SIZE);
	wait_for_probe();
}

static phys_addr_t own_phys(size_t page)
{
	return (phys_addr_t)(uintptr_t)own + page * PAGE;
}

/* Short, long, unaligned, across pages, and atomic ones; the fault says why. */
static void transfers_are_refused(dma_addr_t addr, phys_addr_t phys, struct place origin)
{
	static uint8_t buffer[2 * PAGE];
	static const struct {
		size_t offset, len;
	} transfers[] = {{0, 8}, {16, 3}, {100, 1000}, {0, PAGE}, {64, 2 * PAGE}};
	uint64_t expected = 0, desired = 1, faults = stats_of(&d).faults;
	struct dma_fault fault[16];
	dma_addr_t at;

	for (size_t i = 0; i < COUNT(transfers); i++) {
		at = addr + transfers[i].offset;
		assert_int_equal(dma_bus_read(d.port, at, buffer, transfers[i].len), -EFAULT);
		concerns(only(DMA_DEBUG_MEMORY_GONE, NOWHERE, origin), at, 1,
			 phys + transfers[i].offset);
		assert_int_equal(dma_bus_write(d.port, at, buffer, transfers[i].len), -EFAULT);
		concerns(only(DMA_DEBUG_MEMORY_GONE, NOWHERE, origin), at, 1,
			 phys + transfers[i].offset);
	}
	assert_int_equal(dma_bus_fetch_add(d.port, addr + 8, 8, 1, NULL), -EFAULT);
	only(DMA_DEBUG_MEMORY_GONE, NOWHERE, origin);
	assert_int_equal(dma_bus_cmpxchg(d.port, addr + 4, 4, &expected, &desired), -EFAULT);
	concerns(only(DMA_DEBUG_MEMORY_GONE, NOWHERE, origin), addr + 4, 1, phys + 4);
	assert_int_equal(stats_of(&d).faults, faults + 2 * COUNT(transfers) + 2);
	assert_int_equal(dma_space_read_faults(d.space, fault, COUNT(fault), NULL),
			 2 * COUNT(transfers) + 2);
	for (size_t i = 0; i < 2 * COUNT(transfers) + 2; i++)
		assert_int_equal(fault[i].reason, DMA_FAULT_MEMORY);
}

static void while_mapped(void **state)
{
	const struct kept *k;
	dma_addr_t addr;

	(void)state;
	come();
	addr = mapped(own_phys(0), SIZE, DMA_BIDIRECTIONAL);
	assert_reads(&d, addr, 5);
	go();
	transfers_are_refused(addr, own_phys(0), PLACE(first_map_phys));
	wait_for_probe();
	second_unmap_phys(d.dev, addr, SIZE, DMA_BIDIRECTIONAL, 0);
	k = only_at(DMA_DEBUG_MEMORY_GONE, second_unmap_phys, first_map_phys);
	concerns(k, addr, SIZE, own_phys(0));
	is_history(k, ACTIONS(DMA_DEBUG_MAPPED));
}

static void while_linked(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	struct phys_vec vec[PAGES];
	const struct kept *k;

	(void)state;
	come();
	for (size_t i = 0; i < PAGES; i++)
		vec[i] = (struct phys_vec){own_phys(PAGES - 1 - i), PAGE};
	assert_int_equal(first_link_vec(d.dev, &s, vec, PAGES, 0, DMA_BIDIRECTIONAL, 0), 0);
	synced(&s, 0, PAGES);
	assert_reads(&d, s.addr, 5);
	go();
	transfers_are_refused(s.addr, own_phys(PAGES - 1), PLACE(first_link_vec));
	wait_for_probe();
	second_unlink(d.dev, &s, PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	k = only_at(DMA_DEBUG_MEMORY_GONE, second_unlink, first_link_vec);
	concerns(k, s.addr + PAGE, PAGE, own_phys(PAGES - 2));
	is_history(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED, DMA_DEBUG_SYNCED));
	third_unlink(d.dev, &s, 0, PAGE, DMA_BIDIRECTIONAL, 0);
	nr_kept = 0; /* it is not looked for every time */
	third_unlink(d.dev, &s, 2 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	nr_kept = 0;
	wait_for_probe();
	third_unlink(d.dev, &s, 3 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	only_at(DMA_DEBUG_MEMORY_GONE, third_unlink, first_link_vec);
	third_free(d.dev, &s);
}

static void at_the_destroy(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	come();
	assert_int_equal(first_link(d.dev, &s, own_phys(0), 0, SIZE, DMA_TO_DEVICE, 0), 0);
	go();
	second_destroy(d.dev, &s, SIZE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_MEMORY_GONE, second_destroy, first_link);
}

static void when_asked(void **state)
{
	const struct kept *k;
	dma_addr_t addr;

	(void)state;
	come();
	addr = mapped(own_phys(0), SIZE, DMA_TO_DEVICE);
	assert_int_equal(dma_debug_check(d.space), 1);
	only_at(DMA_DEBUG_LEAK, first_map_phys, first_map_phys);
	go();
	assert_int_equal(dma_debug_check(d.space), 2);
	assert_int_equal(nr_kept, 2);
	among(DMA_DEBUG_LEAK, PLACE(first_map_phys), PLACE(first_map_phys));
	k = among(DMA_DEBUG_MEMORY_GONE, PLACE(first_map_phys), PLACE(first_map_phys));
	concerns(k, addr, SIZE, own_phys(0));
	nr_kept = 0;
	wait_for_probe();
	second_unmap_phys(d.dev, addr, SIZE, DMA_TO_DEVICE, 0);
	only_at(DMA_DEBUG_MEMORY_GONE, second_unmap_phys, first_map_phys);
}

static void when_asked_of_links(void **state)
{
	struct dma_iova_state s = reserved(SIZE + 2 * PAGE);
	const struct kept *k;

	(void)state;
	come();
	linked(&s, 0, 1, DMA_TO_DEVICE);
	assert_int_equal(second_link(d.dev, &s, own_phys(0), PAGE, SIZE, DMA_TO_DEVICE, 0), 0);
	go();
	assert_int_equal(dma_debug_check(d.space), 2);
	among(DMA_DEBUG_LEAK, PLACE(first_try_alloc), PLACE(first_try_alloc));
	k = among(DMA_DEBUG_MEMORY_GONE, PLACE(second_link), PLACE(second_link));
	concerns(k, s.addr + PAGE, PAGE, own_phys(0));
	nr_kept = 0;
	third_destroy(d.dev, &s, PAGE + SIZE, DMA_TO_DEVICE, 0);
	nr_kept = 0; /* one page is looked for, which may be the one that is there */
}

/* A page of several: only transfers to it are refused. */
static void one_page(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	come();
	assert_int_equal(first_link(d.dev, &s, own_phys(0), 0, SIZE, DMA_BIDIRECTIONAL, 0), 0);
	synced(&s, 0, PAGES);
	munmap(own + 2 * PAGE, PAGE);
	assert_reads(&d, s.addr, 5);
	assert_reads(&d, s.addr + 3 * PAGE, 5);
	silent();
	assert_int_equal(dma_bus_read(d.port, s.addr + 2 * PAGE, &(char){0}, 1), -EFAULT);
	concerns(only(DMA_DEBUG_MEMORY_GONE, NOWHERE, PLACE(first_link)), s.addr + 2 * PAGE, 1,
		 own_phys(2));
	third_destroy(d.dev, &s, SIZE, DMA_BIDIRECTIONAL, 0);
	nr_kept = 0;
	munmap(own, SIZE);
}

/* Memory that is reached by calls may refuse, and is all there. */

static int refuse_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	(void)arg;
	(void)offset;
	(void)buf;
	(void)len;
	return -EIO;
}

static int refuse_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	(void)arg;
	(void)offset;
	(void)buf;
	(void)len;
	return -EIO;
}

static void memory_that_refuses(void **state)
{
	static const struct dma_memory_ops ops = {refuse_read, refuse_write};
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .fd = -1, .ops = &ops};
	phys_addr_t base;
	dma_addr_t addr;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	addr = first_map_resource(d.dev, base, PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	assert_refused(&d, addr);
	assert_int_equal(dma_bus_fetch_add(d.port, addr, 4, 1, NULL), -EFAULT);
	silent();
	wait_for_probe();
	third_unmap_resource(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
	silent();
	assert_int_equal(dma_memory_unregister(base), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON(while_mapped, "soft:pgtable=vtd-ss"),
		ON(while_mapped, "soft:pgtable=x86-64"),
		ON(while_mapped, "soft:untrusted"),
		ON(while_mapped, "direct:"),
		ON(while_linked, "soft:pgtable=vtd-ss"),
		ON(while_linked, "soft:pgtable=x86-64"),
		ON(while_linked, "soft:untrusted"),
		ON(at_the_destroy, "soft:pgtable=vtd-ss"),
		ON(at_the_destroy, "soft:pgtable=x86-64"),
		ON(at_the_destroy, "soft:coherent=off"),
		ON(at_the_destroy, "soft:bounce=force"),
		EACH_DEVICE(when_asked),
		EACH_SOFT(when_asked_of_links),
		ON(one_page, "soft:pgtable=vtd-ss"),
		ON(one_page, "soft:pgtable=x86-64"),
		ON(memory_that_refuses, "soft:pgtable=vtd-ss"),
		ON(memory_that_refuses, "soft:coherent=off"),
		ON(memory_that_refuses, "direct:"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
