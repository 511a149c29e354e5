/*
 * subscribe.c - SUBSCRIBE, UNSUBSCRIBE, SUBACK and UNSUBACK, MQTT 5.0 sections
 * 3.8 to 3.11; see packet.h.
 */
#include "proto/frame.h"
#include "proto/packet.h"
#include "proto/property.h"
#include "proto/wire.h"

#define REQUEST_FLAGS 0x02 /* [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT3-3.8.1-1] [MQTT3-3.10.1-1] */

/* The options byte of a subscription, MQTT 5.0 section 3.8.3.1. */
enum {
	OPTION_QOS = 0x03,
	OPTION_NO_LOCAL = 0x04,
	OPTION_RETAIN_AS_PUBLISHED = 0x08,
	OPTION_RETAIN_HANDLING = 0x30,
	OPTION_RETAIN_HANDLING_SHIFT = 4,
};

/* The bits that have to be 0. MQTT 3.1 reserves six but has nobody refuse them. */
static const uint8_t options_reserved[] = {
    [MQTT_VERSION_3_1] = 0x00,
    [MQTT_VERSION_3_1_1] = 0xFC, /* [MQTT3-3.8.3-4] */
    [MQTT_VERSION_5_0] = 0xC0,	 /* [MQTT-3.8.3-5] */
};

static bool is_shared(struct slice filter)
{
	const struct slice prefix = SLICE_LITERAL("$share/");

	return filter.len >= prefix.len && memcmp(filter.at, prefix.at, prefix.len) == 0;
}

static enum mqtt_reason check_options(struct slice filter, uint8_t options, enum mqtt_version v)
{
	if (options & options_reserved[v])
		return MQTT_MALFORMED_PACKET;
	if ((options & OPTION_QOS) > 2)
		return v == MQTT_VERSION_5_0 ? MQTT_PROTOCOL_ERROR : MQTT_MALFORMED_PACKET;
	if (v < MQTT_VERSION_5_0)
		return MQTT_SUCCESS;
	if ((options & OPTION_RETAIN_HANDLING) >> OPTION_RETAIN_HANDLING_SHIFT > 2)
		return MQTT_PROTOCOL_ERROR;
	if (options & OPTION_NO_LOCAL && is_shared(filter)) /* [MQTT-3.8.3-4] */
		return MQTT_PROTOCOL_ERROR;
	return MQTT_SUCCESS;
}

/* Packet identifier, properties, and the rest as entries. */
static enum mqtt_reason decode_request(uint8_t type, struct slice body, enum mqtt_version v,
				       struct mqtt_subscribe *out)
{
	struct reader r = reader_of(body);
	enum mqtt_reason reason;

	out->packet_id = read_u16(&r);
	out->count = 0;
	if (r.bad)
		return MQTT_MALFORMED_PACKET;
	property_none(&out->properties);
	if (v == MQTT_VERSION_5_0) {
		reason = property_decode(&r, type, &out->properties);
		if (reason != MQTT_SUCCESS)
			return reason;
	}
	out->entries = slice_of(r.at, reader_left(&r));
	if (out->packet_id == 0) /* [MQTT-2.2.1-3] */
		return MQTT_PROTOCOL_ERROR;
	if (out->entries.len == 0) /* [MQTT-3.8.3-2] [MQTT-3.10.3-2] */
		return MQTT_PROTOCOL_ERROR;
	return MQTT_SUCCESS;
}

enum mqtt_reason mqtt_decode_subscribe(struct slice body, enum mqtt_version v,
				       struct mqtt_subscribe *out)
{
	enum mqtt_reason reason = decode_request(MQTT_SUBSCRIBE, body, v, out);
	struct reader r;

	if (reason != MQTT_SUCCESS)
		return reason;
	r = reader_of(out->entries);
	for (; reader_left(&r) > 0; out->count++) {
		struct slice filter = read_string(&r); /* [MQTT-3.8.3-1] */
		uint8_t options = read_u8(&r);

		if (r.bad)
			return MQTT_MALFORMED_PACKET;
		reason = check_options(filter, options, v);
		if (reason != MQTT_SUCCESS)
			return reason;
	}
	return MQTT_SUCCESS;
}

enum mqtt_reason mqtt_decode_unsubscribe(struct slice body, enum mqtt_version v,
					 struct mqtt_subscribe *out)
{
	enum mqtt_reason reason = decode_request(MQTT_UNSUBSCRIBE, body, v, out);
	struct reader r;

	if (reason != MQTT_SUCCESS)
		return reason;
	r = reader_of(out->entries);
	for (; reader_left(&r) > 0; out->count++) {
		read_string(&r); /* [MQTT-3.10.3-1] */
		if (r.bad)
			return MQTT_MALFORMED_PACKET;
	}
	return MQTT_SUCCESS;
}

bool mqtt_next_subscription(struct slice *entries, enum mqtt_version v,
			    struct mqtt_subscription *out)
{
	struct reader r = reader_of(*entries);
	uint8_t options;

	if (entries->len == 0)
		return false;
	out->filter = read_binary(&r);
	options = read_u8(&r);
	must(!r.bad);
	if (v < MQTT_VERSION_5_0)
		options &= OPTION_QOS;
	out->qos = options & OPTION_QOS;
	out->no_local = (options & OPTION_NO_LOCAL) != 0;
	out->retain_as_published = (options & OPTION_RETAIN_AS_PUBLISHED) != 0;
	out->retain_handling =
	    (uint8_t)((options & OPTION_RETAIN_HANDLING) >> OPTION_RETAIN_HANDLING_SHIFT);
	*entries = slice_of(r.at, reader_left(&r));
	return true;
}

