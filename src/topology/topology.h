/* SPDX-License-Identifier: MIT */
/*
 * topology: PCI functions, what is above them, and which may reach which.
 *
 * It owns the model of a machine's buses: host bridges, and functions in an array, each
 * with the index of the bridge above it (parents come before children, so there are no
 * cycles). A model is read from a file (parse.c) or from sysfs (sysfs.c), both through
 * add.c, which checks that it makes sense. decide.c has the kernel's rules for peers,
 * allow.c the list of host bridges that pass requests of peers on.
 *
 * It knows nothing of devices of the mapping API: who has a place here is the business of
 * the room that maps.
 *
 * Invariants
 *  - Names and addresses of functions are unique, and so are names and root buses of
 *    host bridges. A name cannot be mistaken for an address.
 *  - The parent of a function is a bridge of the same host, with a smaller index.
 *  - A BAR is a power of two long, aligned to its length, inside a window of its host, and
 *    overlaps no other.
 *
 * Locking: none here. A model is constant once it has been read, but for the ACS bits,
 * which its owner changes under a lock of its own.
 */
#ifndef TOPOLOGY_TOPOLOGY_H
#define TOPOLOGY_TOPOLOGY_H

#include <twostep/topology.h>

#include "base/base.h"

#define TOPOLOGY_FUNCTIONS 4096 /* most of them */
#define TOPOLOGY_HOSTS 64
#define TOPOLOGY_WINDOWS 8 /* of a host bridge */
#define TOPOLOGY_FILE (1U << 20) /* longest file, bytes */
#define TOPOLOGY_DEPTH 64 /* bridges above a function at most */

/* A closed range of bus addresses. */
struct topology_window {
	uint64_t first;
	uint64_t last;
};

struct topology_host {
	char name[DMA_PCI_NAME];
	uint32_t domain;
	uint8_t bus; /* the root bus */
	/* Its first function, if that tells what the bridge is: else 0. */
	uint16_t vendor_id;
	uint16_t device_id;
	struct topology_window windows[TOPOLOGY_WINDOWS];
	size_t nr_windows;
};

struct topology_function {
	struct dma_pci_function is;
	bool unmappable; /* its BARs must not be used by peers */
	struct topology_window bars[DMA_PCI_BARS]; /* memory; last 0 for none */
};

struct dma_topology {
	struct topology_host hosts[TOPOLOGY_HOSTS];
	size_t nr_hosts;
	struct topology_function *functions;
	size_t nr_functions;
	size_t room;
	bool machine; /* read from sysfs */
	bool zen; /* an AMD processor of family 17h or later */
	char cpu[40]; /* the processor in words */
};

/* add.c: all set the error text when they refuse, but for the line number. */

/* An empty one, or NULL with the error text; topology_destroy() frees it. */
struct dma_topology *topology_create(void);
void topology_destroy(struct dma_topology *topology);
/* 0; -EINVAL, -ENOMEM. */
int topology_add_host(struct dma_topology *topology, const struct topology_host *host);
int topology_add_function(struct dma_topology *topology, const struct topology_function *function);
int topology_add_bar(struct dma_topology *topology, struct topology_function *function,
		     unsigned int bar, uint64_t first, uint64_t size);
/* Its number, or -1. */
int topology_find_host(const struct dma_topology *topology, const char *name);
int topology_find_function(const struct dma_topology *topology, const char *name);

/* Whether a text may be a name: letters, digits, '-', '_', '.' and ':'. */
bool topology_is_name(const char *text);
/* [DDDD:]BB:DD.F; false: it is no address. */
bool topology_parse_address(const char *text, struct dma_pci_function *function);

static inline bool topology_is_bridge(const struct topology_function *function)
{
	return function->is.type != DMA_PCI_ENDPOINT;
}

/* parse.c: @size bytes of text, perhaps hostile. 0; -EINVAL, -ENOMEM with the error text. */
int topology_parse(const char *text, size_t size, const char *path, struct dma_topology **topology);

/* cpu.c: what kind of processor, from a file like /proc/cpuinfo. */
void topology_read_cpu(struct dma_topology *topology, const char *cpuinfo);
void topology_set_cpu(struct dma_topology *topology, const char *vendor, unsigned int family);

/* allow.c */

enum topology_allowed {
	ALLOWED_NOT, /* it is not on the list */
	ALLOWED_SAME, /* between devices below the same host bridge */
	ALLOWED_ANY,
};
enum topology_allowed topology_allowed(const struct topology_host *host);

#endif
