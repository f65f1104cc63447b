/* SPDX-License-Identifier: MIT */
/*
 * A drive that is behind no IOMMU: what is in huge pages it gets itself, at its frame, and all
 * else through buffers. First by its own file, with iommufd, then by its group.
 */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "setup.h"

#define HUGE (2UL << 20)

static struct nvme nvme;

/* Without files of their own devices are opened by their groups. */
static int without_files(void **state)
{
	(void)state;
	return rename("/dev/vfio/devices", "/dev/vfio/hidden");
}

static int with_files(void **state)
{
	(void)state;
	return rename("/dev/vfio/hidden", "/dev/vfio/devices");
}

static struct dma_dev *open_with(const char *options)
{
	struct dma_dev *dev = NULL;
	char uri[128];

	snprintf(uri, sizeof(uri), "vfio-noiommu:%s%s", row_of("NVME"), options);
	if (dma_dev_open(uri, &dev))
		fail_msg("%s", dma_last_error());
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)), 0);
	return dev;
}

static uint64_t frame_of(const void *memory)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &entry, 8, (off_t)((uintptr_t)memory / PAGE * 8)), 8);
	close(fd);
	assert_true(entry >> 63);
	return (entry & ((1ULL << 55) - 1)) * PAGE + (uintptr_t)memory % PAGE;
}

