/* SPDX-License-Identifier: MIT */
/* What tests of the stand-in share: the calls, as a program makes them. */
#ifndef TESTS_VFIO_KERNEL_CALLS_H
#define TESTS_VFIO_KERNEL_CALLS_H

#include <setjmp.h>
#include <stdarg.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/vfio/kernel.h"

#include "vfio_kernel.h"

#define PAGE FAKE_PAGE
#define BDF "0000:01:00.0"

static inline int call(int fd, unsigned long request, void *arg)
{
	return vfio_kernel->ioctl(fd, request, arg);
}

static inline void start(const struct fake_options *options)
{
	if (!fake_start(options))
		exit(77);
}

static inline uint8_t *new_pages(size_t pages)
{
	uint8_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

/* iommufd */

static inline uint32_t new_ioas(int fd)
{
	struct uapi_ioas_alloc alloc = {.size = sizeof(alloc)};

	assert_int_equal(call(fd, UAPI_IOAS_ALLOC, &alloc), 0);
	return alloc.ioas_id;
}

static inline int ioas_map(int fd, uint32_t ioas, uint64_t iova, void *memory, uint64_t length)
{
	struct uapi_ioas_map map = {
		.size = sizeof(map),
		.flags = UAPI_MAP_FIXED | UAPI_MAP_READABLE | UAPI_MAP_WRITEABLE,
		.ioas_id = ioas,
		.user_va = (uintptr_t)memory,
		.length = length,
		.iova = iova,
	};

	return call(fd, UAPI_IOAS_MAP, &map);
}

static inline int ioas_unmap(int fd, uint32_t ioas, uint64_t iova, uint64_t length, uint64_t *size)
{
	struct uapi_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = ioas, .iova = iova, .length = length};
	int err = call(fd, UAPI_IOAS_UNMAP, &unmap);

	if (size)
		*size = unmap.length;
	return err;
}

static inline int bind_to(int cdev, int iommufd)
{
	struct uapi_bind_iommufd bind = {.size = sizeof(bind), .iommufd = iommufd};

	return call(cdev, UAPI_DEVICE_BIND_IOMMUFD, &bind);
}

static inline int attach_to(int cdev, uint32_t pt)
{
	struct uapi_attach_pt attach = {.size = sizeof(attach), .pt_id = pt};

	return call(cdev, UAPI_DEVICE_ATTACH_PT, &attach);
}

/* type1 */

static inline int dma_map(int fd, uint64_t iova, void *memory, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return call(fd, VFIO_IOMMU_MAP_DMA, &map);
}

static inline int dma_unmap(int fd, uint64_t iova, uint64_t size, uint64_t *unmapped)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = iova, .size = size};
	int err = call(fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	if (unmapped)
		*unmapped = unmap.size;
	return err;
}

/* Everything was closed, and the kernel has all memory back; 16 pages of the test's go too. */
static inline void stop_with(uint8_t *memory)
{
	assert_int_equal(fake_open_files(), 0);
	assert_int_equal(fake_locked(), 0);
	fake_stop();
	munmap(memory, 16 * PAGE);
}

/* A card whose interrupts have a window below 4 GiB. */
static inline int plug_card(void)
{
	static const struct fake_window msi = {0xfee00000, 0xfeefffff};

	return fake_plug(&(struct fake_function){
		.bdf = BDF, .group = 7, .reserved = &msi, .nr_reserved = 1});
}

#endif
