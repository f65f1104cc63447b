/* SPDX-License-Identifier: MIT */
/* The entries: what the library calls, what a test asks for; the lock, the log, the orders. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/vfio/kernel.h"
#include "base/base.h"

#include "model.h"

struct fake_machine *fake;

static const struct vfio_kernel *real;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

#ifdef BASE_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);

/* What happens in a kernel orders nothing between threads, and is nobody's race. */
static void unseen(void)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
}

static void seen(void)
{
	AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
static void unseen(void)
{
}

static void seen(void)
{
}
#endif

void fake_enter(void)
{
	unseen();
	pthread_mutex_lock(&lock);
	if (!fake) {
		fprintf(stderr, "vfio_kernel: called outside fake_start() and fake_stop()\n");
		abort();
	}
}

void fake_leave(void)
{
	pthread_mutex_unlock(&lock);
	seen();
}

void *fake_alloc(size_t size)
{
	void *ptr = calloc(1, size ? size : 1);

	if (!ptr) {
		fprintf(stderr, "vfio_kernel: out of memory\n");
		abort();
	}
	return ptr;
}

/* Files */

struct fake_file *fake_file_of(int fd)
{
	return fd >= 0 && fd < FAKE_MAX_FILES ? fake->files[fd] : NULL;
}

int fake_new_file(struct fake_file *file)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fd >= FAKE_MAX_FILES || fake->files[fd]) {
		/* Somebody has closed it behind our back, or there are too many. */
		fprintf(stderr, "vfio_kernel: descriptor %d cannot be\n", fd);
		abort();
	}
	file->refs = 1;
	fake->files[fd] = file;
	fake->nr_files++;
	return fd;
}

void fake_put_file(struct fake_file *file)
{
	if (--file->refs)
		return;
	switch (file->kind) {
	case FAKE_FILE_IOMMU:
		fake_iommufd_free(file->ctx);
		break;
	case FAKE_FILE_CONTAINER:
		fake_container_put(file->container);
		break;
	case FAKE_FILE_GROUP:
		fake_group_release(file);
		break;
	case FAKE_FILE_DEVICE:
		fake_device_release(file);
		break;
	}
	free(file);
}

static struct fake_plugged *by_cdev(const char *name)
{
	for (int i = 0; i < fake->nr_functions; i++)
		if (fake->functions[i]->cdev_file[0] &&
		    !strcmp(fake->functions[i]->cdev_file, name))
			return fake->functions[i];
	return NULL;
}

static struct fake_group *by_group_file(const char *name)
{
	for (int i = 0; i < fake->nr_functions; i++)
		if (fake->functions[i]->group_file[0] &&
		    !strcmp(fake->functions[i]->group_file, name))
			return fake->functions[i]->group;
	return NULL;
}

/* @path begins with /dev. */
static int open_node(const char *path)
{
	struct fake_file *file;
	int fd, err;

	for (size_t i = 0; i < ARRAY_SIZE(fake->refused); i++)
		if (fake->refused[i].err && !strcmp(fake->refused[i].path, path))
			return fake->refused[i].err;

	file = fake_alloc(sizeof(*file));
	if (!strcmp(path, "/dev/iommu") && !fake->options.no_iommufd) {
		file->kind = FAKE_FILE_IOMMU;
		file->ctx = fake_alloc(sizeof(*file->ctx));
	} else if (!strcmp(path, "/dev/vfio/vfio") && !fake->options.no_containers) {
		file->kind = FAKE_FILE_CONTAINER;
		file->container = fake_alloc(sizeof(*file->container));
		file->container->refs = 1;
		fake_space_init(&file->container->space);
	} else if (!strncmp(path, "/dev/vfio/devices/", 18) && by_cdev(path + 18)) {
		file->kind = FAKE_FILE_DEVICE;
		file->device = by_cdev(path + 18);
	} else if (!strncmp(path, "/dev/vfio/", 10) && by_group_file(path + 10)) {
		file->kind = FAKE_FILE_GROUP;
		file->group = by_group_file(path + 10);
		err = fake_group_open(file->group);
		if (err) {
			free(file);
			return err;
		}
	} else {
		free(file);
		return -ENOENT;
	}
	fd = fake_new_file(file);
	if (fd < 0) {
		file->refs = 1;
		fake_put_file(file);
	}
	return fd;
}

static int call_open(const char *path, int flags)
{
	size_t root;
	int fd;

	fake_enter();
	root = strlen(fake->root);
	if (strncmp(path, fake->root, root) || strncmp(path + root, "/dev/", 5))
		fd = real->open(path, flags);
	else
		fd = open_node(path + root);
	fake_leave();
	return fd;
}

