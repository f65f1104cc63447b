/* SPDX-License-Identifier: MIT */
/* Providers: made, refused, found, withdrawn, gone; and what is allocated from them. */
#include <sys/wait.h>

#include "peers.h"

static void what_is_refused(void **state)
{
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider"), plain = device_open("soft:");
	struct device shy = device_open("soft:,pci=shy"), lost = device_open("soft:,pci=lost");
	struct dma_memory_desc desc = bar_desc(&bar), wrong;
	struct dma_dev *dev = NULL;
	phys_addr_t base = 77;
	struct misuse misuse;

	(void)state;
	assert_int_equal(pcim_p2pdma_init(plain.dev), -ENODEV);
	assert_int_equal(pci_p2pdma_add_resource(plain.dev, 0, &desc, 0, &base), -ENODEV);
	assert_int_equal(pcim_p2pdma_init(shy.dev), -EOPNOTSUPP);
	assert_null(pcim_p2pdma_provider(shy.dev, 0));
	assert_int_equal(pci_p2pdma_add_resource(shy.dev, 0, &desc, 0, &base), -EOPNOTSUPP);
	misuse = misuse_expect(&provider);
	assert_null(pcim_p2pdma_provider(provider.dev, 0));
	misuse_check(&provider, misuse, 1);
	assert_int_equal(pcim_p2pdma_init(provider.dev), 0);
	assert_int_equal(pcim_p2pdma_init(provider.dev), 0);
	assert_non_null(pcim_p2pdma_provider(provider.dev, 0));
	assert_non_null(pcim_p2pdma_provider(provider.dev, 2));
	assert_null(pcim_p2pdma_provider(provider.dev, 1));
	assert_null(pcim_p2pdma_provider(provider.dev, 6));
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 1, &desc, 0, &base), -EINVAL);
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 9, &desc, 0, &base), -EINVAL);
	assert_int_equal(pci_p2pdma_add_resource(lost.dev, 0, &desc, 0, &base), -EINVAL);
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, NULL, 0, &base), -EINVAL);
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &desc, 0, NULL), -EINVAL);
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &desc, 1, &base), -EINVAL);
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &desc, PAGE, &base), -EINVAL);
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &desc, BAR_PAGES * PAGE, &base),
			 -EINVAL);
	wrong = desc;
	wrong.type = DMA_MEMORY_MMIO;
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &wrong, 0, &base), -EINVAL);
	wrong = desc;
	wrong.provider = &bar;
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &wrong, 0, &base), -EINVAL);
	wrong = desc;
	wrong.size = 100;
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &wrong, 0, &base), -EINVAL);
	assert_int_equal(base, 77);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), -ENOENT);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 7), -ENOENT);
	assert_int_equal(pci_p2pdma_remove_resource(plain.dev, 0), -ENOENT);
	bar_add(&provider, 0, &bar);
	assert_int_equal(pci_p2pdma_add_resource(provider.dev, 0, &desc, 0, &base), -EEXIST);
	assert_int_equal(pci_p2pdma_bus_addr_map(NULL, base), DMA_MAPPING_ERROR);

	assert_int_equal(dma_dev_open("soft:,pci=nobody", &dev), -ENODEV);
	assert_int_equal(dma_dev_open("soft:,pci=dn0", &dev), -ENODEV);
	assert_int_equal(dma_dev_open("soft:,pci=provider", &dev), -EBUSY);
	assert_int_equal(dma_dev_open("soft:,pci=near,topology=/dev/null", &dev), -EBUSY);
	device_close(&lost, 0);
	device_close(&shy, 0);
	device_close(&plain, 0);
	device_close(&provider, 1);
}

