/* SPDX-License-Identifier: MIT */
/*
 * Strict isolation, proven by devices that try. A scenario lets devices at memory, takes
 * it away in some way, fills it with poison, and counts what a device then saw or changed.
 *
 * The program is also linked with libraries that are broken on purpose; there it must
 * count something.
 */
#ifndef TESTS_STRICT_STRICT_H
#define TESTS_STRICT_STRICT_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <twostep/bus.h>
#include <twostep/device.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>
#include <twostep/memory.h>
#include <twostep/premap.h>

#include "../race.h"
#include "../slow.h"

#if defined(SABOTAGE_NO_INVALIDATE) || defined(SABOTAGE_NO_DRAIN) ||                   \
	defined(SABOTAGE_REUSE_GATHERED_IOVA) || defined(SABOTAGE_ROLLBACK_VISIBLE) || \
	defined(SABOTAGE_COPY_BACK_EARLY) || defined(SABOTAGE_LAZY_REUSE)
#define SABOTAGED 1
#else
#define SABOTAGED 0
#endif

#define PAGE ((size_t)4096)
#define LARGE ((size_t)2 << 20)
#define GOOD 0x11
#define POISON 0xee
#define WRITTEN 0x55

/* cmocka's assertions belong to the main thread; this one to any. */
#define require(condition)                                                                 \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, \
				#condition, dma_last_error());                             \
			_Exit(3);                                                          \
		}                                                                          \
	} while (0)

/* Set if the library should be caught: racing scenarios then have more patience. */
extern bool expect_caught;

/* Memory that a device is let at, and how it is mapped. */
struct mapping {
	dma_addr_t addr; /* what the device is told */
	phys_addr_t phys;
	size_t size;
	struct dma_iova_state state; /* unless the way is a streaming one, or ahead */
	struct dma_gather gather;
};

/* A way to take memory away from a device. */
struct way {
	const char *name;
	bool streaming; /* mapped by dma_map_phys() */
	bool ahead; /* by dma_premap() */
	bool leaves; /* the reservation, to be freed afterwards */
	bool relinks; /* other memory, all GOOD, can then be reached there */
	bool uncopied; /* what was bounced has not come back when it returns */
	bool partial; /* it takes more than it says, and of that the caches are not synced */
	unsigned int flags; /* of the reservation */
	/* The device cannot reach the memory any more when it returns. */
	void (*take)(struct dma_dev *dev, struct mapping *m);
};

extern const struct way ways[];
extern const size_t nr_ways;

struct dma_dev *open_device(const char *uri);
struct dma_dev *open_device_in(const char *uri, struct dma_dev *neighbour);
/* Closes the devices, the space's last included: nothing may be live there. */
void close_devices(struct dma_dev *dev, struct dma_dev *neighbour);

/* Memory for @size bytes, aligned to @align, all GOOD. */
uint8_t *good_memory(size_t size, size_t align);
bool is_all(const uint8_t *memory, size_t size, uint8_t value);

void map_for(const struct way *way, struct dma_dev *dev, struct mapping *m, phys_addr_t phys,
	     size_t size);
/* Once the memory has been taken away: give back what is left. */
void forget(const struct way *way, struct dma_dev *dev, struct mapping *m);

pthread_t start(void *(*run)(void *arg), void *arg);
void join(pthread_t thread);

/* Scenarios: how often the device saw or changed what it must not. A file each. */
unsigned int stale_translation(void);
unsigned int transfer_in_flight(void);
unsigned int reused_in_gather(void);
unsigned int exhausted_in_gather(void);
unsigned int rolled_back_link(void);
unsigned int hammered(void);
unsigned int copied_back(void);
unsigned int neighbours(void);
unsigned int reused_lazily(void);

#endif
