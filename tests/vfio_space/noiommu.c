/* SPDX-License-Identifier: MIT */
/*
 * Devices behind no IOMMU: what is in huge pages they get itself, by its physical address;
 * all else through buffers there. Each way to the addresses: by the page map, which here is a
 * file that the test writes, and by iommufd of the stand-in.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <twostep/bounce.h>
#include <twostep/coherent.h>
#include <twostep/debug.h>
#include <twostep/dmapool.h>
#include <twostep/scatterlist.h>

#include "setup.h"
#include "backend/vfio/kernel.h"
#include "base/base.h"

#define HUGE BASE_HUGE
#define BLOCKS 64
#define BY_GROUP "group"
#define BY_FILE "file"
#define EACH(test)                                                  \
	{#test " by group", test, NULL, NULL, (void *)BY_GROUP},    \
	{                                                           \
#test " by file", test, NULL, NULL, (void *)BY_FILE \
	}

/* What is in huge pages. */
static uint64_t blocks[BLOCKS];
static size_t nr_blocks;
static size_t huge_left;
static int map_file = -1, flags_file = -1;
static struct vfio_kernel wrapped;
static const struct vfio_kernel *stand_in;

static void put_number(int fd, uint64_t index, uint64_t number)
{
	assert_int_equal(pwrite(fd, &number, sizeof(number), (off_t)(index * sizeof(number))),
			 sizeof(number));
}

/* The block is at @phys, and huge or not. */
static void show_block(uint64_t start, uint64_t phys, bool huge)
{
	for (uint64_t at = 0; at < HUGE; at += PAGE)
		put_number(map_file, (start + at) / PAGE, 1ULL << 63 | (phys + at) / PAGE);
	put_number(flags_file, phys / PAGE, huge ? 1ULL << 17 : 1ULL << 5);
}

static void add_block(uint64_t start)
{
	assert_true(nr_blocks < BLOCKS);
	blocks[nr_blocks++] = start;
	show_block(start, fake_phys((void *)start), true);
}

/* Of an earlier test only what the library still has: its default pool. */
static void keep_blocks(void)
{
	size_t nr = nr_blocks;
	unsigned char there;

	nr_blocks = 0;
	for (size_t i = 0; i < nr; i++)
		if (!mincore((void *)blocks[i], PAGE, &there))
			add_block(blocks[i]);
}

