/* SPDX-License-Identifier: MIT */
/* What a link refuses, in which order, and that a refused link has changed nothing. */
#include "setup.h"

#define PAGES 16

/* What can be wrong with a link, in the order in which it must be told. */
enum wrong {
	INSIDE_A_GRANULE = 1 << 0, /* begins there, and not at offset 0 */
	BOUNCED = 1 << 1, /* must be coherent, and the range has a bounced part */
	NO_BOUNCE = 1 << 2, /* unaligned, the device untrusted, and not to be bounced */
	EMPTY = 1 << 3,
	NO_DIRECTION = 1 << 4,
	UNREGISTERED = 1 << 5, /* in the arena, and nothing there */
	OTHER_OFFSET = 1 << 6, /* in the granule */
	PAST_THE_END = 1 << 7, /* of the reservation */
	TOO_HIGH = 1 << 8, /* for the format */
	MUST_BOUNCE = 1 << 9, /* and there is no bounce pool */
	LINKED_BEFORE = 1 << 10,
	ALL_WRONG = (1 << 11) - 1,
};

static const int answers[] = {
	-EIO,	-EOPNOTSUPP, -EPERM,  -EINVAL, -EINVAL,	    -EINVAL,
	-ENXIO, -ERANGE,     -ERANGE, -ENOMEM, -EADDRINUSE,
};

struct link {
	struct dma_iova_state iova;
	phys_addr_t phys;
	size_t offset;
	size_t size;
	enum dma_data_direction dir;
	unsigned long attrs;
};

struct scene {
	struct device trusted, untrusted;
	struct dma_iova_state iova[2]; /* the page at LINKED is linked in each */
	uint8_t *memory;
	phys_addr_t hole;
};

#define LINKED (3 * PAGE)
#define FREE (5 * PAGE)

/* A link with all of @wrong; false: these exclude each other. */
static bool make_link(const struct scene *scene, unsigned int wrong, struct link *link)
{
	bool untrusted = wrong & (NO_BOUNCE | MUST_BOUNCE);

	if ((wrong & UNREGISTERED && wrong & TOO_HIGH) || (untrusted && wrong & EMPTY) ||
	    (wrong & NO_BOUNCE && wrong & MUST_BOUNCE) ||
	    (wrong & BOUNCED && wrong & MUST_BOUNCE) ||
	    (wrong & MUST_BOUNCE && wrong & (UNREGISTERED | TOO_HIGH)))
		return false;
	*link = (struct link){
		.iova = scene->iova[untrusted],
		.phys = virt_to_phys(scene->memory),
		.offset = wrong & LINKED_BEFORE ? LINKED : FREE,
		.size = PAGE,
		.dir = DMA_TO_DEVICE,
	};
	if (wrong & UNREGISTERED)
		link->phys = scene->hole;
	if (wrong & TOO_HIGH)
		link->phys = 1ULL << 52;
	if (wrong & INSIDE_A_GRANULE)
		link->phys += 16;
	if (wrong & BOUNCED) {
		link->iova.__size |= __DMA_IOVA_BOUNCED;
		link->attrs |= DMA_ATTR_REQUIRE_COHERENT;
	}
	if (untrusted)
		link->size = PAGE - 8;
	if (wrong & NO_BOUNCE)
		link->attrs |= DMA_ATTR_MMIO;
	if (wrong & EMPTY)
		link->size = 0;
	if (wrong & NO_DIRECTION)
		link->dir = DMA_NONE;
	if (wrong & PAST_THE_END)
		link->offset = PAGES * PAGE;
	if (wrong & OTHER_OFFSET)
		link->offset += 32;
	return true;
}

static int expected_answer(unsigned int wrong)
{
	for (size_t i = 0; i < COUNT(answers); i++)
		if (wrong & 1U << i)
			return answers[i];
	return 0;
}

