/* SPDX-License-Identifier: MIT */
/*
 * How the command was built. The build passes TWOSTEP_VERSION and
 * TWOSTEP_BUILD_TYPE as strings; the commit comes from a generated header, so
 * that a new commit compiles this file alone.
 */
#include "tool.h"

#if __has_include("twostep-commit.h")
#include "twostep-commit.h"
#endif

#ifndef TWOSTEP_COMMIT
#define TWOSTEP_COMMIT "unknown"
#endif

#ifndef TWOSTEP_VERSION
#define TWOSTEP_VERSION "unknown"
#endif

#ifndef TWOSTEP_BUILD_TYPE
#ifdef __OPTIMIZE__
#define TWOSTEP_BUILD_TYPE "optimized"
#else
#define TWOSTEP_BUILD_TYPE "unoptimized"
#endif
#endif

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char *build_version(void)
{
	return TWOSTEP_VERSION;
}

const char *build_commit(void)
{
	return TWOSTEP_COMMIT[0] ? TWOSTEP_COMMIT : "unknown";
}

const char *build_type(void)
{
	return TWOSTEP_BUILD_TYPE;
}

const char *build_compiler(void)
{
	return COMPILER;
}
