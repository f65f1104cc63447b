/* SPDX-License-Identifier: MIT */
/* Transfers that come too early, too late, or in the wrong direction. */
#include "calls.h"

#define PAGES 8
#define SIZE (PAGES * PAGE)

static int reads(dma_addr_t addr)
{
	uint64_t word;

	return dma_bus_read(d.port, addr, &word, sizeof(word));
}

static int writes(dma_addr_t addr)
{
	uint64_t word = 0;

	return dma_bus_write(d.port, addr, &word, sizeof(word));
}

static int adds(dma_addr_t addr)
{
	return dma_bus_fetch_add(d.port, addr, 8, 1, NULL);
}

static int exchanges(dma_addr_t addr)
{
	uint64_t expected = 0, desired = 0;
	int err = dma_bus_cmpxchg(d.port, addr, 8, &expected, &desired);

	return err < 0 ? err : 0;
}

static int (*const transfers[])(dma_addr_t addr) = {reads, writes, adds, exchanges};

/* Before the sync, each kind of transfer once; a second one is the same mistake. */
static void before_the_sync(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	const struct kept *k;

	(void)state;
	linked(&s, 0, 5, DMA_BIDIRECTIONAL);
	for (size_t i = 0; i < COUNT(transfers); i++) {
		dma_addr_t addr = s.addr + i * PAGE + 16;

		assert_int_equal(transfers[i](addr), 0);
		k = only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NOWHERE, PLACE(first_link));
		/* The memory that was linked, which may not be what the device has. */
		concerns(k, addr, 1, phys_of(i) + 16);
		assert_string_equal(k->device, device_uri);
		is_history(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED));
		assert_int_equal(transfers[i](addr + 8), 0);
		silent();
	}
	synced(&s, 0, 5);
	assert_int_equal(reads(s.addr + 4 * PAGE), 0);
	silent();
	/* What is linked later is to be synced again. */
	third_unlink(d.dev, &s, PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	linked(&s, 1, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(reads(s.addr), 0);
	silent();
	assert_int_equal(reads(s.addr + PAGE), 0);
	k = only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NOWHERE, PLACE(first_link));
	ends_with(k, ACTIONS(DMA_DEBUG_LINKED, DMA_DEBUG_SYNCED, DMA_DEBUG_UNLINKED,
			     DMA_DEBUG_LINKED));
	destroyed(&s, 5, DMA_BIDIRECTIONAL);
}

static void before_the_sync_of_a_large_entry(void **state)
{
	struct expanse large = expanse_new(2 * MIB, 2 * MIB);
	struct dma_iova_state s = reserved(2 * MIB);

	(void)state;
	assert_int_equal(
		first_link(d.dev, &s, virt_to_phys(large.at), 0, 2 * MIB, DMA_BIDIRECTIONAL, 0), 0);
	assert_int_equal(reads(s.addr + MIB), 0);
	concerns(only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NOWHERE, PLACE(first_link)), s.addr + MIB, 1,
		 virt_to_phys(large.at + MIB));
	synced(&s, 0, 512);
	assert_int_equal(writes(s.addr + 5 * PAGE), 0);
	destroyed(&s, 512, DMA_BIDIRECTIONAL);
	expanse_free(&large);
}

/* Of a vector, and synced in part. */
static void before_the_sync_of_a_vector(void **state)
{
	struct phys_vec vec[4];
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){phys_of(10 - 2 * i), PAGE};
	assert_int_equal(first_link_vec(d.dev, &s, vec, COUNT(vec), 0, DMA_BIDIRECTIONAL, 0), 0);
	synced(&s, 0, 2);
	assert_int_equal(reads(s.addr), 0);
	assert_int_equal(adds(s.addr + PAGE), 0);
	silent();
	assert_int_equal(adds(s.addr + 2 * PAGE), 0);
	concerns(only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NOWHERE, PLACE(first_link_vec)),
		 s.addr + 2 * PAGE, 1, phys_of(6));
	destroyed(&s, 4, DMA_BIDIRECTIONAL);
}

/* An IOMMU that remembers that nothing was there refuses; it is the same mistake. */
static void refused_before_the_sync(void **state)
{
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	for (size_t i = 0; i < COUNT(transfers); i++) {
		dma_addr_t addr = s.addr + i * PAGE;

		assert_int_equal(transfers[i](addr), -EFAULT);
		silent();
		linked(&s, i, 1, DMA_BIDIRECTIONAL);
		assert_int_equal(transfers[i](addr), -EFAULT);
		concerns(only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NOWHERE, PLACE(first_link)), addr, 8,
			 phys_of(i));
		assert_int_equal(transfers[i](addr), -EFAULT);
		silent();
		synced(&s, i, 1);
		assert_int_equal(transfers[i](addr), 0);
		silent();
	}
	destroyed(&s, COUNT(transfers), DMA_BIDIRECTIONAL);
}