bool mqtt_next_filter(struct slice *entries, struct slice *filter)
{
	struct reader r = reader_of(*entries);

	if (entries->len == 0)
		return false;
	*filter = read_binary(&r);
	must(!r.bad);
	*entries = slice_of(r.at, reader_left(&r));
	return true;
}

/* Is this a code that a SUBACK may hold? [MQTT-3.9.3-2] [MQTT3-3.9.3-2]; an UNSUBACK:
 * [MQTT-3.11.3-2]
 */
static bool code_allowed(uint8_t code, uint8_t type, enum mqtt_version v)
{
	if (v < MQTT_VERSION_5_0)
		return code <= 2 || code == MQTT_UNSPECIFIED_ERROR;
	return mqtt_reason_allowed(code, type);
}

enum mqtt_reason mqtt_decode_suback(uint8_t type, struct slice body, enum mqtt_version v,
				    struct mqtt_suback *out)
{
	struct reader r = reader_of(body);
	bool without_codes = type == MQTT_UNSUBACK && v < MQTT_VERSION_5_0;
	enum mqtt_reason reason;

	out->type = type;
	out->packet_id = read_u16(&r);
	if (r.bad)
		return MQTT_MALFORMED_PACKET;
	property_none(&out->properties);
	if (v == MQTT_VERSION_5_0) {
		reason = property_decode(&r, type, &out->properties);
		if (reason != MQTT_SUCCESS)
			return reason;
	}
	out->reasons = slice_of(r.at, reader_left(&r));
	if ((out->reasons.len == 0) != without_codes)
		return MQTT_MALFORMED_PACKET;
	if (out->packet_id == 0) /* no request it could answer [MQTT-2.2.1-6] */
		return MQTT_PROTOCOL_ERROR;
	for (size_t i = 0; i < out->reasons.len; i++)
		if (!code_allowed(out->reasons.at[i], type, v))
			return MQTT_PROTOCOL_ERROR;
	return MQTT_SUCCESS;
}

/* The part that both requests have in common, up to their entries of entries_len bytes. */
static bool encode_request(struct writer *w, uint8_t *out, size_t room, uint8_t type,
			   enum mqtt_version v, const struct mqtt_subscribe *p, size_t entries_len)
{
	size_t properties = property_size(v, &p->properties);
	size_t body = 2 + property_block_size(v, properties) + entries_len;

	if (!frame_begin(w, out, room, (uint8_t)(type << 4 | REQUEST_FLAGS), body))
		return false;
	write_u16(w, p->packet_id);
	property_encode(w, v, &p->properties, properties);
	return true;
}

static uint8_t encode_options(const struct mqtt_subscription *s, enum mqtt_version v)
{
	must(s->qos <= 2 && s->retain_handling <= 2);
	if (v < MQTT_VERSION_5_0)
		return s->qos;
	return (uint8_t)(s->qos | (s->no_local ? OPTION_NO_LOCAL : 0) |
			 (s->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0) |
			 s->retain_handling << OPTION_RETAIN_HANDLING_SHIFT);
}

size_t mqtt_encode_subscribe(uint8_t *out, size_t room, enum mqtt_version v,
			     const struct mqtt_subscribe *p,
			     const struct mqtt_subscription *entries, size_t count)
{
	size_t entries_len = 0;
	struct writer w;

	for (size_t i = 0; i < count; i++)
		entries_len += 2 + entries[i].filter.len + 1;
	if (!encode_request(&w, out, room, MQTT_SUBSCRIBE, v, p, entries_len))
		return 0;
	for (size_t i = 0; i < count; i++) {
		write_binary(&w, entries[i].filter);
		write_u8(&w, encode_options(&entries[i], v));
	}
	return frame_end(&w, out);
}

size_t mqtt_encode_unsubscribe(uint8_t *out, size_t room, enum mqtt_version v,
			       const struct mqtt_subscribe *p, const struct slice *filters,
			       size_t count)
{
	size_t entries_len = 0;
	struct writer w;

	for (size_t i = 0; i < count; i++)
		entries_len += 2 + filters[i].len;
	if (!encode_request(&w, out, room, MQTT_UNSUBSCRIBE, v, p, entries_len))
		return 0;
	for (size_t i = 0; i < count; i++)
		write_binary(&w, filters[i]);
	return frame_end(&w, out);
}

size_t mqtt_encode_suback(uint8_t *out, size_t room, enum mqtt_version v,
			  const struct mqtt_suback *p)
{
	bool without_codes = p->type == MQTT_UNSUBACK && v < MQTT_VERSION_5_0;
	struct slice reasons = without_codes ? SLICE_NONE : p->reasons;
	size_t properties = property_size(v, &p->properties);
	size_t body = 2 + property_block_size(v, properties) + reasons.len;
	struct writer w;

	must(p->type == MQTT_SUBACK || p->type == MQTT_UNSUBACK);
	if (!frame_begin(&w, out, room, (uint8_t)(p->type << 4), body))
		return 0;
	write_u16(&w, p->packet_id);
	property_encode(&w, v, &p->properties, properties);
	write_bytes(&w, reasons);
	return frame_end(&w, out);
}
