#include "cli/client.h"

#include "proto/frame.h"
#include "proto/property.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE      65536u
#define OUT_FULL       (1u << 20)
#define CONNACK_WAIT_S 30

__attribute__((format(printf, 2, 3))) static void debug(const struct client *c, const char *format,
							...)
{
	va_list args;

	if (!c->settings->debug)
		return;
	printf("Client %s ", c->name != NULL && *c->name != '\0' ? c->name : "(null)");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static enum mqtt_version version_of(const struct client *c)
{
	return c->settings->connect.version;
}

/* ---- sending ---- */

/* Writes what the socket takes now. */
static bool flush(struct client *c)
{
	while (c->out.len > 0) {
		ssize_t n = channel_send(&c->channel, buffer_slice(&c->out));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n < 0)
			return failure_set(c->failure, "The connection was lost: %s.",
					   strerror(errno));
		buffer_drop(&c->out, (size_t)n);
		c->last_sent_ms = clock_now_ms();
	}
	return true;
}

static void sent(struct client *c, size_t size)
{
	must(size > 0);
	c->out.len += size;
}

static struct mqtt_properties own_properties(const struct client *c, uint8_t type)
{
	return c->settings->properties[type];
}

/* Of an answer or the end: none where the server would not take as much. [MQTT-3.2.2-15] */
static struct mqtt_properties fitting_properties(const struct client *c, uint8_t type)
{
	static const struct mqtt_properties none;
	const struct mqtt_properties p = own_properties(c, type);

	return 12 + property_size(version_of(c), &p) > c->limits.packet_size_max ? none : p;
}

static void send_ack(struct client *c, uint8_t type, uint16_t packet_id)
{
	const struct mqtt_ack ack = {
	    .type = type, .packet_id = packet_id, .properties = fitting_properties(c, type)};
	const size_t room = 64 + property_size(version_of(c), &ack.properties);

	debug(c, "sending %s (m%u%s)", mqtt_packet_name(type), packet_id,
	      type == MQTT_PUBACK || type == MQTT_PUBREC ? ", rc0" : "");
	sent(c, mqtt_encode_ack(buffer_reserve(&c->out, room), room, version_of(c), &ack));
}

/* A packet identifier that is not in use. [MQTT-2.2.1-3] */
static uint16_t take_packet_id(struct client *c, uint8_t awaited)
{
	must(c->unanswered < UINT16_MAX);
	do {
		c->last_packet_id++;
	} while (c->last_packet_id == 0 || c->awaited[c->last_packet_id] != 0);
	c->awaited[c->last_packet_id] = awaited;
	c->unanswered++;
	return c->last_packet_id;
}

/* Of that size?  Else the packet identifier (0: it has none) is free again. */
static bool may_send(struct client *c, uint16_t packet_id, const char *what, size_t size,
		     struct failure *failure)
{
	if (server_limits_size(&c->limits, what, size, failure))
		return true;
	if (packet_id != 0) {
		c->awaited[packet_id] = 0;
		c->unanswered--;
	}
	return false;
}

bool client_may_publish(const struct client *c)
{
	return c->send_quota > 0;
}

bool client_is_full(const struct client *c)
{
	return c->out.len > OUT_FULL;
}

bool client_publish(struct client *c, struct mqtt_publish *p, struct failure *failure)
{
	const size_t head =
	    property_block_size(version_of(c), property_size(version_of(c), &p->properties));
	const size_t room = 16 + p->topic.len + p->payload.len + head;

	must(p->qos == 0 || c->send_quota > 0);
	p->packet_id = 0;
	if (!server_limits_publish(&c->limits, p, failure))
		return false;
	if (room - 16 > VARINT_MAX - 16)
		return failure_set(failure, "Error: Message payload is too large.");
	if (p->qos > 0)
		p->packet_id = take_packet_id(c, p->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC);
	const size_t size =
	    mqtt_encode_publish(buffer_reserve(&c->out, room), room, version_of(c), p);
	if (!may_send(c, p->packet_id, "The message", size, failure))
		return false;
	debug(c, "sending PUBLISH (d0, q%u, r%d, m%u, '%.*s', ... (%zu bytes))", p->qos, p->retain,
	      p->packet_id, (int)p->topic.len, (const char *)p->topic.at, p->payload.len);
	sent(c, size);
	if (p->qos > 0)
		c->send_quota--;
	return true;
}

