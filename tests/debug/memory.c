/* SPDX-License-Identifier: MIT */
/* Memory that must not be mapped, and memory that goes while it is. */
#include <dlfcn.h>
#include <pthread.h>
#include <ucontext.h>

#include <twostep/memory.h>

#include "../slow.h"
#include "checks.h"

#define ADDR 0xfff00000ULL

static const char constants[64] = "constants of this program, which no device may have";

/* Below the caller's frame; a sanitizer may put plain variables elsewhere. */
__attribute__((__noinline__)) static void map_stack(void)
{
	char *buffer = __builtin_alloca(256);

	memset(buffer, 0, 256);
	map(SITE(1), ADDR, (phys_addr_t)(uintptr_t)buffer, 256, DMA_TO_DEVICE);
	unmap(SITE(2), ADDR, 256, DMA_TO_DEVICE);
	__asm__ volatile("" : : "r"(buffer) : "memory");
}

static void stack(void **state)
{
	(void)state;
	map_stack();
	only(DMA_DEBUG_MAP_STACK, SITE(1), NULL);
}

static void *on_a_thread(void *arg)
{
	(void)arg;
	/* Memory that is good does not make a stack good that lies near. */
	for (int i = 0; i < 3; i++) {
		map(SITE(3), ADDR, phys_of(0), PAGE, DMA_TO_DEVICE);
		unmap(SITE(4), ADDR, PAGE, DMA_TO_DEVICE);
	}
	map_stack();
	return NULL;
}

static void stack_of_a_thread(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, on_a_thread, NULL), 0);
	pthread_join(thread, NULL);
	only(DMA_DEBUG_MAP_STACK, SITE(1), NULL);
}

/* Stacks that the program made itself are memory like any other. */
static ucontext_t here, there;

static void on_another_stack(void)
{
	map(SITE(1), ADDR, phys_of(0), PAGE, DMA_TO_DEVICE);
	unmap(SITE(2), ADDR, PAGE, DMA_TO_DEVICE);
	map(SITE(1), ADDR, phys_of(MEMORY_PAGES - 1), PAGE, DMA_TO_DEVICE);
	unmap(SITE(2), ADDR, PAGE, DMA_TO_DEVICE);
}

static void stack_of_a_coroutine(void **state)
{
	size_t size = 1 << 18;
	char *stack_memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	/* Sanitizers would have to be told of each switch. */
	if (SLOW > 1)
		skip();
	assert_int_equal(getcontext(&there), 0);
	there.uc_stack.ss_sp = stack_memory;
	there.uc_stack.ss_size = size;
	there.uc_link = &here;
	makecontext(&there, on_another_stack, 0);
	assert_int_equal(swapcontext(&here, &there), 0);
	munmap(stack_memory, size);
	silent();
}

static void text(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, PAGE);
	const struct phys_vec vec = {(phys_addr_t)(uintptr_t)constants, sizeof(constants)};

	(void)state;
	map(SITE(1), ADDR + 8 * PAGE, (phys_addr_t)(uintptr_t)constants, 16, DMA_TO_DEVICE);
	only(DMA_DEBUG_MAP_TEXT, SITE(1), NULL);
	unmap(SITE(2), ADDR + 8 * PAGE, 16, DMA_TO_DEVICE);
	map(SITE(1), ADDR + 8 * PAGE, (phys_addr_t)(uintptr_t)text, 1, DMA_TO_DEVICE);
	only(DMA_DEBUG_MAP_TEXT, SITE(1), NULL);
	unmap(SITE(2), ADDR + 8 * PAGE, 1, DMA_TO_DEVICE);
	map(SITE(1), ADDR + 8 * PAGE, (phys_addr_t)(uintptr_t)puts, 1, DMA_TO_DEVICE);
	only(DMA_DEBUG_MAP_TEXT, SITE(1), NULL);
	unmap(SITE(2), ADDR + 8 * PAGE, 1, DMA_TO_DEVICE);
	hook(linked, SITE(3), DEV, &s, 0, &vec, 1, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_MAP_TEXT, SITE(3), NULL);
	destroy(SITE(4), &s, sizeof(constants), DMA_TO_DEVICE);
	silent();
}

/* Objects come and go after the list of them was made. */
static void text_that_comes_and_goes(void **state)
{
	void *object = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL);
	void *code = object ? dlsym(object, "ns_initparse") : NULL;
	Dl_info info;
	char *page;

	(void)state;
	if (!code || !dladdr(code, &info) ||
	    dlopen("libresolv.so.2", RTLD_NOLOAD | RTLD_NOW) == NULL)
		skip();
	dlclose(object);
	page = (char *)((uintptr_t)code & ~(PAGE - 1));
	assert_int_equal(debug_check(observer), 0);
	map(SITE(1), ADDR, (phys_addr_t)(uintptr_t)page, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_MAP_TEXT, SITE(1), NULL);
	unmap(SITE(2), ADDR, PAGE, DMA_TO_DEVICE);
	dlclose(object);
	if (mmap(page, PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != page)
		skip();
	map(SITE(1), ADDR, (phys_addr_t)(uintptr_t)page, PAGE, DMA_TO_DEVICE);
	unmap(SITE(2), ADDR, PAGE, DMA_TO_DEVICE);
	munmap(page, PAGE);
	silent();
}

