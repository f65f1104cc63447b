/* SPDX-License-Identifier: MIT */
/*
 * Host bridges that are known to pass on what peers want of each other, by the ids of
 * their first function: the kernel's list (drivers/pci/p2pdma.c).
 */
#include "topology/topology.h"

#define INTEL 0x8086
#define GOOGLE 0x1ae0
#define NVIDIA 0x10de
#define ANY_DEVICE 0x10000U

static const struct {
	uint16_t vendor_id;
	uint32_t device_id;
	enum topology_allowed allowed;
} allowed[] = {
	/* Xeon E5 and E7 v3: between two host bridges they work, but too slowly. */
	{INTEL, 0x3c00, ALLOWED_SAME},
	{INTEL, 0x3c01, ALLOWED_SAME},
	{INTEL, 0x2f00, ALLOWED_SAME},
	{INTEL, 0x2f01, ALLOWED_SAME},
	/* Skylake-E and later */
	{INTEL, 0x2030, ALLOWED_ANY},
	{INTEL, 0x2031, ALLOWED_ANY},
	{INTEL, 0x2032, ALLOWED_ANY},
	{INTEL, 0x2033, ALLOWED_ANY},
	{INTEL, 0x2020, ALLOWED_ANY},
	{INTEL, 0x09a2, ALLOWED_ANY},
	/* accelerators on root buses of their own: DSA and IAA of three generations, QAT */
	{INTEL, 0x0b25, ALLOWED_ANY},
	{INTEL, 0x0cfe, ALLOWED_ANY},
	{INTEL, 0x11fb, ALLOWED_ANY},
	{INTEL, 0x1212, ALLOWED_ANY},
	{INTEL, 0x1216, ALLOWED_ANY},
	{INTEL, 0x4940, ALLOWED_ANY},
	{INTEL, 0x4942, ALLOWED_ANY},
	{INTEL, 0x4944, ALLOWED_ANY},
	{INTEL, 0x4946, ALLOWED_ANY},
	{INTEL, 0x4948, ALLOWED_ANY},
	{GOOGLE, ANY_DEVICE, ALLOWED_ANY},
	{NVIDIA, 0x2f95, ALLOWED_ANY},
	{NVIDIA, 0x2f96, ALLOWED_ANY},
	{NVIDIA, 0x2f97, ALLOWED_ANY},
	{NVIDIA, 0x2f98, ALLOWED_ANY},
};

enum topology_allowed topology_allowed(const struct topology_host *host)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (allowed[i].vendor_id == host->vendor_id &&
		    (allowed[i].device_id == ANY_DEVICE || allowed[i].device_id == host->device_id))
			return allowed[i].allowed;
	return ALLOWED_NOT;
}
