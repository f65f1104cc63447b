/* SPDX-License-Identifier: MIT */
/* What a device does on its port: read, write, atomics. */
#include "backend/guard.h"
#include "backend/soft/section.h"
#include "backend/soft/space.h"
#include "memory/memory.h"

/* Why a section was refused: an enum dma_fault_reason, or 0. */
typedef unsigned int refusal_t;

static refusal_t walk_refusal(enum pgt_walk_result result)
{
	switch (result) {
	case PGT_WALK_OK:
		return 0;
	case PGT_WALK_NOT_PRESENT:
		return DMA_FAULT_NOT_PRESENT;
	case PGT_WALK_ADDRESS:
		return DMA_FAULT_ADDRESS;
	case PGT_WALK_TABLE:
		break;
	}
	return DMA_FAULT_TABLE;
}

/* Translate by the page table, record the access there, and cache what was found. */
static __attribute__((__noinline__)) refusal_t walk(struct soft_space *space, struct lane *lane,
						    dma_addr_t addr, unsigned int access,
						    phys_addr_t *phys)
{
	bool write = access & PGT_WRITE;
	struct pgt_leaf leaf;

	do {
		enum pgt_walk_result result = pgt_walk(&space->pt, addr, &leaf);

		if (unlikely(result != PGT_WALK_OK)) {
			if (result == PGT_WALK_NOT_PRESENT && space->base.needs_sync)
				iotlb_fill(lane->iotlb, addr, PGT_PAGE_SHIFT, IOTLB_ABSENT);
			return walk_refusal(result);
		}
		if (unlikely((leaf.access & access) != access))
			return DMA_FAULT_PERMISSION;
	} while (unlikely(!pgt_mark_access(&space->pt, &leaf, write)));

	iotlb_fill(lane->iotlb, addr, leaf.shift,
		   leaf.phys | leaf.access | (write || leaf.dirty ? IOTLB_DIRTY : 0));
	counter_add(&lane->misses, 1);
	lane->walked = true;
	*phys = leaf.phys + (addr & ((1ULL << leaf.shift) - 1));
	return 0;
}

static __always_inline refusal_t translate(struct soft_space *space, struct lane *lane,
					   dma_addr_t addr, unsigned int access, phys_addr_t *phys)
{
	uint64_t need = access | (access & PGT_WRITE ? IOTLB_DIRTY : 0);
	unsigned int shift;
	const uint64_t *entry = iotlb_find(lane->iotlb, addr, &shift);

	if (unlikely(!entry))
		return walk(space, lane, addr, access, phys);
	if (unlikely((*entry & need) != need)) {
		if (*entry & IOTLB_ABSENT)
			return DMA_FAULT_NOT_PRESENT;
		if ((*entry & access) != access)
			return DMA_FAULT_PERMISSION;
		/* The first write through this entry: the page table must learn of it. */
		return walk(space, lane, addr, access, phys);
	}
	counter_add(&lane->hits, 1);
	*phys = (*entry & ~IOTLB_FLAGS) + (addr & ((1ULL << shift) - 1));
	return 0;
}

/*
 * As translate(), of an odd port: what a switch routes to a peer does not come to the
 * IOMMU, and what comes through it may be a peer's memory that no bridge leads to.
 */
static __cold refusal_t reach_odd(const struct soft_port *port, struct lane *lane, dma_addr_t addr,
				  unsigned int access, phys_addr_t *phys)
{
	const struct peer_routes *routes = __atomic_load_n(&port->routes, __ATOMIC_SEQ_CST);
	refusal_t refusal;

	if (routes && routes_by_bus(routes, addr, phys))
		return 0;
	refusal = translate(port->space, lane, addr, access, phys);
	if (!refusal && routes && memory_in_arena(*phys) && routes_drop(routes, *phys))
		return DMA_FAULT_PEER;
	return refusal;
}

static __always_inline refusal_t reach(const struct soft_port *port, bool odd, struct lane *lane,
				       dma_addr_t addr, unsigned int access, phys_addr_t *phys)
{
	if (odd)
		return reach_odd(port, lane, addr, access, phys);
	return translate(port->space, lane, addr, access, phys);
}

