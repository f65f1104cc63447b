/* SPDX-License-Identifier: MIT */
/* Runs of entries, plain and with vectors. */
#include "pgtable/entries.h"

#if defined(__x86_64__) && !defined(BASE_TSAN)
#define ENTRIES_AVX2 1
#include <immintrin.h>
#endif

bool entries_vectors;

/* Only the owner of the addresses writes these entries: relaxed is enough to look. */
static inline uint64_t get(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

static uint64_t or_plain(const uint64_t *entry, size_t n)
{
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= get(&entry[i]);
	return all;
}

static void store_vec_plain(uint64_t *entry, const struct phys_vec *vec, size_t n, uint64_t bits)
{
	for (size_t i = 0; i < n; i++)
		entry_store(&entry[i], vec[i].paddr | bits);
}

static void store_run_plain(uint64_t *entry, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++, value += 4096)
		entry_store(&entry[i], value);
}

static size_t clear_plain(uint64_t *entry, size_t n, uint64_t present)
{
	for (size_t i = 0; i < n; i++) {
		if (unlikely(!(get(&entry[i]) & present)))
			return i;
		entry_store(&entry[i], 0);
	}
	return n;
}

size_t entries_mark_present(uint64_t *entry, size_t n, uint64_t present, uint64_t mark)
{
	size_t i;

	for (i = 0; i < n && get(&entry[i]) & present; i++)
		entry_store(&entry[i], mark);
	return i;
}

static bool is_pages_plain(const struct phys_vec *vec, size_t n, uint64_t match, uint64_t mask)
{
	uint64_t paddr = 0, len = 0;

	for (size_t i = 0; i < n; i++) {
		paddr |= vec[i].paddr ^ match;
		len |= vec[i].len ^ 4096;
	}
	return !(paddr & mask || len);
}

#ifdef ENTRIES_AVX2

#define AVX2 __attribute__((target("avx2")))

__attribute__((constructor)) static void probe(void)
{
	__builtin_cpu_init();
	entries_vectors = __builtin_cpu_supports("avx2");
}

AVX2 static inline uint64_t fold_or(__m256i v)
{
	__m128i half = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return (uint64_t)(_mm_cvtsi128_si64(half) | _mm_extract_epi64(half, 1));
}

AVX2 static uint64_t or_avx2(const uint64_t *entry, size_t n)
{
	__m256i all = _mm256_setzero_si256(), more = all;
	size_t i;

	for (i = 0; i + 8 <= n; i += 8) {
		all = _mm256_or_si256(all, _mm256_loadu_si256((const __m256i *)&entry[i]));
		more = _mm256_or_si256(more, _mm256_loadu_si256((const __m256i *)&entry[i + 4]));
	}
	return fold_or(_mm256_or_si256(all, more)) | or_plain(&entry[i], n - i);
}

/* {p0 l0 p1 l1} {p2 l2 p3 l3} -> {p0 p1 p2 p3} */
AVX2 static inline __m256i four_paddrs(const struct phys_vec *vec)
{
	__m256i a = _mm256_loadu_si256((const __m256i *)&vec[0]);
	__m256i b = _mm256_loadu_si256((const __m256i *)&vec[2]);

	return _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(a, b), 0xd8);
}

AVX2 static void store_vec_avx2(uint64_t *entry, const struct phys_vec *vec, size_t n,
				uint64_t bits)
{
	__m256i or_bits = _mm256_set1_epi64x((long long)bits);
	size_t head = n < 4 ? n : (size_t)(-((uintptr_t)entry / 8) & 3);
	size_t i;

	__atomic_thread_fence(__ATOMIC_RELEASE); /* for the compiler; costs nothing here */
	store_vec_plain(entry, vec, head, bits);
	for (i = head; i + 4 <= n; i += 4)
		_mm256_store_si256((__m256i *)&entry[i],
				   _mm256_or_si256(four_paddrs(&vec[i]), or_bits));
	store_vec_plain(&entry[i], &vec[i], n - i, bits);
}

