/*
 * dial.h - opens a connection to a Unix socket, or to a host: every address of a name is tried in
 * turn, IPv6 and IPv4, each with a time limit.  Blocking, for looking up a name without one; the
 * socket it gives is non-blocking and closed on exec.
 */
#ifndef CLI_DIAL_H
#define CLI_DIAL_H

#include "proto/base.h"

struct dial_target {
	const char *unix_path; /* not NULL: a Unix socket, and nothing else counts */
	const char *host;
	uint16_t port;
	const char *bind_address; /* NULL: any */
	bool nodelay;
	int timeout_ms;	  /* for each address */
	int64_t until_ms; /* of clock_now_ms(): when all has to be done; 0: whenever */
};

/* How long the next step of connecting may take: timeout_ms, or what is left until until_ms. */
int dial_patience_ms(const struct dial_target *target);

/* A connected socket, or -1 and a failure in the words of the operating system. */
int dial(const struct dial_target *target, struct failure *failure);

#endif
