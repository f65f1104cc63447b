/* SPDX-License-Identifier: MIT */
/* How a software device's access reaches each kind of memory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory/memory.h"

static int memfd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 3 * 4096), 0);
	return fd;
}

static phys_addr_t enter(const struct dma_memory_desc *desc)
{
	phys_addr_t base;

	assert_int_equal(dma_memory_register(desc, &base), 0);
	return base;
}

static void nobody_is_there(phys_addr_t phys, size_t len)
{
	char buf[16] = "untouched";

	assert_null(memory_bus_pointer(phys, len));
	assert_int_equal(memory_bus_read(phys, buf, len), -EFAULT);
	assert_int_equal(memory_bus_write(phys, buf, len), -EFAULT);
	assert_string_equal(buf, "untouched");
}

static void ordinary_memory(void **state)
{
	char memory[64] = "before";
	char buf[64];

	(void)state;
	assert_ptr_equal(memory_bus_pointer((uintptr_t)memory, 64), memory);
	assert_int_equal(memory_bus_read((uintptr_t)memory, buf, 64), 0);
	assert_string_equal(buf, "before");
	assert_int_equal(memory_bus_write((uintptr_t)memory, "after", 6), 0);
	assert_string_equal(memory, "after");
}

static void memory_with_a_cpu_mapping(void **state)
{
	static char memory[4096];
	struct dma_memory_desc desc = {.size = 4096, .fd = -1, .cpu = memory};
	phys_addr_t base = enter(&desc);
	char buf[8];

	(void)state;
	strcpy(memory + 40, "cpu");
	assert_ptr_equal(memory_bus_pointer(base + 40, 4), memory + 40);
	assert_int_equal(memory_bus_read(base + 40, buf, 4), 0);
	assert_string_equal(buf, "cpu");
	assert_int_equal(memory_bus_write(base + 40, "bus", 4), 0);
	assert_string_equal(memory + 40, "bus");
	nobody_is_there(base + 4096, 1);
	nobody_is_there(base + 4090, 7);
	nobody_is_there(base, 0);
	assert_int_equal(dma_memory_unregister(base), 0);
	nobody_is_there(base, 1);
}

static void memory_with_a_descriptor_only(void **state)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = memfd(), .fd_offset = 4096};
	phys_addr_t base = enter(&desc);
	struct dma_memory_desc known;
	char buf[8];

	(void)state;
	assert_int_equal(pwrite(desc.fd, "file", 5, 4096 + 7), 5);
	assert_null(memory_cpu_address(base, 1));
	assert_int_equal(memory_bus_read(base + 7, buf, 5), 0);
	assert_string_equal(buf, "file");
	assert_int_equal(memory_bus_write(base + 7, "bus!", 5), 0);
	assert_int_equal(pread(desc.fd, buf, 5, 4096 + 7), 5);
	assert_string_equal(buf, "bus!");
	strcpy(memory_bus_pointer(base + 7, 5), "ptr!");
	assert_int_equal(pread(desc.fd, buf, 5, 4096 + 7), 5);
	assert_string_equal(buf, "ptr!");

	/* The library's own descriptor keeps the memory. */
	assert_int_equal(dma_memory_query(base, &known, NULL), 0);
	assert_int_not_equal(known.fd, desc.fd);
	assert_int_equal(fcntl(known.fd, F_GETFD), FD_CLOEXEC);
	close(desc.fd);
	assert_int_equal(memory_bus_read(base + 7, buf, 5), 0);
	assert_string_equal(buf, "ptr!");
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void read_only(int fd)
{
	struct dma_memory_desc desc = {.size = 4096, .fd = fd};
	phys_addr_t base = enter(&desc);
	char buf[8] = "";

	assert_null(memory_bus_pointer(base, 4));
	assert_int_equal(memory_bus_read(base, buf, 4), 0);
	assert_string_equal(buf, "old");
	assert_int_equal(memory_bus_write(base, "new", 4), -EFAULT);
	assert_int_equal(pread(fd, buf, 4, 0), 4);
	assert_string_equal(buf, "old");
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void a_descriptor_for_reading_only(void **state)
{
	int fd = memfd();
	char path[64];
	int reader;

	(void)state;
	assert_int_equal(pwrite(fd, "old", 4, 0), 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(reader >= 0);
	read_only(reader);
	close(reader);
	close(fd);
}

struct device_memory {
	char bytes[4096];
	uint64_t last_offset;
	size_t last_len;
	int answer;
};

static int ops_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct device_memory *device = arg;

	device->last_offset = offset;
	device->last_len = len;
	if (!device->answer)
		memcpy(buf, device->bytes + offset, len);
	return device->answer;
}

static int ops_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	struct device_memory *device = arg;

	device->last_offset = offset;
	device->last_len = len;
	if (!device->answer)
		memcpy(device->bytes + offset, buf, len);
	return device->answer;
}

