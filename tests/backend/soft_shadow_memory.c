/* SPDX-License-Identifier: MIT */
/* Which memory has a shadow: what the CPU can reach, wherever it is and however it is mapped. */
#include <twostep/memory.h>

#include "soft_shadow.h"

struct registers {
	uint8_t bytes[PAGE];
};

static int registers_read(void *arg, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, ((struct registers *)arg)->bytes + offset, len);
	return 0;
}

static int registers_write(void *arg, uint64_t offset, const void *buf, size_t len)
{
	memcpy(((struct registers *)arg)->bytes + offset, buf, len);
	return 0;
}

static const struct dma_memory_ops registers_ops = {registers_read, registers_write};

static phys_addr_t register_memory(void *cpu, size_t size)
{
	struct dma_memory_desc desc = {.type = DMA_MEMORY_P2P, .size = size, .fd = -1, .cpu = cpu};
	phys_addr_t phys;

	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	return phys;
}

static phys_addr_t register_calls(struct registers *registers)
{
	struct dma_memory_desc desc = {.type = DMA_MEMORY_MMIO,
				       .size = PAGE,
				       .fd = -1,
				       .ops = &registers_ops,
				       .ops_arg = registers};
	phys_addr_t phys;

	assert_int_equal(dma_memory_register(&desc, &phys), 0);
	return phys;
}

static void registered_with_a_cpu_mapping(void **state)
{
	struct dma_port *port;
	struct fixture fx;
	phys_addr_t phys;

	(void)state;
	fixture_open(&fx);
	port = open_noncoherent(fx.be, 1);
	phys = register_memory(fx.memory, 2 * PAGE);
	prepare(fx.be, phys, 2 * PAGE);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys, 2 * PAGE, DMA_BIDIRECTIONAL), 0);
	memset(fx.memory, 0x11, 2 * PAGE);
	assert_sees(port, 0, 2 * PAGE, SHADOW_POISON);
	fx.be->ops->cache_clean(fx.be, phys + PAGE - 1, 2);
	assert_sees(port, PAGE - LINE, 2 * LINE, 0x11);
	assert_sees(port, PAGE + LINE, LINE, SHADOW_POISON);
	device_writes(port, PAGE - 1, "xy", 2);
	assert_holds(fx.memory, 2 * PAGE, 0x11);
	fx.be->ops->cache_invalidate(fx.be, phys + PAGE - 1, 2);
	assert_memory_equal(fx.memory + PAGE - 1, "xy", 2);
	unlink_strict(fx.be, IOVA, 2 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	shadow_fixture_close(&fx, port);
}

/* The CPU's mapping begins and ends inside a page and inside a line. */
static void registered_off_every_border(void **state)
{
	struct dma_port *port;
	struct fixture fx;
	phys_addr_t phys;

	(void)state;
	fixture_open(&fx);
	port = open_noncoherent(fx.be, 1);
	phys = register_memory(fx.memory + 1000, PAGE);
	assert_int_equal(phys % PAGE, 1000);
	prepare(fx.be, phys, PAGE);
	assert_int_equal(
		try_link_phys(fx.be, IOVA, align_down(phys, PAGE), 2 * PAGE, DMA_BIDIRECTIONAL), 0);
	memset(fx.memory, 0x11, 2 * PAGE);
	fx.be->ops->cache_clean(fx.be, phys, PAGE);
	assert_sees(port, 1000, PAGE, 0x11);
	device_writes(port, 1000, "first", 5);
	device_writes(port, 1000 + PAGE - 4, "last", 4);
	fx.be->ops->cache_invalidate(fx.be, phys, 5);
	fx.be->ops->cache_invalidate(fx.be, phys + PAGE - 4, 4);
	assert_memory_equal(fx.memory + 1000, "first", 5);
	assert_memory_equal(fx.memory + 1000 + PAGE - 4, "last", 4);
	assert_holds(fx.memory, 1000, 0x11);
	assert_holds(fx.memory + 1005, PAGE - 9, 0x11);
	assert_holds(fx.memory + 1000 + PAGE, 1000, 0x11);
	/* What is not registered is no memory, for this device as for others. */
	assert_refused(port, IOVA + 999);
	assert_refused(port, IOVA + 1000 + PAGE);
	unlink_strict(fx.be, IOVA, 2 * PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	shadow_fixture_close(&fx, port);
}

static void registered_without_a_cpu_mapping(void **state)
{
	static struct registers registers;
	struct dma_port *port;
	struct fixture fx;
	phys_addr_t phys;
	uint64_t bytes, old;

	(void)state;
	fixture_open(&fx);
	port = open_noncoherent(fx.be, 1);
	phys = register_calls(&registers);
	bytes = fx.be->ops->metadata_bytes(fx.be);
	prepare(fx.be, phys, PAGE);
	assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys, PAGE, DMA_BIDIRECTIONAL), 0);
	device_writes(port, 5, "x", 1);
	assert_int_equal(registers.bytes[5], 'x');
	fx.be->ops->cache_clean(fx.be, phys, PAGE);
	fx.be->ops->cache_invalidate(fx.be, phys, PAGE);
	assert_sees(port, 5, 1, 'x');
	assert_int_equal(dma_bus_fetch_add(port, IOVA, 8, 1, &old), -EFAULT);
	assert_int_equal(only_fault(fx.be).reason, DMA_FAULT_MEMORY);
	unlink_strict(fx.be, IOVA, PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	shadow_fixture_close(&fx, port);
}

