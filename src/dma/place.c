/* SPDX-License-Identifier: MIT */
/* The process's topology, and the places of devices in it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dma/p2p.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct dma_topology *topology;
static char *source; /* the file it came from, or NULL */
static struct dma_place *places;
static uint64_t generation = 1;

void place_lock(void)
{
	pthread_mutex_lock(&lock);
}

void place_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

struct dma_topology *place_topology(void)
{
	return topology;
}

struct dma_place *place_list(void)
{
	return places;
}

uint64_t place_generation(void)
{
	return __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
}

uint64_t dma_topology_generation(void)
{
	return place_generation();
}

void dma_place_before_fork(void)
{
	place_lock();
}

void dma_place_after_fork(bool child)
{
	if (child) {
		places = NULL;
		p2p_forget_all();
	}
	place_unlock();
}

/* Routes. */

static enum route_kind kind_for(const struct dma_place *place, struct p2pdma_provider *provider)
{
	switch (p2p_decide(provider, place->number)) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		return ROUTE_BUS;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return ROUTE_HOST;
	default:
		return ROUTE_NONE;
	}
}

static struct peer_routes *make_routes(const struct dma_place *place)
{
	struct peer_routes *routes;
	size_t nr = 0;

	for (struct p2pdma_provider *at = p2p_providers(); at; at = at->next)
		nr += at->size != 0;
	routes = base_zalloc(sizeof(*routes) + nr * sizeof(routes->route[0]));
	if (!routes) {
		base_error(-ENOMEM,
			   "no memory for the routes of %s to the memory of %zu peers; free some",
			   place->name, nr);
		return NULL;
	}
	for (struct p2pdma_provider *at = p2p_providers(); at; at = at->next) {
		if (!at->size)
			continue;
		routes->route[routes->nr++] = (struct peer_route){
			.first = at->base + at->bus_offset,
			.last = at->base + at->bus_offset + at->size - 1,
			.phys = at->base,
			.kind = kind_for(place, at),
		};
	}
	return routes;
}

int place_prepare_routes(void)
{
	struct dma_place *place;

	for (place = places; place; place = place->next) {
		place->prepared = make_routes(place);
		if (!place->prepared)
			break;
	}
	if (!place)
		return 0;
	for (place = places; place; place = place->next) {
		base_free(place->prepared);
		place->prepared = NULL;
	}
	return -ENOMEM;
}

static void set_routes(const struct dma_place *place)
{
	const struct dma_dev *dev = place->dev;

	dev->be->ops->port_set_routes(dev->be, dev->port, place->routes);
}

void place_install_routes(void)
{
	for (struct dma_place *place = places; place; place = place->next) {
		struct peer_routes *former = place->routes;

		place->routes = place->prepared;
		place->prepared = NULL;
		set_routes(place);
		base_free(former);
	}
	__atomic_fetch_add(&generation, 1, __ATOMIC_RELEASE);
}

void place_close_routes(const struct p2pdma_provider *provider)
{
	for (struct dma_place *place = places; place; place = place->next) {
		for (size_t i = 0; i < place->routes->nr; i++)
			if (place->routes->route[i].phys == provider->base)
				__atomic_store_n(&place->routes->route[i].kind, ROUTE_CLOSED,
						 __ATOMIC_SEQ_CST);
		set_routes(place);
	}
	__atomic_fetch_add(&generation, 1, __ATOMIC_RELEASE);
}

/* Places. */

static size_t host_windows(const struct dma_topology *of, int number, struct iova_window *windows)
{
	const struct topology_host *host;

	if (!of || number < 0)
		return 0;
	host = &of->hosts[of->functions[number].is.host];
	for (size_t i = 0; i < host->nr_windows; i++)
		windows[i] = (struct iova_window){host->windows[i].first >> GRANULE_SHIFT,
						  host->windows[i].last >> GRANULE_SHIFT};
	return host->nr_windows;
}

size_t dma_place_windows(const struct dma_dev *dev, struct iova_window *windows)
{
	size_t nr;

	if (!dev->place)
		return 0;
	place_lock();
	nr = host_windows(topology, dev->place->number, windows);
	place_unlock();
	return nr;
}