static bool map_huge(uint64_t start, uint64_t size)
{
	if (size / HUGE > huge_left)
		return false;
	huge_left -= size / HUGE;
	if (mmap((void *)start, size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	for (uint64_t at = 0; at < size; at += HUGE)
		add_block(start + at);
	return true;
}

/* The scan of a page map that is a file. */
static int scan(int fd, unsigned long request, void *arg)
{
	struct uapi_page_scan *cmd = arg;

	if (request != UAPI_PAGEMAP_SCAN)
		return stand_in->ioctl(fd, request, arg);
	assert_int_equal(cmd->size, sizeof(*cmd));
	for (size_t i = 0; i < nr_blocks; i++) {
		if (blocks[i] != cmd->start)
			continue;
		*(struct uapi_page_region *)(uintptr_t)cmd->vec =
			(struct uapi_page_region){cmd->start, cmd->end, UAPI_PAGE_IS_HUGE};
		return 1;
	}
	return 0;
}

static int new_file(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/proc", fake_root());
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/proc/self", fake_root());
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/proc/%s", fake_root(), name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static void remove_file(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/proc/%s", fake_root(), name);
	unlink(path);
}

static void start(void **state)
{
	uint64_t here = (uintptr_t)&here;

	if (!fake_start(&(struct fake_options){.noiommu = true,
					       .noiommu_cdevs = !strcmp(*state, BY_FILE)}))
		exit(77);
	stand_in = vfio_kernel;
	wrapped = *stand_in;
	wrapped.ioctl = scan;
	vfio_kernel = &wrapped;
	map_file = new_file("self/pagemap");
	flags_file = new_file("kpageflags");
	keep_blocks();
	huge_left = BLOCKS;
	/* Frames are shown: so they are for the stack. */
	put_number(map_file, here / PAGE, 1ULL << 63 | 4711);
	for (uint64_t page = here / PAGE - 64; page < here / PAGE + 64; page++)
		put_number(map_file, page, 1ULL << 63 | 4711);
	base_huge_map = map_huge;
}

static void stop(void)
{
	close(map_file);
	close(flags_file);
	remove_file("self/pagemap");
	remove_file("kpageflags");
	remove_file("iomem");
	remove_file("self");
	{
		char path[256];

		snprintf(path, sizeof(path), "%s/proc/self", fake_root());
		rmdir(path);
		snprintf(path, sizeof(path), "%s/proc", fake_root());
		rmdir(path);
	}
	vfio_kernel = stand_in;
	machine_stop();
}

static int plug_bare(const char *bdf)
{
	return fake_plug(&(struct fake_function){.bdf = bdf, .group = -1});
}

static struct card open_bare(void **state, const char *more)
{
	struct card card = {.scheme = "vfio-noiommu", .leaks = dma_leak_count()};
	char uri[128];

	start(state);
	card.function = plug_bare(BDF);
	snprintf(uri, sizeof(uri), "vfio-noiommu:" BDF "%s", more);
	if (dma_dev_open(uri, &card.dev))
		fail_msg("%s: %s", uri, dma_last_error());
	assert_int_equal(dma_set_mask_and_coherent(card.dev, DMA_BIT_MASK(64)), 0);
	card.space = dma_dev_space(card.dev);
	return card;
}

static void close_bare(struct card *card)
{
	assert_int_equal(stats_of(card).misuse, 0);
	dma_dev_close(card->dev);
	assert_int_equal(dma_leak_count(), card->leaks);
	stop();
}

/* Ordinary memory, aligned as huge pages are. */
static uint8_t *blocks_new(size_t nr)
{
	uint64_t start = base_place(nr * HUGE, HUGE, UINT64_MAX, 0);

	assert_true(start && base_place_open(start, nr * HUGE));
	memset((void *)start, 0x77, nr * HUGE);
	return (uint8_t *)start;
}

static void blocks_free(uint8_t *memory, size_t nr)
{
	for (size_t i = 0; i < nr_blocks;)
		if (blocks[i] - (uintptr_t)memory < nr * HUGE)
			blocks[i] = blocks[--nr_blocks];
		else
			i++;
	base_place_free((uintptr_t)memory, nr * HUGE);
}

static dma_addr_t map_it(const struct card *card, void *memory, size_t size)
{
	dma_addr_t addr = dma_map_phys(card->dev, virt_to_phys(memory), size, DMA_BIDIRECTIONAL, 0);

	if (dma_mapping_error(card->dev, addr))
		fail_msg("%s", dma_last_error());
	return addr;
}

static void unmap_it(const struct card *card, dma_addr_t addr, size_t size)
{
	dma_unmap_phys(card->dev, addr, size, DMA_BIDIRECTIONAL, 0);
}

static void test_direct(void **state)
{
	struct card card = open_bare(state, ",bounce=off");
	uint8_t *memory = blocks_new(1), byte = 0x12;
	struct dma_iova_state iova;
	dma_addr_t addr, again;

	assert_false(dma_iova_try_alloc(card.dev, &iova, 0, PAGE));
	assert_true(dma_need_unmap(card.dev));
	add_block((uintptr_t)memory);
	addr = map_it(&card, memory + 100, 3 * PAGE);
	assert_int_equal(addr, fake_phys(memory + 100));
	assert_int_equal(fake_write(card.function, addr, &byte, 1), 0);
	assert_int_equal(memory[100], 0x12);
	/* The same again, and one byte of it, in any order. */
	again = map_it(&card, memory + 100, 1);
	assert_int_equal(again, addr);
	assert_false(dma_need_sync(card.dev, addr));
	dma_sync_single_for_cpu(card.dev, addr, 3 * PAGE, DMA_BIDIRECTIONAL);
	unmap_it(&card, addr, 3 * PAGE);
	unmap_it(&card, again, 1);
	/* Nothing stays pinned, or known. */
	assert_int_equal(fake_locked(), 0);
	blocks_free(memory, 1);
	close_bare(&card);
}

/* Memory that is put at the same addresses is other memory. */
static void test_not_remembered(void **state)
{
	struct card card = open_bare(state, ",bounce=off");
	uint8_t *memory = blocks_new(1);
	dma_addr_t addr;

	add_block((uintptr_t)memory);
	addr = map_it(&card, memory, PAGE);
	unmap_it(&card, addr, PAGE);
	show_block((uintptr_t)memory, 64 * HUGE, true);
	addr = map_it(&card, memory, PAGE);
	assert_int_equal(addr, 64 * HUGE);
	unmap_it(&card, addr, PAGE);
	/* And no huge page any more. */
	show_block((uintptr_t)memory, 64 * HUGE, false);
	addr = dma_map_phys(card.dev, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), -ENOMEM);
	blocks_free(memory, 1);
	close_bare(&card);
}

