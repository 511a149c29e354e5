/*
 * connect.c - CONNECT and CONNACK: MQTT 5.0 sections 3.1 and 3.2, the same of
 * 3.1.1, and MQTT V3.1; see packet.h.
 */
#include "proto/frame.h"
#include "proto/packet.h"
#include "proto/property.h"
#include "proto/topic.h"
#include "proto/utf8.h"
#include "proto/wire.h"

/* The connect flags, MQTT 5.0 section 3.1.2.3. */
enum {
	FLAG_RESERVED = 0x01,
	FLAG_CLEAN_START = 0x02,
	FLAG_WILL = 0x04,
	FLAG_WILL_QOS = 0x18,
	FLAG_WILL_QOS_SHIFT = 3,
	FLAG_WILL_RETAIN = 0x20,
	FLAG_PASSWORD = 0x40,
	FLAG_USER_NAME = 0x80,
};

#define LEVEL_BRIDGE	    0x80 /* no specification has it; bridges to 3.1 and 3.1.1 brokers set it */
#define ACKNOWLEDGE_PRESENT 0x01 /* session present, MQTT 5.0 section 3.2.2.1 */
#define RETURN_CODE_MAX	    5	 /* MQTT 3.1.1, table 3.1 */

/* A protocol level is the number of enum mqtt_version. */
struct protocol {
	enum mqtt_version version;
	const char *name;
	bool bridge; /* may bit 7 of the level be set? */
};

static const struct protocol protocols[] = {
    {MQTT_VERSION_3_1, "MQIsdp", true},
    {MQTT_VERSION_3_1_1, "MQTT", true},
    {MQTT_VERSION_5_0, "MQTT", false},
};

#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

bool mqtt_connect_is_3_1(struct slice body)
{
	const struct slice head = SLICE_LITERAL("\0\6MQIsdp\3");

	return body.len >= head.len && memcmp(body.at, head.at, head.len) == 0;
}

/*
 * In which version is a refusal said to a client of none that we speak?  Versions to
 * come descend from 5.0, the earlier ones had the return codes of 3.1.1; a protocol of
 * another name is none of ours, and gets no answer unless it says that it is 5.0.
 */
static enum mqtt_version refusal_form(struct slice name, uint8_t level)
{
	bool ours =
	    slice_equal(name, slice_text("MQTT")) || slice_equal(name, slice_text("MQIsdp"));

	if ((level & ~LEVEL_BRIDGE) == MQTT_VERSION_5_0)
		return MQTT_VERSION_5_0;
	if (!ours)
		return 0;
	return (level & ~LEVEL_BRIDGE) > MQTT_VERSION_5_0 ? MQTT_VERSION_5_0 : MQTT_VERSION_3_1_1;
}

/* Protocol name and level. [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT3-3.1.2-1] [MQTT3-3.1.2-2] */
static enum mqtt_reason decode_protocol(struct reader *r, struct mqtt_connect *out)
{
	struct slice name = read_binary(r);
	uint8_t level = read_u8(r);

	if (r->bad)
		return MQTT_MALFORMED_PACKET;
	for (size_t i = 0; i < PROTOCOLS; i++) {
		const struct protocol *p = &protocols[i];
		bool bridge = p->bridge && (level & LEVEL_BRIDGE);

		if ((bridge ? level & ~LEVEL_BRIDGE : level) != (int)p->version ||
		    !slice_equal(name, slice_text(p->name)))
			continue;
		out->version = p->version;
		out->bridge = bridge;
		return MQTT_SUCCESS;
	}
	out->version = refusal_form(name, level);
	return MQTT_UNSUPPORTED_PROTOCOL_VERSION;
}

/*
 * The connect flags, which MQTT V3.1 judges more mildly: it does not look at the
 * reserved bit, nor at the will's QoS and retain bits when there is no will.
 */
static enum mqtt_reason decode_flags(uint8_t flags, struct mqtt_connect *out)
{
	bool strict = out->version > MQTT_VERSION_3_1;

