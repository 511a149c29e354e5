/*
 * ageing.h - the time by which data grows old: seconds since 1970 that never go back and
 * never go slower than CLOCK_BOOTTIME.
 *
 * What ages by the wall clock alone would be kept longer by a clock that is set back, what
 * ages by CLOCK_BOOTTIME alone by a machine that was saved and restored.  So this time is
 * the latest that any witness gives: the wall clock, CLOCK_BOOTTIME since the last look,
 * and what is known to have been before (the newest key of a day says that this day has
 * begun, whatever the clock of a machine with an empty battery says at start).  It may run
 * ahead of the wall clock, and then data goes earlier than it has to; never later.
 *
 * Pure: the caller brings the moment.
 * Thread: the owner's.
 */
#ifndef BROKER_AGEING_H
#define BROKER_AGEING_H

#include "broker/core/shard.h"

struct ageing {
	uint64_t at_ms; /* of CLOCK_BOOTTIME, at the last look */
	uint64_t now_s; /* the time then, and how much of the next second had passed: */
	uint64_t part_ms;
};

void ageing_begin(struct ageing *ageing, struct moment now);

/* It was at least so late already: some witness of before the start says so. */
void ageing_know(struct ageing *ageing, uint64_t at_least_s);

/* The time now. */
uint64_t ageing_now_s(struct ageing *ageing, struct moment now);

/* When it will be that late at the latest, by CLOCK_BOOTTIME; after ageing_now_s(). */
uint64_t ageing_due_ms(const struct ageing *ageing, uint64_t due_s);

#endif
