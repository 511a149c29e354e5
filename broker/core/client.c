/*
 * client.c - one network connection: cuts packets out of what is read, keeps the time,
 * and ends it.  MQTT 5.0 chapter 4.13 for how faults are answered.
 */
#include "broker/core/core.h"
#include "broker/core/rate.h"
#include "broker/core/rights.h"
#include "proto/frame.h"

/* How long a client that is being closed may take to read what is left for it. */
#define LINGER_MS 5000u

/* So much of a packet since the last time counts as a sign of life. */
#define PROGRESS_BYTES 1000u

struct client *client_of_link(const struct shard *shard, uint32_t link)
{
	if (link / CLIENT_PAGE >= shard->client_pages)
		return NULL;
	struct client *client = &shard->clients[link / CLIENT_PAGE][link % CLIENT_PAGE];
	return client->state == CLIENT_NONE ? NULL : client;
}

static struct client *place_for(struct shard *shard, uint32_t link)
{
	uint32_t pages = link / CLIENT_PAGE + 1;
	if (pages > shard->client_pages)
		shard->clients = memory_resize(shard->clients, pages * sizeof *shard->clients);
	for (; shard->client_pages < pages; shard->client_pages++)
		shard->clients[shard->client_pages] =
		    memory_get_zeroed(CLIENT_PAGE * sizeof(struct client));
	return &shard->clients[link / CLIENT_PAGE][link % CLIENT_PAGE];
}

void client_open(struct shard *shard, const struct event *event)
{
	must(client_of_link(shard, event->link) == NULL);
	struct client *client = place_for(shard, event->link);
	client->link = event->link;
	client->state = CLIENT_LOBBY;
	client->serial = ++shard->serial;
	client->opened_ms = event->opened_ms;
	client->last_packet_ms = shard->now.ms;
	client->listener = event->listener;
	client->maximum_packet_size = UINT32_MAX;
	client->receive_maximum = UINT16_MAX;
	client->timer.kind = TIMER_CLIENT;
	rate_forget(shard, event->link);
	shard->link_count++;
	purse_force(&shard->purse, sizeof *client);
	COUNT(shard, LINKS);
	COUNT(shard, LINKS_OPENED);
	timer_arm(&shard->timers, &client->timer,
		  client->opened_ms + shard->settings->connect_timeout_ms);
	if (shard->stopping) /* it was on its way here when the broker was told to stop */
		client_close(shard, client, false);
}

static void free_partial(struct shard *shard, struct partial *partial)
{
	if (partial == NULL)
		return;
	purse_give(&shard->purse, sizeof *partial + partial->room);
	purse_payload_free(&shard->purse, partial, sizeof *partial + partial->len);
}

static void drop_partial(struct shard *shard, struct client *client)
{
	free_partial(shard, client->partial);
	client->partial = NULL;
}

void client_free(struct shard *shard, struct client *client)
{
	timer_cancel(&shard->timers, &client->timer);
	rate_remember(shard, client->link);
	drop_partial(shard, client);
	outbox_clear(&client->outbox, &shard->purse);
	will_free(shard, client->will);
	idset_destroy(client->received, &shard->purse);
	idset_destroy(client->releases, &shard->purse);
	alias_destroy(client->aliases_in, &shard->purse);
	alias_destroy(client->aliases_out, &shard->purse);
	if (client->answered)
		authentication_free(shard, client->authentication);
	else
		connecting_free(shard, client);
	for (uint32_t i = 0; client->drained_told && i < shard->drained_count; i++)
		if (shard->drained[i] == client)
			shard->drained[i] = NULL;
	for (uint32_t i = 0; i < shard->spent_count; i++)
		if (shard->spent[i] == client)
			shard->spent[i] = NULL;
	shard->link_count--;
	purse_give(&shard->purse, sizeof *client);
	UNCOUNT(shard, LINKS);
	*client = (struct client){.state = CLIENT_NONE};
}

/* ---- the end ---- */

#define SECONDS_AN_HOUR 3600u

/* A client in the log is a number that means nothing, and another number next hour. */
void client_tell(struct shard *shard, const struct client *client, bool came)
{
	if (!shard->settings->connection_messages)
		return;
	const struct session *session = session_at(shard, client->session);
	uint64_t name[2] = {session_hash(shard, session), shard->now.wall_s / SECONDS_AN_HOUR};
	struct effect *effect = shard_effect(shard, EFFECT_TELL, client->link);
	effect->on = came;
	effect->reason = client->end_reason;
	effect->listener = client->listener->number;
	effect->pseudonym = hash_keyed(shard->hash_key, slice_of(name, sizeof name));
}

