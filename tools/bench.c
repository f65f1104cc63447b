/* SPDX-License-Identifier: MIT */
/* The verb bench: the rig, rows and rounds. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "tool.h"

#define RUN_NS 3000000u
#define SHORT_RUN_NS 500000u
#define USUAL_RUNS 21u

struct bench {
	struct bench_machine machine;
	struct bench_rig rig;
	struct bench_row *rows;
	size_t nr_rows;
	size_t runs;
};

static bool open_device(const char *uri, struct dma_dev **dev)
{
	if (dma_dev_open(uri, dev)) {
		tool_say_dma("cannot open the device '%s'", uri);
		return false;
	}
	if (dma_set_mask_and_coherent(*dev, DMA_BIT_MASK(64))) {
		tool_say_dma("cannot set the DMA mask of '%s'", uri);
		return false;
	}
	return true;
}

/* The device once more, with another option; none if it has such an option already. */
static bool open_variant(const char *uri, const char *key, const char *value, struct dma_dev **dev)
{
	char text[1024], option[32];

	snprintf(option, sizeof(option), ",%s=", key);
	if (strstr(uri, option))
		return true;
	snprintf(text, sizeof(text), "%s%s%s", uri, option, value);
	return open_device(text, dev);
}

static bool open_rig(struct bench *bench, const char *uri)
{
	struct bench_rig *rig = &bench->rig;
	struct dma_iova_state probe;

	rig->main_cpu = bench->machine.main_cpu;
	rig->device_cpu = bench->machine.device_cpu;
	if (!open_device(uri, &rig->plain) || !open_device(uri, &rig->unrelated) ||
	    !open_variant(uri, "debug", "on", &rig->checked) ||
	    !open_variant(uri, "bounce", "force", &rig->bouncing) ||
	    !open_variant(uri, "map", "ahead", &rig->ahead) ||
	    !pool_open(&rig->pool, BENCH_POOL_PAGES, 4))
		return false;
	rig->dev = rig->plain;
	pool_scatter(&rig->pool);
	pool_vec(&rig->pool, rig->vec, BENCH_PAGES);
	rig->on_bus = dma_dev_port(rig->dev) && dma_dev_port(rig->unrelated);
	rig->translates = dma_iova_try_alloc(rig->dev, &probe, 0, POOL_PAGE);
	if (rig->translates)
		dma_iova_free(rig->dev, &probe);
	/* Where nothing is translated there is no such option. */
	if (rig->translates && !open_variant(uri, "lazy", "on", &rig->lazy))
		return false;
	if (!rig->on_bus)
		return true;
	return reader_open(&rig->reader, rig->dev, bench->machine.device_cpu) &&
	       reader_open(&rig->unrelated_reader, rig->unrelated, bench->machine.device_cpu);
}

static void close_rig(struct bench_rig *rig)
{
	reader_close(&rig->reader);
	reader_close(&rig->unrelated_reader);
	dma_dev_close(rig->plain);
	dma_dev_close(rig->checked);
	dma_dev_close(rig->bouncing);
	premap_close(rig);
	dma_dev_close(rig->ahead);
	dma_dev_close(rig->lazy);
	dma_dev_close(rig->unrelated);
	pool_close(&rig->pool);
}

static struct dma_dev *device_of(const struct bench_rig *rig, enum bench_device device)
{
	switch (device) {
	case ON_CHECKED:
		return rig->checked;
	case ON_BOUNCING:
		return rig->bouncing;
	case ON_AHEAD:
		return rig->ahead;
	case ON_LAZY:
		return rig->lazy;
	case ON_PLAIN:
		break;
	}
	return rig->plain;
}

static const char *why_skipped(const struct bench_rig *rig, const struct bench_row *row)
{
	if (row->figure->needs_iova && !rig->translates)
		return "the device gives no IOVA ranges";
	if (!device_of(rig, row->figure->device))
		return "the device's URI says otherwise";
	if ((row->figure->needs_bus || variant_busy(row->variant)) && !rig->on_bus)
		return "the device cannot be made to read";
	if (row->figure->run == raw_vector && !raw_vector_possible())
		return "the processor has no AVX2";
	return NULL;
}

static bool lay_out_rows(struct bench *bench, const char *filter)
{
	struct bench_row *row;

	bench->rows = calloc(bench_nr_figures * NR_VARIANTS, sizeof(*bench->rows));
	if (!bench->rows) {
		tool_say("no memory for the results");
		return false;
	}
	for (size_t i = 0; i < bench_nr_figures; i++) {
		for (unsigned int variant = 0; variant < NR_VARIANTS; variant++) {
			if (variant != VARIANT_IDLE && bench_figures[i].plain)
				break;
			row = &bench->rows[bench->nr_rows];
			row->figure = &bench_figures[i];
			row->variant = variant;
			snprintf(row->name, sizeof(row->name), "%s%s", row->figure->name,
				 bench_suffix[variant]);
			if (!filter || strstr(row->name, filter))
				bench->nr_rows++;
		}
	}
	return true;
}

