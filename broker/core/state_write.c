/* state_write.c - see state.h. */
#include "broker/core/core.h"
#include "broker/core/state.h"
#include "broker/core/state_format.h"

struct writing {
	struct shard *shard;
	uint8_t *bytes;
	size_t len;
	size_t room;
	struct index numbers;	   /* of messages, by address */
	struct message **messages; /* by number - 1 */
	uint32_t message_count;
	uint32_t message_room;
};

static uint8_t *more(struct writing *w, size_t n)
{
	if (w->len + n > w->room) {
		size_t room = (w->len + n) * 2;
		uint8_t *bigger = shard_payload(w->shard, room);
		if (w->len > 0)
			memcpy(bigger, w->bytes, w->len);
		shard_free_bytes(w->shard, slice_of(w->bytes, w->len));
		w->bytes = bigger;
		w->room = room;
	}
	w->len += n;
	return w->bytes + w->len - n;
}

static void put_u8(struct writing *w, uint8_t value)
{
	*more(w, 1) = value;
}

static void put_u16(struct writing *w, uint16_t value)
{
	put_u8(w, (uint8_t)(value >> 8));
	put_u8(w, (uint8_t)value);
}

static void put_u32(struct writing *w, uint32_t value)
{
	put_u16(w, (uint16_t)(value >> 16));
	put_u16(w, (uint16_t)value);
}

static void put_u64(struct writing *w, uint64_t value)
{
	put_u32(w, (uint32_t)(value >> 32));
	put_u32(w, (uint32_t)value);
}

static void put_slice(struct writing *w, struct slice s)
{
	put_u32(w, (uint32_t)s.len);
	if (s.len > 0)
		memcpy(more(w, s.len), s.at, s.len);
}

/* A record: its length is filled in when it is complete. */
static size_t begin(struct writing *w, enum state_record type)
{
	put_u8(w, (uint8_t)type);
	put_u32(w, 0);
	return w->len;
}

static void end(struct writing *w, size_t start)
{
	uint32_t len = (uint32_t)(w->len - start);
	for (unsigned i = 0; i < 4; i++)
		w->bytes[start - 4 + i] = (uint8_t)(len >> (24 - 8 * i));
}

static uint32_t number_of(const struct writing *w, const struct message *message)
{
	struct index_probe probe;
	uint32_t n = index_first(&w->numbers, hash_mix((uintptr_t)message), &probe);
	while (n != 0 && w->messages[n - 1] != message)
		n = index_next(&w->numbers, &probe);
	return n;
}

/* Writes a message unless it stands there already. */
static void write_message(struct writing *w, struct message *message)
{
	if (message == NULL || number_of(w, message) != 0)
		return;
	w->messages = shard_grow(w->messages, &w->message_room, w->message_count + 1,
				 sizeof(struct message *));
	w->messages[w->message_count++] = message;
	index_add(&w->numbers, hash_mix((uintptr_t)message), w->message_count);
	uint64_t now = w->shard->now.ms;
	uint64_t left = message->expires_ms > now ? message->expires_ms - now : 0;
	size_t start = begin(w, STATE_MESSAGE);
	put_u32(w, w->message_count);
	put_u8(w, message->qos);
	put_u8(w, message->retain);
	put_u64(w, message->expires_ms == EXPIRES_NEVER ? EXPIRES_NEVER : left);
	put_u32(w, message->realm);
	put_slice(w, message_topic(message));
	put_slice(w, message_properties(message));
	put_slice(w, message_payload(message));
	end(w, start);
}

static void write_retained(void *self, struct message *message, uint64_t owner)
{
	struct writing *w = self;
	write_message(w, message);
	size_t start = begin(w, STATE_RETAINED);
	put_u32(w, number_of(w, message));
	put_u64(w, owner);
	end(w, start);
}

/* ---- sessions ---- */

static void write_delivery(struct writing *w, const struct delivery *d)
{
	struct identifier_list identifiers = delivery_identifiers(d);
	put_u32(w, d->message ? number_of(w, d->message) : 0);
	put_u8(w, d->qos);
	put_u8(w, d->retain);
	put_u32(w, identifiers.count);
	for (uint32_t i = 0; i < identifiers.count; i++)
		put_u32(w, identifiers.at[i]);
}

static void write_one_inbound(struct writing *w, uint16_t id)
{
	put_u8(w, STATE_INBOUND);
	put_u16(w, id);
}

