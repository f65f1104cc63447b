/* SPDX-License-Identifier: MIT */
/*
 * Registered memory: iommufd takes it by its descriptor, with or without a mapping for the
 * CPU; type1 knows addresses of the process only, and without one it is refused at once.
 */
#include <fcntl.h>

#include "setup.h"

static int new_memfd(size_t size)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* The descriptor is the library's own, as soon as it is registered. */
static phys_addr_t register_fd(enum dma_memory_type type, int fd, uint64_t offset, size_t size,
			       void *cpu)
{
	struct dma_memory_desc desc = {
		.type = type, .size = size, .cpu = cpu, .fd = fd, .fd_offset = offset};
	phys_addr_t phys;

	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	return phys;
}

static void assert_reaches_file(const struct card *card, dma_addr_t addr, int fd, off_t offset)
{
	uint8_t byte = (uint8_t)(addr >> 12 ^ 0x5a), got = 0;

	assert_int_equal(fake_write(card->function, addr, &byte, 1), 0);
	assert_int_equal(pread(fd, &got, 1, offset), 1);
	assert_int_equal(got, byte);
	byte ^= 0xff;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	assert_int_equal(fake_read(card->function, addr, &got, 1), 0);
	assert_int_equal(got, byte);
}

static int link_phys(const struct card *card, struct dma_iova_state *iova, size_t offset,
		     phys_addr_t phys, size_t size)
{
	return dma_iova_link(card->dev, iova, phys, offset, size, DMA_BIDIRECTIONAL, 0);
}

static void test_by_file(void **state)
{
	struct card card = card_open(state, NULL);
	int fd = new_memfd(8 * PAGE);
	phys_addr_t phys = register_fd(DMA_MEMORY_RAM, fd, 2 * PAGE, 6 * PAGE, NULL);
	struct dma_iova_state iova = reserve(&card, 8 * PAGE);

	assert_int_equal(link_phys(&card, &iova, 0, phys, 4 * PAGE), 0);
	assert_int_equal(link_phys(&card, &iova, 4 * PAGE, phys + PAGE, PAGE), 0);
	assert_refused(&card, iova.addr, 5 * PAGE);
	sync_at(&card, &iova, 0, 5 * PAGE);
	assert_int_equal(fake_count(UAPI_IOAS_MAP_FILE), 2);
	assert_int_equal(fake_maps(), 2);
	for (size_t i = 0; i < 4; i++)
		assert_reaches_file(&card, iova.addr + i * PAGE, fd, (off_t)((2 + i) * PAGE));
	assert_reaches_file(&card, iova.addr + 4 * PAGE, fd, 3 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), -EBUSY);
	destroy(&card, &iova, 5 * PAGE);
	assert_int_equal(fake_unmaps(), 1);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
	close(fd);
}

