/* own_topic.c - see own_topic.h. */
#include "broker/core/own_topic.h"
#include "broker/core/core.h"
#include "broker/core/own_me.h"
#include "broker/core/token.h"

#define PREFIX SLICE_LITERAL("$metrino/")

/* ---- the topics ---- */

static enum mqtt_reason may_have_tokens(struct shard *shard, const struct client *client,
					const struct session *session)
{
	return token_allowed(shard, client, session) ? MQTT_SUCCESS : MQTT_NOT_AUTHORIZED;
}

static const struct own {
	const char *name;
	enum mqtt_reason (*may_subscribe)(struct shard *shard, const struct client *client,
					  const struct session *session);
	/* What comes of a SUBSCRIBE; NULL: there is nothing to subscribe to. */
	void (*subscribed)(struct shard *shard, struct session *session);
	/* What comes of a PUBLISH; NULL: it is no request. */
	enum mqtt_reason (*requested)(struct shard *shard, struct session *session,
				      const struct publication *publication,
				      struct slice correlation, enum own_action action);
	enum own_action action;
} topics[] = {
    {TOKEN_TOPIC, may_have_tokens, token_subscribed, NULL, 0},
    {OWN_ANSWER_TOPIC, own_me_may_subscribe, own_me_subscribed, NULL, 0},
    {"$metrino/me/export", NULL, NULL, own_me_requested, OWN_EXPORT},
    {"$metrino/me/rectify", NULL, NULL, own_me_requested, OWN_RECTIFY},
    {"$metrino/me/restrict", NULL, NULL, own_me_requested, OWN_RESTRICT},
    {"$metrino/me/object", NULL, NULL, own_me_requested, OWN_OBJECT},
    {"$metrino/me/erase", NULL, NULL, own_me_requested, OWN_ERASE},
};

static const struct own *find(struct slice topic)
{
	for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
		if (slice_equal(topic, slice_text(topics[i].name)))
			return &topics[i];
	return NULL;
}

/* ---- what clients do with them ---- */

bool own_topic(struct slice topic)
{
	struct slice prefix = PREFIX;
	return topic.len >= prefix.len && memcmp(topic.at, prefix.at, prefix.len) == 0;
}

enum mqtt_reason own_topic_subscribe(struct shard *shard, const struct client *client,
				     const struct session *session, struct slice filter,
				     bool shared)
{
	const struct own *own = shared ? NULL : find(filter);
	return own && own->may_subscribe ? own->may_subscribe(shard, client, session)
					 : MQTT_TOPIC_FILTER_INVALID;
}

void own_topic_subscribed(struct shard *shard, struct session *session, struct slice filter)
{
	const struct own *own = find(filter);
	must(own && own->subscribed);
	own->subscribed(shard, session);
}

enum mqtt_reason own_topic_publish(struct shard *shard, struct session *session,
				   const struct publication *publication, struct slice correlation)
{
	const struct own *own = find(publication->topic);
	if (own && own->requested)
		return own->requested(shard, session, publication, correlation, own->action);
	COUNT(shard, DROPPED_DOLLAR);
	return MQTT_SUCCESS;
}

/* ---- what they get ---- */

static uint32_t subscription_to(const struct shard *shard, const struct session *session,
				struct slice topic)
{
	if (session->subscriptions == 0)
		return 0;
	return subscription_find(&shard->subscriptions, session->realm, topic,
				 (uint32_t)session->number);
}

bool own_topic_wanted(const struct shard *shard, const struct session *session, struct slice topic)
{
	return subscription_to(shard, session, topic) != 0;
}

/*
 * Into the outbox at once, past queue and window: what is for this connection may not wait for
 * the next one, whose link others may read.
 */
bool own_topic_send(struct shard *shard, struct session *session, struct slice topic,
		    struct slice properties, struct slice payload)
{
	struct client *client = session->client;
	uint32_t n = subscription_to(shard, session, topic);
	if (n == 0 || client == NULL || client->state != CLIENT_UP)
		return true;
	uint32_t identifier = subscription_at(&shard->subscriptions, n)->identifier;
	struct publication publication = {.expires_ms = EXPIRES_NEVER,
					  .topic = topic,
					  .properties = properties,
					  .payload = payload};
	size_t before = client->outbox.bytes;
	bool fits = send_publish(shard, client, &publication, 0, false, false, 0,
				 (struct identifier_list){&identifier, identifier != 0}) == SENT;
	client->reply_bytes += (uint32_t)(client->outbox.bytes - before);
	publication_finish(shard, &publication);
	return fits;
}
