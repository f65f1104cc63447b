/* SPDX-License-Identifier: MIT */
/**
 * DOC: peer-to-peer memory
 *
 * Memory of one device that another may use: a BAR, a controller memory buffer. Its
 * provider describes it; the driver of the device that performs the DMA maps it. Where
 * both sit below one switch the peer uses bus addresses, and no IOMMU is asked; where
 * the way leads through the host bridge it is mapped like other memory; and where the
 * hardware cannot do it, it is refused.
 */
#ifndef TWOSTEP_P2PDMA_H
#define TWOSTEP_P2PDMA_H

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

struct p2pdma_provider; /* who provides peer-to-peer memory */

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
 * never %PCI_P2PDMA_MAP_UNKNOWN.
 */
enum pci_p2pdma_map_type pci_p2pdma_state(struct pci_p2pdma_map_state *state, struct dma_dev *dev,
					  phys_addr_t phys);

/**
 * pci_p2pdma_bus_addr_map - the address that peers on the bus use
 * @provider: whose memory it is: @mem of a state that decided %PCI_P2PDMA_MAP_BUS_ADDR
 * @phys: the memory
 */
dma_addr_t pci_p2pdma_bus_addr_map(struct p2pdma_provider *provider, phys_addr_t phys);

#ifdef __cplusplus
}
#endif
#endif
