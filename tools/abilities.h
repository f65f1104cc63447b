/* SPDX-License-Identifier: MIT */
/*
 * What the kernel and a PCI device can do, as `twostep devices DEVICE` tells it. Without
 * opening the device nothing is changed; opened it tells the rest.
 */
#ifndef TOOLS_ABILITIES_H
#define TOOLS_ABILITIES_H

#include <stdbool.h>

#include <twostep/device.h>
#include <twostep/pci.h>

#include "json.h"

struct abilities {
	struct ts_pci_abilities seen;
	bool opened;
	struct ts_pci_features features; /* if it was opened */
	struct dma_pgtable_info pgtable; /* format NULL: it has none of its own */
	char why_not[256]; /* why it could not be opened, "" if it was not tried */
};

/* Look at a device, and if @open open it. False: there is no such device; it was said. */
bool abilities_find(struct abilities *abilities, const char *address, bool open);
void abilities_print(const struct abilities *abilities);
void abilities_json(const struct abilities *abilities, struct json *json, const char *name);

#endif