static bool run_limit(struct bench_rig *rig, const struct bench_figure *figure, double *value)
{
	switch (figure->limit) {
	case LIMIT_UNCHECKED:
	case LIMIT_STRICT:
		return figure->run(rig, figure->pages, false, value);
	case LIMIT_LOOK_UP:
		return raw_look_up(rig, figure->regions, false, value);
	case LIMIT_COPIES:
		return raw_bounce(rig, figure->threads, false, value);
	case LIMIT_RAW:
		return raw_scalar(rig, BENCH_RAW_PAGES, false, value);
	case LIMIT_TWO_STEP:
		return raw_map_sg(rig, figure->pages, false, value);
	case LIMIT_CLEAR:
		return raw_clear(rig, BENCH_RAW_PAGES, false, value);
	case LIMIT_NONE:
		break;
	}
	return true;
}

/* What the figure's operation is told in place of a number of pages, if it is another. */
static size_t count_of(const struct bench_figure *figure)
{
	if (figure->threads)
		return figure->threads;
	return figure->regions ? figure->regions : figure->pages;
}

static bool run_row(struct bench_rig *rig, struct bench_row *row, size_t run)
{
	const struct bench_figure *figure = row->figure;
	bool gather = variant_gather(row->variant);
	bool all_the_time = false;
	bool good = true;

	if (!variant_busy(row->variant)) {
		if (!run_limit(rig, figure, &row->limit[run]))
			return false;
		rig->dev = device_of(rig, figure->device);
		good = figure->run(rig, count_of(figure), gather, &row->value[run]);
		rig->dev = rig->plain;
		return good;
	}
	/* A run during which the device was not let run says little: again, or it is told. */
	for (size_t tries = 0; good && !all_the_time && tries < BENCH_BUSY_TRIES; tries++) {
		if (!run_limit(rig, figure, &row->limit[run]))
			return false;
		reader_start(&rig->reader);
		good = figure->run(rig, figure->pages, gather, &row->value[run]);
		good = reader_stop(&rig->reader, &all_the_time) && good;
	}
	if (good && !all_the_time)
		row->held_up++;
	return good;
}

static bool run_rounds(struct bench *bench)
{
	bool good = true;

	for (size_t i = 0; i < bench->nr_rows; i++)
		bench->rows[i].skipped = why_skipped(&bench->rig, &bench->rows[i]);
	progress_begin("bench", bench->runs * bench->nr_rows);
	for (size_t run = 0; good && run < bench->runs; run++) {
		for (size_t i = 0; good && i < bench->nr_rows; i++) {
			if (!bench->rows[i].skipped)
				good = run_row(&bench->rig, &bench->rows[i], run);
			progress_step(run * bench->nr_rows + i);
		}
	}
	progress_end();
	return good;
}

static bool measure(struct bench *bench, const char *uri, bool as_json)
{
	bool good;

	machine_open(&bench->machine);
	good = open_rig(bench, uri) && run_rounds(bench);
	close_rig(&bench->rig);
	if (!good)
		return false;
	if (as_json)
		bench_print_json(uri, &bench->machine, bench->rows, bench->nr_rows, bench->runs);
	else
		bench_print_table(uri, &bench->machine, bench->rows, bench->nr_rows, bench->runs);
	return true;
}

int bench_run(const struct tool_verb *verb, int argc, char **argv)
{
	const char *uri = "soft:", *filter = NULL, *runs_text = NULL;
	bool as_json = false, is_short = false;
	const struct tool_option options[] = {
		{"device", "URI", "the device (soft:)", NULL, &uri},
		{"filter", "TEXT", "only figures whose name contains TEXT", NULL, &filter},
		{"json", NULL, "print one JSON object", &as_json, NULL},
		{"runs", "N", "runs of each figure, 9 to 999 (21; 9 with --short)", NULL,
		 &runs_text},
		{"short", NULL, "shorter runs, and fewer", &is_short, NULL},
	};
	struct bench bench = {0};
	unsigned long runs;
	int code = TOOL_FAILED;

	switch (tool_parse(verb, options, sizeof(options) / sizeof(options[0]), argc, argv, NULL)) {
	case TOOL_PARSED_HELP:
		return TOOL_DONE;
	case TOOL_PARSED_MISUSED:
		return TOOL_MISUSED;
	case TOOL_PARSED:
		break;
	}
	runs = is_short ? BENCH_LEAST_RUNS : USUAL_RUNS;
	if (runs_text &&
	    !tool_number(verb, "runs", runs_text, BENCH_LEAST_RUNS, BENCH_MOST_RUNS, &runs))
		return TOOL_MISUSED;
	bench.runs = runs;
	bench.rig.run_ns = is_short ? SHORT_RUN_NS : RUN_NS;
	if (!lay_out_rows(&bench, filter))
		return TOOL_FAILED;
	if (!bench.nr_rows) {
		tool_say("bench: no figure's name contains '%s'", filter);
		code = TOOL_MISUSED;
	} else if (measure(&bench, uri, as_json)) {
		code = TOOL_DONE;
	}
	free(bench.rows);
	return code;
}
