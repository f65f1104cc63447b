/* SPDX-License-Identifier: MIT */
/*
 * A model of one I/O address space, and what drives it and the library side by side.
 *
 * The model (reference.c) is a list of ranges of addresses, and for each granule of a
 * range: which page of memory is behind it, with which rights, in how large an entry,
 * and which page may still be behind it because a gather is open. Memory is two pieces
 * with a shadow of each page: what it must contain. A granule that is bounced has bytes
 * of its own: what the device sees, and what comes back to memory at the end.
 *
 * A call (calls.c, device.c) is a code and a seed. Everything about it is drawn from that
 * seed, so a list of calls repeats exactly, and calls can be left out of it (shrink.c).
 * A call is made on the library and on the model, and what the library answers and what
 * devices then see is compared. What does not agree ends the run with a sentence.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <stdio.h>

#include "dma/dma.h"

#define PAGE 4096UL
#define PAGE_MASK (PAGE - 1)
#define LARGE_PAGES 512UL

/* Memory: ordinary, then registered without a mapping for the CPU. Whole large pages. */
#define PLAIN_PAGES (3 * LARGE_PAGES)
#define REGISTERED_PAGES (2 * LARGE_PAGES)
#define MEMORY_PAGES (PLAIN_PAGES + REGISTERED_PAGES)

#define MAX_BYTES (4ULL << 20)
#define MAX_PAGES (MAX_BYTES / PAGE + 1)
#define NOTHING (-1)

#define RESERVATIONS 24
#define MAPPINGS 24
#define RANGES (RESERVATIONS + MAPPINGS)
#define LEAVING 128
#define WINDOWS 48
#define DEVICES 2

/* The second device is untrusted: it never shares a granule with anybody else. */
#define UNTRUSTED 1

struct bounced {
	uint8_t bytes[PAGE]; /* all that the device sees of the granule */
	uint16_t in, len; /* the part of it that stands for memory */
	phys_addr_t phys; /* which */
	bool copy_back; /* gathered: at the end */
	struct bounced *next; /* gathered: in the order of the calls */
};

struct granule {
	struct bounced *bounced; /* NULL: the device has the page itself */
	struct bounced *bounced_before;
	int16_t page; /* of memory, or NOTHING */
	int16_t before; /* gathered: a device may still reach it; or NOTHING */
	uint16_t first; /* of the entry that translates it: index of its first granule */
	uint16_t pages; /* and how many it translates */
	uint8_t access; /* PGT_READ | PGT_WRITE */
	uint8_t access_before;
	bool settled; /* synced, or the space needs no sync */
};

enum range_kind { UNUSED, RESERVED, MAPPED, GATHERED };

struct range {
	enum range_kind kind;
	bool firm; /* GATHERED: its addresses must not be handed out yet */
	struct dma_iova_state state; /* MAPPED: address and size, in the same places */
	uint64_t pfn;
	uint64_t pages;
	bool bounced; /* something of it, ever */
	struct granule granule[MAX_PAGES];
};

/* Errors in the model, to show that they are found. */
enum model_error {
	MODEL_RIGHT,
	MODEL_CUTS_LARGE, /* unlinking part of a large entry leaves the rest */
	MODEL_GATHERS_NOTHING, /* gathered memory is out of reach at once */
	MODEL_LOSES_COPIES, /* what was bounced never comes back */
	MODEL_SHOWS_NEIGHBOURS, /* a bounced granule is a copy of all of the page */
};

/* What a run has met: a random test that meets nothing proves nothing. */
enum met {
	MET_LARGE, /* a large entry linked */
	MET_CUT, /* and cut */
	MET_HOLE,
	MET_WHOLE, /* part of a unit unlinked, all of it gone */
	MET_GATHERED, /* memory reached that a gather has not made final yet */
	MET_RELINKED, /* linked where such memory was */
	MET_EXHAUSTED, /* no address space left, and the model agrees */
	MET_NO_MEMORY,
	MET_REACHED,
	MET_REFUSED,
	MET_IN_USE, /* the link errors */
	MET_RANGE,
	MET_INSIDE, /* -EIO */
	MET_MISMATCH, /* -ENXIO */
	MET_INVALID,
	MET_FORBIDDEN, /* -EPERM */
	MET_BOUNCED, /* from here on: only with a device that bounces */
	MET_INCOHERENT, /* -EOPNOTSUPP */
	MET_COPIED_BACK,
	MET_COPIED_LATER, /* when a gather ended */
	MET_SYNCED, /* bounced bytes moved by a sync */
	NR_MET,
};

struct config {
	const char *uri[DEVICES];
	bool bounces; /* the untrusted device does; else it is refused what is not whole */
	bool write_implies_read; /* the format has no write-only */
	bool needs_sync;
	unsigned int va_bits;
	enum model_error error;
};

struct run {
	const struct config *config;
	struct dma_dev *dev[DEVICES];
	uint64_t limit_pfn[DEVICES]; /* last granule that the device may use */
	unsigned int min_align[DEVICES]; /* address bits that a bounced mapping keeps */
	struct dma_space *space;
	struct backend *be;

	uint8_t *plain;
	uint8_t *registered; /* our own mapping of it */
	int fd;
	phys_addr_t registered_base;
	uint8_t *shadow;
	bool touched[MEMORY_PAGES]; /* has a content of its own */

	struct range range[RANGES]; /* reservations first */
	struct {
		enum range_kind kind;
		struct dma_iova_state state;
	} gone[8]; /* what was freed, for freeing it again */
	unsigned int nr_gone;
	struct range leaving[LEAVING];
	unsigned int nr_leaving;
	struct {
		uint64_t first, last; /* pfns */
	} window[WINDOWS];
	unsigned int nr_windows;

