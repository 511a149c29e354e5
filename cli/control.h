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

#endif
