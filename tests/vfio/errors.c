/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong with real devices is told in one sentence, and leaves everything clean: after
 * each of these the device opens and works.
 */
#include <dirent.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../child.h"
#include "setup.h"

#define NOBODY 65534

/* One transfer, in a space made for it. */
static void works(void)
{
	uint8_t *memory = pages_new(1, 0);
	struct nvme nvme;
	dma_addr_t addr;

	nvme_start(&nvme, device_open("NVME"));
	addr = dma_map_phys(nvme.dev, virt_to_phys(memory), PAGE, DMA_FROM_DEVICE, 0);
	if (dma_mapping_error(nvme.dev, addr))
		fail_msg("%s", dma_last_error());
	assert_int_equal(nvme_identify(&nvme, addr, 0), 0);
	dma_unmap_phys(nvme.dev, addr, PAGE, DMA_FROM_DEVICE, 0);
	assert_true(is_identity(memory));
	nvme_stop(&nvme);
	dma_dev_close(nvme.dev);
	pages_free(memory, 1);
}

static bool says(const char *words)
{
	bool found = strstr(dma_last_error(), words) != NULL;

	if (!found)
		fprintf(stderr, "\"%s\" is not in: %s\n", words, dma_last_error());
	return found;
}

/* One sentence: no line's end, and longer than a word. */
static bool is_sentence(void)
{
	return strlen(dma_last_error()) > 20 && !strchr(dma_last_error(), '\n');
}

static int open_uri(const char *scheme, const char *device, struct dma_dev **dev)
{
	char uri[128];

	snprintf(uri, sizeof(uri), "%s:%s", scheme, device);
	return dma_dev_open(uri, dev);
}

static void assert_refused(const char *device, int err, const char *words)
{
	struct dma_dev *dev = (void *)1;

	assert_int_equal(open_uri(row_of("SCHEME"), device, &dev), err);
	assert_ptr_equal(dev, (void *)1);
	assert_true(is_sentence());
	assert_true(says(words));
}

/* 0 if what @look does in a child of its own is as it must be. */
static void in_child(void (*look)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		look();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_names(void **state)
{
	(void)state;
	assert_refused("0000:00:1f.8", -EINVAL, "is no PCI address");
	assert_refused("nvme0", -EINVAL, "is no PCI address");
	assert_refused("0000:00:1e.7", -ENODEV, "there is no PCI device 0000:00:1e.7");
	works();
}

static void test_not_bound(void **state)
{
	(void)state;
	assert_refused(row_of("NVME2"), -ENODEV, "belongs to the driver nvme");
	assert_true(says("twostep bind"));
	works();
}

/* Writing to sysfs; false if it is refused. */
static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return written;
}

static bool give_to(const char *device, const char *driver)
{
	char path[160];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind", device);
	put(path, device);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", device);
	if (!put(path, *driver ? driver : "\n"))
		return false;
	return put("/sys/bus/pci/drivers_probe", device);
}

static int group_of(const char *device)
{
	char path[128], target[256] = "";

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", device);
	if (readlink(path, target, sizeof(target) - 1) < 0)
		return -1;
	return atoi(strrchr(target, '/') + 1);
}

static bool find_shared(char *one, char *other)
{
	return sscanf(row_of("SHARED"), "%15[^,],%15s", one, other) == 2 && group_of(one) >= 0 &&
	       group_of(one) == group_of(other);
}

/* Two devices that the IOMMU cannot tell apart, and a driver of the kernel's has one. */
static void test_not_viable(void **state)
{
	char one[16], other[16];

	(void)state;
	/* A driver that takes whatever it is given. */
	if (!find_shared(one, other) || access("/sys/bus/pci/drivers/dma_map_benchmark", F_OK))
		skip();
	assert_true(give_to(one, "vfio-pci"));
	assert_true(give_to(other, "dma_map_benchmark"));
	assert_refused(one, is_scheme("vfio-iommufd") ? -EPERM : -EBUSY,
		       is_scheme("vfio-iommufd") ? "another device" : "that other drivers use");
	assert_true(says("vfio-pci"));
	assert_true(says(one));
	assert_true(give_to(other, ""));
	assert_true(give_to(one, ""));
	works();
}

