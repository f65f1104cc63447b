/* SPDX-License-Identifier: MIT */
/* Random correct drivers on several threads, with two devices in a space: not one report. */
#include <pthread.h>
#include <time.h>

#include "../race.h"
#include "../slow.h"
#include "checks.h"

#define THREADS 4
#define SLOTS 6
#define SLOT_PAGES 16
#define UNITS 8
#define STEPS (20000 / SLOW)

enum life { NOTHING, MAPPED, RESERVED };

/* What was linked by one call, and is unlinked by one. */
struct unit {
	size_t first, pages; /* 0 pages: none */
	bool synced;
};

struct slot {
	enum life life;
	struct dma_dev *dev;
	enum dma_data_direction dir;
	dma_addr_t addr;
	size_t size;
	struct dma_iova_state state;
	bool whole;
	struct unit units[UNITS];
	uint8_t *memory;
};

struct worker {
	pthread_t thread;
	uint64_t seed;
	struct slot slots[SLOTS];
	struct dma_gather gather;
	bool gathering;
};

static struct dma_dev *other;

static unsigned int below(struct worker *w, unsigned int end)
{
	return (unsigned int)(next_random(&w->seed) >> 20) % end;
}

static void must(bool condition)
{
	if (!condition) {
		fprintf(stderr, "%s\n", dma_last_error());
		abort();
	}
}

/* A transfer of the device's, inside [addr, addr + size), as the direction allows. */
static void use(struct worker *w, struct slot *slot, dma_addr_t addr, size_t size)
{
	struct dma_port *port = dma_dev_port(below(w, 2) ? d.dev : other);
	uint8_t buffer[300] = {0};
	size_t len = 1 + below(w, size < 300 ? (unsigned int)size : 300);

	/* What a device sees that is not coherent, or of a bounce buffer, is its own. */
	if (has("coherent=off"))
		port = dma_dev_port(slot->dev);
	addr += below(w, (unsigned int)(size - len + 1));
	if (slot->dir != DMA_FROM_DEVICE)
		must(!dma_bus_read(port, addr, buffer, len));
	if (slot->dir != DMA_TO_DEVICE)
		must(!dma_bus_write(port, addr, buffer, len));
}

static void begin_mapping(struct worker *w, struct slot *slot)
{
	size_t offset = below(w, 2) ? below(w, PAGE) : 0;

	slot->size = 1 + below(w, (unsigned int)(SLOT_PAGES * PAGE - offset));
	slot->addr = dma_map_single(slot->dev, slot->memory + offset, slot->size, slot->dir);
	must(!dma_mapping_error(slot->dev, slot->addr));
	slot->life = MAPPED;
}

static void begin(struct worker *w, struct slot *slot)
{
	slot->dir = (enum dma_data_direction)below(w, 3);
	slot->dev = below(w, 2) ? d.dev : other;
	slot->whole = !below(w, 4);
	memset(slot->units, 0, sizeof(slot->units));
	if (!translates() || below(w, 2)) {
		begin_mapping(w, slot);
		return;
	}
	must(dma_iova_try_alloc_flags(slot->dev, &slot->state, 0, SLOT_PAGES * PAGE, 0,
				      slot->whole ? DMA_IOVA_WHOLE : 0));
	slot->life = RESERVED;
}

static bool is_free(const struct slot *slot, size_t first, size_t pages)
{
	for (size_t i = 0; i < UNITS; i++) {
		const struct unit *unit = &slot->units[i];

		if (unit->pages && first < unit->first + unit->pages && unit->first < first + pages)
			return false;
	}
	return true;
}

/* Some pages of the slot's memory at the same offset, in one of several ways. */
static void link_unit(struct worker *w, struct slot *slot, struct unit *unit)
{
	size_t first = below(w, SLOT_PAGES), pages = 1 + below(w, 6);
	uint8_t *at = slot->memory + first * PAGE;
	struct phys_vec vec[6];

	if (first + pages > SLOT_PAGES || !is_free(slot, first, pages))
		return;
	if (below(w, 2)) {
		must(!dma_iova_link(slot->dev, &slot->state, virt_to_phys(at), first * PAGE,
				    pages * PAGE, slot->dir, 0));
	} else {
		for (size_t i = 0; i < pages; i++)
			vec[i] = (struct phys_vec){virt_to_phys(at + (pages - 1 - i) * PAGE), PAGE};
		must(!dma_iova_link_vec(slot->dev, &slot->state, vec, pages, first * PAGE,
					slot->dir, 0));
	}
	*unit = (struct unit){first, pages, false};
}

static void unlink_unit(struct worker *w, struct slot *slot, struct unit *unit)
{
	dma_iova_unlink_gather(slot->dev, &slot->state, unit->first * PAGE, unit->pages * PAGE,
			       slot->dir, 0, w->gathering ? &w->gather : NULL);
	unit->pages = 0;
}

