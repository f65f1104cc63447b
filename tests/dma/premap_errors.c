/* SPDX-License-Identifier: MIT */
/* What cannot be mapped ahead, and what cannot be translated: an error, and nothing changed. */
#include <sys/wait.h>
#include <unistd.h>

#include <twostep/premap.h>

#include "noncoherent.h"

static int premap(const struct device *d, phys_addr_t phys, size_t size,
		  enum dma_data_direction dir, unsigned long attrs)
{
	dma_addr_t addr = 0x5555;
	int err;

	dma_clear_error();
	err = dma_premap(d->dev, phys, size, dir, attrs, &addr);
	if (err) {
		assert_int_equal(addr, 0x5555);
		assert_string_not_equal(dma_last_error(), "");
	}
	return err;
}

static void assert_not_mapped(const struct device *d, phys_addr_t phys, size_t size,
			      enum dma_data_direction dir, const char *why)
{
	dma_clear_error();
	assert_int_equal(dma_map_phys(d->dev, phys, size, dir, 0), DMA_MAPPING_ERROR);
	if (!strstr(dma_last_error(), why))
		fail_msg("\"%s\" does not say \"%s\"", dma_last_error(), why);
	assert_int_equal(dma_premap_translate(d->dev, phys, size, dir), DMA_MAPPING_ERROR);
}

static void arguments(void **state)
{
	struct device d = soft_open(state, ",map=ahead");
	uint8_t *memory = pages_new(4, 1);
	phys_addr_t phys = virt_to_phys(memory);
	struct snapshot before = snapshot_take(&d, 0x1000, 1);

	assert_int_equal(premap(&d, phys, 0, DMA_TO_DEVICE, 0), -EINVAL);
	assert_int_equal(premap(&d, phys, PAGE, DMA_NONE, 0), -EINVAL);
	assert_int_equal(premap(&d, phys, PAGE, (enum dma_data_direction)77, 0), -EINVAL);
	assert_int_equal(premap(&d, phys, SIZE_MAX, DMA_TO_DEVICE, 0), -EINVAL);
	assert_int_equal(premap(&d, 1ULL << 60, PAGE, DMA_TO_DEVICE, 0), -ERANGE);
	assert_int_equal(premap(&d, phys, PAGE, DMA_TO_DEVICE, DMA_ATTR_CC_SHARED), -EINVAL);
	assert_int_equal(dma_unpremap(d.dev, phys, PAGE), -ENOENT);
	assert_int_equal(dma_unpremap(d.dev, phys, 0), -ENOENT);
	assert_not_mapped(&d, phys, PAGE, DMA_TO_DEVICE, "not mapped ahead");
	assert_unchanged(&d, &before);
	assert_int_equal(dma_set_min_align_mask(d.dev, 0xffff), 0);
	assert_int_equal(premap(&d, phys, PAGE, DMA_TO_DEVICE, 0), -EINVAL);
	assert_unchanged(&d, &before);
	device_close(&d, 0);
	free(memory);
}

