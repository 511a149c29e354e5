/* client.c - see client.h. */
#include "tests/fuzz/client.h"
#include "tests/fuzz/fuzz.h"

static struct any_packet packet; /* the one at hand */

void stream_append(struct stream *stream, struct slice bytes)
{
	if (stream->len + bytes.len > stream->room) {
		stream->room = 2 * (stream->len + bytes.len);
		stream->at = realloc(stream->at, stream->room);
		must(stream->at != NULL);
	}
	if (bytes.len > 0)
		memcpy(stream->at + stream->len, bytes.at, bytes.len);
	stream->len += bytes.len;
}

void stream_drop(struct stream *stream, size_t n)
{
	stream->len -= n;
	if (n > 0 && stream->len > 0)
		memmove(stream->at, stream->at + n, stream->len);
}

void client_init(struct client *client)
{
	memset(client, 0, sizeof(*client));
	client->receive_maximum = UINT16_MAX;
	client->packet_maximum = UINT32_MAX;
}

void client_finish(struct client *client)
{
	free(client->said.at);
	free(client->told.at);
}

/* ---- what it says ---- */

static void says_connect(struct client *c, enum mqtt_reason reason)
{
	const struct mqtt_properties *p = &packet.connect.properties;

	/* A refusal is in the form that its sender understands. */
	c->connecting = true;
	c->version = (uint8_t)packet.connect.version;
	if (reason != MQTT_SUCCESS)
		return;
	if (mqtt_has(p, MQTT_PROPERTY_RECEIVE_MAXIMUM))
		c->receive_maximum = p->receive_maximum;
	c->method = mqtt_has(p, MQTT_PROPERTY_AUTHENTICATION_METHOD);
	if (mqtt_has(p, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE))
		c->packet_maximum = p->maximum_packet_size;
	if (mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM))
		c->alias_maximum = p->topic_alias_maximum;
}

static void finish_exchange(struct client *c, uint16_t id)
{
	c->unfinished[id] = 0;
	c->unfinished_count--;
}

static void says_ack(struct client *c)
{
	uint16_t id = packet.ack.packet_id;
	uint8_t qos = c->unfinished[id];
	bool refused = packet.ack.reason >= 0x80;

	switch (packet.type) {
	case MQTT_PUBACK:
		if (qos == 1)
			finish_exchange(c, id);
		break;
	case MQTT_PUBREC:
		if (qos == 2 && refused)
			finish_exchange(c, id);
		break;
	case MQTT_PUBCOMP:
		if (qos == 2)
			finish_exchange(c, id);
		break;
	default:
		if (id < CLIENT_IDS)
			c->released[id]++;
	}
}

static uint8_t *asked(struct client *c, uint8_t type)
{
	bool subscribe = type == MQTT_SUBSCRIBE || type == MQTT_SUBACK;

	return subscribe ? c->subscribes : c->unsubscribes;
}

static void says(struct client *c)
{
	uint16_t id;

	switch (packet.type) {
	case MQTT_PUBLISH:
		id = packet.publish.packet_id;
		if (packet.publish.qos > 0 && id < CLIENT_IDS)
			c->published[id]++;
		break;
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
		id = packet.subscribe.packet_id;
		if (id < CLIENT_IDS) {
			bool first = c->subscribes[id] + c->unsubscribes[id] == 0;

			c->entries[id] = first ? (uint16_t)packet.entries : 0;
			asked(c, packet.type)[id]++;
		}
		break;
	case MQTT_PINGREQ:
		c->pings++;
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		says_ack(c);
		break;
	default:
		break;
	}
}

/* MQTT 3.1 leaves them open. */
static bool flags_say_nothing(const struct client *c, const struct frame *f)
{
	return f->type == MQTT_CONNECT ? mqtt_connect_is_3_1(f->body)
				       : c->version == MQTT_VERSION_3_1 && f->type != MQTT_PUBLISH;
}

void client_says(struct client *c, struct slice bytes)
{
	struct frame f;

	stream_append(&c->said, bytes);
	while (!c->said_nonsense &&
	       frame_cut(slice_of(c->said.at, c->said.len), &f) == FRAME_WHOLE) {
		enum mqtt_reason reason = MQTT_MALFORMED_PACKET;

		if (flags_say_nothing(c, &f))
			f.flags = mqtt_flags_valid(f.type, 0) ? 0 : 2;
		if (f.body.len <= PACKET_BYTES_MAX) {
			packet.connect.version = 0;
			reason = any_decode(&packet, (enum mqtt_version)c->version, &f);
		}
		if (!c->connecting && f.type == MQTT_CONNECT)
			says_connect(c, reason);
		else if (!c->connecting || f.type == MQTT_CONNECT || reason != MQTT_SUCCESS)
			c->said_nonsense = true;
		else
			says(c);
		stream_drop(&c->said, f.size);
	}
}