/* Where to access @phys directly; NULL: only through the memory's own calls, if at all. */
static __always_inline void *direct_pointer(phys_addr_t phys, size_t len)
{
	if (likely(!memory_in_arena(phys)))
		return (void *)(uintptr_t)phys;
	return memory_bus_pointer(phys, len);
}

/*
 * Memory that went away while it was linked crashes whoever accesses it, as a pointer
 * would; an observer shall rather be told.
 */
static bool is_guarded(const struct soft_port *port)
{
	return port->space->base.observer;
}

/* An odd port: it has its own view of memory, or peers, or is observed. */
static __cold int load_odd(const struct soft_port *port, phys_addr_t phys, void *buf, size_t len)
{
	const void *memory = port->shadow ? shadow_pointer(port->shadow, phys, len) : NULL;

	if (memory) {
		shadow_load(buf, memory, len);
		return 0;
	}
	memory = direct_pointer(phys, len);
	if (!memory)
		return memory_bus_read(phys, buf, len);
	if (is_guarded(port))
		return guard_read((uintptr_t)memory, buf, len) == len ? 0 : -EFAULT;
	memory_copy_from(buf, memory, len);
	return 0;
}

static __cold int store_odd(const struct soft_port *port, phys_addr_t phys, const void *buf,
			    size_t len)
{
	void *memory = port->shadow ? shadow_pointer(port->shadow, phys, len) : NULL;

	if (memory) {
		shadow_store(memory, buf, len);
		return 0;
	}
	memory = direct_pointer(phys, len);
	if (!memory)
		return memory_bus_write(phys, buf, len);
	if (is_guarded(port))
		return guard_write((uintptr_t)memory, buf, len) == len ? 0 : -EFAULT;
	memory_copy_to(memory, buf, len);
	return 0;
}

/* Where an atomic operation is made; NULL: memory behind calls, or none. */
static void *word_pointer(const struct soft_port *port, phys_addr_t phys, size_t len)
{
	void *word = port->shadow ? shadow_pointer(port->shadow, phys, len) : NULL;

	if (word)
		return word;
	word = direct_pointer(phys, len);
	return word && is_guarded(port) && !guard_probe((uintptr_t)word, true) ? NULL : word;
}

/*
 * Copy from and to what the device sees of memory; not 0: it cannot be accessed so.
 * @odd is a constant, here and below: ordinary ports have instances of their own.
 */
static __always_inline int load(const struct soft_port *port, bool odd, phys_addr_t phys, void *buf,
				size_t len)
{
	const void *memory;

	if (odd)
		return load_odd(port, phys, buf, len);
	memory = direct_pointer(phys, len);
	if (unlikely(!memory))
		return memory_bus_read(phys, buf, len);
	memory_copy_from(buf, memory, len);
	return 0;
}

static __always_inline int store(const struct soft_port *port, bool odd, phys_addr_t phys,
				 const void *buf, size_t len)
{
	void *memory;

	if (odd)
		return store_odd(port, phys, buf, len);
	memory = direct_pointer(phys, len);
	if (unlikely(!memory))
		return memory_bus_write(phys, buf, len);
	memory_copy_to(memory, buf, len);
	return 0;
}

static __always_inline refusal_t read_page(const struct soft_port *port, bool odd,
					   struct lane *lane, dma_addr_t addr, void *buf,
					   size_t len)
{
	phys_addr_t phys;
	refusal_t refusal = reach(port, odd, lane, addr, PGT_READ, &phys);

	if (unlikely(refusal))
		return refusal;
	if (unlikely(load(port, odd, phys, buf, len)))
		return DMA_FAULT_MEMORY;
	counter_add(&lane->reads, len);
	return 0;
}

static __always_inline refusal_t write_page(const struct soft_port *port, bool odd,
					    struct lane *lane, dma_addr_t addr, const void *buf,
					    size_t len)
{
	phys_addr_t phys;
	refusal_t refusal = reach(port, odd, lane, addr, PGT_WRITE, &phys);

	if (unlikely(refusal))
		return refusal;
	if (unlikely(store(port, odd, phys, buf, len)))
		return DMA_FAULT_MEMORY;
	counter_add(&lane->writes, len);
	return 0;
}

/* Whether the section has walked the page table, and there is somebody to tell. */
static bool take_walked(const struct soft_port *port, struct lane *lane)
{
	bool walked = port->space->base.observer && lane->walked;

	lane->walked = false;
	return walked;
}

