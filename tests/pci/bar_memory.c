/* SPDX-License-Identifier: MIT */
/* BARs as memory of the library, and as dma-bufs of the kernel. */
#include <fcntl.h>
#include <unistd.h>

#include "dma/p2p.h"
#include "fake.h"

#define DMABUF (1U << 11)

static struct dma_dev *dev;

static int setup(void **state)
{
	(void)state;
	fake_device_new();
	dev = fake_open(NULL);
	return dev ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	dma_dev_close(dev);
	assert_int_equal(fake_device.maps, 0);
	return 0;
}

static void exporting(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(ts_pci_export_bar(dev, 0, 0, 4096), -EOPNOTSUPP);
	assert_said("Linux 6.19");
	fake_device.features = DMABUF;
	fd = ts_pci_export_bar(dev, 0, 8192, 16384);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fake_device.dmabuf_offset, 8192);
	assert_int_equal(fake_device.dmabuf_size, 16384);
	assert_int_equal(ts_pci_export_bar(dev, 6, 0, 4096), -ENODEV);
	assert_int_equal(ts_pci_export_bar(dev, 1, 0, 4096), -ENODEV);
	assert_int_equal(ts_pci_export_bar(dev, 0, 0, 0), -EINVAL);
	assert_int_equal(ts_pci_export_bar(dev, 0, 1, 4096), -EINVAL);
	assert_int_equal(ts_pci_export_bar(dev, 0, 4096, 65536), -ERANGE);
	assert_int_equal(ts_pci_export_bar(dev, 0, 4096, UINT64_MAX & ~4095ULL), -ERANGE);
}

static void with_a_mapping(void **state)
{
	struct dma_memory_desc desc;
	phys_addr_t base, at;

	(void)state;
	assert_int_equal(ts_pci_register_bar(dev, 0, 4096, 8192, DMA_MEMORY_MMIO, &base), 0);
	assert_int_equal(dma_memory_query(base + 100, &desc, &at), 0);
	assert_int_equal(at, base);
	assert_int_equal(desc.type, DMA_MEMORY_MMIO);
	assert_int_equal(desc.size, 8192);
	assert_int_equal(desc.fd, -1);
	assert_non_null(desc.cpu);
	*(volatile uint32_t *)desc.cpu = 0xfeedf00d;
	assert_int_equal(fake_get(0, 4096, 4), 0xfeedf00d);
	assert_int_equal(virt_to_phys((char *)desc.cpu + 64), base + 64);
	assert_int_equal(ts_pci_unregister_bar(dev, base + 4096), -ENOENT);
	assert_int_equal(ts_pci_unregister_bar(dev, base), 0);
	assert_int_equal(fake_device.maps, 0);
	assert_int_equal(dma_memory_query(base, NULL, NULL), -EFAULT);
	assert_int_equal(ts_pci_unregister_bar(dev, base), -ENOENT);
}

static void with_a_dmabuf(void **state)
{
	struct dma_memory_desc desc;
	phys_addr_t base;

	(void)state;
	fake_device.features = DMABUF;
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 65536, DMA_MEMORY_MMIO, &base), 0);
	assert_int_equal(dma_memory_query(base, &desc, NULL), 0);
	assert_true(desc.fd >= 0);
	assert_int_equal(desc.fd_offset, 0);
	assert_non_null(desc.cpu);
	assert_int_equal(ts_pci_unregister_bar(dev, base), 0);
	assert_int_equal(fcntl(desc.fd, F_GETFD), -1);
}

/* The hole of BAR 2, which the kernel does not map: a device in software gets there all the same. */
static void through_the_kernel(void **state)
{
	struct dma_memory_desc desc;
	struct dma_dev *peer;
	char in[100], out[100] = "";
	dma_addr_t addr;
	phys_addr_t base;

	(void)state;
	memset(in, 0x5a, sizeof(in));
	assert_int_equal(ts_pci_register_bar(dev, 2, 4096, 4096, DMA_MEMORY_MMIO, &base), 0);
	assert_int_equal(dma_memory_query(base, &desc, NULL), 0);
	assert_null(desc.cpu);
	assert_int_equal(dma_dev_open("soft:", &peer), 0);
	assert_int_equal(dma_set_mask_and_coherent(peer, DMA_BIT_MASK(48)), 0);
	addr = dma_map_phys(peer, base, 4096, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	assert_false(dma_mapping_error(peer, addr));
	assert_int_equal(dma_bus_write(dma_dev_port(peer), addr + 16, in, sizeof(in)), 0);
	assert_int_equal(fake_get(2, 4096 + 16, 4), 0x5a5a5a5a);
	assert_int_equal(dma_bus_read(dma_dev_port(peer), addr + 16, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	/* Not while it is mapped. */
	assert_int_equal(ts_pci_unregister_bar(dev, base), -EBUSY);
	assert_int_equal(dma_memory_query(base, NULL, NULL), 0);
	dma_unmap_phys(peer, addr, 4096, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	assert_int_equal(ts_pci_unregister_bar(dev, base), 0);
	dma_dev_close(peer);
}

static void refused(void **state)
{
	phys_addr_t base = 1;

	(void)state;
	assert_int_equal(ts_pci_register_bar(dev, 6, 0, 4096, DMA_MEMORY_MMIO, &base), -ENODEV);
	assert_int_equal(ts_pci_register_bar(dev, 1, 0, 4096, DMA_MEMORY_MMIO, &base), -ENODEV);
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 100, DMA_MEMORY_MMIO, &base), -EINVAL);
	assert_int_equal(ts_pci_register_bar(dev, 0, 100, 4096, DMA_MEMORY_MMIO, &base), -EINVAL);
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 131072, DMA_MEMORY_MMIO, &base), -ERANGE);
	assert_int_equal(ts_pci_register_bar(dev, 4, 0, 4096, DMA_MEMORY_MMIO, &base), -ERANGE);
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 4096, DMA_MEMORY_RAM, &base), -EINVAL);
	assert_said("it is MMIO (1) or P2P (2)");
	/* Without a place in the topology there are no peers. */
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 4096, DMA_MEMORY_P2P, &base), -ENODEV);
	assert_int_equal(base, 1);
	assert_int_equal(fake_device.maps, 0);
	base_alloc_fail(1);
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 4096, DMA_MEMORY_MMIO, &base), -ENOMEM);
	base_alloc_fail(0);
}

