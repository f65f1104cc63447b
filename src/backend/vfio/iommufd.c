/* SPDX-License-Identifier: MIT */
/*
 * iommufd (Linux 6.6 and later): an IOAS a space, devices by their own files. All spaces of
 * the process are in one context, so that what one has mapped may be copied to another.
 */
#include <fcntl.h>
#include <unistd.h>

#include "backend/vfio/space.h"
#include "backend/vfio/uapi.h"

/* What the spaces of a process share: each counts, and the last closes it. */
struct iommufd_context {
	int fd;
	unsigned int users;
};

/* A child of fork() makes one of its own; what its inherited spaces have, they have counted. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct iommufd_context *current;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
	current = NULL;
	pthread_mutex_unlock(&lock);
}

static void join_process(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static int context_error(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return base_error(-EOPNOTSUPP,
				  "this kernel has no iommufd (/dev/iommu, CONFIG_IOMMUFD); load "
				  "the module iommufd, or use vfio-type1:");
	case -EACCES:
	case -EPERM:
		return base_error(err,
				  "no permission to open /dev/iommu; run as root, or give the file "
				  "to a group that you are in");
	default:
		return base_error(err, "cannot open /dev/iommu: %s", strerror(-err));
	}
}

static int new_context(struct iommufd_context **context)
{
	struct iommufd_context *made = base_zalloc(sizeof(*made));
	int err;

	if (!made)
		return base_error(-ENOMEM, "no memory to open /dev/iommu; free some");
	made->fd = vfio_open("/dev/iommu", O_RDWR);
	if (made->fd >= 0) {
		*context = made;
		return 0;
	}
	err = context_error(made->fd);
	base_free(made);
	return err;
}

static int get_context(struct iommufd_context **context)
{
	int err = 0;

	pthread_once(&once, join_process);
	pthread_mutex_lock(&lock);
	if (!current)
		err = new_context(&current);
	if (!err) {
		current->users++;
		*context = current;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

static void put_context(struct iommufd_context *context)
{
	pthread_mutex_lock(&lock);
	if (!--context->users) {
		vfio_kernel->close(context->fd);
		if (context == current)
			current = NULL;
		base_free(context);
	}
	pthread_mutex_unlock(&lock);
}

static int iommufd_open(struct vfio_space *space)
{
	struct uapi_ioas_alloc alloc = {.size = sizeof(alloc)};
	int err = get_context(&space->context);

	if (err)
		return err;
	space->fd = space->context->fd;
	err = vfio_kernel->ioctl(space->fd, UAPI_IOAS_ALLOC, &alloc);
	if (err) {
		put_context(space->context);
		return base_error(err, "iommufd gives no I/O address space: %s", strerror(-err));
	}
	space->ioas = alloc.ioas_id;
	return 0;
}

/* The kernel unmaps what is left. A forked child has the number of somebody else's. */
static void iommufd_close(struct vfio_space *space, bool forked)
{
	struct uapi_destroy destroy = {.size = sizeof(destroy), .id = space->ioas};

	if (!forked)
		vfio_kernel->ioctl(space->fd, UAPI_DESTROY, &destroy);
	put_context(space->context);
}

static int open_error(int err, const struct vfio_place *place)
{
	switch (err) {
	case -EACCES:
	case -EPERM:
		return base_error(err,
				  "no permission to open %s of device %s; run as root, or give the "
				  "file to a group that you are in",
				  place->cdev_file, place->bdf);
	case -EBUSY:
		return base_error(err, "device %s (%s) is in use by another program", place->bdf,
				  place->cdev_file);
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return base_error(-ENODEV, "device %s is gone", place->bdf);
	default:
		return base_error(err, "cannot open %s of device %s: %s", place->cdev_file,
				  place->bdf, strerror(-err));
	}
}

