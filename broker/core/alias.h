/*
 * alias.h - topic aliases of one connection, one table for each direction.
 * MQTT 5.0 section 3.3.2.3.4.  They end with the connection. [MQTT-3.3.2-7]
 *
 * Inbound: the client chooses numbers, 1 to what we allowed.
 * Outbound: first come, first served, without eviction: a busy connection has few
 * topics, and one that has many gains nothing from turning them over.
 *
 * Ownership: the tables own copies of the topics.  Thread: the shard's.
 */
#ifndef BROKER_CORE_ALIAS_H
#define BROKER_CORE_ALIAS_H

#include "proto/base.h"
#include "broker/core/budget.h"

struct alias_topic {
	uint64_t hash;
	uint8_t *topic; /* NULL: not set */
	uint16_t topic_len;
};

struct alias_table {
	uint16_t maximum;
	uint16_t used;		     /* outbound: numbers given */
	struct alias_topic topics[]; /* number n at n - 1 */
};

struct alias_table *alias_create(struct purse *purse, uint16_t maximum);
void alias_destroy(struct alias_table *table, struct purse *purse); /* NULL is fine */

/* Inbound: sets a number, 1 to maximum; false when memory does not allow it. */
bool alias_set(struct alias_table *table, struct purse *purse, uint16_t alias, struct slice topic);

/* Inbound: the topic of a number, or an empty slice. */
struct slice alias_topic(const struct alias_table *table, uint16_t alias);

/*
 * Outbound: the number of a topic, 0 for none.  *fresh: given just now, so the
 * topic has to be sent along.
 */
uint16_t alias_of(struct alias_table *table, struct purse *purse, uint64_t hash, struct slice topic,
		  bool *fresh);

#endif
