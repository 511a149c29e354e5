/*
 * payload.h - what a message of `metrino pub` or `metrino rr` holds: -m, -f, -n and -s.
 *
 * Failure: a sentence that names the file.  Thread: one; blocks.
 */
#ifndef CLI_PAYLOAD_H
#define CLI_PAYLOAD_H

#include "cli/options.h"

/* No packet can hold more. */
#define PAYLOAD_MAX 268435455u

/* Adds it to the buffer; true also when there is nothing to load (-l). */
bool payload_load(const struct options *o, struct buffer *payload, struct failure *failure);

#endif
