/*
 * on_publish.c - PUBLISH from a client, MQTT 5.0 sections 3.3 and 4.3.
 *
 * A message is acknowledged once the broker has taken it over: given to every
 * session that matches, or counted as dropped where a limit says so.
 */
#include "broker/core/core.h"

struct inbound {
	struct mqtt_publish packet;
	struct slice topic; /* with the alias resolved */
};

/* Limits told in CONNACK, and what only a server may send. */
static enum mqtt_reason check(const struct shard *shard, const struct client *client,
			      const struct mqtt_publish *p)
{
	if (mqtt_has(&p->properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER))
		return MQTT_PROTOCOL_ERROR; /* [MQTT-3.3.4-6] */
	if (p->qos > client->listener->max_qos)
		return MQTT_QOS_NOT_SUPPORTED; /* [MQTT-3.2.2-11] */
	if (p->retain && !shard->settings->retain_available)
		return MQTT_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-14] */
	if (p->payload.len > shard->settings->message_size_limit)
		return MQTT_PACKET_TOO_LARGE;
	return MQTT_SUCCESS;
}

/* MQTT 5.0 section 3.3.2.3.4. [MQTT-3.3.2-8] [MQTT-3.3.2-12] */
static enum mqtt_reason resolve_alias(struct shard *shard, struct client *client,
				      struct inbound *in)
{
	in->topic = in->packet.topic;
	if (!mqtt_has(&in->packet.properties, MQTT_PROPERTY_TOPIC_ALIAS))
		return MQTT_SUCCESS;
	uint16_t alias = in->packet.properties.topic_alias;
	uint16_t maximum = client->listener->max_topic_alias;
	if (alias == 0 || alias > maximum)
		return MQTT_TOPIC_ALIAS_INVALID;
	if (in->topic.len > 0) {
		if (client->aliases_in == NULL)
			client->aliases_in = alias_create(&shard->purse, maximum);
		if (!alias_set(client->aliases_in, &shard->purse, alias, in->topic))
			return MQTT_QUOTA_EXCEEDED;
		return MQTT_SUCCESS;
	}
	in->topic = alias_topic(client->aliases_in, alias);
	return in->topic.len > 0 ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR;
}

/*
 * A QoS 2 identifier that is new and beyond what we granted? [MQTT-3.3.4-7]
 * QoS 1 is acknowledged at once and so is never unfinished.
 */
static bool receive_maximum_exceeded(const struct shard *shard, const struct client *client,
				     const struct session *session, const struct mqtt_publish *p)
{
	return client->version == MQTT_VERSION_5_0 && p->qos == 2 && session->inbound &&
	       session->inbound->count >= shard->settings->receive_maximum &&
	       !idset_has(session->inbound, p->packet_id);
}

/* PUBACK or PUBREC; an error before 5.0 has no other form than closing. */
static void acknowledge(struct shard *shard, struct client *client, const struct mqtt_publish *p,
			enum mqtt_reason reason)
{
	if (p->qos == 0)
		return;
	if (mqtt_reason_is_error((uint8_t)reason) && client->version != MQTT_VERSION_5_0) {
		client_fail(shard, client, reason, NULL);
		return;
	}
	send_ack(shard, client, p->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p->packet_id, reason);
}

/* The properties that go on: as they came where nothing has to be left out. */
static struct slice forwarded(const struct mqtt_properties *p, uint8_t **copy)
{
	*copy = NULL;
	if (!mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS) &&
	    !mqtt_has(p, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL))
		return p->raw;
	*copy = memory_get(p->raw.len);
	return slice_of(*copy, mqtt_forward_properties(p->raw, *copy));
}

/* Would a retained message be one too many?  Known where its home is here. */
static bool retain_refused(struct shard *shard, const struct publication *publication)
{
	if (!publication->retain || retained_home(shard, publication->topic) != shard->party)
		return false;
	return retained_full(shard, publication);
}

static enum mqtt_reason take_over(struct shard *shard, struct session *session,
				  const struct inbound *in)
{
	const struct mqtt_publish *p = &in->packet;
	uint8_t *copy;
	struct publication publication = {
	    .realm = session->realm,
	    .qos = p->qos,
	    .retain = p->retain,
	    .publisher = shard_self(shard, session),
	    .expires_ms = EXPIRES_NEVER,
	    .topic = in->topic,
	    .properties = forwarded(&p->properties, &copy),
	    .payload = p->payload,
	};
	if (mqtt_has(&p->properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL))
		publication.expires_ms = shard->now.ms + p->properties.message_expiry_s * 1000ull;
	enum mqtt_reason reason = MQTT_SUCCESS;
	if (retain_refused(shard, &publication) ||
	    !purse_allows(&shard->purse, sizeof(struct message) + in->topic.len + p->payload.len))
		reason = MQTT_QUOTA_EXCEEDED;
	else if (!publish(shard, &publication))
		reason = MQTT_NO_MATCHING_SUBSCRIBERS;
	if (reason == MQTT_QUOTA_EXCEEDED)
		COUNT(shard, DROPPED_MEMORY);
	publication_finish(shard, &publication);
	memory_free(copy);
	return reason;
}

/* Nobody may publish where the broker speaks itself; such a message is taken and dropped. */
static bool reserved_topic(const struct inbound *in)
{
	return in->topic.at[0] == '$';
}

static void take(struct shard *shard, struct client *client, struct session *session,
		 const struct inbound *in)
{
	const struct mqtt_publish *p = &in->packet;
	enum mqtt_reason reason = MQTT_SUCCESS;
	if (p->qos == 2 && idset_has(session->inbound, p->packet_id)) {
		acknowledge(shard, client, p, MQTT_SUCCESS); /* [MQTT-4.3.3-10] */
		return;
	}
	if (reserved_topic(in))
		COUNT(shard, DROPPED_DOLLAR);
	else
		reason = take_over(shard, session, in);
	if (p->qos == 2 && !mqtt_reason_is_error((uint8_t)reason)) { /* [MQTT-4.3.3-9] */
		if (session->inbound == NULL)
			session->inbound = idset_create(&shard->purse);
		idset_add(session->inbound, &shard->purse, p->packet_id);
	}
	if (client->version != MQTT_VERSION_5_0 && !mqtt_reason_is_error((uint8_t)reason))
		reason = MQTT_SUCCESS;
	acknowledge(shard, client, p, reason);
}

void on_publish(struct shard *shard, struct client *client, uint8_t flags, struct slice body)
{
	struct inbound in;
	struct session *session = session_at(shard, client->session);
	enum mqtt_reason reason =
	    mqtt_decode_publish(flags, body, (enum mqtt_version)client->version, &in.packet);
	if (reason == MQTT_SUCCESS)
		reason = check(shard, client, &in.packet);
	if (reason == MQTT_SUCCESS)
		reason = resolve_alias(shard, client, &in);
	if (reason == MQTT_SUCCESS && receive_maximum_exceeded(shard, client, session, &in.packet))
		reason = MQTT_RECEIVE_MAXIMUM_EXCEEDED;
	if (reason != MQTT_SUCCESS) {
		COUNT(shard, MALFORMED);
		client_fail(shard, client, reason, mqtt_reason_text((uint8_t)reason));
		return;
	}
	COUNT(shard, PUBLISH_RECEIVED);
	COUNT_N(shard, PUBLISH_BYTES_RECEIVED, in.packet.payload.len);
	take(shard, client, session, &in);
}
