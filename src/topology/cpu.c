/* SPDX-License-Identifier: MIT */
/* The processor: of AMD's, every root complex since family 17h passes on what peers want. */
#include <stdio.h>
#include <stdlib.h>

#include "topology/topology.h"

#define ZEN_FAMILY 0x17

void topology_set_cpu(struct dma_topology *topology, const char *vendor, unsigned int family)
{
	topology->zen = (!strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "amd")) &&
			family >= ZEN_FAMILY;
	snprintf(topology->cpu, sizeof(topology->cpu), "%.16s family %xh", vendor, family);
}

/* The value of a line "key : value", or NULL. */
static const char *value_of(const char *line, const char *key)
{
	size_t len = strlen(key);

	if (strncmp(line, key, len))
		return NULL;
	line += len;
	line += strspn(line, " \t");
	if (*line != ':')
		return NULL;
	return line + 1 + strspn(line + 1, " \t");
}

/* Only the first processor is asked, as in the kernel. */
void topology_read_cpu(struct dma_topology *topology, const char *cpuinfo)
{
	FILE *file = fopen(cpuinfo, "re");
	char line[256], vendor[32] = "";
	const char *value;
	unsigned int family = 0;

	snprintf(topology->cpu, sizeof(topology->cpu), "the processor is unknown");
	topology->zen = false;
	if (!file)
		return;
	while (fgets(line, sizeof(line), file) && (!*vendor || !family)) {
		line[strcspn(line, "\n")] = '\0';
		value = value_of(line, "vendor_id");
		if (value && !*vendor)
			snprintf(vendor, sizeof(vendor), "%.31s", value);
		value = value_of(line, "cpu family");
		if (value && !family)
			family = (unsigned int)strtoul(value, NULL, 10);
	}
	fclose(file);
	if (*vendor)
		topology_set_cpu(topology, vendor, family);
}