/* Nor may two spaces have one each; one space may have both. */
static void test_group_in_two_spaces(void **state)
{
	char one[16], other[16], uri[64];
	struct dma_dev *first, *second;

	(void)state;
	if (!find_shared(one, other))
		skip();
	assert_true(give_to(one, "vfio-pci"));
	assert_true(give_to(other, "vfio-pci"));
	assert_int_equal(open_uri(row_of("SCHEME"), one, &first), 0);
	assert_true(open_uri(row_of("SCHEME"), other, &second) < 0);
	assert_true(is_sentence());
	assert_true(says("group"));
	snprintf(uri, sizeof(uri), "%s:%s", row_of("SCHEME"), other);
	if (dma_dev_open_in(uri, dma_dev_space(first), &second))
		fail_msg("%s", dma_last_error());
	dma_dev_close(first);
	dma_dev_close(second);
	assert_true(give_to(other, ""));
	assert_true(give_to(one, ""));
	works();
}

/* No IOMMU: whoever asks for one is told so. */
static void test_iommu_off(void **state)
{
	static const char *const schemes[] = {"vfio", "vfio-type1", "vfio-iommufd"};

	(void)state;
	if (has_iommu())
		skip();
	for (size_t i = 0; i < COUNT(schemes); i++) {
		struct dma_dev *dev;

		assert_int_equal(open_uri(schemes[i], row_of("NVME"), &dev), -ENODEV);
		assert_true(is_sentence());
		assert_true(says("no IOMMU"));
	}
}

static void become_nobody(void)
{
	MUST(!setgroups(0, NULL));
	MUST(!setgid(NOBODY));
	MUST(!setuid(NOBODY));
}

static void nobody_is_refused(void)
{
	struct dma_dev *dev;
	int err;

	become_nobody();
	err = open_uri(row_of("SCHEME"), row_of("NVME"), &dev);
	MUST(err == -EACCES || err == -EPERM);
	MUST(is_sentence());
	MUST(says("no permission to open /dev/"));
}

static void test_permission(void **state)
{
	(void)state;
	if (!has_iommu())
		skip();
	in_child(nobody_is_refused);
	works();
}

/* With the files and no capability: the device works, within the limit of locked memory. */

/* 16 KiB of memory, mapped for the device; 0 or -errno. */
static int map_pages(struct dma_dev *dev, uint8_t *memory, size_t pages,
		     struct dma_iova_state *range)
{
	int err;

	MUST(dma_iova_try_alloc(dev, range, 0, pages * PAGE));
	MUST(!dma_iova_link(dev, range, virt_to_phys(memory), 0, pages * PAGE, DMA_FROM_DEVICE, 0));
	err = dma_iova_sync(dev, range, 0, pages * PAGE);
	if (err)
		dma_iova_destroy(dev, range, pages * PAGE, DMA_FROM_DEVICE, 0);
	return err;
}

