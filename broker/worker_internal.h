/* worker_internal.h - what the files worker*.c share. */
#ifndef BROKER_WORKER_INTERNAL_H
#define BROKER_WORKER_INTERNAL_H

#include "broker/worker.h"

/* worker_command.c: carries it out; borrowed. */
void worker_obey(struct worker *worker, const struct command *command);

#endif
