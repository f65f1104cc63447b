/* SPDX-License-Identifier: MIT */
/* Ports of a direct space: transfers, and waiting for them. */
#include <inttypes.h>
#include <sched.h>

#include "backend/guard.h"
#include "backend/direct/port.h"
#include "memory/memory.h"

static struct direct_port *port_of(struct dma_port *port)
{
	return container_of(port, struct direct_port, port);
}

/* The fence orders the count before the transfer's look-ups, against hiding and draining. */
static uint32_t transfer_begin(struct direct_port *port)
{
	uint32_t phase = __atomic_load_n(&port->phase, __ATOMIC_SEQ_CST);

	__atomic_fetch_add(&port->in_flight[phase], 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return phase;
}

static void transfer_end(struct direct_port *port, uint32_t phase)
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

static void tell_fault(struct base_observer *observer, const struct dma_fault *fault)
{
	struct dma_fault stamped = *fault;

	stamped.time_ns = fault_log_now();
	observer->ops->faulted(observer, &stamped);
}

static const char *refusal_text(enum dma_fault_reason reason)
{
	switch (reason) {
	case DMA_FAULT_MISALIGNED:
		return "an atomic must be aligned to its size";
	case DMA_FAULT_PEER:
		return "no bridge leads to the peer whose memory is there";
	default:
		return "no memory that may be accessed so is there";
	}
}

/* End the transfer with a refusal of [addr, addr + len). */
static __cold int refuse(struct direct_port *port, uint32_t phase, enum dma_fault_reason reason,
			 bool write, dma_addr_t addr, size_t len)
{
	const struct dma_fault fault = {
		.device = port->port.number,
		.reason = reason,
		.write = write,
		.addr = addr,
		.len = len,
	};
	struct direct *direct = port->direct;

	counter_add_shared(&port->faults, 1);
	transfer_end(port, phase);
	if (unlikely(direct->be.observer))
		tell_fault(direct->be.observer, &fault);
	fault_log_report(&direct->log, &fault);
	return base_error(-EFAULT,
			  "device %u, %s of %zu bytes at DMA address 0x%" PRIx64 ": refused, %s; "
			  "give the device an address that was mapped for it",
			  fault.device, write ? "a write" : "a read", len, addr,
			  refusal_text(reason));
}

/* Where a peer's memory is that a switch routes @addr to, else @addr; false: it is dropped. */
static bool route(const struct direct_port *port, dma_addr_t addr, phys_addr_t *phys)
{
	const struct peer_routes *routes = __atomic_load_n(&port->routes, __ATOMIC_SEQ_CST);

	*phys = addr;
	if (likely(!routes) || routes_by_bus(routes, addr, phys))
		return true;
	return !memory_in_arena(addr) || !routes_drop(routes, addr);
}

/*
 * How much of the transfer goes in one batch: part of one kind of memory. Of a device
 * with peers, any granule may be somebody else's.
 */
static size_t batch_size(const struct direct_port *port, dma_addr_t addr, size_t len)
{
	bool single = memory_in_arena(addr) ||
		      unlikely(__atomic_load_n(&port->routes, __ATOMIC_SEQ_CST));
	size_t size = (single ? 1 : GUARD_BATCH_PAGES) * GUARD_PAGE;

	size -= addr & (GUARD_PAGE - 1);
	return size < len ? size : len;
}

static size_t batch_read(dma_addr_t addr, void *buf, size_t len)
{
	if (memory_in_arena(addr))
		return memory_bus_read(addr, buf, len) ? 0 : len;
	return guard_read(addr, buf, len);
}

static size_t batch_write(dma_addr_t addr, const void *buf, size_t len)
{
	if (memory_in_arena(addr))
		return memory_bus_write(addr, buf, len) ? 0 : len;
	return guard_write(addr, buf, len);
}

static int port_read(struct dma_port *dma_port, dma_addr_t addr, void *buf, size_t len)
{
	struct direct_port *port = port_of(dma_port);
	uint32_t phase = transfer_begin(port);
	size_t done = 0;
	phys_addr_t phys;
	size_t copied;

	do {
		size_t part = batch_size(port, addr + done, len - done);

		if (!route(port, addr + done, &phys))
			return refuse(port, phase, DMA_FAULT_PEER, false, addr + done, len - done);
		copied = batch_read(phys, (char *)buf + done, part);
		counter_add_shared(&port->reads, copied);
		done += copied;
	} while (copied && done < len);
	if (done < len)
		return refuse(port, phase, DMA_FAULT_MEMORY, false, addr + done, len - done);
	transfer_end(port, phase);
	return 0;
}

static int port_write(struct dma_port *dma_port, dma_addr_t addr, const void *buf, size_t len)
{
	struct direct_port *port = port_of(dma_port);
	uint32_t phase = transfer_begin(port);
	size_t done = 0;
	phys_addr_t phys;
	size_t copied;

	do {
		size_t part = batch_size(port, addr + done, len - done);

		if (!route(port, addr + done, &phys))
			return refuse(port, phase, DMA_FAULT_PEER, true, addr + done, len - done);
		copied = batch_write(phys, (const char *)buf + done, part);
		counter_add_shared(&port->writes, copied);
		done += copied;
	} while (copied && done < len);
	if (done < len)
		return refuse(port, phase, DMA_FAULT_MEMORY, true, addr + done, len - done);
	transfer_end(port, phase);
	return 0;
}

/* Where an atomic operation may be made, or NULL. */
static void *atomic_place(dma_addr_t addr, size_t size)
{
	if (memory_in_arena(addr))
		return memory_bus_pointer(addr, size);
	return guard_probe(addr, true) ? (void *)addr : NULL;
}

static void count_atomic(struct direct_port *port, size_t size)
{
	counter_add_shared(&port->reads, size);
	counter_add_shared(&port->writes, size);
}

/* Begins the transfer. NULL: it has ended with a fault. */
static void *atomic_begin(struct direct_port *port, dma_addr_t addr, size_t size, uint32_t *phase)
{
	phys_addr_t phys;
	void *place;

	*phase = transfer_begin(port);
	if (addr & (size - 1)) {
		refuse(port, *phase, DMA_FAULT_MISALIGNED, true, addr, size);
		return NULL;
	}
	if (!route(port, addr, &phys)) {
		refuse(port, *phase, DMA_FAULT_PEER, true, addr, size);
		return NULL;
	}
	place = atomic_place(phys, size);
	if (!place)
		refuse(port, *phase, DMA_FAULT_MEMORY, true, addr, size);
	else
		count_atomic(port, size);
	return place;
}

static int port_cmpxchg(struct dma_port *dma_port, dma_addr_t addr, size_t size, void *expected,
			const void *desired)
{
	struct direct_port *port = port_of(dma_port);
	uint32_t phase;
	void *place = atomic_begin(port, addr, size, &phase);
	int stored;

	if (!place)
		return -EFAULT;
	stored = memory_cmpxchg(place, size, expected, desired);
	transfer_end(port, phase);
	return stored;
}

static int port_fetch_add(struct dma_port *dma_port, dma_addr_t addr, size_t size, uint64_t add,
			  uint64_t *old)
{
	struct direct_port *port = port_of(dma_port);
	uint32_t phase;
	void *place = atomic_begin(port, addr, size, &phase);
	uint64_t was;

	if (!place)
		return -EFAULT;
	was = memory_fetch_add(place, size, add);
	if (old)
		*old = was;
	transfer_end(port, phase);
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
		return base_error(-ENOMEM,
				  "opening a port of a direct space: no memory for %zu bytes; free "
				  "some",
				  sizeof(*open));
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

void direct_port_set_routes(struct backend *be, struct dma_port *dma_port,
			    const struct peer_routes *routes)
{
	struct direct *direct = direct_of(be);
	struct direct_port *port = port_of(dma_port);

	pthread_mutex_lock(&direct->lock);
	__atomic_store_n(&port->routes, routes, __ATOMIC_SEQ_CST);
	drain_port(port);
	pthread_mutex_unlock(&direct->lock);
}

void direct_ports_free(struct direct *direct)
{
	struct direct_port *port = direct->ports;

	while (port) {
		struct direct_port *next = port->next;

		base_free(port);
		port = next;
	}
}