static __cold void tell_access(const struct soft_port *port, dma_addr_t addr, bool write)
{
	struct base_observer *observer = port->space->base.observer;

	observer->ops->accessed(observer, port->base.number, addr, write);
}

static __cold void tell_fault(const struct soft_port *port, const struct dma_fault *fault)
{
	struct base_observer *observer = port->space->base.observer;
	struct dma_fault stamped = *fault;
	struct pgt_leaf leaf;

	stamped.time_ns = fault_log_now();
	if (fault->reason == DMA_FAULT_MEMORY && pgt_lookup(&port->space->pt, fault->addr, &leaf)) {
		phys_addr_t phys = leaf.phys + (fault->addr & ((1ULL << leaf.shift) - 1));

		/* What could be linked was there; but memory behind calls may say no at any time. */
		if (direct_pointer(phys, 1))
			observer->ops->memory_gone(observer, fault->device, fault->addr, phys,
						   fault->write);
	}
	observer->ops->faulted(observer, &stamped);
}

/* The transfer has ended: tell the log and the caller. */
static __cold int refuse(struct soft_port *port, refusal_t reason, bool write, dma_addr_t addr,
			 size_t len)
{
	struct dma_fault fault = {
		.device = port->base.number,
		.reason = (enum dma_fault_reason)reason,
		.write = write,
		.addr = addr,
		.len = len,
	};

	if (unlikely(port->space->base.observer))
		tell_fault(port, &fault);
	/* The handler may close the device: the port may be gone when it returns. */
	fault_log_report(&port->space->faults, &fault);
	return base_error(-EFAULT,
			  "device %u wanted to %s %zu bytes at %#llx and was refused: %s; the "
			  "space's fault log has the record (dma_space_read_faults())",
			  fault.device, write ? "write" : "read", len, (unsigned long long)addr,
			  dma_fault_reason_name(fault.reason));
}

static __always_inline size_t within_granule(dma_addr_t addr, size_t len)
{
	size_t room = PGT_PAGE_SIZE - (addr & (PGT_PAGE_SIZE - 1));

	return len < room ? len : room;
}

static __always_inline int read_pages(struct soft_port *port, bool odd, dma_addr_t addr, void *buf,
				      size_t len)
{
	while (len) {
		size_t part = within_granule(addr, len);
		unsigned int index;
		struct lane *lane = section_begin(port, addr, &index);
		refusal_t refusal = read_page(port, odd, lane, addr, buf, part);

		bool walked = odd && take_walked(port, lane);

		if (unlikely(refusal))
			counter_add(&lane->faults, 1);
		section_end(port, index);
		if (walked)
			tell_access(port, addr, false);
		if (unlikely(refusal))
			return refuse(port, refusal, false, addr, len);
		addr += part;
		buf = (char *)buf + part;
		len -= part;
	}
	return 0;
}

static __always_inline int write_pages(struct soft_port *port, bool odd, dma_addr_t addr,
				       const void *buf, size_t len)
{
	while (len) {
		size_t part = within_granule(addr, len);
		unsigned int index;
		struct lane *lane = section_begin(port, addr, &index);
		refusal_t refusal = write_page(port, odd, lane, addr, buf, part);

		bool walked = odd && take_walked(port, lane);

		if (unlikely(refusal))
			counter_add(&lane->faults, 1);
		section_end(port, index);
		if (walked)
			tell_access(port, addr, true);
		if (unlikely(refusal))
			return refuse(port, refusal, true, addr, len);
		addr += part;
		buf = (const char *)buf + part;
		len -= part;
	}
	return 0;
}

static int soft_read(struct dma_port *base, dma_addr_t addr, void *buf, size_t len)
{
	return read_pages((struct soft_port *)base, false, addr, buf, len);
}

static int soft_write(struct dma_port *base, dma_addr_t addr, const void *buf, size_t len)
{
	return write_pages((struct soft_port *)base, false, addr, buf, len);
}

static int soft_odd_read(struct dma_port *base, dma_addr_t addr, void *buf, size_t len)
{
	return read_pages((struct soft_port *)base, true, addr, buf, len);
}

