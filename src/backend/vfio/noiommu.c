/* SPDX-License-Identifier: MIT */
/*
 * noiommu: real devices that are behind no IOMMU. VFIO gives them out when it is told to
 * (enable_unsafe_noiommu_mode), and they reach all memory there is: nothing is isolated,
 * and no unmap stops a device. DMA addresses are physical addresses, so devices are given
 * only memory that stays where it is (frames.h); for everything else there are bounce
 * buffers, in such memory.
 *
 * Where the kernel has it (Linux 7), iommufd pins memory and tells where it is: a device is
 * opened by its own file. Else it is opened by its group, in a container that maps nothing,
 * and the process's page map tells. The first device decides for its space.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/vfio/frames.h"
#include "backend/vfio/uapi.h"
#include "backend/vfio/vfio.h"
#include "memory/memory.h"

struct noiommu {
	struct backend be;
	pthread_mutex_t lock; /* over the list, and over opening */
	struct vfio_port *ports;
	bool by_file; /* devices by their own files, with iommufd */
	bool ready; /* `frames` has been made */
	int iommufd; /* or -1 */
	uint32_t ioas;
	struct frames frames;
};

struct noiommu_port {
	struct vfio_port vfio;
	int container, group; /* -1 with iommufd */
};

static struct noiommu *noiommu_of(struct backend *be)
{
	return container_of(be, struct noiommu, be);
}

/* Memory. */

/* The process's address of memory that is registered or not; 0: it has none. */
static uint64_t memory_of(const struct memory_record *record, phys_addr_t phys)
{
	if (!record)
		return phys;
	return record->cpu ? (uintptr_t)record->cpu + (phys - record->base) : 0;
}

static const struct memory_record *record_of(phys_addr_t phys)
{
	return memory_in_arena(phys) ? memory_lookup(phys) : NULL;
}

static int noiommu_take(struct backend *be, phys_addr_t phys, uint64_t size, dma_addr_t *addr)
{
	const struct memory_record *record = record_of(phys);
	uint64_t memory = memory_of(record, phys);

	if (record && record->bus_addr) {
		*addr = record->bus_addr + (phys - record->base);
		return 0;
	}
	return memory ? frames_take(&noiommu_of(be)->frames, memory, size, addr) : -ENXIO;
}

static void noiommu_release(struct backend *be, phys_addr_t phys, uint64_t size)
{
	const struct memory_record *record = record_of(phys);
	uint64_t memory = memory_of(record, phys);

	if (memory && !(record && record->bus_addr))
		frames_release(&noiommu_of(be)->frames, memory, size);
}

static bool noiommu_lookup(struct backend *be, dma_addr_t addr, phys_addr_t *phys)
{
	return frames_find(&noiommu_of(be)->frames, addr, phys);
}

/* Opening. */

static int find_device(const char *bdf, struct vfio_place *place)
{
	int err = vfio_find(bdf, place);

	if (!err)
		err = vfio_check_bound(place);
	if (err)
		return err;
	if (!place->noiommu && place->group >= 0)
		return base_error(
			-ENODEV,
			"device %s is behind an IOMMU, which keeps it from memory that is "
			"not its own; use vfio:",
			place->bdf);
	if (*place->group_file || *place->cdev_file)
		return 0;
	return base_error(-ENODEV,
			  "device %s is behind no IOMMU, and VFIO does not give it out; load the "
			  "module vfio with enable_unsafe_noiommu_mode=1 (nothing then keeps the "
			  "device from any memory), and bind it again: twostep bind %s",
			  place->bdf, place->bdf);
}

static int open_error(int err, const char *file, const struct vfio_place *place)
{
	switch (err) {
	case -EACCES:
	case -EPERM:
		return base_error(
			err,
			"no permission to open %s for device %s, which is behind no IOMMU; "
			"run as root (CAP_SYS_RAWIO)",
			file, place->bdf);
	case -EBUSY:
		return base_error(err, "device %s (%s) is in use by another program, or by this",
				  place->bdf, file);
	default:
		return base_error(err, "cannot open %s for device %s: %s", file, place->bdf,
				  strerror(-err));
	}
}

static int open_iommufd(struct noiommu *noiommu, const struct vfio_place *place)
{
	struct uapi_ioas_alloc alloc = {.size = sizeof(alloc)};
	int fd = vfio_open("/dev/iommu", O_RDWR);
	int err;

	if (fd < 0)
		return open_error(fd, "/dev/iommu", place);
	err = vfio_kernel->ioctl(fd, UAPI_IOAS_ALLOC, &alloc);
	if (err) {
		vfio_kernel->close(fd);
		return base_error(err, "iommufd gives no I/O address space for device %s: %s",
				  place->bdf, strerror(-err));
	}
	noiommu->iommufd = fd;
	noiommu->ioas = alloc.ioas_id;
	return 0;
}

