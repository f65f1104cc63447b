/* SPDX-License-Identifier: MIT */
/*
 * Any text is read as a URI or refused with a reason; what was read can be put
 * together again, and reads the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <twostep/error.h>

#include "open/open.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_same(const struct uri *uri, const char *text)
{
	char again[URI_MAX_LENGTH + 1];
	size_t len = 0;

	len += (size_t)snprintf(again, sizeof(again), "%s:%s", uri->scheme, uri->model);
	for (unsigned int i = 0; i < uri->nr_options; i++) {
		const struct uri_option *option = &uri->options[i];
		bool bare = !i && !*uri->model && text[len] != ',';

		require(option->at == len + !bare && uri_find(uri, option->key) == option);
		len += (size_t)snprintf(again + len, sizeof(again) - len, "%s%s%s%s",
					bare ? "" : ",", option->key, *option->value ? "=" : "",
					option->value);
		require(len < sizeof(again));
	}
	require(!strcmp(again, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[1024];
	struct uri uri;
	uint64_t number = 99;
	int err;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	dma_clear_error();
	err = uri_parse(text, &uri);
	require(!err || err == -EINVAL);
	require(!err == !*dma_last_error());
	if (!err) {
		check_same(&uri, text);
		if (!uri_model_is_option(&uri))
			check_same(&uri, text);
	}
	err = uri_number(text, 10, 1000000, &number);
	require(err ? number == 99 : number >= 10 && number <= 1000000);
	return 0;
}
