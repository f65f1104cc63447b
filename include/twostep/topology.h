/* SPDX-License-Identifier: MIT */
/**
 * DOC: the topology of PCI buses
 *
 * Which device sits below which bridge decides which may reach whose memory
 * (<twostep/p2pdma.h>). A &struct dma_topology is read from sysfs for real devices, or
 * from a file (docs/topology.md) for devices in software, and can be asked for any pair.
 *
 * One topology is the process's own: dma_topology_load() makes it so, and the devices
 * that were opened with ``pci=NAME`` have their places in it. A place is found by its
 * name each time, so the topology may be loaded again while devices are open: a device
 * whose name is gone may reach nothing. Whatever changes moves the generation, by which
 * all that was decided before is known to be old.
 *
 * These calls may come from any thread. A &struct dma_topology that a program has read for
 * itself does not change.
 */
#ifndef TWOSTEP_TOPOLOGY_H
#define TWOSTEP_TOPOLOGY_H

#include <twostep/p2pdma.h>
#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dma_topology; /* bridges, devices, and what is below what */

/* Longest name of a function, with the terminating zero. */
#define DMA_PCI_NAME 32
/* BARs of a function. */
#define DMA_PCI_BARS 6

/* Access control services of a port, as in its control register (PCIe 6.0, 7.7.11.3). */
#define DMA_PCI_ACS_SV (1U << 0) /* source validation */
#define DMA_PCI_ACS_TB (1U << 1) /* translation blocking */
#define DMA_PCI_ACS_RR (1U << 2) /* peer requests are redirected upstream */
#define DMA_PCI_ACS_CR (1U << 3) /* and so are completions */
#define DMA_PCI_ACS_UF (1U << 4) /* upstream forwarding */
#define DMA_PCI_ACS_EC (1U << 5) /* egress control */
#define DMA_PCI_ACS_DT (1U << 6) /* direct translated requests pass */
/* The bits that keep peers from using each other's bus addresses. */
#define DMA_PCI_ACS_REDIRECT (DMA_PCI_ACS_RR | DMA_PCI_ACS_CR | DMA_PCI_ACS_EC)

/** What a function is on the bus. */
enum dma_pci_type {
	DMA_PCI_ENDPOINT = 0,
	DMA_PCI_ROOT_PORT = 1,
	DMA_PCI_UPSTREAM = 2,   /* of a switch, towards the root */
	DMA_PCI_DOWNSTREAM = 3, /* of a switch, towards a device */
	DMA_PCI_BRIDGE = 4,     /* another bridge */
};

/** dma_pci_type_name - a type in words; a static string */
const char *dma_pci_type_name(enum dma_pci_type type);

/**
 * struct dma_pci_function - one function of a device or bridge
 * @name: what it is called: its address (``0000:01:00.0``) if nothing else was said
 * @domain: of its address
 * @bus: of its address
 * @device: of its address
 * @function: of its address
 * @vendor_id: who made it; 0 if that was not said
 * @device_id: what it is; 0 if that was not said
 * @class_code: class, subclass and programming interface
 * @type: what it is on the bus
 * @parent: the number of the bridge above it; -1 on a root bus
 * @host: the number of its host bridge
 * @acs: access control bits that are on; 0 without such a capability
 * @acs_unknown: sysfs did not show the capability, which takes root: taken as redirecting
 * @iommu_group: its IOMMU group, or -1
 * @driver: its driver, or ""
 */
struct dma_pci_function {
	char name[DMA_PCI_NAME];
	uint32_t domain;
	uint8_t bus;
	uint8_t device;
	uint8_t function;
	uint16_t vendor_id;
	uint16_t device_id;
	uint32_t class_code;
	enum dma_pci_type type;
	int parent;
	int host;
	unsigned int acs;
	bool acs_unknown;
	int iommu_group;
	char driver[DMA_PCI_NAME];
};

/**
 * dma_topology_read - read a topology from a file
 * @path: the file; docs/topology.md describes its format
 * @topology: where it is stored; untouched on failure
 *
 * Return: 0; -EINVAL for a file that is not understood, with the number of its line in
 * dma_last_error(); -ENOMEM; the errno of open() or read(). Free it with
 * dma_topology_free().
 */