bool dma_place_hides(const struct dma_dev *dev, phys_addr_t phys, uint64_t size)
{
	struct iova_window windows[TOPOLOGY_WINDOWS];
	size_t nr = dma_place_windows(dev, windows);

	for (size_t i = 0; i < nr; i++)
		if (phys >> GRANULE_SHIFT <= windows[i].last_pfn &&
		    (phys + size - 1) >> GRANULE_SHIFT >= windows[i].first_pfn)
			return true;
	return false;
}

static int check_name(const char *name)
{
	int number;

	if (!topology)
		return base_error(
			-ENODEV,
			"pci=%.40s: there is no topology; name its file with topology=, or "
			"load it with dma_topology_load()",
			name);
	number = topology_find_function(topology, name);
	if (number < 0)
		return base_error(-ENODEV, "pci=%.40s: the topology has no such function", name);
	if (topology_is_bridge(&topology->functions[number]))
		return base_error(-ENODEV, "pci=%.40s is a bridge; name an endpoint", name);
	for (struct dma_place *at = places; at; at = at->next)
		if (at->number == number)
			return base_error(-EBUSY, "pci=%.40s: device %s is there already", name,
					  at->dev->name);
	return number;
}

static int enter_locked(struct dma_place *place, const char *name)
{
	place->number = check_name(name);
	if (place->number < 0)
		return place->number;
	snprintf(place->name, sizeof(place->name), "%s",
		 topology->functions[place->number].is.name);
	place->routes = make_routes(place);
	if (!place->routes)
		return -ENOMEM;
	place->next = places;
	places = place;
	set_routes(place);
	return 0;
}

int dma_place_enter(struct dma_dev *dev, const char *name)
{
	struct dma_place *place = base_zalloc(sizeof(*place));
	int err;

	if (!place)
		return base_error(-ENOMEM, "pci=%.40s: no memory for its place; free some", name);
	place->dev = dev;
	place_lock();
	err = enter_locked(place, name);
	place_unlock();
	if (err)
		base_free(place);
	else
		dev->place = place;
	return err;
}

void dma_place_leave(struct dma_dev *dev)
{
	struct dma_place *place = dev->place;
	struct peer_routes *routes;
	uint64_t in_use;

	if (!place)
		return;
	place_lock();
	in_use = p2p_leave(place);
	for (struct dma_place **at = &places; *at; at = &(*at)->next) {
		if (*at == place) {
			*at = place->next;
			break;
		}
	}
	routes = place->routes;
	place->routes = NULL;
	set_routes(place);
	place_unlock();
	base_free(routes);
	p2p_free(place);
	dev->place = NULL;
	if (in_use)
		dma_count_leaks(dev->space, in_use);
}

void dma_place_free_forked(struct dma_dev *dev)
{
	if (!dev->place)
		return;
	base_free(dev->place->routes);
	p2p_free(dev->place);
}

/* Loading. */

/* Devices with memory in use cannot move. */
static int check_bars(const struct dma_topology *next)
{
	for (struct p2pdma_provider *at = p2p_providers(); at; at = at->next) {
		int number = next ? topology_find_function(next, at->place->name) : -1;
		const struct topology_window *bar;

		if (!at->size || number < 0)
			continue;
		bar = &next->functions[number].bars[at->bar];
		if (bar->first != at->window.first || bar->last != at->window.last)
			return base_error(
				-EBUSY,
				"a topology in which bar%u of %s is elsewhere than at 0x%" PRIx64
				", while its memory is provided; remove it first",
				at->bar, at->place->name, at->window.first);
	}
	return 0;
}

static int reserve_windows(const struct dma_topology *next)
{
	struct iova_window windows[TOPOLOGY_WINDOWS];
	int err = 0;

	for (struct dma_place *place = places; place && !err; place = place->next) {
		int number = next ? topology_find_function(next, place->name) : -1;

		err = dma_dev_reserve(place->dev, windows, host_windows(next, number, windows));
	}
	return err;
}