/* Once, for the first device. */
static int choose_way(struct noiommu *noiommu, const struct vfio_place *place)
{
	int err = 0;

	if (noiommu->ready)
		return 0;
	noiommu->by_file = *place->cdev_file && !vfio_access("/dev/iommu", F_OK);
	if (noiommu->by_file)
		err = open_iommufd(noiommu, place);
	if (!err)
		err = frames_init(&noiommu->frames, noiommu->iommufd, noiommu->ioas);
	if (!err) {
		noiommu->ready = true;
		return 0;
	}
	if (noiommu->iommufd >= 0)
		vfio_kernel->close(noiommu->iommufd);
	noiommu->iommufd = -1;
	return err;
}

static int bind_error(int err, const struct vfio_place *place)
{
	if (err == -EINVAL || err == -EBUSY)
		return base_error(-EBUSY, "device %s (%s) is in use by another program, or by this",
				  place->bdf, place->cdev_file);
	if (err == -EPERM)
		return base_error(
			err,
			"no permission to use device %s, which is behind no IOMMU; run as "
			"root (CAP_SYS_RAWIO)",
			place->bdf);
	return base_error(err, "iommufd does not take device %s, which is behind no IOMMU: %s",
			  place->bdf, strerror(-err));
}

static int attach_by_file(struct noiommu *noiommu, struct noiommu_port *port,
			  const struct vfio_place *place)
{
	struct uapi_bind_iommufd bind = {.size = sizeof(bind), .iommufd = noiommu->iommufd};
	struct uapi_attach_pt attach = {.size = sizeof(attach), .pt_id = noiommu->ioas};
	int fd, err;

	if (!*place->cdev_file)
		return base_error(
			-EOPNOTSUPP,
			"the kernel has no VFIO file of its own for device %s; open it in "
			"a space of its own",
			place->bdf);
	fd = vfio_open(place->cdev_file, O_RDWR);
	if (fd < 0)
		return open_error(fd, place->cdev_file, place);
	err = vfio_kernel->ioctl(fd, UAPI_DEVICE_BIND_IOMMUFD, &bind);
	if (err) {
		vfio_kernel->close(fd);
		return bind_error(err, place);
	}
	port->vfio.dev_id = bind.dev_id;
	err = vfio_device_open(&port->vfio.device, fd, place);
	if (err)
		return err;
	err = vfio_kernel->ioctl(fd, UAPI_DEVICE_ATTACH_PT, &attach);
	if (!err)
		return 0;
	vfio_device_close(&port->vfio.device);
	return base_error(err, "device %s, which is behind no IOMMU, cannot be attached: %s",
			  place->bdf, strerror(-err));
}

/* A container of its own: there is nothing that devices could share. */
static int join_container(struct noiommu_port *port, const struct vfio_place *place)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int err;

	port->container = vfio_open("/dev/vfio/vfio", O_RDWR);
	if (port->container < 0)
		return open_error(port->container, "/dev/vfio/vfio", place);
	if (vfio_kernel->ioctl(port->container, VFIO_GET_API_VERSION, NULL) != VFIO_API_VERSION)
		return base_error(-EOPNOTSUPP,
				  "VFIO of this kernel speaks another version of its interface");
	port->group = vfio_open(place->group_file, O_RDWR);
	if (port->group < 0)
		return open_error(port->group, place->group_file, place);
	err = vfio_kernel->ioctl(port->group, VFIO_GROUP_GET_STATUS, &status);
	if (!err && !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return base_error(-EBUSY,
				  "group %d of device %s is in use by other drivers; see "
				  "twostep devices %s",
				  place->group, place->bdf, place->bdf);
	if (!err)
		err = vfio_kernel->ioctl(port->group, VFIO_GROUP_SET_CONTAINER, &port->container);
	if (!err)
		err = vfio_kernel->ioctl(port->container, VFIO_SET_IOMMU,
					 (void *)(uintptr_t)VFIO_NOIOMMU_IOMMU);
	if (!err)
		return 0;
	if (err == -EPERM)
		return open_error(err, place->group_file, place);
	return base_error(err, "VFIO does not let device %s go without an IOMMU: %s", place->bdf,
			  strerror(-err));
}

static void close_group(struct noiommu_port *port)
{
	if (port->group >= 0)
		vfio_kernel->close(port->group);
	if (port->container >= 0)
		vfio_kernel->close(port->container);
}

static int attach_by_group(struct noiommu_port *port, const struct vfio_place *place)
{
	int fd, err;

	if (!*place->group_file)
		return base_error(-EOPNOTSUPP,
				  "the kernel has no VFIO file for the group of device %s, and no "
				  "iommufd (/dev/iommu)",
				  place->bdf);
	err = join_container(port, place);
	if (!err) {
		fd = vfio_kernel->ioctl(port->group, VFIO_GROUP_GET_DEVICE_FD,
					(void *)(uintptr_t)place->bdf);
		err = fd < 0 ? open_error(fd, place->group_file, place)
			     : vfio_device_open(&port->vfio.device, fd, place);
	}
	if (err)
		close_group(port);
	else
		port->vfio.device.group_fd = port->group;
	return err;
}

