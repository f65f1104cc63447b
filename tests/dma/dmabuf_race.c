/* SPDX-License-Identifier: MIT */
/*
 * Devices use a buffer without pause while its exporter revokes it, poisons it and gives it
 * back: when revoking has returned, none of them sees or changes a byte of it.
 */
#include <pthread.h>

#include "../race.h"
#include "../slow.h"
#include "sharing.h"

#define PAGES 4
#define GOOD 0x11
#define POISON 0xee
#define ROUNDS (200 / SLOW)
#define USERS 2

#define require(condition)                                                                 \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, \
				#condition, dma_last_error());                             \
			_Exit(3);                                                          \
		}                                                                          \
	} while (0)

/* One importer: its driver's thread, and its device. */
struct user {
	struct device d;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt; /* under the lock */
	bool mapped; /* what a driver may look at without the lock */
	bool fenced; /* tells of its transfers, and unmaps between them */
	bool *stop;
	uint64_t done, refused, revoked, poisoned;
	pthread_t driver, device;
	dma_addr_t addr; /* where the device strikes: the last that it was told */
};

/* Not fenced: the device loses it in the middle of what it does. */
static void let_go(struct dma_buf_attachment *attach)
{
	struct user *user = attach->importer_priv;

	if (user->sgt && !user->fenced) {
		dma_buf_unmap_attachment(attach, user->sgt, DMA_BIDIRECTIONAL);
		user->sgt = NULL;
		__atomic_store_n(&user->mapped, false, __ATOMIC_RELAXED);
	}
}

static const struct dma_buf_attach_ops ops = {.invalidate_mappings = let_go};

static bool strike(struct user *user, dma_addr_t addr)
{
	uint8_t buf[PAGES / 2 * PAGE];
	int err;

	memset(buf, GOOD, sizeof(buf));
	err = dma_bus_read(user->d.port, addr, buf, sizeof(buf));
	user->poisoned += memchr(buf, POISON, sizeof(buf)) != NULL;
	/* Each writes its own page. */
	err |= dma_bus_fetch_add(user->d.port, addr + (PAGES / 2 + (size_t)user->fenced) * PAGE, 8,
				 1, NULL);
	return !err;
}

/* A transfer as a careful driver makes it: mapped, and fenced. */
static void transfer_fenced(struct user *user)
{
	struct dma_buf *buf = user->attach->dmabuf;
	struct sg_table *sgt;

	require(!dma_buf_lock(buf));
	sgt = dma_buf_map_attachment(user->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt)) {
		require(PTR_ERR(sgt) == -ENODEV);
		user->revoked++;
		dma_buf_unlock(buf);
		sched_yield();
		return;
	}
	require(!dma_buf_fence_begin(user->attach));
	dma_buf_unlock(buf);
	require(strike(user, sgt->sgl[0].dma_address));
	__atomic_fetch_add(&user->done, 1, __ATOMIC_RELAXED);
	dma_buf_fence_end(user->attach);
	dma_buf_unmap_attachment_unlocked(user->attach, sgt, DMA_BIDIRECTIONAL);
}

static void keep_mapped(struct user *user)
{
	struct dma_buf *buf = user->attach->dmabuf;

	if (__atomic_load_n(&user->mapped, __ATOMIC_RELAXED)) {
		sched_yield();
		return;
	}
	require(!dma_buf_lock(buf));
	if (!user->sgt) {
		user->sgt = dma_buf_map_attachment(user->attach, DMA_BIDIRECTIONAL);
		if (IS_ERR(user->sgt)) {
			require(PTR_ERR(user->sgt) == -ENODEV);
			user->sgt = NULL;
			user->revoked++;
		} else {
			__atomic_store_n(&user->addr, user->sgt->sgl[0].dma_address,
					 __ATOMIC_RELEASE);
			__atomic_store_n(&user->mapped, true, __ATOMIC_RELAXED);
		}
	}
	dma_buf_unlock(buf);
	sched_yield();
}

static void *drive(void *arg)
{
	struct user *user = arg;

	while (!flag_is_set(user->stop)) {
		if (user->fenced)
			transfer_fenced(user);
		else
			keep_mapped(user);
	}
	return NULL;
}

static void *strike_without_pause(void *arg)
{
	struct user *user = arg;
	unsigned int strikes = 0;

	while (!flag_is_set(user->stop)) {
		bool done = strike(user, __atomic_load_n(&user->addr, __ATOMIC_ACQUIRE));

		__atomic_fetch_add(done ? &user->done : &user->refused, 1, __ATOMIC_RELAXED);
		if (!done || !(++strikes % 16))
			sched_yield();
	}
	return NULL;
}

static uint64_t sum(const uint8_t *page)
{
	uint64_t word;

	memcpy(&word, page, sizeof(word));
	return word;
}

