/* SPDX-License-Identifier: MIT */
/* Buffers of descriptors: what can be one, and two processes that share one. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "sharing.h"

#define PAGES 5

/* Page i begins with @first + i. */
static int memfd_new(unsigned int flags, unsigned int first)
{
	int fd = memfd_create("buffer", MFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGES * PAGE), 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		uint8_t byte = (uint8_t)(first + i);

		assert_int_equal(pwrite(fd, &byte, 1, (off_t)(i * PAGE)), 1);
	}
	return fd;
}

static void mapped_for_devices(void **state)
{
	static const char *const options[] = {"", ",untrusted", ",coherent=off", ",bounce=force"};
	int fd = memfd_new(MFD_ALLOW_SEALING, 0x30);

	for (size_t n = 0; n < COUNT(options); n++) {
		struct device d = soft_open(state, options[n]);
		struct dma_buf *buf = dma_buf_export_memfd(fd, PAGE, 3 * PAGE, 0);
		struct importer i;
		char back[5];

		assert_false(IS_ERR(buf));
		assert_int_equal(buf->size, 3 * PAGE);
		importer_attach(&i, buf, &d);
		importer_map(&i);
		assert_table(&d, i.sgt, 3, 0x31);
		assert_int_equal(
			dma_bus_write(d.port, i.sgt->sgl[0].dma_address + PAGE + 8, "disk", 5), 0);
		importer_unmap(&i);
		assert_int_equal(pread(fd, back, 5, 2 * PAGE + 8), 5);
		assert_string_equal(back, "disk");
		importer_detach(&i);
		dma_buf_put(buf);
		device_close(&d, 0);
	}
	close(fd);
}

/* The same bytes of the same file are the same buffer, so that it can be revoked for all. */
static void one_buffer_however_often_it_is_got(void **state)
{
	int fd = memfd_new(MFD_ALLOW_SEALING, 0x30), copy;
	struct dma_buf *buf = dma_buf_export_memfd(fd, 0, 0, DMA_BUF_REVOCABLE);
	struct dma_buf *part, *again;

	(void)state;
	assert_false(IS_ERR(buf));
	assert_int_equal(buf->size, PAGES * PAGE);
	copy = dma_buf_fd(buf, O_CLOEXEC);
	assert_true(copy >= 0);
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	close(fd);
	assert_ptr_equal(dma_buf_get(copy), buf);
	dma_buf_put(buf);
	assert_ptr_equal(dma_buf_get_fd(copy, 0, PAGES * PAGE), buf);
	dma_buf_put(buf);
	assert_error(dma_buf_export_memfd(copy, 0, 0, 0), -EEXIST);
	part = dma_buf_get_fd(copy, PAGE, 0);
	assert_false(IS_ERR(part));
	assert_ptr_not_equal(part, buf);
	assert_int_equal(part->size, (PAGES - 1) * PAGE);
	dma_buf_put(part);
	assert_errno(dma_buf_fd(buf, O_APPEND), -EINVAL);
	dma_buf_put(buf);
	/* Gone: now it is another one. */
	again = dma_buf_get(copy);
	assert_false(IS_ERR(again));
	assert_int_equal(dma_buf_revoke(again, 0), -EOPNOTSUPP);
	dma_buf_put(again);
	close(copy);
}

