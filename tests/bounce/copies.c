/* SPDX-License-Identifier: MIT */
/* What is copied when: in for every direction, parts on request, back only if wanted. */
#include "fixture.h"

#define LENGTH 10000

struct fixture {
	struct dma_bounce *pool;
	unsigned char *memory;
	unsigned char before[SEGMENT];
};

static int setup(void **state)
{
	static struct fixture fixture;

	fixture.pool = pool_open(MIB, MIB, 2);
	fixture.memory = memory_open(SEGMENT);
	memcpy(fixture.before, fixture.memory, SEGMENT);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	free(fixture->memory);
	pool_close(fixture->pool);
	return 0;
}

static void in_for_every_direction(void **state)
{
	struct fixture *fixture = *state;

	for (int dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		struct bounce_request request = request_of(fixture->memory + 3, LENGTH);
		phys_addr_t phys;

		request.dir = (enum dma_data_direction)dir;
		phys = bounce_map(fixture->pool, &request);
		assert_memory_equal(bytes_at(phys), fixture->memory + 3, LENGTH);
		end(phys, false);
	}
}

/* A device writes a part; the bytes that it leaves alone stay what they were. */
static void back_if_wanted(void **state)
{
	struct fixture *fixture = *state;
	phys_addr_t phys = lend(fixture->pool, fixture->memory + 3, LENGTH);

	memset(bytes_at(phys + 2000), 0xab, 100);
	assert_memory_equal(fixture->memory, fixture->before, SEGMENT);
	end(phys, true);
	for (size_t i = 0; i < SEGMENT; i++)
		assert_int_equal(fixture->memory[i],
				 i >= 2003 && i < 2103 ? 0xab : fixture->before[i]);
}

static void not_back_unless_wanted(void **state)
{
	struct fixture *fixture = *state;
	phys_addr_t phys = lend(fixture->pool, fixture->memory, LENGTH);

	memset(bytes_at(phys), 0xab, LENGTH);
	end(phys, false);
	assert_memory_equal(fixture->memory, fixture->before, SEGMENT);
}

/* Exactly the bytes asked for, from any to any. */
static void parts(void **state)
{
	struct fixture *fixture = *state;
	static const uint64_t firsts[] = {0, 1,	 2,  3,	   4,	 5,    7,    8,
					  9, 61, 64, 2040, 2047, 2048, 4095, 6001};
	static const size_t sizes[] = {0,  1,  2,  3,  4,  5,	6,   7,	  8,   9,    12,   15,
				       16, 17, 63, 64, 65, 100, 511, 512, 513, 2047, 2048, 3000};
	static const size_t starts[] = {0, 1, 4, 8};
	unsigned char *memory = fixture->memory;

	for (size_t t = 0; t < ARRAY_SIZE(starts); t++) {
		struct bounce_request request = request_of(memory + starts[t], LENGTH);
		unsigned char *buffer;
		phys_addr_t phys;

		request.min_align_mask = 63;
		phys = bounce_map(fixture->pool, &request);
		buffer = bytes_at(phys);
		for (size_t f = 0; f < ARRAY_SIZE(firsts); f++) {
			for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
				struct bounce_mapping *mapping = bounce_find(phys + firsts[f]);
				unsigned char *part = memory + starts[t] + firsts[f];

				memset(buffer, 0xcd, LENGTH);
				memcpy(memory, fixture->before, SEGMENT);
				assert_int_equal(bounce_to_cpu(mapping, phys + firsts[f], sizes[s]),
						 sizes[s]);
				for (size_t i = 0; i < sizes[s]; i++)
					assert_int_equal(part[i], 0xcd);
				memcpy(part, fixture->before + starts[t] + firsts[f], sizes[s]);
				assert_memory_equal(memory, fixture->before, SEGMENT);

				assert_int_equal(
					bounce_to_device(mapping, phys + firsts[f], sizes[s]),
					sizes[s]);
				assert_memory_equal(buffer + firsts[f], part, sizes[s]);
				memset(buffer + firsts[f], 0xcd, sizes[s]);
				for (size_t i = 0; i < LENGTH; i++)
					assert_int_equal(buffer[i], 0xcd);
			}
		}
		end(phys, false);
	}
}

