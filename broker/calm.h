/*
 * calm.h - memory that the peak of a load needed goes back to the system.
 *
 * Once much has come, CALM_LOAD, and then a period of CALM_MS brought fewer than CALM_EVENTS.  Many
 * small events are much, and so are few large ones: the bytes that clients sent count as well, so
 * many to an event.
 *
 * Thread: the worker's.
 */
#ifndef BROKER_CALM_H
#define BROKER_CALM_H

#include <stddef.h>
#include <stdint.h>

struct shard;

#define CALM_LOAD  10000u
#define CALM_BYTES 64u /* are an event, about */

#define CALM_EVENTS 100u
#define CALM_MS	    5000u

struct calm {
	uint64_t load;	 /* since memory was last given back */
	uint64_t bytes;	 /* that clients had sent when it was last counted */
	uint64_t events; /* since period_ms */
	uint64_t period_ms;
};

/* At the end of a turn that so many events began. */
void calm_turn(struct calm *calm, struct shard *shard, size_t events, uint64_t now_ms);

/* When calm_turn() is wanted, events or not; UINT64_MAX: never. */
static inline uint64_t calm_due_ms(const struct calm *calm)
{
	return calm->load >= CALM_LOAD ? calm->period_ms + CALM_MS : UINT64_MAX;
}

#endif