static void test_bounced(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *memory = pages_new(4), bytes[8];
	dma_addr_t addr = map_it(&card, memory + PAGE + 16, 2 * PAGE);

	assert_int_not_equal(addr, fake_phys(memory + PAGE + 16));
	assert_true(dma_need_sync(card.dev, addr));
	assert_int_equal(fake_read(card.function, addr, bytes, 8), 0);
	assert_int_equal(bytes[0], 1);
	/* Synced, then unmapped. */
	memset(bytes, 0x99, sizeof(bytes));
	assert_int_equal(fake_write(card.function, addr, bytes, 8), 0);
	assert_int_equal(memory[PAGE + 16], 1);
	dma_sync_single_for_cpu(card.dev, addr, 8, DMA_BIDIRECTIONAL);
	assert_int_equal(memory[PAGE + 16], 0x99);
	memory[PAGE + 20] = 0x55;
	dma_sync_single_range_for_device(card.dev, addr, 4, 1, DMA_BIDIRECTIONAL);
	assert_int_equal(fake_read(card.function, addr, bytes, 8), 0);
	assert_int_equal(bytes[4], 0x55);
	assert_int_equal(fake_write(card.function, addr + 2 * PAGE - 1, bytes, 1), 0);
	unmap_it(&card, addr, 2 * PAGE);
	assert_int_equal(memory[3 * PAGE + 15], 0x99);
	assert_int_equal(fake_locked(), 0);
	pages_free(memory, 4);
	close_bare(&card);
}

/* Blocks of which each is in one piece, and two are not. */
static void test_in_pieces(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *memory = blocks_new(2);
	dma_addr_t addr;

	add_block((uintptr_t)memory);
	add_block((uintptr_t)memory + HUGE);
	addr = map_it(&card, memory + HUGE - PAGE, 2 * PAGE);
	assert_int_not_equal(addr, fake_phys(memory + HUGE - PAGE));
	assert_int_equal(fake_write(card.function, addr + PAGE, "x", 1), 0);
	unmap_it(&card, addr, 2 * PAGE);
	assert_int_equal(memory[HUGE], 'x');
	assert_int_equal(memory[HUGE - 1], 0x77);
	assert_int_equal(fake_locked(), 0);
	if (!strcmp(*state, BY_GROUP)) {
		show_block((uintptr_t)memory, 100 * HUGE, true);
		show_block((uintptr_t)memory + HUGE, 101 * HUGE, true);
		addr = map_it(&card, memory + 1, 2 * HUGE - 1);
		assert_int_equal(addr, 100 * HUGE + 1);
		unmap_it(&card, addr, 2 * HUGE - 1);
	}
	blocks_free(memory, 2);
	close_bare(&card);
}

static void test_list(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *ordinary = pages_new(1), *huge = blocks_new(1);
	struct scatterlist list[2];

	add_block((uintptr_t)huge);
	memset(list, 0, sizeof(list));
	sg_set_phys(&list[0], virt_to_phys(ordinary), PAGE);
	sg_set_phys(&list[1], virt_to_phys(huge + PAGE), PAGE);
	assert_int_equal(dma_map_sg_attrs(card.dev, list, 2, DMA_FROM_DEVICE, 0), 2);
	assert_int_equal(sg_dma_address(&list[1]), fake_phys(huge + PAGE));
	assert_int_equal(fake_write(card.function, sg_dma_address(&list[0]), "left", 4), 0);
	assert_int_equal(fake_write(card.function, sg_dma_address(&list[1]), "right", 5), 0);
	assert_int_equal(ordinary[0], 0);
	dma_unmap_sg_attrs(card.dev, list, 2, DMA_FROM_DEVICE, 0);
	assert_memory_equal(ordinary, "left", 4);
	assert_memory_equal(huge + PAGE, "right", 5);
	assert_int_equal(fake_locked(), 0);
	pages_free(ordinary, 1);
	blocks_free(huge, 1);
	close_bare(&card);
}

