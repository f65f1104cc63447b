/* SPDX-License-Identifier: MIT */
/* The system calls themselves. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/vfio/kernel.h"

static int call_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void call_close(int fd)
{
	close(fd);
}

static int call_ioctl(int fd, unsigned long request, void *arg)
{
	int result = ioctl(fd, request, arg);

	return result < 0 ? -errno : result;
}

static ssize_t call_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

static ssize_t call_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pwrite(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

static void *call_map(int fd, uint64_t offset, size_t size, bool writable, int *err)
{
	void *ptr = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd,
			 (off_t)offset);

	if (ptr != MAP_FAILED)
		return ptr;
	*err = -errno;
	return NULL;
}

static void call_unmap(void *ptr, size_t size)
{
	munmap(ptr, size);
}

static const struct vfio_kernel kernel = {
	.root = "",
	.open = call_open,
	.close = call_close,
	.ioctl = call_ioctl,
	.pread = call_pread,
	.pwrite = call_pwrite,
	.map = call_map,
	.unmap = call_unmap,
};

const struct vfio_kernel *vfio_kernel = &kernel;

int vfio_open(const char *path, int flags)
{
	char full[PATH_MAX];

	if ((size_t)snprintf(full, sizeof(full), "%s%s", vfio_kernel->root, path) >= sizeof(full))
		return -ENAMETOOLONG;
	return vfio_kernel->open(full, flags);
}
