/* SPDX-License-Identifier: MIT */
/*
 * Random calls on a few buffers, devices and importers, compared with a model that knows who
 * has what mapped. TWOSTEP_SEED repeats a run.
 */
#include "../race.h"
#include "../slow.h"
#include "sharing.h"

#define BUFFERS 3
#define DEVICES 3
#define SLOTS 6
#define MAPS 3
#define STEPS (12000 / SLOW)

/* One importer, as the model knows it. */
struct slot {
	struct importer importer;
	size_t buffer, device;
	bool attached, dynamic;
	unsigned int pins;
	struct sg_table *tables[MAPS]; /* NULL: not mapped */
	enum dma_data_direction dirs[MAPS];
};

static struct exporter exporters[BUFFERS];
static struct device devices[DEVICES];
static struct slot slots[SLOTS];
static bool revocable[BUFFERS], pinning[BUFFERS], revoked[BUFFERS];
static uint64_t calls, refusals, misused;

static void drop(struct slot *s, size_t n)
{
	dma_addr_t addr = s->tables[n]->sgl[0].dma_address;
	const struct device *d = &devices[s->device];

	dma_buf_unmap_attachment(s->importer.attach, s->tables[n], s->dirs[n]);
	s->tables[n] = NULL;
	if (dma_get_merge_boundary(d->dev))
		assert_refused_pages(d, addr, EXPORTED);
}

static void drop_all(struct dma_buf_attachment *attach)
{
	struct slot *s = attach->importer_priv;

	s->importer.invalidated++;
	for (size_t n = 0; n < MAPS; n++)
		if (s->tables[n])
			drop(s, n);
}

static const struct dma_buf_attach_ops dynamic = {.invalidate_mappings = drop_all};

/* Everything that can be seen is as the model has it. */
static void compare(void)
{
	for (size_t b = 0; b < BUFFERS; b++) {
		size_t mapped = 0, attached = 0, pinned = 0;

		for (size_t i = 0; i < SLOTS; i++) {
			if (!slots[i].attached || slots[i].buffer != b)
				continue;
			attached++;
			pinned += slots[i].pins;
			for (size_t n = 0; n < MAPS; n++) {
				if (!slots[i].tables[n])
					continue;
				mapped++;
				pinned += !slots[i].dynamic;
			}
		}
		assert_int_equal(exporters[b].attached, attached);
		assert_int_equal(exporters[b].mapped, mapped);
		assert_int_equal(exporters[b].pinned, pinning[b] ? pinned : 0);
		assert_int_equal(dma_buf_nr_mapped(exporters[b].buf), mapped);
		assert_int_equal(dma_buf_is_revoked(exporters[b].buf), revoked[b]);
	}
}

/* A byte of a page through each table; the exporter's memory is the same for all. */
static void compare_bytes(struct slot *s, uint64_t random)
{
	for (size_t n = 0; n < MAPS; n++) {
		size_t page = random % EXPORTED;
		struct sg_table *sgt = s->tables[n];
		struct scatterlist *sg;
		unsigned int i;

		if (!sgt || s->dirs[n] == DMA_FROM_DEVICE)
			continue;
		for_each_sgtable_dma_sg(sgt, sg, i)
		{
			if (page < sg->dma_length / PAGE) {
				assert_reads(&devices[s->device], sg->dma_address + page * PAGE,
					     0x10 + (unsigned int)(random % EXPORTED));
				break;
			}
			page -= sg->dma_length / PAGE;
		}
		assert_true(i < sgt->nents);
	}
}

static void attach(struct slot *s, uint64_t random)
{
	size_t b = random % BUFFERS;
	struct dma_buf_attachment *got;
	int expected = 0;

	s->buffer = b;
	s->device = random / 16 % DEVICES;
	s->dynamic = random & 1U << 20 || (revocable[b] && random & 1U << 21);
	if (revocable[b] && !s->dynamic)
		expected = -EOPNOTSUPP;
	else if (revoked[b])
		expected = -ENODEV;
	got = dma_buf_dynamic_attach(exporters[b].buf, devices[s->device].dev,
				     s->dynamic ? &dynamic : NULL, s);
	assert_int_equal(IS_ERR(got) ? PTR_ERR(got) : 0, expected);
	refusals += expected != 0;
	s->attached = !expected;
	s->importer.attach = got;
}