/* ---- what it is told ---- */

static void told_connack(struct client *c)
{
	claim(c->connecting && !c->connected);
	c->connected = packet.connack.reason == 0;
	c->ended = !c->connected;
}

static void told_alias(struct client *c)
{
	const struct mqtt_publish *p = &packet.publish;
	uint16_t alias = p->properties.topic_alias;

	if (!mqtt_has(&p->properties, MQTT_PROPERTY_TOPIC_ALIAS)) {
		claim(p->topic.len > 0);
		return;
	}
	claim(alias <= c->alias_maximum);
	if (alias > CLIENT_ALIASES)
		return;
	claim(p->topic.len > 0 || c->aliases[alias]);
	c->aliases[alias] = true;
}

static void told_publish(struct client *c)
{
	const struct mqtt_publish *p = &packet.publish;

	told_alias(c);
	c->last_qos = p->qos;
	if (p->qos == 0)
		return;
	claim(c->unfinished[p->packet_id] == 0);
	c->unfinished[p->packet_id] = p->qos;
	c->unfinished_count++;
	claim(c->unfinished_count <= c->receive_maximum);
	c->last_id = p->packet_id;
	c->last_type = MQTT_PUBLISH;
}

/* That of an exchange which an earlier connection began is in no book. */
static void told_pubrel(struct client *c)
{
	uint16_t id = packet.ack.packet_id;

	claim(c->unfinished[id] != 1 || packet.ack.reason != 0);
	c->last_id = id;
	c->last_type = MQTT_PUBREL;
}

static void told_ack(struct client *c)
{
	uint16_t id = packet.ack.packet_id;

	if (packet.type == MQTT_PUBREL) {
		told_pubrel(c);
		return;
	}
	if (id >= CLIENT_IDS)
		return;
	if (packet.type == MQTT_PUBCOMP) {
		claim(c->released[id] > 0);
		c->released[id]--;
	} else {
		claim(c->published[id] > 0);
		c->published[id]--;
	}
}

static void told_suback(struct client *c)
{
	uint16_t id = packet.suback.packet_id;

	if (id >= CLIENT_IDS)
		return;
	claim(asked(c, packet.type)[id] > 0);
	if (packet.suback.reasons.len > 0 && c->entries[id] > 0)
		claim(packet.suback.reasons.len == c->entries[id]);
	asked(c, packet.type)[id]--;
}

static void told(struct client *c)
{
	claim(!c->ended);
	claim(c->connected || packet.type == MQTT_CONNACK || packet.type == MQTT_AUTH);
	switch (packet.type) {
	case MQTT_CONNACK:
		told_connack(c);
		break;
	case MQTT_PUBLISH:
		told_publish(c);
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		told_ack(c);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		told_suback(c);
		break;
	case MQTT_AUTH: /* [MQTT-4.12.0-6] */
		claim(c->method &&
		      mqtt_has(&packet.auth.properties, MQTT_PROPERTY_AUTHENTICATION_METHOD));
		claim(packet.auth.reason == MQTT_CONTINUE_AUTHENTICATION || c->connected);
		break;
	case MQTT_PINGRESP:
		claim(c->pings > 0);
		c->pings--;
		break;
	default: /* before 5.0 a server has no DISCONNECT [MQTT-3.14.0-1] */
		claim(packet.type == MQTT_DISCONNECT && c->version == MQTT_VERSION_5_0);
		c->ended = true;
	}
}

void client_is_told(struct client *c, struct slice bytes)
{
	struct frame f;

	stream_append(&c->told, bytes);
	for (;;) {
		enum frame_status status = frame_cut(slice_of(c->told.at, c->told.len), &f);
		enum mqtt_version v =
		    c->version ? (enum mqtt_version)c->version : MQTT_VERSION_3_1_1;

		claim(status != FRAME_BAD);
		if (status == FRAME_PARTIAL)
			return;
		claim(f.size <= c->packet_maximum); /* [MQTT-3.1.2-24] */

		claim(f.body.len <= PACKET_BYTES_MAX);
		claim(any_decode(&packet, v, &f) == MQTT_SUCCESS);
		told(c);
		stream_drop(&c->told, f.size);
	}
}
