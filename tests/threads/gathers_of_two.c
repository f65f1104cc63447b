/* SPDX-License-Identifier: MIT */
/*
 * Two threads' gathers that have been at the same addresses, one after the other, do not
 * make each other's unlinks final: linking into what a gather has unlinked makes it final
 * first, also when another gather ends in between.
 */
#include "threads.h"

/* Memory behind a call that holds the transfer, by which a gather's end is held too. */
struct gate {
	bool entered;
	bool open;
};

static int held_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct gate *gate = arg;

	(void)offset;
	memset(buf, 0, len);
	set_flag(&gate->entered);
	wait_for_flag(&gate->open);
	return 0;
}

struct held {
	struct dma_port *port;
	dma_addr_t addr;
};

static void *read_one(void *arg)
{
	struct held *held = arg;
	uint8_t byte;

	require(!dma_bus_read(held->port, held->addr, &byte, 1));
	return NULL;
}

struct other {
	struct dma_dev *dev;
	uint8_t *memory;
	dma_addr_t addr; /* what it gathered, and is destroyed before its end */
	dma_addr_t cached; /* what else it gathered: a device has it until the end */
	dma_addr_t held; /* the last that it gathers: a transfer is in flight there */
	bool gathered;
	bool end;
};

static void *gather_and_end(void *arg)
{
	struct other *other = arg;
	struct dma_iova_state state;
	struct dma_gather gather;

	require(dma_iova_try_alloc(other->dev, &state, 0, PAGE));
	require(!dma_iova_link(other->dev, &state, virt_to_phys(other->memory), 0, PAGE,
			       DMA_TO_DEVICE, 0));
	other->cached = dma_map_single(other->dev, other->memory, PAGE, DMA_TO_DEVICE);
	require_signed(dma_dev_port(other->dev), other->cached, 0, 1, 9);
	dma_gather_begin(other->dev, &gather);
	dma_unmap_phys_gather(other->dev, other->cached, PAGE, DMA_TO_DEVICE, 0, &gather);
	dma_iova_unlink_gather(other->dev, &state, 0, PAGE, DMA_TO_DEVICE, 0, &gather);
	other->addr = state.addr;
	set_flag(&other->gathered);
	wait_for_flag(&other->end);
	dma_unmap_phys_gather(other->dev, other->held, PAGE, DMA_TO_DEVICE, 0, &gather);
	dma_gather_end(&gather);
	return NULL;
}

static void one_ends_while_the_other_is_open(void **state_arg)
{
	struct dma_dev *dev = open_device("soft:"), *slow;
	struct gate gate = {0};
	struct dma_memory_ops ops = {.read = held_read};
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .fd = -1, .ops = &ops, .ops_arg = &gate};
	uint8_t *memory = memory_of(3);
	struct other other = {.dev = dev, .memory = memory};
	struct dma_iova_state state = {0};
	struct dma_gather gather;
	pthread_t device, thread;
	struct held held;
	phys_addr_t phys;
	uint8_t byte;

	(void)state_arg;
	sign_pages(memory, 3, 9);
	assert_int_equal(dma_dev_open_in("soft:", dma_dev_space(dev), &slow), 0);
	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	held = (struct held){dma_dev_port(slow), dma_map_phys(dev, phys, PAGE, DMA_TO_DEVICE, 0)};

	other.held = held.addr;
	thread = start(gather_and_end, &other);
	wait_for_flag(&other.gathered);
	/* The state comes to this thread, which destroys it: its addresses are its own now. */
	state = (struct dma_iova_state){.addr = other.addr, .__size = PAGE};
	dma_iova_destroy(dev, &state, 0, DMA_TO_DEVICE, 0);
	device = start(read_one, &held);
	wait_for_flag(&gate.entered);
	/* The gather's end is held in its drain, when devices have heard of it already. */
	set_flag(&other.end);
	while (!dma_bus_read(dma_dev_port(dev), other.cached, &byte, 1))
		sched_yield();

	assert_true(dma_iova_try_alloc(dev, &state, 0, PAGE));
	assert_int_equal(state.addr, other.addr);
	assert_int_equal(
		dma_iova_link(dev, &state, virt_to_phys(memory + PAGE), 0, PAGE, DMA_TO_DEVICE, 0),
		0);
	require_signed(dma_dev_port(dev), state.addr, 1, 1, 9);
	dma_gather_begin(dev, &gather);
	dma_iova_unlink_gather(dev, &state, 0, PAGE, DMA_TO_DEVICE, 0, &gather);
	set_flag(&gate.open);
	join(device);
	join(thread);
	assert_int_equal(dma_iova_link(dev, &state, virt_to_phys(memory + 2 * PAGE), 0, PAGE,
				       DMA_TO_DEVICE, 0),
			 0);
	require_signed(dma_dev_port(dev), state.addr, 2, 1, 9);
	dma_gather_end(&gather);

	dma_iova_destroy(dev, &state, PAGE, DMA_TO_DEVICE, 0);
	assert_int_equal(dma_memory_unregister(phys), 0);
	dma_dev_close(slow);
	close_clean(dev);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_ends_while_the_other_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
