/* SPDX-License-Identifier: MIT */
/* A forked child owns none of its parent's allocations: it has a copy of the memory to free. */
#include <sys/wait.h>
#include <unistd.h>

#include "../child.h"
#include "coherent.h"

struct inherited {
	struct device d;
	uint8_t *cpu, *more, *object;
	dma_addr_t addr, another, object_addr;
	struct sg_table *sgt;
	struct dma_pool *pool;
};

static void said_so(void)
{
	MUST(*dma_last_error());
	dma_clear_error();
}

static void child(struct inherited *in, bool close)
{
	struct dma_dev *dev = in->d.dev;
	dma_addr_t addr = 42;

	dma_clear_error();
	MUST(!dma_alloc_coherent(dev, PAGE, &addr));
	said_so();
	MUST(!dma_alloc_pages(dev, PAGE, &addr, DMA_TO_DEVICE));
	said_so();
	MUST(!dma_alloc_noncontiguous(dev, PAGE, DMA_TO_DEVICE, 0));
	said_so();
	MUST(!dma_pool_create("child's", dev, 64, 0, 0));
	said_so();
	MUST(!dma_pool_alloc(in->pool, &addr));
	said_so();
	MUST(!dma_vmap_noncontiguous(dev, PAGE, in->sgt));
	said_so();
	MUST(addr == 42);
	dma_pool_free(in->pool, in->object, in->object_addr);
	said_so();
	MUST(in->cpu[0] == 1);
	dma_free_coherent(dev, PAGE, in->cpu, in->addr);
	said_so();
	dma_free_noncontiguous(dev, PAGE, in->sgt, DMA_BIDIRECTIONAL);
	said_so();
	if (close) {
		dma_dev_close(dev);
	} else {
		dma_pool_destroy(in->pool);
		dma_dev_close(dev);
	}
	MUST(!dma_leak_count());
	_exit(0);
}

static void forked(const char *uri, bool close)
{
	struct inherited in = {.d = device_open(uri)};
	int status;
	pid_t pid;

	in.cpu = dma_alloc_coherent(in.d.dev, PAGE, &in.addr);
	in.more = dma_alloc_pages(in.d.dev, 2 * MIB, &in.another, DMA_BIDIRECTIONAL);
	in.sgt = dma_alloc_noncontiguous(in.d.dev, PAGE, DMA_BIDIRECTIONAL, 0);
	in.pool = dma_pool_create("inherited", in.d.dev, 64, 0, 0);
	in.object = dma_pool_alloc(in.pool, &in.object_addr);
	in.cpu[0] = 1;
	pid = fork();
	if (!pid)
		child(&in, close);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Nothing has happened here. */
	assert_reads(&in.d, in.addr, 1);
	assert_int_equal(in.cpu[0], 1);
	in.object[0] = 9;
	assert_reads(&in.d, in.object_addr, 9);
	dma_pool_free(in.pool, in.object, in.object_addr);
	dma_pool_destroy(in.pool);
	dma_free_noncontiguous(in.d.dev, PAGE, in.sgt, DMA_BIDIRECTIONAL);
	dma_free_pages(in.d.dev, 2 * MIB, in.more, in.another, DMA_BIDIRECTIONAL);
	dma_free_coherent(in.d.dev, PAGE, in.cpu, in.addr);
	device_close(&in.d, 0);
}

static void children(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(every_device); i++) {
		forked(every_device[i], true);
		forked(every_device[i], false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