void client_close(struct shard *shard, struct client *client, bool publish_will)
{
	if (client->state == CLIENT_CLOSING)
		return;
	/* A connection that never had its CONNACK leaves no will behind. */
	publish_will = publish_will && client->state == CLIENT_UP;
	if (client->state == CLIENT_UP) {
		UNCOUNT(shard, CLIENTS_CONNECTED);
		client_tell(shard, client, false);
	}
	/* from here on nothing is sent [MQTT-3.14.4-1] */
	client->state = CLIENT_CLOSING;
	drop_partial(shard, client);
	timer_arm(&shard->timers, &client->timer, shard->now.ms + LINGER_MS);
	shard_effect(shard, EFFECT_CLOSE, client->link);
	if (client->session != 0)
		session_detach(shard, session_at(shard, client->session), publish_will);
}

/*
 * The sentence goes to clients that asked for problem information in CONNECT, as in CONNACK; to
 * the others the code has to say it, as everywhere.  [MQTT-3.14.2-3]: and only if the whole
 * packet stays within the client's limit.  [MQTT-3.14.2-2]: never a session expiry, nor user
 * properties [MQTT-3.14.2-4].
 */
static void send_disconnect(struct shard *shard, struct client *client, enum mqtt_reason reason,
			    const char *text)
{
	uint8_t packet[512];
	struct mqtt_disconnect disconnect = {.reason = (uint8_t)reason};
	if (text && client->problem_information) {
		mqtt_set(&disconnect.properties, MQTT_PROPERTY_REASON_STRING);
		disconnect.properties.reason_string = slice_text(text);
	}
	size_t n = mqtt_encode_disconnect(packet, sizeof packet, MQTT_VERSION_5_0, &disconnect);
	if (n == 0 || !client_fits(client, n)) {
		disconnect.properties.present = 0;
		n = mqtt_encode_disconnect(packet, sizeof packet, MQTT_VERSION_5_0, &disconnect);
	}
	if (client_fits(client, n))
		client_send(shard, client, packet, n);
}

/* Faults end the connection. [MQTT-4.13.1-1] [MQTT-4.13.2-1] [MQTT-3.14.4-2] [MQTT3-4.8.0-1]
 * [MQTT3-4.8.0-2] */
void client_fail(struct shard *shard, struct client *client, enum mqtt_reason reason,
		 const char *text)
{
	if (client->state == CLIENT_CLOSING)
		return;
	client->end_reason = (uint8_t)reason;
	happened_refused(&shard->happened, client->listener->number, (uint8_t)reason);
	/* [MQTT-3.14.0-1]: before CONNACK there is nothing to say but CONNACK. */
	if (client->state == CLIENT_UP && client->version == MQTT_VERSION_5_0)
		send_disconnect(shard, client, reason, text);
	client_close(shard, client, true);
}

void client_gone(struct shard *shard, struct client *client)
{
	client->end_reason = MQTT_UNSPECIFIED_ERROR;
	client_close(shard, client, true);
	client_free(shard, client);
}

/* ---- time ---- */

static uint64_t keep_alive_due(const struct client *client)
{
	/* [MQTT-3.1.2-22] [MQTT3-3.1.2-24] */
	return client->last_packet_ms + client->keep_alive_s * 1500ull;
}

void client_timer(struct shard *shard, struct client *client)
{
	switch ((enum client_state)client->state) {
	case CLIENT_LOBBY:
	case CLIENT_EXCHANGING:
		client_close(shard, client, false);
		return;
	case CLIENT_UP:
		if (client->waiting)
			client_go_on(shard, client); /* rate.h */
		/* A pause, which may have just begun, has the timer for itself. */
		if (client->state != CLIENT_UP || client->keep_alive_s == 0 ||
		    rate_pauses(shard, client))
			return;
		if (shard->now.ms < keep_alive_due(client)) {
			timer_arm(&shard->timers, &client->timer, keep_alive_due(client));
			traffic_rest(shard, session_at(shard, client->session));
			return;
		}
		COUNT(shard, KEEPALIVE_TIMEOUTS);
		client_fail(shard, client, MQTT_KEEP_ALIVE_TIMEOUT,
			    "no packet within 1.5 times the keep alive");
		return;
	default: /* the store and auth answer in the end; a closing link is the shell's to cut */
		return;
	}
}