static void debug_subscribe(const struct client *c, uint16_t packet_id,
			    const struct mqtt_subscription *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		debug(c, "sending SUBSCRIBE (Mid: %u, Topic: %.*s, QoS: %u, Options: 0x%02x)",
		      packet_id, (int)entries[i].filter.len, (const char *)entries[i].filter.at,
		      entries[i].qos, entries[i].retain_as_published ? 8u : 0u);
}

bool client_subscribe(struct client *c, const struct mqtt_subscription *entries, size_t count,
		      uint16_t *packet_id, struct failure *failure)
{
	struct mqtt_subscribe s = {.properties = own_properties(c, MQTT_SUBSCRIBE)};
	size_t room = 64 + s.properties.user.len;

	if (!server_limits_subscribe(&c->limits, &s.properties, entries, count, failure))
		return false;
	s.packet_id = take_packet_id(c, MQTT_SUBACK);
	for (size_t i = 0; i < count; i++)
		room += 3 + entries[i].filter.len;
	const size_t size = mqtt_encode_subscribe(buffer_reserve(&c->out, room), room,
						  version_of(c), &s, entries, count);
	if (!may_send(c, s.packet_id, "The subscription", size, failure))
		return false;
	debug_subscribe(c, s.packet_id, entries, count);
	sent(c, size);
	if (packet_id)
		*packet_id = s.packet_id;
	return true;
}

bool client_unsubscribe(struct client *c, struct slice filter, struct failure *failure)
{
	const struct mqtt_subscribe s = {.packet_id = take_packet_id(c, MQTT_UNSUBACK),
					 .properties = own_properties(c, MQTT_UNSUBSCRIBE)};
	const size_t room = 66 + s.properties.user.len + filter.len;
	const size_t size = mqtt_encode_unsubscribe(buffer_reserve(&c->out, room), room,
						    version_of(c), &s, &filter, 1);

	if (!may_send(c, s.packet_id, "The request to unsubscribe", size, failure))
		return false;
	debug(c, "sending UNSUBSCRIBE (Mid: %u, Topic: %.*s)", s.packet_id, (int)filter.len,
	      (const char *)filter.at);
	sent(c, size);
	return true;
}

static void send_connect(struct client *c)
{
	const struct mqtt_connect *p = &c->settings->connect;
	const size_t room = 256 + p->client_id.len + p->user_name.len + p->password.len +
			    property_size(p->version, &p->properties) + p->will.topic.len +
			    p->will.payload.len + property_size(p->version, &p->will.properties);

	debug(c, "sending CONNECT");
	sent(c, mqtt_encode_connect(buffer_reserve(&c->out, room), room, p));
}

/* ---- what the server sends ---- */

typedef enum mqtt_reason handle_packet(struct client *c, const struct frame *frame);

static void set_name(struct client *c, struct slice name)
{
	free(c->name);
	c->name = need_copy(name);
}

static enum mqtt_reason on_connack(struct client *c, const struct frame *frame)
{
	struct mqtt_connack p;
	const enum mqtt_reason reason = mqtt_decode_connack(frame->body, version_of(c), &p);
	const struct mqtt_properties *has = &p.properties;