/* Peer memory without a provider, and devices without a place. */
static void strangers(void **state)
{
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider");
	struct device plain = device_open("soft:"), near = device_open("soft:,pci=near");
	const struct dma_memory_desc desc = bar_desc(&bar);
	phys_addr_t base = bar_add(&provider, 0, &bar), other;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &other), 0);
	assert_int_equal(state_of(&near, other), PCI_P2PDMA_MAP_NOT_SUPPORTED);
	assert_int_equal(pci_p2pdma_refused(near.dev, other), -EREMOTEIO);
	assert_int_equal(state_of(&plain, base), PCI_P2PDMA_MAP_NOT_SUPPORTED);
	assert_int_equal(pci_p2pdma_refused(plain.dev, base), -EREMOTEIO);
	assert_non_null(strstr(dma_last_error(), "open it with pci="));
	assert_int_equal(pci_p2pdma_refused(plain.dev, virt_to_phys(&bar)), -EREMOTEIO);
	assert_int_equal(dma_memory_unregister(other), 0);
	assert_int_equal(state_of(&near, other), PCI_P2PDMA_MAP_NONE);
	device_close(&plain, 0);
	device_close(&near, 0);
	device_close(&provider, 0);
}

static void distances(void **state)
{
	static struct bar bar, bar2, bar3;
	struct device provider = device_open("soft:,pci=provider"), plain = device_open("soft:");
	struct device near = device_open("soft:,pci=near"), far = device_open("soft:,pci=far");
	struct device lost = device_open("soft:,pci=lost");
	struct dma_dev *all[] = {near.dev, far.dev, lost.dev}, *one[] = {provider.dev, near.dev};
	struct dma_dev *none[] = {plain.dev};

	(void)state;
	assert_int_equal(pci_p2pdma_distance_many(provider.dev, one, 1), 0);
	assert_int_equal(pci_p2pdma_distance_many(provider.dev, one, 2), 4);
	assert_int_equal(pci_p2pdma_distance_many(provider.dev, all, 2), 4 + 6);
	assert_int_equal(pci_p2pdma_distance_many(provider.dev, all, 0), -1);
	assert_int_equal(pci_p2pdma_distance_many(provider.dev, all, 3), -1);
	assert_non_null(strstr(dma_last_error(), "no common bridge"));
	assert_int_equal(pci_p2pdma_distance_many(provider.dev, none, 1), -1);
	assert_int_equal(pci_p2pdma_distance_many(plain.dev, all, 1), -1);

	assert_null(pci_p2pmem_find_many(all, 1));
	bar_add(&provider, 0, &bar);
	bar_add(&near, 0, &bar2);
	assert_false(pci_has_p2pmem(provider.dev));
	assert_null(pci_p2pmem_find_many(all, 1));
	pci_p2pmem_publish(provider.dev, true);
	pci_p2pmem_publish(near.dev, true);
	pci_p2pmem_publish(far.dev, true);
	pci_p2pmem_publish(plain.dev, true);
	assert_true(pci_has_p2pmem(provider.dev));
	assert_false(pci_has_p2pmem(far.dev));
	assert_false(pci_has_p2pmem(plain.dev));
	/* The nearest; and of two that are equally near, the lower address. */
	assert_ptr_equal(pci_p2pmem_find_many(one, 1), provider.dev);
	assert_ptr_equal(pci_p2pmem_find_many(all, 1), near.dev);
	assert_ptr_equal(pci_p2pmem_find_many(one, 2), provider.dev);
	assert_ptr_equal(pci_p2pmem_find_many(&all[1], 1), provider.dev);
	bar_add(&far, 0, &bar3);
	assert_ptr_equal(pci_p2pmem_find_many(&all[1], 1), far.dev);
	pci_p2pmem_publish(far.dev, false);
	assert_ptr_equal(pci_p2pmem_find_many(&all[1], 1), provider.dev);
	assert_null(pci_p2pmem_find_many(&all[2], 1));
	device_close(&lost, 0);
	device_close(&far, 0);
	device_close(&near, 0);
	device_close(&plain, 0);
	device_close(&provider, 0);
}