/* ---- input ---- */

typedef void packet_handler(struct shard *shard, struct client *client, struct slice body);

/* What a client that is UP may send, but for PUBLISH and the acknowledgements. */
static packet_handler *const handlers[16] = {
    [MQTT_SUBSCRIBE] = on_subscribe, [MQTT_UNSUBSCRIBE] = on_unsubscribe,
    [MQTT_PINGREQ] = on_pingreq,     [MQTT_DISCONNECT] = on_disconnect,
    [MQTT_AUTH] = on_auth,
};

static void violation(struct shard *shard, struct client *client, enum mqtt_reason reason,
		      const char *text)
{
	COUNT(shard, MALFORMED);
	client_fail(shard, client, reason, text);
}

/* What the first byte alone says against a packet of a client that is UP. */
static struct refusal first_byte_refusal(const struct client *client, uint8_t type, uint8_t flags)
{
	bool is_ack = type >= MQTT_PUBACK && type <= MQTT_PUBCOMP;
	if (type == 0 || (type == MQTT_AUTH && client->version != MQTT_VERSION_5_0))
		return (struct refusal){MQTT_MALFORMED_PACKET, "packet type not defined"};
	/* [MQTT-2.1.3-1] [MQTT3-2.2.2-1] [MQTT3-2.2.2-2]; 3.1 had DUP there */
	if (!mqtt_flags_valid(type, flags) && client->version > MQTT_VERSION_3_1)
		return (struct refusal){MQTT_MALFORMED_PACKET, "reserved flags not as defined"};
	/* a second CONNECT [MQTT-3.1.0-2] [MQTT3-3.1.0-2] [MQTT-3.2.0-2], or what only a server
	 * sends */
	if (type != MQTT_PUBLISH && !is_ack && handlers[type] == NULL)
		return (struct refusal){MQTT_PROTOCOL_ERROR, "packet not expected from a client"};
	return (struct refusal){MQTT_SUCCESS, NULL};
}

static void packet_up(struct shard *shard, struct client *client, const struct frame *frame)
{
	client->last_packet_ms = shard->now.ms;
	if (frame->type == MQTT_PUBLISH)
		on_publish(shard, client, frame->flags, frame->body);
	else if (handlers[frame->type])
		handlers[frame->type](shard, client, frame->body);
	else
		on_ack(shard, client, frame->type, frame->body);
}

/* [MQTT-3.1.0-1]: closed without an answer. */
static void no_connect(struct shard *shard, struct client *client)
{
	COUNT(shard, MALFORMED);
	happened_refused(&shard->happened, client->listener->number, MQTT_PROTOCOL_ERROR);
	client_close(shard, client, false);
}

static void packet_in_lobby(struct shard *shard, struct client *client, const struct frame *frame,
			    struct slice packet)
{
	/* 3.1 does not use the flags */
	if (mqtt_flags_valid(frame->type, frame->flags) || mqtt_connect_is_3_1(frame->body))
		on_connect(shard, client, packet, frame->body);
	else
		no_connect(shard, client);
}

/* Nothing else until CONNACK. [MQTT-3.1.2-30] */
static void packet_exchanging(struct shard *shard, struct client *client, const struct frame *frame)
{
	bool flags_valid = mqtt_flags_valid(frame->type, frame->flags);
	if (frame->type == MQTT_AUTH && flags_valid) {
		on_auth_connecting(shard, client, frame->body);
	} else if (frame->type == MQTT_DISCONNECT && flags_valid) {
		client_close(shard, client, false);
	} else {
		COUNT(shard, MALFORMED);
		connect_refuse(shard, client, MQTT_PROTOCOL_ERROR,
			       "AUTH or DISCONNECT is what may come before CONNACK");
	}
}

/* Limits that the fixed header alone is enough for; false: the connection is at its end. */
static bool size_allowed(struct shard *shard, struct client *client, size_t size)
{
	bool lobby = client->state == CLIENT_LOBBY || client->state == CLIENT_EXCHANGING;
	size_t limit =
	    lobby ? shard->settings->connect_bytes_max : shard->settings->max_packet_size;
	if (size <= limit)
		return true;
	if (!lobby && size <= shard->told_before.max_packet_size &&
	    came_before_settings(shard, client))
		return true;
	violation(shard, client, MQTT_PACKET_TOO_LARGE, "larger than the maximum packet size");
	return false;
}

