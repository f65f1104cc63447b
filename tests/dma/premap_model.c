/* SPDX-License-Identifier: MIT */
/*
 * Random regions and translations, compared with an array of granules that says which
 * region each belongs to. TWOSTEP_SEED repeats a run.
 */
#include <time.h>

#include <twostep/premap.h>

#include "../race.h"
#include "../slow.h"
#include "setup.h"

#define SPANS 6
#define GRANULES (SPANS * 512)
#define STEPS (200000 / SLOW)
#define MOST_REGIONS 256

struct region {
	uint64_t at, size; /* bytes of memory; size 0: none */
	enum dma_data_direction dir;
	dma_addr_t addr;
};

struct model {
	struct device d;
	phys_addr_t base;
	struct region region[MOST_REGIONS];
	unsigned int owner[GRANULES]; /* 1 + number of its region; 0: none */
	uint64_t seed;
};

static uint64_t below(struct model *m, uint64_t n)
{
	return next_random(&m->seed) % n;
}

/* Bytes, pages and spans, with borders where they are most often wrong. */
static void pick_range(struct model *m, uint64_t *at, uint64_t *size)
{
	static const uint64_t units[] = {1, PAGE, PAGE, 2 * MIB};
	static const uint64_t longest[] = {3 * PAGE, 8 * PAGE, 700 * PAGE, 3 * 2 * MIB};
	uint64_t unit = units[below(m, COUNT(units))], most = longest[below(m, COUNT(longest))];

	*at = below(m, GRANULES * PAGE) / unit * unit;
	*size = 1 + below(m, most);
	if (below(m, 2))
		*size = (*size + unit - 1) / unit * unit;
	if (*size > GRANULES * PAGE - *at)
		*size = GRANULES * PAGE - *at;
}

static bool is_free(const struct model *m, uint64_t at, uint64_t size)
{
	for (uint64_t g = at / PAGE; g <= (at + size - 1) / PAGE; g++)
		if (m->owner[g])
			return false;
	return true;
}

static void claim(struct model *m, const struct region *r, unsigned int owner)
{
	for (uint64_t g = r->at / PAGE; g <= (r->at + r->size - 1) / PAGE; g++)
		m->owner[g] = owner;
}

static void step_premap(struct model *m)
{
	unsigned int i = (unsigned int)below(m, MOST_REGIONS);
	struct region r = {.dir = (enum dma_data_direction)below(m, 3)};
	int err;

	pick_range(m, &r.at, &r.size);
	if (m->region[i].size)
		return;
	err = dma_premap(m->d.dev, m->base + r.at, r.size, r.dir, 0, &r.addr);
	if (!is_free(m, r.at, r.size)) {
		assert_int_equal(err, -EEXIST);
		return;
	}
	assert_int_equal(err, 0);
	assert_int_equal((r.addr ^ (m->base + r.at)) & (PAGE - 1), 0);
	m->region[i] = r;
	claim(m, &r, i + 1);
}

static void step_unpremap(struct model *m)
{
	struct region *r = &m->region[below(m, MOST_REGIONS)];

	if (!r->size)
		return;
	assert_int_equal(dma_unpremap(m->d.dev, m->base + r->at, r->size + 1), -ENOENT);
	assert_int_equal(dma_unpremap(m->d.dev, m->base + r->at, r->size), 0);
	claim(m, r, 0);
	r->size = 0;
}

static dma_addr_t expected(const struct model *m, uint64_t at, uint64_t size,
			   enum dma_data_direction dir)
{
	unsigned int owner = m->owner[at / PAGE];
	const struct region *r = owner ? &m->region[owner - 1] : NULL;

	if (!r || (r->dir != DMA_BIDIRECTIONAL && r->dir != dir))
		return DMA_MAPPING_ERROR;
	for (uint64_t g = at / PAGE; g <= (at + size - 1) / PAGE; g++)
		if (m->owner[g] != owner)
			return DMA_MAPPING_ERROR;
	return r->addr + (at - r->at);
}

static void step_translate(struct model *m)
{
	enum dma_data_direction dir = (enum dma_data_direction)below(m, 3);
	uint64_t at, size;
	dma_addr_t addr;
	uint8_t byte;

	pick_range(m, &at, &size);
	addr = dma_map_phys(m->d.dev, m->base + at, size, dir, 0);
	assert_int_equal(addr, expected(m, at, size, dir));
	assert_int_equal(dma_premap_translate(m->d.dev, m->base + at, size, dir), addr);
	if (addr == DMA_MAPPING_ERROR || dir == DMA_FROM_DEVICE)
		return;
	/* Every page of memory begins with its number. */
	assert_int_equal(dma_bus_read(m->d.port, addr & ~(PAGE - 1), &byte, 1), 0);
	assert_int_equal(byte, (uint8_t)(at / PAGE));
	dma_unmap_phys(m->d.dev, addr, size, dir, 0);
}

static void random_regions(void **state)
{
	static struct model m;
	struct expanse memory = expanse_new(GRANULES * PAGE, 2 * MIB);
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t live = 0;

	m = (struct model){.d = soft_open(state, ",map=ahead"), .base = virt_to_phys(memory.at)};
	m.seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761U | 1;
	printf("TWOSTEP_SEED=%llu\n", (unsigned long long)m.seed);
	for (size_t i = 0; i < GRANULES; i++)
		memory.at[i * PAGE] = (uint8_t)i;
	for (unsigned int i = 0; i < STEPS; i++) {
		switch (below(&m, 8)) {
		case 0:
			step_premap(&m);
			break;
		case 1:
			step_unpremap(&m);
			break;
		default:
			step_translate(&m);
		}
	}
	for (size_t i = 0; i < MOST_REGIONS; i++)
		live += m.region[i].size != 0;
	assert_int_equal(stats_of(&m.d).iova_live, live);
	for (size_t i = 0; i < MOST_REGIONS; i++)
		if (m.region[i].size)
			assert_int_equal(
				dma_unpremap(m.d.dev, m.base + m.region[i].at, m.region[i].size),
				0);
	device_close(&m.d, 0);
	expanse_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(random_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
