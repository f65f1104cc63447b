/* SPDX-License-Identifier: MIT */
/*
 * Where a buffer lies: the low bits of the address that are kept, whole aligned pieces
 * with zeroed padding, the segment boundary. All masks, sizes and offsets together.
 */
#include "fixture.h"

static const uint64_t masks[] = {0, 63, 511, 2047, 4095, 8191, 16383, 65535};
static const uint64_t offsets[] = {0,	 1,    63,   64,   511,	  512,	2047,
				   2048, 2049, 4095, 6144, 10240, 65535};
static const size_t sizes[] = {1, 7, 512, 2047, 2048, 2049, 4095, 4096, 4097, 10000, 65536, 100000};

struct fixture {
	struct dma_bounce *pool;
	unsigned char *memory;
};

static int setup(void **state)
{
	static struct fixture fixture;

	fixture.pool = pool_open(SEGMENT, SEGMENT, 1);
	fixture.memory = memory_open(4 * SEGMENT);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	pool_close(fixture->pool);
	free(fixture->memory);
	return 0;
}

/* Make all of the pool dirty, so that what is zero has been zeroed. */
static void soil(struct fixture *fixture)
{
	phys_addr_t phys = lend(fixture->pool, fixture->memory, SEGMENT);

	memset(bytes_at(phys), 0xee, SEGMENT);
	end(phys, false);
}

static void check(struct fixture *fixture, const struct bounce_request *request)
{
	phys_addr_t phys = bounce_map(fixture->pool, request);
	uint64_t piece = request->alloc_align_mask + 1;
	uint64_t first, last;

	assert_int_not_equal(phys, BOUNCE_NONE);
	assert_int_equal(phys & request->min_align_mask, request->phys & request->min_align_mask);
	assert_memory_equal(bytes_at(phys), request->cpu, request->size);
	assert_true(phys / SEGMENT == (phys + request->size - 1) / SEGMENT);
	assert_ptr_equal(bounce_find(phys), bounce_find(phys + request->size - 1));
	assert_int_equal(bounce_start(bounce_find(phys)), phys);
	assert_int_equal(bounce_size(bounce_find(phys)), request->size);
	assert_int_equal(bounce_origin(bounce_find(phys)), request->phys);
	if (!request->min_align_mask && !request->alloc_align_mask)
		assert_int_equal(phys % (request->size < 4096 ? SLOT : 4096), 0);
	first = align_down(phys, piece);
	last = align_up(phys + request->size, piece) - 1;
	/* All that a device would see of whole pieces belongs to the buffer and is zero. */
	assert_ptr_equal(bounce_find(first), bounce_find(phys));
	assert_ptr_equal(bounce_find(last), bounce_find(phys));
	if (request->alloc_align_mask) {
		assert_true(all_zero(bytes_at(first), phys - first));
		assert_true(
			all_zero(bytes_at(phys + request->size), last + 1 - phys - request->size));
	}
	/* No more slots than that takes. */
	assert_int_equal(stats_of(fixture->pool).used,
			 align_up(last + 1, SLOT) - align_down(first, SLOT));
	end(phys, true);
	assert_int_equal(stats_of(fixture->pool).used, 0);
	assert_null(bounce_find(phys));
}

static void every_combination(void **state)
{
	struct fixture *fixture = *state;

	for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
		for (size_t a = 0; a < ARRAY_SIZE(masks); a++) {
			soil(fixture);
			for (size_t o = 0; o < ARRAY_SIZE(offsets); o++) {
				for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
					struct bounce_request request =
						request_of(fixture->memory + offsets[o], sizes[s]);

					request.min_align_mask = masks[m];
					request.alloc_align_mask = masks[a];
					check(fixture, &request);
				}
			}
		}
	}
}