/*
 * Nobody waits, and no memory is spent, for the body of a packet whose beginning says enough; so
 * that is looked at first, however the packet comes.  `size` is 0 while it is not known.  False:
 * the connection is at its end.
 */
static bool beginning_allowed(struct shard *shard, struct client *client, uint8_t first,
			      size_t size)
{
	struct refusal refusal = {MQTT_SUCCESS, NULL};
	if (size > 0 && !size_allowed(shard, client, size))
		return false;
	if (client->state == CLIENT_LOBBY && first >> 4 != MQTT_CONNECT) {
		no_connect(shard, client);
		return false;
	}
	if (client->state == CLIENT_UP)
		refusal = first_byte_refusal(client, first >> 4, first & 0x0F);
	if (refusal.reason == MQTT_SUCCESS)
		return true;
	violation(shard, client, refusal.reason, refusal.text);
	return false;
}

static void take_packet(struct shard *shard, struct client *client, const struct frame *frame,
			struct slice packet)
{
	COUNT(shard, PACKETS_RECEIVED);
	if (client->state == CLIENT_UP)
		packet_up(shard, client, frame);
	else if (client->state == CLIENT_EXCHANGING)
		packet_exchanging(shard, client, frame);
	else
		packet_in_lobby(shard, client, frame, packet);
}

/* The bytes that are kept: an unfinished packet, or what may not be read yet. */
static struct slice kept(const struct client *client)
{
	const struct partial *partial = client->partial;
	return partial ? slice_of(partial->bytes, partial->len) : SLICE_NONE;
}

/*
 * A large packet that keeps coming is life, though it takes longer than the keep alive, or nobody
 * could ever publish it over a slow line.  [MQTT-3.1.2-22] asks for whole packets; but a byte now
 * and then keeps nobody alive.
 */
static void note_progress(const struct shard *shard, struct client *client)
{
	struct partial *partial = client->partial;
	if (partial->len - partial->counted < PROGRESS_BYTES)
		return;
	partial->counted = partial->len;
	client->last_packet_ms = shard->now.ms;
}

/* Keeps bytes for later; false when there is no memory for them. */
static bool keep(struct shard *shard, struct client *client, struct slice bytes)
{
	size_t len = kept(client).len;
	size_t need = len + bytes.len;
	if (bytes.len == 0)
		return true;
	if (client->partial == NULL || need > client->partial->room) {
		size_t room = need < 256 ? 256 : need + need / 2;
		if (!purse_take(&shard->purse, sizeof(struct partial) + room)) {
			client_fail(shard, client, MQTT_QUOTA_EXCEEDED,
				    "the broker's memory is full");
			return false;
		}
		struct partial *bigger = purse_payload(&shard->purse, sizeof *bigger + room);
		*bigger = (struct partial){.len = (uint32_t)len, .room = (uint32_t)room};
		if (len > 0) {
			bigger->counted = client->partial->counted;
			memcpy(bigger->bytes, client->partial->bytes, len);
		}
		drop_partial(shard, client);
		client->partial = bigger;
	}
	memcpy(client->partial->bytes + len, bytes.at, bytes.len);
	client->partial->len = (uint32_t)need;
	note_progress(shard, client);
	return true;
}

/* The client's home is another shard: it goes there with its CONNECT and all that followed. */
static void move(struct shard *shard, struct client *client, struct slice packet, struct slice rest)
{
	uint8_t *bytes = purse_payload(&shard->purse, packet.len + rest.len);
	memcpy(bytes, packet.at, packet.len);
	if (rest.len > 0)
		memcpy(bytes + packet.len, rest.at, rest.len);
	struct effect *effect = shard_effect(shard, EFFECT_MOVE, client->link);
	effect->party = client->move_to;
	bundle_seal(&shard->bundles, client->move_to);
	effect->bytes = slice_of(bytes, packet.len + rest.len);
	effect->opened_ms = client->opened_ms;
	client_free(shard, client);
}

/* Nothing is taken from one at its end: [MQTT-3.1.4-6] [MQTT3-3.1.4-5] */
static bool reads_on(const struct client *client)
{
	return client->state == CLIENT_LOBBY || client->state == CLIENT_EXCHANGING ||
	       (client->state == CLIENT_UP && !client->waiting);
}

