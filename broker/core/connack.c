/* connack.c - CONNACK, MQTT 5.0 section 3.2: that a client is in, or why it is not. */
#include "broker/core/core.h"
#include "proto/wire.h"
#include <stdio.h>

/* ---- refusing ---- */

/* A refusal has a reference, or a sentence of ours. */
#define REFUSAL_ROOM (1024u + SERVER_REFERENCE_MAX)

static size_t encode_connack(const struct client *client, uint8_t *out, size_t room,
			     struct mqtt_connack *connack)
{
	size_t n = mqtt_encode_connack(out, room, client->version, connack);
	if (n != 0 && client_fits(client, n))
		return n;
	/* [MQTT-3.2.2-19] [MQTT-3.2.2-20]: what is said for people stays away first; and where else
	 * to go, rather than that it has to go. */
	connack->properties.present &= ~((uint64_t)1 << MQTT_PROPERTY_REASON_STRING |
					 (uint64_t)1 << MQTT_PROPERTY_SERVER_REFERENCE);
	connack->properties.user = SLICE_NONE;
	n = mqtt_encode_connack(out, room, client->version, connack);
	return client_fits(client, n) ? n : 0;
}

/* [MQTT-3.2.2-7] [MQTT-4.12.0-4] [MQTT-3.1.3-8] [MQTT3-3.1.3-9] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5]
 * [MQTT3-3.2.2-6]; before 5.0 only some reasons have a return code, the others just close. */
void connect_refuse(struct shard *shard, struct client *client, enum mqtt_reason reason,
		    const char *text)
{
	uint8_t packet[REFUSAL_ROOM];
	struct mqtt_connack connack = {.reason = (uint8_t)reason};
	COUNT(shard, CONNECTS_REFUSED);
	happened_refused(&shard->happened, client->listener->number, (uint8_t)reason);
	if (client->version != 0 && client->version != MQTT_VERSION_5_0) {
		connack.reason = mqtt_connack_return_code(reason);
	} else if (text && client->problem_information) {
		mqtt_set(&connack.properties, MQTT_PROPERTY_REASON_STRING);
		connack.properties.reason_string = slice_text(text);
	}
	if (reason == MQTT_SERVER_MOVED && client->version == MQTT_VERSION_5_0) {
		mqtt_set(&connack.properties, MQTT_PROPERTY_SERVER_REFERENCE);
		connack.properties.server_reference = client->listener->server_reference;
	}
	if (client->version != 0 && connack.reason != 0) {
		size_t n = encode_connack(client, packet, sizeof packet, &connack);
		if (n != 0)
			client_send(shard, client, packet, n);
	}
	client_close(shard, client, false);
}

/* ---- accepting ---- */

