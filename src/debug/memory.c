/* SPDX-License-Identifier: MIT */
/*
 * What memory may be mapped: not the caller's stack, not what a program may only
 * read, not what is not there, and as MMIO only what is.
 *
 * The read-only segments of all loaded objects are listed when checks are made and
 * whenever somebody asks for a check; between two of them, and apart from its stack, a
 * thread remembers where memory is good. Objects come and go meanwhile, so a hit is
 * believed only if the loader says so now.
 */
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include "debug/parts.h"

#define SEGMENTS 512

struct segment {
	uint64_t first;
	uint64_t end;
};

static pthread_mutex_t text_lock = PTHREAD_MUTEX_INITIALIZER;
static struct segment segments[SEGMENTS]; /* sorted */
static size_t nr_segments;
uint64_t memory_text_generation = 1;

thread_local_ie struct memory_good memory_good;

/* The thread's stack; end 0: not looked up, first above end: unknown. */
static thread_local_ie struct segment stack;

/* Visit the read-only segments of an object, until it says that it is enough. */
static int for_each_segment(const struct dl_phdr_info *info,
			    int (*visit)(void *arg, uint64_t first, uint64_t end), void *arg)
{
	int enough = 0;

	for (unsigned int i = 0; !enough && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uint64_t first = info->dlpi_addr + header->p_vaddr;

		if (header->p_type == PT_LOAD && !(header->p_flags & PF_W) && header->p_memsz)
			enough = visit(arg, first, first + header->p_memsz);
	}
	return enough;
}

struct list {
	struct segment segment[SEGMENTS];
	size_t nr;
};

static int list_insert(void *arg, uint64_t first, uint64_t end)
{
	struct list *list = arg;
	size_t at = list->nr;

	if (list->nr == SEGMENTS)
		return 1;
	while (at && list->segment[at - 1].first > first)
		at--;
	memmove(&list->segment[at + 1], &list->segment[at],
		(list->nr - at) * sizeof(list->segment[0]));
	list->segment[at] = (struct segment){first, end};
	list->nr++;
	return 0;
}

static int list_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	return for_each_segment(info, list_insert, arg);
}

void memory_text_refresh(void)
{
	struct list list = {.nr = 0};

	dl_iterate_phdr(list_object, &list);
	pthread_mutex_lock(&text_lock);
	memcpy(segments, list.segment, list.nr * sizeof(segments[0]));
	nr_segments = list.nr;
	store(&memory_text_generation, memory_text_generation + 1);
	pthread_mutex_unlock(&text_lock);
}

void memory_forget_good(void)
{
	pthread_mutex_lock(&text_lock);
	store(&memory_text_generation, memory_text_generation + 1);
	pthread_mutex_unlock(&text_lock);
}

void memory_text_fork_child(void)
{
	pthread_mutex_init(&text_lock, NULL);
}

static int overlaps(void *arg, uint64_t first, uint64_t end)
{
	const struct segment *asked = arg;

	return asked->first < end && asked->end > first;
}

static int overlaps_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	return for_each_segment(info, overlaps, arg);
}

static bool is_text_now(uint64_t first, uint64_t end)
{
	struct segment asked = {first, end};

	return dl_iterate_phdr(overlaps_object, &asked);
}

/* The room around [first, end) that is free of listed segments; false: none is. */
static bool room_around(uint64_t first, uint64_t end, struct memory_good *good)
{
	bool clear = true;

	*good = (struct memory_good){.first = 0, .end = UINT64_MAX};
	pthread_mutex_lock(&text_lock);
	good->generation = memory_text_generation;
	for (size_t i = 0; clear && i < nr_segments; i++) {
		if (segments[i].end <= first) {
			if (segments[i].end > good->first)
				good->first = segments[i].end;
			continue;
		}
		clear = segments[i].first >= end;
		good->end = segments[i].first;
		break;
	}
	pthread_mutex_unlock(&text_lock);
	return clear;
}

static struct segment stack_bounds(void)
{
	struct segment bounds = {1, 1};
	pthread_attr_t attr;
	size_t size;
	void *addr;

	if (pthread_getattr_np(pthread_self(), &attr))
		return bounds;
	if (!pthread_attr_getstack(&attr, &addr, &size))
		bounds = (struct segment){(uint64_t)(uintptr_t)addr,
					  (uint64_t)(uintptr_t)addr + size};
	pthread_attr_destroy(&attr);
	return bounds;
}

/* Only what is above this frame is in use; a frame elsewhere is on a stack of its own. */
static bool in_stack(const struct segment *bounds, uint64_t first, uint64_t end)
{
	uint64_t frame = (uint64_t)(uintptr_t)__builtin_frame_address(0);

	return frame - bounds->first < bounds->end - bounds->first && end > frame &&
	       first < bounds->end;
}

bool memory_on_own_stack(uint64_t addr, uint64_t size)
{
	struct segment now;

	if (unlikely(!stack.end))
		stack = stack_bounds();
	if (likely(!in_stack(&stack, addr, addr + size)))
		return false;
	/* The main thread's grows, and what it left unused may have another use since. */
	now = stack_bounds();
	return in_stack(&now, addr, addr + size);
}

/* AddressSanitizer, if the program has it, keeps variables on a stack of its own. */
extern void *__asan_get_current_fake_stack(void) __attribute__((__weak__));
extern void *__asan_addr_is_in_fake_stack(void *fake, void *addr, void **first, void **end)
	__attribute__((__weak__));