static int bind_error(int err, const struct vfio_place *place)
{
	switch (err) {
	case -EINVAL: /* bound already, by whoever else has the file open */
		return base_error(-EBUSY, "device %s (%s) is in use by another program, or by this",
				  place->bdf, place->cdev_file);
	case -EBUSY:
		return base_error(
			err,
			"device %s is in use, or another device of its IOMMU group %d is: "
			"all of them must be free or bound to vfio-pci; see twostep "
			"devices %s",
			place->bdf, place->group, place->bdf);
	case -EPERM:
		return base_error(
			err,
			"device %s is refused: another device of its IOMMU group %d has "
			"a driver of the kernel's (all must be free or bound to vfio-pci; "
			"see twostep devices %s), or its interrupts are not isolated "
			"(iommufd.allow_unsafe_interrupts=1 allows that)",
			place->bdf, place->group, place->bdf);
	case -ENOTTY:
		return base_error(-EOPNOTSUPP,
				  "the driver of device %s cannot be used with iommufd; use "
				  "vfio-type1:",
				  place->bdf);
	default:
		return base_error(err, "iommufd does not take device %s: %s", place->bdf,
				  strerror(-err));
	}
}

static int attach_error(int err, const struct vfio_place *place)
{
	switch (err) {
	case -EADDRINUSE:
		return base_error(err,
				  "device %s cannot use addresses that are mapped in the space "
				  "already; attach it before mapping",
				  place->bdf);
	case -EBUSY:
		return base_error(err,
				  "device %s: another device of its IOMMU group %d is in another "
				  "space",
				  place->bdf, place->group);
	case -EINVAL:
		return base_error(err,
				  "device %s cannot be in this space: another device of its IOMMU "
				  "group is in another, or its IOMMU cannot keep it coherent",
				  place->bdf);
	default:
		return base_error(err, "device %s cannot be attached: %s", place->bdf,
				  strerror(-err));
	}
}

static int read_ranges(struct vfio_space *space, const struct vfio_place *place)
{
	struct uapi_iova_ranges query = {.size = sizeof(query), .ioas_id = space->ioas};
	struct uapi_iova_range *found = NULL;
	struct backend_range *ranges;
	int err;

	/* How many there are may change only with devices, which attach one by one. */
	err = vfio_kernel->ioctl(space->fd, UAPI_IOAS_IOVA_RANGES, &query);
	if (err && err != -EMSGSIZE)
		return base_error(err, "iommufd does not tell the addresses of %s: %s", place->bdf,
				  strerror(-err));
	if (query.alignment > PGT_PAGE_SIZE)
		return base_error(-EOPNOTSUPP,
				  "the IOMMU of device %s maps no less than %llu bytes; pages of "
				  "4096 are needed",
				  place->bdf, (unsigned long long)query.alignment);
	found = base_alloc((query.nr + 1) * (sizeof(*found) + sizeof(*ranges)));
	if (!found)
		return base_error(-ENOMEM, "no memory for the ranges of device %s; free some",
				  place->bdf);
	ranges = (struct backend_range *)(found + query.nr + 1);
	query.ranges = (uint64_t)(uintptr_t)found;
	if (err)
		err = vfio_kernel->ioctl(space->fd, UAPI_IOAS_IOVA_RANGES, &query);
	for (uint32_t i = 0; !err && i < query.nr; i++)
		ranges[i] = (struct backend_range){found[i].start, found[i].last};
	if (err)
		err = base_error(err, "iommufd does not tell the addresses of %s: %s", place->bdf,
				 strerror(-err));
	else
		err = vfio_set_allowed(space, ranges, query.nr, place->bdf);
	base_free(found);
	return err;
}

static int iommufd_attach(struct vfio_space *space, struct vfio_port *port,
			  const struct vfio_place *place)
{
	struct uapi_bind_iommufd bind = {.size = sizeof(bind), .iommufd = space->fd};
	struct uapi_attach_pt attach = {.size = sizeof(attach), .pt_id = space->ioas};
	int fd, err;

	if (!place->cdev_file[0])
		return base_error(-EOPNOTSUPP,
				  "the kernel has no VFIO file of its own for device %s "
				  "(CONFIG_VFIO_DEVICE_CDEV); use vfio-type1:",
				  place->bdf);
	fd = vfio_open(place->cdev_file, O_RDWR);
	if (fd < 0)
		return open_error(fd, place);
	err = vfio_kernel->ioctl(fd, UAPI_DEVICE_BIND_IOMMUFD, &bind);
	if (err) {
		vfio_kernel->close(fd);
		return bind_error(err, place);
	}
	port->dev_id = bind.dev_id;
	err = vfio_device_open(&port->device, fd, place);
	if (err)
		return err;
	err = vfio_kernel->ioctl(fd, UAPI_DEVICE_ATTACH_PT, &attach);
	err = err ? attach_error(err, place) : read_ranges(space, place);
	if (err)
		vfio_device_close(&port->device);
	return err;
}