static void check_link(const struct device *d, struct link *link, int expected)
{
	struct dma_iova_state given = link->iova;
	struct snapshot before = snapshot_take(d, link->iova.addr, PAGES);
	const struct phys_vec vec = {link->phys, link->size};

	dma_clear_error();
	assert_int_equal(dma_iova_link(d->dev, &link->iova, link->phys, link->offset, link->size,
				       link->dir, link->attrs),
			 expected);
	assert_string_not_equal(dma_last_error(), "");
	/* A vector of one piece is the same. */
	dma_clear_error();
	assert_int_equal(dma_iova_link_vec(d->dev, &link->iova, &vec, 1, link->offset, link->dir,
					   link->attrs),
			 expected);
	assert_string_not_equal(dma_last_error(), "");
	assert_memory_equal(&given, &link->iova, sizeof(given));
	assert_unchanged(d, &before);
}

static phys_addr_t scene_open(void **state, struct scene *scene)
{
	static uint8_t registers[4096];
	struct dma_memory_desc desc = {
		.type = DMA_MEMORY_MMIO, .size = PAGE, .cpu = registers, .fd = -1};
	phys_addr_t registered;

	scene->trusted = soft_open(state, "");
	scene->untrusted = soft_open(state, ",untrusted,bounce=off");
	scene->memory = pages_new(PAGES, 0x40);
	assert_int_equal(dma_memory_register(&desc, &registered), 0);
	scene->hole = (registered | (PAGE - 1)) + 1 + PAGE;
	for (size_t i = 0; i < 2; i++) {
		const struct device *d = i ? &scene->untrusted : &scene->trusted;

		scene->iova[i] = reserve(d, 0, PAGES * PAGE);
		link_at(d, &scene->iova[i], LINKED, scene->memory + LINKED, PAGE);
	}
	return registered;
}

static void scene_close(struct scene *scene, phys_addr_t registered)
{
	for (size_t i = 0; i < 2; i++) {
		struct device *d = i ? &scene->untrusted : &scene->trusted;

		/* The next valid link works. */
		link_at(d, &scene->iova[i], FREE, scene->memory + FREE, PAGE);
		assert_reads(d, scene->iova[i].addr + FREE, 0x45);
		unlink_at(d, &scene->iova[i], FREE, PAGE);
		unlink_at(d, &scene->iova[i], LINKED, PAGE);
		dma_iova_free(d->dev, &scene->iova[i]);
		device_close(d, 0);
	}
	assert_int_equal(dma_memory_unregister(registered), 0);
	free(scene->memory);
}

/* Every combination of what can be wrong: the first in the order is told. */
static void the_first_reason_is_told(void **state)
{
	struct scene scene;
	phys_addr_t registered = scene_open(state, &scene);
	unsigned int tried = 0, refused_by[COUNT(answers)] = {0};
	struct link link;

	for (unsigned int wrong = 1; wrong <= ALL_WRONG; wrong++) {
		const struct device *d = wrong & (NO_BOUNCE | MUST_BOUNCE) ? &scene.untrusted
									   : &scene.trusted;

		if (!make_link(&scene, wrong, &link))
			continue;
		check_link(d, &link, expected_answer(wrong));
		refused_by[__builtin_ctz(wrong)]++;
		tried++;
	}
	assert_true(tried > 300);
	for (size_t i = 0; i < COUNT(answers); i++)
		assert_true(refused_by[i] > 0);
	scene_close(&scene, registered);
}