static void files_that_are_refused(void **state)
{
	char path[] = "/tmp/dmabuf-XXXXXX";
	int file = mkstemp(path), unsealable = memfd_new(0, 0);
	int fd = memfd_new(MFD_ALLOW_SEALING, 0), empty = memfd_create("e", MFD_ALLOW_SEALING);
	int odd = memfd_create("odd", MFD_ALLOW_SEALING);

	(void)state;
	assert_true(file >= 0 && empty >= 0 && odd >= 0);
	assert_int_equal(ftruncate(file, PAGES * PAGE), 0);
	assert_int_equal(ftruncate(odd, PAGE + 1), 0);
	assert_error(dma_buf_get(-1), -EBADF);
	assert_error(dma_buf_get(1000), -EBADF);
	/* Neither a memfd nor one that can be sealed. */
	dma_clear_error();
	assert_true(IS_ERR(dma_buf_get(file)));
	assert_string_not_equal(dma_last_error(), "");
	assert_error(dma_buf_get(unsealable), -EPERM);
	assert_error(dma_buf_export_memfd(unsealable, 0, 0, 0), -EPERM);
	assert_error(dma_buf_export_memfd(fd, 0, 0, 2), -EINVAL);
	assert_error(dma_buf_get_fd(fd, 8, PAGE), -EINVAL);
	assert_error(dma_buf_get_fd(fd, 0, PAGE + 8), -EINVAL);
	assert_error(dma_buf_get_fd(fd, PAGE, PAGES * PAGE), -EINVAL);
	assert_error(dma_buf_get_fd(fd, PAGES * PAGE, 0), -EINVAL);
	assert_error(dma_buf_get_fd(fd, ~0xfffULL, PAGE), -EINVAL);
	assert_error(dma_buf_get_fd(fd, PAGE, ~0xfffULL), -EINVAL);
	assert_error(dma_buf_get(empty), -EINVAL);
	assert_error(dma_buf_get(odd), -EINVAL);
	close(empty);
	close(odd);
	close(file);
	unlink(path);
	close(unsealable);
	close(fd);
}

/* A file that has shrunk before is told, and none shrinks afterwards. */
static void files_that_shrink(void **state)
{
	int fd = memfd_new(MFD_ALLOW_SEALING, 0x30);
	struct device d = soft_open(state, "");
	struct dma_buf *buf;
	struct importer i;

	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_error(dma_buf_get_fd(fd, 0, PAGES * PAGE), -EINVAL);
	buf = dma_buf_get_fd(fd, 0, 2 * PAGE);
	assert_false(IS_ERR(buf));
	assert_int_equal(ftruncate(fd, PAGE), -1);
	assert_int_equal(errno, EPERM);
	importer_attach(&i, buf, &d);
	importer_map(&i);
	assert_table(&d, i.sgt, 2, 0x30);
	importer_unmap(&i);
	importer_detach(&i);
	dma_buf_put(buf);
	close(fd);
	device_close(&d, 0);
}

/* What the process may only read, its devices may only read. */
static void files_that_can_be_read_only(void **state)
{
	int fd = memfd_new(MFD_ALLOW_SEALING, 0x30);
	struct device d = soft_open(state, "");
	struct dma_buf *buf;
	struct importer i;
	void *vaddr;

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	buf = dma_buf_export_memfd(fd, 0, 0, 0);
	if (IS_ERR(buf) && PTR_ERR(buf) == -EPERM) {
		/* Kernels that refuse even read-only shared mappings of such a file. */
		close(fd);
		device_close(&d, 0);
		return;
	}
	assert_false(IS_ERR(buf));
	importer_attach(&i, buf, &d);
	importer_map(&i);
	assert_table(&d, i.sgt, PAGES, 0x30);
	assert_int_equal(dma_bus_write(d.port, i.sgt->sgl[0].dma_address, "x", 1), -EFAULT);
	assert_int_equal(dma_buf_lock(buf), 0);
	assert_errno(dma_buf_vmap(buf, &vaddr), -EOPNOTSUPP);
	dma_buf_unlock(buf);
	importer_unmap(&i);
	importer_detach(&i);
	dma_buf_put(buf);
	close(fd);
	device_close(&d, 0);
}

/* Two processes. */

static void send_fd(int to, int fd)
{
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec byte = {"d", 1};
	struct msghdr msg = {.msg_iov = &byte,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	struct cmsghdr *control = CMSG_FIRSTHDR(&msg);

	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(control), &fd, sizeof(fd));
	assert_int_equal(sendmsg(to, &msg, 0), 1);
}

