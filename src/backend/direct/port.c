/* SPDX-License-Identifier: MIT */
/* Ports of a direct space: transfers, and waiting for them. */
#include <inttypes.h>
#include <sched.h>

#include "backend/direct/access.h"
#include "backend/direct/port.h"
#include "memory/memory.h"

static struct direct_port *port_of(struct dma_port *port)
{
	return container_of(port, struct direct_port, port);
}

/* The fence orders the count before the look-ups of the batch, against hide and drain. */
static uint32_t batch_begin(struct direct_port *port)
{
	uint32_t phase = __atomic_load_n(&port->phase, __ATOMIC_SEQ_CST);

	__atomic_fetch_add(&port->in_flight[phase], 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return phase;
}

static void batch_end(struct direct_port *port, uint32_t phase)
{
	__atomic_fetch_sub(&port->in_flight[phase], 1, __ATOMIC_RELEASE);
}

static void drain_port(struct direct_port *port)
{
	uint32_t former;

	for (int turn = 0; turn < 2; turn++) {
		former = __atomic_fetch_xor(&port->phase, 1, __ATOMIC_SEQ_CST);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		while (__atomic_load_n(&port->in_flight[former], __ATOMIC_SEQ_CST))
			sched_yield();
	}
}

void direct_drain(struct backend *be)
{
	struct direct *direct = direct_of(be);
	struct direct_port *port;

	pthread_mutex_lock(&direct->lock);
	for (port = direct->ports; port; port = port->next)
		drain_port(port);
	pthread_mutex_unlock(&direct->lock);
}

/* Log and count a refusal of [addr, addr + len); the transfer's batch has ended. */
static __cold int refuse(struct direct_port *port, enum dma_fault_reason reason, bool write,
			 dma_addr_t addr, size_t len)
{
	const struct dma_fault fault = {
		.device = port->port.number, .reason = reason, .write = write, .addr = addr, .len = len,
	};

	counter_add_shared(&port->faults, 1);
	fault_log_report(&port->direct->log, &fault);
	return base_error(-EFAULT, "device %u, %s of %zu bytes at DMA address 0x%" PRIx64 ": refused, %s; "
			  "give the device an address that was mapped for it", port->port.number,
			  write ? "a write" : "a read", len, addr,
			  reason == DMA_FAULT_MISALIGNED ? "an atomic must be aligned to its size" :
							   "no memory that may be accessed so is there");
}

/* How much of the transfer goes in one batch: part of one kind of memory. */
static size_t batch_size(dma_addr_t addr, size_t len)
{
	size_t size = (memory_in_arena(addr) ? 1 : DIRECT_BATCH_PAGES) * DIRECT_PAGE;

	size -= addr & (DIRECT_PAGE - 1);
	return size < len ? size : len;
}

static size_t batch_read(dma_addr_t addr, void *buf, size_t len)
{
	if (memory_in_arena(addr))
		return memory_bus_read(addr, buf, len) ? 0 : len;
	return direct_read(addr, buf, len);
}

static size_t batch_write(dma_addr_t addr, const void *buf, size_t len)
{
	if (memory_in_arena(addr))
		return memory_bus_write(addr, buf, len) ? 0 : len;
	return direct_write(addr, buf, len);
}

static int port_read(struct dma_port *dma_port, dma_addr_t addr, void *buf, size_t len)
{
	struct direct_port *port = port_of(dma_port);
	size_t done = 0;
	size_t size;
	size_t copied;
	uint32_t phase;

	while (done < len) {
		size = batch_size(addr + done, len - done);
		phase = batch_begin(port);
		copied = batch_read(addr + done, (char *)buf + done, size);
		batch_end(port, phase);
		counter_add_shared(&port->reads, copied);
		done += copied;
		if (!copied)
			return refuse(port, DMA_FAULT_MEMORY, false, addr + done, len - done);
	}
	return 0;
}

static int port_write(struct dma_port *dma_port, dma_addr_t addr, const void *buf, size_t len)
{
	struct direct_port *port = port_of(dma_port);
	size_t done = 0;
	size_t size;
	size_t copied;
	uint32_t phase;

	while (done < len) {
		size = batch_size(addr + done, len - done);
		phase = batch_begin(port);
		copied = batch_write(addr + done, (const char *)buf + done, size);
		batch_end(port, phase);
		counter_add_shared(&port->writes, copied);
		done += copied;
		if (!copied)
			return refuse(port, DMA_FAULT_MEMORY, true, addr + done, len - done);
	}
	return 0;
}

/* Where an atomic operation may be made, or NULL. */
static void *atomic_place(dma_addr_t addr, size_t size)
{
	if (memory_in_arena(addr))
		return memory_bus_pointer(addr, size);
	return direct_probe(addr, true) ? (void *)addr : NULL;
}

static void count_atomic(struct direct_port *port, size_t size)
{
	counter_add_shared(&port->reads, size);
	counter_add_shared(&port->writes, size);
}

static int port_cmpxchg(struct dma_port *dma_port, dma_addr_t addr, size_t size, void *expected,
			const void *desired)
{
	struct direct_port *port = port_of(dma_port);
	uint32_t phase;
	void *place;
	int stored = 0;

	if (addr & (size - 1))
		return refuse(port, DMA_FAULT_MISALIGNED, true, addr, size);
	phase = batch_begin(port);
	place = atomic_place(addr, size);
	if (place)
		stored = memory_cmpxchg(place, size, expected, desired);
	batch_end(port, phase);
	if (!place)
		return refuse(port, DMA_FAULT_MEMORY, true, addr, size);
	count_atomic(port, size);
	return stored;
}

static int port_fetch_add(struct dma_port *dma_port, dma_addr_t addr, size_t size, uint64_t add,
			  uint64_t *old)
{
	struct direct_port *port = port_of(dma_port);
	uint64_t was = 0;
	uint32_t phase;
	void *place;

	if (addr & (size - 1))
		return refuse(port, DMA_FAULT_MISALIGNED, true, addr, size);
	phase = batch_begin(port);
	place = atomic_place(addr, size);
	if (place)
		was = memory_fetch_add(place, size, add);
	batch_end(port, phase);
	if (!place)
		return refuse(port, DMA_FAULT_MEMORY, true, addr, size);
	count_atomic(port, size);
	if (old)
		*old = was;
	return 0;
}

static void port_stats(struct dma_port *dma_port, struct dma_port_stats *stats)
{
	struct direct_port *port = port_of(dma_port);

	stats->reads = counter_read(&port->reads);
	stats->writes = counter_read(&port->writes);
	stats->faults = counter_read(&port->faults);
}

static const struct port_ops direct_port_ops = {
	.read = port_read,
	.write = port_write,
	.cmpxchg = port_cmpxchg,
	.fetch_add = port_fetch_add,
	.stats = port_stats,
};

/* There is no IOTLB, so the options say nothing here. */
int direct_port_open(struct backend *be, const struct port_options *options, uint32_t number,
		     struct dma_port **port)
{
	struct direct *direct = direct_of(be);
	struct direct_port *open = base_zalloc_aligned(sizeof(*open), 64);

	(void)options;
	if (!open)
		return base_error(-ENOMEM, "opening a port of a direct space: no memory for %zu bytes; free "
				  "some", sizeof(*open));
	open->port.ops = &direct_port_ops;
	open->port.number = number;
	open->direct = direct;
	pthread_mutex_lock(&direct->lock);
	open->next = direct->ports;
	direct->ports = open;
	pthread_mutex_unlock(&direct->lock);
	*port = &open->port;
	return 0;
}

void direct_port_close(struct backend *be, struct dma_port *port)
{
	struct direct *direct = direct_of(be);
	struct direct_port *closed = port_of(port);
	struct direct_port **link;

	pthread_mutex_lock(&direct->lock);
	for (link = &direct->ports; *link != closed; link = &(*link)->next)
		;
	*link = closed->next;
	drain_port(closed);
	pthread_mutex_unlock(&direct->lock);
	base_free(closed);
}
