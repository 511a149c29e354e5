/* publish.c - PUBLISH, MQTT 5.0 section 3.3 and 3.1.1 section 3.3; see packet.h. */
#include "proto/frame.h"
#include "proto/packet.h"
#include "proto/property.h"
#include "proto/topic.h"
#include "proto/wire.h"

/* The flags of the fixed header. */
enum {
	FLAG_RETAIN = 0x01,
	FLAG_QOS = 0x06,
	FLAG_QOS_SHIFT = 1,
	FLAG_DUP = 0x08,
};

static enum mqtt_reason check_topic(const struct mqtt_publish *p)
{
	if (p->topic.len == 0)
		return mqtt_has(&p->properties, MQTT_PROPERTY_TOPIC_ALIAS) ? MQTT_SUCCESS
									   : MQTT_PROTOCOL_ERROR;
	return topic_name_valid(p->topic) ? MQTT_SUCCESS : MQTT_TOPIC_NAME_INVALID;
}

enum mqtt_reason mqtt_decode_publish(uint8_t flags, struct slice body, enum mqtt_version v,
				     struct mqtt_publish *out)
{
	struct reader r = reader_of(body);
	enum mqtt_reason reason;

	out->qos = (uint8_t)((flags & FLAG_QOS) >> FLAG_QOS_SHIFT);
	out->dup = (flags & FLAG_DUP) != 0;
	out->retain = (flags & FLAG_RETAIN) != 0;
	/* [MQTT-3.3.1-4] [MQTT-3.3.1-2] [MQTT3-3.3.1-4] [MQTT3-3.3.1-2]; 3.1 says of DUP with QoS 0
	 * nothing */
	if (out->qos > 2 || (out->dup && out->qos == 0 && v > MQTT_VERSION_3_1))
		return MQTT_MALFORMED_PACKET;
	out->topic = read_string(&r);			  /* [MQTT-3.3.2-1] [MQTT3-3.3.2-1] */
	out->packet_id = out->qos > 0 ? read_u16(&r) : 0; /* [MQTT-2.2.1-2] [MQTT3-2.3.1-5] */
	if (r.bad)
		return MQTT_MALFORMED_PACKET;
	property_none(&out->properties);
	if (v == MQTT_VERSION_5_0) {
		reason = property_decode(&r, MQTT_PUBLISH, &out->properties);
		if (reason != MQTT_SUCCESS)
			return reason;
	}
	out->payload = slice_of(r.at, reader_left(&r));
	if (out->qos > 0 && out->packet_id == 0) /* [MQTT-2.2.1-3] [MQTT-2.2.1-4] [MQTT3-2.3.1-1] */
		return MQTT_PROTOCOL_ERROR;
	return check_topic(out);
}

size_t mqtt_encode_publish(uint8_t *out, size_t room, enum mqtt_version v,
			   const struct mqtt_publish *p)
{
	size_t properties = property_size(v, &p->properties);
	size_t body = 2 + p->topic.len + (p->qos > 0 ? 2 : 0) + property_block_size(v, properties) +
		      p->payload.len;
	uint8_t flags = (uint8_t)((p->dup ? FLAG_DUP : 0) | p->qos << FLAG_QOS_SHIFT |
				  (p->retain ? FLAG_RETAIN : 0));
	struct writer w;

	must(p->qos <= 2 && (p->qos > 0 || !p->dup || v == MQTT_VERSION_3_1));
	if (!frame_begin(&w, out, room, (uint8_t)(MQTT_PUBLISH << 4 | flags), body))
		return 0;
	write_binary(&w, p->topic);
	if (p->qos > 0)
		write_u16(&w, p->packet_id);
	property_encode(&w, v, &p->properties, properties);
	write_bytes(&w, p->payload);
	return frame_end(&w, out);
}
