/* SPDX-License-Identifier: MIT */
/* Providers of peer-to-peer memory, and who may use it. CONTRACT: docs/differences.md. */
#include <inttypes.h>
#include <limits.h>

#include "dma/p2p.h"

static struct p2pdma_provider *providers;
/* This thread unregisters a provider's memory, with the lock held. */
static thread_local_ie bool removing;

struct p2pdma_provider *p2p_providers(void)
{
	return providers;
}

void p2p_forget_all(void)
{
	providers = NULL;
}

bool p2p_provides(phys_addr_t base, phys_addr_t last)
{
	bool found = false;

	if (removing)
		return false;
	place_lock();
	for (struct p2pdma_provider *at = providers; at && !found; at = at->next)
		found = at->size && at->base <= last && base <= at->base + at->size - 1;
	place_unlock();
	return found;
}

/* Decisions. */

/* Decide for all clients at most once a generation; without memory, each time. */
enum pci_p2pdma_map_type p2p_decide(struct p2pdma_provider *provider, int client)
{
	struct dma_topology *topology = place_topology();
	enum pci_p2pdma_map_type type;

	if (!topology || client < 0 || provider->place->number < 0)
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;
	if (provider->decided_at != place_generation() ||
	    provider->nr_decided != topology->nr_functions) {
		base_free(provider->decided);
		provider->decided = base_zalloc(topology->nr_functions);
		provider->nr_decided = provider->decided ? topology->nr_functions : 0;
		provider->decided_at = place_generation();
	}
	if (provider->decided && provider->decided[client])
		return (enum pci_p2pdma_map_type)provider->decided[client];
	type = dma_topology_decide(topology, (size_t)provider->place->number, (size_t)client, NULL,
				   NULL, 0);
	if (provider->decided)
		provider->decided[client] = (uint8_t)type;
	return type;
}

static struct p2pdma_provider *find_provider(const void *provider)
{
	struct p2pdma_provider *at = providers;

	while (at && at != provider)
		at = at->next;
	return at && at->size ? at : NULL;
}

static __cold enum pci_p2pdma_map_type decide_state(struct pci_p2pdma_map_state *state,
						    const struct dma_dev *dev, const void *mem)
{
	struct p2pdma_provider *provider;

	place_lock();
	provider = find_provider(mem);
	state->mem = (struct p2pdma_provider *)mem;
	state->generation = place_generation();
	state->map = provider && dev->place ? p2p_decide(provider, dev->place->number)
					    : PCI_P2PDMA_MAP_NOT_SUPPORTED;
	place_unlock();
	return state->map;
}

static const struct memory_record *peer_memory(phys_addr_t phys)
{
	const struct memory_record *record = memory_in_arena(phys) ? memory_lookup(phys) : NULL;

	return record && record->type == DMA_MEMORY_P2P ? record : NULL;
}

enum pci_p2pdma_map_type pci_p2pdma_state(struct pci_p2pdma_map_state *state, struct dma_dev *dev,
					  phys_addr_t phys)
{
	const struct memory_record *record = peer_memory(phys);

	if (!record)
		return PCI_P2PDMA_MAP_NONE;
	if (dma_space_check(dev->space))
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;
	if (likely(state->map && state->mem == record->provider &&
		   state->generation == place_generation()))
		return state->map;
	return decide_state(state, dev, record->provider);
}

dma_addr_t pci_p2pdma_bus_addr_map(struct p2pdma_provider *provider, phys_addr_t phys)
{
	return provider ? phys + provider->bus_offset : DMA_MAPPING_ERROR;
}

int pci_p2pdma_refused(struct dma_dev *dev, phys_addr_t phys)
{
	const struct memory_record *record = peer_memory(phys);
	struct p2pdma_provider *provider;
	char why[200] = "its provider is not known, or has gone";

	place_lock();
	provider = record ? find_provider(record->provider) : NULL;
	if (!record)
		strcpy(why, "it is no peer's memory");
	else if (!dev->place)
		strcpy(why, "the device has no place on a PCI bus; open it with pci=");
	else if (provider && place_topology())
		dma_topology_decide(place_topology(), (size_t)provider->place->number,
				    (size_t)dev->place->number, NULL, why, sizeof(why));
	place_unlock();
	return base_error(-EREMOTEIO, "%s wants memory of a peer at 0x%" PRIx64 ": %s", dev->name,
			  phys, why);
}

/* Providers. */

static int check_place(const struct dma_dev *dev)
{
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (!dev->place || dev->place->number < 0)
		return base_error(-ENODEV,
				  "device %s has no place on a PCI bus; open it with pci=NAME",
				  dev->name);
	return 0;
}

