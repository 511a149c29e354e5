/*
 * memory_protection.h - may what lies in payload memory reach a disk, and what can be done about
 * it: `memory_protection` of the configuration.
 *
 * It may by way of swap, unless there is none for us or our memory is locked.  With an unlimited
 * RLIMIT_MEMLOCK everything is locked.  With a limit mlockall(2) would succeed, and from then on no
 * thread could be made whose stack does not fit under it; so then payload memory alone is locked,
 * as far as the limit goes (payload_memory.h).
 *
 * Failure: bool and struct failure; the text names what is missing and the ways out.
 * Thread: memory_swap_reachable() from any; the rest: the main thread, before there are others and
 * as the user who will serve.
 */
#ifndef BROKER_MEMORY_PROTECTION_H
#define BROKER_MEMORY_PROTECTION_H

#include "proto/base.h"

enum memory_protection {
	MEMORY_PROTECTION_WANTED,   /* what cannot be had is said */
	MEMORY_PROTECTION_REQUIRED, /* what cannot be had is a reason not to start */
};

/* What may be had here. */
struct memory_powers {
	bool all_locked;     /* mlockall() was called */
	uint64_t lock_limit; /* bytes that may be locked; UINT64_MAX: no limit holds us */
	bool swap;	     /* swap may take what is not locked */
	bool exposed;	     /* memory is not kept out of core dumps and children */
};

/* Locks everything where that is safe, and finds the rest; `exposed` is the caller's to find. */
struct memory_powers memory_protect(void);

/*
 * Is there a swap device, and may our control group use it?  True when that cannot be found out.
 * `root` stands in front of all paths: "", or a directory of a test.
 */
bool memory_swap_reachable(const char *root);

/* Is all of payload memory out of reach of swap, core dumps and children?  False: `failure` says
 * what is not, and what would help. */
bool memory_protected(const struct memory_powers *powers, struct failure *failure);

#endif
