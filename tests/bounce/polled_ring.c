/* SPDX-License-Identifier: MIT */
/*
 * A device writes records into a bounced ring while its driver syncs and reads them:
 * whoever has a record's last word has the record, and no word is a data race.
 */
#include <pthread.h>

#include "fixture.h"

#include "memory/memory.h"

#define RECORDS 16
#define LAPS (4000 / SLOW)

struct record {
	uint64_t word[4]; /* the last one is written last */
};

static phys_addr_t ring_phys;
static uint64_t consumed;

static void *device(void *arg)
{
	(void)arg;
	for (uint64_t n = 1; n <= RECORDS * LAPS; n++) {
		struct record record = {{n, n * 3, n * 5, n}};

		while (__atomic_load_n(&consumed, __ATOMIC_ACQUIRE) + RECORDS < n)
			sched_yield();
		memory_copy_to(bytes_at(ring_phys + n % RECORDS * sizeof(record)), &record,
			       sizeof(record));
	}
	return NULL;
}

static void records_come_whole(void **state)
{
	static _Alignas(64) struct record ring[RECORDS];
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	pthread_t thread;

	(void)state;
	ring_phys = lend(pool, ring, sizeof(ring));
	assert_int_equal(pthread_create(&thread, NULL, device, NULL), 0);
	for (uint64_t n = 1; n <= RECORDS * LAPS; n++) {
		uint64_t at = n % RECORDS;
		struct bounce_mapping *mapping = bounce_find(ring_phys);

		do {
			/* Once the record alone, once the whole ring. */
			if (n % 2)
				bounce_to_cpu(mapping, ring_phys + at * sizeof(ring[0]),
					      sizeof(ring[0]));
			else
				bounce_to_cpu(mapping, ring_phys, sizeof(ring));
		} while (ring[at].word[3] != n);
		assert_int_equal(ring[at].word[0], n);
		assert_int_equal(ring[at].word[1], n * 3);
		assert_int_equal(ring[at].word[2], n * 5);
		__atomic_store_n(&consumed, n, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	end(ring_phys, true);
	pool_close(pool);
}

static uint64_t posted;

/* The other way: the device polls for the last word of a record that the driver syncs. */
static void *polling_device(void *arg)
{
	uint64_t *wrong = arg;

	for (uint64_t n = 1; n <= RECORDS * LAPS; n++) {
		const uint64_t *word =
			(const uint64_t *)bytes_at(ring_phys + n % RECORDS * sizeof(struct record));

		while (__atomic_load_n(&word[3], __ATOMIC_ACQUIRE) != n)
			sched_yield();
		for (uint64_t i = 0; i < 3; i++)
			*wrong += __atomic_load_n(&word[i], __ATOMIC_RELAXED) != n * (2 * i + 1);
		__atomic_store_n(&posted, n, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void records_go_whole(void **state)
{
	static _Alignas(64) struct record ring[RECORDS];
	struct dma_bounce *pool = pool_open(SEGMENT, SEGMENT, 1);
	uint64_t wrong = 0;
	pthread_t thread;

	(void)state;
	ring_phys = lend(pool, ring, sizeof(ring));
	assert_int_equal(pthread_create(&thread, NULL, polling_device, &wrong), 0);
	for (uint64_t n = 1; n <= RECORDS * LAPS; n++) {
		uint64_t at = n % RECORDS;

		while (__atomic_load_n(&posted, __ATOMIC_ACQUIRE) + RECORDS < n)
			sched_yield();
		ring[at] = (struct record){{n, n * 3, n * 5, n}};
		bounce_to_device(bounce_find(ring_phys), ring_phys + at * sizeof(ring[0]),
				 sizeof(ring[0]));
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	end(ring_phys, true);
	pool_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_whole),
		cmocka_unit_test(records_go_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
