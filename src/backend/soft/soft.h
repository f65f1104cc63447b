/* SPDX-License-Identifier: MIT */
/* What the front door needs of the software IOMMU; the rest is private to the folder. */
#ifndef BACKEND_SOFT_SOFT_H
#define BACKEND_SOFT_SOFT_H

#include "backend/backend.h"

/* Options of a space. */
struct soft_options {
	const struct pgt_format *format;
	bool absent_cache; /* not-present entries are cached until a sync */
	uint32_t inval_ns; /* what an invalidation request costs besides */
	uint64_t max_tables; /* table pages at most; 0 for the default */
};

/* The price of an invalidation request on hardware, by name. */
struct soft_inval_preset {
	const char *name;
	uint32_t ns;
	const char *source;
};
extern const struct soft_inval_preset soft_inval_presets[];
extern const size_t soft_nr_inval_presets;

/* What a space of this backend is like. */
void soft_backend_options(struct backend *be, struct soft_options *options);

/* 0; -ENOMEM with the error text. */
int soft_backend_create(const struct soft_options *options, struct backend **be);

#endif
