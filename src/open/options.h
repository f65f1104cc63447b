/* SPDX-License-Identifier: MIT */
/* What a URI may ask for: the options of each scheme, and the request that they fill in. */
#ifndef OPEN_OPTIONS_H
#define OPEN_OPTIONS_H

#include "backend/soft/soft.h"
#include "backend/vfio/vfio.h"
#include "dma/dma.h"
#include "open/open.h"

#define MAX_WINDOWS 8
/* What the kernel keeps for itself of a real device's addresses. */
#define HARDWARE_WINDOWS (VFIO_MAX_RANGES + 1)

/* What a URI asks for, with the defaults of whatever it does not say. */
struct request {
	const struct uri *uri;
	const struct scheme *scheme;
	const struct model *model;
	struct soft_options soft;
	struct port_options port;
	uint64_t bus_limit;
	bool untrusted;
	bool ahead;
	enum dma_bouncing bouncing;
	bool lazy;
	bool debug;
	bool thread;
	const char *pci;
	const char *topology;
	struct iova_window windows[MAX_WINDOWS + DMA_PLACE_WINDOWS + HARDWARE_WINDOWS];
	size_t nr_windows;
};

struct model {
	const char *name;
	int (*create)(struct dma_port *port, bool own_thread, void **model);
	const struct dma_model_ops *stepped;
	const struct dma_model_ops *threaded;
};

enum scope {
	OF_SPACE, /* said once, by the device that makes the space */
	OF_DEVICE,
	OF_MODEL, /* a device of some model */
};

struct option {
	const char *key;
	enum scope scope;
	const char *values; /* for the error text */
	/* 0; -EINVAL or -ERANGE: the value is wrong. */
	int (*read)(struct request *request, const char *value);
};

/* Those of a scheme, in the order in which they are listed. */
struct options {
	const struct option *const *list;
	size_t nr;
};

struct scheme {
	const char *name;
	int (*create)(const struct request *request, struct backend **be);
	bool hardware; /* the first word is a function's address on the PCI bus */
	const struct model *models;
	size_t nr_models;
	const struct options *options;
};

extern const struct options options_of_soft, options_of_direct, options_of_vfio, options_of_noiommu;

/* The error text for a value that an option does not take; -EINVAL. */
int option_value_error(const struct request *request, const struct option *option,
		       const char *value) __cold;

/* Whether an option of the space says what the space is; @is, if it is a software IOMMU's. */
bool option_agrees(const struct option *option, const struct request *request,
		   const struct dma_space *space, const struct soft_options *is);

/* Another name in a list for an error text, behind a comma. */
void option_add_name(char *list, size_t size, const char *name);

#endif
