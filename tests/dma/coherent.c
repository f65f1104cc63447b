/* SPDX-License-Identifier: MIT */
/* Coherent memory: CPU and device see each other's bytes without a sync, on every device. */
#include <twostep/bounce.h>

#include "coherent.h"

static const size_t sizes[] = {1, 64, PAGE, PAGE + 1, 3 * PAGE, 64 * 1024, 2 * MIB, 5 * MIB};

#define EACH_DEVICE(uri)                                 \
	for (const char *const *at = every_device, *uri; \
	     at < every_device + COUNT(every_device) && (uri = *at); at++)

static uint64_t bounced(void)
{
	struct dma_bounce_stats stats;

	dma_bounce_stats(NULL, &stats);
	return stats.maps;
}

static void seen_both_ways(const char *uri, size_t size)
{
	struct device d = device_open(uri);
	uint64_t bytes = (size + PAGE - 1) & ~(PAGE - 1), before = bounced();
	dma_addr_t addr;
	uint8_t *cpu = dma_alloc_coherent(d.dev, size, &addr);

	assert_non_null(cpu);
	assert_int_equal((uintptr_t)cpu % alignment_of(size), 0);
	assert_int_equal(addr % alignment_of(size), 0);
	assert_holds(cpu, bytes, 0);
	assert_device_sees(&d, addr, size, 0);
	memset(cpu, 0x5a, size);
	assert_device_sees(&d, addr, size, 0x5a);
	device_fills(&d, addr, size, 0xa5);
	assert_holds(cpu, size, 0xa5);
	/* Whole granules are the device's, and nothing beyond. */
	device_fills(&d, addr, bytes, 0x77);
	assert_holds(cpu, bytes, 0x77);
	if (is_direct(uri)) {
		assert_int_equal(addr, (uintptr_t)cpu);
	} else {
		assert_refused(&d, addr + bytes);
		assert_refused(&d, addr - 1);
		assert_int_equal(stats_of(&d).iova_live, 1);
		assert_int_equal(stats_of(&d).bytes_mapped, bytes);
	}
	dma_free_coherent(d.dev, size, cpu, addr);
	assert_refused(&d, addr);
	assert_refused(&d, addr + bytes - 1);
	assert_int_equal(bounced(), before);
	device_close(&d, 0);
}

static void on_every_device(void **state)
{
	(void)state;
	EACH_DEVICE(uri)
	for (size_t i = 0; i < COUNT(sizes); i++)
		seen_both_ways(uri, sizes[i]);
}

/* A ring that is polled: the device's writes arrive one by one, without any sync. */
static void a_mailbox(void **state)
{
	(void)state;
	EACH_DEVICE(uri)
	{
		struct device d = device_open(uri);
		dma_addr_t addr;
		uint64_t *word = dma_alloc_coherent(d.dev, PAGE, &addr), old;

		assert_non_null(word);
		for (uint64_t i = 0; i < 100; i++) {
			__atomic_store_n(&word[i], i, __ATOMIC_RELEASE);
			assert_int_equal(dma_bus_fetch_add(d.port, addr + i * 8, 8, 1000, &old), 0);
			assert_int_equal(old, i);
			assert_int_equal(__atomic_load_n(&word[i], __ATOMIC_ACQUIRE), i + 1000);
		}
		dma_free_coherent(d.dev, PAGE, word, addr);
		device_close(&d, 0);
	}
}

/* Memory that was mapped through the cache before is coherent when it comes back. */
static void after_other_uses(void **state)
{
	struct device d = device_open("soft:coherent=off");

	(void)state;
	for (unsigned int i = 1; i < 100; i++) {
		dma_addr_t addr;
		uint8_t *cpu = i % 2 ? dma_alloc_pages(d.dev, PAGE, &addr, DMA_BIDIRECTIONAL)
				     : dma_alloc_coherent(d.dev, PAGE, &addr);

		assert_non_null(cpu);
		assert_device_sees(&d, addr, PAGE, 0);
		memset(cpu, (int)i, PAGE);
		assert_device_sees(&d, addr, PAGE, i % 2 ? 0 : i);
		if (i % 2)
			dma_free_pages(d.dev, PAGE, cpu, addr, DMA_BIDIRECTIONAL);
		else
			dma_free_coherent(d.dev, PAGE, cpu, addr);
	}
	device_close(&d, 0);
}

