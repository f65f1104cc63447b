/* SPDX-License-Identifier: MIT */
/*
 * direct: no IOMMU. DMA addresses are physical addresses; nothing is isolated,
 * and nothing needs to be unmapped. A device's access to an address where there
 * is no memory is a fault, as on a bus that aborts it.
 */
#ifndef BACKEND_DIRECT_DIRECT_H
#define BACKEND_DIRECT_DIRECT_H

#include "backend/backend.h"

/* 0; -ENOMEM with the error text. */
int direct_backend_create(struct backend **be);

#endif