/* Ordinary memory and registered memory in one vector are units of their own. */
static void test_mixed(void **state)
{
	struct card card = card_open(state, NULL);
	uint8_t *memory = pages_new(4);
	int fd = new_memfd(4 * PAGE);
	phys_addr_t phys = register_fd(DMA_MEMORY_RAM, fd, 0, 4 * PAGE, NULL);
	struct phys_vec vec[] = {
		{virt_to_phys(memory), 2 * PAGE},
		{phys + PAGE, 2 * PAGE},
		{phys + 3 * PAGE, PAGE},
		{virt_to_phys(memory + 2 * PAGE), PAGE},
	};
	struct dma_iova_state iova = reserve(&card, 6 * PAGE);

	assert_int_equal(
		dma_iova_link_vec(card.dev, &iova, vec, COUNT(vec), 0, DMA_BIDIRECTIONAL, 0), 0);
	fake_fail(UAPI_IOAS_MAP_FILE, 1, -ENOMEM);
	assert_int_equal(dma_iova_sync(card.dev, &iova, 0, 6 * PAGE), -ENOMEM);
	assert_int_equal(fake_mapped(card.function), 0);
	fake_forget();
	sync_at(&card, &iova, 0, 6 * PAGE);
	assert_int_equal(fake_count(UAPI_IOAS_MAP), 2);
	assert_int_equal(fake_count(UAPI_IOAS_MAP_FILE), 1);
	assert_reaches(&card, iova.addr, memory, 2 * PAGE);
	assert_reaches_file(&card, iova.addr + 2 * PAGE, fd, PAGE);
	assert_reaches_file(&card, iova.addr + 4 * PAGE, fd, 3 * PAGE);
	assert_reaches(&card, iova.addr + 5 * PAGE, memory + 2 * PAGE, PAGE);
	destroy(&card, &iova, 6 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
	close(fd);
	pages_free(memory, 4);
}

static void test_streaming(void **state)
{
	struct card card = card_open(state, NULL);
	int fd = new_memfd(4 * PAGE);
	phys_addr_t phys = register_fd(DMA_MEMORY_RAM, fd, 0, 4 * PAGE, NULL);
	dma_addr_t addr = dma_map_phys(card.dev, phys + 10, 2 * PAGE, DMA_BIDIRECTIONAL, 0);

	assert_int_equal(dma_mapping_error(card.dev, addr), 0);
	assert_reaches_file(&card, addr, fd, 10);
	assert_reaches_file(&card, addr + 2 * PAGE - 1, fd, 2 * PAGE + 9);
	dma_unmap_phys(card.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, 0);
	assert_refused(&card, addr, 2 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
	close(fd);
}

static void test_dmabuf(void **state)
{
	struct card card = card_open(state, &(struct fake_options){.dmabufs = true});
	int fd = fake_dmabuf(4 * PAGE);
	phys_addr_t phys = register_fd(DMA_MEMORY_DMABUF, fd, 0, 4 * PAGE, NULL);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);

	assert_int_equal(link_phys(&card, &iova, 0, phys, 4 * PAGE), 0);
	sync_at(&card, &iova, 0, 4 * PAGE);
	assert_int_equal(fake_count(UAPI_IOAS_MAP_FILE), 1);
	assert_reaches_file(&card, iova.addr + 3 * PAGE, fd, 3 * PAGE);
	destroy(&card, &iova, 4 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
	close(fd);
}

/* A kernel that does not take dma-bufs yet: the sync says so, and what was there stays. */
static void test_dmabuf_refused(void **state)
{
	struct card card = card_open(state, NULL);
	uint8_t *memory = pages_new(1);
	int fd = fake_dmabuf(4 * PAGE);
	phys_addr_t phys = register_fd(DMA_MEMORY_DMABUF, fd, 0, 4 * PAGE, NULL);
	struct dma_iova_state iova = reserve(&card, 5 * PAGE);
	int err;

	link_at(&card, &iova, 4 * PAGE, memory, PAGE);
	sync_at(&card, &iova, 4 * PAGE, PAGE);
	assert_int_equal(link_phys(&card, &iova, 0, phys, 4 * PAGE), 0);
	dma_clear_error();
	err = dma_iova_sync(card.dev, &iova, 0, 5 * PAGE);
	assert_true(err < 0);
	assert_string_not_equal(dma_last_error(), "");
	assert_refused(&card, iova.addr, 4 * PAGE);
	assert_reaches(&card, iova.addr + 4 * PAGE, memory, PAGE);
	destroy(&card, &iova, 5 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
	close(fd);
	pages_free(memory, 1);
}

/* With a mapping for the CPU there are two ways to it, and both lead to the same bytes. */
static void test_with_mapping(void **state)
{
	struct card card = card_open(state, NULL);
	int fd = new_memfd(4 * PAGE);
	uint8_t *cpu = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct dma_iova_state iova = reserve(&card, 4 * PAGE);
	phys_addr_t phys;

	assert_ptr_not_equal(cpu, MAP_FAILED);
	phys = register_fd(DMA_MEMORY_RAM, fd, 0, 4 * PAGE, cpu);
	assert_int_equal(virt_to_phys(cpu + PAGE), phys + PAGE);
	assert_int_equal(link_phys(&card, &iova, 0, phys, 4 * PAGE), 0);
	sync_at(&card, &iova, 0, 4 * PAGE);
	for (size_t i = 0; i < 4; i++)
		assert_reaches_file(&card, iova.addr + i * PAGE, fd, (off_t)(i * PAGE));
	destroy(&card, &iova, 4 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	/* Without a descriptor only the address is left. */
	phys = register_fd(DMA_MEMORY_RAM, -1, 0, 4 * PAGE, cpu);
	iova = reserve(&card, 4 * PAGE);
	assert_int_equal(link_phys(&card, &iova, 0, phys + PAGE, 2 * PAGE), 0);
	sync_at(&card, &iova, 0, 2 * PAGE);
	assert_reaches(&card, iova.addr, cpu + PAGE, 2 * PAGE);
	destroy(&card, &iova, 2 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
	munmap(cpu, 4 * PAGE);
	close(fd);
}

static int no_access(void *arg, uint64_t offset, void *buf, size_t len)
{
	(void)arg;
	(void)offset;
	(void)buf;
	(void)len;
	return 0;
}

/* Memory that the kernel has no way to: refused at the link, and nothing has changed. */
static void assert_unreachable(const struct card *card, phys_addr_t phys)
{
	uint8_t *memory = pages_new(4);
	struct dma_iova_state iova = reserve(card, 4 * PAGE);
	struct phys_vec vec[] = {{virt_to_phys(memory), PAGE}, {phys, PAGE}};
	struct dma_stats before = stats_of(card);

	dma_clear_error();
	assert_int_equal(link_phys(card, &iova, 0, phys, 2 * PAGE), -ENXIO);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_iova_link_vec(card->dev, &iova, vec, 2, 0, DMA_BIDIRECTIONAL, 0),
			 -ENXIO);
	assert_true(dma_map_phys(card->dev, phys, PAGE, DMA_BIDIRECTIONAL, 0) == DMA_MAPPING_ERROR);
	assert_int_equal(fake_count(0), 0);
	assert_int_equal(stats_of(card).iova_live, before.iova_live);
	assert_int_equal(stats_of(card).bytes_mapped, before.bytes_mapped);
	/* All of the range is still to be had. */
	link_at(card, &iova, 0, memory, 4 * PAGE);
	sync_at(card, &iova, 0, 4 * PAGE);
	assert_reaches(card, iova.addr, memory, 4 * PAGE);
	destroy(card, &iova, 4 * PAGE);
	pages_free(memory, 4);
}

static void test_no_address(void **state)
{
	struct card card = card_open(state, NULL);
	int fd = new_memfd(4 * PAGE);
	phys_addr_t phys = register_fd(DMA_MEMORY_RAM, fd, 0, 4 * PAGE, NULL);

	assert_unreachable(&card, phys);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
	close(fd);
}

static void test_neither(void **state)
{
	static const struct dma_memory_ops ops = {.read = no_access};
	struct card card = card_open(state, NULL);
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = 4 * PAGE, .fd = -1, .ops = &ops};
	phys_addr_t phys;

	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	assert_unreachable(&card, phys);
	assert_int_equal(dma_memory_unregister(phys), 0);
	card_close(&card, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IOMMUFD_ONLY(test_by_file),	   IOMMUFD_ONLY(test_mixed),
		IOMMUFD_ONLY(test_streaming),	   IOMMUFD_ONLY(test_dmabuf),
		IOMMUFD_ONLY(test_dmabuf_refused), EACH_WAY(test_with_mapping),
		TYPE1_ONLY(test_no_address),	   EACH_WAY(test_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
