/* SPDX-License-Identifier: MIT */
/*
 * softdev: devices in software. A model knows its registers and the bus
 * (<twostep/bus.h>), and nothing of the driver side: every address it uses came
 * through a register or from memory that it read over the bus, and every byte of
 * either is untrusted. Whatever is written there, a model does a bounded amount
 * of work at a time, stays inside its own memory and can be stopped.
 *
 * Each model has a register manual (copy_regs.h), plain constants that its
 * driver includes too. Nothing else is shared.
 *
 * A model is created with the port of its device and is handed to the owner of
 * the device as a `void *` with a table of operations. It comes in two forms: one
 * works on a thread of its own, the other when its `step` is called. Models hold
 * no lock while they use the bus, so that a fault handler may call the
 * registers.
 */
#ifndef SOFTDEV_SOFTDEV_H
#define SOFTDEV_SOFTDEV_H

#include <twostep/bus.h>

/*
 * The copy engine. Take softdev_copy_thread_ops if @own_thread, else
 * softdev_copy_ops. The port must outlive the model; ops->close frees it.
 * 0; -ENOMEM; -EAGAIN if no thread can be had. *@model is untouched on failure.
 */
int softdev_copy_create(struct dma_port *port, bool own_thread, void **model);

extern const struct dma_model_ops softdev_copy_ops; /* with step */
extern const struct dma_model_ops softdev_copy_thread_ops; /* without */

#endif
