/* SPDX-License-Identifier: MIT */
/* Making memory known, and forgetting it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory/arena.h"

#define PAGE 4096ULL

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool (*busy_hook)(phys_addr_t base, phys_addr_t last);

void memory_set_busy_hook(bool (*busy)(phys_addr_t base, phys_addr_t last))
{
	__atomic_store_n(&busy_hook, busy, __ATOMIC_RELEASE);
}

/* What is registered is the child's as well; only the lock's holder may not exist there. */

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	memory_pointers_before_fork();
}

static void after_fork_parent(void)
{
	memory_pointers_after_fork(false);
	pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
	memory_pointers_after_fork(true);
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void expect_forks(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static int check_desc(const struct dma_memory_desc *desc)
{
	if ((unsigned int)desc->type > DMA_MEMORY_DMABUF)
		return base_error(-EINVAL,
				  "registering memory of type %u: types are 0 (RAM) to 3 (dma-buf)",
				  (unsigned int)desc->type);
	if (desc->flags & ~DMA_MEMORY_NO_PIN)
		return base_error(-EINVAL,
				  "registering memory with the flags 0x%x: the only one is "
				  "DMA_MEMORY_NO_PIN",
				  desc->flags);
	if (!desc->size || desc->size % PAGE)
		return base_error(-EINVAL,
				  "registering 0x%" PRIx64 " bytes of memory: the size must be a "
				  "multiple of 4096 and not 0",
				  desc->size);
	if (desc->fd < -1)
		return base_error(-EINVAL,
				  "registering memory with the descriptor %d: pass -1 for none",
				  desc->fd);
	if (desc->fd >= 0 && desc->fd_offset % PAGE)
		return base_error(-EINVAL,
				  "registering memory at offset 0x%" PRIx64 " of a descriptor: the "
				  "offset must be a multiple of 4096",
				  desc->fd_offset);
	if (desc->fd >= 0 &&
	    (desc->fd_offset > INT64_MAX || desc->size > INT64_MAX - desc->fd_offset))
		return base_error(-EINVAL,
				  "registering 0x%" PRIx64 " bytes at offset 0x%" PRIx64 " of a "
				  "descriptor: no file is as long",
				  desc->size, desc->fd_offset);
	if (desc->cpu && memory_untag(desc->cpu) + desc->size <= memory_untag(desc->cpu))
		return base_error(-EINVAL,
				  "registering 0x%" PRIx64 " bytes mapped at %p: they end beyond "
				  "the highest address",
				  desc->size, desc->cpu);
	if (desc->ops && !desc->ops->read && !desc->ops->write)
		return base_error(-EINVAL,
				  "registering memory with operations that can neither read nor "
				  "write: set one of them, or pass no operations");
	return 0;
}

/* A file that is shorter than it claims would kill the process on the first access. */
static int check_length(int fd, const struct dma_memory_desc *desc)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return base_error(-errno, "registering memory of descriptor %d: %s", desc->fd,
				  strerror(errno));
	if (S_ISREG(stat.st_mode) && desc->fd_offset + desc->size > (uint64_t)stat.st_size)
		return base_error(-EINVAL,
				  "registering 0x%" PRIx64 " bytes at offset 0x%" PRIx64
				  " of descriptor %d: the file has 0x%" PRIx64
				  " bytes; lengthen it first",
				  desc->size, desc->fd_offset, desc->fd, (uint64_t)stat.st_size);
	return 0;
}

static void *map_fd(int fd, const struct dma_memory_desc *desc, bool *readonly)
{
	void *map;

	errno = ENOMEM;
	if (base_alloc_denied())
		return MAP_FAILED;
	map = mmap(NULL, desc->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   (off_t)desc->fd_offset);
	*readonly = map == MAP_FAILED && (errno == EACCES || errno == EPERM);
	if (*readonly)
		map = mmap(NULL, desc->size, PROT_READ, MAP_SHARED, fd, (off_t)desc->fd_offset);
	return map;
}

/* The part of a record that comes from the description alone. */
static int open_desc(const struct dma_memory_desc *desc, struct memory_record *open)
{
	int err;

	*open = (struct memory_record){
		.type = desc->type,
		.cpu = desc->cpu,
		.fd = -1,
		.fd_offset = desc->fd_offset,
		.bus_addr = desc->bus_addr,
		.provider = desc->provider,
		.ops = desc->ops,
		.ops_arg = desc->ops_arg,
		.bus_map = desc->ops ? NULL : desc->cpu,
		.unpinnable = desc->flags & DMA_MEMORY_NO_PIN,
	};
	if (desc->fd < 0)
		return 0;
	open->fd = fcntl(desc->fd, F_DUPFD_CLOEXEC, 3);
	if (open->fd < 0)
		return base_error(
			-errno, "registering memory of descriptor %d: it cannot be duplicated: %s",
			desc->fd, strerror(errno));
	err = check_length(open->fd, desc);
	if (!err && !desc->ops && !desc->cpu) {
		open->bus_map = map_fd(open->fd, desc, &open->bus_readonly);
		if (open->bus_map == MAP_FAILED)
			err = base_error(-errno,
					 "registering 0x%" PRIx64 " bytes of descriptor %d: they "
					 "cannot be mapped: %s",
					 desc->size, desc->fd, strerror(errno));
	}
	if (err)
		close(open->fd);
	return err;
}

static void close_desc(const struct memory_record *open, uint64_t size)
{
	if (open->bus_map && open->bus_map != open->cpu)
		munmap(open->bus_map, size);
	if (open->fd >= 0)
		close(open->fd);
}

/* Whether the CPU mapping lies in the arena, which has none. */
static int check_cpu(uint64_t first, uint64_t last)
{
	const struct memory_record *record;

	if (memory_check(first, last - first + 1, &record) || record)
		return base_error(
			-EINVAL,
			"registering memory with the CPU mapping 0x%" PRIx64 "..0x%" PRIx64
			": that is address space of registered memory, where the CPU has no "
			"mapping",
			first, last);
	return memory_pointers_prepare(first, last);
}

static int add(const struct memory_record *open, uint64_t size, phys_addr_t *base)
{
	uint64_t first = memory_untag(open->cpu);
	uint64_t last = first + size - 1;
	struct memory_record *record;
	phys_addr_t place;
	int err;

	err = memory_arena_reserve();
	if (!err && open->cpu)
		err = check_cpu(first, last);
	if (err)
		return err;
	record = memory_record_take(first % PAGE, size);
	if (!record)
		return -ENOSPC;
	place = record->base;
	*record = *open;
	record->base = place;
	record->size = size;
	memory_record_show(record);
	if (open->cpu)
		memory_pointers_add(first, last, place);
	*base = place;
	return 0;
}

int dma_memory_register(const struct dma_memory_desc *desc, phys_addr_t *base)
{
	struct memory_record open;
	int err;

	if (!desc || !base)
		return base_error(-EINVAL,
				  "registering memory without a description, or without a place "
				  "for its address");
	err = check_desc(desc);
	if (!err)
		err = open_desc(desc, &open);
	if (err)
		return err;
	pthread_mutex_lock(&lock);
	err = add(&open, desc->size, base);
	pthread_mutex_unlock(&lock);
	if (err)
		close_desc(&open, desc->size);
	return err;
}

static bool reachable(const struct memory_record *record)
{
	bool (*busy)(phys_addr_t base, phys_addr_t last) =
		__atomic_load_n(&busy_hook, __ATOMIC_ACQUIRE);

	return busy && busy(record->base, record->base + record->size - 1);
}

/*
 * Asked first with the memory in place, so that a refusal disturbs no transfer, then
 * with it hidden, which waits for the transfers that had found it.
 */
static bool withdraw(struct memory_record *record)
{
	if (reachable(record))
		return false;
	memory_record_hide(record);
	if (!reachable(record))
		return true;
	memory_record_show(record);
	return false;
}

static int busy_error(phys_addr_t base)
{
	return base_error(-EBUSY,
			  "unregistering memory at 0x%" PRIx64 ": a device can reach it, or "
			  "another thread is unregistering it; unlink or unmap it first",
			  base);
}

int memory_unregister(phys_addr_t base, void (*tell)(void *arg), void *arg)
{
	struct memory_record *record;
	struct memory_record gone;
	bool *leaving = NULL;
	bool withdrawn;

	pthread_mutex_lock(&lock);
	record = memory_record_at(base);
	if (record)
		leaving = memory_record_leaving(record);
	withdrawn = leaving && *leaving;
	if (leaving)
		*leaving = true;
	pthread_mutex_unlock(&lock);
	if (!record)
		return base_error(-ENOENT,
				  "unregistering memory at 0x%" PRIx64 ": no registration begins "
				  "there; pass what dma_memory_register() gave",
				  base);
	if (withdrawn)
		return busy_error(base);

	withdrawn = withdraw(record);
	if (withdrawn && tell)
		tell(arg);
	pthread_mutex_lock(&lock);
	*leaving = false;
	gone = *record;
	if (withdrawn) {
		if (gone.cpu)
			memory_pointers_remove(base);
		memory_record_release(record);
	}
	pthread_mutex_unlock(&lock);
	if (!withdrawn)
		return busy_error(base);
	close_desc(&gone, gone.size);
	return 0;
}

int dma_memory_unregister(phys_addr_t base)
{
	return memory_unregister(base, NULL, NULL);
}

void memory_hide_for_good(phys_addr_t base)
{
	struct memory_record *record;

	pthread_mutex_lock(&lock);
	record = memory_record_at(base);
	if (record) {
		if (record->cpu)
			memory_pointers_remove(base);
		*memory_record_leaving(record) = true;
		memory_record_hide(record);
	}
	pthread_mutex_unlock(&lock);
}

int dma_memory_query(phys_addr_t phys, struct dma_memory_desc *desc, phys_addr_t *base)
{
	const struct memory_record *record = memory_lookup(phys);

	if (!record && !memory_in_arena(phys))
		return base_error(-ENOENT,
				  "what is 0x%" PRIx64 ": ordinary memory, which nobody registered",
				  phys);
	if (!record)
		return base_error(-EFAULT,
				  "what is 0x%" PRIx64 ": an address of registered memory where "
				  "nothing is registered",
				  phys);
	if (desc)
		*desc = (struct dma_memory_desc){
			.type = record->type,
			.size = record->size,
			.cpu = record->cpu,
			.fd = record->fd,
			.fd_offset = record->fd_offset,
			.bus_addr = record->bus_addr,
			.provider = record->provider,
			.ops = record->ops,
			.ops_arg = record->ops_arg,
			.flags = record->unpinnable ? DMA_MEMORY_NO_PIN : 0,
		};
	if (base)
		*base = record->base;
	return 0;
}
