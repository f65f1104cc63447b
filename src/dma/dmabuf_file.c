/* SPDX-License-Identifier: MIT */
/* Buffers with a descriptor: of part of a memfd, or a dma-buf of the kernel. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

#include "dma/dmabuf.h"

#ifndef DMA_BUF_MAGIC
#define DMA_BUF_MAGIC 0x444d4142
#endif

/* Registered memory that is mapped from a file, as one range. */
struct file_ranges {
	struct dmabuf_ranges ranges;
	struct phys_vec vec;
	struct dmabuf_file file;
	void *cpu; /* NULL if the file can be read only: then software devices alone map it */
};

static void file_release(struct dmabuf_ranges *ranges)
{
	struct file_ranges *f = container_of(ranges, struct file_ranges, ranges);

	/* What somebody else has let a device at stays, and so must its mapping. */
	if (!dma_memory_unregister(f->vec.paddr) && f->cpu)
		munmap(f->cpu, f->vec.len);
	close(f->file.fd);
	base_free(f);
}

/* Only a file that cannot shrink: the first access behind its end would kill the process. */
static int seal(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return base_error(
			errno == EBADF ? -EBADF : -EINVAL,
			"a buffer of descriptor %d, which is neither a memfd nor a dma-buf "
			"of the kernel; make one with memfd_create(MFD_ALLOW_SEALING)",
			fd);
	if (seals & F_SEAL_SHRINK || !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return 0;
	return base_error(-EPERM,
			  "a buffer of descriptor %d, whose file could shrink while devices use it "
			  "and cannot be sealed with F_SEAL_SHRINK: %s; make it with "
			  "memfd_create(MFD_ALLOW_SEALING)",
			  fd, strerror(errno));
}

static int check_bytes(int fd, struct dmabuf_file *file, uint64_t length)
{
	uint64_t left;

	if ((file->offset | file->size) & GRANULE_MASK)
		return base_error(
			-EINVAL,
			"a buffer of 0x%llx bytes at offset 0x%llx of descriptor %d: both "
			"must be multiples of 4096",
			(unsigned long long)file->size, (unsigned long long)file->offset, fd);
	left = length > file->offset ? length - file->offset : 0;
	if (!left || file->size > left)
		return base_error(-EINVAL,
				  "a buffer of 0x%llx bytes at offset 0x%llx of descriptor %d: the "
				  "file has 0x%llx bytes; it has shrunk, or was never as long",
				  (unsigned long long)file->size, (unsigned long long)file->offset,
				  fd, (unsigned long long)length);
	if (!file->size)
		file->size = left;
	if (file->size & GRANULE_MASK)
		return base_error(-EINVAL,
				  "a buffer of all of descriptor %d from 0x%llx on, 0x%llx bytes: "
				  "they must be a multiple of 4096",
				  fd, (unsigned long long)file->offset,
				  (unsigned long long)file->size);
	return 0;
}

/* What bytes are meant, and that they are there to stay. */
static int examine(int fd, uint64_t offset, uint64_t size, struct dmabuf_file *file)
{
	struct statfs fs;
	struct stat stat;
	off_t length;
	int err;

	if (fstatfs(fd, &fs) || fstat(fd, &stat))
		return base_error(-errno, "a buffer of descriptor %d: %s", fd, strerror(errno));
	*file = (struct dmabuf_file){
		.fd = -1,
		.kernels = fs.f_type == DMA_BUF_MAGIC,
		.dev = stat.st_dev,
		.ino = stat.st_ino,
		.offset = offset,
		.size = size,
	};
	err = file->kernels ? 0 : seal(fd);
	if (err)
		return err;
	/* Not from fstat(), which does not tell it of a dma-buf; and of a memfd only now for good. */
	length = file->kernels ? lseek(fd, 0, SEEK_END) : !fstat(fd, &stat) ? stat.st_size : -1;
	if (length < 0)
		return base_error(-errno,
				  "a buffer of descriptor %d, whose length is not known: %s", fd,
				  strerror(errno));
	return check_bytes(fd, file, (uint64_t)length);
}

static int open_file(int fd, struct file_ranges *f)
{
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_DMABUF,
		.size = f->file.size,
		.fd_offset = f->file.offset,
	};
	int err;

	f->file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (f->file.fd < 0)
		return base_error(-errno, "a buffer of descriptor %d: it cannot be duplicated: %s",
				  fd, strerror(errno));
	errno = ENOMEM;
	f->cpu = base_alloc_denied() ? MAP_FAILED
				     : mmap(NULL, f->file.size, PROT_READ | PROT_WRITE, MAP_SHARED,
					    f->file.fd, (off_t)f->file.offset);
	if (f->cpu == MAP_FAILED) {
		f->cpu = NULL;
		err = errno == EACCES || errno == EPERM
			      ? 0
			      : base_error(-errno, "a buffer of descriptor %d cannot be mapped: %s",
					   fd, strerror(errno));
	} else {
		err = 0;
	}
	desc.fd = f->file.fd;
	desc.cpu = f->cpu;
	if (!err)
		err = dma_memory_register(&desc, &f->vec.paddr);
	if (err) {
		if (f->cpu)
			munmap(f->cpu, f->file.size);
		close(f->file.fd);
	}
	return err;
}

