/* SPDX-License-Identifier: MIT */
/* One device reads and writes another's BAR, by each way that there is, or is refused. */
#include "peers.h"

static void by_bus_address(void **state)
{
	static const char *const uris[] = {"soft:,pci=near", "soft:,pci=near,debug=on",
					   "soft:,pci=near,coherent=off", "direct:,pci=near"};
	static struct bar bar;

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		struct device provider = device_open("soft:,pci=provider");
		struct device near = device_open(uris[i]);
		phys_addr_t base = bar_add(&provider, 0, &bar);
		struct pci_p2pdma_map_state cached = {0};
		struct dma_port_stats stats;
		uint8_t bytes[2 * PAGE];
		uint32_t word = 0;
		dma_addr_t addr;

		assert_int_equal(pci_p2pdma_state(&cached, near.dev, base),
				 PCI_P2PDMA_MAP_BUS_ADDR);
		assert_ptr_equal(cached.mem, pcim_p2pdma_provider(provider.dev, 0));
		addr = pci_p2pdma_bus_addr_map(cached.mem, base + PAGE);
		assert_int_equal(addr, BAR_BUS + PAGE);
		/* It is not an address of the IOMMU: nothing was mapped, nothing is translated. */
		assert_int_equal(dma_bus_read(near.port, addr + 0x800, bytes, 2 * PAGE), 0);
		assert_int_equal(bytes[0], 0x41);
		assert_int_equal(bytes[PAGE], 0x42);
		assert_int_equal(bytes[2 * PAGE - 1], 0x43);
		assert_int_equal(dma_bus_write(near.port, addr + PAGE - 2, "ring", 4), 0);
		assert_memory_equal(bar.bytes + 2 * PAGE - 2, "ring", 4);
		dma_port_stats(near.port, &stats);
		assert_int_equal(stats.iotlb_hits + stats.iotlb_misses, 0);
		assert_int_equal(stats.reads, 2 * PAGE);
		assert_int_equal(stats.writes, 4);
		/* Behind calls there are no atomics; beyond the memory there is nothing. */
		assert_int_equal(dma_bus_fetch_add(near.port, addr, 4, 1, NULL), -EFAULT);
		assert_int_equal(dma_bus_cmpxchg(near.port, addr, 4, &word, &word), -EFAULT);
		assert_refused(&near, BAR_BUS + BAR_PAGES * PAGE);
		assert_refused(&near, BAR_BUS - 1);
		device_close(&near, 0);
		device_close(&provider, 0);
	}
}

/* Memory that can be pointed at takes atomics, too. */
static void atomics(void **state)
{
	struct device provider = device_open("soft:,pci=provider");
	struct device near = device_open("soft:,pci=near"), direct = device_open("direct:,pci=far");
	uint8_t *memory = pages_new(1, 0);
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_P2P, .size = PAGE, .cpu = memory, .fd = -1};
	uint64_t old, expected = 5, desired = 9;
	phys_addr_t base;

	(void)state;
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &desc, 2 * PAGE, &base), 0);
	assert_int_equal(pci_p2pmem_phys_to_bus(provider.dev, base + 8), BAR_BUS + 2 * PAGE + 8);
	assert_int_equal(virt_to_phys(memory + 8), base + 8);
	assert_int_equal(dma_bus_fetch_add(near.port, BAR_BUS + 2 * PAGE + 8, 8, 5, &old), 0);
	assert_int_equal(old, 0);
	assert_int_equal(dma_bus_cmpxchg(direct.port, base + 8, 8, &expected, &desired), 1);
	assert_int_equal(memory[8], 9);
	assert_refused(&near, BAR_BUS + PAGE);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), 0);
	assert_refused(&near, BAR_BUS + 2 * PAGE);
	device_close(&direct, 0);
	device_close(&near, 0);
	device_close(&provider, 0);
	free(memory);
}

