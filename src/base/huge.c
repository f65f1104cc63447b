/* SPDX-License-Identifier: MIT */
/* Memory in huge pages: whole ones, and parts of them by granules. */
#include <linux/mman.h>
#include <pthread.h>
#include <sys/mman.h>

#include "base/base.h"

#define PAGE 4096ULL
#define PAGES (BASE_HUGE / PAGE)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A huge page that is given out in parts: a bit a granule, of those in use. */
struct huge_page {
	struct huge_page *next;
	uint64_t start;
	uint64_t used[PAGES / 64];
};

static struct huge_page *pages;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * Shared: after a fork() a private page would be replaced when it is written, and a device
 * would go on with the old one.
 */
static bool map_huge(uint64_t start, uint64_t size)
{
	void *ptr = mmap((void *)start, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | MAP_HUGE_2MB, -1,
			 0);

	if (ptr == MAP_FAILED)
		return false;
	/* Limits of a cgroup show here; later they would be a signal. Before Linux 5.14 they are. */
	if (!madvise(ptr, size, MADV_POPULATE_WRITE) || errno == EINVAL)
		return true;
	/* Reserved address space again. */
	mmap(ptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	return false;
}

bool (*base_huge_map)(uint64_t start, uint64_t size) = map_huge;

bool base_huge_open(uint64_t start, uint64_t size)
{
	return !base_alloc_denied() && base_huge_map(start, size);
}

void base_populate(uint64_t start, uint64_t size)
{
	int saved = errno;

	madvise((void *)start, size, MADV_POPULATE_WRITE);
	errno = saved;
}

/* What other threads were changing, and what the parent's devices use, is the parent's. */
static void after_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	pages = NULL;
}

__attribute__((constructor)) static void expect_forks(void)
{
	pthread_atfork(NULL, NULL, after_fork_child);
}

static bool is_used(const struct huge_page *page, uint64_t first, uint64_t nr)
{
	for (uint64_t i = first; i < first + nr; i++)
		if (page->used[i / 64] >> i % 64 & 1)
			return true;
	return false;
}

static void flip(struct huge_page *page, uint64_t first, uint64_t nr)
{
	for (uint64_t i = first; i < first + nr; i++)
		page->used[i / 64] ^= 1ULL << i % 64;
}

/* With the lock held; 0: no room. */
static uint64_t take_part(struct huge_page *page, uint64_t nr, uint64_t step)
{
	for (uint64_t first = 0; first + nr <= PAGES; first += step) {
		if (is_used(page, first, nr))
			continue;
		flip(page, first, nr);
		return page->start + first * PAGE;
	}
	return 0;
}

static uint64_t whole_pages(uint64_t size)
{
	uint64_t start = base_place(size, BASE_HUGE, UINT64_MAX, 0);

	if (!start || base_huge_open(start, size))
		return start;
	base_place_free(start, size);
	return 0;
}

static struct huge_page *page_new(void)
{
	struct huge_page *page = base_zalloc(sizeof(*page));

	if (!page)
		return NULL;
	page->start = whole_pages(BASE_HUGE);
	if (page->start)
		return page;
	base_free(page);
	return NULL;
}

uint64_t base_huge_alloc(uint64_t size, uint64_t alignment)
{
	uint64_t nr = size / PAGE, step = alignment > PAGE ? alignment / PAGE : 1, start = 0;
	struct huge_page *page;

	if (size > BASE_HUGE / 2)
		return whole_pages(align_up(size, BASE_HUGE));
	pthread_mutex_lock(&lock);
	for (page = pages; page && !start; page = page->next)
		start = take_part(page, nr, step);
	if (!start) {
		page = page_new();
		if (page) {
			page->next = pages;
			pages = page;
			start = take_part(page, nr, step);
		}
	}
	pthread_mutex_unlock(&lock);
	if (start)
		memset((void *)start, 0, size);
	return start;
}

/* Pages without parts in use go back to the system. */
void base_huge_free(uint64_t start, uint64_t size)
{
	struct huge_page **at, *page, *empty = NULL;

	if (!start || !size)
		return;
	if (size > BASE_HUGE / 2) {
		base_place_free(start, align_up(size, BASE_HUGE));
		return;
	}
	pthread_mutex_lock(&lock);
	for (at = &pages; (page = *at); at = &page->next) {
		if (start - page->start >= BASE_HUGE)
			continue;
		flip(page, (start - page->start) / PAGE, size / PAGE);
		if (!is_used(page, 0, PAGES)) {
			*at = page->next;
			empty = page;
		}
		break;
	}
	pthread_mutex_unlock(&lock);
	if (!empty)
		return;
	base_place_free(empty->start, BASE_HUGE);
	base_free(empty);
}
