/* SPDX-License-Identifier: MIT */
/*
 * Random calls on the library and on a model of it, which must agree: on every answer,
 * on every translation, on every byte that devices see, and on what the statistics say.
 *
 * two_step [SEED [CALLS]], or TWOSTEP_SEED and TWOSTEP_CALLS: what to repeat. A list of
 * calls that does not agree is made as short as it can be and printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "model.h"
#include "../slow.h"

static uint64_t seed;
static unsigned int seeds = 4 / SLOW + 1;
static size_t nr_calls = 100000 / SLOW;

static const struct config second_stage = {
	.uri = {"soft:", "soft:untrusted,iotlb=16,ways=2"},
	.bounces = true,
	.va_bits = 48,
};
static const struct config x86 = {
	.uri = {"soft:pgtable=x86-64,iotlb=256", "soft:untrusted,iotlb=8,ways=8"},
	.bounces = true,
	.write_implies_read = true,
	.va_bits = 47,
};
static const struct config unbounced = {
	.uri = {"soft:", "soft:untrusted,bounce=off,iotlb=16,ways=2"},
	.va_bits = 48,
};
static const struct config absent = {
	.uri = {"soft:absent=cache", "soft:untrusted,iotlb=1024"},
	.bounces = true,
	.needs_sync = true,
	.va_bits = 48,
};

static void show(const struct config *config, struct call *calls, size_t nr, uint64_t from)
{
	const char *text;
	size_t at;

	nr = shrink(config, calls, nr);
	print_message("TWOSTEP_SEED=%llu: the calls that do not agree\n", ull(from));
	text = run_apart(config, calls, nr, true, &at);
	print_message("%zu calls: %s\n", nr, text ? text : "agree now");
}

static void agrees_from(const struct config *config, uint64_t from)
{
	struct call *calls = malloc(nr_calls * sizeof(*calls));
	const char *text;
	size_t at = 0;

	assert_non_null(calls);
	print_message("TWOSTEP_SEED=%llu TWOSTEP_CALLS=%zu\n", ull(from), nr_calls);
	draw_calls(calls, nr_calls, from);
	text = run_apart(config, calls, nr_calls, false, &at);
	if (text) {
		print_message("call %zu: %s\n", at, text);
		show(config, calls, at, from);
	}
	free(calls);
	assert_null(text);
	/* So many calls meet everything there is to meet. */
	for (enum met what = 0;
	     nr_calls >= 100000 && what < (config->bounces ? NR_MET : MET_BOUNCED); what++)
		assert_int_not_equal(has_met(what), 0);
}

static void agrees(const struct config *config)
{
	for (unsigned int i = 0; i < seeds; i++)
		agrees_from(config, seed + i);
}

static void agrees_with_second_stage_tables(void **state)
{
	(void)state;
	agrees(&second_stage);
}

static void agrees_with_x86_64_tables(void **state)
{
	(void)state;
	agrees(&x86);
}

static void agrees_where_absence_is_cached(void **state)
{
	(void)state;
	agrees(&absent);
}

static void agrees_where_nothing_is_bounced(void **state)
{
	(void)state;
	agrees(&unbounced);
}

/* A model with a mistake does not agree, and few calls are enough to show it. */
static void finds(enum model_error error)
{
	struct config config = second_stage;
	size_t nr = 50000, at = 0;
	struct call *calls = malloc(nr * sizeof(*calls));

	assert_non_null(calls);
	config.error = error;
	draw_calls(calls, nr, seed);
	assert_non_null(run_apart(&config, calls, nr, false, &at));
	nr = shrink(&config, calls, at);
	assert_in_range(nr, 1, 20);
	assert_non_null(run_apart(&config, calls, nr, false, &at));
	assert_int_equal(at, nr);
	/* Without the mistake they agree. */
	assert_null(run_apart(&second_stage, calls, nr, false, &at));
	free(calls);
}

static void a_mistake_about_large_entries_is_found(void **state)
{
	(void)state;
	finds(MODEL_CUTS_LARGE);
}

static void a_mistake_about_gathers_is_found(void **state)
{
	(void)state;
	finds(MODEL_GATHERS_NOTHING);
}

static void a_mistake_about_copies_is_found(void **state)
{
	(void)state;
	finds(MODEL_LOSES_COPIES);
}

static void a_mistake_about_neighbours_is_found(void **state)
{
	(void)state;
	finds(MODEL_SHOWS_NEIGHBOURS);
}

int main(int argc, char **argv)
{
	const char *given = argc > 1 ? argv[1] : getenv("TWOSTEP_SEED");
	const char *count = argc > 2 ? argv[2] : getenv("TWOSTEP_CALLS");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_second_stage_tables),
		cmocka_unit_test(agrees_with_x86_64_tables),
		cmocka_unit_test(agrees_where_absence_is_cached),
		cmocka_unit_test(agrees_where_nothing_is_bounced),
		cmocka_unit_test(a_mistake_about_large_entries_is_found),
		cmocka_unit_test(a_mistake_about_gathers_is_found),
		cmocka_unit_test(a_mistake_about_copies_is_found),
		cmocka_unit_test(a_mistake_about_neighbours_is_found),
	};

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	if (given)
		seeds = 1;
	if (count)
		nr_calls = strtoull(count, NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