static void large_entries(void **state)
{
	struct device d = soft_open(state, "");
	dma_addr_t addr;
	void *cpu = dma_alloc_coherent(d.dev, 8 * MIB, &addr);

	assert_non_null(cpu);
	assert_int_equal(leaves(&d, addr, 8 * MIB, PAGE), 4);
	dma_free_coherent(d.dev, 8 * MIB, cpu, addr);
	cpu = dma_alloc_coherent(d.dev, 2 * MIB + 1, &addr);
	assert_non_null(cpu);
	assert_int_equal(leaves(&d, addr, 2 * MIB + PAGE, PAGE), 2);
	dma_free_coherent(d.dev, 2 * MIB + 1, cpu, addr);
	device_close(&d, 0);
}

/* The coherent mask alone decides, whatever the streaming mask is. */
static void coherent_mask(void **state)
{
	struct device d = soft_open(state, "");
	dma_addr_t addr[8], other;
	void *cpu[8];

	assert_int_equal(dma_set_coherent_mask(d.dev, DMA_BIT_MASK(32)), 0);
	for (size_t i = 0; i < COUNT(addr); i++) {
		cpu[i] = dma_alloc_coherent(d.dev, PAGE << i, &addr[i]);
		assert_non_null(cpu[i]);
		assert_true(addr[i] + (PAGE << i) - 1 <= DMA_BIT_MASK(32));
	}
	other = dma_map_single(d.dev, cpu[0], PAGE, DMA_TO_DEVICE);
	assert_int_equal(dma_mapping_error(d.dev, other), 0);
	assert_true(other > DMA_BIT_MASK(32));
	dma_unmap_single(d.dev, other, PAGE, DMA_TO_DEVICE);
	for (size_t i = 0; i < COUNT(addr); i++)
		dma_free_coherent(d.dev, PAGE << i, cpu[i], addr[i]);
	assert_int_equal(dma_set_mask(d.dev, DMA_BIT_MASK(32)), 0);
	assert_int_equal(dma_set_coherent_mask(d.dev, DMA_BIT_MASK(64)), 0);
	cpu[0] = dma_alloc_coherent(d.dev, PAGE, &addr[0]);
	assert_true(addr[0] > DMA_BIT_MASK(32));
	dma_free_coherent(d.dev, PAGE, cpu[0], addr[0]);
	/* So few addresses that they run out. */
	assert_int_equal(dma_set_coherent_mask(d.dev, DMA_BIT_MASK(14)), 0);
	for (size_t i = 0; i < 3; i++) {
		cpu[i] = dma_alloc_coherent(d.dev, PAGE, &addr[i]);
		assert_non_null(cpu[i]);
		assert_true(addr[i] <= DMA_BIT_MASK(14));
	}
	dma_clear_error();
	addr[3] = 42;
	assert_null(dma_alloc_coherent(d.dev, PAGE, &addr[3]));
	assert_int_equal(addr[3], 42);
	assert_non_null(strstr(dma_last_error(), "wider mask"));
	for (size_t i = 0; i < 3; i++)
		dma_free_coherent(d.dev, PAGE, cpu[i], addr[i]);
	device_close(&d, 0);
}

/* The bus's limit counts as well as the mask; on direct: the memory itself lies below. */
static void low_memory(void **state)
{
	static const char *const uris[] = {"direct:,mask=32", "direct:", "soft:mask=32"};

	(void)state;
	for (size_t i = 0; i < COUNT(uris); i++) {
		struct device d = device_open(uris[i]);
		enum { NR = 300 };
		dma_addr_t addr[NR];
		uint8_t *cpu[NR];

		assert_int_equal(dma_set_mask_and_coherent(d.dev, DMA_BIT_MASK(i == 1 ? 32 : 64)),
				 0);
		/* Twice, the second time where the first has left room. */
		for (size_t turn = 0; turn < 2; turn++) {
			for (size_t j = 0; j < NR; j++) {
				size_t size = j % 50 ? PAGE * (1 + j % 5) : MIB;

				cpu[j] = dma_alloc_coherent(d.dev, size, &addr[j]);
				if (!cpu[j])
					fail_msg("%s", dma_last_error());
				assert_true(addr[j] + size - 1 <= DMA_BIT_MASK(32));
				device_fills(&d, addr[j], PAGE, (unsigned int)j);
				assert_holds(cpu[j], PAGE, (unsigned int)j);
			}
			for (size_t j = 0; j < NR; j++)
				dma_free_coherent(d.dev, j % 50 ? PAGE * (1 + j % 5) : MIB, cpu[j],
						  addr[j]);
		}
		device_close(&d, 0);
	}
}

