/* SPDX-License-Identifier: MIT */
/* The checks of one space: made, told of devices, and gone again. */
#include <stdio.h>

#include "debug/parts.h"

/* Names of devices that have gone, for what they leave. */
#define GONE_DEVICES 16

static void attached(struct base_observer *observer, struct dma_dev *dev, uint32_t number,
		     const char *uri, bool coherent)
{
	struct debug *debug = debug_of(observer);
	size_t len = strlen(uri) + 1;
	struct debug_device *device = base_alloc(sizeof(*device) + len);

	if (!device) {
		debug_incomplete(debug, NULL, dev, "a device");
		return;
	}
	device->dev = dev;
	device->number = number;
	device->coherent = coherent;
	device->gone = false;
	memcpy(device->uri, uri, len);
	pthread_mutex_lock(&debug->lock);
	device->next = debug->devices;
	debug->devices = device;
	pthread_mutex_unlock(&debug->lock);
	if (coherent)
		return;
	store(&debug->watches_lines, true);
	/* Links that would join ask nothing else. */
	memory_forget_good();
}

/* The oldest of too many devices that have gone, taken out of the list; not the first of all. */
static struct debug_device *take_forgotten(struct debug *debug)
{
	struct debug_device **link, *device;
	unsigned int gone = 0;

	for (link = &debug->devices; (device = *link); link = &device->next) {
		if (!device->gone || ++gone <= GONE_DEVICES || !device->next)
			continue;
		*link = device->next;
		return device;
	}
	return NULL;
}

static void detached(struct base_observer *observer, uint32_t number)
{
	struct debug *debug = debug_of(observer);
	struct debug_device *device, *forgotten;

	pthread_mutex_lock(&debug->lock);
	for (device = debug->devices; device; device = device->next) {
		if (device->number == number && !device->gone)
			break;
	}
	if (device)
		device->gone = true;
	forgotten = take_forgotten(debug);
	pthread_mutex_unlock(&debug->lock);
	base_free(forgotten);
}

/* Devices are known by the bits of their pointers that records have room for. */
static bool is_device(const struct debug_device *device, const struct dma_dev *dev)
{
	return !(((uintptr_t)device->dev ^ (uintptr_t)dev) & POINTER_MASK);
}

void debug_device_uri(struct debug *debug, const struct dma_dev *dev, uint32_t number, char *uri,
		      size_t size)
{
	const struct debug_device *device, *found = NULL, *first = NULL;

	pthread_mutex_lock(&debug->lock);
	for (device = debug->devices; device; device = device->next) {
		if (!found && (dev ? is_device(device, dev) : device->number == number))
			found = device;
		first = device;
	}
	if (!found)
		found = first;
	snprintf(uri, size, "%s", found ? found->uri : "(a device without a name)");
	pthread_mutex_unlock(&debug->lock);
}

bool debug_is_coherent(struct debug *debug, const struct dma_dev *dev)
{
	const struct debug_device *device;
	bool coherent = true;

	pthread_mutex_lock(&debug->lock);
	for (device = debug->devices; device; device = device->next) {
		if (!is_device(device, dev))
			continue;
		coherent = device->coherent;
		break;
	}
	pthread_mutex_unlock(&debug->lock);
	return coherent;
}

static void gathers_exit(struct debug_gather *gather)
{
	struct debug_gather *next;

	for (; gather; gather = next) {
		next = gather->next;
		base_free(gather);
	}
}

/* In a forked child locks may be held by threads that are not there: none is touched. */
static void closed(struct base_observer *observer, bool forked)
{
	struct debug *debug = debug_of(observer);
	struct debug_chunk *chunk, *next_chunk;
	struct debug_device *device, *next_device;

	for (unsigned int i = 0; i < CHUNK_BUCKETS; i++) {
		for (chunk = debug->chunks[i]; chunk; chunk = next_chunk) {
			next_chunk = chunk->next;
			base_unmap(chunk, sizeof(*chunk));
		}
	}
	for (unsigned int i = 0; i < BASE_MAX_THREADS; i++)
		base_unmap(debug->slots[i], sizeof(*debug->slots[i]));
	for (device = debug->devices; device; device = next_device) {
		next_device = device->next;
		base_free(device);
	}
	gathers_exit(debug->gathers);
	gathers_exit(debug->spare_gathers);
	direct_exit(debug);
	lines_exit(debug);
	if (!forked) {
		pthread_mutex_destroy(&debug->lock);
		pthread_mutex_destroy(&debug->direct_lock);
		pthread_mutex_destroy(&debug->shared_lock);
	}
	base_unmap(debug, sizeof(*debug));
}

static const struct base_observer_ops ops = {
	.attached = attached,
	.detached = detached,
	.mapped = debug_mapped,
	.unmapping = debug_unmapping,
	.checked = debug_checked,
	.syncing = debug_syncing,
	.allocated = debug_allocated,
	.deallocating = debug_deallocating,
	.mapped_sg = debug_mapped_sg,
	.unmapping_sg = debug_unmapping_sg,
	.syncing_sg = debug_syncing_sg,
	.sg_exceeds = debug_sg_exceeds,
	.reserving = debug_reserving,
	.reserved = debug_reserved,
	.linked = debug_linked,
	.linked_page = debug_linked_page,
	.link_failed = debug_link_failed,
	.synced = debug_synced,
	.unlinking = debug_unlinking,
	.freeing = debug_freeing,
	.cut = debug_cut,
	.gather_begun = debug_gather_begun,
	.gather_ended = debug_gather_ended,
	.bounce_failed = debug_bounce_failed,
	.accessed = debug_accessed,
	.memory_gone = debug_memory_gone,
	.faulted = debug_faulted,
	.closing = debug_closing,
	.closed = closed,
};

int debug_create(bool translates, struct base_observer **observer)
{
	struct debug *debug = debug_report_init() ? NULL : base_map(sizeof(*debug));

	if (!debug)
		return base_error(-ENOMEM, "no memory for the misuse checks of an address space; "
					   "free some, or open the device with debug=off");
	debug->observer.ops = &ops;
	debug->translates = translates;
	pthread_mutex_init(&debug->lock, NULL);
	pthread_mutex_init(&debug->direct_lock, NULL);
	pthread_mutex_init(&debug->shared_lock, NULL);
	debug->shared.shared = true;
	for (unsigned int i = 0; i < DEBUG_MEMOS; i++)
		debug->shared.memo[i].index = UINT64_MAX;
	debug->start_ns = debug_monotonic_ns();
	debug->start_ticks = debug_now();
	memory_text_refresh();
	*observer = &debug->observer;
	return 0;
}