static void through_the_host_bridge(void **state)
{
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider"),
		      far = device_open("soft:,pci=far");
	phys_addr_t base = bar_add(&provider, 0, &bar);
	struct dma_iova_state iova;
	dma_addr_t addr;

	(void)state;
	assert_int_equal(state_of(&far, base), PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	/* The bus address goes to the IOMMU, which knows nothing of it. */
	assert_refused(&far, BAR_BUS);
	addr = dma_map_phys(far.dev, base + 2 * PAGE + 4, 2 * PAGE, DMA_BIDIRECTIONAL,
			    DMA_ATTR_MMIO);
	assert_int_equal(dma_mapping_error(far.dev, addr), 0);
	assert_reads_pages(&far, addr, 2, 0x42);
	assert_int_equal(dma_bus_write(far.port, addr, "bell", 4), 0);
	assert_memory_equal(bar.bytes + 2 * PAGE + 4, "bell", 4);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), -EBUSY);
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_reads(&far, addr, 'b');
	dma_unmap_phys(far.dev, addr, 2 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	assert_refused(&far, addr);

	assert_true(dma_iova_try_alloc(far.dev, &iova, base, 4 * PAGE));
	assert_int_equal(
		dma_iova_link(far.dev, &iova, base, 0, 4 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO),
		0);
	assert_int_equal(dma_iova_sync(far.dev, &iova, 0, 4 * PAGE), 0);
	assert_reads(&far, iova.addr + 3 * PAGE, 0x43);
	dma_iova_destroy(far.dev, &iova, 4 * PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	device_close(&far, 0);

	/* Without an IOMMU it is the address itself. */
	far = device_open("direct:,pci=far");
	addr = dma_map_phys(far.dev, base, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	assert_int_equal(addr, base);
	assert_reads(&far, addr, 0x40);
	assert_refused(&far, BAR_BUS);
	/* Only for its provider to withdraw. */
	assert_int_equal(dma_memory_unregister(base), -EBUSY);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), 0);
	assert_refused(&far, addr);
	device_close(&far, 0);
	device_close(&provider, 0);
}

