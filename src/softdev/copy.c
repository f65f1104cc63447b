/* SPDX-License-Identifier: MIT */
/*
 * The copy engine as a device: registers, rings and its thread. copy_regs.h is its
 * manual; copy_transfer.c does the transfers.
 *
 * Locking: `lock` protects the registers and `busy`. Whoever sets `busy` (the
 * engine's thread, or a caller of step) owns `mover` until it clears it, and works
 * without the lock, so that the registers answer meanwhile. `mover.stop` is how the
 * registers tell it to stop soon.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "softdev/copy_regs.h"
#include "softdev/copy_transfer.h"
#include "softdev/softdev.h"

#define MIN_ORDER 1u
#define MAX_ORDER 16u

/* What an engine needs to know of its rings while it works without the lock. */
struct rings {
	uint64_t ring_base;
	uint64_t done_base;
	uint32_t order;
};

struct copy_model {
	pid_t owner; /* a forked child has the memory, but no thread */
	bool own_thread;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work; /* something to do for the thread, or closing */

	bool closing;
	bool busy;
	uint32_t state;
	uint32_t error;
	uint64_t error_addr;
	uint32_t head; /* atomic; written by whoever owns `busy`, else with the lock */
	uint32_t tail;
	struct rings rings;

	struct copy_mover mover;
};

/* The body first: the word makes it valid, and is one write, which is a release. */
static void complete(struct copy_model *model, const struct rings *rings, uint32_t index,
		     uint64_t cookie, struct copy_outcome *outcome)
{
	uint64_t slot = index & ((1u << rings->order) - 1);
	uint64_t addr = rings->done_base + slot * COPY_DONE_SIZE, fault = 0;
	uint64_t word = outcome->code | (uint64_t)index << COPY_WORD_INDEX_SHIFT;
	uint8_t done[COPY_DONE_SIZE];

	if (!(index >> rings->order & 1))
		word |= COPY_WORD_PHASE;
	put_le64(done + COPY_DONE_COOKIE, cookie);
	put_le64(done + COPY_DONE_BYTES, outcome->bytes);
	put_le64(done + COPY_DONE_ADDR, outcome->addr);
	put_le64(done + COPY_DONE_WORD, word);
	if (copy_bus_move(&model->mover, addr, done, COPY_DONE_WORD, true, &fault) &&
	    copy_bus_move(&model->mover, addr + COPY_DONE_WORD, done + COPY_DONE_WORD, 8, true,
			  &fault))
		return;
	outcome->how = COPY_DONE_FAULT;
	outcome->addr = fault;
}

/*
 * One descriptor, from the ring to its completion; without the lock, owning `busy`. The
 * head moves before the completion is written: a driver that has seen it may ring
 * for the descriptor that takes its place, a whole ring later, at once.
 */
static void run_one(struct copy_model *model, const struct rings *rings, uint32_t index,
		    struct copy_outcome *outcome)
{
	uint64_t slot = index & ((1u << rings->order) - 1);
	uint8_t desc[COPY_DESC_SIZE];

