/* SPDX-License-Identifier: MIT */
/* The JSON writer: commas, levels, and any string and number. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../tools/json.h"

struct written {
	char *text;
	size_t len;
	FILE *out;
	struct json json;
};

static void begin(struct written *written)
{
	written->out = open_memstream(&written->text, &written->len);
	assert_non_null(written->out);
	json_begin(&written->json, written->out);
}

static void writes(struct written *written, const char *text)
{
	fclose(written->out);
	assert_string_equal(written->text, text);
	free(written->text);
}

static void levels(void **state)
{
	struct written written;
	struct json *json = &written.json;

	(void)state;
	begin(&written);
	json_object(json, NULL);
	json_unsigned(json, "a", UINT64_MAX);
	json_list(json, "b");
	json_bool(json, NULL, true);
	json_bool(json, NULL, false);
	json_null(json, NULL);
	json_end(json);
	json_object(json, "c");
	json_end(json);
	json_list(json, "d");
	json_end(json);
	json_end(json);
	writes(&written, "{\n  \"a\": 18446744073709551615,\n  \"b\": [\n    true,\n    false,\n"
			 "    null\n  ],\n  \"c\": {},\n  \"d\": []\n}\n");
}

static void writes_string(const char *value, const char *text)
{
	struct written written;

	begin(&written);
	json_string(&written.json, NULL, value);
	writes(&written, text);
}

static void strings(void **state)
{
	(void)state;
	writes_string("", "\"\"");
	writes_string(NULL, "null");
	writes_string("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
	writes_string("\n\t\x01\x1f\x7f", "\"\\u000a\\u0009\\u0001\\u001f\x7f\"");
	/* UTF-8 passes, of each length and at the ends of its ranges. */
	writes_string("\xc2\x80 \xdf\xbf", "\"\xc2\x80 \xdf\xbf\"");
	writes_string("\xe0\xa0\x80 \xed\x9f\xbf \xef\xbf\xbf",
		      "\"\xe0\xa0\x80 \xed\x9f\xbf \xef\xbf\xbf\"");
	writes_string("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", "\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"");
	/* What is none is replaced byte by byte: stray, overlong, surrogate, too large, cut. */
	writes_string("\x80", "\"\\ufffd\"");
	writes_string("\xc0\xaf", "\"\\ufffd\\ufffd\"");
	writes_string("\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"");
	writes_string("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
	writes_string("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	writes_string("\xf5", "\"\\ufffd\"");
	writes_string("\xe2\x82", "\"\\ufffd\\ufffd\"");
	writes_string("\xc3(", "\"\\ufffd(\"");
}

static void writes_double(double value, const char *text)
{
	struct written written;

	begin(&written);
	json_double(&written.json, NULL, value);
	writes(&written, text);
}

static void numbers(void **state)
{
	(void)state;
	writes_double(0, "0");
	writes_double(-1.5, "-1.5");
	writes_double(1.0 / 3, "0.333333");
	writes_double(1e300, "1e+300");
	writes_double((double)NAN, "null");
	writes_double((double)INFINITY, "null");
	writes_double(-(double)INFINITY, "null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),
		cmocka_unit_test(strings),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
