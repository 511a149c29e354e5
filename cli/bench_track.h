/*
 * bench_track.h - what one receiver knows of one publisher's numbered messages: which
 * are missing, which came twice, which came late.  Numbers begin at 1 and leave none out.
 *
 * Exact, but for one case: a message that comes more than 64 numbers late, while other
 * messages that old are missing as well, counts as late even if it is a repetition.
 *
 * Pure; {0} is a receiver that got nothing yet.
 */
#ifndef CLI_BENCH_TRACK_H
#define CLI_BENCH_TRACK_H

#include "proto/base.h"

struct bench_track {
	uint64_t top;	  /* the highest number that came */
	uint64_t absent;  /* bit n: number top - n did not come */
	uint64_t missing; /* of all numbers below top, how many did not come */
};

struct bench_tally {
	uint64_t delivered; /* each message once */
	uint64_t duplicated;
	uint64_t out_of_order; /* came behind a later one of the same publisher */
};

/*
 * Takes the next message.  Returns how many deliveries the publisher need not wait for
 * any more: this one and those that it overtook, which are taken for lost until they come.
 */
uint64_t bench_track_take(struct bench_track *track, struct bench_tally *tally, uint64_t number);

/* How many of the messages 1 to `published` never came. */
static inline uint64_t bench_track_lost(const struct bench_track *track, uint64_t published)
{
	return track->missing + (published > track->top ? published - track->top : 0);
}

#endif
