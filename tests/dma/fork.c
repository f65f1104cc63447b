/* SPDX-License-Identifier: MIT */
/* After fork() the child owns none of its parent's devices, and can have its own. */
#include <sys/wait.h>
#include <unistd.h>

#include "../child.h"
#include "dma/dma.h"
#include "setup.h"

struct inherited {
	struct device d;
	struct dma_iova_state iova; /* 4 pages, 2 of them linked */
	struct dma_iova_state one; /* nothing linked */
	dma_addr_t addr;
	uint8_t *memory;
	struct dma_gather gather; /* open, with a range */
};

static void refused(int err)
{
	MUST(err == -EPERM);
	MUST(*dma_last_error());
	dma_clear_error();
}

static void calls_that_answer(struct inherited *in)
{
	struct dma_dev *dev = in->d.dev, *another;
	struct dma_iova_state iova = {1, 1};
	struct phys_vec vec = {virt_to_phys(in->memory), PAGE};
	struct dma_pgtable_info info;
	struct dma_fault fault;
	struct dma_stats stats;
	uint64_t value = 0;

	dma_clear_error();
	refused(dma_iova_link(dev, &in->iova, vec.paddr, 2 * PAGE, PAGE, DMA_TO_DEVICE, 0));
	refused(dma_iova_link(dev, &in->iova, vec.paddr, 2 * PAGE, 5, DMA_TO_DEVICE, 0));
	refused(dma_iova_link_vec(dev, &in->iova, &vec, 1, 2 * PAGE, DMA_TO_DEVICE, 0));
	refused(dma_iova_sync(dev, &in->iova, 0, PAGE));
	refused(dma_iova_sync(dev, &in->iova, 0, 0));
	refused(dma_iova_sync(dev, &in->iova, 0, 5 * PAGE));
	refused(dma_set_mask(dev, DMA_BIT_MASK(40)));
	refused(dma_set_coherent_mask(dev, DMA_BIT_MASK(40)));
	refused(dma_set_mask_and_coherent(dev, DMA_BIT_MASK(40)));
	refused(dma_space_stats(in->d.space, &stats));
	refused(dma_space_pgtable(in->d.space, &info));
	refused(dma_space_reserve(in->d.space, 0x1000, 0x1fff));
	refused(dma_space_flush(in->d.space));
	refused(dma_space_set_fault_handler(in->d.space, NULL, NULL));
	refused(dma_space_read_faults(in->d.space, &fault, 1, NULL));
	refused(dma_dev_open_in("soft:", in->d.space, &another));
	refused(dma_dev_reg_read(dev, 0, 0, &value, 8));
	refused(dma_dev_reg_write(dev, 0, 0, 0, 8));
	refused(dma_dev_step(dev));
	refused(dma_bus_read(in->d.port, in->iova.addr, &value, sizeof(value)));
	refused(dma_bus_write(in->d.port, in->iova.addr, &value, sizeof(value)));
	refused(dma_bus_fetch_add(in->d.port, in->iova.addr, 8, 1, NULL));
	refused(dma_bus_cmpxchg(in->d.port, in->iova.addr, 8, &value, &value));
	MUST(dma_map_single(dev, in->memory, PAGE, DMA_TO_DEVICE) == DMA_MAPPING_ERROR);
	MUST(dma_map_single(dev, in->memory, 3 * PAGE, DMA_TO_DEVICE) == DMA_MAPPING_ERROR);
	refused(-EPERM);
	MUST(!dma_iova_try_alloc(dev, &iova, 0, PAGE));
	MUST(!iova.addr && !iova.__size);
	MUST(!dma_iova_try_alloc_flags(dev, &iova, 0, 9 * PAGE, 0, 0));
	refused(-EPERM);
}

static void said_so(void)
{
	MUST(*dma_last_error());
	dma_clear_error();
}

