/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <openssl/evp.h>

#include "digest.h"

void digest_begin(struct digest *digest)
{
	digest->context = EVP_MD_CTX_new();
	digest->failed = !digest->context ||
			 EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1;
}

void digest_add(struct digest *digest, const void *data, size_t len)
{
	if (!digest->failed && EVP_DigestUpdate(digest->context, data, len) != 1)
		digest->failed = true;
}

bool digest_end(struct digest *digest, char text[DIGEST_TEXT])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	text[0] = '\0';
	if (!digest->failed && EVP_DigestFinal_ex(digest->context, bytes, &len) != 1)
		digest->failed = true;
	EVP_MD_CTX_free(digest->context);
	digest->context = NULL;
	if (digest->failed)
		return false;
	for (unsigned int i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return true;
}
