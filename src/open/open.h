/* SPDX-License-Identifier: MIT */
/*
 * open: the front door. It turns a URI into a device and is the one place that
 * knows every backend and every device in software, as tables (open.c). Reading
 * the text of a URI (uri.c) knows nothing of either.
 *
 *     scheme:[model][,key[=value]]...
 *
 * The first colon ends the scheme; a model may have more of them, as a PCI address
 * does. The first word behind it is the model, unless it contains '=', which
 * makes it an option. A parser without tables cannot tell a model from an option
 * without a value (`soft:untrusted`), so it calls it a model and the owner of the
 * tables, not finding it there, calls uri_model_is_option().
 *
 * Schemes and keys: a lower-case letter, then lower-case letters, digits, '-' and
 * '_'. Models and values: any bytes but ',' and control characters.
 */
#ifndef OPEN_OPEN_H
#define OPEN_OPEN_H

#include <stdint.h>

#define URI_MAX_LENGTH 512 /* bytes, without the terminating zero */
#define URI_MAX_OPTIONS 16

struct uri_option {
	const char *key;
	const char *value; /* "" without one; never NULL */
	unsigned int at; /* where the key begins in the URI, from 0 */
};

/* Strings point into `text`: a copy of the structure is not a copy of the URI. */
struct uri {
	const char *scheme;
	const char *model; /* "" without one; never NULL */
	unsigned int model_at;
	unsigned int nr_options;
	struct uri_option options[URI_MAX_OPTIONS + 1]; /* room for uri_model_is_option() */
	char text[URI_MAX_LENGTH + 1];
};

/*
 * Read @text into @uri. 0; -EINVAL with an error text that says what is wrong
 * and at which byte; then the contents of @uri mean nothing. Allocates nothing.
 */
int uri_parse(const char *text, struct uri *uri);

/*
 * The model is not one: make it the first option, without a value, and leave the
 * model empty. 0; -EINVAL if it is no key, or a key that is there already. Does
 * nothing without a model.
 */
int uri_model_is_option(struct uri *uri);

/* The option @key, or NULL. */
const struct uri_option *uri_find(const struct uri *uri, const char *key);

/*
 * Read a number: decimal, or hexadecimal with 0x, then perhaps K, M or G (2^10,
 * 2^20, 2^30). 0; -EINVAL for anything else; -ERANGE outside @min..@max. *@out is
 * untouched on failure.
 */
int uri_number(const char *value, uint64_t min, uint64_t max, uint64_t *out);

#endif
