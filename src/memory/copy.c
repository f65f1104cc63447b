/* SPDX-License-Identifier: MIT */
/* Copies and atomic operations on memory that other threads use meanwhile. */
#include "memory/memory.h"

static void load_word(void *buf, const void *memory, size_t len)
{
	uint8_t byte;
	uint16_t half;
	uint32_t word;
	uint64_t wide;

	switch (len) {
	case 1:
		byte = __atomic_load_n((const uint8_t *)memory, __ATOMIC_ACQUIRE);
		memcpy(buf, &byte, sizeof(byte));
		break;
	case 2:
		half = __atomic_load_n((const uint16_t *)memory, __ATOMIC_ACQUIRE);
		memcpy(buf, &half, sizeof(half));
		break;
	case 4:
		word = __atomic_load_n((const uint32_t *)memory, __ATOMIC_ACQUIRE);
		memcpy(buf, &word, sizeof(word));
		break;
	default:
		wide = __atomic_load_n((const uint64_t *)memory, __ATOMIC_ACQUIRE);
		memcpy(buf, &wide, sizeof(wide));
	}
}

static void store_word(void *memory, const void *buf, size_t len)
{
	uint16_t half;
	uint32_t word;
	uint64_t wide;

	switch (len) {
	case 1:
		__atomic_store_n((uint8_t *)memory, *(const uint8_t *)buf, __ATOMIC_RELEASE);
		break;
	case 2:
		memcpy(&half, buf, sizeof(half));
		__atomic_store_n((uint16_t *)memory, half, __ATOMIC_RELEASE);
		break;
	case 4:
		memcpy(&word, buf, sizeof(word));
		__atomic_store_n((uint32_t *)memory, word, __ATOMIC_RELEASE);
		break;
	default:
		memcpy(&wide, buf, sizeof(wide));
		__atomic_store_n((uint64_t *)memory, wide, __ATOMIC_RELEASE);
	}
}

void memory_copy_from(void *buf, const void *memory, size_t len)
{
	size_t word = len < 8 ? len : 8;

	if (!memory_copy_is_atomic((uintptr_t)memory, len)) {
		memcpy(buf, memory, len);
		return;
	}
	for (size_t left = len; left; left -= word)
		load_word((char *)buf + left - word, (const char *)memory + left - word, word);
}

void memory_copy_to(void *memory, const void *buf, size_t len)
{
	size_t word = len < 8 ? len : 8;

	if (!memory_copy_is_atomic((uintptr_t)memory, len)) {
		memcpy(memory, buf, len);
		return;
	}
	for (size_t done = 0; done < len; done += word)
		store_word((char *)memory + done, (const char *)buf + done, word);
}

int memory_cmpxchg(void *memory, size_t size, void *expected, const void *desired)
{
	uint64_t wide[2];
	uint32_t word[2];
	bool stored;

	if (size == 4) {
		memcpy(&word[0], expected, size);
		memcpy(&word[1], desired, size);
		stored = __atomic_compare_exchange_n((uint32_t *)memory, &word[0], word[1], false,
						     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		memcpy(expected, &word[0], size);
	} else {
		memcpy(&wide[0], expected, size);
		memcpy(&wide[1], desired, size);
		stored = __atomic_compare_exchange_n((uint64_t *)memory, &wide[0], wide[1], false,
						     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		memcpy(expected, &wide[0], size);
	}
	return stored;
}

uint64_t memory_fetch_add(void *memory, size_t size, uint64_t add)
{
	if (size == 4)
		return __atomic_fetch_add((uint32_t *)memory, (uint32_t)add, __ATOMIC_SEQ_CST);
	return __atomic_fetch_add((uint64_t *)memory, add, __ATOMIC_SEQ_CST);
}
