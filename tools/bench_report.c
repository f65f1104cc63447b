/* SPDX-License-Identifier: MIT */
/* Medians, the table and the JSON text. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "json.h"
#include "tool.h"

static const char *const limit_name[] = {
	[LIMIT_NONE] = NULL,
	[LIMIT_RAW] = "raw_scalar",
	[LIMIT_CLEAR] = "clear_256",
	[LIMIT_UNCHECKED] = "unchecked",
	[LIMIT_COPIES] = "copies_bound",
	[LIMIT_LOOK_UP] = "load_and_call",
	[LIMIT_STRICT] = "strict",
	[LIMIT_TWO_STEP] = "two_step",
};

/* The unit of a ratio, in the table. */
static const char *const limit_unit[] = {
	[LIMIT_NONE] = "",	     [LIMIT_RAW] = "raw  ",	 [LIMIT_CLEAR] = "clear",
	[LIMIT_UNCHECKED] = "off  ", [LIMIT_COPIES] = "bound",	 [LIMIT_LOOK_UP] = "load ",
	[LIMIT_STRICT] = "strict",   [LIMIT_TWO_STEP] = "link ",
};

struct summary {
	double median;
	double min;
	double max;
};

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static struct summary sum_up(const double *values, size_t nr)
{
	double sorted[BENCH_MOST_RUNS];

	memcpy(sorted, values, nr * sizeof(*values));
	qsort(sorted, nr, sizeof(*sorted), compare);
	return (struct summary){
		.median = (sorted[(nr - 1) / 2] + sorted[nr / 2]) / 2,
		.min = sorted[0],
		.max = sorted[nr - 1],
	};
}

static void json_row(struct json *json, const struct bench_row *row, size_t runs)
{
	const struct bench_figure *figure = row->figure;
	struct summary value = sum_up(row->value, runs), limit = sum_up(row->limit, runs);
	double target = figure->target[row->variant];

	json_object(json, NULL);
	json_string(json, "name", row->name);
	json_string(json, "unit", figure->unit);
	json_double(json, "value", value.median);
	if (figure->pages)
		json_double(json, "per_page", value.median / (double)figure->pages);
	else
		json_null(json, "per_page");
	if (figure->limit == LIMIT_NONE) {
		json_null(json, "limit");
		json_null(json, "limit_name");
		json_null(json, "ratio");
	} else {
		json_double(json, "limit", limit.median);
		json_string(json, "limit_name", limit_name[figure->limit]);
		json_double(json, "ratio", value.median / limit.median);
	}
	json_unsigned(json, "runs", runs);
	json_unsigned(json, "held_up", row->held_up);
	json_double(json, "min", value.min);
	json_double(json, "max", value.max);
	if (target > 0) {
		json_double(json, "target", target);
		json_bool(json, "reached", value.median / limit.median <= target);
	} else {
		json_null(json, "target");
		json_null(json, "reached");
	}
	json_end(json);
}

static void json_skipped(struct json *json, const struct bench_row *rows, size_t nr_rows)
{
	json_list(json, "skipped");
	for (size_t i = 0; i < nr_rows; i++) {
		if (!rows[i].skipped)
			continue;
		json_object(json, NULL);
		json_string(json, "name", rows[i].name);
		json_string(json, "why", rows[i].skipped);
		json_end(json);
	}
	json_end(json);
}

void bench_print_json(const char *uri, const struct bench_machine *machine,
		      const struct bench_row *rows, size_t nr_rows, size_t runs)
{
	struct json json;

	json_begin(&json, stdout);
	json_object(&json, NULL);
	json_object(&json, "machine");
	json_string(&json, "cpu", machine->cpu);
	json_unsigned(&json, "cores", (uint64_t)machine->cores);
	json_string(&json, "kernel", machine->kernel);
	json_string(&json, "compiler", build_compiler());
	json_string(&json, "build", build_type());
	json_end(&json);
	json_string(&json, "commit", build_commit());
	json_string(&json, "device", uri);
	json_list(&json, "results");
	for (size_t i = 0; i < nr_rows; i++)
		if (!rows[i].skipped)
			json_row(&json, &rows[i], runs);
	json_end(&json);
	json_skipped(&json, rows, nr_rows);
	json_end(&json);
}

static void print_row(const struct bench_row *row, size_t runs)
{
	const struct bench_figure *figure = row->figure;
	struct summary value = sum_up(row->value, runs), limit = sum_up(row->limit, runs);
	double target = figure->target[row->variant];

	printf("%-32s %10.4g %-5s %10.4g %10.4g", row->name, value.median, figure->unit, value.min,
	       value.max);
	if (figure->limit != LIMIT_NONE)
		printf(" %8.3f %s", value.median / limit.median, limit_unit[figure->limit]);
	if (target > 0)
		printf("  at most %-5g %s", target,
		       value.median / limit.median <= target ? "reached" : "MISSED");
	if (row->held_up)
		printf("  (in %zu of %zu runs the device lacked a processor)", row->held_up, runs);
	putchar('\n');
}

void bench_print_table(const char *uri, const struct bench_machine *machine,
		       const struct bench_row *rows, size_t nr_rows, size_t runs)
{
	printf("%s, %ld cores, %s\n%s, %s build, commit %s\ndevice %s, median of %zu interleaved "
	       "runs",
	       machine->cpu, machine->cores, machine->kernel, build_compiler(), build_type(),
	       build_commit(), uri, runs);
	if (machine->device_cpu < 0)
		printf("; one core: a device that reads shares it");
	printf("\nraw: a loop that stores 256 scattered entries; clear: one that clears them\n"
	       "off: the same without misuse checks; bound: the copies there and back, twice, and "
	       "100 ns\nload: a dependent load from as much memory, and an empty call\n\n");
	printf("%-32s %10s %-5s %10s %10s %8s\n", "", "median", "", "min", "max", "ratio");
	for (size_t i = 0; i < nr_rows; i++)
		if (!rows[i].skipped)
			print_row(&rows[i], runs);
	for (size_t i = 0; i < nr_rows; i++)
		if (rows[i].skipped)
			printf("%-32s not measured: %s\n", rows[i].name, rows[i].skipped);
}