static struct dma_buf *export_new(int fd, const struct dmabuf_file *file, const char *name,
				  unsigned int flags)
{
	struct file_ranges *f = base_zalloc(sizeof(*f));
	struct dma_buf *buf;
	int err;

	if (!f)
		return ERR_PTR(base_error(
			-ENOMEM, "no memory for a buffer of descriptor %d; free some", fd));
	f->file = *file;
	err = open_file(fd, f);
	if (err) {
		base_free(f);
		return ERR_PTR(err);
	}
	f->vec.len = file->size;
	f->ranges = (struct dmabuf_ranges){
		.vec = &f->vec,
		.nr_vecs = 1,
		.release = file_release,
		.file = &f->file,
	};
	buf = dmabuf_export_ranges(&f->ranges, name, file->size, flags);
	if (IS_ERR(buf))
		file_release(&f->ranges);
	return buf;
}

/* A new buffer becomes known; unless another thread was first, whose it then is, if @share. */
static struct dma_buf *publish(struct dma_buf *buf, bool share)
{
	struct dmabuf_ranges *ranges;
	struct dmabuf *known;

	if (IS_ERR(buf))
		return buf;
	ranges = buf->priv;
	known = dmabuf_publish(dmabuf_of(buf), ranges->file);
	if (&known->public == buf)
		return buf;
	if (share) {
		dma_buf_put(buf);
		return &known->public;
	}
	dma_buf_put(&known->public);
	dma_buf_put(buf);
	return ERR_PTR(base_error(-EEXIST,
				  "exporting bytes of a file that are a buffer of this process "
				  "already; get it with dma_buf_get_fd()"));
}

struct dma_buf *dma_buf_export_memfd(int memfd, uint64_t offset, uint64_t size, unsigned int flags)
{
	struct dmabuf_file file;
	int err = examine(memfd, offset, size, &file);

	if (err)
		return ERR_PTR(err);
	return publish(export_new(memfd, &file, "memfd", flags), false);
}

struct dma_buf *dma_buf_export_udmabuf(int memfd, uint64_t offset, uint64_t size,
				       unsigned int flags)
{
	struct udmabuf_create create = {.flags = UDMABUF_FLAGS_CLOEXEC, .offset = offset};
	struct dmabuf_file file;
	struct dma_buf *buf;
	int device, fd, err;

	err = examine(memfd, offset, size, &file);
	if (err)
		return ERR_PTR(err);
	device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return ERR_PTR(
			base_error(errno == ENOENT || errno == ENXIO ? -ENODEV : -errno,
				   "exporting a dma-buf of the kernel: /dev/udmabuf: %s; load "
				   "the module udmabuf, or use dma_buf_export_memfd()",
				   strerror(errno)));
	create.memfd = (uint32_t)memfd;
	create.size = file.size;
	fd = ioctl(device, UDMABUF_CREATE, &create);
	err = fd < 0 ? base_error(
			       -errno,
			       "exporting a dma-buf of the kernel of descriptor %d: %s; the file "
			       "must have the seal F_SEAL_SHRINK and not F_SEAL_WRITE",
			       memfd, strerror(errno))
		     : 0;
	close(device);
	if (!err)
		err = examine(fd, 0, 0, &file);
	buf = err ? ERR_PTR(err) : publish(export_new(fd, &file, "udmabuf", flags), false);
	if (fd >= 0)
		close(fd);
	return buf;
}

struct dma_buf *dma_buf_get_fd(int fd, uint64_t offset, uint64_t size)
{
	struct dmabuf_file file;
	struct dmabuf *known;
	int err = examine(fd, offset, size, &file);

	if (err)
		return ERR_PTR(err);
	known = dmabuf_known(&file);
	if (known)
		return &known->public;
	return publish(export_new(fd, &file, file.kernels ? "dma-buf" : "memfd", 0), true);
}

struct dma_buf *dma_buf_get(int fd)
{
	return dma_buf_get_fd(fd, 0, 0);
}

int dma_buf_fd(struct dma_buf *dmabuf, int flags)
{
	const struct dmabuf_file *file = dmabuf_of(dmabuf)->file;
	int fd;

	if (!file)
		return base_error(-EOPNOTSUPP,
				  "a descriptor of a buffer of %s, which has none; export it with "
				  "dma_buf_export_memfd()",
				  dmabuf_name(dmabuf));
	if (flags & ~O_CLOEXEC)
		return base_error(-EINVAL,
				  "a descriptor of a buffer with the flags 0x%x: the only one is "
				  "O_CLOEXEC",
				  (unsigned int)flags);
	fd = fcntl(file->fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	if (fd < 0)
		return base_error(-errno, "a descriptor of a buffer of %s: %s; close some",
				  dmabuf_name(dmabuf), strerror(errno));
	return fd;
}

int dmabuf_file_access(const struct dmabuf_file *file, enum dma_data_direction dir, bool end)
{
	struct dma_buf_sync sync = {.flags = end ? DMA_BUF_SYNC_END : DMA_BUF_SYNC_START};
	int err;

	if (!file->kernels)
		return 0;
	if (dir != DMA_TO_DEVICE)
		sync.flags |= DMA_BUF_SYNC_READ;
	if (dir != DMA_FROM_DEVICE)
		sync.flags |= DMA_BUF_SYNC_WRITE;
	do
		err = ioctl(file->fd, DMA_BUF_IOCTL_SYNC, &sync) ? -errno : 0;
	while (err == -EINTR || err == -EAGAIN);
	if (err)
		base_error(err, "telling the kernel of the CPU's access to a dma-buf: %s",
			   strerror(-err));
	return err;
}
