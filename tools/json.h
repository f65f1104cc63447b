/* SPDX-License-Identifier: MIT */
/*
 * Writes one JSON text (RFC 8259), member by member. A member's name is NULL
 * inside a list and for the outermost value. The writer keeps commas, indents
 * and closing brackets right, never the data.
 */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH 8

struct json {
	FILE *out;
	unsigned int depth;
	char close[JSON_DEPTH]; /* the bracket that ends each level */
	bool filled[JSON_DEPTH]; /* whether a level has a member */
};

void json_begin(struct json *json, FILE *out);
/* Open a level; json_end() closes the innermost one and ends the text after the last. */
void json_object(struct json *json, const char *name);
void json_list(struct json *json, const char *name);
void json_end(struct json *json);
/* Bytes that are no UTF-8 become U+FFFD; a NULL text is null. */
void json_string(struct json *json, const char *name, const char *text);
void json_bool(struct json *json, const char *name, bool value);
void json_unsigned(struct json *json, const char *name, uint64_t value);
/* Six significant digits; what is not finite is null. */
void json_double(struct json *json, const char *name, double value);
void json_null(struct json *json, const char *name);

#endif