static void call_close(int fd)
{
	struct fake_file *file;

	fake_enter();
	file = fake_file_of(fd);
	if (file) {
		fake->files[fd] = NULL;
		fake->nr_files--;
		fake_put_file(file);
	}
	real->close(fd);
	fake_leave();
}

/* Ioctls */

/* Whether the order is for this ioctl. */
static bool due(struct fake_order *order, unsigned long request)
{
	if (!order->nth || order->request != request)
		return false;
	if (order->nth > 1) {
		order->nth--;
		return false;
	}
	if (!order->from)
		order->nth = order->every;
	return true;
}

static void stop_here(void)
{
	fake->paused = true;
	fake->resumed = false;
	pthread_cond_broadcast(&changed);
	while (!fake->resumed)
		pthread_cond_wait(&changed, &lock);
	fake->paused = false;
}

static void log_call(const struct fake_call *call)
{
	if (fake->nr_log == fake->log_room) {
		fake->log_room = fake->log_room ? 2 * fake->log_room : 256;
		fake->log = realloc(fake->log, fake->log_room * sizeof(*fake->log));
		if (!fake->log)
			abort();
	}
	fake->log[fake->nr_log++] = *call;
}

static int dispatch(struct fake_file *file, unsigned long request, void *arg,
		    struct fake_call *call)
{
	switch (file->kind) {
	case FAKE_FILE_IOMMU:
		return fake_iommufd_ioctl(file, request, arg, call);
	case FAKE_FILE_CONTAINER:
		return fake_container_ioctl(file, request, arg, call);
	case FAKE_FILE_GROUP:
		return fake_group_ioctl(file, request, arg);
	case FAKE_FILE_DEVICE:
		return fake_device_ioctl(file, request, arg, call);
	}
	return -ENOTTY;
}

static int call_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_call call = {.request = request};
	struct fake_file *file;
	bool pause;
	int err = 0;

	fake_enter();
	file = fake_file_of(fd);
	if (!file) {
		fake_leave();
		return real->ioctl(fd, request, arg);
	}
	file->refs++;
	pause = due(&fake->pause, request);
	for (size_t i = 0; i < FAKE_MAX_ORDERS && !err; i++)
		if (due(&fake->orders[i], request))
			err = fake->orders[i].err;
	if (pause && fake->when == FAKE_BEFORE)
		stop_here();
	call.result = err ? err : dispatch(file, request, arg, &call);
	log_call(&call);
	if (pause && fake->when == FAKE_AFTER)
		stop_here();
	fake_put_file(file);
	fake_leave();
	return call.result;
}

static ssize_t call_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	struct fake_file *file;
	ssize_t n;

	fake_enter();
	file = fake_file_of(fd);
	n = !file			     ? real->pread(fd, buf, len, offset)
	    : file->kind == FAKE_FILE_DEVICE ? fake_device_pread(file, buf, len, offset)
					     : -EINVAL;
	fake_leave();
	return n;
}

static ssize_t call_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	struct fake_file *file;
	ssize_t n;

	fake_enter();
	file = fake_file_of(fd);
	n = !file			     ? real->pwrite(fd, buf, len, offset)
	    : file->kind == FAKE_FILE_DEVICE ? fake_device_pwrite(file, buf, len, offset)
					     : -EINVAL;
	fake_leave();
	return n;
}

static void *call_map(int fd, uint64_t offset, size_t size, bool writable, int *err)
{
	struct fake_file *file;
	void *ptr = NULL;

	fake_enter();
	file = fake_file_of(fd);
	if (!file)
		ptr = real->map(fd, offset, size, writable, err);
	else if (file->kind == FAKE_FILE_DEVICE)
		ptr = fake_device_map(file, offset, size, writable, err);
	else
		*err = -ENODEV;
	fake_leave();
	return ptr;
}

static void call_unmap(void *ptr, size_t size)
{
	munmap(ptr, size);
}

static struct vfio_kernel calls;

/* Stand in for the kernel; what is not ours goes on to it. */
static void take_over(void)
{
	real = vfio_kernel;
	calls = *real;
	calls.root = fake->root;
	calls.open = call_open;
	calls.close = call_close;
	calls.ioctl = call_ioctl;
	calls.pread = call_pread;
	calls.pwrite = call_pwrite;
	calls.map = call_map;
	calls.unmap = call_unmap;
	vfio_kernel = &calls;
}

/* What a test asks for */

