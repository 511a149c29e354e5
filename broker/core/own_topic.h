/*
 * own_topic.h - topics that begin with "$metrino/".  Each session has them for itself: what its
 * client gets there comes from the session, and what its client publishes there stays with it.
 * Nothing of it is routed, retained, shared or given to anybody else, and acl_file has no say.
 *
 *	$metrino/token   a new session token for this client (token.h)
 *	$metrino/me/...  requests of the person behind an account (own_request.h)
 *
 * One may subscribe to what stands in the table of own_topic.c, one by one: a filter with a
 * wildcard, and a shared one, is refused.  A subscription is kept with the session as others are.
 *
 * A PUBLISH to a topic of the table that takes requests is one, and is answered by
 * own_topic_send(); any other is acknowledged and dropped, as to all topics that begin with '$'.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_OWN_TOPIC_H
#define BROKER_CORE_OWN_TOPIC_H

#include "proto/base.h"
#include "proto/reason.h"

struct shard;
struct client;
struct session;
struct publication;

bool own_topic(struct slice topic_or_filter);

/* What SUBACK says to a filter of these: MQTT_SUCCESS (that is QoS 0, all there is), or why not. */
enum mqtt_reason own_topic_subscribe(struct shard *shard, const struct client *client,
				     const struct session *session, struct slice filter,
				     bool shared);

/* SUBACK is out, and the client wants what is there. */
void own_topic_subscribed(struct shard *shard, struct session *session, struct slice filter);

/* A PUBLISH, and its correlation data; what its acknowledgement says. */
enum mqtt_reason own_topic_publish(struct shard *shard, struct session *session,
				   const struct publication *publication, struct slice correlation);

/* Has the session subscribed to it? */
bool own_topic_wanted(const struct shard *shard, const struct session *session, struct slice topic);

/* A message from the session to its client, if that is there and has subscribed; false: it takes
 * none that large. */
bool own_topic_send(struct shard *shard, struct session *session, struct slice topic,
		    struct slice properties, struct slice payload);

#endif