static void translations(void **state)
{
	struct device d = soft_open(state, ",map=ahead");
	uint8_t *memory = pages_new(4, 1);
	phys_addr_t phys = virt_to_phys(memory) + PAGE;

	assert_int_equal(premap(&d, phys, 2 * PAGE, DMA_TO_DEVICE, 0), 0);
	assert_not_mapped(&d, phys, 0, DMA_TO_DEVICE, "0 bytes");
	assert_not_mapped(&d, phys + 1, 0, DMA_TO_DEVICE, "0 bytes");
	assert_not_mapped(&d, phys, 1, DMA_NONE, "direction");
	assert_not_mapped(&d, phys, 1, (enum dma_data_direction)64, "direction");
	assert_not_mapped(&d, phys, 1, DMA_BIDIRECTIONAL, "registered with DMA_TO_DEVICE");
	assert_not_mapped(&d, phys, 1, DMA_FROM_DEVICE, "registered with DMA_TO_DEVICE");
	assert_not_mapped(&d, phys - 1, 2, DMA_TO_DEVICE, "not mapped ahead");
	assert_not_mapped(&d, phys, 2 * PAGE + 1, DMA_TO_DEVICE, "ends after 8192 bytes");
	assert_not_mapped(&d, phys + PAGE + 5, PAGE, DMA_TO_DEVICE, "ends after 4091 bytes");
	assert_not_mapped(&d, phys, SIZE_MAX, DMA_TO_DEVICE, "ends after");
	assert_not_mapped(&d, phys + 7, SIZE_MAX - 6, DMA_TO_DEVICE, "ends after");
	assert_not_mapped(&d, phys | 1ULL << 60, 1, DMA_TO_DEVICE, "not mapped ahead");
	dma_clear_error();
	assert_int_equal(dma_map_phys(d.dev, phys, 1, DMA_TO_DEVICE, DMA_ATTR_CC_SHARED),
			 DMA_MAPPING_ERROR);
	assert_string_not_equal(dma_last_error(), "");
	assert_int_equal(dma_unpremap(d.dev, phys, 2 * PAGE), 0);
	assert_int_equal(premap(&d, phys, 1, DMA_FROM_DEVICE, 0), 0);
	assert_not_mapped(&d, phys, 1, DMA_BIDIRECTIONAL, "registered with DMA_FROM_DEVICE");
	assert_int_equal(dma_unpremap(d.dev, phys, 1), 0);
	device_close(&d, 0);
	free(memory);
}