static int soft_odd_write(struct dma_port *base, dma_addr_t addr, const void *buf, size_t len)
{
	return write_pages((struct soft_port *)base, true, addr, buf, len);
}

/* An operation on one word of 4 or 8 bytes, which the bus has checked. */
struct word_op {
	bool exchange; /* compare with @expected and store @operand; else add @operand */
	bool stored;
	uint64_t operand;
	uint64_t expected; /* receives what was there, as @old does */
};

static void word_op_4(uint32_t *word, struct word_op *op)
{
	uint32_t old = (uint32_t)op->expected;

	if (op->exchange)
		op->stored = __atomic_compare_exchange_n(word, &old, (uint32_t)op->operand, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		old = __atomic_fetch_add(word, (uint32_t)op->operand, __ATOMIC_SEQ_CST);
	op->expected = old;
}

static void word_op_8(uint64_t *word, struct word_op *op)
{
	if (op->exchange)
		op->stored = __atomic_compare_exchange_n(word, &op->expected, op->operand, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		op->expected = __atomic_fetch_add(word, op->operand, __ATOMIC_SEQ_CST);
}

static refusal_t operate(const struct soft_port *port, struct lane *lane, dma_addr_t addr,
			 size_t size, struct word_op *op)
{
	phys_addr_t phys;
	refusal_t refusal =
		reach(port, port->options.peers, lane, addr, PGT_READ | PGT_WRITE, &phys);
	void *word;

	if (refusal)
		return refusal;
	word = word_pointer(port, phys, size);
	/* Memory behind calls cannot be changed in one step. */
	if (!word || (uintptr_t)word & (size - 1))
		return DMA_FAULT_MEMORY;
	if (size == 4)
		word_op_4(word, op);
	else
		word_op_8(word, op);
	counter_add(&lane->reads, size);
	if (!op->exchange || op->stored)
		counter_add(&lane->writes, size);
	return 0;
}

static int atomic(struct soft_port *port, dma_addr_t addr, size_t size, struct word_op *op)
{
	unsigned int index;
	struct lane *lane;
	refusal_t refusal;
	bool walked;

	lane = section_begin(port, addr, &index);
	if (addr & (size - 1))
		refusal = DMA_FAULT_MISALIGNED;
	else
		refusal = operate(port, lane, addr, size, op);
	if (refusal)
		counter_add(&lane->faults, 1);
	walked = take_walked(port, lane);
	section_end(port, index);
	if (walked)
		tell_access(port, addr, true);
	return refusal ? refuse(port, refusal, true, addr, size) : 0;
}

static uint64_t load_operand(const void *from, size_t size)
{
	uint32_t word;
	uint64_t value;

	if (size == 4) {
		memcpy(&word, from, sizeof(word));
		return word;
	}
	memcpy(&value, from, sizeof(value));
	return value;
}

static void store_operand(void *to, uint64_t value, size_t size)
{
	uint32_t word = (uint32_t)value;

	if (size == 4)
		memcpy(to, &word, sizeof(word));
	else
		memcpy(to, &value, sizeof(value));
}

static int soft_cmpxchg(struct dma_port *base, dma_addr_t addr, size_t size, void *expected,
			const void *desired)
{
	struct word_op op = {
		.exchange = true,
		.operand = load_operand(desired, size),
		.expected = load_operand(expected, size),
	};
	int err = atomic((struct soft_port *)base, addr, size, &op);

	if (err)
		return err;
	store_operand(expected, op.expected, size);
	return op.stored;
}

static int soft_fetch_add(struct dma_port *base, dma_addr_t addr, size_t size, uint64_t add,
			  uint64_t *old)
{
	struct word_op op = {.operand = add};
	int err = atomic((struct soft_port *)base, addr, size, &op);

	if (!err && old)
		*old = op.expected;
	return err;
}

const struct port_ops soft_port_ops = {
	.read = soft_read,
	.write = soft_write,
	.cmpxchg = soft_cmpxchg,
	.fetch_add = soft_fetch_add,
	.stats = soft_port_stats,
};

const struct port_ops soft_odd_port_ops = {
	.read = soft_odd_read,
	.write = soft_odd_write,
	.cmpxchg = soft_cmpxchg,
	.fetch_add = soft_fetch_add,
	.stats = soft_port_stats,
};
