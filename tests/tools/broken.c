/* SPDX-License-Identifier: MIT */
/*
 * What the demo must notice, made to happen. Linked into a command of its own in
 * place of the calls that it wraps; BREAK in the environment says which one goes
 * wrong, with which use of it, counted from 1:
 *
 *	read:N		a byte of what is read from the file is changed
 *	end:N		the file ends early
 *	destroy:N	a mapping is not ended
 *	map:N		a page cannot be mapped
 *	submit:N	the engine is given an address where nothing is mapped
 *	fill:N		the engine writes zeroes and says that all went well
 */
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <twostep.h>

ssize_t __real_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset);
void __real_dma_iova_destroy(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
			     enum dma_data_direction dir, unsigned long attrs);
void __wrap_dma_iova_destroy(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
			     enum dma_data_direction dir, unsigned long attrs);
dma_addr_t __real_dma_map_phys(struct dma_dev *dev, phys_addr_t phys, size_t size,
			       enum dma_data_direction dir, unsigned long attrs);
dma_addr_t __wrap_dma_map_phys(struct dma_dev *dev, phys_addr_t phys, size_t size,
			       enum dma_data_direction dir, unsigned long attrs);
int __real_ts_copy_submit(struct ts_copy *copy, const struct ts_copy_seg *src, size_t nr_src,
			  const struct ts_copy_seg *dst, size_t nr_dst, uint64_t cookie);
int __wrap_ts_copy_submit(struct ts_copy *copy, const struct ts_copy_seg *src, size_t nr_src,
			  const struct ts_copy_seg *dst, size_t nr_dst, uint64_t cookie);

/* Whether this use of @what, the @use-th, is the one that breaks. */
static bool breaks(const char *what, unsigned long use)
{
	const char *order = getenv("BREAK");
	size_t len = strlen(what);

	return order && !strncmp(order, what, len) && order[len] == ':' &&
	       strtoul(order + len + 1, NULL, 10) == use;
}

ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset)
{
	static unsigned long uses;
	ssize_t got = __real_pread(fd, buf, len, offset);

	if (got <= 0)
		return got;
	uses++;
	if (breaks("end", uses))
		return 0;
	if (breaks("read", uses))
		((unsigned char *)buf)[got - 1] ^= 1;
	return got;
}

/* With 64-bit file offsets the C library's header gives pread this name. */
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset)
{
	return __wrap_pread(fd, buf, len, offset);
}

void __wrap_dma_iova_destroy(struct dma_dev *dev, struct dma_iova_state *state, size_t mapped_len,
			     enum dma_data_direction dir, unsigned long attrs)
{
	static unsigned long uses;

	if (!breaks("destroy", ++uses))
		__real_dma_iova_destroy(dev, state, mapped_len, dir, attrs);
}

dma_addr_t __wrap_dma_map_phys(struct dma_dev *dev, phys_addr_t phys, size_t size,
			       enum dma_data_direction dir, unsigned long attrs)
{
	static unsigned long uses;

	/* No direction is what the library refuses for certain. */
	return __real_dma_map_phys(dev, phys, size, breaks("map", ++uses) ? DMA_NONE : dir, attrs);
}

int __wrap_ts_copy_submit(struct ts_copy *copy, const struct ts_copy_seg *src, size_t nr_src,
			  const struct ts_copy_seg *dst, size_t nr_dst, uint64_t cookie)
{
	static unsigned long uses;
	struct ts_copy_seg wrong = *src;

	uses++;
	if (breaks("submit", uses)) {
		wrong.addr ^= 1ull << 40;
		return __real_ts_copy_submit(copy, &wrong, 1, dst, nr_dst, cookie);
	}
	if (breaks("fill", uses))
		return ts_copy_fill(copy, 0, dst, nr_dst, cookie);
	return __real_ts_copy_submit(copy, src, nr_src, dst, nr_dst, cookie);
}