static void was_told_when(const struct kept *k)
{
	const char *before = strstr(k->text, " s before");

	assert_non_null(before);
	while (*before != ',')
		before--;
	assert_null(strchr(before + 1, '-'));
	assert_true(k->report.time_ns);
	for (size_t i = 1; i < k->report.nr_history; i++)
		assert_true(k->history[i - 1].time_ns <= k->history[i].time_ns);
}

static void after_the_unmap(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(transfers); i++) {
		dma_addr_t addr = mapped(phys_of(i), PAGE, DMA_BIDIRECTIONAL);
		const struct kept *k;

		assert_int_equal(transfers[i](addr + 16), 0);
		third_unmap_phys(d.dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
		silent();
		assert_int_equal(transfers[i](addr + 16), -EFAULT);
		k = only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(third_unmap_phys));
		concerns(k, addr + 16, 8, phys_of(i) + 16);
		ends_with(k, ACTIONS(DMA_DEBUG_MAPPED, DMA_DEBUG_UNMAPPED));
		was_told_when(k);
	}
}

static void after_the_unlink(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	const struct kept *k;

	(void)state;
	linked(&s, 0, 4, DMA_BIDIRECTIONAL);
	synced(&s, 0, 4);
	for (size_t i = 0; i < COUNT(transfers); i++) {
		dma_addr_t addr = s.addr + i * PAGE + 8;

		assert_int_equal(transfers[i](addr), 0);
		second_unlink(d.dev, &s, i * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
		silent();
		assert_int_equal(transfers[i](addr), -EFAULT);
		k = only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(second_unlink));
		concerns(k, addr, 8, phys_of(i) + 8);
		ends_with(k, ACTIONS(DMA_DEBUG_SYNCED, DMA_DEBUG_UNLINKED));
		assert_at(k->history[k->report.nr_history - 1].caller, PLACE(second_unlink));
	}
	/* Where nothing ever was, the device alone is wrong. */
	assert_int_equal(reads(s.addr + 6 * PAGE), -EFAULT);
	silent();
	third_free(d.dev, &s);
	/* Who took it away is told, not who freed the addresses later. */
	assert_int_equal(reads(s.addr), -EFAULT);
	only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(second_unlink));
	assert_int_equal(reads(s.addr + 6 * PAGE), -EFAULT);
	was_told_when(only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(third_free)));
}

static void after_the_destroy(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	const struct kept *k;

	(void)state;
	linked(&s, 0, PAGES, DMA_BIDIRECTIONAL);
	synced(&s, 0, PAGES);
	second_destroy(d.dev, &s, SIZE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(writes(s.addr + 3 * PAGE), -EFAULT);
	k = only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(second_destroy));
	concerns(k, s.addr + 3 * PAGE, 8, phys_of(3));
	is_history(k, ACTIONS(DMA_DEBUG_RESERVED, DMA_DEBUG_LINKED, DMA_DEBUG_SYNCED,
			      DMA_DEBUG_FREED));
	was_told_when(k);
	/* The addresses are another's now. */
	s = reserved(SIZE);
	linked(&s, 0, PAGES, DMA_BIDIRECTIONAL);
	synced(&s, 0, PAGES);
	assert_int_equal(writes(s.addr + 3 * PAGE), 0);
	silent();
	third_destroy(d.dev, &s, SIZE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(writes(s.addr + 3 * PAGE), -EFAULT);
	only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(third_destroy));
}

/* Longer transfers: the address is the first one that was refused. */
static void across_the_end(void **state)
{
	static uint8_t buffer[4 * PAGE];
	struct dma_iova_state s = reserved(SIZE);

	(void)state;
	linked(&s, 0, 4, DMA_BIDIRECTIONAL);
	synced(&s, 0, 4);
	second_unlink(d.dev, &s, 2 * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_bus_read(d.port, s.addr + 8, buffer, 3 * PAGE), -EFAULT);
	concerns(only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(second_unlink)), s.addr + 2 * PAGE,
		 PAGE + 8, phys_of(2));
	linked(&s, 2, 1, DMA_BIDIRECTIONAL);
	destroyed(&s, 4, DMA_BIDIRECTIONAL);
}