static void detach(struct slot *s)
{
	/* What is left is taken away, and misuse. */
	bool left = s->pins;

	for (size_t n = 0; n < MAPS; n++) {
		left |= s->tables[n] != NULL;
		s->tables[n] = NULL;
	}
	misused += left;
	s->pins = 0;
	s->attached = false;
	dma_buf_detach(exporters[s->buffer].buf, s->importer.attach);
}

static void map(struct slot *s, uint64_t random)
{
	struct sg_table *sgt;
	size_t n = 0;

	while (n < MAPS && s->tables[n])
		n++;
	if (n == MAPS)
		return;
	s->dirs[n] = (enum dma_data_direction)(random % 3);
	sgt = dma_buf_map_attachment(s->importer.attach, s->dirs[n]);
	assert_int_equal(IS_ERR(sgt) ? PTR_ERR(sgt) : 0, revoked[s->buffer] ? -ENODEV : 0);
	refusals += revoked[s->buffer];
	if (!IS_ERR(sgt))
		s->tables[n] = sgt;
}

static void pin(struct slot *s)
{
	int err = dma_buf_pin(s->importer.attach);

	assert_int_equal(err, !s->dynamic ? -EINVAL : revoked[s->buffer] ? -ENODEV : 0);
	s->pins += !err;
	refusals += err != 0;
}

static void unpin(struct slot *s)
{
	dma_buf_unpin(s->importer.attach);
	if (s->pins)
		s->pins--;
	else
		misused++;
}

static void step_of_slot(struct slot *s, uint64_t random)
{
	struct dma_buf *buf;

	if (!s->attached) {
		attach(s, random >> 8);
		return;
	}
	if (random % 16 == 0) {
		detach(s);
		return;
	}
	buf = exporters[s->buffer].buf;
	assert_int_equal(dma_buf_lock(buf), 0);
	switch (random % 16) {
	case 1:
	case 2:
		pin(s);
		break;
	case 3:
	case 4:
		unpin(s);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		if (s->tables[random / 16 % MAPS])
			drop(s, random / 16 % MAPS);
		break;
	default:
		map(s, random >> 8);
	}
	dma_buf_unlock(buf);
}

static void step_of_buffer(size_t b, uint64_t random)
{
	struct dma_buf *buf = exporters[b].buf;

	switch (random % 4) {
	case 0:
		assert_int_equal(dma_buf_lock(buf), 0);
		dma_buf_invalidate_mappings(buf);
		dma_buf_unlock(buf);
		break;
	case 1:
		assert_int_equal(dma_buf_revoke(buf, 0), revocable[b] ? 0 : -EOPNOTSUPP);
		revoked[b] = revocable[b];
		break;
	case 2:
		assert_int_equal(dma_buf_unrevoke(buf), 0);
		revoked[b] = false;
		break;
	default:
		get_dma_buf(buf);
		dma_buf_put(buf);
	}
}

static void random_calls(void **state)
{
	static const char *const options[DEVICES] = {"", ",untrusted", NULL};
	const char *given = getenv("TWOSTEP_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)(uintptr_t)&given >> 4 | 1;
	uint64_t random = seed ? seed : 1, found = 0;

	print_message("TWOSTEP_SEED=0x%llx\n", (unsigned long long)seed);
	calls = refusals = misused = 0;
	for (size_t b = 0; b < BUFFERS; b++) {
		revocable[b] = b == 1;
		pinning[b] = b == 2;
		revoked[b] = false;
		exporter_open(&exporters[b], pinning[b] ? &pinning_ops : &exporter_ops,
			      revocable[b] ? DMA_BUF_REVOCABLE : 0);
	}
	for (size_t i = 0; i < DEVICES; i++)
		devices[i] = options[i] ? soft_open(state, options[i]) : device_open("direct:");
	memset(slots, 0, sizeof(slots));
	for (calls = 0; calls < STEPS; calls++) {
		next_random(&random);
		if (random % 8)
			step_of_slot(&slots[random / 8 % SLOTS], random >> 16);
		else
			step_of_buffer(random / 8 % BUFFERS, random >> 16);
		compare();
		compare_bytes(&slots[random / 8 % SLOTS], random >> 24);
	}
	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].attached)
			detach(&slots[i]);
	compare();
	for (size_t b = 0; b < BUFFERS; b++)
		exporter_close(&exporters[b]);
	for (size_t i = 0; i < DEVICES; i++) {
		uint64_t misuse = stats_of(&devices[i]).misuse;

		found += misuse;
		device_close(&devices[i], misuse);
	}
	assert_int_equal(found, misused);
	assert_true(refusals && misused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {EACH_FORMAT(random_calls)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
