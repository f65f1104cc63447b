/* SPDX-License-Identifier: MIT */
/* The bus as a device in software sees it: checks of arguments, then the backend's port. */
#include "backend/backend.h"

static int no_port(const char *what)
{
	return base_error(-EINVAL, "%s on the bus without a port: pass what dma_dev_port() gave",
			  what);
}

static int no_buffer(const char *what, size_t len)
{
	return base_error(-EINVAL,
			  "%s of %zu bytes on the bus without a buffer: pass one of that length",
			  what, len);
}

static int bad_size(const char *what, size_t size)
{
	return base_error(-EINVAL, "%s of %zu bytes on the bus: atomics have 4 or 8 bytes", what,
			  size);
}

int dma_bus_read(struct dma_port *port, dma_addr_t addr, void *buf, size_t len)
{
	if (unlikely(!port))
		return no_port("a read");
	if (unlikely(!len))
		return 0;
	if (unlikely(!buf))
		return no_buffer("a read", len);
	return port->ops->read(port, addr, buf, len);
}

int dma_bus_write(struct dma_port *port, dma_addr_t addr, const void *buf, size_t len)
{
	if (unlikely(!port))
		return no_port("a write");
	if (unlikely(!len))
		return 0;
	if (unlikely(!buf))
		return no_buffer("a write", len);
	return port->ops->write(port, addr, buf, len);
}

int dma_bus_cmpxchg(struct dma_port *port, dma_addr_t addr, size_t size, void *expected,
		    const void *desired)
{
	if (unlikely(!port))
		return no_port("a compare and exchange");
	if (unlikely(size != 4 && size != 8))
		return bad_size("a compare and exchange", size);
	if (unlikely(!expected || !desired))
		return no_buffer("a compare and exchange", size);
	return port->ops->cmpxchg(port, addr, size, expected, desired);
}

int dma_bus_fetch_add(struct dma_port *port, dma_addr_t addr, size_t size, uint64_t add,
		      uint64_t *old)
{
	if (unlikely(!port))
		return no_port("an addition");
	if (unlikely(size != 4 && size != 8))
		return bad_size("an addition", size);
	return port->ops->fetch_add(port, addr, size, add, old);
}

static int forked(void)
{
	return base_error(-EPERM,
			  "the port belongs to a device that was opened before fork(), and so "
			  "to the parent process; open a device of your own in the child");
}

static int forked_read(struct dma_port *port, dma_addr_t addr, void *buf, size_t len)
{
	(void)port, (void)addr, (void)buf, (void)len;
	return forked();
}

static int forked_write(struct dma_port *port, dma_addr_t addr, const void *buf, size_t len)
{
	(void)port, (void)addr, (void)buf, (void)len;
	return forked();
}

static int forked_cmpxchg(struct dma_port *port, dma_addr_t addr, size_t size, void *expected,
			  const void *desired)
{
	(void)port, (void)addr, (void)size, (void)expected, (void)desired;
	return forked();
}

static int forked_fetch_add(struct dma_port *port, dma_addr_t addr, size_t size, uint64_t add,
			    uint64_t *old)
{
	(void)port, (void)addr, (void)size, (void)add, (void)old;
	return forked();
}

static void forked_stats(struct dma_port *port, struct dma_port_stats *stats)
{
	(void)port, (void)stats;
}

const struct port_ops bus_forked_port_ops = {
	.read = forked_read,
	.write = forked_write,
	.cmpxchg = forked_cmpxchg,
	.fetch_add = forked_fetch_add,
	.stats = forked_stats,
};

void dma_port_stats(struct dma_port *port, struct dma_port_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (port)
		port->ops->stats(port, stats);
}

const char *dma_fault_reason_name(enum dma_fault_reason reason)
{
	switch (reason) {
	case DMA_FAULT_NOT_PRESENT:
		return "not present";
	case DMA_FAULT_PERMISSION:
		return "permission";
	case DMA_FAULT_ADDRESS:
		return "address";
	case DMA_FAULT_TABLE:
		return "table";
	case DMA_FAULT_MEMORY:
		return "memory";
	case DMA_FAULT_MISALIGNED:
		return "misaligned";
	case DMA_FAULT_PEER:
		return "no way to the peer";
	}
	return "unknown";
}
