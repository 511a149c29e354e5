/*
 * on_publish.c - PUBLISH from a client, MQTT 5.0 sections 3.3 and 4.3.
 * [MQTT-3.3.4-1] [MQTT3-3.3.4-1] [MQTT-4.3.2-4] [MQTT-4.3.2-5] [MQTT-4.3.3-8] [MQTT3-4.3.2-2]
 * [MQTT3-4.3.3-2]
 *
 * A message is acknowledged once the broker has taken it over: given to every
 * session that matches, or counted as dropped where a limit says so; with `ack_when
 * delivered` not before its subscribers have (gate.h), and one of QoS 2 goes to them
 * when its record is in the store (arrival.h).
 */
#include "broker/core/core.h"
#include "broker/core/charge.h"
#include "broker/core/crash.h"
#include "broker/core/own_topic.h"
#include "broker/core/rate.h"
#include "broker/core/rights.h"

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
	if (p->retain && !shard->settings->retain_available &&
	    !(shard->told_before.retain_available && came_before_settings(shard, client)))
		return MQTT_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-14] */
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
 * What counts against the Receive Maximum: what came on this connection and has not
 * had its last acknowledgement.  A new connection begins with nothing, MQTT 5.0
 * section 4.9, so that a client that lost its memory is not shut out by what it forgot.
 */
static void count_unfinished(struct shard *shard, struct client *client, uint16_t packet_id)
{
	if (client->version != MQTT_VERSION_5_0)
		return; /* there was no such limit */
	if (client->received == NULL)
		client->received = idset_create(&shard->purse);
	idset_add(client->received, &shard->purse, packet_id);
}

void publish_finished(struct client *client, uint16_t packet_id)
{
	if (client->received)
		idset_remove(client->received, packet_id);
}

/* An identifier that is new and beyond what we granted? [MQTT-3.3.4-7] */
static bool receive_maximum_exceeded(const struct client *client, const struct mqtt_publish *p)
{
	return client->version == MQTT_VERSION_5_0 && p->qos > 0 && client->received &&
	       client->received->count >= client->receive_granted &&
	       !idset_has(client->received, p->packet_id);
}

void acknowledge(struct shard *shard, struct client *client, struct session *session, uint8_t qos,
		 uint16_t packet_id, enum mqtt_reason reason)
{
	bool error = mqtt_reason_is_error((uint8_t)reason);
	if (error && client->version != MQTT_VERSION_5_0) {
		client_fail(shard, client, reason, NULL);
		return;
	}
	if (qos == 2 && !error) { /* from now on it is released by PUBREL only [MQTT-4.3.3-10] */
		struct traffic *traffic = traffic_for(shard, session);
		if (traffic->inbound == NULL)
			traffic->inbound = idset_create(&shard->purse);
		idset_add(traffic->inbound, &shard->purse, packet_id);
		count_unfinished(shard, client, packet_id);
	} else {
		publish_finished(client, packet_id);
	}
	/* "No subscribers" is said in PUBACK alone, as mosquitto does. */
	if (client->version != MQTT_VERSION_5_0 || (qos == 2 && !error))
		reason = MQTT_SUCCESS;
	if (qos == 1)
		CRASH_AFTER_WRITE(puback_sent);
	else
		CRASH_AFTER_WRITE(pubrec_sent);
	send_ack(shard, client, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet_id, reason);
}

static struct slice correlation_of(const struct mqtt_publish *p)
{
	return mqtt_has(&p->properties, MQTT_PROPERTY_CORRELATION_DATA)
		   ? p->properties.correlation_data
		   : SLICE_NONE;
}

/* The properties that go on: as they came where nothing has to be left out. */
static struct slice forwarded(struct shard *shard, const struct mqtt_properties *p, uint8_t **copy)
{
	*copy = NULL;
	if (!mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS) &&
	    !mqtt_has(p, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL))
		return p->raw;
	*copy = purse_payload(&shard->purse, p->raw.len);
	return slice_of(*copy, mqtt_forward_properties(p->raw, *copy));
}