/* They do nothing, and say so. */
static void calls_that_do_not(struct inherited *in)
{
	struct dma_dev *dev = in->d.dev;
	struct dma_gather gather;

	dma_clear_error();
	unlink_at(&in->d, &in->iova, 0, PAGE);
	said_so();
	dma_unmap_single(dev, in->addr, PAGE, DMA_BIDIRECTIONAL);
	said_so();
	dma_unmap_single(dev, in->addr, 2 * PAGE, DMA_BIDIRECTIONAL);
	said_so();
	dma_iova_free(dev, &in->one);
	said_so();
	destroy(&in->d, &in->iova, 2 * PAGE);
	said_so();
	dma_sync_single_for_cpu(dev, in->addr, PAGE, DMA_BIDIRECTIONAL);
	said_so();
	dma_sync_single_for_device(dev, in->addr, PAGE, DMA_BIDIRECTIONAL);
	said_so();
	dma_gather_begin(dev, &gather);
	dma_unmap_phys_gather(dev, in->addr, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	said_so();
	dma_iova_unlink_gather(dev, &in->iova, 0, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	said_so();
	dma_iova_destroy_gather(dev, &in->iova, PAGE, DMA_BIDIRECTIONAL, 0, &gather);
	said_so();
	dma_gather_end(&gather);
	dma_gather_end(&in->gather);
	dma_clear_error();
}

static void a_device_of_its_own(const char *uri)
{
	struct dma_iova_state iova;
	uint8_t *memory = aligned_alloc(PAGE, PAGE), byte = 0;
	struct dma_stats stats;
	struct dma_dev *dev;

	memset(memory, 7, PAGE);
	MUST(!dma_dev_open(uri, &dev));
	MUST(dma_iova_try_alloc(dev, &iova, 0, PAGE));
	MUST(!dma_iova_link(dev, &iova, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE, 0));
	MUST(!dma_iova_sync(dev, &iova, 0, PAGE));
	MUST(!dma_bus_read(dma_dev_port(dev), iova.addr, &byte, 1) && byte == 7);
	dma_iova_destroy(dev, &iova, PAGE, DMA_TO_DEVICE, 0);
	MUST(dma_bus_read(dma_dev_port(dev), iova.addr, &byte, 1) == -EFAULT);
	MUST(!dma_space_stats(dma_dev_space(dev), &stats));
	MUST(!stats.iova_live && !stats.misuse && stats.faults == 1);
	dma_dev_close(dev);
	free(memory);
}

static void child(struct inherited *in, const char *uri)
{
	calls_that_answer(in);
	calls_that_do_not(in);
	a_device_of_its_own(uri);
	/* What was the parent's is no leak of the child's. */
	dma_dev_close(in->d.dev);
	MUST(!dma_leak_count());
	a_device_of_its_own(uri);
	_exit(0);
}

static void the_child_owns_nothing(void **state)
{
	struct inherited in = {.d = soft_open(state, ""), .memory = pages_new(4, 1)};
	struct dma_iova_state gathered = reserve(&in.d, 0, PAGE);
	struct snapshot before;
	char uri[64];
	int status;
	pid_t pid;

	snprintf(uri, sizeof(uri), "soft:pgtable=%s", (const char *)*state);
	in.iova = reserve(&in.d, 0, 4 * PAGE);
	in.one = reserve(&in.d, 0, PAGE);
	in.addr = dma_map_single(in.d.dev, in.memory, PAGE, DMA_BIDIRECTIONAL);
	link_at(&in.d, &in.iova, 0, in.memory, 2 * PAGE);
	link_at(&in.d, &gathered, 0, in.memory, PAGE);
	dma_gather_begin(in.d.dev, &in.gather);
	dma_iova_destroy_gather(in.d.dev, &gathered, PAGE, DMA_BIDIRECTIONAL, 0, &in.gather);
	before = snapshot_take(&in.d, in.iova.addr, 4);

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child(&in, uri);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);

	/* The parent has not noticed. */
	assert_unchanged(&in.d, &before);
	assert_reads(&in.d, in.addr, 1);
	dma_gather_end(&in.gather);
	link_at(&in.d, &in.iova, 2 * PAGE, in.memory + 2 * PAGE, 2 * PAGE);
	assert_reads_pages(&in.d, in.iova.addr, 4, 1);
	destroy(&in.d, &in.iova, 4 * PAGE);
	dma_iova_free(in.d.dev, &in.one);
	dma_unmap_single(in.d.dev, in.addr, PAGE, DMA_BIDIRECTIONAL);
	device_close(&in.d, 0);
	free(in.memory);
}

static void close_model(void *model)
{
	++*(int *)model;
}

/* A model is memory too, and its owner knows how to free it. */
static void the_model_goes_in_the_child(void **state)
{
	static const struct dma_model_ops ops = {.close = close_model};
	struct device d = soft_open(state, "");
	int closed = 0, status;
	pid_t pid;

	dma_dev_set_model(d.dev, &ops, &closed);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dma_dev_close(d.dev);
		_exit(closed);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_int_equal(closed, 0);
	device_close(&d, 0);
	assert_int_equal(closed, 1);
}

/* A child that was forked while the parent has two devices in a space, and closes them. */
static void closing_shared_spaces_in_the_child(void **state)
{
	struct device d = soft_open(state, ""), direct = device_open("direct:");
	struct dma_dev *second;
	int status;
	pid_t pid;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &second), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dma_clear_error();
		dma_unmap_single(direct.dev, 0x1000, 1, DMA_TO_DEVICE);
		said_so();
		dma_dev_close(d.dev);
		refused(dma_space_reserve(d.space, 0, 0));
		dma_dev_close(second);
		refused(dma_set_mask(direct.dev, DMA_BIT_MASK(64)));
		MUST(dma_map_single(direct.dev, &d, 1, DMA_TO_DEVICE) == DMA_MAPPING_ERROR);
		dma_dev_close(direct.dev);
		dma_dev_close(NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	dma_dev_close(second);
	device_close(&d, 0);
	device_close(&direct, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(the_child_owns_nothing),
		EACH_FORMAT(the_model_goes_in_the_child),
		EACH_FORMAT(closing_shared_spaces_in_the_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