static int receive_fd(int from)
{
	char space[CMSG_SPACE(sizeof(int))] = {0}, got;
	struct iovec byte = {&got, 1};
	struct msghdr msg = {.msg_iov = &byte,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	int fd = -1;

	if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void say(int to)
{
	assert_int_equal(write(to, "g", 1), 1);
}

static bool hear(int from)
{
	char byte;

	return read(from, &byte, 1) == 1;
}

/* The other process: gets the buffer, its device reads 0x40.. and answers in page 3. */
static int import_in_child(int socket, const char *format)
{
	char uri[64];
	struct dma_dev *dev;
	struct dma_buf *buf;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	uint8_t byte;
	int fd = receive_fd(socket);

	snprintf(uri, sizeof(uri), "soft:pgtable=%s", format);
	if (fd < 0 || dma_dev_open(uri, &dev) || dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)))
		return 1;
	buf = dma_buf_get(fd);
	close(fd);
	if (IS_ERR(buf) || buf->size != PAGES * PAGE)
		return 2;
	attach = dma_buf_attach(buf, dev);
	if (IS_ERR(attach))
		return 3;
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt) || sgt->nents != 1)
		return 4;
	for (unsigned int i = 0; i < PAGES; i++) {
		if (dma_bus_read(dma_dev_port(dev), sgt->sgl[0].dma_address + i * PAGE, &byte, 1) ||
		    byte != 0x40 + i)
			return 5;
	}
	if (dma_bus_write(dma_dev_port(dev), sgt->sgl[0].dma_address + 3 * PAGE, "child", 6))
		return 6;
	if (write(socket, "g", 1) != 1 || !hear(socket))
		return 7;
	/* What the other process's device wrote meanwhile. */
	if (dma_bus_read(dma_dev_port(dev), sgt->sgl[0].dma_address + 4 * PAGE, &byte, 1) ||
	    byte != 'p')
		return 8;
	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
	dma_buf_detach(buf, attach);
	dma_buf_put(buf);
	dma_dev_close(dev);
	return dma_leak_count() ? 9 : 0;
}

