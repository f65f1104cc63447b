/* SPDX-License-Identifier: MIT */
/*
 * Random calls against a reference that is obviously right: an array with the owner of
 * each slot. What the room does must be possible (nothing overlaps, every rule kept), and
 * what it refuses must be impossible. The seed is printed; TWOSTEP_SEED repeats a run.
 */
#include "fixture.h"

#define SEGMENTS 6
#define SLOTS (SEGMENTS * 128)
#define BUFFERS 200
#define OPERATIONS (60000 / SLOW)

struct buffer {
	phys_addr_t phys;
	uint64_t first;
	uint64_t slots;
	struct bounce_request request;
	unsigned char *device; /* what is in the buffer */
};

struct model {
	struct dma_bounce *pool;
	phys_addr_t start;
	uint64_t random;
	unsigned char *memory; /* what the buffers stand in for: a part each */
	uint16_t owner[SLOTS]; /* 1 + index of the buffer; 0: free */
	struct buffer buffer[BUFFERS];
	uint64_t used;
	uint64_t high_water;
	uint64_t maps;
	uint64_t failed;
};

static uint64_t below(struct model *model, uint64_t n)
{
	return next_random(&model->random) % n;
}

static uint64_t any_mask(struct model *model)
{
	return below(model, 2) ? 0 : (1ULL << below(model, 15)) - 1;
}

static bool all_free(const struct model *model, uint64_t first, uint64_t slots)
{
	for (uint64_t slot = first; slot < first + slots; slot++)
		if (model->owner[slot])
			return false;
	return true;
}

/* The rules of bounce.h, one by one, for a buffer at @phys in slots [first, first + slots). */
static bool is_right(const struct model *model, const struct bounce_request *request,
		     phys_addr_t phys, uint64_t first, uint64_t slots)
{
	phys_addr_t begin = model->start + first * SLOT, finish = begin + slots * SLOT;
	uint64_t piece = request->alloc_align_mask + 1;

	if ((phys ^ request->phys) & request->min_align_mask)
		return false;
	if (phys < begin || phys + request->size > finish)
		return false;
	if (first / 128 != (first + slots - 1) / 128)
		return false;
	if ((phys ^ (phys + request->size - 1)) & ~request->boundary)
		return false;
	/* Pieces are whole. */
	if (align_down(phys, piece) < begin || align_up(phys + request->size, piece) > finish)
		return false;
	/* And no slot is wasted. */
	if (align_down(align_down(phys, piece), SLOT) != begin ||
	    align_up(align_up(phys + request->size, piece), SLOT) != finish)
		return false;
	if (!request->min_align_mask && !request->alloc_align_mask)
		return !(phys % (request->size < 4096 ? SLOT : 4096));
	return true;
}

/* Whether there is a place: every address whose slots are free is tried. */
static bool could_fit(const struct model *model, const struct bounce_request *request)
{
	uint64_t piece = request->alloc_align_mask + 1;
	uint64_t low = request->phys & request->min_align_mask &
		       (request->alloc_align_mask | (SLOT - 1));

	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		phys_addr_t phys = model->start + slot * SLOT + low % SLOT;
		uint64_t first = (align_down(phys, piece) - model->start) / SLOT;
		uint64_t next =
			(align_up(align_up(phys + request->size, piece), SLOT) - model->start) /
			SLOT;

		if (phys >= model->start && align_down(phys, piece) >= model->start &&
		    next <= SLOTS && is_right(model, request, phys, first, next - first) &&
		    all_free(model, first, next - first))
			return true;
	}
	return false;
}

static void check_content(const struct buffer *buffer)
{
	assert_memory_equal(bytes_at(buffer->phys), buffer->device, buffer->request.size);
}

static size_t any_size(struct model *model)
{
	switch (below(model, 6)) {
	case 0:
		return 1 + below(model, SEGMENT);
	case 1:
		return 1 + below(model, 30000);
	default:
		return 1 + below(model, 5000);
	}
}

static void try_map(struct model *model, unsigned int index)
{
	struct buffer *buffer = &model->buffer[index];
	struct bounce_request *request = &buffer->request;
	struct bounce_mapping *mapping;
	uint64_t used = stats_of(model->pool).used;

	*request = request_of(model->memory + index * 2 * SEGMENT + below(model, 20000),
			      any_size(model));
	request->min_align_mask = any_mask(model);
	request->alloc_align_mask = any_mask(model);
	if (!below(model, 5))
		request->boundary = (1ULL << (9 + below(model, 12))) - 1;
	buffer->phys = bounce_map(model->pool, request);
	if (buffer->phys == BOUNCE_NONE) {
		model->failed++;
		assert_int_equal(base_error_code(), -ENOMEM);
		if (request->size <= SEGMENT - align_up(request->min_align_mask, SLOT))
			assert_false(could_fit(model, request));
		return;
	}
	assert_true(request->size <= SEGMENT - align_up(request->min_align_mask, SLOT));
	mapping = bounce_find(buffer->phys);
	assert_int_equal(bounce_start(mapping), buffer->phys);
	buffer->slots = (stats_of(model->pool).used - used) / SLOT;
	buffer->first =
		(align_down(buffer->phys, request->alloc_align_mask + 1) - model->start) / SLOT;
	assert_true(buffer->first + buffer->slots <= SLOTS);
	assert_true(is_right(model, request, buffer->phys, buffer->first, buffer->slots));
	assert_true(all_free(model, buffer->first, buffer->slots));
	for (uint64_t slot = 0; slot < buffer->slots; slot++)
		model->owner[buffer->first + slot] = (uint16_t)(index + 1);
	if (request->alloc_align_mask) {
		phys_addr_t begin = model->start + buffer->first * SLOT;

		assert_true(all_zero(bytes_at(begin), buffer->phys - begin));
		assert_true(all_zero(bytes_at(buffer->phys + request->size),
				     begin + buffer->slots * SLOT - buffer->phys - request->size));
	}
	buffer->device = malloc(request->size);
	memcpy(buffer->device, request->cpu, request->size);
	model->used += buffer->slots;
	if (model->used > model->high_water)
		model->high_water = model->used;
	model->maps++;
	check_content(buffer);
}