static int noiommu_port_open(struct backend *be, const struct port_options *options,
			     uint32_t number, struct dma_port **opened)
{
	struct noiommu *noiommu = noiommu_of(be);
	struct noiommu_port *port;
	struct vfio_place place;
	int err = find_device(options->bdf, &place);

	if (err)
		return err;
	port = base_zalloc_aligned(sizeof(*port), 64);
	if (!port)
		return base_error(-ENOMEM, "no memory for device %s; free some", place.bdf);
	port->vfio.port = (struct dma_port){.ops = &vfio_port_ops, .number = number};
	port->container = port->group = -1;
	pthread_mutex_lock(&noiommu->lock);
	err = choose_way(noiommu, &place);
	if (!err)
		err = noiommu->by_file ? attach_by_file(noiommu, port, &place)
				       : attach_by_group(port, &place);
	if (!err) {
		port->vfio.next = noiommu->ports;
		noiommu->ports = &port->vfio;
		*opened = &port->vfio.port;
	}
	pthread_mutex_unlock(&noiommu->lock);
	if (err)
		base_free(port);
	return err;
}

static void noiommu_port_close(struct backend *be, struct dma_port *opened)
{
	struct noiommu_port *port = container_of(opened, struct noiommu_port, vfio.port);
	struct noiommu *noiommu = noiommu_of(be);

	pthread_mutex_lock(&noiommu->lock);
	vfio_ports_remove(&noiommu->ports, &port->vfio);
	pthread_mutex_unlock(&noiommu->lock);
	vfio_device_close(&port->vfio.device);
	close_group(port);
	base_free(port);
}

/* The rest. */

static int noiommu_pgtable_info(struct backend *be, struct dma_pgtable_info *info)
{
	(void)be;
	*info = (struct dma_pgtable_info){.format = "none"};
	return base_error(-EOPNOTSUPP, "a device without an IOMMU has no page table");
}

static uint64_t noiommu_ioctls(struct backend *be)
{
	return counter_read(&noiommu_of(be)->frames.ioctls);
}

/* Nobody can tell what a device has begun. */
static void noiommu_drain(struct backend *be)
{
	(void)be;
}

static int noiommu_set_fault_handler(struct backend *be, dma_fault_handler_t handler, void *arg)
{
	(void)be;
	(void)arg;
	if (!handler)
		return 0;
	return base_error(-EOPNOTSUPP, "without an IOMMU there are no faults: nothing keeps the "
				       "device from any memory");
}

static void noiommu_close(struct backend *be, bool forked)
{
	struct noiommu *noiommu = noiommu_of(be);

	while (forked && noiommu->ports) {
		struct noiommu_port *port = container_of(noiommu->ports, struct noiommu_port, vfio);

		noiommu->ports = port->vfio.next;
		vfio_device_forget(&port->vfio.device);
		close_group(port);
		base_free(port);
	}
	if (noiommu->ready)
		frames_exit(&noiommu->frames, forked);
	/* What is still pinned goes with it. */
	if (noiommu->iommufd >= 0)
		vfio_kernel->close(noiommu->iommufd);
	if (!forked)
		pthread_mutex_destroy(&noiommu->lock);
	base_free(noiommu);
}

/* What concerns translation stays NULL. */
static const struct backend_ops noiommu_ops = {
	.name = "vfio-noiommu",
	.take = noiommu_take,
	.release = noiommu_release,
	.lookup = noiommu_lookup,
	.pgtable_info = noiommu_pgtable_info,
	.metadata_bytes = vfio_none,
	.table_writes = vfio_none,
	.ioctls = noiommu_ioctls,
	.port_open = noiommu_port_open,
	.port_close = noiommu_port_close,
	.port_set_routes = vfio_no_routes,
	.drain = noiommu_drain,
	.faults = vfio_none,
	.set_fault_handler = noiommu_set_fault_handler,
	.read_faults = vfio_no_faults,
	.close = noiommu_close,
};

/* All ones up to the last byte of RAM that the kernel tells of; to 52 bits if it does not. */
static uint64_t required_mask(void)
{
	char *lines, *rest, *line;
	uint64_t top = 0;

	if (vfio_read_all("/proc/iomem", &lines))
		return DMA_BIT_MASK(52);
	rest = lines;
	while ((line = strsep(&rest, "\n"))) {
		char *dash = strchr(line, '-');
		uint64_t last = dash ? strtoull(dash + 1, NULL, 16) : 0;

		if (*line != ' ' && strstr(line, "System RAM") && last > top)
			top = last;
	}
	base_free(lines);
	return top ? DMA_BIT_MASK(64 - __builtin_clzll(top)) : DMA_BIT_MASK(52);
}

int noiommu_backend_create(struct backend **be)
{
	struct noiommu *noiommu = base_zalloc_aligned(sizeof(*noiommu), 64);

	if (!noiommu)
		return base_error(-ENOMEM, "no memory for an address space; free some");
	noiommu->be.ops = &noiommu_ops;
	noiommu->be.first = 4096;
	noiommu->be.last = UINT64_MAX;
	noiommu->be.phys_end = UINT64_MAX;
	noiommu->be.required_mask = required_mask();
	noiommu->be.hardware = true;
	noiommu->iommufd = -1;
	pthread_mutex_init(&noiommu->lock, NULL);
	*be = &noiommu->be;
	return 0;
}