static void between_two_processes(void **state)
{
	int sockets[2], status, fd;
	struct device d;
	struct dma_buf *buf;
	struct importer i;
	char answer[6];
	pid_t child;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	child = fork(); /* before anything is opened */
	assert_true(child >= 0);
	if (!child) {
		close(sockets[0]);
		_exit(import_in_child(sockets[1], *state));
	}
	close(sockets[1]);
	d = soft_open(state, "");
	fd = memfd_new(MFD_ALLOW_SEALING, 0x40);
	buf = dma_buf_export_memfd(fd, 0, 0, 0);
	assert_false(IS_ERR(buf));
	close(fd);
	importer_attach(&i, buf, &d);
	importer_map(&i);
	fd = dma_buf_fd(buf, O_CLOEXEC);
	assert_true(fd >= 0);
	send_fd(sockets[0], fd);
	close(fd);
	assert_true(hear(sockets[0]));
	assert_int_equal(dma_bus_read(d.port, i.sgt->sgl[0].dma_address + 3 * PAGE, answer, 6), 0);
	assert_string_equal(answer, "child");
	assert_int_equal(dma_bus_write(d.port, i.sgt->sgl[0].dma_address + 4 * PAGE, "p", 1), 0);
	say(sockets[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(sockets[0]);
	importer_unmap(&i);
	importer_detach(&i);
	dma_buf_put(buf);
	device_close(&d, 0);
}

/* Through a device that is not coherent, by syncs, which the buffer's CPU accesses make. */
static void accesses_of_the_cpu(void **state)
{
	struct device d = soft_open(state, ",coherent=off");
	int fd = memfd_new(MFD_ALLOW_SEALING, 0x30);
	struct dma_buf *buf = dma_buf_export_memfd(fd, 0, 0, 0);
	struct importer i;
	dma_addr_t addr;
	void *vaddr;
	uint8_t *cpu;

	assert_false(IS_ERR(buf));
	importer_attach(&i, buf, &d);
	addr = importer_map(&i);
	assert_errno(dma_buf_vmap(buf, &vaddr), -EINVAL);
	assert_int_equal(dma_buf_lock(buf), 0);
	assert_int_equal(dma_buf_vmap(buf, &vaddr), 0);
	dma_buf_unlock(buf);
	cpu = vaddr;
	assert_errno(dma_buf_begin_cpu_access(buf, DMA_NONE), -EINVAL);
	assert_int_equal(dma_buf_begin_cpu_access(buf, DMA_BIDIRECTIONAL), 0);
	cpu[2 * PAGE] = 0x77;
	assert_reads(&d, addr + 2 * PAGE, 0x32);
	assert_int_equal(dma_buf_end_cpu_access(buf, DMA_BIDIRECTIONAL), 0);
	assert_reads(&d, addr + 2 * PAGE, 0x77);

	assert_int_equal(dma_bus_write(d.port, addr + PAGE, "dev", 4), 0);
	assert_int_equal(cpu[PAGE], 0x31);
	assert_int_equal(dma_buf_begin_cpu_access(buf, DMA_FROM_DEVICE), 0);
	assert_string_equal((char *)cpu + PAGE, "dev");
	assert_int_equal(dma_buf_end_cpu_access(buf, DMA_FROM_DEVICE), 0);
	assert_errno(dma_buf_end_cpu_access(buf, DMA_NONE), -EINVAL);
	assert_int_equal(dma_buf_lock(buf), 0);
	dma_buf_vunmap(buf, vaddr);
	dma_buf_unlock(buf);
	importer_unmap(&i);
	importer_detach(&i);
	dma_buf_put(buf);
	close(fd);
	device_close(&d, 0);
}

/* Ranges that do not follow each other have no address for the CPU. */
static void ranges_of_the_cpu(void **state)
{
	uint8_t *memory = pages_new(4, 0);
	phys_addr_t phys = virt_to_phys(memory);
	const struct phys_vec apart[] = {{phys, PAGE}, {phys + 2 * PAGE, PAGE}};
	const struct phys_vec whole[] = {{phys, PAGE}, {phys + PAGE, 3 * PAGE}};
	struct dma_buf *buf = dma_buf_export_phys(NULL, apart, 2, 0);
	void *vaddr;

	(void)state;
	assert_int_equal(dma_buf_lock(buf), 0);
	assert_errno(dma_buf_vmap(buf, &vaddr), -EOPNOTSUPP);
	dma_buf_unlock(buf);
	dma_buf_put(buf);
	buf = dma_buf_export_phys(NULL, whole, 2, 0);
	assert_int_equal(dma_buf_lock(buf), 0);
	assert_int_equal(dma_buf_vmap(buf, &vaddr), 0);
	assert_ptr_equal(vaddr, memory);
	dma_buf_unlock(buf);
	dma_buf_put(buf);
	free(memory);
}

/* All of it in each failure: nothing is left open, registered or known. */
static void without_memory(void **state)
{
	int fd = memfd_new(MFD_ALLOW_SEALING, 0x30), lowest = dup(fd);
	unsigned int failures = 0;
	uint64_t nth = 1;

	close(lowest);
	for (bool reached = true; reached; nth++) {
		struct device d = soft_open(state, ",coherent=off");
		struct dma_buf_attachment *attach = NULL;
		struct sg_table *sgt = NULL;
		struct dma_buf *buf;
		void *failed;

		base_alloc_fail(nth);
		failed = buf = dma_buf_get(fd);
		if (!IS_ERR(buf))
			failed = attach = dma_buf_attach(buf, d.dev);
		if (!IS_ERR(failed))
			failed = sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
		reached = base_alloc_fail(0) >= nth;
		if (IS_ERR(failed)) {
			assert_true(reached);
			assert_int_equal(PTR_ERR(failed), -ENOMEM);
			failures++;
		} else {
			dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
		}
		if (!IS_ERR(buf)) {
			if (attach && !IS_ERR(attach))
				dma_buf_detach(buf, attach);
			dma_buf_put(buf);
		}
		device_close(&d, 0);
	}
	assert_true(failures > 5);
	assert_int_equal(dup(fd), lowest);
	close(lowest);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(between_two_processes),
		EACH_FORMAT(mapped_for_devices),
		cmocka_unit_test(one_buffer_however_often_it_is_got),
		cmocka_unit_test(files_that_are_refused),
		EACH_FORMAT(files_that_shrink),
		EACH_FORMAT(files_that_can_be_read_only),
		EACH_FORMAT(accesses_of_the_cpu),
		cmocka_unit_test(ranges_of_the_cpu),
		EACH_FORMAT(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