static void limited(void)
{
	const struct rlimit limit = {64 * PAGE, 64 * PAGE};
	struct dma_iova_state range, more;
	struct dma_stats stats;
	struct dma_dev *dev;
	uint8_t *memory;

	MUST(!setrlimit(RLIMIT_MEMLOCK, &limit));
	become_nobody();
	MUST(!open_uri(row_of("SCHEME"), row_of("NVME"), &dev));
	memory = mmap(NULL, 128 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(memory != MAP_FAILED);
	MUST(!map_pages(dev, memory, 16, &range));
	MUST(map_pages(dev, memory + 16 * PAGE, 64, &more) == -ENOMEM);
	MUST(is_sentence());
	/* The need, what there is, and the limit. */
	MUST(says("262144 bytes at"));
	MUST(says("65536 bytes are"));
	MUST(says("the limit is 262144"));
	MUST(!dma_space_stats(dma_dev_space(dev), &stats));
	MUST(stats.bytes_mapped == 16 * PAGE && stats.misuse == 0);
	/* Nothing of it is left: what fits is mapped. */
	MUST(!map_pages(dev, memory + 16 * PAGE, 32, &more));
	dma_iova_destroy(dev, &more, 32 * PAGE, DMA_FROM_DEVICE, 0);
	dma_iova_destroy(dev, &range, 16 * PAGE, DMA_FROM_DEVICE, 0);
	dma_dev_close(dev);
	MUST(!dma_leak_count());
}

/* Files of the device that a rule of udev's would give to its user. */
static void set_modes(mode_t mode)
{
	char path[300];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(row_of("NVME")));
	chmod(path, mode);
	chmod("/dev/iommu", mode);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", row_of("NVME"));
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
		if (entry->d_name[0] != '.')
			chmod(path, mode);
	}
	if (dir)
		closedir(dir);
}

static void test_memlock(void **state)
{
	(void)state;
	if (!has_iommu())
		skip();
	set_modes(0666);
	in_child(limited);
	set_modes(0600);
	works();
}

static void other_process_is_refused(void)
{
	struct dma_dev *dev;

	MUST(open_uri(row_of("SCHEME"), row_of("NVME"), &dev) == -EBUSY);
	MUST(is_sentence());
	MUST(says("in use"));
}

static void test_in_use(void **state)
{
	struct dma_dev *dev = device_open("NVME");
	char uri[64];

	(void)state;
	assert_refused(row_of("NVME"), -EBUSY, "in use");
	uri_of("NVME", uri, sizeof(uri));
	if (has_iommu()) {
		struct dma_dev *again;

		assert_int_equal(dma_dev_open_in(uri, dma_dev_space(dev), &again), -EBUSY);
		assert_true(says("in use"));
	}
	in_child(other_process_is_refused);
	/* It still works where it is open. */
	assert_int_equal(ts_pci_set_master(dev), 0);
	dma_dev_close(dev);
	works();
}

/* Type 1 tells how many mappings it takes; the one too many does not reach the kernel. */
static void test_entry_limit(void **state)
{
	static const char parameter[] = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
	uint8_t *memory = pages_new(16, 0);
	struct dma_iova_state range, other;
	struct dma_stats before, after;
	struct dma_space *space;
	struct dma_dev *dev;

	(void)state;
	if (!is_scheme("vfio-type1"))
		skip();
	assert_true(put(parameter, "4"));
	dev = device_open("NVME");
	space = dma_dev_space(dev);
	assert_true(dma_iova_try_alloc(dev, &range, 0, 8 * PAGE));
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(dma_iova_link(dev, &range, virt_to_phys(memory + 2 * i * PAGE),
					       i * PAGE, PAGE, DMA_FROM_DEVICE, 0),
				 0);
	assert_int_equal(dma_space_stats(space, &before), 0);
	assert_int_equal(dma_iova_sync(dev, &range, 0, 5 * PAGE), -ENOSPC);
	assert_true(is_sentence());
	assert_true(says("5 more mappings were wanted, 0 are there, and the kernel allows 4"));
	assert_true(says("dma_entry_limit"));
	assert_int_equal(dma_space_stats(space, &after), 0);
	assert_int_equal(after.ioctls, before.ioctls);
	/* Four fit. */
	assert_int_equal(dma_iova_sync(dev, &range, 0, 4 * PAGE), 0);
	assert_true(dma_iova_try_alloc(dev, &other, 0, PAGE));
	assert_int_equal(
		dma_iova_link(dev, &other, virt_to_phys(memory), 0, PAGE, DMA_FROM_DEVICE, 0), 0);
	assert_int_equal(dma_iova_sync(dev, &other, 0, PAGE), -ENOSPC);
	dma_iova_destroy(dev, &range, 5 * PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_iova_sync(dev, &other, 0, PAGE), 0);
	dma_iova_destroy(dev, &other, PAGE, DMA_FROM_DEVICE, 0);
	dma_dev_close(dev);
	assert_true(put(parameter, "65535"));
	pages_free(memory, 16);
	works();
}