static void allocation(void **state)
{
	static struct bar bar, bar2;
	struct device provider = device_open("soft:,pci=provider"), plain = device_open("soft:");
	phys_addr_t base, second, a, b, c;
	struct misuse misuse;

	(void)state;
	assert_int_equal(pci_alloc_p2pmem(provider.dev, 1), 0);
	assert_int_equal(pci_alloc_p2pmem(plain.dev, 1), 0);
	base = bar_add(&provider, 0, &bar);
	a = pci_alloc_p2pmem(provider.dev, 1);
	b = pci_alloc_p2pmem(provider.dev, 3 * PAGE);
	c = pci_alloc_p2pmem(provider.dev, 12 * PAGE);
	assert_int_equal(a, base);
	assert_int_equal(b, base + PAGE);
	assert_int_equal(c, base + 4 * PAGE);
	assert_int_equal(pci_alloc_p2pmem(provider.dev, 1), 0);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(pci_alloc_p2pmem(provider.dev, 0), 0);
	assert_int_equal(pci_alloc_p2pmem(provider.dev, SIZE_MAX), 0);
	second = bar_add(&provider, 2, &bar2);
	assert_int_equal(pci_alloc_p2pmem(provider.dev, 16 * PAGE), second);
	assert_int_equal(pci_p2pmem_phys_to_bus(provider.dev, second + 5), BAR2_BUS + 5);
	assert_int_equal(pci_p2pmem_phys_to_bus(provider.dev, base - 1), 0);
	assert_int_equal(pci_p2pmem_phys_to_bus(plain.dev, base), 0);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), -EBUSY);

	misuse = misuse_expect(&provider);
	pci_free_p2pmem(provider.dev, b, PAGE);
	pci_free_p2pmem(provider.dev, b + PAGE, 2 * PAGE);
	pci_free_p2pmem(provider.dev, a, 4 * PAGE);
	pci_free_p2pmem(provider.dev, a + 1, PAGE);
	pci_free_p2pmem(provider.dev, a, 0);
	pci_free_p2pmem(provider.dev, a, SIZE_MAX);
	pci_free_p2pmem(provider.dev, a - PAGE, PAGE);
	misuse_check(&provider, misuse, 7);
	pci_free_p2pmem(provider.dev, b, 3 * PAGE);
	pci_free_p2pmem(provider.dev, b, 3 * PAGE);
	misuse_check(&provider, misuse, 8);
	assert_int_equal(pci_alloc_p2pmem(provider.dev, 2 * PAGE), b);
	assert_int_equal(pci_alloc_p2pmem(provider.dev, 2 * PAGE), 0);
	assert_int_equal(pci_alloc_p2pmem(provider.dev, PAGE), b + 2 * PAGE);
	pci_free_p2pmem(provider.dev, b, 2 * PAGE);
	pci_free_p2pmem(provider.dev, b + 2 * PAGE, PAGE);
	pci_free_p2pmem(provider.dev, a, 1);
	pci_free_p2pmem(provider.dev, c, 12 * PAGE);
	pci_free_p2pmem(provider.dev, second, 16 * PAGE);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), 0);
	device_close(&plain, 0);
	device_close(&provider, 8);
}

