/* SPDX-License-Identifier: MIT */
/* A child of fork() owns nothing, so it is told nothing either, whatever it does. */
#include <sys/wait.h>

#include "../child.h"
#include "calls.h"

struct inherited {
	dma_addr_t addr;
	struct dma_iova_state s;
	struct dma_gather gather;
};

static void child(struct inherited *in)
{
	struct dma_iova_state none = {0};
	struct dma_gather gather;
	struct dma_dev *own;

	MUST(dma_map_single(d.dev, memory, PAGE, DMA_TO_DEVICE) == DMA_MAPPING_ERROR);
	MUST(!dma_mapping_error(d.dev, in->addr));
	dma_sync_single_for_cpu(d.dev, in->addr, 2 * PAGE, DMA_FROM_DEVICE);
	dma_unmap_single(d.dev, in->addr, 100, DMA_FROM_DEVICE);
	dma_unmap_single(d.dev, DMA_MAPPING_ERROR, 100, DMA_FROM_DEVICE);
	dma_gather_begin(d.dev, &gather);
	dma_unmap_phys_gather(d.dev, in->addr, 100, DMA_TO_DEVICE, 0, &gather);
	dma_gather_end(&gather);
	dma_gather_end(&in->gather);
	MUST(dma_debug_check(d.space) == -EPERM);
	MUST(dma_bus_read(d.port, in->addr, &(char){0}, 1) == -EPERM);
	if (translates()) {
		MUST(!dma_iova_try_alloc(d.dev, &none, 0, PAGE));
		MUST(dma_iova_link(d.dev, &in->s, phys_of(0), 0, PAGE, DMA_TO_DEVICE, 0) == -EPERM);
		MUST(dma_iova_sync(d.dev, &in->s, 0, PAGE) == -EPERM);
		dma_iova_unlink(d.dev, &in->s, 0, 9 * PAGE, DMA_FROM_DEVICE, 0);
		dma_iova_free(d.dev, &none);
		dma_iova_destroy(d.dev, &in->s, PAGE, DMA_FROM_DEVICE, 0);
		dma_iova_free(d.dev, &in->s);
	}
	dma_dev_close(d.dev);
	MUST(!nr_kept);

	/* A device of its own is checked as everywhere. */
	MUST(!dma_dev_open(device_uri, &own));
	MUST(!dma_set_mask_and_coherent(own, DMA_BIT_MASK(64)));
	dma_unmap_single(own, 0x5000, 64, DMA_TO_DEVICE);
	MUST(nr_kept == 1 && kept[0].report.kind == DMA_DEBUG_UNMAP_UNKNOWN);
	dma_dev_close(own);
	MUST(nr_kept == 1);
	_exit(0);
}

static void forked(void **state)
{
	struct inherited in = {.addr = mapped(phys_of(1), PAGE, DMA_TO_DEVICE)};
	int status;
	pid_t pid;

	(void)state;
	if (translates()) {
		in.s = reserved(2 * PAGE);
		linked(&in.s, 0, 1, DMA_TO_DEVICE);
		synced(&in.s, 0, 1);
	}
	dma_gather_begin(d.dev, &in.gather);
	silent();
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child(&in);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* For the parent nothing has happened. */
	dma_gather_end(&in.gather);
	second_unmap_phys(d.dev, in.addr, PAGE, DMA_FROM_DEVICE, 0);
	only_at(DMA_DEBUG_DIRECTION, second_unmap_phys, first_map_phys);
	if (translates())
		destroyed(&in.s, 1, DMA_TO_DEVICE);
	assert_int_equal(dma_debug_check(d.space), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_DEVICE(forked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
