/*
 * control.h - the way to the running broker: control.sock in its data directory
 * (broker/control.h has the protocol).
 *
 * Failure: a sentence for the person who asked.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "proto/base.h"
#include <stdio.h>

/*
 * Opens the socket itself, or that of a data directory; both NULL: where a broker's data
 * directory usually is.  NULL, and why, when there is no broker.
 */
FILE *control_open(const char *data, const char *socket, struct failure *failure);

/*
 * Gives each line of the answer to take(), until it says that it was the last one.  False with a
 * failure when take() says so, or when the broker closes the connection before that.
 */
typedef bool control_taker(const void *self, const char *line, size_t len, bool *done,
			   struct failure *failure);
bool control_answer(FILE *stream, control_taker *take, const void *self, struct failure *failure);

#endif
