/*
 * payload_memory.h - where the spans of the arena come from: memory that the system keeps out of
 * core dumps (MADV_DONTDUMP), of children (MADV_WIPEONFORK) and, as far as RLIMIT_MEMLOCK allows,
 * out of swap (mlock2).
 *
 * It is asked for in regions of 4 MiB, so that a span costs no system call.  Free spans, up to
 * PAYLOAD_KEPT of them, keep their pages for the next burst; beyond that, and in a calm moment,
 * empty regions go back to the system, and so do the pages of free spans in others.  Beyond the
 * limit of locks memory is used unlocked, and counted; spans that are locked are given first. Pages
 * are locked as they are first written to (MLOCK_ONFAULT): one that never was holds nothing.
 *
 * Whoever gives a span back has overwritten what was in it (arena.h).
 *
 * Ownership: owns the regions.  Failure: none; without address space the process ends, for
 * `memory_limit` stands before that.
 * Thread: init and finish: the main thread, before and after all others; the rest from any.
 */
#ifndef BROKER_PAYLOAD_MEMORY_H
#define BROKER_PAYLOAD_MEMORY_H

#include "broker/core/arena.h"
#include <pthread.h>

#define PAYLOAD_REGION (ARENA_SPAN * 64u) /* bytes, and alignment */
#define PAYLOAD_KEPT   256u		  /* spans: 16 MiB */

struct payload_region;

struct payload_memory {
	pthread_mutex_t lock;
	struct payload_region *open[2]; /* with a free span: [0] some of it is locked, [1] none */
	uint32_t kept;			/* free spans that keep their pages */
	bool all_locked;		/* by mlockall(2): none of it is our affair */
	_Atomic uint64_t bytes;		/* of spans in use */
	_Atomic uint64_t locked_bytes;	/* of those */
	_Atomic uint64_t exposed_bytes; /* of regions: neither MADV_ does it for them */
};

/*
 * Maps the first region, so that exposed_bytes tells what may be had here.
 * `all_locked`: what the process maps is locked anyway (mlockall(2) with MCL_FUTURE).
 */
void payload_memory_init(struct payload_memory *memory, bool all_locked);

/* Unmaps what is free; spans that were not given back stay for ever. */
void payload_memory_finish(struct payload_memory *memory);

struct span_source payload_memory_source(struct payload_memory *memory);

#endif
