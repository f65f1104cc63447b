/* SPDX-License-Identifier: MIT */
/*
 * kernel: the system calls that this folder makes, as one table, so that a test can stand in
 * for the kernel. Nothing else here calls the system.
 */
#ifndef BACKEND_VFIO_KERNEL_H
#define BACKEND_VFIO_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vfio_kernel {
	/* Before /sys and /dev in every path; "" on a machine. */
	const char *root;
	/* Each returns what the call returns, or -errno; descriptors are close-on-exec. */
	int (*open)(const char *path, int flags);
	void (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	ssize_t (*pread)(int fd, void *buf, size_t len, uint64_t offset);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, uint64_t offset);
	/* Shared, for reading, and for writing if @writable. NULL: *@err says why. */
	void *(*map)(int fd, uint64_t offset, size_t size, bool writable, int *err);
	void (*unmap)(void *ptr, size_t size);
};

/* What everything here calls. A test sets it before it opens a device. */
extern const struct vfio_kernel *vfio_kernel;

/* open() of @path, an absolute path, below the root. */
int vfio_open(const char *path, int flags);

#endif
