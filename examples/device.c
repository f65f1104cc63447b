/* SPDX-License-Identifier: MIT */
/* A device in software that adds up words, and the driver that lets it. */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <twostep.h>
#include <twostep/bus.h>

enum { IDLE, GO, QUIT };

/* The device. A driver on hardware would write these registers through a BAR. */
struct adder {
	struct dma_port *port;
	dma_addr_t addr; /* the sum goes here; the words follow */
	uint64_t count;
	uint32_t doorbell; /* atomic */
};

static void add(struct adder *adder)
{
	uint64_t sum = 0, word;

	for (uint64_t i = 1; i <= adder->count; i++) {
		if (dma_bus_read(adder->port, adder->addr + 8 * i, &word, 8))
			return; /* refused; the space's fault log and handler know */
		sum += word;
	}
	dma_bus_write(adder->port, adder->addr, &sum, 8);
}

static void *adder_main(void *arg)
{
	struct adder *adder = arg;
	uint32_t bell;

	while ((bell = __atomic_load_n(&adder->doorbell, __ATOMIC_ACQUIRE)) != QUIT) {
		if (bell == GO) {
			add(adder);
			__atomic_store_n(&adder->doorbell, IDLE, __ATOMIC_RELEASE);
		}
		sched_yield();
	}
	return NULL;
}

/* The driver. */
static void run(struct adder *adder)
{
	__atomic_store_n(&adder->doorbell, GO, __ATOMIC_RELEASE);
	while (__atomic_load_n(&adder->doorbell, __ATOMIC_ACQUIRE) != IDLE)
		sched_yield();
}

static void tell_fault(const struct dma_fault *fault, void *arg)
{
	(void)arg;
	printf("the device was refused a %s: %s\n", fault->write ? "write" : "read",
	       dma_fault_reason_name(fault->reason));
}

int main(void)
{
	static uint64_t words[] = {0, 1, 20, 300};
	struct adder adder = {.count = 3};
	struct dma_dev *dev;
	pthread_t thread;

	if (dma_dev_open("soft:", &dev) || dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64)) ||
	    dma_space_set_fault_handler(dma_dev_space(dev), tell_fault, NULL))
		goto failed;
	adder.addr = dma_map_single(dev, words, sizeof(words), DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, adder.addr))
		goto failed;
	adder.port = dma_dev_port(dev);
	if (pthread_create(&thread, NULL, adder_main, &adder))
		return 1;
	run(&adder);
	dma_unmap_single(dev, adder.addr, sizeof(words), DMA_BIDIRECTIONAL);
	printf("the sum is %" PRIu64 "\n", words[0]);
	run(&adder); /* a mistake: nothing is mapped any more */
	__atomic_store_n(&adder.doorbell, QUIT, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	dma_dev_close(dev);
	return 0;

failed:
	fprintf(stderr, "%s\n", dma_last_error());
	return 1;
}
