/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>

#include "json.h"

static void write_indent(struct json *json)
{
	fputc('\n', json->out);
	for (unsigned int i = 0; i < json->depth; i++)
		fputs("  ", json->out);
}

/* Bytes of the UTF-8 sequence at @at, 0 if it is none (RFC 3629, section 4). */
static unsigned int utf8_length(const unsigned char *at)
{
	unsigned int len, low = 0x80, high = 0xbf;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xc2 && at[0] <= 0xdf)
		len = 2;
	else if ((at[0] & 0xf0) == 0xe0)
		len = 3;
	else if (at[0] >= 0xf0 && at[0] <= 0xf4)
		len = 4;
	else
		return 0;
	/* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
	if (at[0] == 0xe0)
		low = 0xa0;
	else if (at[0] == 0xed)
		high = 0x9f;
	else if (at[0] == 0xf0)
		low = 0x90;
	else if (at[0] == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (unsigned int i = 2; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static void write_text(FILE *out, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	unsigned int len;

	fputc('"', out);
	while (*at) {
		len = utf8_length(at);
		if (!len) {
			fputs("\\ufffd", out);
			len = 1;
		} else if (*at == '"' || *at == '\\') {
			fprintf(out, "\\%c", *at);
		} else if (*at < 0x20) {
			fprintf(out, "\\u%04x", *at);
		} else {
			fwrite(at, 1, len, out);
		}
		at += len;
	}
	fputc('"', out);
}

static void write_name(struct json *json, const char *name)
{
	if (json->depth) {
		if (json->filled[json->depth - 1])
			fputc(',', json->out);
		json->filled[json->depth - 1] = true;
		write_indent(json);
	}
	if (name) {
		write_text(json->out, name);
		fputs(": ", json->out);
	}
}

static void open_level(struct json *json, const char *name, char open, char close)
{
	write_name(json, name);
	fputc(open, json->out);
	json->close[json->depth] = close;
	json->filled[json->depth] = false;
	json->depth++;
}

void json_begin(struct json *json, FILE *out)
{
	*json = (struct json){.out = out};
}

void json_object(struct json *json, const char *name)
{
	open_level(json, name, '{', '}');
}

void json_list(struct json *json, const char *name)
{
	open_level(json, name, '[', ']');
}

void json_end(struct json *json)
{
	json->depth--;
	if (json->filled[json->depth])
		write_indent(json);
	fputc(json->close[json->depth], json->out);
	if (!json->depth)
		fputc('\n', json->out);
}

void json_string(struct json *json, const char *name, const char *text)
{
	write_name(json, name);
	if (text)
		write_text(json->out, text);
	else
		fputs("null", json->out);
}

void json_bool(struct json *json, const char *name, bool value)
{
	write_name(json, name);
	fputs(value ? "true" : "false", json->out);
}

void json_unsigned(struct json *json, const char *name, uint64_t value)
{
	write_name(json, name);
	fprintf(json->out, "%" PRIu64, value);
}

void json_double(struct json *json, const char *name, double value)
{
	write_name(json, name);
	if (isfinite(value))
		fprintf(json->out, "%.6g", value);
	else
		fputs("null", json->out);
}

void json_null(struct json *json, const char *name)
{
	write_name(json, name);
	fputs("null", json->out);
}