/* The shadow of what was registered before is not taken for what is there now. */
static void an_address_registered_again(void **state)
{
	static struct registers registers;
	struct dma_port *port;
	struct fixture fx;
	phys_addr_t phys;

	(void)state;
	fixture_open(&fx);
	port = open_noncoherent(fx.be, 1);
	phys = register_memory(fx.memory, PAGE);
	prepare(fx.be, phys, PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	assert_int_equal(register_calls(&registers), phys);
	assert_int_equal(try_link_phys(fx.be, IOVA, phys, PAGE, DMA_BIDIRECTIONAL), 0);
	registers.bytes[3] = 3;
	assert_sees(port, 3, 1, 3);
	fx.be->ops->cache_invalidate(fx.be, phys, PAGE);
	assert_holds(fx.memory, PAGE, 0);
	unlink_strict(fx.be, IOVA, PAGE);
	assert_int_equal(dma_memory_unregister(phys), 0);
	shadow_fixture_close(&fx, port);
}

static void never_prepared_is_accessed_directly(void **state)
{
	struct dma_port *port;
	struct fixture fx;
	uint64_t old;

	(void)state;
	port = shadow_fixture_open(&fx, PAGE);
	link_memory(fx.be, IOVA + PAGE, fx.memory + PAGE, PAGE, DMA_BIDIRECTIONAL);
	memset(fx.memory, 0x11, 2 * PAGE);
	clean(fx.be, fx.memory + PAGE, PAGE);
	assert_sees(port, 0, PAGE, SHADOW_POISON);
	assert_sees(port, PAGE, PAGE, 0x11);
	/* Across the border: the first byte goes to the shadow, the second to memory. */
	device_writes(port, PAGE - 1, "xy", 2);
	assert_int_equal(fx.memory[PAGE - 1], 0x11);
	assert_int_equal(fx.memory[PAGE], 'y');
	cache_invalidate(fx.be, fx.memory + PAGE, PAGE);
	assert_int_equal(fx.memory[PAGE], 'y');
	assert_int_equal(dma_bus_fetch_add(port, IOVA + PAGE + 8, 8, 1, &old), 0);
	assert_int_equal(fx.memory[PAGE + 8], 0x12);
	cache_invalidate(fx.be, fx.memory + PAGE - 1, 2);
	assert_int_equal(fx.memory[PAGE - 1], 'x');
	shadow_fixture_close(&fx, port);
}

/* Mapped coherent where other memory was prepared before, and then prepared again. */
static void bypassed_until_prepared_again(void **state)
{
	struct dma_port *port;
	struct fixture fx;
	uint64_t bytes;

	(void)state;
	port = shadow_fixture_open(&fx, 3 * PAGE);
	bytes = fx.be->ops->metadata_bytes(fx.be);
	memset(fx.memory, 0x11, 3 * PAGE);
	fx.be->ops->cache_bypass(fx.be, phys_of(fx.memory) + PAGE + 7, 1);
	fx.be->ops->cache_bypass(fx.be, phys_of(fx.memory), 0);
	fx.be->ops->cache_bypass(fx.be, phys_of(fx.memory) + 100 * PAGE, 1ULL << 32);
	assert_sees(port, 0, PAGE, SHADOW_POISON);
	assert_sees(port, PAGE, PAGE, 0x11);
	assert_sees(port, 2 * PAGE, PAGE, SHADOW_POISON);
	device_writes(port, PAGE, "x", 1);
	assert_int_equal(fx.memory[PAGE], 'x');
	clean(fx.be, fx.memory, 3 * PAGE);
	cache_invalidate(fx.be, fx.memory, 3 * PAGE);
	assert_int_equal(fx.memory[PAGE], 'x');
	base_alloc_fail(1);
	prepare(fx.be, phys_of(fx.memory), 3 * PAGE);
	base_alloc_fail(0);
	assert_sees(port, 0, PAGE, 0x11);
	assert_sees(port, PAGE, PAGE, SHADOW_POISON);
	assert_int_equal(fx.be->ops->metadata_bytes(fx.be), bytes);
	shadow_fixture_close(&fx, port);
}

/* One entry of 2 MiB: the shadow is by granules all the same. */
static void below_a_large_leaf(void **state)
{
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	port = shadow_fixture_open(&fx, 2 * MIB);
	for (uint64_t i = 0; i < 512; i++)
		memset(fx.memory + i * PAGE, (uint8_t)i, PAGE);
	clean(fx.be, fx.memory, 2 * MIB);
	memset(fx.memory, 0, 2 * MIB);
	for (uint64_t i = 0; i < 512; i++)
		assert_sees(port, i * PAGE, PAGE, (uint8_t)i);
	assert_int_equal(stats_of(port).iotlb_misses, 1);
	cache_invalidate(fx.be, fx.memory + LINE, 2 * MIB - 2 * LINE);
	assert_holds(fx.memory, LINE, 0);
	assert_holds(fx.memory + 2 * MIB - LINE, LINE, 0);
	for (uint64_t i = 1; i < 511; i++)
		assert_holds(fx.memory + i * PAGE, PAGE, (uint8_t)i);
	shadow_fixture_close(&fx, port);
}

/* Its lines reach beyond it: they are read, and written only where the device wrote. */
static void a_buffer_that_fills_no_line(void **state)
{
	uint8_t *buffer = malloc(10);
	uint64_t offset = phys_of(buffer) % PAGE;
	struct dma_port *port;
	struct fixture fx;

	(void)state;
	assert_non_null(buffer);
	fixture_open(&fx);
	port = open_noncoherent(fx.be, 1);
	prepare(fx.be, phys_of(buffer), 10);
	assert_int_equal(try_link_phys(fx.be, IOVA, align_down(phys_of(buffer), PAGE), 2 * PAGE,
				       DMA_BIDIRECTIONAL),
			 0);
	memset(buffer, 0x11, 10);
	clean(fx.be, buffer, 10);
	assert_sees(port, offset, 10, 0x11);
	device_writes(port, offset, "0123456789", 10);
	cache_invalidate(fx.be, buffer, 10);
	assert_memory_equal(buffer, "0123456789", 10);
	unlink_strict(fx.be, IOVA, 2 * PAGE);
	shadow_fixture_close(&fx, port);
	free(buffer);
}

/* Every bit of a granule's number counts, to the last granule but one that a range can end in. */
static void all_addresses_have_their_own(void **state)
{
	struct shadow *shadow = shadow_create();
	uint8_t *seen[53];

	(void)state;
	assert_non_null(shadow);
	for (unsigned int bit = 12; bit < 64; bit++) {
		phys_addr_t phys = 1ULL << bit;

		assert_null(shadow_pointer(shadow, phys, 1));
		assert_int_equal(shadow_prepare(shadow, phys, PAGE), 0);
		seen[bit - 12] = shadow_pointer(shadow, phys, 1);
		assert_non_null(seen[bit - 12]);
		assert_null(shadow_pointer(shadow, phys + 2 * PAGE, 1));
	}
	assert_int_equal(shadow_prepare(shadow, UINT64_MAX - 2 * PAGE + 1, PAGE), 0);
	seen[52] = shadow_pointer(shadow, UINT64_MAX - PAGE, 1);
	assert_non_null(seen[52]);
	for (unsigned int i = 0; i < 53; i++)
		for (unsigned int j = 0; j < i; j++)
			assert_true(align_down((uintptr_t)seen[i], LINE) !=
				    align_down((uintptr_t)seen[j], LINE));
	/* Nothing is at the very end, and nothing goes round it. */
	shadow_clean(shadow, UINT64_MAX - PAGE + 1, PAGE);
	shadow_bypass(shadow, UINT64_MAX - PAGE + 1, PAGE);
	shadow_destroy(shadow);
	shadow_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* Before anything is registered: then every address is one of ordinary memory. */
		cmocka_unit_test(all_addresses_have_their_own),
		cmocka_unit_test(registered_with_a_cpu_mapping),
		cmocka_unit_test(registered_off_every_border),
		cmocka_unit_test(registered_without_a_cpu_mapping),
		cmocka_unit_test(an_address_registered_again),
		cmocka_unit_test(never_prepared_is_accessed_directly),
		cmocka_unit_test(bypassed_until_prepared_again),
		cmocka_unit_test(below_a_large_leaf),
		cmocka_unit_test(a_buffer_that_fills_no_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