static void connack_properties(const struct shard *shard, struct client *client,
			       struct mqtt_properties *p)
{
	const struct listener_settings *listener = client->listener;
	const struct connecting *connecting = client->connecting;
	if (connecting->expiry_s != connecting->asked_expiry_s) {
		mqtt_set(p, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
		p->session_expiry_s = connecting->expiry_s;
	}
	mqtt_set(p, MQTT_PROPERTY_RECEIVE_MAXIMUM);
	p->receive_maximum = client->receive_granted = shard->settings->receive_maximum;
	if (listener->max_qos < 2) { /* [MQTT-3.2.2-9] */
		mqtt_set(p, MQTT_PROPERTY_MAXIMUM_QOS);
		p->maximum_qos = listener->max_qos;
	}
	if (!shard->settings->retain_available) {
		mqtt_set(p, MQTT_PROPERTY_RETAIN_AVAILABLE);
		p->retain_available = 0;
	}
	/* 3.2.2.3.6: without it there is no limit but the protocol's own */
	if (shard->settings->max_packet_size < PACKET_SIZE_MAX) {
		mqtt_set(p, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
		p->maximum_packet_size = shard->settings->max_packet_size;
	}
	if (connecting->assigned_id) { /* [MQTT-3.1.3-7] */
		mqtt_set(p, MQTT_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER);
		p->assigned_client_identifier =
		    slice_of(connecting->client_id, connecting->client_id_len);
	}
	if (listener->max_topic_alias > 0) {
		mqtt_set(p, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
		p->topic_alias_maximum = listener->max_topic_alias;
	}
	if (connecting->keep_alive_changed) {
		mqtt_set(p, MQTT_PROPERTY_SERVER_KEEP_ALIVE);
		p->server_keep_alive_s = client->keep_alive_s;
	}
	if (connecting->wants_response_information && /* [MQTT-3.1.2-28] */
	    shard->settings->response_information.len > 0) {
		mqtt_set(p, MQTT_PROPERTY_RESPONSE_INFORMATION);
		p->response_information = shard->settings->response_information;
	}
	authentication_connack(client, p);
}

static void write_user(struct writer *w, const char *name, struct slice value)
{
	write_u8(w, MQTT_PROPERTY_USER_PROPERTY);
	write_binary(w, slice_text(name));
	write_binary(w, value);
}

#define USER_ROOM (40u + sizeof TOKEN_PROPERTY + 5u + AUTH_TOKEN_SIZE)

/*
 * The user properties, encoded into `room`: `metrino-lost`, what the end of the last broker took
 * from this session's queue (docs/delivery.md), and `metrino-token`, if it was asked for.
 */
static struct slice encode_user(const struct session *session, const struct token_offer *token,
				uint8_t room[USER_ROOM])
{
	char number[16];
	struct writer w = writer_of(room, USER_ROOM);
	snprintf(number, sizeof number, "%u", traffic_of(session)->lost);
	if (traffic_of(session)->lost > 0)
		write_user(&w, "metrino-lost", slice_text(number));
	if (token->asked && token->text)
		write_user(&w, TOKEN_PROPERTY, slice_of(token->text, AUTH_TOKEN_SIZE));
	must(!w.full);
	return slice_of(room, (size_t)(w.at - room));
}

/* Once; before 5.0 there is no way to. */
static void lost_told(struct shard *shard, struct session *session)
{
	if (traffic_of(session)->lost == 0)
		return;
	traffic_for(shard, session)->lost = 0;
	step_queue_changed(shard, session);
}

/* CONNECT is over; what it said of how it authenticates holds for the connection. */
static void answered(struct shard *shard, struct client *client)
{
	struct authentication *authentication = client->connecting->authentication;
	client->connecting->authentication = NULL;
	connecting_free(shard, client);
	authentication_done(shard, authentication);
	client->authentication = authentication;
	client->answered = true;
}

/* CONNACK goes, then whatever waited. [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT3-3.1.4-4]
 * [MQTT3-3.2.0-1] */
void connect_finish(struct shard *shard, struct client *client)
{
	struct session *session = session_at(shard, client->session);
	struct connecting *connecting = client->connecting;
	struct mqtt_connack connack = {.session_present = connecting->session_present};
	if (client->version == MQTT_VERSION_3_1)
		connack.session_present = false; /* a reserved byte in 3.1 */
	if (client->version == MQTT_VERSION_5_0)
		connack_properties(shard, client, &connack.properties);
	uint8_t user[USER_ROOM];
	if (client->version == MQTT_VERSION_5_0)
		connack.properties.user = encode_user(session, &connecting->token, user);
	size_t room = 256 + USER_ROOM + connecting->client_id_len +
		      shard->settings->response_information.len +
		      connack.properties.authentication_method.len +
		      connack.properties.authentication_data.len;
	uint8_t *packet = purse_payload(&shard->purse, room); /* it may hold a token */
	size_t n = encode_connack(client, packet, room, &connack);
	explicit_bzero(user, sizeof user);
	if (n == 0) { /* [MQTT-3.1.2-24]: not even a CONNACK fits what the client takes */
		purse_payload_free(&shard->purse, packet, room);
		COUNT(shard, CONNECTS_REFUSED);
		client_close(shard, client, false);
		return;
	}
	client_send(shard, client, packet, n);
	if (client->version != MQTT_VERSION_5_0 || connack.properties.user.len > 0)
		lost_told(shard, session);
	purse_payload_free(&shard->purse, packet, room);
	client->state = CLIENT_UP;
	token_offered(shard, session, &connecting->token);
	answered(shard, client);
	client->connected_s = (uint32_t)shard->now.wall_s;
	client->last_packet_ms = shard->now.ms;
	COUNT(shard, CONNECTS);
	client_tell(shard, client, true);
	COUNT(shard, CLIENTS_CONNECTED);
	timer_cancel(&shard->timers, &client->timer);
	if (client->keep_alive_s != 0)
		timer_arm(&shard->timers, &client->timer,
			  shard->now.ms + client->keep_alive_s * 1500ull);
	shared_state(shard, session, true);
	session_pump(shard, session);
}
