/* SPDX-License-Identifier: MIT */
/*
 * The first look at a scatter-gather list, for what most lists are: whole granules. It is
 * half of what mapping one costs, so it comes as a vector loop where the processor has
 * AVX2, and with shorter vectors elsewhere.
 */
#include "dma/dma.h"
#include "pgtable/entries.h"

/*
 * Two words at once: an entry's memory, which is laid out as a piece of a vector if it has no
 * flags, and its segment, of which the end of the structure is padding.
 */
typedef uint64_t pair __attribute__((__vector_size__(16), __aligned__(8), __may_alias__));
typedef uint64_t quad __attribute__((__vector_size__(32), __aligned__(8), __may_alias__));

_Static_assert(offsetof(struct scatterlist, dma_flags) == offsetof(struct phys_vec, len) + 4 &&
		       offsetof(struct scatterlist, dma_address) == sizeof(pair) &&
		       sizeof(struct scatterlist) == 2 * sizeof(pair) &&
		       sizeof(struct phys_vec) == sizeof(pair) &&
		       __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "half an entry is a piece");

#define FAILED ((pair){DMA_MAPPING_ERROR, 0})

static __always_inline pair memory_half(const struct scatterlist *sg)
{
	return *(const pair *)sg;
}

/* What is not as it is where mapping has failed. */
static __always_inline pair segment_differs(const struct scatterlist *sg)
{
	return *(const pair *)&sg->dma_address ^ FAILED;
}

/* What a look has found: OR-ed over the entries, what is not as it should be. */
struct look {
	pair page; /* how the memory of an entry should be */
	pair differs;
	pair stale; /* segments that are not poisoned yet */
};

static __always_inline void look_plain(struct look *look, const struct scatterlist *sgl,
				       size_t first, size_t end, bool segments,
				       struct phys_vec *vec)
{
	for (size_t i = first; i < end; i++) {
		pair half = memory_half(&sgl[i]);

		look->differs |= half ^ look->page;
		if (segments)
			look->stale |= segment_differs(&sgl[i]);
		*(pair *)&vec[i] = half;
	}
}

static void look_all_plain(struct look *look, const struct scatterlist *sgl, size_t front,
			   size_t nents, struct phys_vec *vec)
{
	look_plain(look, sgl, 0, front, false, vec);
	look_plain(look, sgl, front, nents, true, vec);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((__target__("avx2")))

AVX2 static __always_inline quad both(pair low, pair high)
{
	return __builtin_shufflevector(low, high, 0, 1, 2, 3);
}

/* As far as there are four; returns where it has ended. */
AVX2 static __always_inline size_t look_avx2(struct look *look, const struct scatterlist *sgl,
					     size_t first, size_t end, bool segments,
					     struct phys_vec *vec)
{
	quad page = both(look->page, look->page), differs = {0, 0, 0, 0};
	pair stale = {0, 0};
	size_t i;

	for (i = first; i + 4 <= end; i += 4) {
		const struct scatterlist *sg = &sgl[i];
		quad low = both(memory_half(&sg[0]), memory_half(&sg[1]));
		quad high = both(memory_half(&sg[2]), memory_half(&sg[3]));

		differs |= (low ^ page) | (high ^ page);
		if (segments)
			stale |= segment_differs(&sg[0]) | segment_differs(&sg[1]) |
				 segment_differs(&sg[2]) | segment_differs(&sg[3]);
		*(quad *)&vec[i] = low;
		*(quad *)&vec[i + 2] = high;
	}
	look->differs |= __builtin_shufflevector(differs, differs, 0, 1) |
			 __builtin_shufflevector(differs, differs, 2, 3);
	look->stale |= stale;
	return i;
}

AVX2 static void look_all_avx2(struct look *look, const struct scatterlist *sgl, size_t front,
			       size_t nents, struct phys_vec *vec)
{
	size_t i = look_avx2(look, sgl, 0, front, false, vec);

	look_plain(look, sgl, i, front, false, vec);
	i = look_avx2(look, sgl, front, nents, true, vec);
	look_plain(look, sgl, i, nents, true, vec);
}
#endif

bool dma_sg_is_pages(struct scatterlist *sgl, size_t front, size_t nents, struct phys_vec *vec)
{
	struct look look = {.page = {memory_plain.match, GRANULE}};

#if defined(__x86_64__)
	if (likely(entries_vectors))
		look_all_avx2(&look, sgl, front, nents, vec);
	else
#endif
		look_all_plain(&look, sgl, front, nents, vec);
	/* Most are poisoned, by the last mapping or when they were set: looking is cheaper. */
	if (unlikely(look.stale[0] | look.stale[1]))
		for (size_t i = front; i < nents; i++)
			*(pair *)&sgl[i].dma_address = FAILED;
	return !(look.differs[0] & memory_plain.mask) && !look.differs[1];
}
