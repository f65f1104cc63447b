/* SPDX-License-Identifier: MIT */
/* The machine made up for tests, and its device. */
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "backend/direct/direct.h"
#include "backend/vfio/uapi_device.h"
#include "dma/dma.h"
#include "fake.h"

static const struct vfio_kernel *real;
static struct vfio_kernel stand_in;
static char root[64];
static const char *refused;
static int refused_err;
static char taker[32];
static char writes[1024];

struct fake_device fake_device;

/* The machine. */

void fake_shell(const char *format, ...)
{
	char line[2048];
	va_list args;
	int at = snprintf(line, sizeof(line), "cd %s && ", root);

	va_start(args, format);
	vsnprintf(line + at, sizeof(line) - (size_t)at, format, args);
	va_end(args);
	if (system(line))
		fail_msg("failed: %s", line);
}

void fake_file(const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *out;

	fake_shell("mkdir -p \"$(dirname ./%s)\"", path);
	snprintf(full, sizeof(full), "%s/%s", root, path);
	out = fopen(full, "we");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

const char *fake_read(const char *path)
{
	static char text[256];
	char full[PATH_MAX];
	FILE *in;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	in = fopen(full, "re");
	if (!in || !fgets(text, sizeof(text), in))
		*text = '\0';
	if (in)
		fclose(in);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

#define DEVICE "sys/devices/pci0000:00/"

void fake_function(const char *bdf, const char *class, const char *driver, int group)
{
	char path[128];

	fake_shell("mkdir -p " DEVICE "%s sys/bus/pci/devices && "
		   "ln -s ../../../devices/pci0000:00/%s sys/bus/pci/devices/%s",
		   bdf, bdf, bdf);
	snprintf(path, sizeof(path), DEVICE "%s/vendor", bdf);
	fake_file(path, "0x8086\n");
	snprintf(path, sizeof(path), DEVICE "%s/device", bdf);
	fake_file(path, "0x0953\n");
	snprintf(path, sizeof(path), DEVICE "%s/class", bdf);
	fake_file(path, class);
	snprintf(path, sizeof(path), DEVICE "%s/driver_override", bdf);
	fake_file(path, "(null)\n");
	if (*driver) {
		fake_shell("mkdir -p sys/bus/pci/drivers/%s && "
			   "touch sys/bus/pci/drivers/%s/bind sys/bus/pci/drivers/%s/unbind && "
			   "ln -s ../../../bus/pci/drivers/%s " DEVICE "%s/driver",
			   driver, driver, driver, driver, bdf);
	}
	if (group >= 0)
		fake_shell("mkdir -p sys/kernel/iommu_groups/%d/devices dev/vfio && "
			   "touch dev/vfio/%d && "
			   "ln -s ../../../kernel/iommu_groups/%d " DEVICE "%s/iommu_group && "
			   "ln -s ../../../../devices/pci0000:00/%s "
			   "sys/kernel/iommu_groups/%d/devices/%s",
			   group, group, group, bdf, bdf, group, bdf);
}

const char *fake_driver(const char *bdf)
{
	static char to[PATH_MAX];
	char path[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/" DEVICE "%s/driver", root, bdf);
	len = readlink(path, to, sizeof(to) - 1);
	to[len > 0 ? len : 0] = '\0';
	return strrchr(to, '/') ? strrchr(to, '/') + 1 : to;
}

void fake_refuse(const char *end, int err)
{
	refused = end;
	refused_err = err;
}

void fake_takes(const char *driver)
{
	snprintf(taker, sizeof(taker), "%s", driver);
}

const char *fake_writes(void)
{
	static char copy[sizeof(writes)];

	memcpy(copy, writes, sizeof(copy));
	*writes = '\0';
	return copy;
}

static bool is_refused(const char *path)
{
	return refused && strlen(path) >= strlen(refused) &&
	       !strcmp(path + strlen(path) - strlen(refused), refused);
}

static void link_driver(const char *bdf, const char *driver)
{
	fake_shell("ln -s ../../../bus/pci/drivers/%s " DEVICE "%s/driver", driver, bdf);
}

static void override_of(const char *bdf, char *driver, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICE "%s/driver_override", bdf);
	snprintf(driver, size, "%s", fake_read(path));
	if (!strcmp(driver, "(null)"))
		*driver = '\0';
}

/* drivers/NAME/bind: an override must agree. */
static int bind_to(const char *path, const char *bdf)
{
	char driver[64], only[64], *slash;

	snprintf(driver, sizeof(driver), "%s", strstr(path, "/drivers/") + strlen("/drivers/"));
	slash = strchr(driver, '/');
	*slash = '\0';
	override_of(bdf, only, sizeof(only));
	if (*fake_driver(bdf) || (*only && strcmp(only, driver)))
		return -ENODEV;
	link_driver(bdf, driver);
	return 0;
}

static int probe(const char *bdf)
{
	char only[64];

	override_of(bdf, only, sizeof(only));
	if (!*fake_driver(bdf) && (*only || *taker))
		link_driver(bdf, *only ? only : taker);
	return 0;
}

/* What the kernel does with a line that is written to sysfs. */
static ssize_t act(const char *path, const char *text, size_t len)
{
	const char *file = strrchr(path, '/') + 1;
	char line[64];
	int err = 0;

	snprintf(line, sizeof(line), "%.*s", (int)len, text);
	line[strcspn(line, "\n")] = '\0';
	snprintf(writes + strlen(writes), sizeof(writes) - strlen(writes), "%s%s=%s",
		 *writes ? " " : "", file, line);
	if (!strcmp(file, "driver_override"))
		fake_file(path + strlen(root) + 1, *line ? line : "(null)");
	else if (!strcmp(file, "unbind"))
		fake_shell("rm " DEVICE "%s/driver", line);
	else if (!strcmp(file, "bind"))
		err = bind_to(path, line);
	else if (!strcmp(file, "drivers_probe"))
		err = probe(line);
	return err ? err : (ssize_t)len;
}

static int fake_open_file(const char *path, int flags)
{
	return is_refused(path) ? refused_err : real->open(path, flags);
}

static ssize_t fake_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	if (*root && !strncmp(path, root, strlen(root)))
		return act(path, buf, len);
	return real->pwrite(fd, buf, len, offset);
}

static int fake_access(const char *path, int mode)
{
	return is_refused(path) && mode != F_OK ? refused_err : real->access(path, mode);
}

/* The device. */

static int region_info(struct vfio_region_info *info)
{
	struct vfio_region_info_cap_sparse_mmap *sparse = (void *)(info + 1);
	uint32_t room = info->argsz, index = info->index;
	size_t size;

	__atomic_fetch_add(&fake_device.asked, 1, __ATOMIC_RELAXED);
	if (index >= 9 || fake_device.regions[index].err)
		return index >= 9 ? -EINVAL : fake_device.regions[index].err;
	info->argsz = sizeof(*info);
	info->flags = fake_device.regions[index].flags;
	info->cap_offset = 0;
	info->size = fake_device.regions[index].size;
	info->offset = FAKE_REGION(index);
	if (!fake_device.regions[index].nr_areas)
		return 0;
	size = sizeof(*sparse) + fake_device.regions[index].nr_areas * sizeof(sparse->areas[0]);
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->argsz += (uint32_t)size;
	if (info->argsz > room)
		return 0;
	info->cap_offset = sizeof(*info);
	sparse->header = (struct vfio_info_cap_header){VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0};
	sparse->nr_areas = fake_device.regions[index].nr_areas;
	for (uint32_t i = 0; i < sparse->nr_areas; i++) {
		sparse->areas[i].offset = fake_device.regions[index].areas[i].offset;
		sparse->areas[i].size = fake_device.regions[index].areas[i].size;
	}
	return 0;
}

static bool others_on(uint32_t index)
{
	for (uint32_t i = 0; i <= VFIO_PCI_MSIX_IRQ_INDEX; i++)
		if (i != index && fake_device.irqs[i].nr)
			return true;
	return false;
}

static int set_irqs(const struct vfio_irq_set *set)
{
	uint32_t action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;

	if (set->index >= FAKE_IRQS || set->start + set->count > fake_device.irqs[set->index].count)
		return -EINVAL;
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER) {
		if (!fake_device.irqs[set->index].nr)
			return -EINVAL;
		fake_device.irqs[set->index].masked = action == VFIO_IRQ_SET_ACTION_MASK;
		return 0;
	}
	if (!set->count) {
		if (!fake_device.irqs[set->index].nr)
			return -EINVAL;
		fake_device.irqs[set->index].nr = 0;
		return 0;
	}
	if (set->index <= VFIO_PCI_MSIX_IRQ_INDEX && others_on(set->index))
		return -EINVAL;
	if (set->argsz != sizeof(*set) + set->count * sizeof(int32_t))
		return -EINVAL;
	if (set->count > fake_device.vectors)
		return (int)fake_device.vectors;
	for (uint32_t i = 0; i < set->count; i++) {
		int32_t fd;

		memcpy(&fd, set->data + i * sizeof(fd), sizeof(fd));
		if (fd >= 0 && fcntl(fd, F_GETFD) < 0)
			return -EBADF;
		fake_device.irqs[set->index].fds[i] = fd;
	}
	fake_device.irqs[set->index].nr = set->count;
	return 0;
}

