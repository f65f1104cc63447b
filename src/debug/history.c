/* SPDX-License-Identifier: MIT */
/*
 * History: a ring of events a thread, and time.
 *
 * The owner of a ring stores an event and then `head`; reporters of any thread read
 * while it goes on. Event number i is worth something to a reader who, after reading
 * it, finds `head` at most i + DEBUG_EVENTS - 1: the words are stored with release and
 * read with acquire, so who reads a word of a later event finds the `head` that came
 * before it.
 */
#include "debug/parts.h"

void debug_event_shared(struct debug *debug, enum dma_debug_action action, dma_addr_t addr,
			uint64_t size, phys_addr_t phys, uint64_t now, const void *caller)
{
	pthread_mutex_lock(&debug->shared_lock);
	slot_event(&debug->shared, action, addr, size, phys, now, caller);
	pthread_mutex_unlock(&debug->shared_lock);
}

uint64_t debug_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void debug_clock_read(const struct debug *debug, struct debug_clock *clock)
{
	uint64_t ticks;

	clock->ticks = debug_now();
	clock->ns = debug_monotonic_ns();
	ticks = clock->ticks - debug->start_ticks;
	clock->ns_a_tick = ticks ? (double)(clock->ns - debug->start_ns) / (double)ticks : 1;
}

uint64_t debug_clock_ns(const struct debug_clock *clock, uint64_t ticks)
{
	int64_t ago = (int64_t)(clock->ticks - ticks);

	/* Another processor's counter may be a little ahead. */
	if (ago <= 0)
		return clock->ns;
	return clock->ns - (uint64_t)((double)ago * clock->ns_a_tick);
}

/* The last ones, oldest first. */
struct history {
	struct dma_debug_event *events;
	size_t nr, max;
};

static void insert(struct history *history, const struct dma_debug_event *event)
{
	struct dma_debug_event *events = history->events;
	size_t at = history->nr;

	while (at && events[at - 1].time_ns > event->time_ns)
		at--;
	if (history->nr < history->max) {
		memmove(&events[at + 1], &events[at], (history->nr - at) * sizeof(*events));
		events[at] = *event;
		history->nr++;
	} else if (at) {
		memmove(&events[0], &events[1], (at - 1) * sizeof(*events));
		events[at - 1] = *event;
	}
}

/* Times are ticks until the end. */
static void read_ring(const struct debug_slot *slot, uint32_t thread, uint64_t first, uint64_t last,
		      struct history *history)
{
	uint64_t head = __atomic_load_n(&slot->head, __ATOMIC_ACQUIRE);
	uint64_t i = head > DEBUG_EVENTS ? head - DEBUG_EVENTS : 0;

	for (; i < head; i++) {
		const struct debug_event *event = &slot->event[i % DEBUG_EVENTS];
		uint64_t addr = __atomic_load_n(&event->addr, __ATOMIC_ACQUIRE);
		uint64_t size = __atomic_load_n(&event->size, __ATOMIC_ACQUIRE);
		uint64_t what = __atomic_load_n(&event->what, __ATOMIC_ACQUIRE);
		struct dma_debug_event seen = {
			.action = (enum dma_debug_action)(what >> KEY_SHIFT),
			.thread = thread,
			.addr = addr,
			.size = size,
			.phys = __atomic_load_n(&event->phys, __ATOMIC_ACQUIRE),
			.time_ns = __atomic_load_n(&event->time, __ATOMIC_ACQUIRE),
			.caller = site_caller(what),
		};

		if (addr > last || addr + size - 1 < first)
			continue;
		if (load(&slot->head) - i >= DEBUG_EVENTS)
			continue; /* may have been overwritten meanwhile */
		insert(history, &seen);
	}
}

size_t debug_history(struct debug *debug, dma_addr_t addr, uint64_t size,
		     struct dma_debug_event *events, size_t max)
{
	uint64_t first = addr & ~GRANULE_MASK;
	uint64_t last = (size && addr + size - 1 >= addr ? addr + size - 1 : addr) | GRANULE_MASK;
	struct history history = {.events = events, .max = max};
	const struct debug_slot *slot;
	struct debug_clock clock;

	for (unsigned int i = 1; i < BASE_MAX_THREADS; i++) {
		slot = __atomic_load_n(&debug->slots[i], __ATOMIC_ACQUIRE);
		if (slot)
			read_ring(slot, i, first, last, &history);
	}
	read_ring(&debug->shared, 0, first, last, &history);
	debug_clock_read(debug, &clock);
	for (size_t i = 0; i < history.nr; i++)
		events[i].time_ns = debug_clock_ns(&clock, events[i].time_ns);
	return history.nr;
}