/* The device and the program write, parts are synced. */
static void try_copies(struct model *model, struct buffer *buffer)
{
	size_t size = buffer->request.size, first = below(model, size);
	size_t length = 1 + below(model, below(model, 2) ? 100 : size);
	size_t part = length < size - first ? length : size - first;
	struct bounce_mapping *mapping = bounce_find(buffer->phys + first);
	unsigned char *cpu = buffer->request.cpu;

	check_content(buffer);
	if (below(model, 2)) {
		memset(cpu + first, (int)below(model, 256), part);
		memcpy(buffer->device + first, cpu + first, part);
		assert_int_equal(bounce_to_device(mapping, buffer->phys + first, length), part);
	} else {
		memset(bytes_at(buffer->phys + first), (int)below(model, 256), part);
		memcpy(buffer->device + first, bytes_at(buffer->phys + first), part);
		assert_int_equal(bounce_to_cpu(mapping, buffer->phys + first, length), part);
		assert_memory_equal(cpu + first, buffer->device + first, part);
	}
	check_content(buffer);
}

static void try_unmap(struct model *model, struct buffer *buffer)
{
	bool back = below(model, 2);
	size_t size = buffer->request.size;
	unsigned char *expected = malloc(size);

	check_content(buffer);
	memcpy(expected, back ? buffer->device : buffer->request.cpu, size);
	end(model->start + buffer->first * SLOT + below(model, buffer->slots * SLOT), back);
	assert_memory_equal(buffer->request.cpu, expected, size);
	for (uint64_t slot = 0; slot < buffer->slots; slot++) {
		model->owner[buffer->first + slot] = 0;
		assert_null(bounce_find(model->start + (buffer->first + slot) * SLOT));
	}
	model->used -= buffer->slots;
	free(expected);
	free(buffer->device);
	buffer->phys = BOUNCE_NONE;
}

static void check_all(struct model *model)
{
	struct dma_bounce_stats stats = stats_of(model->pool);

	assert_int_equal(stats.used, model->used * SLOT);
	assert_true(stats.high_water >= model->high_water * SLOT && stats.high_water <= stats.size);
	if (stats.areas == 1)
		assert_int_equal(stats.high_water, model->high_water * SLOT);
	assert_int_equal(stats.maps, model->maps);
	assert_int_equal(stats.failed, model->failed);
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		struct bounce_mapping *mapping = bounce_find(model->start + slot * SLOT);

		assert_int_equal(!!mapping, !!model->owner[slot]);
		if (mapping)
			assert_int_equal(bounce_start(mapping),
					 model->buffer[model->owner[slot] - 1].phys);
	}
}

static void run(unsigned int areas, uint64_t size, uint64_t *seed)
{
	static struct model model;

	model = (struct model){.random = next_random(seed)};
	model.pool = pool_open(size, SEGMENTS * SEGMENT, areas);
	model.start = bounce_last(model.pool) + 1 - SEGMENTS * SEGMENT;
	model.memory = memory_open(BUFFERS * 2 * SEGMENT);
	for (unsigned int n = 0; n < OPERATIONS; n++) {
		unsigned int index = (unsigned int)below(&model, BUFFERS);
		struct buffer *buffer = &model.buffer[index];

		if (buffer->phys == BOUNCE_NONE)
			try_map(&model, index);
		else if (below(&model, 4))
			try_unmap(&model, buffer);
		else
			try_copies(&model, buffer);
		if (!(n % 1000))
			check_all(&model);
	}
	check_all(&model);
	for (unsigned int index = 0; index < BUFFERS; index++)
		if (model.buffer[index].phys != BOUNCE_NONE)
			try_unmap(&model, &model.buffer[index]);
	check_all(&model);
	pool_close(model.pool);
	free(model.memory);
}

static void random_calls(void **state)
{
	uint64_t seed = seed_of_run();

	(void)state;
	run(1, SEGMENTS * SEGMENT, &seed);
	run(2, 2 * SEGMENT, &seed);
	run(4, 4 * SEGMENT, &seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