	if (reason != MQTT_SUCCESS || c->connected)
		return reason != MQTT_SUCCESS ? reason : MQTT_PROTOCOL_ERROR;
	if (mqtt_has(has, MQTT_PROPERTY_ASSIGNED_CLIENT_IDENTIFIER))
		set_name(c, has->assigned_client_identifier);
	debug(c, "received CONNACK (%u)", p.reason);
	if (p.reason != MQTT_SUCCESS) {
		c->refused = true;
		c->refusal = p.reason;
		failure_set(c->failure, "%.*s", (int)mqtt_reason_words(has).len,
			    (const char *)mqtt_reason_words(has).at);
		return MQTT_SUCCESS;
	}
	c->connected = true;
	/* [MQTT-3.2.2-21]: the server's keep alive, when it gives one, is ours. */
	if (mqtt_has(has, MQTT_PROPERTY_SERVER_KEEP_ALIVE))
		c->keep_alive_s = has->server_keep_alive_s;
	if (mqtt_has(has, MQTT_PROPERTY_RECEIVE_MAXIMUM) && has->receive_maximum < c->send_quota)
		c->send_quota = has->receive_maximum;
	server_limits_read(&c->limits, has);
	return MQTT_SUCCESS;
}

/* Puts a topic where only its alias came, and remembers new ones. 5.0 section 3.3.2.3.4 */
static enum mqtt_reason resolve_alias(struct client *c, struct mqtt_publish *p)
{
	struct slice *known;

	if (!mqtt_has(&p->properties, MQTT_PROPERTY_TOPIC_ALIAS))
		return MQTT_SUCCESS;
	if (p->properties.topic_alias > c->alias_count)
		return MQTT_TOPIC_ALIAS_INVALID;
	known = &c->aliases[p->properties.topic_alias - 1];
	if (p->topic.len > 0) {
		free((void *)(uintptr_t)known->at);
		*known = slice_of(need_copy(p->topic), p->topic.len);
	} else if (known->len == 0) {
		return MQTT_PROTOCOL_ERROR;
	}
	p->topic = *known;
	return MQTT_SUCCESS;
}

static enum mqtt_reason on_publish(struct client *c, const struct frame *frame)
{
	struct mqtt_publish p;
	enum mqtt_reason reason = mqtt_decode_publish(frame->flags, frame->body, version_of(c), &p);

	if (reason == MQTT_SUCCESS)
		reason = resolve_alias(c, &p);
	if (reason != MQTT_SUCCESS)
		return reason;
	debug(c, "received PUBLISH (d%d, q%u, r%d, m%u, '%.*s', ... (%zu bytes))", p.dup, p.qos,
	      p.retain, p.packet_id, (int)p.topic.len, (const char *)p.topic.at, p.payload.len);
	if (p.qos == 2) {
		held_add(&c->held, p.packet_id, frame->flags, p.topic, frame->body);
		send_ack(c, MQTT_PUBREC, p.packet_id);
		return MQTT_SUCCESS;
	}
	c->events->on_message(c, &p);
	/* Acknowledged once it was shown: what is lost between is sent again. */
	if (p.qos == 1)
		send_ack(c, MQTT_PUBACK, p.packet_id);
	return MQTT_SUCCESS;
}

/* PUBREL ends a message of QoS 2, ours to show or known already. [MQTT-4.3.3-11] */
static void release(struct client *c, uint16_t packet_id)
{
	struct held *held = held_take(&c->held, packet_id);
	struct mqtt_publish p;

	if (held != NULL) {
		must(mqtt_decode_publish(held->flags, held_body(held), version_of(c), &p) ==
		     MQTT_SUCCESS);
		p.topic = held_topic(held);
		c->events->on_message(c, &p);
		free(held);
	}
	send_ack(c, MQTT_PUBCOMP, packet_id);
}

static void answered(struct client *c, uint8_t type, uint16_t packet_id, struct slice reasons)
{
	c->awaited[packet_id] = 0;
	c->unanswered--;
	if (type != MQTT_SUBACK && type != MQTT_UNSUBACK)
		c->send_quota++;
	c->events->on_answer(c, type, packet_id, reasons);
}

