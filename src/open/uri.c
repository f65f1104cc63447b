/* SPDX-License-Identifier: MIT */
/* Reading the text of a URI: scheme, model, options, numbers. */
#include <string.h>

#include "base/base.h"
#include "open/open.h"

/* Not <ctype.h>: a URI means the same in every locale. */
static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool is_key(const char *word)
{
	if (!is_lower(*word))
		return false;
	while (is_lower(*word) || is_digit(*word) || *word == '-' || *word == '_')
		word++;
	return !*word;
}

const struct uri_option *uri_find(const struct uri *uri, const char *key)
{
	for (unsigned int i = 0; i < uri->nr_options; i++)
		if (!strcmp(uri->options[i].key, key))
			return &uri->options[i];
	return NULL;
}

static int check_key(const struct uri *uri, const char *key, unsigned int at)
{
	const struct uri_option *other = uri_find(uri, key);

	if (!*key)
		return base_error(-EINVAL,
				  "URI: an option without a name at byte %u; write "
				  "key=value",
				  at);
	if (!is_key(key))
		return base_error(-EINVAL,
				  "URI: \"%.40s\" at byte %u is no option's name; names have "
				  "lower-case letters, digits, '-' and '_'",
				  key, at);
	if (other)
		return base_error(-EINVAL,
				  "URI: option \"%.40s\" at byte %u was given at byte %u "
				  "already",
				  key, at, other->at);
	return 0;
}

/* @word is not empty, ends with a zero, and is cut into key and value here. */
static int add_option(struct uri *uri, char *word, unsigned int at)
{
	char *equals = strchr(word, '=');
	const char *value = "";
	int err;

	if (uri->nr_options == URI_MAX_OPTIONS)
		return base_error(-EINVAL,
				  "URI: more than %u options; the one at byte %u is too many",
				  URI_MAX_OPTIONS, at);
	if (equals) {
		*equals = '\0';
		value = equals + 1;
	}
	err = check_key(uri, word, at);
	if (err)
		return err;
	if (equals && !*value)
		return base_error(-EINVAL,
				  "URI: option \"%.40s\" at byte %u has no value behind its "
				  "'='",
				  word, at);
	uri->options[uri->nr_options++] = (struct uri_option){word, value, at};
	return 0;
}

/* What stands behind the colon, a word at a time. @rest lies in uri->text. */
static int parse_words(struct uri *uri, char *rest)
{
	bool first = true;

	for (;;) {
		char *comma = strchr(rest, ',');
		unsigned int at = (unsigned int)(rest - uri->text);
		int err;

		if (comma)
			*comma = '\0';
		if (first && !strchr(rest, '=')) {
			uri->model = rest;
			uri->model_at = at;
		} else if (!*rest) {
			return base_error(-EINVAL,
					  "URI: nothing between two commas, or behind the "
					  "last, at byte %u",
					  at);
		} else {
			err = add_option(uri, rest, at);
			if (err)
				return err;
		}
		if (!comma)
			return 0;
		rest = comma + 1;
		first = false;
	}
}

int uri_parse(const char *text, struct uri *uri)
{
	size_t len = text ? strnlen(text, URI_MAX_LENGTH + 1) : 0;
	char *colon;

	if (!len)
		return base_error(-EINVAL,
				  "URI: there is none; write scheme:[model][,key=value]..., for "
				  "example soft:");
	if (len > URI_MAX_LENGTH)
		return base_error(-EINVAL, "URI: longer than %u bytes", URI_MAX_LENGTH);
	for (size_t i = 0; i < len; i++)
		if (is_control(text[i]))
			return base_error(-EINVAL, "URI: control character 0x%02x at byte %zu",
					  (unsigned char)text[i], i);
	memcpy(uri->text, text, len + 1);
	uri->model = "";
	uri->model_at = 0;
	uri->nr_options = 0;
	uri->scheme = uri->text;

	colon = strchr(uri->text, ':');
	if (!colon)
		return base_error(-EINVAL,
				  "URI: \"%.40s\" has no colon; write "
				  "scheme:[model][,key=value]..., for example soft:",
				  text);
	*colon = '\0';
	if (!is_key(uri->scheme))
		return base_error(-EINVAL,
				  "URI: \"%.40s\" before the colon at byte %zu is no scheme; "
				  "write for example soft:",
				  uri->scheme, (size_t)(colon - uri->text));
	return parse_words(uri, colon + 1);
}

int uri_model_is_option(struct uri *uri)
{
	int err;

	if (!*uri->model)
		return 0;
	err = check_key(uri, uri->model, uri->model_at);
	if (err)
		return err;
	memmove(uri->options + 1, uri->options, uri->nr_options * sizeof(*uri->options));
	uri->options[0] = (struct uri_option){uri->model, "", uri->model_at};
	uri->nr_options++;
	uri->model = "";
	return 0;
}

static int digit_of(char c, unsigned int base)
{
	int digit = is_digit(c)		   ? c - '0'
		    : c >= 'a' && c <= 'f' ? c - 'a' + 10
		    : c >= 'A' && c <= 'F' ? c - 'A' + 10
					   : 16;

	return digit < (int)base ? digit : -1;
}

static unsigned int suffix_shift(char c)
{
	return c == 'K' ? 10 : c == 'M' ? 20 : c == 'G' ? 30 : 0;
}

int uri_number(const char *value, uint64_t min, uint64_t max, uint64_t *out)
{
	unsigned int base = value[0] == '0' && value[1] == 'x' ? 16 : 10, shift;
	const char *c = base == 16 ? value + 2 : value, *digits = c;
	uint64_t number = 0;
	bool fits = true;

	for (; digit_of(*c, base) >= 0; c++)
		fits = !__builtin_mul_overflow(number, base, &number) &&
		       !__builtin_add_overflow(number, (uint64_t)digit_of(*c, base), &number) &&
		       fits;
	shift = suffix_shift(*c);
	if (c == digits || c[shift ? 1 : 0])
		return base_error(-EINVAL,
				  "\"%.40s\" is not a number; write decimal or 0x and "
				  "hexadecimal digits, then perhaps K, M or G",
				  value);
	if (!fits || number > UINT64_MAX >> shift || number << shift < min || number << shift > max)
		return base_error(-ERANGE, "%.40s is not between %llu and %llu", value,
				  (unsigned long long)min, (unsigned long long)max);
	*out = number << shift;
	return 0;
}