/* Closing the device takes it out of the space. */
static void iommufd_detach(struct vfio_space *space, struct vfio_port *port)
{
	(void)space;
	vfio_device_close(&port->device);
}

/* Memory that is not RAM is known to the kernel by its file. */
static bool by_file(const struct memory_record *record)
{
	return record && record->fd >= 0 && (record->type != DMA_MEMORY_RAM || !record->cpu);
}

static int iommufd_check(const struct vfio_space *space, const struct memory_record *record)
{
	(void)space;
	if (record->cpu || record->fd >= 0)
		return 0;
	return base_error(-ENXIO,
			  "memory at 0x%llx has neither a CPU mapping nor a file: the kernel "
			  "cannot map it for a device; register it with one of them",
			  (unsigned long long)record->base);
}

static int iommufd_room(const struct vfio_space *space, uint64_t nr)
{
	(void)space;
	(void)nr;
	return 0;
}

static uint32_t map_flags(const struct vfio_piece *piece)
{
	return UAPI_MAP_FIXED | (piece->access & PGT_READ ? UAPI_MAP_READABLE : 0) |
	       (piece->access & PGT_WRITE ? UAPI_MAP_WRITEABLE : 0);
}

static int iommufd_map(struct vfio_space *space, const struct vfio_piece *piece)
{
	int err;

	if (by_file(piece->record)) {
		struct uapi_ioas_map_file map = {
			.size = sizeof(map),
			.flags = map_flags(piece),
			.ioas_id = space->ioas,
			.fd = piece->record->fd,
			.start = piece->record->fd_offset + (piece->phys - piece->record->base),
			.length = piece->size,
			.iova = piece->iova,
		};

		err = vfio_kernel->ioctl(space->fd, UAPI_IOAS_MAP_FILE, &map);
	} else {
		struct uapi_ioas_map map = {
			.size = sizeof(map),
			.flags = map_flags(piece),
			.ioas_id = space->ioas,
			.user_va = (uint64_t)(uintptr_t)vfio_piece_cpu(piece),
			.length = piece->size,
			.iova = piece->iova,
		};

		err = vfio_kernel->ioctl(space->fd, UAPI_IOAS_MAP, &map);
	}
	return err ? vfio_map_error(space, piece, err) : 0;
}

static int iommufd_copy(struct vfio_space *space, const struct vfio_piece *piece,
			const struct vfio_space *from, dma_addr_t from_iova)
{
	struct uapi_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = map_flags(piece),
		.dst_ioas_id = space->ioas,
		.src_ioas_id = from->ioas,
		.length = piece->size,
		.dst_iova = piece->iova,
		.src_iova = from_iova,
	};

	return vfio_kernel->ioctl(space->fd, UAPI_IOAS_COPY, &copy);
}

static int iommufd_unmap(struct vfio_space *space, dma_addr_t iova, uint64_t size,
			 uint64_t *unmapped)
{
	struct uapi_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = space->ioas,
		.iova = iova,
		.length = size,
	};
	int err = vfio_kernel->ioctl(space->fd, UAPI_IOAS_UNMAP, &unmap);

	*unmapped = err ? 0 : unmap.length;
	return err;
}

const struct vfio_way vfio_iommufd = {
	.name = "vfio-iommufd",
	.open = iommufd_open,
	.close = iommufd_close,
	.attach = iommufd_attach,
	.detach = iommufd_detach,
	.check = iommufd_check,
	.room = iommufd_room,
	.map = iommufd_map,
	.copy = iommufd_copy,
	.unmap = iommufd_unmap,
};