static void test_refused(void **state)
{
	struct card card = open_bare(state, "");
	struct dma_memory_desc desc = {.type = DMA_MEMORY_RAM, .size = 4 * PAGE, .fd = -1};
	uint8_t *memory = pages_new(1);
	phys_addr_t base;
	dma_addr_t addr;
	struct dma_bounce *pool;

	/* What cannot be copied. */
	desc.fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(desc.fd, 4 * PAGE), 0);
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	addr = dma_map_phys(card.dev, base, PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), -ENOMEM);
	assert_non_null(strstr(dma_last_error(), "no IOMMU"));
	assert_int_equal(dma_memory_unregister(base), 0);
	close(desc.fd);
	/* But where it is known. */
	desc = (struct dma_memory_desc){.type = DMA_MEMORY_MMIO,
					.size = 4 * PAGE,
					.cpu = NULL,
					.fd = memfd_create("bar", MFD_CLOEXEC),
					.bus_addr = 0xfe000000};
	assert_int_equal(ftruncate(desc.fd, 4 * PAGE), 0);
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	addr = dma_map_phys(card.dev, base + PAGE, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	assert_int_equal(addr, 0xfe000000 + PAGE);
	dma_unmap_phys(card.dev, addr, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	assert_int_equal(dma_memory_unregister(base), 0);
	close(desc.fd);
	/* What must not be copied. */
	addr = dma_map_phys(card.dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	assert_int_equal(dma_mapping_error(card.dev, addr), -ENOMEM);
	/* A pool in memory that moves. */
	assert_int_equal(dma_bounce_create(&(struct dma_bounce_desc){.size = HUGE}, &pool), 0);
	assert_int_equal(dma_dev_set_bounce(card.dev, pool), -EINVAL);
	assert_non_null(strstr(dma_last_error(), ".hugepages"));
	assert_int_equal(dma_bounce_destroy(pool), 0);
	pages_free(memory, 1);
	close_bare(&card);
}

/* A pool of the program's own, until it is full, and what is left of it. */
static void test_own_pool(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *memory = pages_new(64);
	struct dma_bounce_stats stats;
	struct dma_bounce *pool;
	dma_addr_t addrs[8], addr;

	huge_left = 1;
	assert_int_equal(
		dma_bounce_create(&(struct dma_bounce_desc){.size = 1, .hugepages = true}, &pool),
		0);
	dma_bounce_stats(pool, &stats);
	assert_int_equal(stats.size, HUGE);
	assert_int_equal(dma_dev_set_bounce(card.dev, pool), 0);
	for (size_t i = 0; i < COUNT(addrs); i++)
		addrs[i] = map_it(&card, memory, 64 * PAGE);
	addr = dma_map_phys(card.dev, virt_to_phys(memory), PAGE, DMA_BIDIRECTIONAL, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), -ENOMEM);
	huge_left = 1;
	addr = map_it(&card, memory, PAGE);
	dma_bounce_stats(pool, &stats);
	assert_int_equal(stats.size, 2 * HUGE);
	unmap_it(&card, addr, PAGE);
	for (size_t i = 0; i < COUNT(addrs); i++)
		unmap_it(&card, addrs[i], 64 * PAGE);
	assert_int_equal(dma_dev_set_bounce(card.dev, NULL), 0);
	assert_int_equal(dma_bounce_destroy(pool), 0);
	huge_left = 0;
	assert_int_equal(
		dma_bounce_create(&(struct dma_bounce_desc){.size = 1, .hugepages = true}, &pool),
		-ENOMEM);
	assert_non_null(strstr(dma_last_error(), "nr_hugepages"));
	pages_free(memory, 64);
	close_bare(&card);
}

static void test_coherent(void **state)
{
	struct card card = open_bare(state, "");
	dma_addr_t first, second, large, none;
	uint8_t *one = dma_alloc_coherent(card.dev, PAGE, &first);
	uint8_t *two = dma_alloc_coherent(card.dev, 3 * PAGE, &second);
	uint8_t *three = dma_alloc_coherent(card.dev, HUGE, &large);

	assert_true(one && two && three);
	assert_int_equal(huge_left, BLOCKS - 2);
	assert_int_equal(first, fake_phys(one));
	assert_int_equal(second, fake_phys(two));
	assert_int_equal(large, fake_phys(three));
	assert_int_equal(second % (4 * PAGE), 0);
	assert_int_equal(one[0] | two[0] | three[HUGE - 1], 0);
	assert_int_equal(fake_write(card.function, second, "device", 6), 0);
	assert_memory_equal(two, "device", 6);
	/* Blocks of the stand-in are in disorder. */
	assert_null(dma_alloc_coherent(card.dev, 2 * HUGE, &none));
	assert_non_null(strstr(dma_last_error(), "2 MiB"));
	huge_left = 0;
	assert_null(dma_alloc_coherent(card.dev, HUGE, &none));
	assert_non_null(strstr(dma_last_error(), "nr_hugepages"));
	dma_free_coherent(card.dev, PAGE, one, first);
	dma_free_coherent(card.dev, 3 * PAGE, two, second);
	dma_free_coherent(card.dev, HUGE, three, large);
	assert_int_equal(fake_locked(), 0);
	close_bare(&card);
}

/* What is made of allocated memory. */
static void test_other_memory(void **state)
{
	struct card card = open_bare(state, "");
	struct dma_pool *pool = dma_pool_create("commands", card.dev, 64, 64, 0);
	dma_addr_t object_addr, pages_addr;
	struct sg_table *table;
	void *object, *pages, *memory;

	object = dma_pool_alloc(pool, &object_addr);
	assert_non_null(object);
	assert_int_equal(object_addr, fake_phys(object));
	pages = dma_alloc_pages(card.dev, 5 * PAGE, &pages_addr, DMA_FROM_DEVICE);
	assert_non_null(pages);
	assert_int_equal(pages_addr, fake_phys(pages));
	table = dma_alloc_noncontiguous(card.dev, 9 * PAGE, DMA_FROM_DEVICE, 0);
	assert_non_null(table);
	memory = dma_vmap_noncontiguous(card.dev, 9 * PAGE, table);
	assert_int_equal(sg_dma_address(table->sgl), fake_phys(memory));
	dma_pool_free(pool, object, object_addr);
	dma_pool_destroy(pool);
	dma_free_pages(card.dev, 5 * PAGE, pages, pages_addr, DMA_FROM_DEVICE);
	dma_free_noncontiguous(card.dev, 9 * PAGE, table, DMA_FROM_DEVICE);
	assert_int_equal(fake_locked(), 0);
	close_bare(&card);
}

/* Memory that a program forgets goes with the device. */
static void test_left(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *memory = pages_new(1);
	dma_addr_t addr;

	map_it(&card, memory, PAGE);
	assert_non_null(dma_alloc_coherent(card.dev, PAGE, &addr));
	dma_dev_close(card.dev);
	assert_int_equal(dma_leak_count(), card.leaks + 2);
	pages_free(memory, 1);
	stop();
}

/* Masks are of physical addresses; those of the stand-in have 51 bits. */
static void test_mask(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *memory = pages_new(1), *huge = blocks_new(1);
	dma_addr_t addr;

	add_block((uintptr_t)huge);
	assert_int_equal(dma_set_mask_and_coherent(card.dev, DMA_BIT_MASK(50)), 0);
	assert_true(dma_addressing_limited(card.dev));
	addr = dma_map_phys(card.dev, virt_to_phys(huge), PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(dma_mapping_error(card.dev, addr), -ENOMEM);
	assert_non_null(strstr(dma_last_error(), "wider mask"));
	assert_null(dma_alloc_coherent(card.dev, PAGE, &addr));
	assert_non_null(strstr(dma_last_error(), "wider mask"));
	if (!strcmp(*state, BY_GROUP)) {
		show_block((uintptr_t)huge, 100 * HUGE, true);
		addr = map_it(&card, huge, PAGE);
		assert_int_equal(addr, 100 * HUGE);
		unmap_it(&card, addr, PAGE);
	}
	assert_int_equal(fake_locked(), 0);
	pages_free(memory, 1);
	blocks_free(huge, 1);
	close_bare(&card);
}

static unsigned int reports;

static void count_report(const struct dma_debug_report *report, void *arg)
{
	(void)arg;
	(void)report;
	reports++;
}

/* Mistakes are told, correct use is not. */
static void test_checks(void **state)
{
	struct card card = open_bare(state, ",debug=on");
	uint8_t *memory = pages_new(1), *huge = blocks_new(1);
	dma_addr_t addr, coherent;
	void *block;

	reports = 0;
	dma_debug_set_handler(count_report, NULL);
	add_block((uintptr_t)huge);
	for (int i = 0; i < 2; i++) {
		addr = map_it(&card, i ? memory : huge, PAGE);
		dma_sync_single_for_cpu(card.dev, addr, PAGE, DMA_BIDIRECTIONAL);
		unmap_it(&card, addr, PAGE);
	}
	block = dma_alloc_coherent(card.dev, PAGE, &coherent);
	dma_free_coherent(card.dev, PAGE, block, coherent);
	assert_int_equal(reports, 0);
	unmap_it(&card, addr, PAGE);
	assert_int_equal(reports, 1);
	dma_debug_set_handler(NULL, NULL);
	pages_free(memory, 1);
	blocks_free(huge, 1);
	close_bare(&card);
}

static void assert_not_opened(int err, const char *why)
{
	struct dma_dev *dev = NULL;

	assert_int_equal(dma_dev_open("vfio-noiommu:" BDF, &dev), err);
	if (!strstr(dma_last_error(), why))
		fail_msg("\"%s\" does not say \"%s\"", dma_last_error(), why);
	assert_null(dev);
	assert_int_equal(fake_open_files(), 0);
}

static void test_opening(void **state)
{
	static struct fake_call calls[64];
	struct dma_dev *dev, *other;
	size_t nr;

	start(state);
	plug(SECOND_BDF, 7);
	plug_bare(BDF);
	assert_int_equal(dma_dev_open("vfio-noiommu:" SECOND_BDF, &dev), -ENODEV);
	assert_non_null(strstr(dma_last_error(), "use vfio:"));
	fake_forget();
	assert_int_equal(dma_dev_open("vfio-noiommu:" BDF, &dev), 0);
	nr = fake_log(calls, COUNT(calls));
	assert_int_equal(dma_dev_open("vfio-noiommu:" BDF, &other), -EBUSY);
	dma_dev_close(dev);
	assert_int_equal(fake_open_files(), 0);
	/* Every ioctl of it, refused. */
	assert_in_range(nr, 3, COUNT(calls));
	for (size_t i = 0; i < nr; i++) {
		unsigned int nth = 1;

		for (size_t before = 0; before < i; before++)
			nth += calls[before].request == calls[i].request;
		fake_fail(calls[i].request, nth, -EIO);
		assert_true(dma_dev_open("vfio-noiommu:" BDF, &dev) < 0);
		assert_true(strlen(dma_last_error()) > 20);
		assert_int_equal(fake_open_files(), 0);
		fake_fail(calls[i].request, 0, 0);
	}
	if (!strcmp(*state, BY_GROUP)) {
		/* Frames that only root sees. */
		for (uint64_t page = (uintptr_t)&nr / PAGE - 64; page < (uintptr_t)&nr / PAGE + 64;
		     page++)
			put_number(map_file, page, 1ULL << 63);
		assert_not_opened(-EPERM, "CAP_SYS_ADMIN");
	}
	remove_file("self/pagemap");
	assert_not_opened(-EOPNOTSUPP, "CONFIG_PROC_PAGE_MONITOR");
	stop();
}

static void test_not_given_out(void **state)
{
	(void)state;
	if (!fake_start(NULL))
		exit(77);
	plug_bare(BDF);
	assert_not_opened(-ENODEV, "enable_unsafe_noiommu_mode=1");
	machine_stop();
}

/* Two devices in a space, one of which goes; spaces of others are no place for them. */
static void test_two_devices(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *huge = blocks_new(1), *memory = pages_new(1);
	struct dma_dev *second;
	dma_addr_t addr;
	int function = plug_bare(SECOND_BDF);

	add_block((uintptr_t)huge);
	assert_int_equal(dma_dev_open_in("vfio:" SECOND_BDF, card.space, &second), -EINVAL);
	if (dma_dev_open_in("vfio-noiommu:" SECOND_BDF, card.space, &second))
		fail_msg("%s", dma_last_error());
	assert_int_equal(dma_set_mask_and_coherent(second, DMA_BIT_MASK(64)), 0);
	addr = map_it(&card, huge, PAGE);
	assert_int_equal(dma_map_phys(second, virt_to_phys(huge), PAGE, DMA_TO_DEVICE, 0), addr);
	dma_unmap_phys(second, addr, PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(fake_reach(function, addr, 1, true) == huge, true);
	/* It forgets a buffer, and that keeps nothing pinned in the space. */
	assert_int_not_equal(dma_map_phys(second, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, 0),
			     DMA_MAPPING_ERROR);
	dma_dev_close(second);
	card.leaks++;
	assert_int_equal(fake_write(card.function, addr, "x", 1), 0);
	unmap_it(&card, addr, PAGE);
	assert_int_equal(fake_locked(), 0);
	pages_free(memory, 1);
	blocks_free(huge, 1);
	close_bare(&card);
}

/* Want of memory, at each place in turn, changes nothing. */
static void test_no_memory(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *memory = pages_new(1), *huge = blocks_new(1);
	dma_addr_t addr;

	add_block((uintptr_t)huge);
	for (int i = 0; i < 2; i++) {
		uint64_t nth = 0;

		do {
			base_alloc_fail(++nth);
			addr = dma_map_phys(card.dev, virt_to_phys(i ? memory : huge), PAGE,
					    DMA_BIDIRECTIONAL, 0);
			base_alloc_fail(0);
			assert_true(nth < 100);
		} while (dma_mapping_error(card.dev, addr));
		unmap_it(&card, addr, PAGE);
		assert_int_equal(fake_locked(), 0);
	}
	pages_free(memory, 1);
	blocks_free(huge, 1);
	close_bare(&card);
}

/* A child has nothing, and takes nothing from its parent. */
static void test_fork(void **state)
{
	struct card card = open_bare(state, "");
	uint8_t *memory = pages_new(1);
	dma_addr_t addr, coherent;
	uint8_t *block = dma_alloc_coherent(card.dev, PAGE, &coherent);
	int status;
	pid_t child;

	addr = map_it(&card, memory, PAGE);
	child = fork();
	if (!child) {
		bool refused = dma_map_phys(card.dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE,
					    0) == DMA_MAPPING_ERROR;

		dma_dev_close(card.dev);
		_exit(refused ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* Memory is where it was. */
	block[0] = 1;
	assert_int_equal(fake_write(card.function, coherent + 1, "x", 1), 0);
	assert_int_equal(block[1], 'x');
	assert_int_equal(fake_write(card.function, addr, "y", 1), 0);
	unmap_it(&card, addr, PAGE);
	assert_int_equal(memory[0], 'y');
	dma_free_coherent(card.dev, PAGE, block, coherent);
	pages_free(memory, 1);
	close_bare(&card);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_direct),
		{"test_not_remembered by group", test_not_remembered, NULL, NULL, (void *)BY_GROUP},
		EACH(test_bounced),
		EACH(test_in_pieces),
		EACH(test_list),
		EACH(test_refused),
		EACH(test_own_pool),
		EACH(test_coherent),
		EACH(test_mask),
		EACH(test_checks),
		EACH(test_opening),
		cmocka_unit_test(test_not_given_out),
		EACH(test_two_devices),
		EACH(test_no_memory),
		EACH(test_fork),
		EACH(test_other_memory),
		EACH(test_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