/* The ways of being wrong that the combinations above have in one form only. */
static void other_forms_of_the_same(void **state)
{
	struct scene scene;
	phys_addr_t registered = scene_open(state, &scene);
	phys_addr_t phys = virt_to_phys(scene.memory);
	const struct {
		struct link link;
		int answer;
	} cases[] = {
		/* Past the end: by a byte, by the offset, by wrapping around. */
		{{.phys = phys, .offset = 15 * PAGE, .size = PAGE + 1}, -ERANGE},
		{{.phys = phys, .offset = 17 * PAGE, .size = PAGE}, -ERANGE},
		{{.phys = phys, .offset = (size_t)-PAGE, .size = 2 * PAGE}, -ERANGE},
		{{.phys = phys, .offset = 0, .size = 16 * PAGE + 1}, -ERANGE},
		{{.phys = phys, .offset = PAGE, .size = SIZE_MAX - phys}, -ERANGE},
		/* Memory that wraps around is no memory. */
		{{.phys = phys, .offset = PAGE, .size = SIZE_MAX}, -EINVAL},
		{{.phys = UINT64_MAX & ~(PAGE - 1), .offset = 0, .size = 2 * PAGE}, -EINVAL},
		/* The first piece of all, with another offset than was reserved for. */
		{{.phys = phys + 1, .offset = 0, .size = PAGE}, -ENXIO},
		/* Overlap: at the head, at the tail, around. */
		{{.phys = phys, .offset = LINKED, .size = 3 * PAGE}, -EADDRINUSE},
		{{.phys = phys, .offset = PAGE, .size = 2 * PAGE + 1}, -EADDRINUSE},
		{{.phys = phys, .offset = 0, .size = PAGES * PAGE}, -EADDRINUSE},
		{{.phys = phys, .offset = LINKED, .size = 1}, -EADDRINUSE},
		/* Past what is registered. */
		{{.phys = registered & ~(PAGE - 1), .offset = 0, .size = 3 * PAGE}, -EINVAL},
		/* A direction that is none of the four. */
		{{.phys = phys, .offset = 0, .size = PAGE, .dir = (enum dma_data_direction)4},
		 -EINVAL},
		/* The last byte lies beyond what the format can say. */
		{{.phys = (1ULL << 52) - PAGE, .offset = 0, .size = PAGE + 1}, -ERANGE},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct link link = cases[i].link;

		link.iova = scene.iova[0];
		check_link(&scene.trusted, &link, cases[i].answer);
	}
	scene_close(&scene, registered);
}

/* A state that reserves nothing has no room. */
static void an_empty_state(void **state)
{
	struct device d = soft_open(state, "");
	uint8_t *memory = pages_new(1, 1);
	struct link link = {.phys = virt_to_phys(memory), .size = PAGE};

	check_link(&d, &link, -ERANGE);
	device_close(&d, 0);
	free(memory);
}

/* The unaligned memory of an untrusted device, and what may be asked of it instead. */
static void untrusted_devices_get_whole_granules(void **state)
{
	struct device d = soft_open(state, ",untrusted,bounce=off");
	uint8_t *memory = pages_new(3, 7);
	struct dma_iova_state iova = reserve(&d, 0, 3 * PAGE);
	struct dma_iova_state unaligned = reserve(&d, 0x100, PAGE);
	struct link link = {.iova = iova, .phys = virt_to_phys(memory), .size = PAGE + 1};

	check_link(&d, &link, -ENOMEM);
	link.attrs = DMA_ATTR_REQUIRE_COHERENT;
	check_link(&d, &link, -EPERM);
	link.attrs = DMA_ATTR_MMIO;
	check_link(&d, &link, -EPERM);
	link = (struct link){.iova = unaligned, .phys = virt_to_phys(memory) + 0x100, .size = 256};
	check_link(&d, &link, -ENOMEM);

	/* Aligned memory needs no bounce, whatever is asked. */
	assert_int_equal(dma_iova_link(d.dev, &iova, virt_to_phys(memory), 0, PAGE, DMA_TO_DEVICE,
				       DMA_ATTR_REQUIRE_COHERENT),
			 0);
	assert_int_equal(dma_iova_link(d.dev, &iova, virt_to_phys(memory) + PAGE, PAGE, PAGE,
				       DMA_TO_DEVICE, DMA_ATTR_MMIO),
			 0);
	link_at(&d, &iova, 2 * PAGE, memory + 2 * PAGE, PAGE);
	assert_reads_pages(&d, iova.addr, 3, 7);
	destroy(&d, &iova, 3 * PAGE);
	dma_iova_free(d.dev, &unaligned);
	device_close(&d, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(the_first_reason_is_told),
		EACH_FORMAT(other_forms_of_the_same),
		EACH_FORMAT(an_empty_state),
		EACH_FORMAT(untrusted_devices_get_whole_granules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
