/* SPDX-License-Identifier: MIT */
/* A dma-buf of the kernel, where the machine makes them; else the test is skipped. */
#include <fcntl.h>
#include <unistd.h>

#include "sharing.h"

#define SKIPPED 77
#define PAGES 4

static void of_a_memfd(void **state)
{
	int memfd = memfd_create("buffer", MFD_CLOEXEC | MFD_ALLOW_SEALING), fd;
	struct device d = soft_open(state, "");
	struct dma_buf *buf;
	struct importer i;
	void *vaddr;

	assert_int_equal(ftruncate(memfd, PAGES * PAGE), 0);
	for (unsigned int n = 0; n < PAGES; n++) {
		uint8_t byte = (uint8_t)(0x50 + n);

		assert_int_equal(pwrite(memfd, &byte, 1, (off_t)(n * PAGE)), 1);
	}
	buf = dma_buf_export_udmabuf(memfd, PAGE, 2 * PAGE, DMA_BUF_REVOCABLE);
	assert_false(IS_ERR(buf));
	assert_int_equal(buf->size, 2 * PAGE);
	importer_attach(&i, buf, &d);
	importer_map(&i);
	assert_table(&d, i.sgt, 2, 0x51);
	assert_int_equal(dma_buf_lock(buf), 0);
	assert_int_equal(dma_buf_vmap(buf, &vaddr), 0);
	dma_buf_unlock(buf);
	assert_int_equal(dma_buf_begin_cpu_access(buf, DMA_TO_DEVICE), 0);
	*(uint8_t *)vaddr = 0x66;
	assert_int_equal(dma_buf_end_cpu_access(buf, DMA_TO_DEVICE), 0);
	assert_reads(&d, i.sgt->sgl[0].dma_address, 0x66);

	fd = dma_buf_fd(buf, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_ptr_equal(dma_buf_get(fd), buf);
	dma_buf_put(buf);
	close(fd);
	assert_int_equal(dma_buf_revoke(buf, 0), 0);
	importer_detach(&i);
	dma_buf_put(buf);
	close(memfd);
	device_close(&d, 0);
}

static void without_the_device_node(void)
{
	int memfd = memfd_create("buffer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *buf = ERR_PTR(0);

	if (memfd >= 0 && !ftruncate(memfd, PAGE))
		buf = dma_buf_export_udmabuf(memfd, 0, PAGE, 0);
	if (!IS_ERR(buf) || PTR_ERR(buf) != -ENODEV || !strstr(dma_last_error(), "udmabuf"))
		_Exit(1);
	close(memfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {EACH_FORMAT(of_a_memfd)};

	if (access("/dev/udmabuf", F_OK)) {
		without_the_device_node();
		return SKIPPED;
	}
	if (access("/dev/udmabuf", R_OK | W_OK))
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