/* As in the kernel: what is a hint, or always so, is accepted. */
static void attributes(void **state)
{
	static const unsigned long fine[] = {
		DMA_ATTR_WEAK_ORDERING,
		DMA_ATTR_WRITE_COMBINE,
		DMA_ATTR_SKIP_CPU_SYNC,
		DMA_ATTR_FORCE_CONTIGUOUS,
		DMA_ATTR_ALLOC_SINGLE_PAGES,
		DMA_ATTR_NO_WARN,
		DMA_ATTR_PRIVILEGED,
		DMA_ATTR_REQUIRE_COHERENT,
		DMA_ATTR_FORCE_CONTIGUOUS | DMA_ATTR_NO_WARN,
	};

	(void)state;
	EACH_DEVICE(uri)
	{
		struct device d = device_open(uri);

		for (size_t i = 0; i < COUNT(fine); i++) {
			dma_addr_t addr;
			uint8_t *cpu = dma_alloc_attrs(d.dev, 3 * PAGE, &addr, fine[i]);

			assert_non_null(cpu);
			device_fills(&d, addr, 3 * PAGE, 9);
			assert_holds(cpu, 3 * PAGE, 9);
			dma_free_attrs(d.dev, 3 * PAGE, cpu, addr, fine[i]);
		}
		device_close(&d, 0);
	}
}

/* A token, memory that the device has, and no address for the CPU. */
static void no_kernel_mapping(void **state)
{
	(void)state;
	EACH_DEVICE(uri)
	{
		struct device d = device_open(uri);
		dma_addr_t addr, another;
		void *token = dma_alloc_attrs(d.dev, 2 * PAGE, &addr, DMA_ATTR_NO_KERNEL_MAPPING);
		void *more = dma_alloc_attrs(d.dev, PAGE, &another, DMA_ATTR_NO_KERNEL_MAPPING);

		assert_non_null(token);
		assert_non_null(more);
		assert_ptr_not_equal(token, more);
		assert_device_sees(&d, addr, 2 * PAGE, 0);
		device_fills(&d, addr, 2 * PAGE, 3);
		assert_device_sees(&d, addr, 2 * PAGE, 3);
		assert_device_sees(&d, another, PAGE, 0);
		dma_free_attrs(d.dev, 2 * PAGE, token, addr, DMA_ATTR_NO_KERNEL_MAPPING);
		assert_device_sees(&d, another, PAGE, 0);
		dma_free_attrs(d.dev, PAGE, more, another, DMA_ATTR_NO_KERNEL_MAPPING);
		device_close(&d, 0);
	}
}

/* Two devices of a space have it both; either may free it. */
static void in_a_shared_space(void **state)
{
	struct device d = soft_open(state, "");
	struct dma_dev *other;
	dma_addr_t addr;
	uint8_t *cpu, byte;

	assert_int_equal(dma_dev_open_in("soft:coherent=off", d.space, &other), 0);
	cpu = dma_alloc_coherent(d.dev, PAGE, &addr);
	cpu[5] = 7;
	assert_int_equal(dma_bus_read(dma_dev_port(other), addr + 5, &byte, 1), 0);
	assert_int_equal(byte, 7);
	dma_free_coherent(other, PAGE, cpu, addr);
	assert_int_equal(dma_bus_read(dma_dev_port(other), addr + 5, &byte, 1), -EFAULT);
	dma_dev_close(other);
	device_close(&d, 0);
}

/* Records grow with what is allocated, and go with it. */
static void many(void **state)
{
	struct device d = soft_open(state, "");
	enum { NR = 3000 };
	static dma_addr_t addr[NR];
	static uint8_t *cpu[NR];
	uint64_t metadata = stats_of(&d).metadata_bytes;

	for (size_t i = 0; i < NR; i++) {
		cpu[i] = dma_alloc_coherent(d.dev, PAGE, &addr[i]);
		assert_non_null(cpu[i]);
		cpu[i][0] = (uint8_t)i;
	}
	assert_int_equal(stats_of(&d).iova_live, NR);
	assert_int_equal(stats_of(&d).bytes_mapped, NR * PAGE);
	assert_true(stats_of(&d).metadata_bytes > metadata + NR * 32);
	metadata = stats_of(&d).metadata_bytes;
	for (size_t i = 0; i < NR; i++) {
		assert_reads(&d, addr[i], (unsigned int)i);
		dma_free_coherent(d.dev, PAGE, cpu[i], addr[i]);
	}
	assert_true(stats_of(&d).metadata_bytes < metadata - NR * 32);
	device_close(&d, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_every_device),  cmocka_unit_test(a_mailbox),
		cmocka_unit_test(after_other_uses), EACH_FORMAT(large_entries),
		EACH_FORMAT(coherent_mask),	    cmocka_unit_test(low_memory),
		cmocka_unit_test(attributes),	    cmocka_unit_test(no_kernel_mapping),
		EACH_FORMAT(in_a_shared_space),	    EACH_FORMAT(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