	out->clean_start = (flags & FLAG_CLEAN_START) != 0;
	out->has_will = (flags & FLAG_WILL) != 0;
	out->has_user_name = (flags & FLAG_USER_NAME) != 0;
	out->has_password = (flags & FLAG_PASSWORD) != 0;
	out->will.qos = (uint8_t)((flags & FLAG_WILL_QOS) >> FLAG_WILL_QOS_SHIFT);
	out->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
	if (strict && (flags & FLAG_RESERVED)) /* [MQTT-3.1.2-3] [MQTT3-3.1.2-3] */
		return MQTT_MALFORMED_PACKET;
	if (out->has_will && out->will.qos > 2) /* [MQTT-3.1.2-12] */
		return MQTT_MALFORMED_PACKET;
	if (strict && !out->has_will && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)))
		return MQTT_MALFORMED_PACKET; /* [MQTT-3.1.2-11] [MQTT-3.1.2-13] */
	if (out->version < MQTT_VERSION_5_0 && out->has_password && !out->has_user_name)
		return MQTT_MALFORMED_PACKET; /* [MQTT3-3.1.2-22] */
	return MQTT_SUCCESS;
}

static enum mqtt_reason decode_properties(struct reader *r, enum mqtt_version v, uint8_t block,
					  struct mqtt_properties *out)
{
	property_none(out);
	return v == MQTT_VERSION_5_0 ? property_decode(r, block, out) : MQTT_SUCCESS;
}

static enum mqtt_reason decode_will(struct reader *r, struct mqtt_connect *out)
{
	enum mqtt_reason reason =
	    decode_properties(r, out->version, MQTT_WILL, &out->will.properties);

	if (reason != MQTT_SUCCESS)
		return reason;
	out->will.topic = read_string(r); /* [MQTT-3.1.3-11] */
	out->will.payload = read_binary(r);
	if (r->bad)
		return MQTT_MALFORMED_PACKET;
	return topic_name_valid(out->will.topic) ? MQTT_SUCCESS : MQTT_TOPIC_NAME_INVALID;
}

/*
 * User name and password.  MQTT V3.1, section 3.1: a server must allow for
 * these flags being set while the packet ends before the strings.
 */
static void decode_credentials(struct reader *r, struct mqtt_connect *out)
{
	bool may_miss = out->version == MQTT_VERSION_3_1;

	out->user_name = SLICE_NONE;
	out->password = SLICE_NONE;
	if (may_miss && reader_left(r) == 0)
		out->has_user_name = false;
	if (out->has_user_name) /* [MQTT-3.1.2-17] [MQTT-3.1.3-12] */
		out->user_name = read_string(r);
	if (may_miss && reader_left(r) == 0)
		out->has_password = false;
	if (out->has_password) /* [MQTT-3.1.2-19] */
		out->password = read_binary(r);
}

/*
 * What is well formed and holds what a receiver may refuse "is a valid UTF-8 string but is not
 * allowed by the Server" (5.0, 3.2.2.2); before 5.0 such a string ends the connection (3.1.1,
 * 1.5.3).  [MQTT-3.1.3-3] [MQTT-3.1.3-4]
 */
static enum mqtt_reason decode_client_id(struct reader *r, struct mqtt_connect *out)
{
	out->client_id = read_binary(r);
	if (r->bad || !utf8_string_valid(out->client_id))
		return MQTT_MALFORMED_PACKET;
	if (utf8_string_accepted(out->client_id))
		return MQTT_SUCCESS;
	return out->version == MQTT_VERSION_5_0 ? MQTT_CLIENT_IDENTIFIER_NOT_VALID
						: MQTT_MALFORMED_PACKET;
}

/* Client identifier, will, user name, password: in this order. [MQTT-3.1.3-1] */
static enum mqtt_reason decode_payload(struct reader *r, struct mqtt_connect *out)
{
	enum mqtt_reason reason = decode_client_id(r, out);

	if (reason != MQTT_SUCCESS)
		return reason;
	out->will.topic = SLICE_NONE;
	out->will.payload = SLICE_NONE;
	property_none(&out->will.properties);
	if (out->has_will)
		reason = decode_will(r, out); /* [MQTT-3.1.2-9] [MQTT3-3.1.2-9] */
	if (reason != MQTT_SUCCESS)
		return reason;
	decode_credentials(r, out);
	return reader_done(r) ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
}

enum mqtt_reason mqtt_decode_connect(struct slice body, struct mqtt_connect *out)
{
	struct reader r = reader_of(body);
	enum mqtt_reason reason;

	out->version = 0;
	out->bridge = false;
	reason = decode_protocol(&r, out);
	if (reason != MQTT_SUCCESS)
		return reason;
	reason = decode_flags(read_u8(&r), out);
	if (reason != MQTT_SUCCESS)
		return reason;
	out->keep_alive_s = read_u16(&r);
	if (r.bad)
		return MQTT_MALFORMED_PACKET;
	reason = decode_properties(&r, out->version, MQTT_CONNECT, &out->properties);
	if (reason != MQTT_SUCCESS)
		return reason;
	return decode_payload(&r, out);
}

