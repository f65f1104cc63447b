/* SPDX-License-Identifier: MIT */
#include "pci_names.h"

#ifdef TWOSTEP_LIBPCI

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <pci/pci.h>

#include "tool.h"

/* The list is damaged, or there is no memory: libpci does not expect to go on. */
static void __attribute__((noreturn, format(printf, 1, 2))) give_up(char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tool_say("devices: the names of PCI devices: %s", text);
	exit(TOOL_FAILED);
}

static void __attribute__((format(printf, 1, 2))) say_nothing(char *format, ...)
{
	(void)format;
}

/*
 * Only the list of names is used, and pci_init() is not called: it ends the program on
 * machines without PCI. So what it would set is set here.
 */
struct pci_names *pci_names_open(void)
{
	struct pci_access *access = pci_alloc();

	access->error = give_up;
	access->warning = say_nothing;
	access->debug = say_nothing;
	return (struct pci_names *)access;
}

void pci_names_close(struct pci_names *names)
{
	if (names)
		pci_cleanup((struct pci_access *)names);
}

void pci_names_find(struct pci_names *names, uint16_t vendor, uint16_t device, char *text,
		    size_t size)
{
	text[0] = '\0';
	/* Not from udev's list as well: libpci leaks memory where there is none. */
	if (names)
		pci_lookup_name((struct pci_access *)names, text, (int)size,
				PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE | PCI_LOOKUP_NO_NUMBERS |
					PCI_LOOKUP_NO_HWDB,
				vendor, device);
}

#else

struct pci_names *pci_names_open(void)
{
	return NULL;
}

void pci_names_close(struct pci_names *names)
{
	(void)names;
}

void pci_names_find(struct pci_names *names, uint16_t vendor, uint16_t device, char *text,
		    size_t size)
{
	(void)names, (void)vendor, (void)device;
	if (size)
		text[0] = '\0';
}

#endif