/* The mapping goes with the device, and so must the memory. */
static void closed_first(void **state)
{
	struct dma_dev *peer;
	dma_addr_t addr;
	phys_addr_t base, mapped;
	char byte;

	(void)state;
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 4096, DMA_MEMORY_MMIO, &base), 0);
	assert_int_equal(ts_pci_register_bar(dev, 2, 0, 4096, DMA_MEMORY_MMIO, &mapped), 0);
	assert_int_equal(dma_dev_open("soft:", &peer), 0);
	assert_int_equal(dma_set_mask_and_coherent(peer, DMA_BIT_MASK(48)), 0);
	addr = dma_map_phys(peer, mapped, 4096, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	assert_false(dma_mapping_error(peer, addr));
	assert_int_equal(dma_bus_read(dma_dev_port(peer), addr, &byte, 1), 0);
	dma_dev_close(dev);
	assert_int_equal(fake_device.maps, 0);
	assert_int_equal(dma_memory_query(base, NULL, NULL), -EFAULT);
	assert_int_equal(dma_memory_query(mapped, NULL, NULL), -EFAULT);
	assert_int_equal(dma_bus_read(dma_dev_port(peer), addr, &byte, 1), -EFAULT);
	dma_unmap_phys(peer, addr, 4096, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
	dma_dev_close(peer);
	setup(state);
}

static void for_peers(void **state)
{
	static const char plan[] = "cpu intel 6\n"
				   "host pc0 0000:00 id=8086:2030 window=0xe0000000-0xefffffff\n"
				   "root-port rp0 00:1c.0 on pc0\n"
				   "endpoint real 01:00.0 on rp0 bar0=0xe0000000+64K\n"
				   "endpoint peer 00:02.0 on pc0\n";
	char path[] = "/tmp/twostep-plan-XXXXXX";
	struct dma_memory_desc desc;
	int fd = mkstemp(path);
	phys_addr_t base, some;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, plan, strlen(plan)), strlen(plan));
	close(fd);
	assert_int_equal(dma_topology_load(path), 0);
	unlink(path);
	dma_dev_close(dev);
	fake_device_new();
	dev = fake_open("real");
	assert_non_null(dev);
	assert_int_equal(ts_pci_register_bar(dev, 0, 16384, 32768, DMA_MEMORY_P2P, &base), 0);
	assert_int_equal(dma_memory_query(base, &desc, NULL), 0);
	assert_int_equal(desc.type, DMA_MEMORY_P2P);
	assert_int_equal(pci_p2pmem_phys_to_bus(dev, base), 0xe0000000 + 16384);
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 4096, DMA_MEMORY_P2P, &some), -EEXIST);
	some = pci_alloc_p2pmem(dev, 4096);
	assert_int_equal(some, base);
	assert_int_equal(ts_pci_unregister_bar(dev, base), -EBUSY);
	pci_free_p2pmem(dev, some, 4096);
	assert_int_equal(ts_pci_unregister_bar(dev, base), 0);
	assert_int_equal(fake_device.maps, 0);
	/* And closed with the memory still there. */
	assert_int_equal(ts_pci_register_bar(dev, 0, 0, 65536, DMA_MEMORY_P2P, &base), 0);
	dma_dev_close(dev);
	assert_int_equal(fake_device.maps, 0);
	assert_int_equal(dma_memory_query(base, NULL, NULL), -EFAULT);
	assert_int_equal(dma_topology_load(NULL), 0);
	setup(state);
}

int main(void)
{
	const struct CMUnitTest units[] = {
		cmocka_unit_test_setup_teardown(exporting, setup, teardown),
		cmocka_unit_test_setup_teardown(with_a_mapping, setup, teardown),
		cmocka_unit_test_setup_teardown(with_a_dmabuf, setup, teardown),
		cmocka_unit_test_setup_teardown(through_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_first, setup, teardown),
		cmocka_unit_test_setup_teardown(for_peers, setup, teardown),
	};

	return cmocka_run_group_tests(units, NULL, NULL);
}