static void make_current(struct dma_topology *next)
{
	topology = next;
	for (struct dma_place *place = places; place; place = place->next)
		place->number = next ? topology_find_function(next, place->name) : -1;
	/* What is cached is the former topology's. */
	for (struct p2pdma_provider *at = p2p_providers(); at; at = at->next)
		at->decided_at = 0;
}

/* On failure everything is as before, but for windows. */
static int replace(struct dma_topology *next, char *path)
{
	struct dma_topology *former = topology;
	char *former_path = source;
	int err = check_bars(next);

	if (!err)
		err = reserve_windows(next);
	if (err)
		return err;
	make_current(next);
	err = place_prepare_routes();
	if (err) {
		make_current(former);
		return err;
	}
	source = path;
	place_install_routes();
	topology_destroy(former);
	base_free(former_path);
	return 0;
}

static int load(struct dma_topology *next, char *path)
{
	int err;

	place_lock();
	err = replace(next, path);
	place_unlock();
	if (err) {
		topology_destroy(next);
		base_free(path);
	}
	return err;
}

static int read_file(const char *path, struct dma_topology **next, char **copy)
{
	size_t size = strlen(path) + 1;
	int err = dma_topology_read(path, next);

	if (err)
		return err;
	*copy = base_alloc(size);
	if (!*copy) {
		topology_destroy(*next);
		return base_error(-ENOMEM, "no memory for the name of a topology; free some");
	}
	memcpy(*copy, path, size);
	return 0;
}

int dma_topology_load(const char *path)
{
	struct dma_topology *next = NULL;
	char *copy = NULL;
	int err = path ? read_file(path, &next, &copy) : 0;

	return err ? err : load(next, copy);
}

int dma_topology_load_sysfs(const char *sysfs, const char *cpuinfo)
{
	struct dma_topology *next;
	int err = dma_topology_read_sysfs(sysfs, cpuinfo, &next);

	return err ? err : load(next, NULL);
}

static int check_source(const char *path)
{
	if (!topology)
		return -ENOENT;
	if (source && !strcmp(source, path))
		return 0;
	return base_error(-EBUSY,
			  "topology=%.60s: the process has another, %.60s; a process has one", path,
			  source ? source : "the machine's");
}

int dma_place_use(const char *path)
{
	struct dma_topology *next;
	char *copy;
	int err;

	place_lock();
	err = check_source(path);
	place_unlock();
	if (err != -ENOENT)
		return err;
	err = read_file(path, &next, &copy);
	if (err)
		return err;
	place_lock();
	/* Another thread may have been faster. */
	err = check_source(path);
	if (err == -ENOENT) {
		err = replace(next, copy);
		if (!err)
			next = NULL;
	}
	place_unlock();
	if (next) {
		topology_destroy(next);
		base_free(copy);
	}
	return err;
}

static int set_acs(const char *name, unsigned int acs)
{
	struct dma_pci_function *is;
	unsigned int former;
	int number = topology ? topology_find_function(topology, name) : -1;
	int err;

	if (number < 0)
		return base_error(-ENOENT, "access control of \"%.40s\": %s", name,
				  topology ? "the topology has no such function"
					   : "there is no topology; load one first");
	if (topology->machine)
		return base_error(-EINVAL,
				  "access control of %.40s: it is the machine's; change it there, "
				  "and load its topology again",
				  name);
	is = &topology->functions[number].is;
	former = is->acs;
	is->acs = acs;
	for (struct p2pdma_provider *at = p2p_providers(); at; at = at->next)
		at->decided_at = 0;
	err = place_prepare_routes();
	if (err) {
		is->acs = former;
		for (struct p2pdma_provider *at = p2p_providers(); at; at = at->next)
			at->decided_at = 0;
		return err;
	}
	place_install_routes();
	return 0;
}

int dma_topology_set_acs(const char *name, unsigned int acs)
{
	int err;

	if (acs > 0x7f)
		return base_error(-EINVAL,
				  "access control 0x%x for \"%.40s\": there are the bits "
				  "DMA_PCI_ACS_SV to DMA_PCI_ACS_DT only",
				  acs, name);
	place_lock();
	err = set_acs(name, acs);
	place_unlock();
	return err;
}
