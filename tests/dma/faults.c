/* SPDX-License-Identifier: MIT */
/* What is told of a refused transfer: records, their loss, and the handler. */
#include "setup.h"

#define LOG 256

static struct dma_fault only_fault(const struct device *d)
{
	struct dma_fault faults[2];
	uint64_t lost = 77;

	assert_int_equal(dma_space_read_faults(d->space, faults, 2, &lost), 1);
	assert_int_equal(lost, 0);
	return faults[0];
}

static void check_fault(const struct device *d, enum dma_fault_reason reason, bool write,
			dma_addr_t addr, uint64_t len, uint32_t device)
{
	struct dma_fault fault = only_fault(d);

	assert_int_equal(fault.reason, reason);
	assert_int_equal(fault.write, write);
	assert_int_equal(fault.addr, addr);
	assert_int_equal(fault.len, len);
	assert_int_equal(fault.device, device);
	assert_string_not_equal(dma_fault_reason_name(reason), "");
}

static void records(void **state)
{
	struct device d = soft_open(state, ""), second = {.space = d.space};
	uint8_t *memory = pages_new(2, 1), buf[3 * 4096];
	struct dma_iova_state iova = reserve(&d, 0, 4 * PAGE);
	uint64_t word = 0, faults = 0;
	struct dma_fault first, next;

	assert_int_equal(dma_dev_open_in("soft:", d.space, &second.dev), 0);
	second.port = dma_dev_port(second.dev);
	assert_int_equal(
		dma_iova_link(d.dev, &iova, virt_to_phys(memory), 0, 2 * PAGE, DMA_TO_DEVICE, 0),
		0);

	assert_int_equal(dma_bus_read(d.port, iova.addr + 2 * PAGE + 5, buf, 10), -EFAULT);
	check_fault(&d, DMA_FAULT_NOT_PRESENT, false, iova.addr + 2 * PAGE + 5, 10, 0);
	assert_int_equal(dma_bus_write(second.port, iova.addr + 2 * PAGE, buf, 10), -EFAULT);
	check_fault(&d, DMA_FAULT_NOT_PRESENT, true, iova.addr + 2 * PAGE, 10, 1);
	assert_int_equal(dma_bus_write(d.port, iova.addr + 1, buf, 1), -EFAULT);
	check_fault(&d, DMA_FAULT_PERMISSION, true, iova.addr + 1, 1, 0);
	/* From the first address that was refused; what came before has been read. */
	memset(buf, 0, sizeof(buf));
	assert_int_equal(dma_bus_read(d.port, iova.addr + 1, buf, sizeof(buf)), -EFAULT);
	check_fault(&d, DMA_FAULT_NOT_PRESENT, false, iova.addr + 2 * PAGE,
		    sizeof(buf) - 2 * PAGE + 1, 0);
	assert_memory_equal(buf, memory + 1, 2 * PAGE - 1);
	assert_int_equal(dma_bus_read(d.port, 1ULL << 60, buf, 1), -EFAULT);
	check_fault(&d, DMA_FAULT_ADDRESS, false, 1ULL << 60, 1, 0);
	assert_int_equal(dma_bus_fetch_add(d.port, iova.addr + 2, 4, 1, NULL), -EFAULT);
	check_fault(&d, DMA_FAULT_MISALIGNED, true, iova.addr + 2, 4, 0);
	assert_int_equal(dma_bus_cmpxchg(d.port, iova.addr, 8, &word, &word), -EFAULT);
	check_fault(&d, DMA_FAULT_PERMISSION, true, iova.addr, 8, 0);
	faults = 7;
	assert_int_equal(stats_of(&d).faults, faults);

	/* In time. */
	assert_int_equal(dma_bus_read(d.port, 0, buf, 1), -EFAULT);
	first = only_fault(&d);
	assert_int_equal(dma_bus_read(d.port, 0, buf, 1), -EFAULT);
	next = only_fault(&d);
	assert_true(first.time_ns && next.time_ns >= first.time_ns);
	dma_dev_close(second.dev);
	destroy(&d, &iova, 2 * PAGE);
	device_close(&d, 0);
	free(memory);
}