static void set_options(const struct fake_options *options)
{
	struct fake_options *to = &fake->options;

	*to = options ? *options : (struct fake_options){0};
	if (!to->aperture.last)
		to->aperture = (struct fake_window){0, (1ULL << 48) - 1};
	if (!to->page_sizes)
		to->page_sizes = 1ULL << 12 | 1ULL << 21 | 1ULL << 30;
	if (!to->entries)
		to->entries = 65535;
	if (!to->locked_pages)
		to->locked_pages = UINT64_MAX;
	(to->no_iommufd ? fake_remove_node : fake_make_node)("/dev/iommu");
	(to->no_containers ? fake_remove_node : fake_make_node)("/dev/vfio/vfio");
}

bool fake_start(const struct fake_options *options)
{
	void *page =
		mmap(NULL, FAKE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool populates;

	if (page == MAP_FAILED)
		return false;
	populates = !madvise(page, FAKE_PAGE, MADV_POPULATE_WRITE);
	munmap(page, FAKE_PAGE);
	if (!populates || fake)
		return false;

	fake = fake_alloc(sizeof(*fake));
	fake->next_group = 100;
	if (fake_make_root()) {
		free(fake);
		fake = NULL;
		return false;
	}
	set_options(options);
	take_over();
	return true;
}

void fake_stop(void)
{
	vfio_kernel = real;
	/* Devices first: what they hang on is counted by them. */
	for (int kind = FAKE_FILE_DEVICE; kind >= 0; kind--) {
		for (int fd = 0; fd < FAKE_MAX_FILES; fd++) {
			struct fake_file *file = fake->files[fd];

			if (!file || file->kind != (enum fake_kind)kind)
				continue;
			fake->files[fd] = NULL;
			fake_put_file(file);
			close(fd);
		}
	}
	for (int i = 0; i < fake->nr_functions; i++) {
		close(fake->functions[i]->bar);
		free(fake->functions[i]->reserved);
		free(fake->functions[i]);
	}
	for (int i = 0; i < fake->nr_groups; i++)
		free(fake->groups[i]);
	fake_remove_root();
	free(fake->log);
	free(fake);
	fake = NULL;
}

void fake_configure(const struct fake_options *options)
{
	fake_enter();
	set_options(options);
	fake_leave();
}

static struct fake_group *group_of(int number, bool noiommu)
{
	struct fake_group *group;

	for (int i = 0; i < fake->nr_groups; i++)
		if (fake->groups[i]->number == number)
			return fake->groups[i];
	group = fake_alloc(sizeof(*group));
	group->number = number;
	group->noiommu = noiommu;
	fake->groups[fake->nr_groups++] = group;
	return group;
}

static void name_files(struct fake_plugged *to, int number)
{
	const struct fake_options *options = &fake->options;
	const char *prefix = to->noiommu ? "noiommu-" : "";
	char path[96];

	/* VFIO knows of devices that a driver of its own has, and of none without a group. */
	if (strncmp(to->driver, "vfio", 4) || !to->group)
		return;
	if (!options->no_containers) {
		snprintf(to->group_file, sizeof(to->group_file), "%s%d", prefix, to->group->number);
		snprintf(path, sizeof(path), "/dev/vfio/%s", to->group_file);
		fake_make_node(path);
	}
	if (!options->no_cdevs && (!to->noiommu || options->noiommu_cdevs)) {
		snprintf(to->cdev_file, sizeof(to->cdev_file), "%svfio%d", prefix, number);
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", to->cdev_file);
		fake_make_node(path);
	}
}

int fake_plug(const struct fake_function *function)
{
	struct fake_plugged *to = fake_alloc(sizeof(*to));
	int number;

	fake_enter();
	number = fake->nr_functions++;
	if (number >= FAKE_MAX_FUNCTIONS)
		abort();
	fake->functions[number] = to;
	snprintf(to->bdf, sizeof(to->bdf), "%s", function->bdf);
	snprintf(to->driver, sizeof(to->driver), "%s",
		 function->driver ? function->driver : "vfio-pci");
	to->aperture = function->aperture.last ? function->aperture : fake->options.aperture;
	to->nr_reserved = function->nr_reserved;
	to->reserved = fake_alloc(to->nr_reserved * sizeof(*to->reserved));
	for (size_t i = 0; i < to->nr_reserved; i++)
		to->reserved[i] = function->reserved[i];
	to->no_isolated_msi = function->no_isolated_msi;
	to->noiommu = function->group < 0;
	if (!to->noiommu)
		to->group = group_of(function->group, false);
	else if (fake->options.noiommu && !strncmp(to->driver, "vfio", 4))
		to->group = group_of(fake->next_group++, true);
	memcpy(to->config, (uint8_t[]){0x36, 0x1b, 0x10, 0x00}, 4);
	to->bar = memfd_create("bar", MFD_CLOEXEC);
	if (to->bar < 0 || ftruncate(to->bar, FAKE_BAR_SIZE))
		abort();
	for (int i = 0; i < FAKE_VECTORS; i++)
		to->events[i] = -1;
	name_files(to, number);
	fake_plug_sysfs(to);
	fake_leave();
	return number;
}

void fake_set_use(int function, enum fake_use use)
{
	fake_enter();
	fake->functions[function]->use = use;
	fake_leave();
}

void fake_refuse_open(const char *path, int err)
{
	fake_enter();
	for (size_t i = 0; i < ARRAY_SIZE(fake->refused); i++) {
		if (fake->refused[i].err && strcmp(fake->refused[i].path, path))
			continue;
		snprintf(fake->refused[i].path, sizeof(fake->refused[i].path), "%s", path);
		fake->refused[i].err = err;
		break;
	}
	fake_leave();
}

int fake_dmabuf(size_t size)
{
	int fd = memfd_create("dmabuf", MFD_CLOEXEC);
	struct stat stat;

	if (fd < 0 || ftruncate(fd, (off_t)size) || fstat(fd, &stat))
		abort();
	fake_enter();
	if (fake->nr_dmabufs == ARRAY_SIZE(fake->dmabufs))
		abort();
	fake->dmabufs[fake->nr_dmabufs].dev = stat.st_dev;
	fake->dmabufs[fake->nr_dmabufs].ino = stat.st_ino;
	fake->dmabufs[fake->nr_dmabufs++].size = size;
	fake_leave();
	return fd;
}

const char *fake_root(void)
{
	return fake->root;
}

size_t fake_count(unsigned long request)
{
	size_t n = 0;

	fake_enter();
	for (size_t i = 0; i < fake->nr_log; i++)
		n += !request || fake->log[i].request == request;
	fake_leave();
	return n;
}

size_t fake_maps(void)
{
	return fake_count(UAPI_IOAS_MAP) + fake_count(UAPI_IOAS_MAP_FILE) +
	       fake_count(VFIO_IOMMU_MAP_DMA);
}

size_t fake_unmaps(void)
{
	return fake_count(UAPI_IOAS_UNMAP) + fake_count(VFIO_IOMMU_UNMAP_DMA);
}

size_t fake_log(struct fake_call *to, size_t max)
{
	size_t nr;

	fake_enter();
	nr = fake->nr_log;
	for (size_t i = 0; i < nr && i < max; i++)
		to[i] = fake->log[i];
	fake_leave();
	return nr;
}

void fake_forget(void)
{
	fake_enter();
	fake->nr_log = 0;
	fake->cuts = 0;
	fake_leave();
}

static void order_failure(struct fake_order wanted)
{
	fake_enter();
	for (size_t i = 0; i < FAKE_MAX_ORDERS; i++) {
		struct fake_order *order = &fake->orders[i];

		if (order->nth && order->request != wanted.request)
			continue;
		*order = wanted;
		break;
	}
	fake_leave();
}

void fake_fail(unsigned long request, unsigned int nth, int err)
{
	order_failure((struct fake_order){.request = request, .nth = nth, .err = err});
}

void fake_fail_from(unsigned long request, unsigned int nth, int err)
{
	order_failure(
		(struct fake_order){.request = request, .nth = nth, .from = true, .err = err});
}

void fake_fail_every(unsigned long request, unsigned int n, int err)
{
	order_failure((struct fake_order){.request = request, .nth = n, .every = n, .err = err});
}

void fake_pause(unsigned long request, unsigned int nth, enum fake_when when)
{
	fake_enter();
	fake->pause = (struct fake_order){.request = request, .nth = nth};
	fake->when = when;
	fake_leave();
}

void fake_wait_paused(void)
{
	fake_enter();
	while (!fake->paused)
		pthread_cond_wait(&changed, &lock);
	fake_leave();
}

void fake_resume(void)
{
	fake_enter();
	fake->resumed = true;
	fake->paused = false;
	pthread_cond_broadcast(&changed);
	fake_leave();
}

uint64_t fake_locked(void)
{
	uint64_t locked;

	fake_enter();
	locked = fake->locked;
	fake_leave();
	return locked;
}

size_t fake_open_files(void)
{
	size_t nr;

	fake_enter();
	nr = fake->nr_files;
	fake_leave();
	return nr;
}

size_t fake_cuts(void)
{
	size_t cuts;

	fake_enter();
	cuts = fake->cuts;
	fake_leave();
	return cuts;
}

bool fake_bus_master(int function)
{
	bool master;

	fake_enter();
	master = fake->functions[function]->config[4] & 4;
	fake_leave();
	return master;
}
