/*
 * charge.h - publishes counted by session, and charged to accounts (tally.h) when a client
 * goes or the day ends; and what filters and topics take in memory.
 *
 * Ownership: the shard's.  Counts of sessions are charged to its purse, the table of the day's
 * accounts is not: it belongs to nobody who could be told to use less, and is bounded.
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_CHARGE_H
#define BROKER_CORE_CHARGE_H

#include "broker/core/core.h"

/* A slot that the array does not reach: makes it longer. */
void charge_grow(struct shard *shard, uint32_t slot);

/* The client of the session published, and that was accepted. */
static inline void charge_publish(struct shard *shard, const struct session *session, uint8_t qos)
{
	uint32_t slot = (uint32_t)session->number;
	if (slot >= shard->charges.room)
		charge_grow(shard, slot);
	tally_count(&shard->charges.sessions[slot], qos);
}

/* The session's client goes, or the day ends. */
void charge_session(struct shard *shard, const struct session *session);

/*
 * What tries have come to; after each event, and for each of many filters of one.  A filter or
 * topic may take up to 200 nodes, which nobody owns alone: all are charged together.
 */
void charge_tries(struct shard *shard);

void charge_finish(struct shard *shard);

#endif