static int init_locked(struct dma_place *place)
{
	const struct topology_function *function;
	struct p2pdma_provider *provider;

	if (place->inited)
		return 0;
	function = &place_topology()->functions[place->number];
	if (function->unmappable)
		return base_error(-EOPNOTSUPP, "the BARs of %s are not for peers (unmappable)",
				  place->name);
	for (unsigned int bar = 0; bar < DMA_PCI_BARS; bar++) {
		if (!function->bars[bar].last || place->providers[bar])
			continue;
		provider = base_zalloc(sizeof(*provider));
		/* What was made is used by the next attempt. */
		if (!provider)
			return base_error(-ENOMEM, "no memory for a provider of bar%u of %s", bar,
					  place->name);
		provider->place = place;
		provider->bar = bar;
		provider->window = function->bars[bar];
		provider->next = providers;
		providers = provider;
		place->providers[bar] = provider;
	}
	place->inited = true;
	return 0;
}

int pcim_p2pdma_init(struct dma_dev *dev)
{
	int err;

	place_lock();
	err = check_place(dev);
	if (!err)
		err = init_locked(dev->place);
	place_unlock();
	return err;
}

struct p2pdma_provider *pcim_p2pdma_provider(struct dma_dev *dev, unsigned int bar)
{
	struct p2pdma_provider *provider = NULL;
	bool inited = false;
	int err;

	place_lock();
	err = check_place(dev);
	if (!err)
		inited = dev->place->inited ||
			 place_topology()->functions[dev->place->number].unmappable;
	if (inited && bar < DMA_PCI_BARS)
		provider = dev->place->providers[bar];
	place_unlock();
	if (!err && !inited)
		dma_misuse(dev->space, "the provider of bar%u of %s: call pcim_p2pdma_init() first",
			   bar, dev->name);
	return provider;
}

static int check_resource(const struct dma_place *place, unsigned int bar,
			  const struct dma_memory_desc *desc, uint64_t offset)
{
	const struct p2pdma_provider *provider = bar < DMA_PCI_BARS ? place->providers[bar] : NULL;
	uint64_t size;

	if (!provider || !provider->window.last)
		return base_error(-EINVAL, "memory of bar%u of %s: there is no such memory BAR",
				  bar, place->name);
	if (provider->size)
		return base_error(-EEXIST, "memory of bar%u of %s was added already", bar,
				  place->name);
	size = provider->window.last - provider->window.first + 1;
	if (offset % GRANULE || offset >= size || !desc->size || desc->size % GRANULE ||
	    desc->size > size - offset)
		return base_error(-EINVAL,
				  "0x%" PRIx64 " bytes at 0x%" PRIx64
				  " of bar%u of %s: the BAR has 0x%" PRIx64
				  " bytes, and memory is whole pages of 4096 of it",
				  desc->size, offset, bar, place->name, size);
	if (desc->type != DMA_MEMORY_P2P || desc->provider || desc->bus_addr)
		return base_error(-EINVAL,
				  "memory of bar%u of %s: its type must be DMA_MEMORY_P2P, its "
				  "provider NULL and its bus address 0, which are filled in",
				  bar, place->name);
	return 0;
}

/* Unregister the provider's memory: nobody finds it, then nobody has a route, then it is gone. */
static void withdrawn(void *arg)
{
	place_close_routes(arg);
}

static int unregister(struct p2pdma_provider *provider)
{
	int err;

	removing = true;
	err = memory_unregister(provider->base, withdrawn, provider);
	removing = false;
	return err;
}

static void no_memory(struct p2pdma_provider *provider)
{
	p2p_pool_exit(&provider->pool);
	provider->size = 0;
}

static int add_locked(struct dma_place *place, unsigned int bar, const struct dma_memory_desc *desc,
		      uint64_t offset, phys_addr_t *base)
{
	struct dma_memory_desc known = *desc;
	struct p2pdma_provider *provider;
	int err = init_locked(place);

	/* Without memory nothing keeps a BAR where it was in a topology before this one. */
	provider = !err && bar < DMA_PCI_BARS ? place->providers[bar] : NULL;
	if (provider && !provider->size)
		provider->window = place_topology()->functions[place->number].bars[bar];
	if (!err)
		err = check_resource(place, bar, desc, offset);
	if (err)
		return err;
	provider = place->providers[bar];
	known.provider = provider;
	known.bus_addr = provider->window.first + offset;
	err = p2p_pool_init(&provider->pool, desc->size >> GRANULE_SHIFT);
	if (err)
		return err;
	err = dma_memory_register(&known, &provider->base);
	if (err) {
		p2p_pool_exit(&provider->pool);
		return err;
	}
	provider->bus_offset = known.bus_addr - provider->base;
	provider->size = desc->size;
	err = place_prepare_routes();
	if (err) {
		unregister(provider);
		no_memory(provider);
		return base_error(err,
				  "memory of bar%u of %s: no memory for the routes of its "
				  "peers; free some",
				  bar, place->name);
	}
	place_install_routes();
	*base = provider->base;
	return 0;
}