static void memory_behind_operations(void **state)
{
	static const struct dma_memory_ops ops = {ops_read, ops_write};
	static struct device_memory device;
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO,
		.size = 4096,
		.fd = -1,
		.ops = &ops,
		.ops_arg = &device,
	};
	phys_addr_t base = enter(&desc);
	char buf[8];

	(void)state;
	assert_null(memory_cpu_address(base, 1));
	assert_null(memory_bus_pointer(base, 1));
	assert_int_equal(memory_bus_write(base + 100, "register", 8), 0);
	assert_int_equal(device.last_offset, 100);
	assert_int_equal(device.last_len, 8);
	assert_memory_equal(device.bytes + 100, "register", 8);
	assert_int_equal(memory_bus_read(base + 104, buf, 4), 0);
	assert_int_equal(device.last_offset, 104);
	assert_memory_equal(buf, "ster", 4);
	device.answer = -EIO;
	nobody_is_there(base, 1);
	assert_int_equal(dma_memory_unregister(base), 0);
}

/* Operations have the first say: what they do besides must happen. */
static void operations_before_a_mapping(void **state)
{
	static const struct dma_memory_ops only_read = {.read = ops_read};
	static const struct dma_memory_ops only_write = {.write = ops_write};
	static struct device_memory device;
	static char cpu[4096];
	struct dma_memory_desc desc = {
		.size = 4096,
		.fd = memfd(),
		.cpu = cpu,
		.ops = &only_read,
		.ops_arg = &device,
	};
	phys_addr_t base = enter(&desc);
	char buf[4] = "";

	(void)state;
	strcpy(device.bytes, "dev");
	assert_ptr_equal(memory_cpu_address(base, 4096), cpu);
	assert_null(memory_bus_pointer(base, 1));
	assert_int_equal(memory_bus_read(base, buf, 4), 0);
	assert_string_equal(buf, "dev");
	assert_int_equal(memory_bus_write(base, "cpu", 4), -EFAULT);
	assert_string_equal(device.bytes, "dev");
	assert_string_equal(cpu, "");
	assert_int_equal(dma_memory_unregister(base), 0);

	desc.ops = &only_write;
	base = enter(&desc);
	assert_int_equal(memory_bus_read(base, buf, 4), -EFAULT);
	assert_int_equal(memory_bus_write(base, "two", 4), 0);
	assert_string_equal(device.bytes, "two");
	assert_int_equal(dma_memory_unregister(base), 0);
	close(desc.fd);
}

static void memory_that_only_hardware_reaches(void **state)
{
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO,
		.size = 4096,
		.fd = -1,
		.bus_addr = 0xf0000000,
	};
	phys_addr_t base = enter(&desc);

	(void)state;
	nobody_is_there(base, 4);
	assert_int_equal(dma_memory_unregister(base), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_memory),
		cmocka_unit_test(memory_with_a_cpu_mapping),
		cmocka_unit_test(memory_with_a_descriptor_only),
		cmocka_unit_test(a_descriptor_for_reading_only),
		cmocka_unit_test(memory_behind_operations),
		cmocka_unit_test(operations_before_a_mapping),
		cmocka_unit_test(memory_that_only_hardware_reaches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