static struct publication publication_of(struct shard *shard, struct session *session,
					 const struct inbound *in, uint8_t **copy)
{
	const struct mqtt_publish *p = &in->packet;
	struct publication publication = {
	    .realm = session->realm,
	    .qos = p->qos,
	    .retain = p->retain,
	    .goes_behind = p->retain,
	    .publisher = delivery_log_publisher(shard, session),
	    .expires_ms = EXPIRES_NEVER,
	    .topic = in->topic,
	    .properties = forwarded(shard, &p->properties, copy),
	    .payload = p->payload,
	};
	if (mqtt_has(&p->properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL))
		publication.expires_ms = shard->now.ms + p->properties.message_expiry_s * 1000ull;
	return publication;
}

/* Nobody may publish where the broker itself speaks. [MQTT3-3.3.5-2] */
static bool is_dollar(struct slice topic)
{
	return topic.at[0] == '$';
}

/* What clears a retained message makes room, also where there is none for itself. */
static bool memory_allows(struct shard *shard, struct publication *publication)
{
	size_t cost = message_cost(publication);
	if (publication->message || purse_allows(&shard->purse, cost))
		return true;
	if (!publication_clears(publication))
		return false;
	publish_retained(shard, publication);
	return purse_allows(&shard->purse, cost);
}

/*
 * It goes nowhere, for want of room.  Of QoS 0 nobody is told, nor sends it again: what was
 * retained before it goes all the same. [MQTT3-3.3.1-7]
 */
static void drop(struct shard *shard, const struct publication *publication)
{
	struct publication clearing = {.realm = publication->realm,
				       .retain = true,
				       .publisher = publication->publisher,
				       .topic = publication->topic};
	if (publication->retain && publication->qos == 0 && !is_dollar(publication->topic))
		publish_retained(shard, &clearing);
}

enum mqtt_reason publish_take_over(struct shard *shard, bool can_tell,
				   struct publication *publication)
{
	if (is_dollar(publication->topic)) {
		COUNT(shard, DROPPED_DOLLAR);
		return MQTT_SUCCESS;
	}
	if (can_tell && publication->retain && retained_refuses(shard, publication)) {
		COUNT(shard, DROPPED_RETAIN_LIMIT);
		return MQTT_QUOTA_EXCEEDED;
	}
	if (!memory_allows(shard, publication)) {
		COUNT(shard, DROPPED_MEMORY);
		drop(shard, publication);
		return MQTT_QUOTA_EXCEEDED;
	}
	bool matched = publish(shard, publication);
	CRASH_AFTER_WRITE(forwarded);
	return matched ? MQTT_SUCCESS : MQTT_NO_MATCHING_SUBSCRIBERS;
}

/* Goes now when nothing holds it and none before it is held; else in its turn. */
static void acknowledge_in_order(struct shard *shard, struct client *client,
				 struct session *session, const struct mqtt_publish *p,
				 struct publication *publication, enum mqtt_reason reason)
{
	bool held = gate_is_held(shard, publication->gate);
	/* Before 5.0 an error closes the connection, so there is no turn to wait for. */
	bool error = mqtt_reason_is_error((uint8_t)reason);
	bool closes = error && client->version != MQTT_VERSION_5_0;
	bool compared = p->qos == 1 && !error;
	if (closes) {
		acknowledge(shard, client, session, p->qos, p->packet_id, reason);
		return;
	}
	if (!held && held_nothing_before(&traffic_of(session)->held, p->qos)) {
		acknowledge(shard, client, session, p->qos, p->packet_id, reason);
	} else {
		count_unfinished(shard, client, p->packet_id);
		held_add(shard, session, p->packet_id, p->qos, held ? publication->gate : 0, reason,
			 compared ? publication_message(shard, publication) : NULL);
	}
}

