/* packet.c - see packet.h. */
#include "tests/fuzz/packet.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

static enum mqtt_reason decode(struct any_packet *p, const struct frame *f)
{
	if (!mqtt_flags_valid(f->type, f->flags))
		return MQTT_MALFORMED_PACKET;
	switch (f->type) {
	case MQTT_CONNECT:
		return mqtt_decode_connect(f->body, &p->connect);
	case MQTT_CONNACK:
		return mqtt_decode_connack(f->body, p->version, &p->connack);
	case MQTT_PUBLISH:
		return mqtt_decode_publish(f->flags, f->body, p->version, &p->publish);
	case MQTT_SUBSCRIBE:
		return mqtt_decode_subscribe(f->body, p->version, &p->subscribe);
	case MQTT_UNSUBSCRIBE:
		return mqtt_decode_unsubscribe(f->body, p->version, &p->subscribe);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return mqtt_decode_suback(f->type, f->body, p->version, &p->suback);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return f->body.len == 0 ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
	case MQTT_DISCONNECT:
		return mqtt_decode_disconnect(f->body, p->version, &p->disconnect);
	case MQTT_AUTH:
		return p->version == MQTT_VERSION_5_0 ? mqtt_decode_auth(f->body, &p->auth)
						      : MQTT_PROTOCOL_ERROR;
	default:
		return mqtt_decode_ack(f->type, f->body, p->version, &p->ack);
	}
}

/* Decoded user properties stand in the raw block, among the others; for encoding, by themselves. */
static void gather_user(struct any_packet *packet, struct mqtt_properties *p)
{
	uint8_t *begin = packet->user + packet->user_len;
	struct writer w = writer_of(begin, sizeof(packet->user) - packet->user_len);
	struct slice raw = p->raw, name, value;

	while (mqtt_next_user_property(&raw, &name, &value)) {
		write_u8(&w, MQTT_PROPERTY_USER_PROPERTY);
		write_binary(&w, name);
		write_binary(&w, value);
	}
	claim(!w.full);
	p->user = slice_of(begin, (size_t)(w.at - begin));
	packet->user_len += p->user.len;
}

static void gather_entries(struct any_packet *p)
{
	struct slice left = p->subscribe.entries;

	if (p->type == MQTT_SUBSCRIBE)
		while (mqtt_next_subscription(&left, p->version, &p->subscriptions[p->entries]))
			p->entries++;
	else
		while (mqtt_next_filter(&left, &p->filters[p->entries]))
			p->entries++;
	claim(p->entries == p->subscribe.count && p->entries > 0);
}

static void gather(struct any_packet *p)
{
	switch (p->type) {
	case MQTT_CONNECT:
		p->version = p->connect.version;
		gather_user(p, &p->connect.properties);
		if (p->connect.has_will)
			gather_user(p, &p->connect.will.properties);
		break;
	case MQTT_CONNACK:
		gather_user(p, &p->connack.properties);
		break;
	case MQTT_PUBLISH:
		gather_user(p, &p->publish.properties);
		break;
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
		gather_user(p, &p->subscribe.properties);
		gather_entries(p);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		gather_user(p, &p->suback.properties);
		break;
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		break;
	case MQTT_DISCONNECT:
		gather_user(p, &p->disconnect.properties);
		break;
	case MQTT_AUTH:
		gather_user(p, &p->auth.properties);
		break;
	default:
		gather_user(p, &p->ack.properties);
	}
}

enum mqtt_reason any_decode(struct any_packet *packet, enum mqtt_version v, const struct frame *f)
{
	enum mqtt_reason reason;

	must(f->body.len <= PACKET_BYTES_MAX);
	packet->type = f->type;
	packet->version = v;
	packet->entries = packet->user_len = 0;
	reason = decode(packet, f);
	if (reason == MQTT_SUCCESS)
		gather(packet);
	return reason;
}

size_t any_encode(const struct any_packet *p, uint8_t *out, size_t room)
{
	enum mqtt_version v = p->version;

	switch (p->type) {
	case MQTT_CONNECT:
		return mqtt_encode_connect(out, room, &p->connect);
	case MQTT_CONNACK:
		return mqtt_encode_connack(out, room, v, &p->connack);
	case MQTT_PUBLISH:
		return mqtt_encode_publish(out, room, v, &p->publish);
	case MQTT_SUBSCRIBE:
		return mqtt_encode_subscribe(out, room, v, &p->subscribe, p->subscriptions,
					     p->entries);
	case MQTT_UNSUBSCRIBE:
		return mqtt_encode_unsubscribe(out, room, v, &p->subscribe, p->filters, p->entries);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return mqtt_encode_suback(out, room, v, &p->suback);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return mqtt_encode_empty(out, room, p->type);
	case MQTT_DISCONNECT:
		return mqtt_encode_disconnect(out, room, v, &p->disconnect);
	case MQTT_AUTH:
		return mqtt_encode_auth(out, room, &p->auth);
	default:
		return mqtt_encode_ack(out, room, v, &p->ack);
	}
}
