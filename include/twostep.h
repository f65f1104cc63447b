/* SPDX-License-Identifier: MIT */
/* Everything that a driver uses. Devices in software include <twostep/bus.h>. */
#ifndef TWOSTEP_H
#define TWOSTEP_H

#include <twostep/bounce.h>
#include <twostep/coherent.h>
#include <twostep/copy.h>
#include <twostep/debug.h>
#include <twostep/device.h>
#include <twostep/dmabuf.h>
#include <twostep/dmapool.h>
#include <twostep/error.h>
#include <twostep/iova.h>
#include <twostep/mapping.h>
#include <twostep/memory.h>
#include <twostep/p2pdma.h>
#include <twostep/pci.h>
#include <twostep/premap.h>
#include <twostep/scatterlist.h>
#include <twostep/topology.h>
#include <twostep/types.h>

#endif