/* In the words of mosquitto's commands, which show no code of these two. */
static void debug_ack(const struct client *c, const struct mqtt_ack *p)
{
	if ((p->type == MQTT_PUBREC || p->type == MQTT_PUBREL) && p->reason == MQTT_SUCCESS)
		debug(c, "received %s (Mid: %u)", mqtt_packet_name(p->type), p->packet_id);
	else
		debug(c, "received %s (Mid: %u, RC:%u)", mqtt_packet_name(p->type), p->packet_id,
		      p->reason);
}

static enum mqtt_reason on_ack(struct client *c, const struct frame *frame)
{
	struct mqtt_ack p;
	const enum mqtt_reason reason =
	    mqtt_decode_ack(frame->type, frame->body, version_of(c), &p);

	if (reason != MQTT_SUCCESS)
		return reason;
	debug_ack(c, &p);
	if (p.type == MQTT_PUBREL) {
		release(c, p.packet_id);
		return MQTT_SUCCESS;
	}
	/* An answer to nothing of ours: the leftover of an earlier session. */
	if (c->awaited[p.packet_id] != p.type) {
		if (p.type == MQTT_PUBREC && c->awaited[p.packet_id] == 0)
			send_ack(c, MQTT_PUBREL, p.packet_id);
		return MQTT_SUCCESS;
	}
	if (p.type == MQTT_PUBREC && !mqtt_reason_is_error(p.reason)) {
		c->awaited[p.packet_id] = MQTT_PUBCOMP;
		send_ack(c, MQTT_PUBREL, p.packet_id);
	} else {
		answered(c, p.type, p.packet_id, slice_of(&p.reason, 1));
	}
	return MQTT_SUCCESS;
}

static enum mqtt_reason on_suback(struct client *c, const struct frame *frame)
{
	struct mqtt_suback p;
	const enum mqtt_reason reason =
	    mqtt_decode_suback(frame->type, frame->body, version_of(c), &p);

	if (reason != MQTT_SUCCESS)
		return reason;
	debug(c, "received %s", mqtt_packet_name(p.type));
	if (c->awaited[p.packet_id] == p.type)
		answered(c, p.type, p.packet_id, p.reasons);
	return MQTT_SUCCESS;
}

static enum mqtt_reason on_pingresp(struct client *c, const struct frame *frame)
{
	if (frame->body.len > 0)
		return MQTT_MALFORMED_PACKET;
	debug(c, "received PINGRESP");
	c->ping_sent_ms = 0;
	return MQTT_SUCCESS;
}

static enum mqtt_reason on_disconnect(struct client *c, const struct frame *frame)
{
	struct mqtt_disconnect p;
	const enum mqtt_reason reason = mqtt_decode_disconnect(frame->body, version_of(c), &p);

	if (reason != MQTT_SUCCESS || version_of(c) != MQTT_VERSION_5_0)
		return reason != MQTT_SUCCESS ? reason : MQTT_PROTOCOL_ERROR;
	debug(c, "received DISCONNECT (%u)", p.reason);
	const struct slice words = mqtt_reason_words(&p.properties);
	failure_set(c->failure, "The broker ended the connection: %s%s%.*s.",
		    mqtt_reason_text(p.reason), words.len > 0 ? ": " : "", (int)words.len,
		    (const char *)words.at);
	c->connected = false;
	return MQTT_SUCCESS;
}

/* NULL: a packet that only a client may send, or none at all. */
static handle_packet *const handlers[16] = {
    NULL, NULL,	     on_connack, on_publish, on_ack, on_ack,	  on_ack,	 on_ack,
    NULL, on_suback, NULL,	 on_suback,  NULL,   on_pingresp, on_disconnect, NULL,
};