/* Who maps it all the same is refused by the bus. */
static void a_forbidden_pair(void **state)
{
	static const char *const uris[] = {"soft:,pci=lost", "direct:,pci=lost"};
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider");
	phys_addr_t base = bar_add(&provider, 0, &bar);

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		struct device lost = device_open(uris[i]);
		struct dma_fault fault;
		dma_addr_t addr;

		assert_int_equal(state_of(&lost, base), PCI_P2PDMA_MAP_NOT_SUPPORTED);
		assert_int_equal(pci_p2pdma_refused(lost.dev, base), -EREMOTEIO);
		assert_non_null(strstr(dma_last_error(), "no common bridge"));
		assert_refused(&lost, BAR_BUS);
		while (dma_space_read_faults(lost.space, &fault, 1, NULL))
			;
		addr = dma_map_phys(lost.dev, base, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
		assert_int_equal(dma_mapping_error(lost.dev, addr), 0);
		assert_refused(&lost, addr);
		assert_int_equal(dma_space_read_faults(lost.space, &fault, 1, NULL), 1);
		assert_int_equal(fault.reason, DMA_FAULT_PEER);
		assert_int_equal(dma_bus_fetch_add(lost.port, addr, 4, 1, NULL), -EFAULT);
		dma_unmap_phys(lost.dev, addr, PAGE, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
		device_close(&lost, 0);
	}
	device_close(&provider, 0);
}

/* Access control that is switched on closes the way by bus address, and the cache notices. */
static void access_control_changes(void **state)
{
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider"),
		      near = device_open("soft:,pci=near");
	phys_addr_t base = bar_add(&provider, 0, &bar);
	struct pci_p2pdma_map_state cached = {0};
	uint64_t generation = dma_topology_generation();

	(void)state;
	assert_int_equal(pci_p2pdma_state(&cached, near.dev, base), PCI_P2PDMA_MAP_BUS_ADDR);
	assert_reads(&near, BAR_BUS, 0x40);
	assert_int_equal(dma_topology_set_acs("dn1", DMA_PCI_ACS_RR), 0);
	assert_true(dma_topology_generation() > generation);
	assert_refused(&near, BAR_BUS);
	assert_int_equal(pci_p2pdma_state(&cached, near.dev, base),
			 PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	assert_int_equal(dma_topology_set_acs("02:01.0", DMA_PCI_ACS_SV), 0);
	assert_reads(&near, BAR_BUS, 0x40);
	assert_int_equal(pci_p2pdma_state(&cached, near.dev, base), PCI_P2PDMA_MAP_BUS_ADDR);
	/* What is not peer-to-peer memory leaves the state alone. */
	assert_int_equal(pci_p2pdma_state(&cached, near.dev, virt_to_phys(&bar)),
			 PCI_P2PDMA_MAP_NONE);
	assert_int_equal(cached.map, PCI_P2PDMA_MAP_BUS_ADDR);

	generation = dma_topology_generation();
	assert_int_equal(dma_topology_set_acs("nobody", 0), -ENOENT);
	assert_int_equal(dma_topology_set_acs("dn1", 0x80), -EINVAL);
	assert_int_equal(dma_topology_generation(), generation);
	for (uint64_t nth = 1;; nth++) {
		int err;

		base_alloc_fail(nth);
		err = dma_topology_set_acs("dn1", DMA_PCI_ACS_CR);
		base_alloc_fail(0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_reads(&near, BAR_BUS, 0x40);
		assert_int_equal(state_of(&near, base), PCI_P2PDMA_MAP_BUS_ADDR);
	}
	assert_refused(&near, BAR_BUS);
	assert_int_equal(dma_topology_set_acs("dn1", 0), 0);
	device_close(&near, 0);
	device_close(&provider, 0);
}

static void another_topology(void **state)
{
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider"),
		      near = device_open("soft:,pci=near");
	phys_addr_t base = bar_add(&provider, 0, &bar);
	uint64_t generation = dma_topology_generation();

	(void)state;
	/* A BAR with memory cannot move. */
	plan_write("host pc0 00 window=0xe0000000-0xefffffff\n"
		   "endpoint provider 03:00.0 on pc0 bar0=0xe0010000+64K\n");
	assert_int_equal(dma_topology_load(plan_path), -EBUSY);
	plan_write("nonsense");
	assert_int_equal(dma_topology_load(plan_path), -EINVAL);
	assert_int_equal(dma_topology_generation(), generation);
	assert_reads(&near, BAR_BUS, 0x40);
	/* No common bridge any more; and then no provider. */
	plan_write("cpu intel 6\nhost pc0 00 window=0xe0000000-0xefffffff id=8086:2030\n"
		   "endpoint provider 03:00.0 on pc0 bar0=0xe0000000+64K\n"
		   "endpoint near 04:00.0 on pc0\n");
	assert_int_equal(dma_topology_load(plan_path), 0);
	assert_int_equal(state_of(&near, base), PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	assert_refused(&near, BAR_BUS);
	assert_int_equal(dma_topology_load(NULL), 0);
	assert_int_equal(state_of(&near, base), PCI_P2PDMA_MAP_NOT_SUPPORTED);
	assert_int_equal(dma_topology_set_acs("dn1", 0), -ENOENT);
	/* The machine's topology is not for changing. */
	assert_int_equal(dma_topology_load_sysfs(NULL, NULL), 0);
	assert_int_not_equal(dma_topology_set_acs("00:00.0", 0), 0);
	plan_write(PLAN);
	for (uint64_t nth = 1;; nth++) {
		int err;

		base_alloc_fail(nth);
		err = dma_topology_load(plan_path);
		base_alloc_fail(0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_refused(&near, BAR_BUS);
	}
	assert_reads(&near, BAR_BUS, 0x40);
	device_close(&near, 0);
	device_close(&provider, 0);
}

/* Peers' windows are not handed out, and not given to a device that comes too late. */
static void windows_are_reserved(void **state)
{
	struct device first = device_open("soft:"), near;
	static uint8_t page[4096];
	struct dma_iova_state iova;
	struct dma_dev *late = NULL;
	uint8_t *low;
	dma_addr_t addr;

	(void)state;
	assert_int_equal(dma_set_mask(first.dev, 0xefffffff), 0);
	addr = dma_map_single(first.dev, page, sizeof(page), DMA_TO_DEVICE);
	assert_in_range(addr, 0xe0000000, 0xefffffff);
	assert_int_equal(dma_dev_open_in("soft:,pci=near", first.space, &late), -EADDRINUSE);
	assert_null(late);
	dma_unmap_single(first.dev, addr, sizeof(page), DMA_TO_DEVICE);
	assert_int_equal(dma_dev_open_in("soft:,pci=near", first.space, &late), 0);
	addr = dma_map_single(first.dev, page, sizeof(page), DMA_TO_DEVICE);
	assert_in_range(addr, 0x1000, 0xdfffffff);
	dma_unmap_single(first.dev, addr, sizeof(page), DMA_TO_DEVICE);
	dma_dev_close(late);
	device_close(&first, 0);

	near = device_open("soft:,pci=near");
	assert_int_equal(dma_set_mask(near.dev, 0xffffffff), 0);
	/* What does not fit above the window goes below. */
	assert_true(dma_iova_try_alloc(near.dev, &iova, 0, 256 * MIB + 1));
	assert_true(iova.addr + 256 * MIB < 0xe0000000);
	dma_iova_free(near.dev, &iova);
	device_close(&near, 0);

	/* Without an IOMMU, memory there would be a BAR's to the device. */
	near = device_open("direct:,pci=near");
	low = mmap((void *)0xe8000000, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (low != MAP_FAILED) {
		assert_int_equal(dma_map_single(near.dev, low, PAGE, DMA_TO_DEVICE),
				 DMA_MAPPING_ERROR);
		assert_non_null(strstr(dma_last_error(), "has BARs at these addresses"));
		munmap(low, PAGE);
	}
	device_close(&near, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_bus_address),	   cmocka_unit_test(atomics),
		cmocka_unit_test(through_the_host_bridge), cmocka_unit_test(a_forbidden_pair),
		cmocka_unit_test(access_control_changes),  cmocka_unit_test(another_topology),
		cmocka_unit_test(windows_are_reserved),
	};

	return cmocka_run_group_tests(tests, plan_setup, plan_teardown);
}
