/* SPDX-License-Identifier: MIT */
/*
 * The benchmark.
 *
 * A figure is an operation of the mapping API and how long it takes. A row is a
 * figure in one variant. Rows are run in turn, round by round, so that a slow
 * phase of the machine touches all of them; beside each run of a row its limit is
 * run, so that the ratio of the two medians means something. A run is as many
 * batches as fill its time, and the clock is looked at around batches only.
 *
 * bench.c		the verb: rounds
 * bench_figures.c	the table of figures
 * bench_ops.c		the operations of the API that are measured
 * bench_sg.c		scatter-gather lists
 * bench_bounce.c	bounce buffers, on one thread and on two
 * bench_premap.c	memory mapped ahead, and a load of as much
 * bench_raw.c		what they are measured against
 * bench_reader.c	a device that reads all the time
 * bench_machine.c	the machine, and which core runs what
 * bench_report.c	medians, the table and the JSON text
 *
 * The rig belongs to the main thread; a reader's own comment says what it shares.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <twostep.h>

#include "pool.h"

#define BENCH_PAGES 512u /* longest scattered list */
#define BENCH_RAW_PAGES 256u /* entries of the raw loops */
#define BENCH_POOL_PAGES 16384u /* 64 MiB */
#define BENCH_GATHER 32u /* operations that share an invalidation */
#define BENCH_READER_PAGES 16u
#define BENCH_LEAST_RUNS 9u
#define BENCH_BUSY_TRIES 20u /* of one run beside a device that must not be held up */
#define BENCH_MOST_RUNS 999u

/*
 * A device that reads its own memory, 4 KiB at a time, as fast as it can, on a
 * thread of its own. @wanted, @passes and @failed are atomic; @parked, @quit and
 * the sleep of the thread are under @lock.
 */
struct bench_reader {
	struct dma_dev *dev;
	struct pool pool;
	dma_addr_t addr[BENCH_READER_PAGES];
	unsigned int nr_mapped;
	int cpu; /* -1 for any */
	pthread_t thread;
	bool running; /* the thread exists */
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool parked;
	bool quit;
	bool wanted;
	uint64_t passes;
	bool failed;
	uint64_t began_ns; /* wall and processor time when it began to read */
	uint64_t began_cpu_ns;
};

/* False: a sentence was printed. Close in either case. */
bool reader_open(struct bench_reader *reader, struct dma_dev *dev, int cpu);
void reader_close(struct bench_reader *reader);
/* When it returns, the device reads. */
void reader_start(struct bench_reader *reader);
/*
 * When it returns, the device does not read. False: a read was refused. @all_the_time
 * (may be NULL): whether it had a processor since reader_start(), but for a tenth.
 */
bool reader_stop(struct bench_reader *reader, bool *all_the_time);

/* What the operations work on. */
struct bench_rig {
	struct dma_dev *dev; /* what is measured: one of the next four */
	struct dma_dev *plain;
	struct dma_dev *checked; /* with misuse checks; NULL if there is none */
	struct dma_dev *bouncing; /* bounces everything; NULL if there is none */
	struct dma_dev *ahead; /* maps only what is mapped ahead; NULL if there is none */
	struct dma_dev *lazy; /* in a lazy space; NULL if there is none */
	struct dma_dev *unrelated; /* in a space of its own */
	struct pool pool;
	struct phys_vec vec[BENCH_PAGES]; /* no two neighbours contiguous */
	struct bench_reader reader;
	struct bench_reader unrelated_reader;
	bool translates; /* IOVA ranges can be reserved */
	bool on_bus; /* the device is one in software and can be made to read */
	struct bench_ahead *regions; /* that @ahead has: by their number; NULL until needed */
	uint64_t run_ns; /* how long a run lasts */
	int main_cpu; /* -1: not pinned */
	int device_cpu; /* -1: any */
};

/* One run: nanoseconds an operation, or another unit. False: a sentence was printed. */
typedef bool (*bench_run_t)(struct bench_rig *rig, size_t pages, bool gather, double *value);