static void variables_are_fine(void **state)
{
	static char variable[64] = {1};
	char *heap = malloc(100);

	(void)state;
	for (int i = 0; i < 3; i++) {
		map(SITE(1), ADDR, (phys_addr_t)(uintptr_t)variable, 64, DMA_TO_DEVICE);
		unmap(SITE(2), ADDR, 64, DMA_TO_DEVICE);
		map(SITE(1), ADDR, (phys_addr_t)(uintptr_t)heap, 100, DMA_TO_DEVICE);
		unmap(SITE(2), ADDR, 100, DMA_TO_DEVICE);
	}
	free(heap);
	silent();
}

static void vectors_with_bad_pieces(void **state)
{
	struct dma_iova_state s = reserve(SITE(1), ADDR, 16 * PAGE);
	phys_addr_t code = (phys_addr_t)(uintptr_t)constants & ~(PAGE - 1);
	struct phys_vec vec[5];

	(void)state;
	for (size_t i = 0; i < 5; i++)
		vec[i] = (struct phys_vec){i == 1 || i == 3 ? code : phys_of(i), PAGE};
	hook(linked, SITE(2), DEV, &s, 0, vec, 5, DMA_TO_DEVICE, 0);
	assert_int_equal(only(DMA_DEBUG_MAP_TEXT, SITE(2), NULL)->report.addr, ADDR + PAGE);
	destroy(SITE(3), &s, 5 * PAGE, DMA_TO_DEVICE);
	silent();
}

static void invalid(void **state)
{
	(void)state;
	wait_for_probe();
	map(SITE(1), ADDR, 0x10000, 64, DMA_TO_DEVICE);
	only(DMA_DEBUG_MAP_INVALID, SITE(1), NULL);
	unmap(SITE(2), ADDR, 64, DMA_TO_DEVICE);
}

static void mmio(void **state)
{
	void *cpu = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO,
		.size = PAGE,
		.cpu = cpu,
		.fd = -1,
	};
	struct phys_vec vec = {phys_of(0), PAGE};
	struct dma_iova_state s;
	phys_addr_t base;

	(void)state;
	hook(mapped, SITE(1), DEV, ADDR, phys_of(0), PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	hook(checked, DEV, ADDR);
	only(DMA_DEBUG_MAP_MMIO_RAM, SITE(1), NULL);
	hook(unmapping, SITE(2), DEV, ADDR, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	s = reserve(SITE(3), ADDR, PAGE);
	hook(linked, SITE(4), DEV, &s, 0, &vec, 1, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	only(DMA_DEBUG_MAP_MMIO_RAM, SITE(4), NULL);
	hook(unlinking, SITE(5), DEV, &s, 0, PAGE, DMA_TO_DEVICE, DMA_ATTR_MMIO);

	assert_int_equal(dma_memory_register(&desc, &base), 0);
	vec.paddr = base;
	wait_for_probe();
	hook(linked, SITE(4), DEV, &s, 0, &vec, 1, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	silent();
	munmap(cpu, PAGE);
	wait_for_probe();
	hook(freeing, SITE(5), DEV, &s, PAGE, true, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	only(DMA_DEBUG_MEMORY_GONE, SITE(5), SITE(4));
	assert_int_equal(dma_memory_unregister(base), 0);
}

static void gone(void **state)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct phys_vec vec = {(phys_addr_t)(uintptr_t)page, PAGE};
	struct dma_iova_state s = reserve(SITE(1), ADDR, PAGE);

	(void)state;
	map(SITE(2), ADDR + PAGE, vec.paddr, PAGE, DMA_TO_DEVICE);
	hook(linked, SITE(3), DEV, &s, 0, &vec, 1, DMA_TO_DEVICE, 0);
	silent();
	munmap(page, PAGE);
	assert_int_equal(debug_check(observer), 4);
	assert_int_equal(nr_kept, 4);
	assert_int_equal(among(DMA_DEBUG_MEMORY_GONE)->report.phys, vec.paddr);
	nr_kept = 0;
	wait_for_probe();
	unmap(SITE(4), ADDR + PAGE, PAGE, DMA_TO_DEVICE);
	only(DMA_DEBUG_MEMORY_GONE, SITE(4), SITE(2));
	wait_for_probe();
	hook(unlinking, SITE(5), DEV, &s, 0, PAGE, DMA_TO_DEVICE, 0);
	only(DMA_DEBUG_MEMORY_GONE, SITE(5), SITE(3));
	free_state(SITE(6), &s);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(stack),
		test(stack_of_a_thread),
		test(stack_of_a_coroutine),
		test(text),
		test(text_that_comes_and_goes),
		test(variables_are_fine),
		test(vectors_with_bad_pieces),
		test(invalid),
		test(mmio),
		test(gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
