/* SPDX-License-Identifier: MIT */
/*
 * A program that loads the library at run time: its thread-local data fits, and a
 * thread that used it may end after the library was let go.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SYMBOL(handle, name) (*(void **)&(name) = dlsym(handle, #name))

static int (*dma_dev_open)(const char *uri, void **dev);
static uint64_t (*dma_map_phys)(void *dev, uint64_t phys, size_t size, int dir,
				unsigned long attrs);
static uint64_t (*dma_virt_to_phys)(const volatile void *ptr);
static void (*dma_dev_close)(void *dev);

static pthread_barrier_t used;
static pthread_barrier_t closed;
static bool failed;

static void *use(void *library)
{
	static char buffer[4096];
	void *dev;

	if (!SYMBOL(library, dma_dev_open) || !SYMBOL(library, dma_map_phys) ||
	    !SYMBOL(library, dma_virt_to_phys) || !SYMBOL(library, dma_dev_close) ||
	    dma_dev_open("soft:copy", &dev))
		failed = true;
	else {
		failed = dma_map_phys(dev, dma_virt_to_phys(buffer), 1, 1, 0) == UINT64_MAX;
		dma_dev_close(dev);
	}
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&closed);
	return NULL;
}

int main(int argc, char **argv)
{
	void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	pthread_t thread;

	if (!library) {
		fprintf(stderr, "cannot load the library: %s\n", argc == 2 ? dlerror() : "no name");
		return 1;
	}
	pthread_barrier_init(&used, NULL, 2);
	pthread_barrier_init(&closed, NULL, 2);
	if (pthread_create(&thread, NULL, use, library))
		return 1;
	pthread_barrier_wait(&used);
	dlclose(library);
	pthread_barrier_wait(&closed);
	pthread_join(thread, NULL);
	return failed;
}