static void change(struct worker *w, struct slot *slot)
{
	struct unit *unit = &slot->units[below(w, UNITS)];
	dma_addr_t addr = slot->state.addr + unit->first * PAGE;

	if (!unit->pages) {
		link_unit(w, slot, unit);
	} else if (!unit->synced) {
		must(!dma_iova_sync(slot->dev, &slot->state, unit->first * PAGE,
				    unit->pages * PAGE));
		unit->synced = true;
	} else if (slot->whole || below(w, 4)) {
		use(w, slot, addr, unit->pages * PAGE);
	} else {
		unlink_unit(w, slot, unit);
	}
}

static void sync_mapping(struct worker *w, struct slot *slot)
{
	size_t len = 1 + below(w, (unsigned int)slot->size);
	size_t at = below(w, (unsigned int)(slot->size - len + 1));

	if (below(w, 2))
		dma_sync_single_for_cpu(slot->dev, slot->addr + at, len, slot->dir);
	else
		dma_sync_single_range_for_device(slot->dev, slot->addr, at, len, slot->dir);
	use(w, slot, slot->addr, slot->size);
}

static void end_reservation(struct worker *w, struct slot *slot)
{
	struct dma_gather *gather = w->gathering ? &w->gather : NULL;
	size_t prefix = 0;

	/* A unit that is the beginning may go with the reservation. */
	for (size_t i = 0; i < UNITS; i++) {
		struct unit *unit = &slot->units[i];

		if (!unit->pages)
			continue;
		if (slot->whole || (!unit->first && below(w, 2)))
			prefix += unit->pages;
		else
			unlink_unit(w, slot, unit);
	}
	if (slot->whole && prefix && !is_free(slot, 0, 1) && is_free(slot, prefix, SLOT_PAGES)) {
		dma_iova_destroy_gather(slot->dev, &slot->state, prefix * PAGE, slot->dir, 0,
					gather);
	} else if (slot->whole) {
		/* All at once: a unit is not to be cut, and there may be holes; fill them. */
		for (size_t i = 0; i < SLOT_PAGES; i++) {
			if (is_free(slot, i, 1))
				must(!dma_iova_link(slot->dev, &slot->state,
						    virt_to_phys(slot->memory + i * PAGE), i * PAGE,
						    PAGE, slot->dir, 0));
		}
		dma_iova_destroy(slot->dev, &slot->state, SLOT_PAGES * PAGE, slot->dir, 0);
	} else if (prefix || below(w, 2)) {
		dma_iova_destroy_gather(slot->dev, &slot->state, prefix * PAGE, slot->dir, 0,
					gather);
	} else {
		dma_iova_free(slot->dev, &slot->state);
	}
	slot->state = (struct dma_iova_state){0};
}

static void end(struct worker *w, struct slot *slot)
{
	if (slot->life == RESERVED)
		end_reservation(w, slot);
	else if (w->gathering)
		dma_unmap_phys_gather(slot->dev, slot->addr, slot->size, slot->dir, 0, &w->gather);
	else
		dma_unmap_single(slot->dev, slot->addr, slot->size, slot->dir);
	slot->life = NOTHING;
}

static void gather_or_not(struct worker *w)
{
	if (w->gathering)
		dma_gather_end(&w->gather);
	else
		dma_gather_begin(d.dev, &w->gather);
	w->gathering = !w->gathering;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (int step = 0; step < STEPS; step++) {
		struct slot *slot = &w->slots[below(w, SLOTS)];

		if (!below(w, 20))
			gather_or_not(w);
		else if (slot->life == NOTHING)
			begin(w, slot);
		else if (!below(w, 10))
			end(w, slot);
		else if (slot->life == RESERVED)
			change(w, slot);
		else
			sync_mapping(w, slot);
	}
	for (size_t i = 0; i < SLOTS; i++)
		if (w->slots[i].life != NOTHING)
			end(w, &w->slots[i]);
	if (w->gathering)
		gather_or_not(w);
	return NULL;
}

static void random_drivers(void **state)
{
	static struct worker workers[THREADS];
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0)
			      : (uint64_t)time(NULL) * 2654435761 + (uint64_t)getpid();

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	assert_int_equal(
		dma_dev_open_in(has("coherent=off") ? "soft:coherent=off"
				: has("bounce=force")
					? translates() ? "soft:bounce=force" : "direct:bounce=force"
				: translates() ? "soft:untrusted"
					       : "direct:",
				d.space, &other),
		0);
	assert_int_equal(dma_set_mask_and_coherent(other, DMA_BIT_MASK(64)), 0);
	for (size_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.seed = seed + i * 977 + 1};
		for (size_t j = 0; j < SLOTS; j++) {
			workers[i].slots[j].memory = aligned_alloc(PAGE, SLOT_PAGES * PAGE);
			assert_non_null(workers[i].slots[j].memory);
			memset(workers[i].slots[j].memory, 1, SLOT_PAGES * PAGE);
		}
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		for (size_t j = 0; j < SLOTS; j++)
			free(workers[i].slots[j].memory);
	}
	silent();
	assert_int_equal(dma_debug_check(d.space), 0);
	assert_int_equal(stats_of(&d).misuse, 0);
	assert_int_equal(stats_of(&d).faults, 0);
	assert_int_equal(stats_of(&d).iova_live, 0);
	dma_dev_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_DEVICE(random_drivers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
