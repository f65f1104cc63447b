/* SPDX-License-Identifier: MIT */
/* Pools of the caller, and what a forked child has of them. */
#include <sys/wait.h>
#include <unistd.h>

#include "../child.h"
#include "bounce.h"

static void pools_of_the_caller(void **state)
{
	const struct dma_bounce_desc low_desc = {
		.size = MIB, .max_size = MIB, .last = DMA_BIT_MASK(32)};
	struct device d = soft_open(state, ",untrusted"), direct = device_open("direct:,mask=32");
	struct dma_bounce *pool = pool_new(DMA_BOUNCE_SEGMENT, DMA_BOUNCE_SEGMENT), *low;
	struct buffer b = buffer_new(0x80, 200 * KIB);
	uint64_t maps = lent_ever(NULL);
	struct dma_bounce_stats stats;
	struct snapshot before;
	dma_addr_t addr, more;

	assert_int_equal(dma_bounce_create(&low_desc, &low), 0);
	assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
	assert_int_equal(dma_bounce_destroy(pool), -EBUSY);
	addr = map_buffer(&d, &b, DMA_FROM_DEVICE);
	assert_true(lent(pool) >= b.size);
	/* Full: nothing has changed. */
	before = snapshot_take(&d, addr, 4);
	dma_clear_error();
	assert_int_equal(dma_map_single(d.dev, b.at, b.size, DMA_FROM_DEVICE), DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(
		dma_map_single_attrs(d.dev, b.at, b.size, DMA_FROM_DEVICE, DMA_ATTR_NO_WARN),
		DMA_MAPPING_ERROR);
	assert_unchanged(&d, &before);
	dma_bounce_stats(pool, &stats);
	assert_int_equal(stats.failed_full, 2);
	/* Another pool is for later mappings; what the first has lent goes back to it. */
	assert_int_equal(dma_dev_set_bounce(d.dev, low), 0);
	assert_int_equal(dma_bounce_destroy(pool), -EBUSY);
	more = map_buffer(&d, &b, DMA_FROM_DEVICE);
	assert_true(lent(low) >= b.size);
	write_byte(&d, addr, 0x2a);
	dma_unmap_single(d.dev, addr, b.size, DMA_FROM_DEVICE);
	assert_int_equal(b.at[0], 0x2a);
	pool_free(pool);
	dma_unmap_single(d.dev, more, b.size, DMA_FROM_DEVICE);

	/* A pool that lies too high for the device. */
	pool = pool_new(DMA_BOUNCE_SEGMENT, DMA_BOUNCE_SEGMENT);
	assert_int_equal(dma_dev_set_bounce(direct.dev, pool), 0);
	dma_clear_error();
	assert_int_equal(dma_map_single(direct.dev, b.at, 5, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_dev_set_bounce(direct.dev, low), 0);
	addr = map_buffer(&direct, &b, DMA_TO_DEVICE);
	assert_true(addr + b.size - 1 <= DMA_BIT_MASK(32));
	assert_int_equal(dma_bounce_destroy(low), -EBUSY);
	dma_unmap_single(direct.dev, addr, b.size, DMA_TO_DEVICE);
	assert_int_equal(lent_ever(NULL), maps);
	/* Closing gives it up. */
	device_close(&d, 0);
	assert_int_equal(dma_bounce_destroy(low), -EBUSY);
	device_close(&direct, 0);
	pool_free(low);
	pool_free(pool);
	buffer_free(&b);
}

static void child(const struct device *d, struct dma_bounce *pool, const struct buffer *b,
		  dma_addr_t addr, dma_addr_t gathered, struct dma_gather *gather)
{
	static uint8_t memory[64];
	struct dma_dev *dev;
	dma_addr_t own;
	uint8_t byte = 0;

	MUST(dma_map_single(d->dev, b->at, b->size, DMA_FROM_DEVICE) == DMA_MAPPING_ERROR);
	MUST(dma_dev_set_bounce(d->dev, NULL) == -EPERM);
	b->at[0] = 0x77;
	dma_sync_single_for_cpu(d->dev, addr, b->size, DMA_FROM_DEVICE);
	dma_unmap_single(d->dev, addr, b->size, DMA_FROM_DEVICE);
	dma_unmap_single(d->dev, gathered, b->size, DMA_FROM_DEVICE);
	dma_gather_end(gather);
	MUST(b->at[0] == 0x77);
	dma_dev_close(d->dev);
	MUST(!dma_bounce_destroy(pool));
	/* A device of its own, with pools of its own. */
	MUST(!dma_dev_open("soft:untrusted", &dev));
	memory[5] = 9;
	own = dma_map_single(dev, memory + 5, 50, DMA_BIDIRECTIONAL);
	MUST(own != DMA_MAPPING_ERROR);
	MUST(!dma_bus_read(dma_dev_port(dev), own, &byte, 1) && byte == 9);
	byte = 10;
	MUST(!dma_bus_write(dma_dev_port(dev), own, &byte, 1));
	dma_unmap_single(dev, own, 50, DMA_BIDIRECTIONAL);
	MUST(memory[5] == 10);
	dma_dev_close(dev);
	_exit(0);
}

/* Nothing that the child does reaches the parent's mappings or pools, and all goes on. */
static void after_fork(void **state)
{
	struct device d = soft_open(state, ",untrusted");
	struct dma_bounce *pool = pool_new(MIB, MIB);
	struct buffer b = buffer_new(0x80, 0x1000), c = buffer_new(0x80, 0x1000);
	struct dma_gather gather;
	dma_addr_t addr, gathered;
	int status = -1;
	pid_t pid;

	assert_int_equal(dma_dev_set_bounce(d.dev, pool), 0);
	addr = map_buffer(&d, &b, DMA_FROM_DEVICE);
	gathered = map_buffer(&d, &c, DMA_FROM_DEVICE);
	write_byte(&d, addr, 0x31);
	write_byte(&d, gathered, 0x32);
	dma_gather_begin(d.dev, &gather);
	dma_unmap_phys_gather(d.dev, gathered, c.size, DMA_FROM_DEVICE, 0, &gather);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child(&d, pool, &b, addr, gathered, &gather);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_as_before(&b);
	assert_as_before(&c);
	/* And the device still has its buffer. */
	write_byte(&d, addr, 0x31);
	dma_gather_end(&gather);
	assert_int_equal(c.at[0], 0x32);
	dma_unmap_single(d.dev, addr, b.size, DMA_FROM_DEVICE);
	assert_int_equal(b.at[0], 0x31);
	device_close(&d, 0);
	pool_free(pool);
	buffer_free(&b);
	buffer_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(pools_of_the_caller),
		EACH_FORMAT(after_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
