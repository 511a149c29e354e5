/* property.c - see property.h. */
#include "proto/property.h"
#include "proto/topic.h"

/* Groups of packets, in which the properties of property.def may stand. */
#define IN(packet) (1u << MQTT_##packet)
#define NEVER	   0u
#define MESSAGE	   (IN(PUBLISH) | IN(WILL))
#define OPENING	   (IN(CONNECT) | IN(CONNACK))
#define ACK	   (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP))
#define ANSWER	   (IN(CONNACK) | ACK | IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT) | IN(AUTH))
#define ANYWHERE   (ANSWER | MESSAGE | IN(CONNECT) | IN(SUBSCRIBE) | IN(UNSUBSCRIBE))

struct property_row {
	uint16_t packets; /* bit number = packet type; 0: no such property */
	uint16_t repeats;
	uint16_t offset; /* of the field in struct mqtt_properties */
	uint8_t type;	 /* enum property_type */
};

static const struct property_row rows[] = {
#define PROPERTY(id, name, field, type, packets, repeats)                                          \
	[id] = {packets, repeats, offsetof(struct mqtt_properties, field), TYPE_##type},
#include "proto/property.def"
#undef PROPERTY
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

_Static_assert(ROWS <= 64, "struct mqtt_properties.present has one bit for each identifier");

/* ---- decoding ---- */

/* A value that is cut short turns the reader bad, whatever is returned. */
static enum mqtt_reason decode_value(struct reader *r, enum property_type type, void *field)
{
	bool allowed = true;

	switch (type) {
	case TYPE_FLAG:
		allowed = (*(uint8_t *)field = read_u8(r)) <= 1;
		break;
	case TYPE_U16:
		*(uint16_t *)field = read_u16(r);
		break;
	case TYPE_LIMIT16:
		allowed = (*(uint16_t *)field = read_u16(r)) > 0;
		break;
	case TYPE_ALIAS: /* [MQTT-3.3.2-8] */
		return (*(uint16_t *)field = read_u16(r)) > 0 ? MQTT_SUCCESS
							      : MQTT_TOPIC_ALIAS_INVALID;
	case TYPE_U32:
		*(uint32_t *)field = read_u32(r);
		break;
	case TYPE_LIMIT32:
		allowed = (*(uint32_t *)field = read_u32(r)) > 0;
		break;
	case TYPE_COUNT:
		allowed = (*(uint32_t *)field = read_varint(r)) > 0;
		break;
	/* [MQTT-3.3.2-19] */
	case TYPE_STRING:
		*(struct slice *)field = read_string(r);
		break;
	case TYPE_TOPIC: /* [MQTT-3.3.2-13] [MQTT-3.3.2-14] */
		*(struct slice *)field = read_string(r);
		allowed = topic_name_valid(*(struct slice *)field);
		break;
	case TYPE_BINARY:
		*(struct slice *)field = read_binary(r);
		break;
	case TYPE_PAIR: /* [MQTT-1.5.7-1] */
		*(struct slice *)field = read_string(r);
		read_string(r);
		break;
	}
	return allowed ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR;
}

static enum mqtt_reason decode_property(struct reader *r, uint8_t packet,
					struct mqtt_properties *out)
{
	uint32_t id = read_varint(r);
	const struct property_row *row = id < ROWS ? &rows[id] : NULL;
	enum mqtt_reason reason;

	/* "An Identifier which is not valid for its packet type ... is a Malformed Packet"
	 * (2.2.2.2) */
	if (r->bad || !row || !(row->packets >> packet & 1))
		return MQTT_MALFORMED_PACKET;
	if (mqtt_has(out, id) && !(row->repeats >> packet & 1))
		return MQTT_PROTOCOL_ERROR;
	reason = decode_value(r, row->type, (uint8_t *)out + row->offset);
	mqtt_set(out, id);
	return r->bad ? MQTT_MALFORMED_PACKET : reason;
}

enum mqtt_reason property_decode(struct reader *r, uint8_t packet, struct mqtt_properties *out)
{
	struct reader block;

	property_none(out);
	out->raw = read_bytes(r, read_varint(r));
	if (r->bad)
		return MQTT_MALFORMED_PACKET;
	block = reader_of(out->raw);
	while (reader_left(&block) > 0) {
		enum mqtt_reason reason = decode_property(&block, packet, out);

		if (reason != MQTT_SUCCESS)
			return reason;
	}
	/* Sections 3.1.2.11.10 and 3.15.2.2.3: data makes no sense without its method. */
	if (mqtt_has(out, MQTT_PROPERTY_AUTHENTICATION_DATA) &&
	    !mqtt_has(out, MQTT_PROPERTY_AUTHENTICATION_METHOD))
		return MQTT_PROTOCOL_ERROR;
	return MQTT_SUCCESS;
}

/* ---- walking a block that was decoded before ---- */

static void skip_value(struct reader *r, enum property_type type)
{
	static const uint8_t widths[] = {
	    [TYPE_FLAG] = 1,  [TYPE_U16] = 2, [TYPE_LIMIT16] = 2,
	    [TYPE_ALIAS] = 2, [TYPE_U32] = 4, [TYPE_LIMIT32] = 4,
	};

	if (type < sizeof(widths)) {
		read_bytes(r, widths[type]);
		return;
	}
	if (type == TYPE_COUNT) {
		read_varint(r);
		return;
	}
	read_binary(r);
	if (type == TYPE_PAIR)
		read_binary(r);
}

/* Takes the next property with one of the identifiers in the bit set `wanted`, all its bytes. */
static bool next_property(struct slice *raw, uint64_t wanted, struct slice *property)
{
	while (raw->len > 0) {
		struct reader r = reader_of(*raw);
		uint8_t id = read_u8(&r);

		must(id < ROWS && rows[id].packets != 0);
		skip_value(&r, rows[id].type);
		must(!r.bad);
		*property = slice_of(raw->at, raw->len - reader_left(&r));
		*raw = slice_after(*raw, property->len);
		if (wanted >> id & 1)
			return true;
	}
	return false;
}

static uint64_t bit(enum mqtt_property id)
{
	return (uint64_t)1 << id;
}

bool mqtt_next_user_property(struct slice *raw, struct slice *name, struct slice *value)
{
	struct slice property;
	struct reader r;

	if (!next_property(raw, bit(MQTT_PROPERTY_USER_PROPERTY), &property))
		return false;
	r = reader_of(slice_after(property, 1));
	*name = read_binary(&r);
	*value = read_binary(&r);
	return true;
}

bool mqtt_next_subscription_identifier(struct slice *raw, uint32_t *identifier)
{
	struct slice property;
	struct reader r;

	if (!next_property(raw, bit(MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER), &property))
		return false;
	r = reader_of(slice_after(property, 1));
	*identifier = read_varint(&r);
	return true;
}

size_t mqtt_forward_properties(struct slice raw, uint8_t *out)
{
	const uint64_t forwarded =
	    bit(MQTT_PROPERTY_PAYLOAD_FORMAT_INDICATOR) | bit(MQTT_PROPERTY_CONTENT_TYPE) |
	    bit(MQTT_PROPERTY_RESPONSE_TOPIC) | bit(MQTT_PROPERTY_CORRELATION_DATA) |
	    bit(MQTT_PROPERTY_USER_PROPERTY);
	struct slice property;
	size_t written = 0;

	while (next_property(&raw, forwarded, &property)) {
		memcpy(out + written, property.at, property.len);
		written += property.len;
	}
	return written;
}

/* ---- encoding ---- */

/* The properties to write one by one: user properties come encoded, in `user`. */
static uint64_t single_properties(const struct mqtt_properties *p)
{
	return p->present & ~bit(MQTT_PROPERTY_USER_PROPERTY);
}

/*
 * Takes the next identifier out of a set that is not empty.  Their order means nothing (2.2.2.2):
 * this is the one of mosquitto's CONNACK, for whoever compares bytes.
 */
static uint8_t take_next(uint64_t *set)
{
	uint64_t first =
	    *set & (bit(MQTT_PROPERTY_SERVER_KEEP_ALIVE) | bit(MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM));
	uint64_t before_last =
	    *set & ~(bit(MQTT_PROPERTY_RECEIVE_MAXIMUM) | bit(MQTT_PROPERTY_MAXIMUM_QOS));
	uint8_t id = (uint8_t)__builtin_ctzll(first ? first : before_last ? before_last : *set);

	*set &= ~bit(id);
	must(id < ROWS && rows[id].packets != 0);
	return id;
}

static size_t value_size(enum property_type type, const void *field)
{
	switch (type) {
	case TYPE_FLAG:
		return 1;
	case TYPE_U16:
	case TYPE_LIMIT16:
	case TYPE_ALIAS:
		return 2;
	case TYPE_U32:
	case TYPE_LIMIT32:
		return 4;
	case TYPE_COUNT:
		return varint_size(*(const uint32_t *)field);
	default:
		return 2 + ((const struct slice *)field)->len;
	}
}

static void encode_value(struct writer *w, enum property_type type, const void *field)
{
	switch (type) {
	case TYPE_FLAG:
		write_u8(w, *(const uint8_t *)field);
		break;
	case TYPE_U16:
	case TYPE_LIMIT16:
	case TYPE_ALIAS:
		write_u16(w, *(const uint16_t *)field);
		break;
	case TYPE_U32:
	case TYPE_LIMIT32:
		write_u32(w, *(const uint32_t *)field);
		break;
	case TYPE_COUNT:
		write_varint(w, *(const uint32_t *)field);
		break;
	default:
		write_binary(w, *(const struct slice *)field);
		break;
	}
}

size_t property_size(enum mqtt_version v, const struct mqtt_properties *p)
{
	uint64_t left;
	size_t size;

	if (v < MQTT_VERSION_5_0)
		return 0;
	left = single_properties(p);
	size = p->user.len;
	while (left != 0) {
		uint8_t id = take_next(&left);

		size += 1 + value_size(rows[id].type, (const uint8_t *)p + rows[id].offset);
	}
	return size;
}

void property_encode(struct writer *w, enum mqtt_version v, const struct mqtt_properties *p,
		     size_t size)
{
	uint64_t left;

	if (v < MQTT_VERSION_5_0)
		return;
	left = single_properties(p);
	/* none: a length of 0 [MQTT-2.2.2-1] */
	write_varint(w, (uint32_t)size);
	while (left != 0) {
		uint8_t id = take_next(&left);

		write_u8(w, id);
		encode_value(w, rows[id].type, (const uint8_t *)p + rows[id].offset);
	}
	write_bytes(w, p->user);
}
