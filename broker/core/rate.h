/*
 * rate.h - how fast a client may publish: rate_publish_messages and rate_publish_bytes; how fast
 * all of its address may together (address_rate.h); and how often it may come: rate_reconnect.
 *
 * Who is faster is not read until it is within its rate again, so that its own sending slows
 * down; a second's worth may come at once.  A message that would mean a pause of more than
 * RATE_PAUSE_MAX_MS ends the connection (0x96), and does not count.  While it is not read, its keep
 * alive stands still.  Who comes too often is refused (0x9F), after it has shown who it is; a
 * minute's worth may come at once; whoever answers for it (auth.h) may make it wait longer, or ban
 * it.  A new connection goes on where the last one was (habit.h).  Who has proved nothing counts by
 * its address and client identifier, whatever name it gives.
 *
 * Each limit is the time at which everything taken so far would have come at exactly the rate
 * (the generic cell rate algorithm of ITU-T I.371).
 *
 * Memory: 40 bytes for each link number, and none while there is no limit.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_RATE_H
#define BROKER_CORE_RATE_H

#include "broker/core/core.h"
#include "broker/core/habit.h"

#define RATE_PAUSE_MAX_MS 10000u

/* Of one connection; zero for a new one. */
struct rate {
	uint64_t messages_us; /* on the clock of struct moment, in microseconds */
	uint64_t bytes_us;
	uint64_t until_ms; /* not read until then; 0: it is read */
	uint64_t key;	   /* of the client: habit.h; 0: not known yet */
	uint64_t address;  /* a keyed hash of where it comes from; 0: not known, or not asked */
};

/* One look for all four: for each PUBLISH there is, and mostly there is no limit. */
static inline bool rate_limits_publishing(const struct core_settings *settings)
{
	return (settings->rate_publish_messages & settings->rate_publish_bytes &
		settings->rate_address_messages & settings->rate_address_bytes) != UINT32_MAX;
}

/* Counts a PUBLISH that has not been taken yet; false: the connection is at its end. */
bool rate_count(struct shard *shard, struct client *client, size_t bytes);

static inline bool rate_allows(struct shard *shard, struct client *client, size_t bytes)
{
	return !rate_limits_publishing(shard->settings) || rate_count(shard, client, bytes);
}

/* Is it in a pause? */
bool rate_pauses(const struct shard *shard, const struct client *client);

/* The link number is a new connection's. */
void rate_forget(struct shard *shard, uint32_t link);

/*
 * Who a client says it is, by its transport or by a user name (NULL: it says nothing), as a number
 * that says nothing; never 0.
 */
uint64_t rate_who(const struct shard *shard, const struct slice *user_name);

/* A client is let in; false, and why: it comes too often. */
bool rate_admits(struct shard *shard, const struct client *client, struct auth_answer *refusal);

/* Its connection ends. */
void rate_remember(struct shard *shard, uint32_t link);

#endif