static void revoked_under_fire(void **state)
{
	struct user users[USERS] = {0};
	uint8_t *memory = pages_new(PAGES, 0);
	struct phys_vec vec[] = {{virt_to_phys(memory) + PAGE, 3 * PAGE},
				 {virt_to_phys(memory), PAGE}};
	struct dma_buf *buf = dma_buf_export_phys(NULL, vec, 2, DMA_BUF_REVOCABLE);
	uint64_t poison;
	bool stop = false;

	memset(&poison, POISON, sizeof(poison));
	memset(memory, GOOD, PAGES * PAGE);
	for (size_t i = 0; i < USERS; i++) {
		struct user *user = &users[i];

		user->d = soft_open(state, i ? ",untrusted" : "");
		user->fenced = i;
		user->stop = &stop;
		user->attach = dma_buf_dynamic_attach(buf, user->d.dev, &ops, user);
		assert_false(IS_ERR(user->attach));
		assert_int_equal(pthread_create(&user->driver, NULL, drive, user), 0);
		if (!user->fenced)
			assert_int_equal(
				pthread_create(&user->device, NULL, strike_without_pause, user), 0);
	}
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < USERS; i++) {
			uint64_t before = __atomic_load_n(&users[i].done, __ATOMIC_RELAXED);

			while (__atomic_load_n(&users[i].done, __ATOMIC_RELAXED) == before)
				sched_yield();
		}
		require(!dma_buf_revoke(buf, -1));
		memset(memory, POISON, PAGES * PAGE);
		sched_yield();
		for (size_t i = 0; i < PAGES; i++)
			require(sum(memory + i * PAGE) == poison);
		memset(memory, GOOD, PAGES * PAGE);
		require(!dma_buf_unrevoke(buf));
	}
	set_flag(&stop);
	for (size_t i = 0; i < USERS; i++) {
		struct user *user = &users[i];

		pthread_join(user->driver, NULL);
		if (!user->fenced)
			pthread_join(user->device, NULL);
		if (user->sgt)
			dma_buf_unmap_attachment_unlocked(user->attach, user->sgt,
							  DMA_BIDIRECTIONAL);
		dma_buf_detach(buf, user->attach);
		assert_int_equal(user->poisoned, 0);
		assert_true(user->done > 0);
		device_close(&user->d, 0);
	}
	dma_buf_put(buf);
	free(memory);
}

/* Importers come and go, and the buffer moves, all at once. */

struct visitor {
	struct device d;
	struct dma_buf *buf;
	uint64_t seed;
	struct importer importer;
};

static void *visit(void *arg)
{
	struct visitor *v = arg;

	for (unsigned int n = 0; n < ROUNDS / 2; n++) {
		struct sg_table *sgt;

		v->importer = (struct importer){0};
		v->importer.attach =
			dma_buf_dynamic_attach(v->buf, v->d.dev, &importer_ops, &v->importer);
		if (IS_ERR(v->importer.attach)) {
			require(PTR_ERR(v->importer.attach) == -ENODEV);
			continue;
		}
		require(!dma_buf_lock(v->buf));
		sgt = dma_buf_map_attachment(v->importer.attach, DMA_BIDIRECTIONAL);
		require(!IS_ERR(sgt) || PTR_ERR(sgt) == -ENODEV);
		v->importer.sgt = IS_ERR(sgt) ? NULL : sgt;
		dma_buf_unlock(v->buf);
		if (next_random(&v->seed) % 2)
			sched_yield();
		require(!dma_buf_lock(v->buf));
		if (v->importer.sgt)
			importer_invalidate(v->importer.attach);
		dma_buf_unlock(v->buf);
		importer_detach(&v->importer);
	}
	return NULL;
}

static void importers_come_and_go(void **state)
{
	uint8_t *memory = pages_new(PAGES, 1);
	struct phys_vec vec = {virt_to_phys(memory), PAGES * PAGE};
	struct dma_buf *buf = dma_buf_export_phys(NULL, &vec, 1, DMA_BUF_REVOCABLE);
	struct visitor visitors[3] = {0};
	pthread_t threads[3];

	for (size_t i = 0; i < 3; i++) {
		visitors[i] =
			(struct visitor){.d = soft_open(state, ""), .buf = buf, .seed = i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
	}
	for (unsigned int n = 0; n < ROUNDS / 2; n++) {
		require(!dma_buf_lock(buf));
		dma_buf_invalidate_mappings(buf);
		require(!dma_buf_nr_mapped(buf));
		dma_buf_unlock(buf);
		require(!dma_buf_revoke(buf, -1));
		require(!dma_buf_unrevoke(buf));
		get_dma_buf(buf);
		dma_buf_put(buf);
	}
	for (size_t i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		device_close(&visitors[i].d, 0);
	}
	dma_buf_put(buf);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(revoked_under_fire),
		EACH_FORMAT(importers_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
