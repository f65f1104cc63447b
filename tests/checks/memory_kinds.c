/* SPDX-License-Identifier: MIT */
/* Memory that must not be mapped: stacks, code, nothing at all, RAM as MMIO. */
#include <pthread.h>

#include "calls.h"

static const _Alignas(PAGE) char constants[PAGE] = "what no device may have";

/* Whether memory was to be mapped, or linked. */
static bool with_link;

/* Give a device memory and take it back; the mistake is in first_map_phys() or first_link(). */
static void give(phys_addr_t phys, size_t size, unsigned long attrs)
{
	struct dma_iova_state s;
	dma_addr_t addr;

	if (with_link) {
		assert_true(third_try_alloc(d.dev, &s, phys, size));
		assert_int_equal(first_link(d.dev, &s, phys, 0, size, DMA_TO_DEVICE, attrs), 0);
		third_destroy(d.dev, &s, size, DMA_TO_DEVICE, attrs);
		return;
	}
	addr = first_map_phys(d.dev, phys, size, DMA_TO_DEVICE, attrs);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	third_unmap_phys(d.dev, addr, size, DMA_TO_DEVICE, attrs);
}

static void told(enum dma_debug_kind kind, phys_addr_t phys, size_t size)
{
	const struct kept *k =
		only(kind, with_link ? PLACE(first_link) : PLACE(first_map_phys), NOWHERE);

	assert_int_equal(k->report.phys, phys);
	assert_int_equal(k->report.size, size);
}

/* Below the caller's frame; a sanitizer may put plain variables elsewhere. */
static __attribute__((__noinline__)) phys_addr_t give_stack(void)
{
	char *buffer = __builtin_alloca(256);

	memset(buffer, 0, 256);
	give(virt_to_phys(buffer), 256, 0);
	__asm__ volatile("" : : "r"(buffer) : "memory");
	return virt_to_phys(buffer);
}

static void stack(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		with_link = i && translates();
		told(DMA_DEBUG_MAP_STACK, give_stack(), 256);
	}
}

static void *on_a_thread(void *arg)
{
	*(phys_addr_t *)arg = give_stack();
	return NULL;
}

static void stack_of_a_thread(void **state)
{
	phys_addr_t phys;
	pthread_t thread;

	(void)state;
	with_link = false;
	assert_int_equal(pthread_create(&thread, NULL, on_a_thread, &phys), 0);
	pthread_join(thread, NULL);
	told(DMA_DEBUG_MAP_STACK, phys, 256);
}

static void code_and_constants(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		with_link = i && translates();
		give(virt_to_phys(constants), 64, 0);
		told(DMA_DEBUG_MAP_TEXT, virt_to_phys(constants), 64);
		give(virt_to_phys(__start_place_first_link), 1, 0);
		told(DMA_DEBUG_MAP_TEXT, virt_to_phys(__start_place_first_link), 1);
	}
}

static void variables_are_fine(void **state)
{
	static char variable[64] = {1};
	char *heap = malloc(100);

	(void)state;
	for (int i = 0; i < 20; i++) {
		with_link = i & translates();
		give(virt_to_phys(variable), 64, 0);
		give(virt_to_phys(heap), 100, 0);
		give(phys_of(0), MEMORY_PAGES * PAGE, 0);
		silent();
	}
	free(heap);
}

/* Only a device that has the memory itself does without the CPU at this moment. */
static void no_memory_there(void **state)
{
	void *gone;

	(void)state;
	for (int i = 0; i < 2; i++) {
		with_link = i && translates();
		/* Once before, so that the library needs no memory there for itself. */
		give(phys_of(0), PAGE, 0);
		gone = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(gone, PAGE);
		wait_for_probe();
		give(virt_to_phys(gone), PAGE, 0);
		/* If it is looked for again at the end, it is still not there. */
		if (nr_kept == 2 && kept[1].report.kind == DMA_DEBUG_MEMORY_GONE)
			nr_kept = 1;
		told(DMA_DEBUG_MAP_INVALID, virt_to_phys(gone), PAGE);
	}
}

static void ram_as_mmio(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		with_link = i && translates();
		give(phys_of(0), PAGE, DMA_ATTR_MMIO);
		told(DMA_DEBUG_MAP_MMIO_RAM, phys_of(0), PAGE);
	}
	if (!translates())
		return;
	dma_addr_t addr = second_map_resource(d.dev, phys_of(1), 8, DMA_BIDIRECTIONAL, 0);
	only(DMA_DEBUG_MAP_MMIO_RAM, PLACE(second_map_resource), NOWHERE);
	assert_int_equal(dma_mapping_error(d.dev, addr), 0);
	third_unmap_resource(d.dev, addr, 8, DMA_BIDIRECTIONAL, 0);
}

static void registered_mmio_is_fine(void **state)
{
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = 2 * PAGE, .cpu = memory, .fd = -1};
	phys_addr_t base;

	(void)state;
	assert_int_equal(dma_memory_register(&desc, &base), 0);
	for (int i = 0; i < 2; i++) {
		with_link = i && translates();
		give(base, 2 * PAGE, DMA_ATTR_MMIO);
		silent();
	}
	assert_int_equal(dma_memory_unregister(base), 0);
}

/* In a vector the piece is told that is wrong, once for each kind of mistake. */
static void in_a_vector(void **state)
{
	struct dma_iova_state s = reserved(5 * PAGE);
	struct phys_vec vec[5];

	(void)state;
	for (size_t i = 0; i < COUNT(vec); i++)
		vec[i] = (struct phys_vec){i == 1 || i == 3 ? virt_to_phys(constants) : phys_of(i),
					   PAGE};
	assert_int_equal(second_link_vec(d.dev, &s, vec, 5, 0, DMA_TO_DEVICE, 0), 0);
	concerns(only(DMA_DEBUG_MAP_TEXT, PLACE(second_link_vec), NOWHERE), s.addr + PAGE, PAGE,
		 virt_to_phys(constants));
	destroyed(&s, 5, DMA_TO_DEVICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_DEVICE(stack),
		EACH_DEVICE(stack_of_a_thread),
		EACH_DEVICE(code_and_constants),
		EACH_DEVICE(variables_are_fine),
		ON(no_memory_there, "soft:pgtable=vtd-ss"),
		ON(no_memory_there, "soft:pgtable=x86-64"),
		ON(no_memory_there, "direct:"),
		ON(ram_as_mmio, "soft:pgtable=vtd-ss"),
		ON(ram_as_mmio, "soft:pgtable=x86-64"),
		ON(ram_as_mmio, "soft:untrusted"),
		ON(ram_as_mmio, "soft:coherent=off"),
		ON(ram_as_mmio, "direct:"),
		ON(registered_mmio_is_fine, "soft:pgtable=vtd-ss"),
		ON(registered_mmio_is_fine, "soft:coherent=off"),
		ON(registered_mmio_is_fine, "direct:"),
		EACH_SOFT(in_a_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