static void against_the_direction(void **state)
{
	dma_addr_t addr = mapped(phys_of(0), PAGE, DMA_TO_DEVICE);
	struct dma_iova_state s = reserved(SIZE);
	const struct kept *k;

	(void)state;
	assert_int_equal(reads(addr), 0);
	silent();
	for (size_t i = 1; i < COUNT(transfers); i++) {
		assert_int_equal(transfers[i](addr + 16), -EFAULT);
		k = only(DMA_DEBUG_ACCESS_DIRECTION, NOWHERE, PLACE(first_map_phys));
		concerns(k, addr + 16, 8, phys_of(0) + 16);
		is_history(k, ACTIONS(DMA_DEBUG_MAPPED));
	}
	unmapped(addr, PAGE, DMA_TO_DEVICE);
	linked(&s, 0, 1, DMA_TO_DEVICE);
	linked(&s, 1, 1, DMA_FROM_DEVICE);
	synced(&s, 0, 2);
	assert_int_equal(writes(s.addr), -EFAULT);
	concerns(only(DMA_DEBUG_ACCESS_DIRECTION, NOWHERE, PLACE(first_link)), s.addr, 8,
		 phys_of(0));
	assert_int_equal(writes(s.addr + PAGE), 0);
	silent();
	/* One format cannot keep a device from reading. */
	if (reads(s.addr + PAGE))
		concerns(only(DMA_DEBUG_ACCESS_DIRECTION, NOWHERE, PLACE(first_link)),
			 s.addr + PAGE, 8, phys_of(1));
	third_unlink(d.dev, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	third_unlink(d.dev, &s, PAGE, PAGE, DMA_FROM_DEVICE, 0);
	third_free(d.dev, &s);
}

/* Each of several devices in a space is known by its name. */
static void by_another_device(void **state)
{
	struct dma_iova_state s = reserved(SIZE);
	struct dma_dev *other;

	(void)state;
	assert_int_equal(dma_dev_open_in("soft:iotlb=16", d.space, &other), 0);
	linked(&s, 0, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(dma_bus_read(dma_dev_port(other), s.addr, &(char){0}, 1), 0);
	assert_string_equal(only(DMA_DEBUG_ACCESS_BEFORE_SYNC, NOWHERE, PLACE(first_link))->device,
			    "soft:iotlb=16");
	destroyed(&s, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(dma_bus_read(dma_dev_port(other), s.addr, &(char){0}, 1), -EFAULT);
	assert_string_equal(only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(third_destroy))->device,
			    "soft:iotlb=16");
	assert_int_equal(reads(s.addr), -EFAULT);
	assert_string_equal(only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(third_destroy))->device,
			    device_uri);
	dma_dev_close(other);
}

/* Where nothing is translated a device is only stopped where there is no memory any more. */
static void after_the_unmap_of_memory_that_went(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(transfers); i++) {
		uint8_t *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);
		dma_addr_t addr = mapped(virt_to_phys(own), PAGE, DMA_BIDIRECTIONAL);
		const struct kept *k;

		assert_int_equal(transfers[i](addr + 8), 0);
		unmapped(addr, PAGE, DMA_BIDIRECTIONAL);
		munmap(own, PAGE);
		assert_int_equal(transfers[i](addr + 8), -EFAULT);
		k = only(DMA_DEBUG_ACCESS_AFTER, NOWHERE, PLACE(third_unmap_phys));
		concerns(k, addr + 8, 8, (phys_addr_t)(uintptr_t)own + 8);
		was_told_when(k);
	}
	assert_int_equal(reads(0x1000), -EFAULT);
	silent();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON(before_the_sync, "soft:pgtable=vtd-ss"),
		ON(before_the_sync, "soft:pgtable=x86-64"),
		ON(before_the_sync, "soft:untrusted"),
		ON(before_the_sync, "soft:coherent=off"),
		ON(before_the_sync, "soft:bounce=force"),
		ON(before_the_sync_of_a_large_entry, "soft:pgtable=vtd-ss"),
		ON(before_the_sync_of_a_large_entry, "soft:pgtable=x86-64"),
		ON(before_the_sync_of_a_large_entry, "soft:coherent=off"),
		ON(before_the_sync_of_a_vector, "soft:pgtable=vtd-ss"),
		ON(before_the_sync_of_a_vector, "soft:pgtable=x86-64"),
		ON(before_the_sync_of_a_vector, "soft:bounce=force"),
		ON(refused_before_the_sync, "soft:absent=cache"),
		ON(refused_before_the_sync, "soft:pgtable=x86-64,absent=cache"),
		EACH_SOFT(after_the_unmap),
		EACH_SOFT(after_the_unlink),
		EACH_SOFT(after_the_destroy),
		EACH_SOFT(across_the_end),
		EACH_SOFT(against_the_direction),
		ON(by_another_device, "soft:pgtable=vtd-ss"),
		ON(by_another_device, "soft:pgtable=x86-64"),
		ON(after_the_unmap_of_memory_that_went, "direct:"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
