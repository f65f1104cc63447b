/* SPDX-License-Identifier: MIT */
/*
 * A copy engine copies from one device's BAR to another's, by both kinds of address,
 * while access control is switched on and off: it copies, or is told that it could not.
 */
#include <pthread.h>

#include <twostep/copy.h>

#include "peers.h"

#define LONG_PLAN                                                      \
	"cpu intel 6\n"                                                \
	"host pc0 0000:00 id=8086:3c00 window=0xe0000000-0xefffffff\n" \
	"root-port rp0 00:1c.0 on pc0\n"                               \
	"root-port rp1 00:1d.0 on pc0\n"                               \
	"upstream up 01:00.0 on rp0\n"                                 \
	"downstream dn0 02:00.0 on up\n"                               \
	"downstream dn1 02:01.0 on up\n"                               \
	"endpoint one 03:00.0 on dn0 bar0=0xe0000000+64K\n"            \
	"endpoint two 05:00.0 on rp1 bar0=0xe0100000+64K\n"            \
	"endpoint engine 04:00.0 on dn1\n"

/* The address that the engine uses, by what was decided. */
static dma_addr_t address_for(struct dma_dev *dev, phys_addr_t phys, size_t size, bool *mapped)
{
	struct pci_p2pdma_map_state state = {0};
	dma_addr_t addr;

	*mapped = false;
	switch (pci_p2pdma_state(&state, dev, phys)) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		return pci_p2pdma_bus_addr_map(state.mem, phys);
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		addr = dma_map_phys(dev, phys, size, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
		assert_int_equal(dma_mapping_error(dev, addr), 0);
		*mapped = true;
		return addr;
	default:
		fail_msg("not supported");
		return DMA_MAPPING_ERROR;
	}
}

static int copy(struct ts_copy *engine, dma_addr_t from, dma_addr_t to, size_t size)
{
	const struct ts_copy_seg src = {from, size}, dst = {to, size};
	struct ts_copy_result result;

	assert_int_equal(ts_copy_submit(engine, &src, 1, &dst, 1, 1), 0);
	assert_int_equal(ts_copy_wait(engine, &result, -1), 0);
	return result.status;
}

static void from_one_bar_to_another(void **state)
{
	static const char *const uris[] = {"soft:copy,pci=engine", "direct:copy,pci=engine"};
	static struct bar bars[2];

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		struct device one = device_open("soft:,pci=one"),
			      two = device_open("soft:,pci=two");
		struct device engine = device_open(uris[i]);
		phys_addr_t from = bar_add(&one, 0, &bars[0]), to = bar_add(&two, 0, &bars[1]);
		bool mapped[2];
		dma_addr_t addr[2] = {
			address_for(engine.dev, from, 5 * PAGE, &mapped[0]),
			address_for(engine.dev, to + 3 * PAGE, 5 * PAGE, &mapped[1]),
		};
		struct ts_copy *copier;

		assert_int_equal(ts_copy_open(engine.dev, 8, &copier), 0);
		/* One by bus address, the other through the host bridge. */
		assert_false(mapped[0]);
		assert_true(mapped[1]);
		assert_int_equal(copy(copier, addr[0], addr[1], 5 * PAGE), 0);
		assert_memory_equal(bars[1].bytes + 3 * PAGE, bars[0].bytes, 5 * PAGE);
		memset(bars[1].bytes, 0x99, sizeof(bars[1].bytes));
		assert_int_equal(copy(copier, addr[1], addr[0], 5 * PAGE), 0);
		assert_int_equal(bars[0].bytes[5 * PAGE - 1], 0x99);
		assert_int_equal(dma_topology_set_acs("dn1", DMA_PCI_ACS_RR), 0);
		assert_int_equal(copy(copier, addr[0], addr[1], 5 * PAGE), -EFAULT);
		assert_int_equal(dma_topology_set_acs("dn1", 0), 0);
		assert_int_equal(copy(copier, addr[0], addr[1], 5 * PAGE), 0);
		dma_unmap_phys(engine.dev, addr[1], 5 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
		ts_copy_close(copier);
		device_close(&engine, 0);
		device_close(&two, 0);
		device_close(&one, 0);
	}
}

static uint32_t stop; /* atomic */

static void *read_on(void *arg)
{
	const struct device *d = arg;
	uint8_t bytes[256];

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (!dma_bus_read(d->port, BAR_BUS + 0x100, bytes, sizeof(bytes)))
			for (size_t i = 0; i < sizeof(bytes); i++)
				if (bytes[i] != 0x40)
					abort();
	return NULL;
}

/* When removing returns, no access is running: the bytes may change, and nobody sees it. */
static void removed_while_it_is_read(void **state)
{
	static const char *const uris[] = {"soft:,pci=engine", "direct:,pci=engine"};
	static struct bar bar;

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		struct device one = device_open("soft:,pci=one"), reader = device_open(uris[i]);
		pthread_t threads[2];

		__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
		for (size_t t = 0; t < COUNT(threads); t++)
			assert_int_equal(pthread_create(&threads[t], NULL, read_on, &reader), 0);
		for (unsigned int round = 0; round < 50; round++) {
			bar_add(&one, 0, &bar);
			dma_topology_set_acs("dn0", round % 2 ? DMA_PCI_ACS_CR : 0);
			assert_int_equal(pci_p2pdma_remove_resource(one.dev, 0), 0);
			memset(bar.bytes, 0xee, sizeof(bar.bytes));
		}
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		for (size_t t = 0; t < COUNT(threads); t++)
			pthread_join(threads[t], NULL);
		device_close(&reader, 0);
		device_close(&one, 0);
	}
}

static int setup(void **state)
{
	int err = plan_setup(state);

	plan_write(LONG_PLAN);
	return err ? err : dma_topology_load(plan_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_one_bar_to_another),
		cmocka_unit_test(removed_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, setup, plan_teardown);
}