static uint8_t *huge_new(size_t nr)
{
	uint8_t *memory = mmap(NULL, nr * HUGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

static dma_addr_t map_it(void *memory, size_t size)
{
	dma_addr_t addr = dma_map_phys(nvme.dev, virt_to_phys(memory), size, DMA_FROM_DEVICE, 0);

	if (dma_mapping_error(nvme.dev, addr))
		fail_msg("%s", dma_last_error());
	return addr;
}

static void test_huge(void **state)
{
	uint8_t *memory;
	dma_addr_t addr;

	(void)state;
	memory = huge_new(2);
	nvme_start(&nvme, open_with(",bounce=off,debug=on"));
	for (size_t at = 0; at < 2 * HUGE; at += 37 * PAGE) {
		addr = map_it(memory + at, PAGE);
		assert_int_equal(addr, frame_of(memory + at));
		memory[at + NVME_SERIAL] = 0;
		assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
		assert_true(is_identity(memory + at));
		dma_unmap_phys(nvme.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	}
	/* Two of them, if they happen to follow each other. */
	addr = dma_map_phys(nvme.dev, virt_to_phys(memory), 2 * HUGE, DMA_FROM_DEVICE, 0);
	if (frame_of(memory + HUGE) == frame_of(memory) + HUGE) {
		assert_int_equal(addr, frame_of(memory));
		dma_unmap_phys(nvme.dev, addr, 2 * HUGE, DMA_FROM_DEVICE, 0);
	} else {
		assert_int_equal(addr, DMA_MAPPING_ERROR);
	}
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	munmap(memory, 2 * HUGE);
}

static void test_ordinary(void **state)
{
	uint8_t *memory = pages_new(3, 0x22);
	dma_addr_t addr;

	(void)state;
	nvme_start(&nvme, open_with(",debug=on"));
	addr = map_it(memory + 0x80, PAGE);
	assert_int_not_equal(addr, frame_of(memory + 0x80));
	assert_int_equal(nvme_identify(&nvme, addr, (addr + PAGE) & ~(PAGE - 1)), 0);
	assert_int_equal(memory[0x80 + NVME_SERIAL], 0x22);
	dma_sync_single_for_cpu(nvme.dev, addr, PAGE, DMA_FROM_DEVICE);
	assert_true(is_identity(memory + 0x80));
	memset(memory + 0x80, 0, PAGE);
	dma_unmap_phys(nvme.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	assert_true(is_identity(memory + 0x80));
	assert_int_equal(memory[0x7f], 0x22);
	assert_int_equal(memory[0x80 + PAGE], 0x22);
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	/* And refused where it must not be copied. */
	nvme_start(&nvme, open_with(",bounce=off"));
	addr = dma_map_phys(nvme.dev, virt_to_phys(memory), PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_mapping_error(nvme.dev, addr), -ENOMEM);
	assert_non_null(strstr(dma_last_error(), "bounce=off"));
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	pages_free(memory, 3);
}

/* Memory that the library gives out stays where it is, also after a fork. */
static void test_fork(void **state)
{
	uint8_t *memory = pages_new(1, 0), *block;
	dma_addr_t addr, coherent;
	int status;
	pid_t child;

	(void)state;
	nvme_start(&nvme, open_with(""));
	block = dma_alloc_coherent(nvme.dev, PAGE, &coherent);
	assert_non_null(block);
	assert_int_equal(coherent, frame_of(block));
	addr = map_it(memory, PAGE);
	child = fork();
	if (!child) {
		sleep_ms(300);
		_exit(0);
	}
	memset(block, 0, PAGE);
	assert_int_equal(coherent, frame_of(block));
	assert_int_equal(nvme_identify(&nvme, coherent, 0), 0);
	assert_true(is_identity(block));
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	dma_unmap_phys(nvme.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	assert_true(is_identity(memory));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	dma_free_coherent(nvme.dev, PAGE, block, coherent);
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	pages_free(memory, 1);
}

/* A private huge page that was only read has a frame that the first write replaces. */
static void test_private(void **state)
{
	uint8_t *memory;
	dma_addr_t addr;
	int fd;

	(void)state;
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, HUGE), 0);
	memory = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_true(memory != MAP_FAILED);
	assert_int_equal(*(volatile uint8_t *)memory, 0);
	nvme_start(&nvme, open_with(",bounce=off"));
	addr = map_it(memory, PAGE);
	memory[PAGE - 1] = 1;
	assert_int_equal(addr, frame_of(memory));
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	assert_true(is_identity(memory));
	dma_unmap_phys(nvme.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	munmap(memory, HUGE);
	close(fd);
}

static void drop_rights(const int *rights, size_t nr)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		_exit(2);
	for (size_t i = 0; i < nr; i++) {
		data[rights[i] / 32].effective &= ~(1U << rights[i] % 32);
		data[rights[i] / 32].permitted &= ~(1U << rights[i] % 32);
	}
	if (syscall(SYS_capset, &header, data))
		_exit(2);
}

/* A child without these cannot open the drive, and is told what is missing. */
static void without(const int *rights, size_t nr, const char *why)
{
	int status;
	pid_t child = fork();

	if (!child) {
		struct dma_dev *dev;
		char uri[128];
		int err;

		drop_rights(rights, nr);
		uri_of("NVME", uri, sizeof(uri));
		err = dma_dev_open(uri, &dev);
		if (err == -EPERM && strstr(dma_last_error(), why))
			_exit(0);
		fprintf(stderr, "# %d: %s\n", err, dma_last_error());
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* What nothing isolates takes raw access to the machine. */
static void test_rights(void **state)
{
	static const int raw[] = {CAP_SYS_RAWIO};

	(void)state;
	without(raw, 1, "CAP_SYS_RAWIO");
}

/* The page map shows frames to administrators only; iommufd asks for less. */
static void test_frames_hidden(void **state)
{
	static const int admin[] = {CAP_SYS_ADMIN};

	(void)state;
	without(admin, 1, "CAP_SYS_ADMIN");
}

static void test_no_admin(void **state)
{
	static const int admin[] = {CAP_SYS_ADMIN};
	int status;
	pid_t child;

	(void)state;
	child = fork();
	if (!child) {
		dma_addr_t addr;
		struct dma_dev *dev;
		uint8_t *memory = huge_new(1);

		drop_rights(admin, 1);
		dev = open_with(",bounce=off");
		addr = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, 0);
		if (dma_mapping_error(dev, addr))
			fprintf(stderr, "# %s\n", dma_last_error());
		_exit(dma_mapping_error(dev, addr) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define BOTH(test)                                                       \
	{#test " by file", test, NULL, NULL, NULL},                      \
	{                                                                \
#test " by group", test, without_files, with_files, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_huge),
		BOTH(test_ordinary),
		BOTH(test_fork),
		BOTH(test_private),
		BOTH(test_rights),
		cmocka_unit_test(test_no_admin),
		cmocka_unit_test_setup_teardown(test_frames_hidden, without_files, with_files),
	};

	if (has_iommu()) {
		printf("1..1\nok 1 - devices are behind an IOMMU # SKIP\n");
		return 0;
	}
	return cmocka_run_group_tests_name("noiommu", tests, NULL, NULL);
}
