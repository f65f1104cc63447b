/* SPDX-License-Identifier: MIT */
/*
 * json_leaves < TEXT: checks one JSON text against RFC 8259 and prints each
 * string, number, true, false and null in it as path=value, one a line, so that a
 * script can look for it: .modes[0].name="vec". Exit code 1: no JSON text.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MOST_BYTES (1u << 20)
#define MOST_DEPTH 32u

static char text[MOST_BYTES];
static size_t length;
static const char *at;
static char path[4096];

static bool read_value(unsigned int depth);

static void skip_space(void)
{
	while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
		at++;
}

static bool read_char(char wanted)
{
	skip_space();
	if (*at != wanted)
		return false;
	at++;
	return true;
}

static bool read_string(void)
{
	if (*at != '"')
		return false;
	for (at++; *at != '"'; at++) {
		if ((unsigned char)*at < 0x20)
			return false;
		if (*at != '\\')
			continue;
		at++;
		if (*at == 'u') {
			for (int digit = 0; digit < 4; digit++)
				if (!isxdigit((unsigned char)*++at))
					return false;
		} else if (!*at || !strchr("\"\\/bfnrt", *at)) {
			return false;
		}
	}
	at++;
	return true;
}

static bool read_digits(void)
{
	if (!isdigit((unsigned char)*at))
		return false;
	while (isdigit((unsigned char)*at))
		at++;
	return true;
}

static bool read_number(void)
{
	if (*at == '-')
		at++;
	if (*at == '0')
		at++;
	else if (!read_digits())
		return false;
	if (*at == '.') {
		at++;
		if (!read_digits())
			return false;
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		if (*at == '+' || *at == '-')
			at++;
		return read_digits();
	}
	return true;
}

static bool read_word(const char *word)
{
	size_t len = strlen(word);

	if (strncmp(at, word, len) != 0)
		return false;
	at += len;
	return true;
}

static bool read_leaf(void)
{
	const char *start = at;
	bool good;

	if (*at == '"')
		good = read_string();
	else if (*at == '-' || isdigit((unsigned char)*at))
		good = read_number();
	else
		good = read_word("true") || read_word("false") || read_word("null");
	if (good)
		printf("%s=%.*s\n", path, (int)(at - start), start);
	return good;
}

static bool read_list(unsigned int depth)
{
	size_t end = strlen(path);
	unsigned int index = 0;

	if (read_char(']'))
		return true;
	do {
		snprintf(path + end, sizeof(path) - end, "[%u]", index++);
		if (!read_value(depth + 1))
			return false;
	} while (read_char(','));
	path[end] = '\0';
	return read_char(']');
}

static bool read_object(unsigned int depth)
{
	size_t end = strlen(path);
	const char *name;

	if (read_char('}'))
		return true;
	do {
		skip_space();
		name = at;
		if (!read_string())
			return false;
		snprintf(path + end, sizeof(path) - end, ".%.*s", (int)(at - name) - 2, name + 1);
		if (!read_char(':') || !read_value(depth + 1))
			return false;
	} while (read_char(','));
	path[end] = '\0';
	return read_char('}');
}

static bool read_value(unsigned int depth)
{
	if (depth > MOST_DEPTH)
		return false;
	if (read_char('{'))
		return read_object(depth);
	if (read_char('['))
		return read_list(depth);
	return read_leaf();
}

int main(void)
{
	length = fread(text, 1, sizeof(text) - 1, stdin);
	at = text;
	if (read_value(0)) {
		skip_space();
		if (at == text + length)
			return 0;
	}
	fprintf(stderr, "json_leaves: no JSON at byte %zu of %zu: '%.20s'\n", (size_t)(at - text),
		length, at);
	return 1;
}
