/* SPDX-License-Identifier: MIT */
/* Giving a PCI device to VFIO, and back to the kernel. */
#include <stdio.h>
#include <string.h>

#include <twostep/error.h>
#include <twostep/pci.h>

#include "tool.h"

/* The verb's one operand, and whether it is forced. False: the verb ends with *@code. */
static bool read_arguments(const struct tool_verb *verb, int argc, char **argv,
			   const char **address, unsigned int *flags, int *code)
{
	bool force = false;
	const struct tool_option options[] = {
		{"force", NULL, "also if it is in use", &force, NULL},
	};

	*address = NULL;
	*code = TOOL_MISUSED;
	switch (tool_parse(verb, options, 1, argc, argv, address)) {
	case TOOL_PARSED_HELP:
		*code = TOOL_DONE;
		return false;
	case TOOL_PARSED_MISUSED:
		return false;
	case TOOL_PARSED:
		break;
	}
	if (!*address) {
		tool_say("%s: which device? twostep %s DDDD:BB:DD.F; `twostep devices` lists them",
			 verb->name, verb->name);
		return false;
	}
	*flags = force ? TS_PCI_FORCE : 0;
	return true;
}

static const char *driver_of(const struct ts_pci_abilities *abilities)
{
	return *abilities->driver ? abilities->driver : "no driver";
}

/* What was done, in one line; the driver before is in @before. */
static bool report(const struct tool_verb *verb, const struct ts_pci_abilities *before,
		   struct ts_pci_abilities *now)
{
	if (ts_pci_probe(before->address, now)) {
		tool_say_dma("%s", verb->name);
		return false;
	}
	if (!strcmp(before->driver, now->driver))
		printf("%s has %s already\n", now->address, driver_of(now));
	else
		printf("%s has %s now; before: %s\n", now->address, driver_of(now),
		       driver_of(before));
	return true;
}

/* What both verbs do: @change the driver, and say what came of it. An exit status. */
static int change_driver(const struct tool_verb *verb, int argc, char **argv,
			 int (*change)(const char *address, unsigned int flags),
			 struct ts_pci_abilities *now)
{
	struct ts_pci_abilities before;
	const char *address;
	unsigned int flags;
	int code;

	*now = (struct ts_pci_abilities){0};
	if (!read_arguments(verb, argc, argv, &address, &flags, &code))
		return code;
	if (ts_pci_probe(address, &before) || change(address, flags)) {
		tool_say_dma("%s", verb->name);
		return TOOL_FAILED;
	}
	return report(verb, &before, now) ? TOOL_DONE : TOOL_FAILED;
}

int bind_run(const struct tool_verb *verb, int argc, char **argv)
{
	struct ts_pci_abilities now;
	int code = change_driver(verb, argc, argv, ts_pci_bind, &now);

	if (code != TOOL_DONE || !*now.address)
		return code;
	if (now.noiommu)
		printf("there is NO IOMMU, and nothing keeps the device from any memory of the "
		       "machine: UNSAFE, open it as vfio-noiommu:%s\n",
		       now.address);
	else if (now.viable)
		printf("open it as vfio:%s\n", now.address);
	else
		printf("it cannot be opened before VFIO has the rest of IOMMU group %d, or nobody "
		       "has: %s\n",
		       now.group, now.blockers);
	return TOOL_DONE;
}

int unbind_run(const struct tool_verb *verb, int argc, char **argv)
{
	struct ts_pci_abilities now;

	return change_driver(verb, argc, argv, ts_pci_unbind, &now);
}