bool shard_is_done(const struct shard *shard, uint32_t link)
{
	const struct client *client = client_of_link(shard, link);
	return client && (reads_on(client) || client->state == CLIENT_CLOSING);
}

static void stop_reading(struct shard *shard, struct client *client)
{
	client->waiting = true;
	shard_effect(shard, EFFECT_READ, client->link)->on = false;
}

/* Takes a client's turn from it, if it has had enough for one. */
static void end_turn(struct shard *shard, struct client *client, uint64_t work_before)
{
	if (turn_work(shard) - work_before <= TURN_WORK_MAX)
		return;
	stop_reading(shard, client);
	shard->spent = shard_grow(shard->spent, &shard->spent_room, shard->spent_count + 1,
				  sizeof *shard->spent);
	shard->spent[shard->spent_count++] = client;
}

/*
 * Takes whole packets off the front of *bytes.  False: stop, the rest is done with
 * (the client has moved, or is at its end).
 */
static bool take_packets(struct shard *shard, struct client *client, struct slice *bytes)
{
	uint64_t work_before = turn_work(shard);
	while (bytes->len > 0 && reads_on(client)) {
		struct frame frame;
		enum frame_status status = frame_cut(*bytes, &frame);
		size_t size = status == FRAME_BAD ? 0 : frame.size;
		if (!beginning_allowed(shard, client, bytes->at[0], size))
			return false;
		if (status == FRAME_BAD) {
			violation(shard, client, MQTT_MALFORMED_PACKET,
				  "remaining length malformed");
			return false;
		}
		if (status == FRAME_PARTIAL)
			return true;
		struct slice packet = slice_of(bytes->at, frame.size);
		*bytes = slice_after(*bytes, frame.size);
		take_packet(shard, client, &frame, packet);
		if (client->moving) {
			move(shard, client, packet, *bytes);
			return false;
		}
		if (client->state == CLIENT_UP && client_overdue(client))
			stop_reading(shard, client);
		else if (client->state == CLIENT_UP && bytes->len > 0)
			end_turn(shard, client, work_before);
	}
	return client->state != CLIENT_CLOSING;
}

/* How many more bytes the unfinished packet needs before it is worth looking at again. */
static size_t bytes_wanted(const struct client *client)
{
	struct frame frame;
	struct slice partial = kept(client);
	if (frame_cut(partial, &frame) == FRAME_PARTIAL && frame.size > partial.len)
		return frame.size - partial.len;
	return 1;
}

/*
 * Takes what it can from `bytes` and keeps the rest.  False: the connection has
 * moved (and *client is gone) or is at its end.
 */
static bool take_and_keep(struct shard *shard, struct client *client, struct slice bytes)
{
	return take_packets(shard, client, &bytes) && keep(shard, client, bytes);
}

/* The kept bytes, now that they may make a packet; they leave their place first. */
static bool take_partial(struct shard *shard, struct client *client)
{
	struct partial *partial = client->partial;
	client->partial = NULL;
	bool alive = take_and_keep(shard, client, slice_of(partial->bytes, partial->len));
	free_partial(shard, partial);
	return alive;
}

void client_bytes(struct shard *shard, struct client *client, struct slice bytes)
{
	while (client->partial && bytes.len > 0 && reads_on(client)) {
		size_t wanted = bytes_wanted(client);
		size_t n = wanted < bytes.len ? wanted : bytes.len;
		if (client->state == CLIENT_LOBBY)
			n = bytes.len; /* all of it goes along if the client has to move */
		if (!keep(shard, client, slice_of(bytes.at, n)))
			return;
		bytes = slice_after(bytes, n);
		if (n >= wanted && !take_partial(shard, client))
			return;
	}
	if (client->state != CLIENT_CLOSING)
		take_and_keep(shard, client, bytes);
}

void client_resume_reading(struct shard *shard, struct client *client)
{
	shard_effect(shard, EFFECT_READ, client->link)->on = true;
	if (client->partial)
		take_partial(shard, client);
}

void client_go_on(struct shard *shard, struct client *client)
{
	client->blocked = false;
	if (client->state != CLIENT_UP)
		return;
	session_pump(shard, session_at(shard, client->session));
	if (!client->waiting || client_overdue(client) || rate_pauses(shard, client))
		return;
	client->waiting = false;
	client_resume_reading(shard, client);
}

void client_answered(struct shard *shard, struct client *client, uint32_t filters)
{
	client->unanswered -= filters;
	if (client->waiting)
		shard_soon(shard, client);
}