/* What was published counts as received: its deliveries are all here, acknowledged or not. */
static void write_inbound(struct writing *w, const struct session *session)
{
	const struct traffic *traffic = traffic_of(session);
	const struct held *held = &traffic->held;
	for (uint32_t id = 1; traffic->inbound && id <= UINT16_MAX; id++)
		if (idset_has(traffic->inbound, (uint16_t)id))
			write_one_inbound(w, (uint16_t)id);
	for (uint32_t i = 0; i < held->room; i++) {
		const struct held_ack *ack = &held->ring[i];
		if (ack->id != 0 && ack->qos == 2 && !mqtt_reason_is_error(ack->reason) &&
		    !arrivals_have(&traffic->arrivals, ack->id))
			write_one_inbound(w, ack->id);
	}
}

static void write_will(struct writing *w, const struct will *will)
{
	if (will == NULL)
		return;
	put_u8(w, STATE_WILL);
	put_u32(w, number_of(w, will->message));
	put_u32(w, will->delay_s);
	put_u8(w, will->has_expiry);
	put_u32(w, will->expiry_s);
}

/* What waits for its record has it when the shard has stopped. */
static uint8_t state_of(const struct outbound *entry)
{
	return entry->state == INFLIGHT_BEGUN	   ? INFLIGHT_PUBREC
	       : entry->state == INFLIGHT_RECEIVED ? INFLIGHT_PUBCOMP
						   : entry->state;
}

/* In the order of first sending: as if all were to be sent again, which they are. */
static void write_inflight(struct writing *w, struct inflight *inflight)
{
	struct outbound *entry;
	inflight_mark_resend(inflight);
	while ((entry = inflight_next_resend(inflight)) != NULL) {
		inflight_resent(inflight, entry);
		put_u8(w, STATE_INFLIGHT);
		put_u16(w, entry->id);
		put_u8(w, state_of(entry));
		write_delivery(w, &entry->delivery);
	}
	inflight_mark_resend(inflight);
}

static void write_queued_messages(struct writing *w, const struct queue *queue)
{
	for (uint32_t i = 0; i < queue->count; i++)
		write_message(w, queue_at(queue, i)->message);
}

static void write_queue(struct writing *w, const struct queue *queue)
{
	for (uint32_t i = 0; i < queue->count; i++) {
		put_u8(w, STATE_QUEUED);
		write_delivery(w, queue_at(queue, i));
	}
}

static void write_messages_of(struct writing *w, const struct session *session)
{
	const struct inflight *inflight = &traffic_of(session)->inflight;
	for (uint32_t i = 0; i < inflight->room; i++)
		write_message(w, inflight->ring[i].delivery.message);
	write_queued_messages(w, &traffic_of(session)->after_records);
	write_queued_messages(w, &traffic_of(session)->queue);
	if (session->absence && session->absence->will)
		write_message(w, session->absence->will->message);
}

static void write_session(struct writing *w, struct session *session)
{
	const struct absence *absence = session->absence;
	int64_t away = absence ? (int64_t)w->shard->now.ms - absence->detached_ms : 0;
	write_messages_of(w, session);
	size_t start = begin(w, STATE_SESSION);
	put_u32(w, session->realm);
	put_u64(w, away > 0 ? (uint64_t)away : 0);
	put_slice(w, session_client_id(session));
	write_inbound(w, session);
	write_will(w, absence ? absence->will : NULL);
	if (session->traffic)
		write_inflight(w, &session->traffic->inflight);
	write_queue(w, &traffic_of(session)->after_records); /* none of QoS 0 is older */
	write_queue(w, &traffic_of(session)->queue);
	end(w, start);
}

void shard_write_state(struct shard *shard, struct moment now, struct slice *out)
{
	struct writing w = {.shard = shard};
	shard->now = now;
	memcpy(more(&w, sizeof STATE_MAGIC - 1), STATE_MAGIC, sizeof STATE_MAGIC - 1);
	put_u8(&w, STATE_VERSION);
	retained_each(shard, &w, write_retained);
	for (uint32_t slot = 1; slot < shard->sessions.used; slot++) {
		struct session *session = session_at(shard, slot);
		if (session && session->expiry_s > 0)
			write_session(&w, session);
	}
	index_finish(&w.numbers);
	memory_free(w.messages);
	*out = slice_of(w.bytes, w.len);
}

void state_free(struct shard *shard, struct slice *bytes)
{
	shard_free_bytes(shard, *bytes);
	*bytes = SLICE_NONE;
}