int pci_p2pdma_add_resource(struct dma_dev *dev, unsigned int bar,
			    const struct dma_memory_desc *desc, uint64_t offset, phys_addr_t *base)
{
	int err;

	if (!desc || !base)
		return base_error(-EINVAL,
				  "adding memory of bar%u of %s without a description, or "
				  "without a place for its address",
				  bar, dev->name);
	place_lock();
	err = check_place(dev);
	if (!err)
		err = add_locked(dev->place, bar, desc, offset, base);
	place_unlock();
	return err;
}

static int remove_locked(const struct dma_place *place, unsigned int bar)
{
	struct p2pdma_provider *provider = bar < DMA_PCI_BARS ? place->providers[bar] : NULL;
	int err;

	if (!provider || !provider->size)
		return base_error(-ENOENT, "bar%u of %s provides no memory", bar, place->name);
	if (provider->pool.nr_taken)
		return base_error(-EBUSY,
				  "memory of bar%u of %s: %zu pages of it are allocated; free them "
				  "first",
				  bar, place->name, provider->pool.nr_taken);
	err = unregister(provider);
	if (!err)
		no_memory(provider);
	return err;
}

int pci_p2pdma_remove_resource(struct dma_dev *dev, unsigned int bar)
{
	int err = dma_space_check(dev->space);

	if (err)
		return err;
	if (!dev->place)
		return base_error(-ENOENT, "device %s provides no memory", dev->name);
	place_lock();
	err = remove_locked(dev->place, bar);
	place_unlock();
	return err;
}

/* A closing device takes its memory with it, whoever has mapped it. */
static bool tear_out(struct p2pdma_provider *provider)
{
	bool in_use = provider->pool.nr_taken;

	if (unregister(provider)) {
		in_use = true;
		memory_hide_for_good(provider->base);
		dma_drain_spaces();
		place_close_routes(provider);
	}
	no_memory(provider);
	return in_use;
}

uint64_t p2p_leave(struct dma_place *place)
{
	uint64_t in_use = 0;

	for (struct p2pdma_provider **at = &providers; *at;) {
		struct p2pdma_provider *provider = *at;

		if (provider->place != place) {
			at = &provider->next;
			continue;
		}
		if (provider->size)
			in_use += tear_out(provider);
		*at = provider->next;
	}
	return in_use;
}

void p2p_free(struct dma_place *place)
{
	for (unsigned int bar = 0; bar < DMA_PCI_BARS; bar++) {
		struct p2pdma_provider *provider = place->providers[bar];

		if (!provider)
			continue;
		p2p_pool_exit(&provider->pool);
		base_free(provider->decided);
		base_free(provider);
	}
	base_free(place);
}

/* Distances. */

/* The sum of hops; -1 with the error text. */
static int distance_many(const struct dma_dev *provider, struct dma_dev *const *clients,
			 int num_clients)
{
	int sum = 0, distance;
	char why[200];

	if (num_clients < 1) {
		base_error(-EINVAL, "the distance of %s from no device; name one", provider->name);
		return -1;
	}
	if (check_place(provider))
		return -1;
	for (int i = 0; i < num_clients; i++) {
		if (check_place(clients[i]))
			return -1;
		if (dma_topology_decide(place_topology(), (size_t)provider->place->number,
					(size_t)clients[i]->place->number, &distance, why,
					sizeof(why)) == PCI_P2PDMA_MAP_NOT_SUPPORTED) {
			base_error(-EREMOTEIO, "%s cannot reach memory of %s: %s", clients[i]->name,
				   provider->name, why);
			return -1;
		}
		if (sum > INT_MAX - distance) {
			base_error(-ERANGE, "the distance of %s from %d devices is too long",
				   provider->name, num_clients);
			return -1;
		}
		sum += distance;
	}
	return sum;
}

int pci_p2pdma_distance_many(struct dma_dev *provider, struct dma_dev *const *clients,
			     int num_clients)
{
	int distance;

	place_lock();
	distance = distance_many(provider, clients, num_clients);
	place_unlock();
	return distance;
}

