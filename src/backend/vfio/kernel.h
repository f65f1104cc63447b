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
	/* The three below see whole paths. Where a link leads: bytes stored, without an end. */
	ssize_t (*readlink)(const char *path, char *to, size_t size);
	int (*access)(const char *path, int mode);
	/* Call @each for each name in a folder, but for . and .., until one is not 0. */
	int (*list)(const char *path, int (*each)(void *arg, const char *name), void *arg);
};

/* What everything here calls. A test sets it before it opens a device. */
extern const struct vfio_kernel *vfio_kernel;

/* open() of @path, an absolute path, below the root. */
int vfio_open(const char *path, int flags);

/* All below take absolute paths below the root, and return 0 or -errno without an error text. */

/* A file of one line: its text, without the end of the line; -E2BIG if it is longer. */
int vfio_read_line(const char *path, char *text, size_t size);
/* A whole file, with an end; base_free() it. */
int vfio_read_all(const char *path, char **text);
/* One write, as sysfs wants it. */
int vfio_write_line(const char *path, const char *text);
/* Where a link leads, and the last part of that. */
int vfio_read_link(const char *path, char *to, size_t size);
int vfio_link_name(const char *path, char *name, size_t size);
/* As access(). */
int vfio_access(const char *path, int mode);
/* As the table's: what @each returned last. */
int vfio_list(const char *path, int (*each)(void *arg, const char *name), void *arg);

#endif