static int feature(struct vfio_device_feature *ask)
{
	uint32_t number = ask->flags & VFIO_DEVICE_FEATURE_MASK;
	const struct uapi_dmabuf *dmabuf = (const void *)ask->data;
	const struct uapi_dmabuf_range *range = (const void *)(dmabuf + 1);

	if (!(fake_device.features >> number & 1))
		return -ENOTTY;
	if (ask->flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (number != UAPI_FEATURE_DMA_BUF || dmabuf->nr_ranges != 1 || dmabuf->flags ||
	    ask->argsz != sizeof(*ask) + sizeof(*dmabuf) + sizeof(*range))
		return -EINVAL;
	fake_device.dmabuf_offset = range->offset;
	fake_device.dmabuf_size = range->length;
	return dup(fake_device.fd);
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	if (request == VFIO_CHECK_EXTENSION)
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU;
	if (fd != fake_device.fd)
		return -EBADF;
	switch (request) {
	case VFIO_DEVICE_GET_INFO: {
		struct vfio_device_info *info = arg;

		info->flags = fake_device.flags;
		info->num_regions = fake_device.nr_regions;
		info->num_irqs = FAKE_IRQS;
		return 0;
	}
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO: {
		struct vfio_irq_info *info = arg;

		info->flags = fake_device.irqs[info->index].flags;
		info->count = fake_device.irqs[info->index].count;
		return info->count || info->index <= VFIO_PCI_MSIX_IRQ_INDEX ? 0 : -EINVAL;
	}
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(arg);
	case VFIO_DEVICE_RESET:
		if (!fake_device.reset_err)
			fake_device.resets++;
		return fake_device.reset_err;
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: {
		struct vfio_pci_hot_reset_info *info = arg;

		if (!fake_device.on_bus)
			return -ENODEV;
		info->count = fake_device.on_bus;
		info->flags = fake_device.bus_flags;
		return fake_device.on_bus > 1 ? -ENOSPC : 0;
	}
	case VFIO_DEVICE_PCI_HOT_RESET: {
		const struct vfio_pci_hot_reset *ask = arg;

		if (ask->count != !(fake_device.bus_flags & UAPI_HOT_RESET_DEV_ID))
			return -EINVAL;
		fake_device.bus_resets++;
		return 0;
	}
	case VFIO_DEVICE_FEATURE:
		return feature(arg);
	default:
		return -ENOTTY;
	}
}

static void fake_close(int fd)
{
	if (fd == fake_device.fd)
		fake_device.closed = true;
	real->close(fd);
}

static void *fake_map(int fd, uint64_t offset, size_t size, bool writable, int *err)
{
	void *ptr;

	*err = fake_device.map_err;
	if (*err)
		return NULL;
	ptr = real->map(fd, offset, size, writable, err);
	__atomic_fetch_add(&fake_device.maps, ptr != NULL, __ATOMIC_RELAXED);
	return ptr;
}

static void fake_unmap(void *ptr, size_t size)
{
	__atomic_fetch_sub(&fake_device.maps, 1, __ATOMIC_RELAXED);
	real->unmap(ptr, size);
}

static void stand(void)
{
	if (!real)
		real = vfio_kernel;
	stand_in = *real;
	stand_in.root = root;
	stand_in.open = fake_open_file;
	stand_in.close = fake_close;
	stand_in.ioctl = fake_ioctl;
	stand_in.pwrite = fake_pwrite;
	stand_in.map = fake_map;
	stand_in.unmap = fake_unmap;
	stand_in.access = fake_access;
	vfio_kernel = &stand_in;
}

void fake_machine_new(void)
{
	strcpy(root, "/tmp/twostep-pci-XXXXXX");
	assert_non_null(mkdtemp(root));
	fake_shell("mkdir -p sys/bus/pci/devices sys/bus/pci/drivers/vfio-pci sys/class/block "
		   "sys/class/net sys/class/tty sys/class/nvme sys/class/nvme-subsystem proc/self "
		   "dev && touch sys/bus/pci/drivers/vfio-pci/bind "
		   "sys/bus/pci/drivers/vfio-pci/unbind sys/bus/pci/drivers_probe "
		   "proc/self/mountinfo proc/swaps");
	refused = NULL;
	*taker = *writes = '\0';
	fake_device.fd = -1;
	stand();
}

void fake_machine_free(void)
{
	fake_shell("rm -rf %s", root);
	*root = '\0';
	vfio_kernel = real;
}

int fake_drive_setup(void **state)
{
	(void)state;
	fake_machine_new();
	fake_function("0000:01:00.0", "0x010802\n", "nvme", 7);
	return 0;
}

int fake_machine_teardown(void **state)
{
	(void)state;
	fake_machine_free();
	return 0;
}

void fake_device_new(void)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const uint32_t mmap = rw | VFIO_REGION_INFO_FLAG_MMAP;

	*root = '\0';
	stand();
	fake_device = (struct fake_device){
		.fd = memfd_create("device", MFD_CLOEXEC),
		.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
		.nr_regions = 9,
		.regions =
			{
				[0] = {.flags = mmap, .size = 65536},
				[2] = {.flags = mmap,
				       .size = 16384,
				       .nr_areas = 2,
				       .areas = {{0, 4096}, {8192, 8192}}},
				[4] = {.flags = rw, .size = 32},
				[VFIO_PCI_CONFIG_REGION_INDEX] = {.flags = rw, .size = 4096},
				[VFIO_PCI_VGA_REGION_INDEX] = {.err = -EINVAL},
			},
		.irqs =
			{
				[VFIO_PCI_INTX_IRQ_INDEX] = {1,
							     VFIO_IRQ_INFO_EVENTFD |
								     VFIO_IRQ_INFO_MASKABLE |
								     VFIO_IRQ_INFO_AUTOMASKED,
							     {0},
							     0,
							     false},
				[VFIO_PCI_MSIX_IRQ_INDEX] = {33,
							     VFIO_IRQ_INFO_EVENTFD |
								     VFIO_IRQ_INFO_NORESIZE,
							     {0},
							     0,
							     false},
				[VFIO_PCI_REQ_IRQ_INDEX] = {1, VFIO_IRQ_INFO_EVENTFD, {0}, 0, false},
			},
		.vectors = 64,
	};
	assert_true(fake_device.fd >= 0);
	assert_int_equal(ftruncate(fake_device.fd, (off_t)FAKE_REGION(9)), 0);
}

