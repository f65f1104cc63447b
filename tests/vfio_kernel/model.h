/* SPDX-License-Identifier: MIT */
/*
 * model: the kernel that vfio_kernel.h describes, from inside.
 *
 * An address space (space.c) is a sorted list of areas, and windows in which none may be,
 * each owned by what put it there. iommufd's IOAS and type1's container each have one; a
 * device reaches the one it is attached to.
 *
 *   fake_file   what a descriptor stands for; counted
 *    |- fake_ctx        an iommufd: objects by number: IOAS, hardware page table, device
 *    |- fake_container  a type1 container: one space, the groups that use it
 *    |- fake_group      a group's file; counted by its devices' files
 *    '- fake_device     a function's file, by cdev or by group
 *
 * Everything is under one lock, which every entry takes by enter().
 */
#ifndef TESTS_VFIO_KERNEL_MODEL_H
#define TESTS_VFIO_KERNEL_MODEL_H

#include <limits.h>
#include <pthread.h>
#include <sys/types.h>

#include "vfio_kernel.h"

#define FAKE_MAX_FILES 1024
#define FAKE_MAX_FUNCTIONS 16
#define FAKE_MAX_OBJECTS 256
#define FAKE_BAR_SIZE 16384
#define FAKE_CONFIG_SIZE 4096
#define FAKE_VECTORS 8

struct fake_area {
	uint64_t iova, last;
	uint8_t *memory; /* where it is in the process */
	int fd; /* of a file: the stand-in's own, and its own mapping at memory; else -1 */
	uint64_t start; /* in the file */
	bool read, write; /* what the device may do */
	bool writable; /* what it was pinned for */
	uint64_t locked; /* pages counted against the limit */
	uint64_t *dirty; /* a bit a page */
};

struct fake_reserved {
	struct fake_window window;
	const void *owner;
};

struct fake_space {
	struct fake_area *areas;
	size_t nr, room;
	struct fake_reserved *reserved;
	size_t nr_reserved;
	struct fake_window *allowed;
	size_t nr_allowed;
	uint64_t alignment;
	unsigned int domains; /* hardware page tables that are filled from it */
};

enum fake_type {
	FAKE_OBJECT_NONE,
	FAKE_OBJECT_IOAS,
	FAKE_OBJECT_HWPT,
	FAKE_OBJECT_DEVICE,
};

struct fake_object {
	enum fake_type type;
	unsigned int users;
	struct fake_space space; /* an IOAS */
	bool small_pages;
	uint32_t ioas; /* a hardware page table's; its own domain's windows are owned by it */
	bool automatic; /* goes with its last device */
	bool tracks; /* was made for dirty tracking */
	bool tracking;
	bool noiommu;
	int function; /* a device's */
};

struct fake_ctx {
	struct fake_object *objects[FAKE_MAX_OBJECTS]; /* by number; 0 is none */
	bool account_process;
};

struct fake_container {
	unsigned int refs; /* its descriptor, and groups */
	unsigned int groups;
	bool noiommu;
	unsigned long driver; /* what SET_IOMMU chose, 0 before */
	struct fake_space space;
	uint32_t left; /* entries */
	bool tracking;
};

struct fake_group {
	int number;
	bool noiommu;
	bool opened;
	unsigned int cdevs; /* bound by cdev */
	struct fake_container *container;
	unsigned int users; /* devices opened by it */
	const void *owner; /* who owns its transfers: an iommufd or the group itself */
	unsigned int owned;
};

struct fake_plugged {
	char bdf[16];
	char driver[32];
	struct fake_group *group;
	char group_file[32]; /* below /dev/vfio; "" for none */
	char cdev_file[32]; /* below /dev/vfio/devices */
	struct fake_window aperture;
	struct fake_window *reserved;
	size_t nr_reserved;
	bool noiommu, no_isolated_msi;
	enum fake_use use;

	unsigned int opened; /* device files that have access */
	struct fake_ctx *ctx; /* by cdev: who it is bound to */
	uint32_t device; /* its number there */
	uint32_t hwpt; /* what it is attached to, 0 for none */

	uint8_t config[FAKE_CONFIG_SIZE];
	int bar; /* a memfd */
	int events[FAKE_VECTORS];
};

enum fake_kind {
	FAKE_FILE_IOMMU,
	FAKE_FILE_CONTAINER,
	FAKE_FILE_GROUP,
	FAKE_FILE_DEVICE,
};

struct fake_file {
	enum fake_kind kind;
	unsigned int refs; /* descriptor, calls under way, and what hangs on it */
	struct fake_ctx *ctx;
	struct fake_container *container;
	struct fake_group *group;
	struct fake_plugged *device;
	struct fake_file *parent; /* a device's: its group's file or the iommufd it is bound to */
	bool by_group;
	bool access; /* a device's: it may be used */
};

struct fake_order {
	unsigned long request;
	unsigned int nth; /* 0: none */
	bool from;
	unsigned int every; /* and again after so many */
	int err;
};