/* A provider that closes takes its memory with it; what is mapped leads nowhere. */
static void gone_while_mapped(void **state)
{
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider");
	struct device near = device_open("soft:,pci=near"), far = device_open("soft:,pci=far");
	phys_addr_t base = bar_add(&provider, 0, &bar);
	struct pci_p2pdma_map_state cached = {0};
	dma_addr_t addr = dma_map_phys(far.dev, base, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);

	(void)state;
	assert_reads(&far, addr, 0x40);
	assert_reads(&near, BAR_BUS, 0x40);
	assert_int_equal(pci_p2pdma_state(&cached, near.dev, base), PCI_P2PDMA_MAP_BUS_ADDR);
	dma_dev_close(provider.dev);
	assert_int_equal(dma_leak_count(), provider.leaks + 1);
	assert_refused(&far, addr);
	assert_refused(&near, BAR_BUS);
	assert_int_equal(pci_p2pdma_state(&cached, near.dev, base), PCI_P2PDMA_MAP_NONE);
	dma_unmap_phys(far.dev, addr, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	/* The place is free again. */
	provider = device_open("soft:,pci=provider");
	assert_int_not_equal(bar_add(&provider, 0, &bar), base);
	assert_reads(&near, BAR_BUS, 0x40);
	device_close(&provider, 0);
	far.leaks = near.leaks = dma_leak_count();
	device_close(&far, 0);
	device_close(&near, 0);
}

/* Each allocation fails in turn, and nothing has changed. */
static void without_memory(void **state)
{
	static struct bar bar;
	struct device near = device_open("soft:,pci=near"), provider;
	const struct dma_memory_desc desc = bar_desc(&bar);
	struct dma_dev *dev = NULL;
	phys_addr_t base;
	int err;

	(void)state;
	for (uint64_t nth = 1;; nth++) {
		base_alloc_fail(nth);
		err = dma_dev_open("soft:,pci=provider", &dev);
		base_alloc_fail(0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(dev);
	}
	dma_dev_close(dev);
	provider = device_open("soft:,pci=provider");
	for (uint64_t nth = 1;; nth++) {
		base = 0;
		base_alloc_fail(nth);
		err = pci_p2pdma_add_resource(provider.dev, 0, &desc, 0, &base);
		base_alloc_fail(0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(base, 0);
		assert_refused(&near, BAR_BUS);
		assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), -ENOENT);
	}
	assert_reads(&near, BAR_BUS, bar.bytes[0]);
	/* What only caches, and what takes away, does without. */
	assert_int_equal(dma_topology_set_acs("rp1", 0), 0);
	base_alloc_fail_from(1);
	assert_int_equal(state_of(&near, base), PCI_P2PDMA_MAP_BUS_ADDR);
	assert_int_equal(pci_p2pdma_remove_resource(provider.dev, 0), 0);
	base_alloc_fail(0);
	assert_refused(&near, BAR_BUS);
	device_close(&provider, 0);
	device_close(&near, 0);
}

static void in_a_forked_child(void **state)
{
	static struct bar bar;
	struct device provider = device_open("soft:,pci=provider"),
		      near = device_open("soft:,pci=near");
	phys_addr_t base = bar_add(&provider, 0, &bar);
	int status;
	pid_t child = fork();

	(void)state;
	if (!child) {
		const struct dma_memory_desc desc = bar_desc(&bar);
		struct dma_dev *dev = NULL;
		bool fine = state_of(&near, base) == PCI_P2PDMA_MAP_NOT_SUPPORTED &&
			    pcim_p2pdma_init(near.dev) == -EPERM &&
			    pci_p2pdma_remove_resource(provider.dev, 0) == -EPERM &&
			    !pci_alloc_p2pmem(provider.dev, 1);

		dma_dev_close(provider.dev);
		dma_dev_close(near.dev);
		fine = fine && !dma_dev_open("soft:,pci=provider", &dev) &&
		       !pci_p2pdma_add_resource(dev, 0, &desc, 0, &base);
		dma_dev_close(dev);
		_exit(fine ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_reads(&near, BAR_BUS, 0x40);
	device_close(&near, 0);
	device_close(&provider, 0);
}

/* The option loads what nobody has loaded. */
static void the_topology_of_a_uri(void **state)
{
	char uri[128];
	struct device near;

	(void)state;
	assert_int_equal(dma_topology_load(NULL), 0);
	assert_int_equal(dma_dev_open("soft:,pci=near", &near.dev), -ENODEV);
	snprintf(uri, sizeof(uri), "soft:,pci=near,topology=%s", plan_path);
	for (uint64_t nth = 1; nth < 4; nth++) {
		base_alloc_fail(nth);
		assert_int_equal(dma_dev_open(uri, &near.dev), -ENOMEM);
		base_alloc_fail(0);
	}
	near = device_open(uri);
	device_close(&near, 0);
	near = device_open(uri);
	device_close(&near, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),   cmocka_unit_test(strangers),
		cmocka_unit_test(distances),	     cmocka_unit_test(allocation),
		cmocka_unit_test(gone_while_mapped), cmocka_unit_test(without_memory),
		cmocka_unit_test(in_a_forked_child), cmocka_unit_test(the_topology_of_a_uri),
	};

	return cmocka_run_group_tests(tests, plan_setup, plan_teardown);
}