bool bench_link_vec(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_link_page(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_destroy(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_transaction(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_map_unmap(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_iova_alloc_free(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_unrelated(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_map_sg(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool bench_sg_transaction(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool raw_map_sg(struct bench_rig *rig, size_t pages, bool gather, double *value);
/* On that many threads. */
bool bench_bounce(struct bench_rig *rig, size_t threads, bool gather, double *value);
bool raw_bounce(struct bench_rig *rig, size_t threads, bool gather, double *value);

/* Translations in that many regions, by the look-up's own call and by dma_map_phys(). */
bool bench_premap(struct bench_rig *rig, size_t regions, bool gather, double *value);
bool bench_premap_map(struct bench_rig *rig, size_t regions, bool gather, double *value);
bool raw_look_up(struct bench_rig *rig, size_t regions, bool gather, double *value);
void premap_close(struct bench_rig *rig);

bool raw_scalar(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool raw_vector(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool raw_clear(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool raw_call(struct bench_rig *rig, size_t pages, bool gather, double *value);
bool raw_vector_possible(void);

enum bench_limit {
	LIMIT_NONE,
	LIMIT_RAW, /* raw_scalar */
	LIMIT_CLEAR, /* clear_256 */
	LIMIT_UNCHECKED, /* the same figure on the plain device */
	LIMIT_LOOK_UP, /* a dependent load from as much memory, and an empty call */
	LIMIT_STRICT, /* the same figure on the strict device */
	LIMIT_TWO_STEP, /* raw_map_sg: reserving, linking and syncing the same pages by vec */
	LIMIT_COPIES, /* twice the copies that a bounce buffer costs, and 100 ns */
};

/* What a figure is measured on. */
enum bench_device {
	ON_PLAIN,
	ON_CHECKED,
	ON_BOUNCING,
	ON_AHEAD,
	ON_LAZY,
};

enum bench_variant {
	VARIANT_IDLE,
	VARIANT_BUSY,
	VARIANT_GATHER,
	VARIANT_BUSY_GATHER,
	NR_VARIANTS,
};

struct bench_figure {
	const char *name;
	const char *unit;
	size_t pages; /* 0: not by pages */
	size_t threads; /* if not 0, what @run is told in place of @pages */
	size_t regions; /* the same */
	enum bench_device device;
	enum bench_limit limit;
	bool plain; /* one variant only */
	bool needs_iova; /* not measured where nothing can be reserved */
	bool needs_bus;
	bench_run_t run;
	double target[NR_VARIANTS]; /* in units of the limit, at most; 0 for none */
};

extern const struct bench_figure bench_figures[];
extern const size_t bench_nr_figures;
extern const char *const bench_suffix[NR_VARIANTS];

struct bench_row {
	const struct bench_figure *figure;
	enum bench_variant variant;
	char name[48];
	const char *skipped; /* why, or NULL */
	size_t held_up; /* runs during which the device that should read lacked a processor */
	double value[BENCH_MOST_RUNS];
	double limit[BENCH_MOST_RUNS];
};

static inline bool variant_busy(enum bench_variant variant)
{
	return variant == VARIANT_BUSY || variant == VARIANT_BUSY_GATHER;
}

static inline bool variant_gather(enum bench_variant variant)
{
	return variant == VARIANT_GATHER || variant == VARIANT_BUSY_GATHER;
}

struct bench_machine {
	char cpu[128];
	char kernel[256];
	long cores;
	int main_cpu; /* -1: not pinned */
	int device_cpu; /* -1: any */
};

/* Pins the calling thread to the first core it may use. */
void machine_open(struct bench_machine *machine);
void pin_thread(int cpu);

void bench_print_json(const char *uri, const struct bench_machine *machine,
		      const struct bench_row *rows, size_t nr_rows, size_t runs);
void bench_print_table(const char *uri, const struct bench_machine *machine,
		       const struct bench_row *rows, size_t nr_rows, size_t runs);

#endif