	*outcome = (struct copy_outcome){.how = COPY_ENDED};
	if (!copy_bus_move(&model->mover, rings->ring_base + slot * COPY_DESC_SIZE, desc,
			   sizeof(desc), false, &outcome->addr)) {
		outcome->how = COPY_RING_FAULT;
		return;
	}
	copy_transfer(&model->mover, desc, outcome);
	if (outcome->how != COPY_ENDED || __atomic_load_n(&model->mover.stop, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&model->head, index + 1, __ATOMIC_RELAXED);
	complete(model, rings, index, get_le64(desc + COPY_DESC_COOKIE), outcome);
}

/* The first reason stays: a bad doorbell may come while a transfer runs into a fault. */
static void halt(struct copy_model *model, uint32_t error, uint64_t addr)
{
	if (model->state == COPY_STATE_HALTED)
		return;
	model->state = COPY_STATE_HALTED;
	model->error = error;
	model->error_addr = addr;
}

static void power_on(struct copy_model *model)
{
	model->state = COPY_STATE_DISABLED;
	model->error = COPY_ERR_NONE;
	model->error_addr = 0;
	model->tail = 0;
	__atomic_store_n(&model->head, 0, __ATOMIC_RELAXED);
	model->rings = (struct rings){0};
	__atomic_store_n(&model->mover.stop, 0, __ATOMIC_RELAXED);
}

static uint32_t head_of(const struct copy_model *model)
{
	return __atomic_load_n(&model->head, __ATOMIC_RELAXED);
}

static bool runnable(const struct copy_model *model)
{
	return !model->closing && model->state == COPY_STATE_READY && head_of(model) != model->tail;
}

/*
 * Do what is pending, at most a ring full, so that a driver that keeps ringing does
 * not keep a caller of step for ever. With the lock held and `busy` clear. Returns
 * how many descriptors were done.
 */
static uint32_t run_pending(struct copy_model *model)
{
	uint32_t done = 0, most = 1u << model->rings.order;

	model->busy = true;
	while (runnable(model) && done < most) {
		struct rings rings = model->rings;
		uint32_t index = head_of(model);
		struct copy_outcome outcome;

		pthread_mutex_unlock(&model->lock);
		run_one(model, &rings, index, &outcome);
		pthread_mutex_lock(&model->lock);
		if (model->closing || model->state == COPY_STATE_STOPPING)
			break;
		if (outcome.how == COPY_RING_FAULT || outcome.how == COPY_DONE_FAULT) {
			halt(model,
			     outcome.how == COPY_RING_FAULT ? COPY_ERR_RING_FAULT
							    : COPY_ERR_DONE_FAULT,
			     outcome.addr);
			break;
		}
		done++;
	}
	model->busy = false;
	if (model->state == COPY_STATE_STOPPING)
		power_on(model);
	return done;
}

static int copy_step(void *arg)
{
	struct copy_model *model = arg;
	uint32_t done = 0;

	pthread_mutex_lock(&model->lock);
	if (!model->busy && runnable(model))
		done = run_pending(model);
	pthread_mutex_unlock(&model->lock);
	return (int)done;
}

static void *copy_thread(void *arg)
{
	struct copy_model *model = arg;

	pthread_mutex_lock(&model->lock);
	while (!model->closing) {
		if (runnable(model))
			run_pending(model);
		else
			pthread_cond_wait(&model->work, &model->lock);
	}
	pthread_mutex_unlock(&model->lock);
	return NULL;
}

static int copy_reg_read(void *arg, unsigned int bar, uint64_t offset, uint64_t *value,
			 unsigned int width)
{
	struct copy_model *model = arg;
	unsigned int has = 4;
	uint64_t got;

	if (bar)
		return -ENODEV;
	pthread_mutex_lock(&model->lock);
	switch (offset) {
	case COPY_REG_ID:
		got = COPY_ID;
		break;
	case COPY_REG_CONTROL:
		got = model->state == COPY_STATE_READY || model->state == COPY_STATE_HALTED
			      ? COPY_CONTROL_ENABLE
			      : 0;
		break;
	case COPY_REG_CAP:
		has = 8;
		got = MIN_ORDER | MAX_ORDER << 8 | COPY_LENGTH_ORDER << 16 |
		      (uint64_t)COPY_MAX_PIECES << 32;
		break;
	case COPY_REG_RING_BASE:
		has = 8;
		got = model->rings.ring_base;
		break;
	case COPY_REG_DONE_BASE:
		has = 8;
		got = model->rings.done_base;
		break;
	case COPY_REG_RING_ORDER:
		got = model->rings.order;
		break;
	case COPY_REG_STATUS:
		got = model->state | model->error << 8;
		break;
	case COPY_REG_TAIL:
		got = model->tail;
		break;
	case COPY_REG_HEAD:
		got = head_of(model);
		break;
	case COPY_REG_ERROR_ADDR:
		has = 8;
		got = model->error_addr;
		break;
	default:
		has = 0;
		got = 0;
		break;
	}
	pthread_mutex_unlock(&model->lock);
	if (has != width)
		return -EINVAL;
	*value = got;
	return 0;
}

static bool config_valid(const struct rings *rings)
{
	if (rings->order < MIN_ORDER || rings->order > MAX_ORDER)
		return false;
	return !(rings->ring_base % COPY_DESC_SIZE) && !(rings->done_base % COPY_DONE_SIZE) &&
	       !copy_wraps(rings->ring_base, (uint64_t)COPY_DESC_SIZE << rings->order) &&
	       !copy_wraps(rings->done_base, (uint64_t)COPY_DONE_SIZE << rings->order);
}

static void write_control(struct copy_model *model, uint64_t value)
{
	if (value & COPY_CONTROL_ENABLE) {
		if (model->state != COPY_STATE_DISABLED)
			return;
		model->state = COPY_STATE_READY;
		if (!config_valid(&model->rings))
			halt(model, COPY_ERR_CONFIG, 0);
		return;
	}
	if (!model->busy) {
		power_on(model);
		return;
	}
	model->state = COPY_STATE_STOPPING;
	__atomic_store_n(&model->mover.stop, 1, __ATOMIC_RELAXED);
}

/* A tail that went back looks like one that went very far. */
static void write_tail(struct copy_model *model, uint32_t tail)
{
	uint32_t room;

	if (model->state != COPY_STATE_READY)
		return;
	room = (1u << model->rings.order) - (model->tail - head_of(model));
	if (tail - model->tail > room) {
		halt(model, COPY_ERR_DOORBELL, tail);
		return;
	}
	model->tail = tail;
	if (model->own_thread)
		pthread_cond_signal(&model->work);
}

static int copy_reg_write(void *arg, unsigned int bar, uint64_t offset, uint64_t value,
			  unsigned int width)
{
	struct copy_model *model = arg;
	bool disabled;
	uint64_t old;
	int err;

	/* What can be read can be written, if only to be ignored. */
	err = copy_reg_read(model, bar, offset, &old, width);
	if (err)
		return err;
	pthread_mutex_lock(&model->lock);
	disabled = model->state == COPY_STATE_DISABLED;
	switch (offset) {
	case COPY_REG_CONTROL:
		write_control(model, value);
		break;
	case COPY_REG_RING_BASE:
		if (disabled)
			model->rings.ring_base = value;
		break;
	case COPY_REG_DONE_BASE:
		if (disabled)
			model->rings.done_base = value;
		break;
	case COPY_REG_RING_ORDER:
		if (disabled)
			model->rings.order = (uint32_t)value;
		break;
	case COPY_REG_TAIL:
		write_tail(model, (uint32_t)value);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&model->lock);
	return 0;
}

static void copy_close(void *arg)
{
	struct copy_model *model = arg;

	if (model->owner == getpid()) {
		pthread_mutex_lock(&model->lock);
		model->closing = true;
		__atomic_store_n(&model->mover.stop, 1, __ATOMIC_RELAXED);
		pthread_cond_signal(&model->work);
		pthread_mutex_unlock(&model->lock);
		if (model->own_thread)
			pthread_join(model->thread, NULL);
		pthread_cond_destroy(&model->work);
		pthread_mutex_destroy(&model->lock);
	}
	free(model);
}

/* Signals are the application's: the engine's thread takes none. */
static int thread_start(struct copy_model *model)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&model->thread, NULL, copy_thread, model);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int softdev_copy_create(struct dma_port *port, bool own_thread, void **model)
{
	struct copy_model *new = calloc(1, sizeof(*new));
	int err;

	if (!new)
		return -ENOMEM;
	new->mover.port = port;
	new->owner = getpid();
	new->own_thread = own_thread;
	pthread_mutex_init(&new->lock, NULL);
	pthread_cond_init(&new->work, NULL);
	power_on(new);
	err = own_thread ? thread_start(new) : 0;
	if (err) {
		pthread_cond_destroy(&new->work);
		pthread_mutex_destroy(&new->lock);
		free(new);
		return err;
	}
	*model = new;
	return 0;
}

const struct dma_model_ops softdev_copy_ops = {
	.reg_read = copy_reg_read,
	.reg_write = copy_reg_write,
	.step = copy_step,
	.close = copy_close,
};

const struct dma_model_ops softdev_copy_thread_ops = {
	.reg_read = copy_reg_read,
	.reg_write = copy_reg_write,
	.close = copy_close,
};
