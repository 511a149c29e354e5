/* bench_client.c - what each client of the bench says to the broker, and understands. */
#include "cli/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define SESSION_EXPIRY_S   3600u
#define FILTERS_PER_PACKET 50u
#define CONNECT_ROOM	   512u

static enum mqtt_version version_of(const struct bench *b)
{
	return b->options->version;
}

static struct bench_publisher *publisher_of(const struct bench *b, const struct bench_link *link)
{
	return link->role == BENCH_PUBLISHER ? &b->publishers[link->number] : NULL;
}

bool bench_client_is_persistent(const struct bench *b, const struct bench_link *link)
{
	return b->scene->persistent || (b->plan->persistent && link->role == BENCH_SUBSCRIBER);
}

/* ---- what it says ---- */

static void send_connect(struct bench *b, struct bench_link *link)
{
	struct mqtt_connect p = b->connect;
	const size_t room = CONNECT_ROOM + p.user_name.len + p.password.len;
	char id[24]; /* at most 23 bytes, for MQTT 3.1 */
	const int len =
	    snprintf(id, sizeof(id), "mb%08" PRIx32 "%c%" PRIu32, b->run, link->role, link->number);

	p.client_id = slice_of(id, (size_t)len);
	if (bench_client_is_persistent(b, link) && !b->leaving) {
		p.clean_start = false;
		mqtt_set(&p.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
		p.properties.session_expiry_s = SESSION_EXPIRY_S;
	}
	bench_link_wrote(link,
			 mqtt_encode_connect(bench_link_reserve(&b->loop, link, room), room, &p));
}

static void send_ack(struct bench *b, struct bench_link *link, uint8_t type, uint16_t packet_id)
{
	static struct mqtt_ack ack; /* no properties, no reason: not cleared for each */
	const size_t room = 8;

	ack.type = type;
	ack.packet_id = packet_id;
	bench_link_wrote(link, mqtt_encode_ack(bench_link_reserve(&b->loop, link, room), room,
					       version_of(b), &ack));
}

static void send_subscribe(struct bench *b, struct bench_link *link,
			   const struct mqtt_subscription *entries, size_t count, size_t len)
{
	const struct mqtt_subscribe p = {.packet_id = 1};
	const size_t room = 16 + len + 3 * count;

	bench_link_wrote(link, mqtt_encode_subscribe(bench_link_reserve(&b->loop, link, room), room,
						     version_of(b), &p, entries, count));
}

void bench_client_subscribe_one(struct bench *b, struct bench_link *link, struct slice filter)
{
	const struct mqtt_subscription entry = {.filter = filter, .qos = b->plan->subscribe_qos};

	send_subscribe(b, link, &entry, 1, filter.len);
}

void bench_client_subscribe(struct bench *b, struct bench_subscriber *s)
{
	struct mqtt_subscription entries[FILTERS_PER_PACKET];
	char texts[FILTERS_PER_PACKET][BENCH_TOPIC_MAX];
	const bool many = b->plan->topology == BENCH_WILDCARD;
	size_t count = 0, len = 0;

	do {
		entries[count] = (struct mqtt_subscription){
		    .filter =
			slice_of(texts[count], bench_filter(texts[count], b->plan, s->next_filter)),
		    .qos = b->plan->subscribe_qos};
		len += entries[count++].filter.len;
		s->next_filter += b->plan->subscribers;
	} while (many && count < FILTERS_PER_PACKET && s->next_filter < b->plan->filters);
	send_subscribe(b, s->link, entries, count, len);
}

bool bench_client_publish(struct bench *b, struct bench_publisher *p, struct mqtt_publish *message)
{
	const size_t room = 16 + message->topic.len + message->payload.len;
	struct bench_window *w = &p->window;

	if (message->qos > 0) {
		if (w->free == 0)
			return false;
		message->packet_id = w->ring[w->head];
		w->head = w->head + 1 == w->room ? 0 : w->head + 1;
		w->free--;
		w->awaited[message->packet_id] = message->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;
	}
	bench_link_wrote(p->link, mqtt_encode_publish(bench_link_reserve(&b->loop, p->link, room),
						      room, version_of(b), message));
	b->published++;
	return true;
}

void bench_client_leave(struct bench *b, struct bench_link *link)
{
	const struct mqtt_disconnect p = {.reason = MQTT_SUCCESS};
	const size_t room = 16;

	if (bench_link_is_up(link))
		bench_link_wrote(link,
				 mqtt_encode_disconnect(bench_link_reserve(&b->loop, link, room),
							room, version_of(b), &p));
	bench_link_close(&b->loop, link);
}

void bench_client_keep_alive(struct bench *b, struct bench_link *link)
{
	bench_link_wrote(link,
			 mqtt_encode_empty(bench_link_reserve(&b->loop, link, 2), 2, MQTT_PINGREQ));
}

/* ---- what it understands ---- */

typedef bool take_packet(struct bench *b, struct bench_link *link, const struct frame *frame,
			 uint64_t now_ns);

static take_packet take_connack, take_publish, take_ack, take_suback, take_pingresp,
    take_disconnect;

static take_packet *const takers[16] = {
    [MQTT_CONNACK] = take_connack,
    [MQTT_PUBLISH] = take_publish,
    [MQTT_PUBACK] = take_ack,
    [MQTT_PUBREC] = take_ack,
    [MQTT_PUBREL] = take_ack,
    [MQTT_PUBCOMP] = take_ack,
    [MQTT_SUBACK] = take_suback,
    [MQTT_PINGRESP] = take_pingresp,
    [MQTT_DISCONNECT] = take_disconnect,
};

/* The broker takes fewer unacknowledged messages than we would send. [MQTT-3.3.4-9] */
static void obey_receive_maximum(struct bench_window *w, const struct mqtt_properties *properties)
{
	if (mqtt_has(properties, MQTT_PROPERTY_RECEIVE_MAXIMUM) &&
	    properties->receive_maximum < w->room)
		w->room = w->free = properties->receive_maximum;
}

static bool take_connack(struct bench *b, struct bench_link *link, const struct frame *frame,
			 uint64_t now_ns)
{
	struct bench_publisher *p = publisher_of(b, link);
	struct mqtt_connack connack;

	(void)now_ns;
	if (link->up || mqtt_decode_connack(frame->body, version_of(b), &connack) != MQTT_SUCCESS)
		return false;
	if (connack.reason != MQTT_SUCCESS) {
		b->refusal = connack.reason;
		b->failed++;
		failure_set(&b->why, "The broker refused a connection (code %u).", connack.reason);
		bench_link_close(&b->loop, link);
		return true;
	}
	link->up = true;
	b->up++;
	if (p != NULL && b->options->qos > 0)
		obey_receive_maximum(&p->window, &connack.properties);
	link->resumed = connack.session_present;
	if (b->scene->on_up != NULL)
		b->scene->on_up(b, link);
	return true;
}

static bool take_suback(struct bench *b, struct bench_link *link, const struct frame *frame,
			uint64_t now_ns)
{
	struct mqtt_suback suback;

	(void)now_ns;
	if (mqtt_decode_suback(frame->type, frame->body, version_of(b), &suback) != MQTT_SUCCESS)
		return false;
	for (size_t i = 0; i < suback.reasons.len; i++)
		b->refused += suback.reasons.at[i] > 2;
	b->phase_count += suback.reasons.len;
	if (b->scene->on_subscribed != NULL)
		b->scene->on_subscribed(b, link);
	return true;
}

/* The 24 bytes in front of each payload: bench_payload_stamp(). */
static bool read_payload(const struct bench *b, struct slice payload, struct bench_received *r)
{
	uint32_t run;

	if (payload.len < BENCH_PAYLOAD_MIN)
		return false;
	memcpy(&r->sent_ns, payload.at, 8);
	memcpy(&r->number, payload.at + 8, 8);
	memcpy(&run, payload.at + 16, 4);
	memcpy(&r->publisher, payload.at + 20, 4);
	return run == b->run && r->publisher < b->plan->publishers && r->number > 0;
}

static bool take_publish(struct bench *b, struct bench_link *link, const struct frame *frame,
			 uint64_t now_ns)
{
	struct bench_received r = {.link = link, .now_ns = now_ns};
	struct mqtt_publish p;

	if (mqtt_decode_publish(frame->flags, frame->body, version_of(b), &p) != MQTT_SUCCESS)
		return false;
	if (link->role == BENCH_SUBSCRIBER && read_payload(b, p.payload, &r))
		b->scene->on_message(b, &r);
	else
		b->foreign++; /* another's message on our topics, or one that was retained there */
	if (p.qos > 0)
		send_ack(b, link, p.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p.packet_id);
	return true;
}

static void release(struct bench_window *w, uint16_t packet_id)
{
	const uint32_t at = w->head + w->free;

	w->ring[at >= w->room ? at - w->room : at] = packet_id;
	w->free++;
	w->awaited[packet_id] = 0;
}

static bool take_ack(struct bench *b, struct bench_link *link, const struct frame *frame,
		     uint64_t now_ns)
{
	struct bench_publisher *p = publisher_of(b, link);
	struct mqtt_ack ack;

	(void)now_ns;
	if (mqtt_decode_ack(frame->type, frame->body, version_of(b), &ack) != MQTT_SUCCESS)
		return false;
	if (ack.type == MQTT_PUBREL) {
		send_ack(b, link, MQTT_PUBCOMP, ack.packet_id);
		return true;
	}
	if (p == NULL || ack.packet_id > p->window.room ||
	    p->window.awaited[ack.packet_id] != ack.type)
		return false;
	if (ack.type == MQTT_PUBREC && !mqtt_reason_is_error(ack.reason)) {
		p->window.awaited[ack.packet_id] = MQTT_PUBCOMP;
		send_ack(b, link, MQTT_PUBREL, ack.packet_id);
		return true;
	}
	b->refused += mqtt_reason_is_error(ack.reason);
	b->acknowledged++;
	release(&p->window, ack.packet_id);
	return true;
}

static bool take_pingresp(struct bench *b, struct bench_link *link, const struct frame *frame,
			  uint64_t now_ns)
{
	(void)b;
	(void)link;
	(void)now_ns;
	return frame->body.len == 0;
}

static bool take_disconnect(struct bench *b, struct bench_link *link, const struct frame *frame,
			    uint64_t now_ns)
{
	struct mqtt_disconnect p;

	(void)now_ns;
	if (mqtt_decode_disconnect(frame->body, version_of(b), &p) != MQTT_SUCCESS)
		return false;
	failure_set(&b->why, "The broker ended a connection: %s.", mqtt_reason_text(p.reason));
	b->lost_connections++;
	bench_link_close(&b->loop, link);
	return true;
}

static void on_open(void *self, struct bench_link *link)
{
	send_connect(self, link);
}

static bool on_packet(void *self, struct bench_link *link, const struct frame *frame,
		      uint64_t now_ns)
{
	take_packet *take = takers[frame->type];

	if (take == NULL || !mqtt_flags_valid(frame->type, frame->flags) ||
	    (!link->up && frame->type != MQTT_CONNACK))
		return false;
	return take(self, link, frame, now_ns);
}

static void on_closed(void *self, struct bench_link *link, int error)
{
	struct bench *b = self;

	if (b->why.text[0] == '\0')
		failure_set(&b->why, "A connection was lost: %s.",
			    error == 0	       ? "the broker closed it"
			    : error == EBADMSG ? "the broker sent what MQTT does not allow here"
			    : error == EPROTO  ? b->loop.refusal.text
					       : strerror(error));
	if (!link->up)
		b->failed++;
	else if (!b->leaving)
		b->lost_connections++;
}

const struct bench_loop_events bench_client_events = {on_open, on_packet, on_closed};