AVX2 static void store_run_avx2(uint64_t *entry, uint64_t value, size_t n)
{
	size_t head = n < 4 ? n : (size_t)(-((uintptr_t)entry / 8) & 3);
	__m256i step = _mm256_set1_epi64x(4 * 4096);
	__m256i v;
	size_t i;

	__atomic_thread_fence(__ATOMIC_RELEASE);
	store_run_plain(entry, value, head);
	value += head * 4096;
	v = _mm256_add_epi64(_mm256_set1_epi64x((long long)value),
			     _mm256_set_epi64x(3 * 4096, 2 * 4096, 4096, 0));
	for (i = head; i + 4 <= n; i += 4, v = _mm256_add_epi64(v, step))
		_mm256_store_si256((__m256i *)&entry[i], v);
	store_run_plain(&entry[i], value + (i - head) * 4096, n - i);
}

AVX2 static size_t clear_avx2(uint64_t *entry, size_t n, uint64_t present)
{
	size_t head = n < 4 ? n : (size_t)(-((uintptr_t)entry / 8) & 3);
	const __m256i bits = _mm256_set1_epi64x((long long)present);
	const __m256i zero = _mm256_setzero_si256();
	size_t i = clear_plain(entry, head, present);

	if (i < head)
		return i;
	for (; i + 8 <= n; i += 8) {
		__m256i *at = (__m256i *)&entry[i];
		__m256i a = _mm256_and_si256(_mm256_load_si256(at), bits);
		__m256i b = _mm256_and_si256(_mm256_load_si256(at + 1), bits);
		__m256i absent =
			_mm256_or_si256(_mm256_cmpeq_epi64(a, zero), _mm256_cmpeq_epi64(b, zero));

		if (unlikely(!_mm256_testz_si256(absent, absent)))
			break;
		_mm256_store_si256(at, zero);
		_mm256_store_si256(at + 1, zero);
	}
	return i + clear_plain(&entry[i], n - i, present);
}

AVX2 static bool is_pages_avx2(const struct phys_vec *vec, size_t n, uint64_t match, uint64_t mask)
{
	const long long m = (long long)match, k = (long long)mask;
	const __m256i wanted = _mm256_set_epi64x(4096, m, 4096, m);
	const __m256i matters = _mm256_set_epi64x(-1, k, -1, k);
	__m256i a = _mm256_setzero_si256(), b = a;
	size_t i;

	for (i = 0; i + 4 <= n; i += 4) {
		const __m256i *at = (const __m256i *)&vec[i];

		a = _mm256_or_si256(a, _mm256_xor_si256(_mm256_loadu_si256(at), wanted));
		b = _mm256_or_si256(b, _mm256_xor_si256(_mm256_loadu_si256(at + 1), wanted));
	}
	return _mm256_testz_si256(_mm256_or_si256(a, b), matters) &&
	       is_pages_plain(&vec[i], n - i, match, mask);
}

#define CHOOSE(plain, vector) (entries_vectors ? (vector) : (plain))
#else
#define CHOOSE(plain, vector) (plain)
#endif

uint64_t entries_or(const uint64_t *entry, size_t n)
{
	return CHOOSE(or_plain(entry, n), or_avx2(entry, n));
}

void entries_store_vec(uint64_t *entry, const struct phys_vec *vec, size_t n, uint64_t bits)
{
	CHOOSE(store_vec_plain(entry, vec, n, bits), store_vec_avx2(entry, vec, n, bits));
}

void entries_store_run(uint64_t *entry, uint64_t value, size_t n)
{
	CHOOSE(store_run_plain(entry, value, n), store_run_avx2(entry, value, n));
}

size_t entries_clear_present(uint64_t *entry, size_t n, uint64_t present)
{
	return CHOOSE(clear_plain(entry, n, present), clear_avx2(entry, n, present));
}

bool vec_is_pages(const struct phys_vec *vec, size_t n, uint64_t match, uint64_t mask)
{
	return CHOOSE(is_pages_plain(vec, n, match, mask), is_pages_avx2(vec, n, match, mask));
}