/* No two regions share a granule. */
static void overlaps(void **state)
{
	struct device d = soft_open(state, "");
	struct expanse memory = expanse_new(16 * MIB, 2 * MIB);
	phys_addr_t phys = virt_to_phys(memory.at) + 4 * MIB;
	const struct {
		int64_t at;
		uint64_t size;
	} taken[] = {{0, 1},
		     {-1, 2},
		     {-(int64_t)(2 * MIB), 8 * MIB},
		     {4 * MIB, PAGE},
		     {4 * MIB + PAGE - 1, 4},
		     {2 * MIB, 2 * MIB}};
	dma_addr_t addr;
	struct snapshot before;

	assert_int_equal(dma_premap(d.dev, phys, 4 * MIB + 5, DMA_BIDIRECTIONAL, 0, &addr), 0);
	before = snapshot_take(&d, addr, 64);
	for (size_t i = 0; i < COUNT(taken); i++)
		assert_int_equal(
			premap(&d, phys + (uint64_t)taken[i].at, taken[i].size, DMA_TO_DEVICE, 0),
			-EEXIST);
	assert_int_equal(dma_unpremap(d.dev, phys, 4 * MIB), -ENOENT);
	assert_int_equal(dma_unpremap(d.dev, phys + 2 * MIB, 2 * MIB), -ENOENT);
	assert_unchanged(&d, &before);
	assert_int_equal(premap(&d, phys - PAGE, PAGE, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(premap(&d, phys + 4 * MIB + PAGE, 1, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(dma_unpremap(d.dev, phys - PAGE, PAGE), 0);
	assert_int_equal(dma_unpremap(d.dev, phys + 4 * MIB + PAGE, 1), 0);
	assert_int_equal(dma_unpremap(d.dev, phys, 4 * MIB + 5), 0);
	assert_int_equal(dma_unpremap(d.dev, phys, 4 * MIB + 5), -ENOENT);
	device_close(&d, 0);
	expanse_free(&memory);
}

static void addresses_run_out(void **state)
{
	struct device d = soft_open(state, ",map=ahead,mask=24");
	struct expanse memory = expanse_new(32 * MIB, 2 * MIB);
	phys_addr_t phys = virt_to_phys(memory.at);
	struct snapshot before = snapshot_take(&d, 0x1000, 1);

	assert_int_equal(premap(&d, phys, 32 * MIB, DMA_TO_DEVICE, 0), -ENOSPC);
	assert_unchanged_but_tables(&d, &before);
	assert_not_mapped(&d, phys, 1, DMA_TO_DEVICE, "not mapped ahead");
	/* With no room for the same offset in 2 MiB, another does. */
	assert_int_equal(premap(&d, phys + PAGE, 8 * MIB, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(premap(&d, phys + 16 * MIB + PAGE, 4 * MIB, DMA_TO_DEVICE, 0), 0);
	assert_int_equal(dma_unpremap(d.dev, phys + PAGE, 8 * MIB), 0);
	assert_int_equal(dma_unpremap(d.dev, phys + 16 * MIB + PAGE, 4 * MIB), 0);
	device_close(&d, 0);
	expanse_free(&memory);
}

/* What would have to be bounced is refused. */
static void bouncing(void **state)
{
	static uint8_t pinless[2 * PAGE] __attribute__((aligned(4096)));
	struct device forced = soft_open(state, ",bounce=force,map=ahead");
	struct device untrusted = soft_open(state, ",untrusted,map=ahead");
	struct device direct = device_open("direct:,map=ahead,mask=32");
	const struct dma_memory_desc desc = {
		.size = sizeof(pinless), .cpu = pinless, .fd = -1, .flags = DMA_MEMORY_NO_PIN};
	uint8_t *memory = pages_new(2, 1);
	phys_addr_t phys = virt_to_phys(memory), base;
	dma_addr_t addr;

	assert_int_equal(premap(&forced, phys, PAGE, DMA_TO_DEVICE, 0), -EPERM);
	assert_int_equal(premap(&untrusted, phys, 100, DMA_TO_DEVICE, 0), -EPERM);
	assert_int_equal(premap(&untrusted, phys + 1, 2 * PAGE - 1, DMA_TO_DEVICE, 0), -EPERM);
	assert_int_equal(premap(&direct, phys, PAGE, DMA_TO_DEVICE, 0), -EPERM);
	assert_non_null(strstr(dma_last_error(), "does not reach"));
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	assert_int_equal(premap(&untrusted, base, PAGE, DMA_TO_DEVICE, 0), -EPERM);
	assert_int_equal(dma_memory_unregister(base), 0);
	/* Of whole granules, any part. */
	assert_int_equal(dma_premap(untrusted.dev, phys, 2 * PAGE, DMA_TO_DEVICE, 0, &addr), 0);
	assert_int_equal(dma_map_phys(untrusted.dev, phys + 5, 100, DMA_TO_DEVICE, 0), addr + 5);
	assert_int_equal(dma_unpremap(untrusted.dev, phys, 2 * PAGE), 0);
	device_close(&forced, 0);
	device_close(&untrusted, 0);
	device_close(&direct, 0);
	free(memory);
}

/* A device that does not see the CPU's caches: map and unmap still do what caches need. */
static void noncoherent(void **state)
{
	struct device d = soft_open(state, ",coherent=off,map=ahead");
	static struct card card;
	uint8_t *memory = pages_new(2, 0);
	phys_addr_t phys = virt_to_phys(memory);
	dma_addr_t addr;

	memset(memory, 1, 2 * PAGE);
	assert_int_equal(dma_premap(d.dev, phys, 2 * PAGE, DMA_BIDIRECTIONAL, 0, &addr), 0);
	assert_true(dma_need_unmap(d.dev));
	assert_device_sees(&d, addr, 2 * PAGE, 1);
	memset(memory, 2, 2 * PAGE);
	assert_device_sees(&d, addr, 2 * PAGE, 1);
	assert_int_equal(dma_map_phys(d.dev, phys + LINE, LINE, DMA_TO_DEVICE, 0), addr + LINE);
	assert_device_sees(&d, addr, LINE, 1);
	assert_device_sees(&d, addr + LINE, LINE, 2);
	dma_unmap_phys(d.dev, addr + LINE, LINE, DMA_TO_DEVICE, 0);
	dma_sync_single_for_device(d.dev, addr, LINE, DMA_TO_DEVICE);
	assert_device_sees(&d, addr, LINE, 2);

	/* What the device writes comes with unmap, as far as it was mapped. */
	assert_int_equal(dma_map_phys(d.dev, phys + PAGE, PAGE, DMA_FROM_DEVICE, 0), addr + PAGE);
	device_fills(&d, addr + PAGE, PAGE, 3);
	assert_holds(memory + PAGE, PAGE, 2);
	dma_unmap_phys(d.dev, addr + PAGE, LINE, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	assert_holds(memory + PAGE, PAGE, 2);
	dma_unmap_phys(d.dev, addr + PAGE, PAGE - LINE, DMA_FROM_DEVICE, 0);
	assert_holds(memory + PAGE, PAGE - LINE, 3);
	assert_holds(memory + 2 * PAGE - LINE, LINE, 2);
	dma_sync_single_for_cpu(d.dev, addr + 2 * PAGE - LINE, LINE, DMA_FROM_DEVICE);
	assert_holds(memory + 2 * PAGE - LINE, LINE, 3);

	/* Nothing that ends a region throws away what the CPU wrote meanwhile. */
	memset(memory, 4, 2 * PAGE);
	dma_clear_error();
	assert_int_equal(dma_map_phys(d.dev, phys + 3, 8, DMA_FROM_DEVICE, 0), DMA_MAPPING_ERROR);
	assert_non_null(strstr(dma_last_error(), "cache lines"));
	assert_int_equal(dma_map_phys(d.dev, phys + 3, 8, DMA_TO_DEVICE, 0), addr + 3);
	assert_int_equal(dma_map_phys(d.dev, phys, LINE, DMA_TO_DEVICE, DMA_ATTR_REQUIRE_COHERENT),
			 DMA_MAPPING_ERROR);
	assert_int_equal(dma_unpremap(d.dev, phys, 2 * PAGE), 0);
	assert_holds(memory, 2 * PAGE, 4);

	assert_int_equal(premap(&d, phys, LINE + 1, DMA_FROM_DEVICE, 0), -EPERM);
	assert_int_equal(premap(&d, phys, PAGE, DMA_TO_DEVICE, DMA_ATTR_REQUIRE_COHERENT),
			 -EOPNOTSUPP);
	card_register(&card, DMA_MEMORY_P2P, 7);
	assert_int_equal(premap(&d, card.base, PAGE, DMA_TO_DEVICE, 0), -EPERM);
	assert_int_equal(premap(&d, card.base, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO), 0);
	assert_int_equal(dma_unpremap(d.dev, card.base, PAGE), 0);
	assert_int_equal(dma_memory_unregister(card.base), 0);
	device_close(&d, 0);
	free(memory);
}

static void after_fork(void **state)
{
	struct device d = soft_open(state, ",map=ahead");
	uint8_t *memory = pages_new(2, 1);
	phys_addr_t phys = virt_to_phys(memory);
	int status;
	pid_t child;

	assert_int_equal(premap(&d, phys, PAGE, DMA_TO_DEVICE, 0), 0);
	child = fork();
	if (!child) {
		bool good = dma_premap(d.dev, phys + PAGE, PAGE, DMA_TO_DEVICE, 0, NULL) ==
				    -EPERM &&
			    dma_unpremap(d.dev, phys, PAGE) == -EPERM &&
			    dma_map_phys(d.dev, phys, 1, DMA_TO_DEVICE, 0) == DMA_MAPPING_ERROR &&
			    strstr(dma_last_error(), "fork");

		dma_dev_close(d.dev);
		_exit(good && !dma_leak_count() ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(dma_unpremap(d.dev, phys, PAGE), 0);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(arguments),		EACH_FORMAT(translations), EACH_FORMAT(overlaps),
		EACH_FORMAT(addresses_run_out), EACH_FORMAT(bouncing),	   EACH_FORMAT(noncoherent),
		EACH_FORMAT(after_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