static uint8_t encode_flags(const struct mqtt_connect *p)
{
	unsigned flags = 0;

	flags |= p->clean_start ? FLAG_CLEAN_START : 0;
	flags |= p->has_user_name ? FLAG_USER_NAME : 0;
	flags |= p->has_password ? FLAG_PASSWORD : 0;
	if (p->has_will) {
		flags |= FLAG_WILL | (unsigned)p->will.qos << FLAG_WILL_QOS_SHIFT;
		flags |= p->will.retain ? FLAG_WILL_RETAIN : 0;
	}
	return (uint8_t)flags;
}

static const struct protocol *protocol_of(enum mqtt_version version)
{
	must(version >= MQTT_VERSION_3_1 && version <= MQTT_VERSION_5_0);
	return &protocols[version - MQTT_VERSION_3_1];
}

size_t mqtt_encode_connect(uint8_t *out, size_t room, const struct mqtt_connect *p)
{
	const struct protocol *protocol = protocol_of(p->version);
	struct slice name = slice_text(protocol->name);
	size_t properties = property_size(p->version, &p->properties);
	size_t will_properties = p->has_will ? property_size(p->version, &p->will.properties) : 0;
	size_t body = 2 + name.len + 1 + 1 + 2 + property_block_size(p->version, properties) + 2 +
		      p->client_id.len;
	struct writer w;

	must(!p->has_will || p->will.qos <= 2);
	must(!p->bridge || protocol->bridge);
	if (p->has_will)
		body += property_block_size(p->version, will_properties) + 2 + p->will.topic.len +
			2 + p->will.payload.len;
	body += p->has_user_name ? 2 + p->user_name.len : 0;
	body += p->has_password ? 2 + p->password.len : 0;
	if (!frame_begin(&w, out, room, MQTT_CONNECT << 4, body))
		return 0;
	write_binary(&w, name);
	write_u8(&w, (uint8_t)(p->version | (p->bridge ? LEVEL_BRIDGE : 0)));
	write_u8(&w, encode_flags(p));
	write_u16(&w, p->keep_alive_s);
	property_encode(&w, p->version, &p->properties, properties);
	write_binary(&w, p->client_id);
	if (p->has_will) {
		property_encode(&w, p->version, &p->will.properties, will_properties);
		write_binary(&w, p->will.topic);
		write_binary(&w, p->will.payload);
	}
	if (p->has_user_name)
		write_binary(&w, p->user_name);
	if (p->has_password)
		write_binary(&w, p->password);
	return frame_end(&w, out);
}

enum mqtt_reason mqtt_decode_connack(struct slice body, enum mqtt_version v,
				     struct mqtt_connack *out)
{
	struct reader r = reader_of(body);
	uint8_t flags = read_u8(&r);
	enum mqtt_reason reason;
	bool known;

	if (v == MQTT_VERSION_3_1) /* a reserved byte there, with no meaning */
		flags = 0;
	out->reason = read_u8(&r);
	if (r.bad || (flags & ~ACKNOWLEDGE_PRESENT)) /* [MQTT-3.2.2-1] */
		return MQTT_MALFORMED_PACKET;
	out->session_present = flags != 0;
	reason = decode_properties(&r, v, MQTT_CONNACK, &out->properties);
	if (reason != MQTT_SUCCESS)
		return reason;
	if (!reader_done(&r))
		return MQTT_MALFORMED_PACKET;
	known = v == MQTT_VERSION_5_0 ? mqtt_reason_allowed(out->reason, MQTT_CONNACK)
				      : out->reason <= RETURN_CODE_MAX;
	if (!known) /* [MQTT-3.2.2-8] */
		return MQTT_PROTOCOL_ERROR;
	if (out->session_present && out->reason != MQTT_SUCCESS) /* [MQTT-3.2.2-6] */
		return MQTT_PROTOCOL_ERROR;
	return MQTT_SUCCESS;
}

size_t mqtt_encode_connack(uint8_t *out, size_t room, enum mqtt_version v,
			   const struct mqtt_connack *p)
{
	size_t properties = property_size(v, &p->properties);
	size_t body = 2 + property_block_size(v, properties);
	bool present = p->session_present && v > MQTT_VERSION_3_1;
	struct writer w;

	if (!frame_begin(&w, out, room, MQTT_CONNACK << 4, body))
		return 0;
	write_u8(&w, present ? ACKNOWLEDGE_PRESENT : 0);
	write_u8(&w, p->reason);
	property_encode(&w, v, &p->properties, properties);
	return frame_end(&w, out);
}
