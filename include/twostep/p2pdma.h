/* SPDX-License-Identifier: MIT */
/**
 * DOC: peer-to-peer memory
 *
 * Memory of one device that another may use: a BAR, a controller memory buffer. Its
 * provider describes it; the driver of the device that performs the DMA maps it. Where
 * both sit below one switch the peer uses bus addresses, and no IOMMU is asked; where
 * the way leads through the host bridge it is mapped like other memory; and where the
 * hardware cannot do it, it is refused.
 *
 * A device takes part if it was opened with ``pci=NAME``, which gives it its place in the
 * topology (<twostep/topology.h>).
 *
 * All calls may come from any thread. Those that take a device fail with -EPERM in a
 * forked child.
 */
#ifndef TWOSTEP_P2PDMA_H
#define TWOSTEP_P2PDMA_H

#include <twostep/memory.h>
#include <twostep/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a device may reach a provider's memory. */
enum pci_p2pdma_map_type {
	PCI_P2PDMA_MAP_UNKNOWN = 0,      /* not decided yet */
	PCI_P2PDMA_MAP_NONE,             /* not peer-to-peer memory */
	PCI_P2PDMA_MAP_NOT_SUPPORTED,    /* it may not */
	PCI_P2PDMA_MAP_BUS_ADDR,         /* by bus address: no IOMMU mapping, and no unmapping */
	PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, /* mapped like other memory, with DMA_ATTR_MMIO */
};

struct p2pdma_provider; /* who provides peer-to-peer memory: one BAR of a device */

/**
 * struct pci_p2pdma_map_state - what was decided last
 * @mem: the provider that it was decided for
 * @map: how
 * @generation: of the topology that it was decided by
 *
 * Starts zeroed; one for each device and each loop over memory.
 */
struct pci_p2pdma_map_state {
	struct p2pdma_provider *mem;
	enum pci_p2pdma_map_type map;
	uint64_t generation;
};

/**
 * pci_p2pdma_state - how a device may reach memory
 * @state: what was decided last, and is decided now; untouched if @phys is not
 *	peer-to-peer memory
 * @dev: the device that will perform the DMA
 * @phys: the memory
 *
 * Decides anew only if the provider, or the topology, is another than last time.
 *
 * Return: %PCI_P2PDMA_MAP_NONE for memory that is not peer-to-peer; else as decided,
 * never %PCI_P2PDMA_MAP_UNKNOWN. Peer-to-peer memory whose provider is not known or has
 * gone, and devices without a place in the topology, are %PCI_P2PDMA_MAP_NOT_SUPPORTED.
 */
enum pci_p2pdma_map_type pci_p2pdma_state(struct pci_p2pdma_map_state *state, struct dma_dev *dev,
					  phys_addr_t phys);

/**
 * pci_p2pdma_bus_addr_map - the address that peers on the bus use
 * @provider: whose memory it is: @mem of a state that decided %PCI_P2PDMA_MAP_BUS_ADDR
 * @phys: the memory
 */
dma_addr_t pci_p2pdma_bus_addr_map(struct p2pdma_provider *provider, phys_addr_t phys);

/**
 * pci_p2pdma_refused - say why a device may not reach memory
 * @dev: the device
 * @phys: memory that was decided as %PCI_P2PDMA_MAP_NOT_SUPPORTED for it
 *
 * For callers that have to refuse: dma_last_error() has the sentence.
 *
 * Return: -EREMOTEIO, always.
 */
int pci_p2pdma_refused(struct dma_dev *dev, phys_addr_t phys);

/**
 * pcim_p2pdma_init - let a device provide memory
 * @dev: a device with a place in the topology
 *
 * Makes a provider for each of its memory BARs. Once is enough; more often does nothing.
 *
 * Return: 0; -ENODEV if @dev has no place; -EOPNOTSUPP if its BARs are not for peers;
 * -ENOMEM.
 */
int pcim_p2pdma_init(struct dma_dev *dev);

/**
 * pcim_p2pdma_provider - the provider of a BAR
 * @dev: the device
 * @bar: number of the BAR
 *
 * Return: the provider, which lives as long as @dev is open; NULL if there is no such
 * memory BAR or its memory is not for peers. Without pcim_p2pdma_init() that is a misuse.
 */