/* Is a PUBLISH the one whose acknowledgement is held?  MQTT.js sends it again with DUP 0. */
static bool is_same(const struct shard *shard, const struct held_ack *ack, const struct inbound *in)
{
	if (ack->qos != in->packet.qos || mqtt_reason_is_error(ack->reason))
		return false; /* a refused message was not taken: it is tried again */
	return ack->qos == 2 || held_compares(shard, ack, in->topic, in->packet.payload);
}

/* One that we have already: true, and it is answered as far as it can be. */
static bool is_known(struct shard *shard, struct client *client, struct session *session,
		     const struct inbound *in)
{
	const struct mqtt_publish *p = &in->packet;
	struct held_ack *ack = held_find(&traffic_of(session)->held, p->packet_id);
	bool twice = p->qos == 1 && traffic_of(session)->held.overtaken && ack && !ack->in_order;
	if (ack && !twice && is_same(shard, ack, in)) {
		count_unfinished(shard, client, p->packet_id);
		held_again(shard, session, ack);
		return true;
	}
	if (ack)
		held_drop(shard, session, ack);
	if (p->qos != 2 ||
	    (!idset_has(traffic_of(session)->inbound, p->packet_id) && /* [MQTT-4.3.3-10] */
	     !idset_has(traffic_of(session)->releasing, p->packet_id)))
		return false;
	if (held_nothing_before(&traffic_of(session)->held, 2)) {
		acknowledge(shard, client, session, 2, p->packet_id, MQTT_SUCCESS);
	} else { /* [MQTT-4.6.0-3] */
		count_unfinished(shard, client, p->packet_id);
		held_add(shard, session, p->packet_id, 2, 0, MQTT_SUCCESS, NULL);
	}
	return true;
}

/* Of an exchange that was open when the last broker died, this is the same message. */
static void recall(struct session *session, const struct mqtt_publish *p,
		   struct publication *publication)
{
	if (p->qos < 2)
		return;
	publication->envelope = recall_inbound(session, p->packet_id);
	publication->again = publication->envelope != 0;
}

/* Unlike any other, of other shards and other lives too; 0 is none. */
static uint64_t new_envelope(struct shard *shard)
{
	if (shard->envelope == 0)
		shard->envelope = shard_random(shard);
	return shard->envelope++;
}

/* Does it go on later?  Then for a reason of its own, or because one before it does. */
static bool goes_later(struct shard *shard, const struct session *session,
		       struct publication *publication)
{
	if (is_dollar(publication->topic) || publication->again)
		return false;
	if (publication->qos == 2 && steps_recorded(shard, session)) {
		publication->envelope = new_envelope(shard);
		return true;
	}
	return arrivals_before(&traffic_of(session)->arrivals, publication);
}

/* False when there is no memory for it. */
static bool let_wait(struct shard *shard, struct client *client, struct session *session,
		     const struct mqtt_publish *p, struct publication *publication)
{
	if (publication_clears(publication)) /* then what it clears is gone, if need be */
		memory_allows(shard, publication);
	struct message *message = publication_message(shard, publication);
	if (message == NULL)
		return false;
	arrival_add(shard, session, publication, p->packet_id);
	if (p->qos > 0) {
		count_unfinished(shard, client, p->packet_id);
		held_add(shard, session, p->packet_id, p->qos, publication->gate, MQTT_SUCCESS,
			 p->qos == 1 ? message : NULL);
	}
	if (publication->envelope) {
		session->recorded = true;
		step_inbound(shard, session, STEP_INBOUND_OPEN, p->packet_id,
			     publication->envelope);
	}
	return true;
}

static void go_now(struct shard *shard, struct client *client, struct session *session,
		   const struct mqtt_publish *p, struct publication *publication,
		   enum mqtt_reason reason)
{
	bool error = mqtt_reason_is_error((uint8_t)reason);
	/* The error ends the exchange; before 5.0 the connection, and the client tries again. */
	if (error && publication->again && client->version == MQTT_VERSION_5_0) {
		recall_inbound_end(shard, session, p->packet_id);
		step_inbound(shard, session, STEP_INBOUND_END, p->packet_id, publication->envelope);
	}
	if (p->qos > 0)
		acknowledge_in_order(shard, client, session, p, publication, reason);
	gate_release(shard, publication->gate);
}

