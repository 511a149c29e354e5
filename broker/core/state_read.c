/* state_read.c - see state.h. */
#include "broker/core/core.h"
#include "broker/core/state.h"
#include "broker/core/state_format.h"
#include "proto/topic.h"
#include "proto/utf8.h"
#include "proto/wire.h"

struct reading {
	struct shard *shard;
	struct message **messages; /* by number - 1; owned */
	uint32_t count;
	uint32_t room;
	bool bad; /* a number without a message, a state that does not exist */
};

static uint64_t read_u64(struct reader *r)
{
	uint64_t high = read_u32(r);
	return high << 32 | read_u32(r);
}

static struct slice read_slice(struct reader *r)
{
	return read_bytes(r, read_u32(r));
}

static struct message *message_at(struct reading *in, uint32_t number)
{
	if (number >= 1 && number <= in->count)
		return in->messages[number - 1];
	in->bad = true;
	return NULL;
}

/* The block as a PUBLISH carries it on, and nothing else in it. */
static bool properties_valid(struct shard *shard, struct slice properties)
{
	struct mqtt_publish publish;
	if (properties.len == 0)
		return true;
	if (properties.len > VARINT_MAX)
		return false;
	size_t room = 8 + properties.len;
	uint8_t *body = shard_payload(shard, 2 * room);
	struct writer w = writer_of(body, room);
	write_binary(&w, SLICE_LITERAL("t"));
	write_varint(&w, (uint32_t)properties.len);
	write_bytes(&w, properties);
	struct slice packet = slice_of(body, (size_t)(w.at - body));
	bool valid = mqtt_decode_publish(0, packet, MQTT_VERSION_5_0, &publish) == MQTT_SUCCESS &&
		     mqtt_forward_properties(publish.properties.raw, body + room) == properties.len;
	shard_free_bytes(shard, slice_of(body, 2 * room));
	return valid;
}

static void read_message(struct reading *in, struct reader *r)
{
	uint32_t number = read_u32(r);
	struct publication p = {0};
	p.qos = read_u8(r);
	p.retain = read_u8(r) != 0;
	uint64_t left = read_u64(r);
	p.expires_ms = left == EXPIRES_NEVER ? left : in->shard->now.ms + left;
	p.realm = read_u32(r);
	p.topic = read_slice(r);
	p.properties = read_slice(r);
	p.payload = read_slice(r);
	if (r->bad || number != in->count + 1 || p.qos > 2 || !topic_name_valid(p.topic) ||
	    !utf8_string_accepted(p.topic) || !properties_valid(in->shard, p.properties)) {
		in->bad = true;
		return;
	}
	in->messages = shard_grow(in->messages, &in->room, in->count + 1, sizeof(struct message *));
	struct message *message = message_create(&in->shard->purse, &p);
	if (message == NULL)
		in->bad = true; /* memory_limit is lower than it was */
	else
		in->messages[in->count++] = message;
}

static void read_retained(struct reading *in, struct reader *r)
{
	struct message *message = message_at(in, read_u32(r));
	uint64_t owner = read_u64(r);
	if (message == NULL || r->bad ||
	    retained_home(in->shard, message_topic(message)) != in->shard->party)
		return;
	struct publication publication = message_publication(message);
	retained_set(in->shard, &publication, owner);
}

/* ---- sessions ---- */

static bool read_delivery(struct reading *in, struct reader *r, bool may_lack, struct delivery *out)
{
	uint32_t number = read_u32(r);
	*out = (struct delivery){0};
	out->qos = read_u8(r);
	out->retain = read_u8(r) != 0;
	uint32_t count = read_u32(r);
	if (r->bad || count > reader_left(r) / 4 || out->qos > 2) {
		in->bad = true;
		return false;
	}
	if (number != 0 || !may_lack)
		out->message = message_at(in, number);
	if (count > 1)
		delivery_make_many(out, &in->shard->purse, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t identifier = read_u32(r);
		in->bad |= identifier == 0 || identifier > VARINT_MAX;
		if (out->many)
			out->many->one[i] = identifier;
		else
			out->identifier = identifier;
	}
	if (out->message)
		message_share(out->message);
	if (!in->bad)
		return true;
	delivery_finish(out, &in->shard->purse);
	return false;
}

static void item_inbound(struct reading *in, struct session *session, struct reader *r)
{
	uint16_t id = read_u16(r);
	in->bad |= id == 0;
	if (session == NULL || id == 0)
		return;
	struct traffic *traffic = traffic_for(in->shard, session);
	if (traffic->inbound == NULL)
		traffic->inbound = idset_create(&in->shard->purse);
	idset_add(traffic->inbound, &in->shard->purse, id);
}

static void item_will(struct reading *in, struct session *session, struct reader *r)
{
	struct message *message = message_at(in, read_u32(r));
	struct will will = {.message = message};
	will.delay_s = read_u32(r);
	will.has_expiry = read_u8(r) != 0;
	will.expiry_s = read_u32(r);
	if (session == NULL || in->bad || r->bad)
		return;
	struct absence *absence = session->absence;
	if (absence == NULL || absence->will)
		return;
	message_share(message);
	absence->will = memory_get(sizeof will);
	*absence->will = will;
	COUNT(in->shard, WILLS);
}

