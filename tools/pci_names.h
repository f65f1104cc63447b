/* SPDX-License-Identifier: MIT */
/* Names of PCI devices, from the list that libpci reads; without libpci there are none. */
#ifndef TOOLS_PCI_NAMES_H
#define TOOLS_PCI_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct pci_names;

/* NULL: there is no list, and pci_names_find() knows it. */
struct pci_names *pci_names_open(void);
void pci_names_close(struct pci_names *names);
/* Vendor and device in words; "" if the list does not have them. */
void pci_names_find(struct pci_names *names, uint16_t vendor, uint16_t device, char *text,
		    size_t size);

#endif
