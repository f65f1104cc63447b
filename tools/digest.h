/* SPDX-License-Identifier: MIT */
/* SHA-256 of a stream, computed by libcrypto. */
#ifndef TOOLS_DIGEST_H
#define TOOLS_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_TEXT 65

/* A digest that has been begun must be ended. False: libcrypto failed. */
struct digest {
	void *context;
	bool failed;
};

void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t len);
/* @text receives 64 lower-case hexadecimal digits. */
bool digest_end(struct digest *digest, char text[DIGEST_TEXT]);

#endif