/* Before 5.0 there is no way to tell: it is acknowledged, and goes nowhere. */
static enum mqtt_reason denied_to(const struct client *client)
{
	return client->version == MQTT_VERSION_5_0 ? MQTT_NOT_AUTHORIZED : MQTT_SUCCESS;
}

/*
 * Beyond message_size_limit, of which CONNACK says nothing: the message is refused, not the
 * connection, or a client with a session would come back with the same message for ever.
 */
static bool is_too_large(const struct shard *shard, const struct mqtt_publish *p)
{
	return p->payload.len > shard->settings->message_size_limit;
}

static bool can_tell(const struct client *client, const struct mqtt_publish *p)
{
	return p->qos > 0 && client->version == MQTT_VERSION_5_0;
}

static void take_over(struct shard *shard, struct client *client, struct session *session,
		      const struct mqtt_publish *p, struct publication *publication)
{
	enum mqtt_reason reason = publish_take_over(shard, can_tell(client, p), publication);
	if (!mqtt_reason_is_error((uint8_t)reason) && !is_dollar(publication->topic))
		charge_publish(shard, session, p->qos);
	go_now(shard, client, session, p, publication, reason);
}

/* A limit does not allow it. */
static void refuse(struct shard *shard, struct client *client, struct session *session,
		   const struct mqtt_publish *p, struct publication *publication)
{
	if (is_too_large(shard, p))
		COUNT(shard, DROPPED_SIZE_LIMIT);
	drop(shard, publication);
	go_now(shard, client, session, p, publication, MQTT_QUOTA_EXCEEDED);
}

static void take(struct shard *shard, struct client *client, struct session *session,
		 const struct inbound *in)
{
	const struct mqtt_publish *p = &in->packet;
	bool too_large = is_too_large(shard, p);
	uint8_t *copy;
	if (p->qos > 0 && is_known(shard, client, session, in))
		return;
	if (p->qos == 1 && session->traffic)
		held_overtake(&session->traffic->held);
	struct publication publication = publication_of(shard, session, in, &copy);
	recall(session, p, &publication);
	/* What has to wait for its turn is not acknowledged before, either. */
	if (p->qos > 0 &&
	    (shard->settings->ack_when_delivered || arrivals_wait(&traffic_of(session)->arrivals)))
		publication.gate = gate_for_session(shard, session, p->packet_id);
	if (own_topic(in->topic))
		go_now(shard, client, session, p, &publication,
		       own_topic_publish(shard, session, &publication, correlation_of(p)));
	else if (!rights_allow(shard, session, AUTH_WRITE, in->topic))
		go_now(shard, client, session, p, &publication, denied_to(client));
	else if (!too_large && !goes_later(shard, session, &publication))
		take_over(shard, client, session, p, &publication);
	else if (!too_large && let_wait(shard, client, session, p, &publication))
		charge_publish(shard, session, p->qos);
	else
		refuse(shard, client, session, p, &publication);
	publication_finish(shard, &publication);
	purse_payload_free(&shard->purse, copy, publication.properties.len);
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
	if (reason == MQTT_SUCCESS && receive_maximum_exceeded(client, &in.packet))
		reason = MQTT_RECEIVE_MAXIMUM_EXCEEDED;
	if (reason != MQTT_SUCCESS) {
		COUNT(shard, MALFORMED);
		client_fail(shard, client, reason, mqtt_reason_text((uint8_t)reason));
		return;
	}
	if (!rate_allows(shard, client, in.packet.payload.len))
		return;
	COUNT(shard, PUBLISH_RECEIVED);
	COUNT_N(shard, PUBLISH_BYTES_RECEIVED, in.packet.payload.len);
	if (in.packet.qos > 0)
		CRASH_AT(publish_came);
	take(shard, client, session, &in);
}