static bool on_fake_stack(uint64_t addr)
{
	void *fake = NULL;

	if (__asan_get_current_fake_stack && __asan_addr_is_in_fake_stack)
		fake = __asan_get_current_fake_stack();
	return fake && __asan_addr_is_in_fake_stack(fake, (void *)(uintptr_t)addr, NULL, NULL);
}

bool memory_off_own_stack(uint64_t addr)
{
	uint64_t frame = (uint64_t)(uintptr_t)__builtin_frame_address(0);

	if (on_fake_stack(addr))
		return false;
	stack = stack_bounds();
	return frame - stack.first < stack.end - stack.first &&
	       addr - stack.first >= stack.end - stack.first;
}

/* @first is in @good and not in use as stack: cut the stack off, and remember what is left. */
static void remember_good(struct memory_good *good, uint64_t first)
{
	if (stack.first < stack.end && first >= stack.end && stack.end > good->first)
		good->first = stack.end;
	if (stack.first < stack.end && first < stack.end && stack.first < good->end)
		good->end = stack.first;
	/* Below the frame, on the stack itself, nothing is left. */
	if (good->end < good->first || good->end - good->first < GRANULE)
		good->generation = 0;
	good->room = good->end - good->first - GRANULE;
	memory_good = *good;
}

static void finding_of(const struct debug_piece *piece, enum dma_debug_kind kind,
		       struct debug_finding *finding)
{
	*finding = (struct debug_finding){
		.kind = kind,
		.dev = piece->dev,
		.addr = piece->addr,
		.size = piece->size,
		.phys = piece->phys,
		.caller = piece->caller,
	};
}

/* Whether @kind is still to be told in this call; from now on it is. */
static bool first_of(uint64_t *told, enum dma_debug_kind kind)
{
	bool first = !(*told >> kind & 1);

	*told |= 1ULL << kind;
	return first;
}

void memory_check_kind(struct debug *debug, const struct debug_piece *piece, uint64_t *told)
{
	unsigned long long first = piece->phys, end = piece->phys + piece->size;
	const char *what = piece->link ? "link" : "map";
	struct debug_finding finding;
	struct memory_good good;

	if (memory_in_arena(piece->phys) || !piece->size)
		return;
	if (piece->attrs & DMA_ATTR_MMIO && first_of(told, DMA_DEBUG_MAP_MMIO_RAM)) {
		finding_of(piece, DMA_DEBUG_MAP_MMIO_RAM, &finding);
		debug_report(debug, &finding,
			     "%s of 0x%llx-0x%llx with DMA_ATTR_MMIO, which is ordinary memory; "
			     "leave the attribute out, or register the memory with "
			     "dma_memory_register()",
			     what, first, end - 1);
	}
	if (memory_on_own_stack(piece->phys, piece->size)) {
		if (!first_of(told, DMA_DEBUG_MAP_STACK))
			return;
		finding_of(piece, DMA_DEBUG_MAP_STACK, &finding);
		debug_report(debug, &finding,
			     "%s of 0x%llx-0x%llx, which is on the stack of the calling thread: "
			     "the device would reach other variables of the same pages and what "
			     "comes there later; use memory from the heap",
			     what, first, end - 1);
		return;
	}
	if (room_around(first, end, &good)) {
		remember_good(&good, first);
	} else if (!(*told >> DMA_DEBUG_MAP_TEXT & 1) && is_text_now(first, end)) {
		first_of(told, DMA_DEBUG_MAP_TEXT);
		finding_of(piece, DMA_DEBUG_MAP_TEXT, &finding);
		debug_report(debug, &finding,
			     "%s of 0x%llx-0x%llx, which is code or constants of a program or "
			     "library; copy it to the heap first",
			     what, first, end - 1);
	}
}

bool memory_is_gone(phys_addr_t phys, uint64_t size)
{
	uint64_t page = (uint64_t)getpagesize(), first;
	int saved_errno = errno;
	bool gone;

	if (unlikely(memory_in_arena(phys))) {
		void *cpu = memory_cpu_address(phys, size);

		if (!cpu)
			return false;
		phys = (phys_addr_t)(uintptr_t)cpu;
	}
	first = align_down(phys, page);
	/* This does nothing but look whether mappings cover the range. */
	gone = msync((void *)(uintptr_t)first, align_up(phys + size, page) - first, MS_ASYNC) &&
	       errno == ENOMEM;
	errno = saved_errno;
	return gone;
}

void memory_check_there(struct debug *debug, struct debug_slot *slot, uint64_t now,
			const struct debug_piece *piece)
{
	struct debug_finding finding;

	if (!memory_probe_due(slot, now) || !piece->size)
		return;
	store(&slot->probed, now);
	if (!memory_is_gone(piece->phys, piece->size))
		return;
	finding_of(piece, DMA_DEBUG_MAP_INVALID, &finding);
	debug_report(debug, &finding,
		     "%s of 0x%llx-0x%llx, where no memory is; map memory that exists, and keep it "
		     "until it is %s",
		     piece->link ? "link" : "map", (unsigned long long)piece->phys,
		     (unsigned long long)(piece->phys + piece->size - 1),
		     piece->link ? "unlinked" : "unmapped");
}