/* 5.0 tells the server why the client leaves. [MQTT-4.13.1-1] */
static bool give_up(struct client *c, enum mqtt_reason reason)
{
	const struct mqtt_disconnect p = {.reason = (uint8_t)reason};

	if (version_of(c) == MQTT_VERSION_5_0 && c->connected) {
		sent(c, mqtt_encode_disconnect(buffer_reserve(&c->out, 64), 64, version_of(c), &p));
		flush(c);
	}
	c->connected = false;
	return failure_set(c->failure, "The broker sent what MQTT does not allow: %s.",
			   mqtt_reason_text((uint8_t)reason));
}

/* Handles the packets that are whole. */
static bool handle_input(struct client *c)
{
	size_t used = 0;
	struct frame frame;

	while (!c->stop && !c->refused) {
		const enum frame_status status =
		    frame_cut(slice_after(buffer_slice(&c->in), used), &frame);
		enum mqtt_reason reason = MQTT_MALFORMED_PACKET;

		if (status == FRAME_PARTIAL)
			break;
		if (status == FRAME_WHOLE && mqtt_flags_valid(frame.type, frame.flags))
			reason = handlers[frame.type] == NULL ||
					 (!c->connected && frame.type != MQTT_CONNACK)
				     ? MQTT_PROTOCOL_ERROR
				     : handlers[frame.type](c, &frame);
		if (reason != MQTT_SUCCESS)
			return give_up(c, reason);
		if (frame.type == MQTT_DISCONNECT)
			return false;
		used += frame.size;
	}
	buffer_drop(&c->in, used);
	return true;
}