/* The address is 0x800 in a page, and stays there, with a page as the smallest piece. */
static void the_offset_lies_inside_the_aligned_piece(void **state)
{
	struct fixture *fixture = *state;
	struct bounce_request request = request_of(fixture->memory + 0x800, 0x1000);
	phys_addr_t phys;

	request.min_align_mask = 4095;
	request.alloc_align_mask = 4095;
	soil(fixture);
	phys = bounce_map(fixture->pool, &request);
	assert_int_equal(phys & 4095, 0x800);
	assert_int_equal(stats_of(fixture->pool).used, 8192);
	assert_true(all_zero(bytes_at(phys - 0x800), 0x800));
	assert_true(all_zero(bytes_at(phys + 0x1000), 0x800));
	assert_ptr_equal(bounce_find(phys - 0x800), bounce_find(phys));
	end(phys, true);
	/* The bits that nobody wants kept are not: the buffer begins at the piece. */
	request.min_align_mask = 0;
	phys = bounce_map(fixture->pool, &request);
	assert_int_equal(phys & 4095, 0);
	assert_int_equal(stats_of(fixture->pool).used, 4096);
	end(phys, true);
}

static void without_whole_pieces_nothing_is_cleared(void **state)
{
	struct fixture *fixture = *state;
	phys_addr_t phys;

	soil(fixture);
	phys = lend(fixture->pool, fixture->memory, 100);
	assert_int_equal(*bytes_at(phys + 100), 0xee);
	end(phys, true);
}

static void slots_are_chosen_for_the_bits_above_them(void **state)
{
	struct fixture *fixture = *state;
	struct bounce_request request = request_of(fixture->memory + 6 * SLOT + 5, 100);
	phys_addr_t phys[8];

	request.min_align_mask = 16383;
	for (size_t i = 0; i < ARRAY_SIZE(phys); i++) {
		phys[i] = bounce_map(fixture->pool, &request);
		assert_int_equal(phys[i] & 16383, 6 * SLOT + 5);
	}
	/* One slot each: what lies between is free for others. */
	assert_int_equal(stats_of(fixture->pool).used, ARRAY_SIZE(phys) * SLOT);
	for (size_t i = 0; i < ARRAY_SIZE(phys); i++)
		end(phys[i], true);
}

static void the_boundary_is_not_crossed(void **state)
{
	struct fixture *fixture = *state;
	static phys_addr_t taken[128];

	for (uint64_t boundary = 511; boundary < 2 * SEGMENT; boundary = boundary * 2 + 1) {
		for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
			struct bounce_request request = request_of(fixture->memory, sizes[s]);
			size_t nr = 0;

			request.boundary = boundary;
			while (nr < ARRAY_SIZE(taken)) {
				taken[nr] = bounce_map(fixture->pool, &request);
				if (taken[nr] == BOUNCE_NONE)
					break;
				assert_true(taken[nr] / (boundary + 1) ==
					    (taken[nr] + sizes[s] - 1) / (boundary + 1));
				nr++;
			}
			assert_int_equal(nr > 0, sizes[s] <= boundary + 1);
			if (!nr)
				assert_says("boundary");
			while (nr)
				end(taken[--nr], true);
		}
	}
}

static void the_boundary_counts_from_where_the_buffer_begins(void **state)
{
	struct fixture *fixture = *state;
	struct bounce_request request = request_of(fixture->memory + 300, 212);
	phys_addr_t phys;

	request.min_align_mask = 511;
	request.boundary = 511;
	phys = bounce_map(fixture->pool, &request);
	assert_int_equal(phys & 511, 300);
	end(phys, true);
	request.size = 213;
	assert_int_equal(bounce_map(fixture->pool, &request), BOUNCE_NONE);
	assert_says("boundary");
	assert_int_equal(stats_of(fixture->pool).used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_combination, setup, teardown),
		cmocka_unit_test_setup_teardown(the_offset_lies_inside_the_aligned_piece, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_whole_pieces_nothing_is_cleared, setup,
						teardown),
		cmocka_unit_test_setup_teardown(slots_are_chosen_for_the_bits_above_them, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_boundary_is_not_crossed, setup, teardown),
		cmocka_unit_test_setup_teardown(the_boundary_counts_from_where_the_buffer_begins,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
