/* worker_internal.h - what the files worker*.c share. */
#ifndef BROKER_WORKER_INTERNAL_H
#define BROKER_WORKER_INTERNAL_H

#include "broker/worker.h"

/* worker_command.c: carries it out; borrowed. */
void worker_obey(struct worker *worker, const struct command *command);

/* worker.c: the rows that COMMAND_ROUTES asked for are on their way, and whoever waits may look. */
void worker_answer_asked(struct worker *worker);

#endif