	struct dma_gather gather;
	bool gathering;
	bool gather_is_ours; /* begun with a device, so that it really gathers */
	unsigned int gathered;
	struct bounced *to_come; /* back, with the gather's end */
	uint64_t nr_bounced; /* granules, those to come back included */

	uint64_t mapped_pages;
	uint64_t live;
	uint64_t faults;
	uint64_t misuse;

	uint64_t *met; /* by enum met */
	uint64_t random;
	FILE *tell; /* where the calls are told in words, or NULL */
	char failure[512];
};

struct call {
	uint8_t code;
	uint64_t seed;
};

/* Disagree: false, with the sentence kept. */
bool disagree(struct run *run, const char *format, ...)
	__attribute__((__cold__, __format__(__printf__, 2, 3)));
void tell(struct run *run, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

#define AGREE(run, condition, ...)                         \
	do {                                               \
		if (unlikely(!(condition)))                \
			return disagree(run, __VA_ARGS__); \
	} while (0)

static inline uint64_t below(struct run *run, uint64_t n)
{
	run->random ^= run->random << 13;
	run->random ^= run->random >> 7;
	run->random ^= run->random << 17;
	return run->random % n;
}

static inline bool one_in(struct run *run, uint64_t n)
{
	return !below(run, n);
}

static inline unsigned long long ull(uint64_t value)
{
	return value;
}

/* reference.c: the model alone, but for the memory that it shares with the library. */

/* The address of a page of memory, and back; NOTHING for an address of no memory. */
phys_addr_t page_phys(const struct run *run, int page);
int phys_page(const struct run *run, phys_addr_t phys);
/* Whether [phys, phys + len) is memory of the run. */
bool is_memory(const struct run *run, phys_addr_t phys, uint64_t len);
uint8_t *page_bytes(const struct run *run, int page);
uint8_t *page_shadow(const struct run *run, int page);
/* The shadow of memory that may go on in the next page. */
uint8_t *phys_shadow(const struct run *run, phys_addr_t phys);
/* Let memory have a content of its own, before a copy is made of it. */
void touch_memory(struct run *run, const struct phys_vec *vec, size_t nr);

uint8_t dir_access(const struct run *run, enum dma_data_direction dir);

void range_clear(struct range *range);
/* Whether anything that is or may be in use overlaps; only what certainly is, with @firm. */
bool in_use(const struct run *run, uint64_t pfn, uint64_t pages, bool firm);
/* Whether @pages could have been had with a small limit. */
bool could_fit(const struct run *run, uint64_t pages, uint64_t align_pages, uint64_t limit_pfn);
/* New addresses: what a gather had there is out of reach. */
void forget_leaving(struct run *run, uint64_t pfn, uint64_t pages);

/* What link_vec must answer. */
int expect_link(const struct run *run, const struct range *range, bool untrusted,
		const struct phys_vec *vec, size_t nr, size_t offset, enum dma_data_direction dir,
		unsigned long attrs);
/* @bounced: granules that are not all of one piece's are copies. */
void model_link(struct run *run, struct range *range, uint64_t first, const struct phys_vec *vec,
		size_t nr, enum dma_data_direction dir, bool settled, bool bounced);
/* A streaming mapping that is bounced as a whole. */
void model_map_bounced(struct run *run, struct range *range, phys_addr_t phys, uint64_t len,
		       enum dma_data_direction dir);
/* Bytes [addr, addr + len) of what is bounced there go to memory, or the other way. */
void model_sync(struct run *run, const struct range *range, dma_addr_t addr, uint64_t len,
		bool for_device);

struct removal {
	uint64_t pages;
	bool hole; /* something in the range was not linked */
	bool cut; /* something outside of it went too */
};
struct removal model_remove(struct run *run, struct range *range, uint64_t first, uint64_t last,
			    bool gathered, bool copy_back);
bool any_bounced(const struct range *range);
/* Whether an open gather has been there. */
bool any_marks(const struct range *range);
bool any_linked(const struct range *range, uint64_t first, uint64_t pages);
/* The range is given back, by a gather or at once. */
void model_release(struct run *run, struct range *range, bool gathered, bool copy_back);
void model_end_gather(struct run *run);

enum reach { REFUSED, REACHED, EITHER };
/* What a device finds in a granule, and the page behind it, or NOTHING. */
struct place {
	uint8_t *bytes;
	int page;
};
enum reach reach(struct run *run, uint64_t pfn, unsigned int access, struct place *place);

/* device.c */

bool device_read(struct run *run);
bool device_write(struct run *run);
bool device_atomic(struct run *run);
/* One access of some bytes that do not cross a granule. */
bool probe(struct run *run, dma_addr_t addr);
/* Whether all memory is what it should be. */
bool check_memory(struct run *run);

/* calls.c */

/* Open what the configuration says; false with a sentence. */
bool run_open(struct run *run, const struct config *config);
bool run_call(struct run *run, const struct call *call);
/* Whether table, statistics and memory are what they should be. */
bool run_check(struct run *run);
/* Take everything down, and look for what is left. */
bool run_close(struct run *run);
void draw_calls(struct call *calls, size_t nr, uint64_t seed);

/* shrink.c */

/*
 * Run the calls in a process of their own. NULL if all agrees, else what did not, and
 * in @at after how many calls. @tell: also tell the calls on standard output.
 */
const char *run_apart(const struct config *config, const struct call *calls, size_t nr, bool tell,
		      size_t *at);
/* How often the last run has met something. */
uint64_t has_met(enum met what);
/* The calls fail; leave out what is not needed for that. Returns how many are left. */
size_t shrink(const struct config *config, struct call *calls, size_t nr);

#endif
