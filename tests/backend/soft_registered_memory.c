/* SPDX-License-Identifier: MIT */
/* Registered memory behind the IOMMU: by mapping, by calls, or refused. */
#include "backend/soft/space.h"
#include <twostep/memory.h>

#include "soft_fixture.h"

#define IOVA 0x10000000ULL

struct registers {
	uint8_t bytes[2 * PAGE];
	unsigned int calls;
	bool broken;
};

static int registers_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct registers *registers = arg;

	registers->calls++;
	memcpy(buf, registers->bytes + offset, len);
	return registers->broken ? -EIO : 0;
}

static int registers_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	struct registers *registers = arg;

	registers->calls++;
	if (registers->broken)
		return -EIO;
	memcpy(registers->bytes + offset, buf, len);
	return 0;
}

static const struct dma_memory_ops registers_ops = {registers_read, registers_write};

static void memory_behind_calls(void **state)
{
	static struct registers registers;
	struct dma_memory_desc desc = {.type = DMA_MEMORY_MMIO,
				       .size = 2 * PAGE,
				       .fd = -1,
				       .ops = &registers_ops,
				       .ops_arg = &registers};
	uint64_t old = 5, expected = 0, desired = 1;
	phys_addr_t phys, found;
	uint8_t buf[64];
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys, 2 * PAGE, DMA_BIDIRECTIONAL), 0);
	assert_true(fx.be->ops->lookup(fx.be, IOVA + PAGE + 3, &found));
	assert_int_equal(found, phys + PAGE + 3);
	assert_true(fx.be->ops->maps_phys(fx.be, phys, phys + 2 * PAGE - 1));

	/* Across the pages: two sections, two calls. */
	memset(buf, 0xab, sizeof(buf));
	assert_int_equal(dma_bus_write(fx.port, IOVA + PAGE - 32, buf, 64), 0);
	assert_int_equal(registers.calls, 2);
	assert_memory_equal(registers.bytes + PAGE - 32, buf, 64);
	registers.bytes[PAGE] = 1;
	assert_reads(fx.port, IOVA + PAGE, 1);

	/* What the provider fails is a fault of the memory. */
	registers.broken = true;
	assert_int_equal(dma_bus_read(fx.port, IOVA, buf, 8), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_MEMORY);
	assert_int_equal(dma_bus_write(fx.port, IOVA, buf, 8), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_MEMORY);
	registers.broken = false;

	/* Calls cannot be atomic. */
	assert_int_equal(dma_bus_fetch_add(fx.port, IOVA, 8, 1, &old), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_MEMORY);
	assert_int_equal(old, 5);
	assert_int_equal(dma_bus_cmpxchg(fx.port, IOVA, 8, &expected, &desired), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_MEMORY);
	assert_int_equal(registers.bytes[0], 0);

	unlink_strict(fx.be, IOVA, 2 * PAGE);
	assert_false(fx.be->ops->maps_phys(fx.be, phys, phys + 2 * PAGE - 1));
	assert_int_equal(dma_memory_unregister(phys), 0);
	fixture_close(&fx);
}

static void memory_with_a_mapping(void **state)
{
	struct dma_memory_desc desc = {.type = DMA_MEMORY_P2P, .size = 2 * PAGE, .fd = -1};
	uint64_t old = 0;
	phys_addr_t phys;
	struct fixture fx;

	(void)state;
	fixture_open(&fx);
	desc.cpu = fx.memory;
	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys, 2 * PAGE, DMA_BIDIRECTIONAL), 0);
	assert_int_equal(dma_bus_write(fx.port, IOVA + PAGE - 1, "xy", 2), 0);
	assert_memory_equal(fx.memory + PAGE - 1, "xy", 2);
	assert_int_equal(dma_bus_fetch_add(fx.port, IOVA + 8, 8, 3, &old), 0);
	assert_int_equal(fx.memory[8], 3);
	unlink_strict(fx.be, IOVA, 2 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	fixture_close(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_behind_calls),
		cmocka_unit_test(memory_with_a_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
