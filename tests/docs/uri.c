/* SPDX-License-Identifier: MIT */
/*
 * uri URI.md: the page lists exactly the schemes, models and options that there are,
 * what each option takes, examples that open, and errors word for word.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

#include <twostep/device.h>
#include <twostep/error.h>

#define MOST_NAMES 64
#define MOST_CELLS 8

static const char *page_path;

/* What open says of @uri, which must be refused. */
static void refused(const char *uri, char *text, size_t size)
{
	struct dma_dev *dev = NULL;

	assert_int_equal(dma_dev_open(uri, &dev), -EINVAL);
	assert_null(dev);
	snprintf(text, size, "%s", dma_last_error());
}

/* Cut "a, b, c" into names; the end of the text or a semicolon ends it. */
static size_t names_behind(char *text, const char *mark, char **names)
{
	char *at = strstr(text, mark), *rest = NULL;
	size_t nr = 0;

	if (!at)
		fail_msg("\"%s\" has no \"%s\"", text, mark);
	at += strlen(mark);
	at[strcspn(at, ";")] = '\0';
	for (char *name = strtok_r(at, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
		assert_true(nr < MOST_NAMES);
		names[nr++] = name;
	}
	assert_true(nr > 0);
	return nr;
}

/* The cells of a row of a table, without blanks and the ticks of code; 0: no row. */
static size_t cells_of(char *line, char **cells)
{
	size_t nr = 0;
	char *rest = line, *cell;

	if (*line != '|')
		return 0;
	rest++;
	while ((cell = strsep(&rest, "|")) && rest && nr < MOST_CELLS) {
		cell += strspn(cell, " ");
		for (size_t len = strlen(cell); len && cell[len - 1] == ' '; len--)
			cell[len - 1] = '\0';
		cells[nr++] = cell;
	}
	return nr;
}

/* Without its ticks, or NULL if it is not code. */
static char *code_of(char *cell)
{
	size_t len = strlen(cell);

	if (len < 3 || cell[0] != '`' || cell[len - 1] != '`')
		return NULL;
	cell[len - 1] = '\0';
	return cell + 1;
}

/*
 * Call @row for each row below the heading @section whose first cell is code, until
 * the next heading. Returns how many there were.
 */
typedef void (*row_t)(char *code, char **cells, size_t nr, void *arg);

static size_t rows_of(const char *section, row_t row, void *arg)
{
	FILE *page = fopen(page_path, "re");
	char line[1024], *cells[MOST_CELLS], *code;
	bool inside = false, found = false;
	size_t rows = 0, nr;

	assert_non_null(page);
	while (fgets(line, sizeof(line), page)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "## ", 3))
			inside = !strcmp(line + 3, section);
		found |= inside;
		nr = inside ? cells_of(line, cells) : 0;
		code = nr ? code_of(cells[0]) : NULL;
		if (!code)
			continue;
		if (row)
			row(code, cells, nr, arg);
		rows++;
	}
	fclose(page);
	if (!found)
		fail_msg("%s has no section \"%s\"", page_path, section);
	return rows;
}

/* Ways to real devices: those behind an IOMMU share a section; their first word is the device. */
static bool is_hardware(const char *scheme)
{
	return !strncmp(scheme, "vfio", 4);
}

static void section_of(const char *scheme, char *section, size_t size)
{
	bool shares = is_hardware(scheme) && strcmp(scheme, "vfio-noiommu");

	snprintf(section, size, "`%s:`", shares ? "vfio" : scheme);
}

struct wanted {
	const char *scheme;
	const char *name;
	bool option;
	size_t found;
};

static void match(char *code, char **cells, size_t nr, void *arg)
{
	struct wanted *wanted = arg;
	char uri[256], said[1024];
	const char *takes;

	if (strcmp(code, wanted->name))
		return;
	wanted->found++;
	if (!wanted->option)
		return;
	assert_int_equal(nr, 5);
	snprintf(uri, sizeof(uri), "%s:copy,%s=?", wanted->scheme, code);
	refused(uri, said, sizeof(said));
	takes = strstr(said, "it takes ");
	assert_non_null(takes);
	assert_string_equal(cells[3], takes + strlen("it takes "));
}

/* Rows of tables below that describe values are options' rows only if they have five cells. */
static void count_options(char *code, char **cells, size_t nr, void *arg)
{
	size_t *count = arg;

	(void)code;
	if (nr == 5 && (!strcmp(cells[1], "space") || !strcmp(cells[1], "device") ||
			!strcmp(cells[1], "model")))
		(*count)++;
}

static void check_options(const char *scheme)
{
	char uri[256], said[1024], section[64], *names[MOST_NAMES];
	size_t nr, listed = 0;

	section_of(scheme, section, sizeof(section));
	snprintf(uri, sizeof(uri), "%s:nonsense=1", scheme);
	refused(uri, said, sizeof(said));
	nr = names_behind(said, "it has: ", names);
	for (size_t i = 0; i < nr; i++) {
		struct wanted wanted = {.scheme = scheme, .name = names[i], .option = true};

		rows_of(section, match, &wanted);
		if (wanted.found != 1)
			fail_msg("%s: option %s has %zu rows, not one", section, names[i],
				 wanted.found);
	}
	rows_of(section, count_options, &listed);
	assert_int_equal(listed, nr);
}

static void check_models(const char *scheme)
{
	char uri[256], said[1024], *names[MOST_NAMES];
	size_t nr;

	snprintf(uri, sizeof(uri), "%s:nonsense", scheme);
	refused(uri, said, sizeof(said));
	nr = names_behind(said, "models: ", names);
	for (size_t i = 0; i < nr; i++) {
		struct wanted wanted = {.scheme = scheme, .name = names[i]};

		rows_of("Models", match, &wanted);
		assert_int_equal(wanted.found, 1);
	}
	assert_int_equal(rows_of("Models", NULL, NULL), nr);
}

static void everything_is_listed(void **state)
{
	char said[1024], *names[MOST_NAMES];
	size_t nr;

	(void)state;
	refused("nonsense:", said, sizeof(said));
	nr = names_behind(said, "there are: ", names);
	for (size_t i = 0; i < nr; i++) {
		check_options(names[i]);
		if (!is_hardware(names[i]))
			check_models(names[i]);
	}
}

static void open_it(char *code, char **cells, size_t nr, void *arg)
{
	struct dma_dev *dev;

	(void)cells, (void)nr, (void)arg;
	if (dma_dev_open(code, &dev))
		fail_msg("the example %s: %s", code, dma_last_error());
	dma_dev_close(dev);
}

static void examples_open(void **state)
{
	(void)state;
	assert_true(rows_of("Examples", open_it, NULL) > 0);
}

static void misunderstand_it(char *code, char **cells, size_t nr, void *arg)
{
	char said[1024];

	(void)arg;
	assert_int_equal(nr, 2);
	refused(code, said, sizeof(said));
	assert_string_equal(said, cells[1]);
}

static void errors_are_word_for_word(void **state)
{
	(void)state;
	assert_true(rows_of("Errors", misunderstand_it, NULL) > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_listed),
		cmocka_unit_test(examples_open),
		cmocka_unit_test(errors_are_word_for_word),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s URI.md\n", argv[0]);
		return 2;
	}
	page_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