int dma_topology_read(const char *path, struct dma_topology **topology);

/**
 * dma_topology_read_sysfs - read the topology of the machine
 * @sysfs: where sysfs is mounted; NULL for ``/sys``
 * @cpuinfo: what to read the processor's family from; NULL for ``/proc/cpuinfo``
 * @topology: where it is stored; untouched on failure
 *
 * A machine without PCI devices has an empty one. Without root the kernel shows the
 * first 64 bytes of configuration space only, so access control is unknown.
 *
 * Return: 0; -ENOENT if there is no sysfs; -EINVAL for a tree that contradicts itself;
 * -ENOMEM.
 */
int dma_topology_read_sysfs(const char *sysfs, const char *cpuinfo, struct dma_topology **topology);

/** dma_topology_free - forget a topology that was read; NULL is allowed */
void dma_topology_free(struct dma_topology *topology);

/** dma_topology_count - how many functions there are; their numbers are below it */
size_t dma_topology_count(const struct dma_topology *topology);

/**
 * dma_topology_function - describe a function
 * @topology: the topology
 * @number: its number
 * @function: where the description is stored
 *
 * Return: 0; -EINVAL if there is no such number.
 */
int dma_topology_function(const struct dma_topology *topology, size_t number,
			  struct dma_pci_function *function);

/**
 * dma_topology_find - the number of a function
 * @topology: the topology
 * @name: its name, or its address with or without the domain 0000
 *
 * Return: the number; -ENOENT.
 */
int dma_topology_find(const struct dma_topology *topology, const char *name);

/**
 * dma_topology_decide - how one function may reach another's memory
 * @topology: the topology
 * @provider: number of the function whose memory it is
 * @client: number of the function that reaches for it
 * @distance: where the hops between the two are stored; may be NULL
 * @why: where a sentence is stored that says why, without a full stop; may be NULL
 * @size: bytes at @why
 *
 * Return: %PCI_P2PDMA_MAP_BUS_ADDR, %PCI_P2PDMA_MAP_THRU_HOST_BRIDGE or
 * %PCI_P2PDMA_MAP_NOT_SUPPORTED; the last also for numbers that there are not.
 * Source: CONTRACT.md, section 5; drivers/pci/p2pdma.c.
 */
enum pci_p2pdma_map_type dma_topology_decide(const struct dma_topology *topology, size_t provider,
					     size_t client, int *distance, char *why, size_t size);

/** pci_p2pdma_map_type_name - a decision in words; a static string */
const char *pci_p2pdma_map_type_name(enum pci_p2pdma_map_type type);

/**
 * dma_topology_load - make a file the process's topology
 * @path: the file, or NULL: there is no topology any more
 *
 * Replaces what was loaded before. Devices with a place keep out of the memory windows
 * of their new host bridge from then on.
 *
 * Return: 0; as dma_topology_read(); -EADDRINUSE if addresses in use lie in a window
 * that a device with a place must keep out of. On failure the topology is what it was; a
 * window that was reserved already stays so.
 */
int dma_topology_load(const char *path);

/**
 * dma_topology_load_sysfs - make the machine's topology the process's
 * @sysfs: as for dma_topology_read_sysfs()
 * @cpuinfo: as for dma_topology_read_sysfs()
 *
 * Return: as dma_topology_read_sysfs() and dma_topology_load().
 */
int dma_topology_load_sysfs(const char *sysfs, const char *cpuinfo);

/**
 * dma_topology_set_acs - change the access control of a port or device
 * @name: its name or address in the process's topology
 * @acs: DMA_PCI_ACS_* bits that are on from now
 *
 * When it returns, no device uses a way any more that the change has closed. Only for a
 * topology from a file: of the machine's, load it again.
 *
 * Return: 0; -ENOENT without a topology or such a name; -EINVAL for other bits, or for
 * the machine's topology; -ENOMEM, and nothing has changed.
 */
int dma_topology_set_acs(const char *name, unsigned int acs);

/** dma_topology_generation - moves whenever what was decided may be decided otherwise */
uint64_t dma_topology_generation(void);

#ifdef __cplusplus
}
#endif
#endif
