/* SPDX-License-Identifier: MIT */
/* The error text of each thread. */
#include <stdarg.h>
#include <stdio.h>

#include <twostep/error.h>

#include "base/base.h"

static thread_local_ie char error_text[320];
static thread_local_ie int error_code;

int base_error(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error_text, sizeof(error_text), format, args);
	va_end(args);
	error_code = err;
	return err;
}

int base_error_code(void)
{
	return error_code;
}

const char *dma_last_error(void)
{
	return error_text;
}

void dma_clear_error(void)
{
	error_text[0] = '\0';
}
