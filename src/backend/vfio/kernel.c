/* SPDX-License-Identifier: MIT */
/* The system calls themselves. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/vfio/kernel.h"
#include "base/base.h"

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

static ssize_t call_readlink(const char *path, char *to, size_t size)
{
	ssize_t n = readlink(path, to, size);

	return n < 0 ? -errno : n;
}

static int call_access(const char *path, int mode)
{
	return access(path, mode) ? -errno : 0;
}

static int call_list(const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int stop = 0;

	if (!dir)
		return -errno;
	while (!stop && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			stop = each(arg, entry->d_name);
	closedir(dir);
	return stop;
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
	.readlink = call_readlink,
	.access = call_access,
	.list = call_list,
};

const struct vfio_kernel *vfio_kernel = &kernel;

static int below_root(const char *path, char full[PATH_MAX])
{
	int len = snprintf(full, PATH_MAX, "%s%s", vfio_kernel->root, path);

	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int vfio_open(const char *path, int flags)
{
	char full[PATH_MAX];
	int err = below_root(path, full);

	return err ? err : vfio_kernel->open(full, flags);
}

int vfio_read_line(const char *path, char *text, size_t size)
{
	int fd = vfio_open(path, O_RDONLY);
	ssize_t got;

	if (fd < 0)
		return fd;
	got = vfio_kernel->pread(fd, text, size, 0);
	vfio_kernel->close(fd);
	if (got < 0)
		return (int)got;
	if ((size_t)got == size)
		return -E2BIG;
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

int vfio_read_all(const char *path, char **text)
{
	int fd = vfio_open(path, O_RDONLY);
	size_t room = 16384, len = 0;
	char *all = NULL, *more;
	ssize_t got = 0;

	if (fd < 0)
		return fd;
	do {
		len += (size_t)got;
		if (!all || len == room) {
			more = base_alloc((room *= 2) + 1);
			if (!more) {
				got = -ENOMEM;
				break;
			}
			if (all)
				memcpy(more, all, len);
			base_free(all);
			all = more;
		}
		got = vfio_kernel->pread(fd, all + len, room - len, len);
	} while (got > 0);
	vfio_kernel->close(fd);
	if (got < 0) {
		base_free(all);
		return (int)got;
	}
	all[len] = '\0';
	*text = all;
	return 0;
}

int vfio_write_line(const char *path, const char *text)
{
	int fd = vfio_open(path, O_WRONLY);
	ssize_t put;

	if (fd < 0)
		return fd;
	put = vfio_kernel->pwrite(fd, text, strlen(text), 0);
	vfio_kernel->close(fd);
	if (put < 0)
		return (int)put;
	return (size_t)put == strlen(text) ? 0 : -EIO;
}

int vfio_read_link(const char *path, char *to, size_t size)
{
	char full[PATH_MAX];
	int err = below_root(path, full);
	ssize_t len;

	if (err)
		return err;
	len = vfio_kernel->readlink(full, to, size);
	if (len < 0)
		return (int)len;
	if ((size_t)len == size)
		return -ENAMETOOLONG;
	to[len] = '\0';
	return 0;
}

int vfio_link_name(const char *path, char *name, size_t size)
{
	char to[PATH_MAX];
	const char *last;
	int err = vfio_read_link(path, to, sizeof(to));

	if (err)
		return err;
	last = strrchr(to, '/');
	last = last ? last + 1 : to;
	if (strlen(last) >= size)
		return -ENAMETOOLONG;
	memcpy(name, last, strlen(last) + 1);
	return 0;
}

int vfio_access(const char *path, int mode)
{
	char full[PATH_MAX];
	int err = below_root(path, full);

	return err ? err : vfio_kernel->access(full, mode);
}

int vfio_list(const char *path, int (*each)(void *arg, const char *name), void *arg)
{
	char full[PATH_MAX];
	int err = below_root(path, full);

	return err ? err : vfio_kernel->list(full, each, arg);
}