/* Nothing of the space is left in use, and nothing was misused. */
static void assert_clean(struct dma_dev *dev)
{
	struct dma_stats stats;

	assert_int_equal(dma_space_stats(dma_dev_space(dev), &stats), 0);
	assert_int_equal(stats.bytes_mapped, 0);
	assert_int_equal(stats.iova_live, 0);
	assert_int_equal(stats.misuse, 0);
}

static void test_read_only(void **state)
{
	struct dma_iova_state range;
	uint64_t leaks = dma_leak_count();
	uint8_t *memory;
	struct dma_dev *dev;
	dma_addr_t addr;

	(void)state;
	if (!has_iommu())
		skip();
	memory = pages_new(2, 7);
	assert_int_equal(mprotect(memory, 2 * PAGE, PROT_READ), 0);
	dev = device_open("NVME");
	addr = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_mapping_error(dev, addr) != 0, true);
	assert_true(is_sentence());
	assert_true(says("may only be read and the device is to write"));
	assert_clean(dev);
	assert_true(dma_iova_try_alloc(dev, &range, 0, PAGE));
	assert_int_equal(
		dma_iova_link(dev, &range, virt_to_phys(memory), 0, PAGE, DMA_FROM_DEVICE, 0), 0);
	assert_int_equal(dma_iova_sync(dev, &range, 0, PAGE), -EFAULT);
	/* It stays pending: when the memory may be written, it is mapped. */
	assert_int_equal(mprotect(memory, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(dma_iova_sync(dev, &range, 0, PAGE), 0);
	dma_iova_destroy(dev, &range, PAGE, DMA_FROM_DEVICE, 0);
	/* To read is enough for what the device reads. */
	assert_int_equal(mprotect(memory, 2 * PAGE, PROT_READ), 0);
	addr = dma_map_phys(dev, virt_to_phys(memory), PAGE, DMA_TO_DEVICE, 0);
	if (dma_mapping_error(dev, addr))
		fail_msg("%s", dma_last_error());
	dma_unmap_phys(dev, addr, PAGE, DMA_TO_DEVICE, 0);
	assert_clean(dev);
	dma_dev_close(dev);
	assert_int_equal(dma_leak_count(), leaks);
	pages_free(memory, 2);
	works();
}

static void test_memory_goes(void **state)
{
	uint8_t *memory, *other;
	struct dma_iova_state range;
	struct dma_dev *dev;

	(void)state;
	if (!has_iommu())
		skip();
	dev = device_open("NVME");
	/* Between link and sync: with a page before it that stays. */
	memory = pages_new(4, 0);
	other = pages_new(1, 0);
	assert_true(dma_iova_try_alloc(dev, &range, 0, 3 * PAGE));
	assert_int_equal(
		dma_iova_link(dev, &range, virt_to_phys(other), 0, PAGE, DMA_FROM_DEVICE, 0), 0);
	assert_int_equal(dma_iova_link(dev, &range, virt_to_phys(memory), PAGE, 2 * PAGE,
				       DMA_FROM_DEVICE, 0),
			 0);
	pages_free(memory, 4);
	assert_int_equal(dma_iova_sync(dev, &range, 0, 3 * PAGE), -EFAULT);
	assert_true(is_sentence());
	assert_true(says("the memory is not there any more"));
	dma_iova_unlink(dev, &range, PAGE, 2 * PAGE, DMA_FROM_DEVICE, 0);
	assert_int_equal(dma_iova_sync(dev, &range, 0, PAGE), 0);
	dma_iova_unlink(dev, &range, 0, PAGE, DMA_FROM_DEVICE, 0);
	dma_iova_free(dev, &range);
	assert_clean(dev);
	/* After the sync: the kernel holds it until it is unlinked. */
	memory = pages_new(2, 0);
	assert_true(dma_iova_try_alloc(dev, &range, 0, 2 * PAGE));
	assert_int_equal(
		dma_iova_link(dev, &range, virt_to_phys(memory), 0, 2 * PAGE, DMA_FROM_DEVICE, 0),
		0);
	assert_int_equal(dma_iova_sync(dev, &range, 0, 2 * PAGE), 0);
	pages_free(memory, 2);
	dma_iova_unlink(dev, &range, 0, 2 * PAGE, DMA_FROM_DEVICE, 0);
	dma_iova_free(dev, &range);
	assert_clean(dev);
	dma_dev_close(dev);
	pages_free(other, 1);
	works();
}

/* Interrupts are written to addresses that no memory is given: on x86 from 0xfee00000 on. */
static void test_windows(void **state)
{
	const dma_addr_t first = 0xfee00000, last = 0xfeefffff;
	const size_t size = 1UL << 24;
	struct dma_iova_state ranges[256];
	struct dma_dev *dev;
	size_t nr = 0;

	(void)state;
	if (!has_iommu())
		skip();
	dev = device_open("NVME");
	assert_int_equal(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(32)), 0);
	/* All that there is below 4 GiB, and the window is in none of it. */
	while (nr < COUNT(ranges) && dma_iova_try_alloc(dev, &ranges[nr], 0, size)) {
		assert_true(ranges[nr].addr > last || ranges[nr].addr + size <= first);
		nr++;
	}
	assert_in_range(nr, 200, 254);
	/* Around it nothing is left but what it has made useless: it may be kept out of use. */
	assert_int_equal(dma_space_reserve(dma_dev_space(dev), 0xfe000000, 0xfeffffff), 0);
	assert_int_equal(dma_space_reserve(dma_dev_space(dev), first, last), 0);
	assert_int_equal(dma_space_reserve(dma_dev_space(dev), ranges[0].addr, ranges[0].addr),
			 -EADDRINUSE);
	assert_true(is_sentence());
	dma_iova_free(dev, &ranges[0]);
	assert_int_equal(
		dma_space_reserve(dma_dev_space(dev), ranges[0].addr, ranges[0].addr + size - 1),
		0);
	assert_false(dma_iova_try_alloc(dev, &ranges[0], 0, size));
	for (size_t i = 1; i < nr; i++)
		dma_iova_free(dev, &ranges[i]);
	assert_int_equal(dma_space_reserve(dma_dev_space(dev), 2, 1), -EINVAL);
	dma_dev_close(dev);
	works();
}

