/*
 * at_most_once.h - QoS 0 on its way into the outbox: MQTT 5.0 section 4.3.1.
 *
 * Nothing of it is kept: what there is no room for is dropped, and counted.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_AT_MOST_ONCE_H
#define BROKER_CORE_AT_MOST_ONCE_H

#include "broker/core/core.h"

/* To a session that is up.  False: it was dropped. */
bool at_most_once_send(struct shard *shard, struct session *session,
		       struct publication *publication, bool retain,
		       struct identifier_list identifiers);

/* Likewise what came live, which may have expired, or be for one who does not read. */
bool at_most_once_deliver(struct shard *shard, struct session *session,
			  struct publication *publication, bool retain,
			  struct identifier_list identifiers);

#endif