static void item_inflight(struct reading *in, struct session *session, struct reader *r)
{
	uint16_t id = read_u16(r);
	uint8_t state = read_u8(r);
	struct delivery delivery;
	bool released = state == INFLIGHT_PUBCOMP;
	if (id == 0 || state < INFLIGHT_PUBACK || state > INFLIGHT_PUBCOMP)
		in->bad = true;
	if (!read_delivery(in, r, released, &delivery))
		return;
	/* What waits for PUBACK went out with QoS 1, the others with QoS 2; nothing is left once
	 * PUBREC came. */
	if (released)
		in->bad |= delivery.message || delivery.many || delivery.identifier != 0;
	else
		in->bad |= delivery.qos != (state == INFLIGHT_PUBACK ? 1 : 2);
	struct inflight *inflight =
	    session && !in->bad ? &traffic_for(in->shard, session)->inflight : NULL;
	struct outbound *known = inflight ? inflight_find(inflight, id) : NULL;
	if (inflight && known == NULL) {
		inflight_restore(inflight, &in->shard->purse, delivery, id,
				 (enum inflight_state)state);
		COUNT(in->shard, INFLIGHT);
	} else if (known == NULL ||
		   !inflight_rejoin(inflight, known, delivery, (enum inflight_state)state)) {
		delivery_finish(&delivery, &in->shard->purse);
	}
}

static void item_queued(struct reading *in, struct session *session, struct reader *r)
{
	struct delivery delivery;
	if (!read_delivery(in, r, false, &delivery))
		return;
	if (session == NULL) {
		delivery_finish(&delivery, &in->shard->purse);
		return;
	}
	COUNT(in->shard, QUEUED);
	COUNT_N(in->shard, QUEUED_BYTES, delivery_weight(&delivery));
	queue_push(&traffic_for(in->shard, session)->queue, &in->shard->purse, delivery);
}

static void read_session(struct reading *in, struct reader *r)
{
	static void (*const items[])(struct reading *, struct session *, struct reader *) = {
	    [STATE_INBOUND] = item_inbound,
	    [STATE_WILL] = item_will,
	    [STATE_INFLIGHT] = item_inflight,
	    [STATE_QUEUED] = item_queued,
	};
	uint32_t realm = read_u32(r);
	uint64_t away_ms = read_u64(r);
	struct slice client_id = read_slice(r);
	in->bad |= away_ms > INT64_MAX / 2;
	if (r->bad || in->bad)
		return;
	/* One that lives on another shard is read all the same, to find its end. */
	struct session *session = session_find(in->shard, realm, client_id);
	if (session && session->absence)
		session->absence->detached_ms = (int64_t)in->shard->now.ms - (int64_t)away_ms;
	while (!r->bad && !in->bad && reader_left(r) > 0) {
		uint8_t type = read_u8(r);
		if (type < STATE_INBOUND || type > STATE_QUEUED)
			in->bad = true;
		else
			items[type](in, session, r);
	}
	if (session)
		steps_restored(in->shard, session);
	if (session && session->absence) {
		if (session->traffic)
			inflight_mark_resend(&session->traffic->inflight);
		session_arm(in->shard, session);
	}
}

static void read_record(struct reading *in, uint8_t type, struct reader *body)
{
	switch (type) {
	case STATE_MESSAGE:
		read_message(in, body);
		break;
	case STATE_RETAINED:
		read_retained(in, body);
		break;
	case STATE_SESSION:
		read_session(in, body);
		break;
	default:
		in->bad = true;
	}
	in->bad |= body->bad || reader_left(body) > 0;
}

bool shard_read_state(struct shard *shard, struct moment now, struct slice bytes,
		      struct failure *failure)
{
	struct reading in = {.shard = shard};
	struct reader r = reader_of(bytes);
	shard->now = now;
	struct slice magic = read_bytes(&r, sizeof STATE_MAGIC - 1);
	if (!slice_equal(magic, SLICE_LITERAL(STATE_MAGIC)) || read_u8(&r) != STATE_VERSION)
		return failure_set(failure, "saved state: not in format version %d", STATE_VERSION);
	size_t offset = 0;
	while (!in.bad && reader_left(&r) > 0) {
		offset = bytes.len - reader_left(&r);
		uint8_t type = read_u8(&r);
		struct slice body = read_slice(&r);
		struct reader record = reader_of(body);
		in.bad |= r.bad;
		if (!in.bad)
			read_record(&in, type, &record);
	}
	for (uint32_t i = 0; i < in.count; i++)
		message_release(in.messages[i], &shard->purse);
	memory_free(in.messages);
	if (in.bad)
		return failure_set(failure, "saved state: damaged record at byte %zu", offset);
	return true;
}