/* Memory without a CPU mapping and without a file: no way to it. */
static int no_access(void *arg, uint64_t offset, void *buf, size_t len)
{
	(void)arg, (void)offset, (void)buf, (void)len;
	return -EIO;
}

static void test_unmappable(void **state)
{
	static const struct dma_memory_ops ops = {.read = no_access};
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .fd = -1, .ops = &ops};
	struct dma_iova_state range;
	struct dma_dev *dev;
	phys_addr_t base;

	(void)state;
	if (!has_iommu())
		skip();
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	dev = device_open("NVME");
	assert_true(dma_iova_try_alloc(dev, &range, 0, PAGE));
	assert_int_equal(dma_iova_link(dev, &range, base, 0, PAGE, DMA_FROM_DEVICE, DMA_ATTR_MMIO),
			 -ENXIO);
	assert_true(is_sentence());
	assert_true(says("CPU mapping"));
	dma_iova_free(dev, &range);
	assert_clean(dev);
	assert_int_equal(dma_memory_unregister(base), 0);
	dma_dev_close(dev);
	works();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	    cmocka_unit_test(test_not_bound),
		cmocka_unit_test(test_not_viable),  cmocka_unit_test(test_group_in_two_spaces),
		cmocka_unit_test(test_iommu_off),   cmocka_unit_test(test_permission),
		cmocka_unit_test(test_memlock),	    cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_entry_limit), cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_memory_goes), cmocka_unit_test(test_windows),
		cmocka_unit_test(test_unmappable),
	};

	return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
