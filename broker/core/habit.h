/*
 * habit.h - how fast a client published and how often it came, remembered beyond its connection:
 * who is over a limit (rate.h) does not get rid of that by connecting anew.
 *
 * A client is its client identifier and who it is, or where it comes from if it has not proved
 * that, so that nobody uses up what is another's.  Of
 * both together a keyed hash is kept, and three times that are worth something until they have
 * come: with rate_reconnect a minute at most, else some seconds.
 *
 * Memory: none before somebody is over or near a limit, then HABITS places of 32 bytes, and no
 * more: when all that a hash may have are taken, the one whose time comes first is given up.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_HABIT_H
#define BROKER_CORE_HABIT_H

#include "broker/core/core.h"

#define HABITS	      4096u
#define HABITS_BESIDE 8u /* places that a hash may have */

/* Times as in struct rate, on the clock of struct moment, in microseconds. */
struct habit {
	uint64_t key; /* 0: free */
	uint64_t messages_us, bytes_us;
	uint64_t connects_us;
};

/* Of who it is (any number for it: rate.h) and of its client identifier; never 0. */
uint64_t habit_key(const struct shard *shard, uint64_t who, struct slice client_id);

/* What is remembered; all zero for none. */
struct habit habit_of(const struct shard *shard, uint64_t key);

/* Remembers it, if it is worth something still. */
void habit_keep(struct shard *shard, const struct habit *habit);

#endif
