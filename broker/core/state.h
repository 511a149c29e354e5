/*
 * state.h - what a shard holds in RAM only, as bytes: retained messages, queues,
 * deliveries that are not complete, QoS 2 identifiers received, wills that wait.
 * For a planned restart and, one day, for handing a session to another node.
 *
 * The bytes hold payloads: they are for memory only, and whoever holds them wipes
 * them.  Sessions and subscriptions themselves come from the store.
 * So does which QoS 2 exchanges are open: where both know of a delivery it is the same
 * one, and has its message from here.
 *
 * Format, version 2, big-endian: "MTRS", version u8; then records, each a type
 * u8, a length u32 and that many bytes:
 *   1 message   number u32, qos u8, retain u8, expiry left in ms u64 (all ones:
 *               never), realm u32, topic, properties, payload (u32 length each)
 *   2 retained  number of its message u32, owner u64
 *   3 session   realm u32, away for ms u64, client id; then until its end items:
 *                 1 inbound   packet identifier u16
 *                 2 will      message u32, delay u32, has expiry u8, expiry u32
 *                 3 inflight  packet identifier u16, state u8, then as 4
 *                             (message 0 where PUBREC had come)
 *                 4 queued    message u32, qos u8, retain u8, identifiers u32
 *                             and that many u32
 * A message stands before the first record that names it.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_STATE_H
#define BROKER_CORE_STATE_H

#include "broker/core/shard.h"

/* All of it, in the shard's payload memory: to be given back with state_free(). */
void shard_write_state(struct shard *shard, struct moment now, struct slice *out);

/*
 * Takes what belongs to this shard (by client id, by topic) out of the bytes of any
 * shard, after its sessions were restored; passes over the rest.  False, with the
 * offset named, when the bytes are not as above; what came before stays.
 */
bool shard_read_state(struct shard *shard, struct moment now, struct slice bytes,
		      struct failure *failure);

/* Wipes it; before the shard's arena ends. */
void state_free(struct shard *shard, struct slice *bytes);

#endif