struct p2pdma_provider *pcim_p2pdma_provider(struct dma_dev *dev, unsigned int bar);

/**
 * pci_p2pdma_add_resource - provide memory of a BAR
 * @dev: the device whose BAR it is
 * @bar: number of the BAR
 * @desc: what the memory is, as for dma_memory_register(): of type %DMA_MEMORY_P2P, with
 *	provider NULL and bus address 0, which are filled in
 * @offset: where the memory begins in the BAR, a multiple of 4096
 * @base: where its first physical address is stored; untouched on failure
 *
 * Registers the memory, lets peers at it where the topology does, and makes it available
 * to pci_alloc_p2pmem(). Calls pcim_p2pdma_init().
 *
 * Return: 0; as pcim_p2pdma_init() and dma_memory_register(); -EINVAL if the memory does
 * not lie in the BAR, or there is none; -EEXIST if the BAR has its memory already.
 */
int pci_p2pdma_add_resource(struct dma_dev *dev, unsigned int bar,
			    const struct dma_memory_desc *desc, uint64_t offset, phys_addr_t *base);

/**
 * pci_p2pdma_remove_resource - withdraw memory of a BAR
 * @dev: the device whose BAR it is
 * @bar: number of the BAR
 *
 * When it returns 0, no device can reach the memory, by any address, and no transfer to
 * it is running. Whoever holds a bus address of it is refused from then on.
 *
 * Closing @dev does the same, and cannot be refused: then memory that is still mapped is
 * gone for whoever has mapped it, and is counted by dma_leak_count().
 *
 * Return: 0; -ENOENT if the BAR provides no memory; -EBUSY if part of it is allocated, or
 * mapped for a device.
 */
int pci_p2pdma_remove_resource(struct dma_dev *dev, unsigned int bar);

/**
 * pci_p2pdma_distance_many - how far a provider is from several devices
 * @provider: the device with the memory
 * @clients: the devices that want to use it
 * @num_clients: how many
 *
 * Return: the sum of the hops between; -1 if there is no client, or a pair that does not
 * work: dma_last_error() says which, and why.
 */
int pci_p2pdma_distance_many(struct dma_dev *provider, struct dma_dev *const *clients,
			     int num_clients);

/**
 * pci_p2pmem_find_many - the nearest published memory that several devices can use
 * @clients: the devices
 * @num_clients: how many
 *
 * Of providers at the same distance, the one with the lowest address on the bus.
 *
 * Return: the device that provides it, valid until it is closed; NULL if there is none.
 */
struct dma_dev *pci_p2pmem_find_many(struct dma_dev *const *clients, int num_clients);

/** pci_has_p2pmem - whether a device has published memory */
bool pci_has_p2pmem(struct dma_dev *dev);

/** pci_p2pmem_publish - let, or do not let, pci_p2pmem_find_many() find a device's memory */
void pci_p2pmem_publish(struct dma_dev *dev, bool publish);

/**
 * pci_alloc_p2pmem - take some of a device's memory
 * @dev: the device that provides it
 * @size: bytes; whole pages of 4096 bytes are taken
 *
 * From the BAR with the lowest number that has room, at the lowest address that fits.
 *
 * Return: the physical address; 0 if there is not so much in one piece, or @size is 0.
 */
phys_addr_t pci_alloc_p2pmem(struct dma_dev *dev, size_t size);

/**
 * pci_free_p2pmem - give it back
 * @dev: the device that it was taken from
 * @phys: what pci_alloc_p2pmem() returned
 * @size: as it was asked for
 *
 * Anything else than what was taken is misuse, and nothing is freed.
 */
void pci_free_p2pmem(struct dma_dev *dev, phys_addr_t phys, size_t size);

/**
 * pci_p2pmem_phys_to_bus - the bus address of a device's own memory
 * @dev: the device that provides it
 * @phys: an address of its memory
 *
 * Stands for the kernel's pci_p2pmem_virt_to_bus(): peer-to-peer memory has no virtual
 * address here.
 *
 * Return: the bus address; 0 if @dev does not provide @phys.
 */
dma_addr_t pci_p2pmem_phys_to_bus(struct dma_dev *dev, phys_addr_t phys);

#ifdef __cplusplus
}
#endif
#endif
