/*
 * format.h - how `metrino sub` prints a message: the payload, "topic payload"
 * (-v), or a format of -F, with the sequences and the output of mosquitto_sub
 * 2.0.11.  Pure but for the time zone: the time is an argument.
 */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "cli/buffer.h"
#include "proto/packet.h"

#include <time.h>

struct format_message {
	const struct mqtt_publish *publish;
	struct timespec at; /* when it came, since the epoch */
	bool pretty;	    /* JSON with tabs */
};

/* Is this a format?  The failure names the sequence that is not one. */
bool format_check(const char *format, struct failure *failure);

/*
 * Adds the message to `out` by a checked format.  False when %J met a payload
 * that is not JSON; the rest of the format is there all the same.
 */
bool format_write(struct buffer *out, const char *format, const struct format_message *message);

#endif