static bool has_memory(const struct dma_place *place)
{
	for (unsigned int bar = 0; bar < DMA_PCI_BARS; bar++)
		if (place->providers[bar] && place->providers[bar]->size)
			return true;
	return false;
}

static uint64_t address_of(const struct dma_place *place)
{
	const struct dma_pci_function *is = &place_topology()->functions[place->number].is;

	return (uint64_t)is->domain << 16 | (uint64_t)is->bus << 8 |
	       (uint64_t)(is->device << 3 | is->function);
}

struct dma_dev *pci_p2pmem_find_many(struct dma_dev *const *clients, int num_clients)
{
	struct dma_place *best = NULL;
	int distance, nearest = INT_MAX;

	place_lock();
	for (struct dma_place *at = place_list(); at; at = at->next) {
		if (!at->published || !has_memory(at))
			continue;
		distance = distance_many(at->dev, clients, num_clients);
		if (distance < 0 || distance > nearest ||
		    (best && distance == nearest && address_of(at) > address_of(best)))
			continue;
		best = at;
		nearest = distance;
	}
	place_unlock();
	if (!best)
		base_error(-ENODEV, "no device has published memory that all %d devices can reach",
			   num_clients);
	return best ? best->dev : NULL;
}

bool pci_has_p2pmem(struct dma_dev *dev)
{
	bool has;

	place_lock();
	has = dev->place && dev->place->published && has_memory(dev->place);
	place_unlock();
	return has;
}

void pci_p2pmem_publish(struct dma_dev *dev, bool publish)
{
	if (dma_space_check(dev->space) || !dev->place)
		return;
	place_lock();
	dev->place->published = publish;
	place_unlock();
}

/* Allocation. */

/* The provider of @dev in whose memory @phys lies, or NULL. */
static struct p2pdma_provider *provider_at(const struct dma_dev *dev, phys_addr_t phys)
{
	for (unsigned int bar = 0; dev->place && bar < DMA_PCI_BARS; bar++) {
		struct p2pdma_provider *provider = dev->place->providers[bar];

		if (provider && provider->size && phys - provider->base < provider->size)
			return provider;
	}
	return NULL;
}

static phys_addr_t alloc_locked(const struct dma_place *place, size_t pages)
{
	for (unsigned int bar = 0; bar < DMA_PCI_BARS; bar++) {
		struct p2pdma_provider *provider = place->providers[bar];
		size_t page;

		if (!provider || !provider->size)
			continue;
		page = p2p_pool_take(&provider->pool, pages);
		if (page < provider->pool.pages)
			return provider->base + ((uint64_t)page << GRANULE_SHIFT);
	}
	return 0;
}

phys_addr_t pci_alloc_p2pmem(struct dma_dev *dev, size_t size)
{
	phys_addr_t phys = 0;

	if (dma_space_check(dev->space))
		return 0;
	if (!size || size > SIZE_MAX - GRANULE_MASK) {
		base_error(-EINVAL, "%zu bytes of the memory of %s: ask for at least 1", size,
			   dev->name);
		return 0;
	}
	place_lock();
	if (dev->place)
		phys = alloc_locked(dev->place, (size + GRANULE_MASK) >> GRANULE_SHIFT);
	place_unlock();
	if (!phys)
		base_error(-ENOMEM,
			   "%zu bytes of the memory of %s: it provides none, or has no such piece "
			   "free; free some",
			   size, dev->name);
	return phys;
}

void pci_free_p2pmem(struct dma_dev *dev, phys_addr_t phys, size_t size)
{
	struct p2pdma_provider *provider;
	bool freed = false;

	if (dma_space_check(dev->space))
		return;
	place_lock();
	provider = provider_at(dev, phys);
	if (provider && !(phys & GRANULE_MASK) && size && size <= provider->size)
		freed = p2p_pool_give(&provider->pool, (phys - provider->base) >> GRANULE_SHIFT,
				      (size + GRANULE_MASK) >> GRANULE_SHIFT);
	place_unlock();
	if (!freed)
		dma_misuse(dev->space,
			   "freeing %zu bytes at 0x%" PRIx64
			   " of the memory of %s: that is not what "
			   "pci_alloc_p2pmem() gave",
			   size, phys, dev->name);
}

dma_addr_t pci_p2pmem_phys_to_bus(struct dma_dev *dev, phys_addr_t phys)
{
	struct p2pdma_provider *provider;
	dma_addr_t bus = 0;

	place_lock();
	provider = provider_at(dev, phys);
	if (provider)
		bus = phys + provider->bus_offset;
	place_unlock();
	return bus;
}
