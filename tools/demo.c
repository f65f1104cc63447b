/* SPDX-License-Identifier: MIT */
/* The verb demo: modes in turn, what is printed. */
#include <inttypes.h>
#include <string.h>

#include "demo.h"
#include "json.h"
#include "tool.h"

struct demo_total {
	bool sha256_ok;
	uint64_t faults;
	uint64_t leaks;
};

static bool mode_sha256_ok(const struct demo_file *file, const struct demo_result *result)
{
	return !strcmp(file->sha256, result->sha256);
}

static double per_page(uint64_t ns, const struct demo_result *result)
{
	return result->pages ? (double)ns / (double)result->pages : 0;
}

static struct demo_total add_up(const struct demo_file *file, const struct demo_result *results)
{
	struct demo_total total = {.sha256_ok = true};

	for (size_t i = 0; i < DEMO_NR_MODES; i++) {
		total.sha256_ok &= mode_sha256_ok(file, &results[i]);
		total.faults += results[i].faults;
		total.leaks += results[i].leaks;
	}
	return total;
}

static void print_json(const char *uri, const struct demo_file *file,
		       const struct demo_result *results)
{
	struct demo_total total = add_up(file, results);
	struct json json;

	json_begin(&json, stdout);
	json_object(&json, NULL);
	json_string(&json, "device", uri);
	json_unsigned(&json, "file_bytes", file->bytes);
	json_string(&json, "sha256", file->sha256);
	json_bool(&json, "sha256_ok", total.sha256_ok);
	json_unsigned(&json, "faults", total.faults);
	json_unsigned(&json, "leaks", total.leaks);
	json_string(&json, "pgtable", results[0].format);
	json_list(&json, "modes");
	for (size_t i = 0; i < DEMO_NR_MODES; i++) {
		const struct demo_result *result = &results[i];

		json_object(&json, NULL);
		json_string(&json, "name", demo_modes[i].name);
		json_bool(&json, "sha256_ok", mode_sha256_ok(file, result));
		json_bool(&json, "fell_back", result->fallbacks != 0);
		json_unsigned(&json, "requests", result->requests);
		json_unsigned(&json, "pages", result->pages);
		json_unsigned(&json, "iova_allocs", result->iova_allocs);
		json_unsigned(&json, "pte_writes", result->pte_writes);
		json_unsigned(&json, "iotlb_invalidations", result->iotlb_invalidations);
		json_unsigned(&json, "metadata_bytes", result->metadata_bytes);
		json_double(&json, "map_ns_per_page", per_page(result->map_ns, result));
		json_double(&json, "unmap_ns_per_page", per_page(result->unmap_ns, result));
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
}

static void print_fallbacks(const char *uri, const struct demo_result *results)
{
	for (size_t i = 0; i < DEMO_NR_MODES; i++)
		if (results[i].fallbacks)
			printf("%s: '%s' gave no IOVA range for %" PRIu64 " of %" PRIu64
			       " mappings; these fell back to one map call a page.\n",
			       demo_modes[i].name, uri, results[i].fallbacks,
			       2 * results[i].requests);
}

static void print_verbose(const struct demo_result *results)
{
	for (size_t i = 0; i < DEMO_NR_MODES; i++)
		printf("%s: %" PRIu64 " requests, %" PRIu64 " pages mapped, %.1f ms in map calls, "
		       "%.1f ms in unmap calls, %.1f ms in all, SHA-256 %s\n",
		       demo_modes[i].name, results[i].requests, results[i].pages,
		       (double)results[i].map_ns / 1e6, (double)results[i].unmap_ns / 1e6,
		       (double)results[i].total_ns / 1e6, results[i].sha256);
}

static void print_table(const char *uri, const struct demo_file *file,
			const struct demo_result *results)
{
	struct demo_total total = add_up(file, results);

	printf("%" PRIu64 " bytes through %s, in %" PRIu64 " requests of up to 1 MiB, up to %u "
	       "scattered pages\non each side; page table %s",
	       file->bytes, uri, results[0].requests, DEMO_PAGES, results[0].format);
	if (results[0].levels)
		printf(", %u levels", results[0].levels);
	printf("\n\n%-9s %8s %8s %13s %9s %9s %9s  %s\n%-9s %8s %8s %13s %9s %9s %9s\n", "", "IOVA",
	       "PTE", "IOTLB", "metadata", "map", "unmap", "SHA-256", "mode", "allocs", "writes",
	       "invalidations", "bytes", "ns/page", "ns/page");
	for (size_t i = 0; i < DEMO_NR_MODES; i++) {
		const struct demo_result *result = &results[i];

		printf("%-9s %8" PRIu64 " %8" PRIu64 " %13" PRIu64 " %9" PRIu64
		       " %9.1f %9.1f  %s\n",
		       demo_modes[i].name, result->iova_allocs, result->pte_writes,
		       result->iotlb_invalidations, result->metadata_bytes,
		       per_page(result->map_ns, result), per_page(result->unmap_ns, result),
		       mode_sha256_ok(file, result) ? "same" : "DIFFERENT");
	}
	printf("\nSHA-256 %s, faults %" PRIu64 ", leaks %" PRIu64 "\n", file->sha256, total.faults,
	       total.leaks);
	print_fallbacks(uri, results);
}

static int judge(const struct demo_file *file, const struct demo_result *results)
{
	struct demo_total total = add_up(file, results);

	for (size_t i = 0; i < DEMO_NR_MODES; i++)
		if (!mode_sha256_ok(file, &results[i]))
			tool_say("what came out in mode %s is not '%s': SHA-256 %s",
				 demo_modes[i].name, file->name, results[i].sha256);
	if (total.faults)
		tool_say("the device met %" PRIu64 " faults", total.faults);
	if (total.leaks)
		tool_say("%" PRIu64 " IOVA ranges are still live", total.leaks);
	return total.sha256_ok && !total.faults && !total.leaks ? TOOL_DONE : TOOL_FAILED;
}

int demo_run(const struct tool_verb *verb, int argc, char **argv)
{
	struct demo_result results[DEMO_NR_MODES];
	const char *uri = "soft:copy", *path = NULL;
	bool as_json = false, verbose = false, good = true;
	const struct tool_option options[] = {
		{"device", "URI", "the copy engine (soft:copy)", NULL, &uri},
		{"json", NULL, "print one JSON object", &as_json, NULL},
		{"verbose", NULL, "print more about each mode", &verbose, NULL},
	};
	struct demo_file file;

	switch (tool_parse(verb, options, sizeof(options) / sizeof(options[0]), argc, argv,
			   &path)) {
	case TOOL_PARSED_HELP:
		return TOOL_DONE;
	case TOOL_PARSED_MISUSED:
		return TOOL_MISUSED;
	case TOOL_PARSED:
		break;
	}
	if (!demo_file_open(&file, path))
		return TOOL_FAILED;
	progress_begin("demo", DEMO_NR_MODES * file.bytes);
	for (size_t i = 0; good && i < DEMO_NR_MODES; i++)
		good = demo_mode_run(&demo_modes[i], uri, &file, i * file.bytes, &results[i]);
	progress_end();
	demo_file_close(&file);
	if (!good)
		return TOOL_FAILED;
	if (as_json)
		print_json(uri, &file, results);
	else
		print_table(uri, &file, results);
	if (verbose && !as_json)
		print_verbose(results);
	return judge(&file, results);
}