#define FAKE_MAX_ORDERS 8

struct fake_machine {
	struct fake_options options;
	char root[PATH_MAX / 2];
	struct fake_plugged *functions[FAKE_MAX_FUNCTIONS];
	int nr_functions;
	struct fake_group *groups[FAKE_MAX_FUNCTIONS];
	int nr_groups;
	int next_group; /* number of the next that VFIO makes */
	struct fake_file *files[FAKE_MAX_FILES]; /* by descriptor */
	size_t nr_files;
	uint64_t locked; /* pages */
	size_t cuts;

	struct {
		char path[64];
		int err;
	} refused[FAKE_MAX_ORDERS];
	struct fake_call *log;
	size_t nr_log, log_room;
	struct fake_order orders[FAKE_MAX_ORDERS];
	struct fake_order pause;
	enum fake_when when;
	bool paused, resumed;
	struct {
		dev_t dev;
		ino_t ino;
		uint64_t size;
	} dmabufs[FAKE_MAX_ORDERS];
	size_t nr_dmabufs;
};

extern struct fake_machine *fake;

/* vfio_kernel.c */
void fake_enter(void);
void fake_leave(void);
void *fake_alloc(size_t size); /* zeroed, never NULL */
int fake_new_file(struct fake_file *file); /* its descriptor or -errno */
struct fake_file *fake_file_of(int fd);
void fake_put_file(struct fake_file *file);

/* tree.c */
int fake_make_root(void);
void fake_remove_root(void);
void fake_make_node(const char *path); /* a file that can be found, below the root */
void fake_remove_node(const char *path);
void fake_plug_sysfs(const struct fake_plugged *function);

/* space.c: 0 or what the ioctl returns */
void fake_space_init(struct fake_space *space);
void fake_space_exit(struct fake_space *space);
struct fake_area *fake_find(const struct fake_space *space, uint64_t iova, uint64_t last);
bool fake_find_reserved(const struct fake_space *space, uint64_t iova, uint64_t last);
/* Forbid a window; -EADDRINUSE if something is there, or if it has been promised. */
int fake_reserve(struct fake_space *space, struct fake_window window, const void *owner);
/* For sure, whatever is there. */
void fake_reserve_anyway(struct fake_space *space, struct fake_window window, const void *owner);
void fake_unreserve(struct fake_space *space, const void *owner);
/* What is outside @aperture, as two windows; how many of them there are. */
size_t fake_outside(struct fake_window aperture, struct fake_window windows[2]);
/* Holes between the reserved windows; how many there are, the first @max of them copied. */
size_t fake_holes(const struct fake_space *space, struct fake_window *windows, size_t max);
/* Pin and add. @area is taken over, also on failure. */
int fake_add_area(struct fake_space *space, struct fake_area *area);
void fake_remove_area(struct fake_space *space, struct fake_area *area);
/* Pin all that is there, for the first domain; on failure nothing is. */
int fake_fill(struct fake_space *space);
void fake_unfill(struct fake_space *space);
/* Memory of a file; -errno. */
int fake_map_file(struct fake_area *area, int fd, uint64_t start, uint64_t size);
/* Dirty pages of [iova, last], a bit each in @data. */
void fake_dirty(struct fake_space *space, uint64_t iova, uint64_t last, uint64_t page_size,
		uint64_t *data, bool clear);

/* iommufd.c */
int fake_iommufd_ioctl(struct fake_file *file, unsigned long request, void *arg,
		       struct fake_call *call);
void fake_iommufd_free(struct fake_ctx *ctx);
int fake_iommufd_bind(struct fake_ctx *ctx, struct fake_plugged *device, uint32_t *id);
int fake_iommufd_attach(struct fake_plugged *device, uint32_t *pt);
void fake_iommufd_detach(struct fake_plugged *device);
void fake_iommufd_unbind(struct fake_plugged *device);

/* type1.c */
int fake_container_ioctl(struct fake_file *file, unsigned long request, void *arg,
			 struct fake_call *call);
void fake_container_put(struct fake_container *container);
int fake_container_attach(struct fake_container *container, struct fake_group *group);
void fake_container_detach(struct fake_group *group);

/* device.c */
int fake_group_open(struct fake_group *group);
int fake_group_ioctl(struct fake_file *file, unsigned long request, void *arg);
void fake_group_release(struct fake_file *file);
int fake_claim(struct fake_group *group, const void *owner, bool whole);
void fake_disclaim(struct fake_group *group);
int fake_device_ioctl(struct fake_file *file, unsigned long request, void *arg,
		      struct fake_call *call);
void fake_device_release(struct fake_file *file);
ssize_t fake_device_pread(struct fake_file *file, void *buf, size_t len, uint64_t offset);
ssize_t fake_device_pwrite(struct fake_file *file, const void *buf, size_t len, uint64_t offset);
void *fake_device_map(struct fake_file *file, uint64_t offset, size_t size, bool writable,
		      int *err);

#endif