/* Until there is no more, where poll(2) does not see what was taken from the socket already. */
static bool read_some(struct client *c)
{
	do {
		const ssize_t n =
		    channel_receive(&c->channel, buffer_reserve(&c->in, READ_SIZE), READ_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n <= 0) {
			c->connected = false;
			return failure_set(c->failure, "The connection was lost%s%s.",
					   n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
		}
		c->in.len += (size_t)n;
		if (!handle_input(c))
			return false;
	} while (channel_reads_ahead(&c->channel) && !c->stop);
	return true;
}

/* ---- time ---- */

/* PINGREQ when nothing was sent for a keep alive [MQTT-3.1.2-20]; an answer is due in as long. */
static bool keep_alive(struct client *c, int64_t now_ms)
{
	const int64_t period_ms = (int64_t)c->keep_alive_s * 1000;

	if (period_ms == 0 || !c->connected)
		return true;
	if (c->ping_sent_ms != 0 && now_ms - c->ping_sent_ms >= period_ms)
		return failure_set(c->failure, "The broker does not answer (keep alive).");
	if (c->ping_sent_ms == 0 && now_ms - c->last_sent_ms >= period_ms) {
		debug(c, "sending PINGREQ");
		sent(c, mqtt_encode_empty(buffer_reserve(&c->out, 2), 2, MQTT_PINGREQ));
		c->ping_sent_ms = now_ms;
	}
	return true;
}

static int wait_ms(const struct client *c, int64_t now_ms, int64_t deadline_ms)
{
	const int64_t period_ms = (int64_t)c->keep_alive_s * 1000;
	int64_t due_ms = deadline_ms < 0 ? INT64_MAX : deadline_ms;

	if (c->connected && period_ms > 0) {
		const int64_t since = c->ping_sent_ms != 0 ? c->ping_sent_ms : c->last_sent_ms;

		if (since + period_ms < due_ms)
			due_ms = since + period_ms;
	}
	if (due_ms <= now_ms)
		return 0;
	return due_ms - now_ms > INT32_MAX ? -1 : (int)(due_ms - now_ms);
}

bool client_step(struct client *c, int other_fd, int64_t deadline_ms, struct failure *failure)
{
	struct pollfd fds[2] = {{.fd = c->channel.fd, .events = POLLIN},
				{.fd = other_fd, .events = POLLIN}};
	const int64_t now_ms = clock_now_ms();

	c->failure = failure;
	if (!keep_alive(c, now_ms) || !flush(c))
		return false;
	if (c->out.len > 0)
		fds[0].events |= POLLOUT;
	if (poll(fds, other_fd >= 0 ? 2 : 1, wait_ms(c, now_ms, deadline_ms)) < 0)
		return errno == EINTR ? true : failure_set(failure, "poll: %s.", strerror(errno));
	c->other_ready = other_fd >= 0 && fds[1].revents != 0;
	if (fds[0].revents != 0 && (fds[0].revents & ~POLLOUT) != 0 && !read_some(c))
		return false;
	return flush(c);
}

/* ---- beginning and end ---- */

static void make_alias_room(struct client *c)
{
	const struct mqtt_properties *p = &c->settings->connect.properties;

	if (!mqtt_has(p, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM) || p->topic_alias_maximum == 0)
		return;
	c->alias_count = p->topic_alias_maximum;
	c->aliases = need_memory(c->alias_count * sizeof(*c->aliases));
	memset(c->aliases, 0, c->alias_count * sizeof(*c->aliases));
}

bool client_connect(struct client *c, const struct client_settings *settings,
		    const struct client_events *events, void *user, struct failure *failure)
{
	int64_t deadline_ms;

	*c = (struct client){.settings = settings,
			     .events = events,
			     .user = user,
			     .failure = failure,
			     .send_quota = settings->inflight_max,
			     .keep_alive_s = settings->connect.keep_alive_s};
	server_limits_init(&c->limits);
	c->awaited = need_memory(UINT16_MAX + 1u);
	memset(c->awaited, 0, UINT16_MAX + 1u);
	set_name(c, settings->connect.client_id);
	make_alias_room(c);
	if (!channel_open(&c->channel, &settings->target, &settings->layers, failure))
		return false;
	c->last_sent_ms = clock_now_ms();
	deadline_ms = c->last_sent_ms + (int64_t)CONNACK_WAIT_S * 1000;
	if (settings->target.until_ms > 0 && settings->target.until_ms < deadline_ms)
		deadline_ms = settings->target.until_ms;
	send_connect(c);
	while (!c->connected && !c->refused) {
		if (clock_now_ms() >= deadline_ms)
			return failure_set(failure,
					   "The broker did not answer CONNECT within "
					   "%d seconds.",
					   CONNACK_WAIT_S);
		if (!client_step(c, -1, deadline_ms, failure))
			return false;
	}
	return c->connected;
}

void client_disconnect_for(struct client *c, enum mqtt_reason reason)
{
	const struct mqtt_disconnect p = {.reason = (uint8_t)reason,
					  .properties = fitting_properties(c, MQTT_DISCONNECT)};
	const size_t room = 64 + property_size(version_of(c), &p.properties);
	struct pollfd pollfd = {.fd = c->channel.fd, .events = POLLOUT};
	static struct failure ignored; /* it outlives this call in c->failure */

	if (!c->connected)
		return;
	c->failure = &ignored;
	debug(c, "sending DISCONNECT");
	sent(c, mqtt_encode_disconnect(buffer_reserve(&c->out, room), room, version_of(c), &p));
	while (flush(c) && c->out.len > 0 && poll(&pollfd, 1, 5000) > 0)
		;
	channel_finish(&c->channel);
	c->connected = false;
}

void client_disconnect(struct client *c)
{
	client_disconnect_for(c, MQTT_SUCCESS);
}

void client_finish(struct client *c)
{
	held_finish(&c->held);
	for (size_t i = 0; i < c->alias_count; i++)
		free((void *)(uintptr_t)c->aliases[i].at);
	free(c->aliases);
	free(c->awaited);
	free(c->name);
	buffer_finish(&c->in);
	buffer_finish(&c->out);
	channel_close(&c->channel);
	*c = (struct client){.channel = {.fd = -1}};
}