static void more_than_the_log_holds(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_fault faults[LOG + 10];
	uint64_t lost;
	uint8_t byte;

	for (uint64_t i = 0; i < LOG + 9; i++)
		assert_int_equal(dma_bus_read(d.port, (i + 1) * PAGE, &byte, 1), -EFAULT);
	assert_int_equal(stats_of(&d).faults, LOG + 9);
	/* The first ones stay; reading makes room; losses are told once. */
	assert_int_equal(dma_space_read_faults(d.space, faults, 0, NULL), 0);
	assert_int_equal(dma_space_read_faults(d.space, faults, 100, NULL), 100);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(faults[i].addr, (i + 1) * PAGE);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(dma_bus_read(d.port, i + 17, &byte, 1), -EFAULT);
	assert_int_equal(dma_space_read_faults(d.space, faults, COUNT(faults), &lost), LOG - 97);
	assert_int_equal(faults[0].addr, 101 * PAGE);
	assert_int_equal(faults[LOG - 101].addr, LOG * PAGE);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(faults[LOG - 100 + i].addr, i + 17);
	assert_int_equal(dma_space_read_faults(d.space, faults, COUNT(faults), &lost), 0);
	assert_int_equal(lost, 0);
	for (uint64_t i = 0; i < LOG + 2; i++)
		assert_int_equal(dma_bus_read(d.port, 0, &byte, 1), -EFAULT);
	assert_int_equal(dma_space_read_faults(d.space, faults, 1, &lost), 1);
	assert_int_equal(lost, 2);
	device_close(&d, 0);
}

struct handling {
	struct device *d;
	struct dma_iova_state *iova;
	unsigned int calls;
	struct dma_fault last;
	dma_addr_t mapped;
	uint8_t *memory;
};

static void unlink_all(const struct dma_fault *fault, void *arg)
{
	struct handling *h = arg;

	h->calls++;
	h->last = *fault;
	unlink_at(h->d, h->iova, 0, 2 * PAGE);
}

static void map_another(const struct dma_fault *fault, void *arg)
{
	struct handling *h = arg;

	h->calls++;
	h->last = *fault;
	h->mapped = dma_map_single(h->d->dev, h->memory, PAGE, DMA_TO_DEVICE);
	/* Its own transfers may fault too, and end here. */
	if (h->calls == 1)
		assert_refused(h->d, 0);
	assert_int_equal(dma_space_set_fault_handler(h->d->space, NULL, NULL), 0);
}

static void a_handler_that_unlinks(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(2, 1), buf[3 * 4096];
	struct dma_iova_state iova = reserve(&d, 0, 3 * PAGE);
	struct handling h = {.d = &d, .iova = &iova, .memory = memory};

	assert_int_equal(dma_space_set_fault_handler(d.space, unlink_all, &h), 0);
	link_at(&d, &iova, 0, memory, 2 * PAGE);
	/* Two pages are there, the third faults, and then none is there. */
	assert_int_equal(dma_bus_read(d.port, iova.addr, buf, sizeof(buf)), -EFAULT);
	assert_memory_equal(buf, memory, 2 * PAGE);
	assert_int_equal(h.calls, 1);
	assert_int_equal(h.last.addr, iova.addr + 2 * PAGE);
	assert_int_equal(stats_of(&d).bytes_mapped, 0);

	/* None: not called any more, the log goes on. */
	assert_int_equal(dma_space_set_fault_handler(d.space, NULL, NULL), 0);
	assert_refused(&d, iova.addr);
	assert_int_equal(h.calls, 1);

	/* Maps, faults, and takes itself away. */
	h.calls = 0;
	assert_int_equal(dma_space_set_fault_handler(d.space, map_another, &h), 0);
	assert_int_equal(dma_bus_read(d.port, iova.addr, buf, 1), -EFAULT);
	assert_true(h.calls >= 1);
	assert_reads(&d, h.mapped, 1);
	h.mapped = 0;
	h.calls = 0;
	assert_refused(&d, iova.addr);
	assert_int_equal(h.calls, 0);
	dma_iova_free(d.dev, &iova);
	dma_dev_close(d.dev);
	free(memory);
}

static void without_an_iommu(void **state)
{
	struct device d = device_open("direct:");
	struct dma_fault faults[2];
	uint8_t byte;

	(void)state;
	/* No memory there. */
	assert_int_equal(dma_bus_read(d.port, 8, &byte, 1), -EFAULT);
	assert_int_equal(dma_space_read_faults(d.space, faults, 2, NULL), 1);
	assert_int_equal(faults[0].addr, 8);
	assert_int_equal(faults[0].reason, DMA_FAULT_MEMORY);
	assert_int_equal(stats_of(&d).faults, 1);
	assert_int_equal(dma_space_set_fault_handler(d.space, NULL, NULL), 0);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(records),
		EACH_FORMAT(more_than_the_log_holds),
		EACH_FORMAT(a_handler_that_unlinks),
		cmocka_unit_test(without_an_iommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