void fake_put(unsigned int region, uint64_t offset, const void *bytes, size_t len)
{
	assert_int_equal(pwrite(fake_device.fd, bytes, len, (off_t)(FAKE_REGION(region) + offset)),
			 len);
}

uint64_t fake_get(unsigned int region, uint64_t offset, unsigned int width)
{
	uint64_t value = 0;

	assert_int_equal(
		pread(fake_device.fd, &value, width, (off_t)(FAKE_REGION(region) + offset)), width);
	return value;
}

/* A space without translation, whose ports are the device's. */

static const struct vfio_place place = {
	.bdf = "0000:01:00.0",
	.driver = "vfio-pci",
	.group = 7,
	.group_file = "/dev/vfio/7",
};

static int port_open(struct backend *be, const struct port_options *options, uint32_t number,
		     struct dma_port **port)
{
	struct vfio_port *opened = base_zalloc(sizeof(*opened));
	int err;

	(void)be, (void)options;
	assert_non_null(opened);
	opened->port.ops = &vfio_port_ops;
	opened->port.number = number;
	err = vfio_device_open(&opened->device, fake_device.fd, &place);
	if (err)
		base_free(opened);
	else
		*port = &opened->port;
	return err;
}

static void port_close(struct backend *be, struct dma_port *port)
{
	struct vfio_port *closed = vfio_port_of(port);

	(void)be;
	vfio_device_close(&closed->device);
	base_free(closed);
}

static void port_set_routes(struct backend *be, struct dma_port *port,
			    const struct peer_routes *routes)
{
	(void)be, (void)port, (void)routes;
}

struct dma_dev *fake_open(const char *pci)
{
	static struct backend_ops ops;
	struct dma_dev_options options = {
		.uri = "vfio:0000:01:00.0",
		.bus_limit = UINT64_MAX,
		.port = {.peers = pci != NULL},
		.pci = pci,
	};
	struct dma_space *space;
	struct backend *be;
	struct dma_dev *dev;

	assert_int_equal(direct_backend_create(&be), 0);
	ops = *be->ops;
	ops.port_open = port_open;
	ops.port_close = port_close;
	ops.port_set_routes = port_set_routes;
	be->ops = &ops;
	assert_int_equal(dma_space_create(be, &space), 0);
	if (dma_dev_attach(space, &options, &dev)) {
		dma_space_discard(space);
		return NULL;
	}
	dma_dev_set_model(dev, &vfio_device_regs, &vfio_port_of(dev->port)->device);
	return dev;
}