static void what_is_outside_is_left_out(void **state)
{
	struct fixture *fixture = *state;
	struct bounce_request request = request_of(fixture->memory + 100, 1000);
	struct bounce_mapping *mapping;
	phys_addr_t phys;

	request.min_align_mask = 4095;
	request.alloc_align_mask = 4095;
	phys = bounce_map(fixture->pool, &request);
	mapping = bounce_find(phys);
	/* Before it, behind it, across its ends, all around. */
	assert_int_equal(bounce_to_cpu(mapping, phys - 100, 100), 0);
	assert_int_equal(bounce_to_cpu(mapping, phys - 100, 101), 1);
	assert_int_equal(bounce_to_cpu(mapping, phys + 1000, 5000), 0);
	assert_int_equal(bounce_to_cpu(mapping, phys + 999, 5000), 1);
	assert_int_equal(bounce_to_cpu(mapping, phys - 100, 4096), 1000);
	assert_int_equal(bounce_to_device(mapping, phys - 50, 60), 10);
	assert_int_equal(bounce_to_device(mapping, phys + 990, 60), 10);
	assert_int_equal(bounce_to_device(mapping, phys, SIZE_MAX), 1000);
	assert_int_equal(bounce_to_device(mapping, 0, SIZE_MAX), 1000);
	assert_int_equal(bounce_to_device(mapping, UINT64_MAX, SIZE_MAX), 0);
	assert_int_equal(bounce_to_device(mapping, phys, 0), 0);
	/* Nothing but the buffer has changed, on either side. */
	assert_true(all_zero(bytes_at(phys - 100), 100));
	assert_true(all_zero(bytes_at(phys + 1000), 4096 - 1100));
	memset(bytes_at(phys - 100), 0xab, 4096);
	assert_int_equal(bounce_to_cpu(mapping, phys - 100, 4096), 1000);
	for (size_t i = 0; i < SEGMENT; i++)
		assert_int_equal(fixture->memory[i],
				 i >= 100 && i < 1100 ? 0xab : fixture->before[i]);
	end(phys, false);
}

/* Two lists become one, in whatever of them buffers are. */
static void joined_lists(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned int on = 0; on < 4; on++)
		for (unsigned int more = 0; more < 4; more++) {
			struct bounce_list all = {NULL}, others = {NULL};

			for (size_t i = 0; i < on + more; i++) {
				phys_addr_t phys = lend(fixture->pool, fixture->memory, 100);

				bounce_list_add(i < on ? &all : &others, bounce_find(phys), false);
			}
			bounce_list_join(&all, &others);
			assert_int_equal(stats_of(fixture->pool).used, (on + more) * SLOT);
			bounce_list_finish(&all);
			assert_int_equal(stats_of(fixture->pool).used, 0);
		}
}

/* What a buffer stands in for, and for whom. */
static void owners_and_origins(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *memory = fixture->memory;
	struct bounce_request request = {
		.phys = (uintptr_t)memory + 5000,
		.cpu = memory + 5000,
		.size = 100,
		.boundary = UINT64_MAX,
		.owner = fixture,
	};
	phys_addr_t base = (uintptr_t)memory, other = lend(fixture->pool, memory, 100);
	struct bounce_list list = {NULL};

	assert_true(bounce_map(fixture->pool, &request) != BOUNCE_NONE);
	assert_true(bounce_stands_for(base + 5099, base + 9000));
	assert_true(bounce_stands_for(base + 200, base + 5000));
	assert_true(bounce_stands_for(base, base));
	assert_false(bounce_stands_for(base + 100, base + 4999));
	assert_false(bounce_stands_for(base + 5100, base + 9000));

	assert_int_equal(bounce_list_add_owned(&list, &list), 0);
	assert_int_equal(bounce_list_add_owned(&list, fixture), 1);
	bounce_list_finish(&list);
	assert_false(bounce_stands_for(base + 5000, base + 5099));
	assert_true(bounce_stands_for(base, base));
	end(other, false);
	assert_false(bounce_stands_for(base, base + 9000));
}

static void lists(void **state)
{
	struct fixture *fixture = *state;
	struct bounce_list list = {NULL};
	struct bounce_mapping *mapping[3];
	phys_addr_t phys[3];

	bounce_list_finish(&list);
	assert_null(list.first);
	for (size_t i = 0; i < 3; i++) {
		phys[i] = lend(fixture->pool, fixture->memory + i * 100, 100);
		mapping[i] = bounce_find(phys[i]);
		memset(bytes_at(phys[i]), 0xab, 100);
		bounce_list_add(&list, mapping[i], i != 1);
		/* The second time is for nothing, whatever it says. */
		bounce_list_add(&list, mapping[i], i == 1);
		bounce_list_add(&list, mapping[0], false);
	}
	/* Until it is finished, all are lent and nothing has come back. */
	assert_int_equal(stats_of(fixture->pool).used, 3 * SLOT);
	assert_memory_equal(fixture->memory, fixture->before, SEGMENT);
	bounce_list_finish(&list);
	assert_null(list.first);
	assert_int_equal(stats_of(fixture->pool).used, 0);
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(fixture->memory[i], i / 100 == 1 ? fixture->before[i] : 0xab);
	/* A buffer of the same slots can be on a list again. */
	phys[0] = lend(fixture->pool, fixture->memory, 100);
	end(phys[0], true);
	assert_int_equal(stats_of(fixture->pool).used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_for_every_direction, setup, teardown),
		cmocka_unit_test_setup_teardown(back_if_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(not_back_unless_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(parts, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_outside_is_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(lists, setup, teardown),
		cmocka_unit_test_setup_teardown(joined_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(owners_and_origins, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
