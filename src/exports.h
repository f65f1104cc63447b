/* SPDX-License-Identifier: MIT */
/*
 * The public functions are what the public headers declare, and no source says
 * so again. The build includes this file before each source of the driver side:
 * objects are compiled with everything hidden, and a function keeps the
 * visibility of its first declaration.
 */
#pragma GCC visibility push(default)
#include <twostep.h>
#include <twostep/bus.h>
#pragma GCC visibility pop
