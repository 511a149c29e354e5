/* shard_peer.c - the connections of a bench, and what comes over them; see shard_bench.h. */
#include <stdio.h>

#include "proto/frame.h"
#include "tests/unit/shard_bench.h"

/* ---- connections ---- */

struct peer *peer_open(struct bench *bench, unsigned shard, enum mqtt_version version)
{
	uint32_t link = 1;
	struct event event = {
	    .type = EVENT_LINK_OPEN, .listener = &bench->listener, .opened_ms = bench->now.ms};

	/* Never used again within a test, so that what came can be looked at after the end. */
	while (bench->peers[link].bench)
		link++;
	ck_assert_uint_lt(link, BENCH_PEERS);
	bench->peers[link] = (struct peer){
	    .bench = bench,
	    .link = link,
	    .shard = (uint16_t)shard,
	    .version = (uint8_t)version,
	    .open = true,
	    .reading = true,
	};
	event.link = link;
	bench_event(bench, shard, &event);
	return &bench->peers[link];
}

void peer_lose(struct peer *peer)
{
	struct event event = {.type = EVENT_LINK_CLOSED, .link = peer->link};

	ck_assert(peer->open);
	peer->open = false;
	bench_event(peer->bench, peer->shard, &event);
}

void peer_bytes(struct peer *peer, struct slice bytes)
{
	struct slice copy = bytes_copy(bytes);
	struct event event = {.type = EVENT_LINK_BYTES,
			      .link = peer->link,
			      .bytes = copy,
			      .identity = peer->identity};

	if (peer->open)
		bench_event(peer->bench, peer->shard, &event);
	bytes_free(copy);
}

void peer_unblock(struct peer *peer)
{
	peer->full = false;
	bench_write_out(peer->bench, peer);
	bench_settle(peer->bench);
}

/* Appends to a packet under construction. */
struct build {
	uint8_t *bytes;
	size_t len;
};

static void put(struct build *build, const void *bytes, size_t len)
{
	build->bytes = realloc(build->bytes, build->len + len + 1);
	ck_assert_ptr_nonnull(build->bytes);
	if (len > 0)
		memcpy(build->bytes + build->len, bytes, len);
	build->len += len;
}

static void put_u8(struct build *build, uint8_t n)
{
	put(build, &n, 1);
}

static void put_u16(struct build *build, size_t n)
{
	put_u8(build, (uint8_t)(n >> 8));
	put_u8(build, (uint8_t)n);
}

static void put_varint(struct build *build, size_t n)
{
	for (; n > 127; n >>= 7)
		put_u8(build, (uint8_t)(n | 0x80));
	put_u8(build, (uint8_t)n);
}

static void put_text(struct build *build, const char *text)
{
	put_u16(build, strlen(text));
	put(build, text, strlen(text));
}

static void put_notation(struct build *build, const char *notation)
{
	struct slice bytes = bytes_parse(notation);

	put(build, bytes.at, bytes.len);
	bytes_free(bytes);
}

/* A property block, with its length; nothing before 5.0. */
static void put_properties(struct build *build, uint8_t version, const char *notation)
{
	struct build block = {0};

	put_notation(&block, notation);
	if (version == MQTT_VERSION_5_0) {
		put_varint(build, block.len);
		put(build, block.bytes, block.len);
	}
	free(block.bytes);
}

static struct build with_header(uint8_t first, struct build body)
{
	struct build packet = {0};

	put_u8(&packet, first);
	put_varint(&packet, body.len);
	put(&packet, body.bytes, body.len);
	free(body.bytes);
	return packet;
}

static void send_built(struct peer *peer, uint8_t first, struct build body)
{
	struct build packet = with_header(first, body);

	peer_bytes(peer, slice_of(packet.bytes, packet.len));
	free(packet.bytes);
}

void peer_send(struct peer *peer, uint8_t first, const char *body)
{
	struct build build = {0};

	put_notation(&build, body);
	send_built(peer, first, build);
}

static void hex_text(const uint8_t *bytes, size_t len, char *out, size_t room)
{
	out[0] = 0;
	for (size_t i = 0; i < len && 3 * i + 4 < room; i++)
		snprintf(out + 3 * i, room - 3 * i, "%02x ", bytes[i]);
}

/* The next packet that came; it stays where it is until take_packet(). */
static bool next_packet(const struct peer *peer, struct frame *frame)
{
	return peer->in_len > 0 &&
	       frame_cut(slice_of(peer->in, peer->in_len), frame) == FRAME_WHOLE;
}

static void take_packet(struct peer *peer, size_t size)
{
	peer->in_len -= size;
	memmove(peer->in, peer->in + size, peer->in_len);
}

static void expect_built(struct peer *peer, uint8_t first, struct build body, int line)
{
	struct build packet = with_header(first, body);
	struct frame frame = {0};
	char came[400] = "nothing", asked[400];

	if (next_packet(peer, &frame))
		hex_text(peer->in, frame.size, came, sizeof came);
	hex_text(packet.bytes, packet.len, asked, sizeof asked);
	ck_assert_msg(frame.size == packet.len && memcmp(peer->in, packet.bytes, packet.len) == 0,
		      "line %d: expected %s\n came %s", line, asked, came);
	take_packet(peer, packet.len);
	free(packet.bytes);
}

static struct build publish_body(uint8_t version, uint16_t packet_id, const char *topic,
				 const char *properties, const char *payload)
{
	struct build body = {0};

	put_text(&body, topic);
	if (packet_id)
		put_u16(&body, packet_id);
	put_properties(&body, version, properties);
	put(&body, payload, strlen(payload));
	return body;
}

void peer_publish(struct peer *peer, uint8_t flags, uint16_t packet_id, const char *topic,
		  const char *properties, const char *payload)
{
	send_built(peer, (uint8_t)(MQTT_PUBLISH << 4 | flags),
		   publish_body(peer->version, packet_id, topic, properties, payload));
}

void peer_authenticated(const struct peer *peer, enum mqtt_reason reason)
{
	struct event event = {.type = EVENT_AUTHENTICATED,
			      .link = peer->link,
			      .serial = peer->bench->asked_serial,
			      .reason = reason};

	bench_event(peer->bench, peer->shard, &event);
}

struct mqtt_connect connect_of(enum mqtt_version version, const char *client_id, bool clean)
{
	return (struct mqtt_connect){
	    .version = version, .client_id = slice_text(client_id), .clean_start = clean};
}

struct mqtt_connect connect_lasting(enum mqtt_version version, const char *client_id,
				    uint32_t expiry_s)
{
	struct mqtt_connect connect = connect_of(version, client_id, false);

	if (version != MQTT_VERSION_5_0)
		return connect;
	mqtt_set(&connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	connect.properties.session_expiry_s = expiry_s;
	return connect;
}

void peer_connect(struct peer *peer, const struct mqtt_connect *connect)
{
	uint8_t packet[2048];
	size_t n = mqtt_encode_connect(packet, sizeof packet, connect);

	ck_assert_uint_gt(n, 0);
	peer->version = (uint8_t)connect->version;
	peer_bytes(peer, slice_of(packet, n));
}

struct peer *peer_up(struct bench *bench, unsigned shard, const struct mqtt_connect *connect,
		     bool session, int line)
{
	struct peer *peer = peer_open(bench, shard, connect->version);
	struct mqtt_connack connack;

	peer_connect(peer, connect);
	connack = peer_expect_connack(peer, 0, line);
	ck_assert_msg(connack.session_present == session, "line %d: session present is %d", line,
		      connack.session_present);
	return peer;
}

struct peer *peer_new(struct bench *bench, enum mqtt_version version, const char *id, int line)
{
	struct mqtt_connect connect = connect_of(version, id, true);

	return peer_up(bench, 0, &connect, false, line);
}

void peer_subscribe(struct peer *peer, const char *filter, uint8_t options, uint32_t identifier,
		    int line)
{
	struct build body = {0}, expected = {0};
	struct build properties = {0};

	put_u16(&body, ++peer->last_id);
	if (identifier != 0) {
		put_u8(&properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
		put_varint(&properties, identifier);
	}
	if (peer->version == MQTT_VERSION_5_0) {
		put_varint(&body, properties.len);
		put(&body, properties.bytes, properties.len);
	}
	free(properties.bytes);
	put_text(&body, filter);
	put_u8(&body, options);
	send_built(peer, 0x82, body);
	put_u16(&expected, peer->last_id);
	put_properties(&expected, peer->version, "");
	put_u8(&expected, options & 3);
	expect_built(peer, 0x90, expected, line);
}

/* ---- what has to come ---- */

void peer_expect(struct peer *peer, uint8_t first, const char *body, int line)
{
	struct build build = {0};

	put_notation(&build, body);
	expect_built(peer, first, build, line);
}

void peer_expect_publish(struct peer *peer, uint8_t flags, uint16_t packet_id, const char *topic,
			 const char *properties, const char *payload, int line)
{
	expect_built(peer, (uint8_t)(MQTT_PUBLISH << 4 | flags),
		     publish_body(peer->version, packet_id, topic, properties, payload), line);
}

void peer_expect_nothing(struct peer *peer, int line)
{
	char came[400];

	hex_text(peer->in, peer->in_len, came, sizeof came);
	ck_assert_msg(peer->in_len == 0, "line %d: came %s", line, came);
	ck_assert_msg(peer->open, "line %d: the connection was closed", line);
}

struct mqtt_connack peer_expect_connack(struct peer *peer, uint8_t reason, int line)
{
	static uint8_t kept[2048]; /* what the slices of the answer point to */
	struct mqtt_connack connack;
	struct frame frame = {0};

	ck_assert_msg(next_packet(peer, &frame) && frame.type == MQTT_CONNACK,
		      "line %d: no CONNACK came", line);
	ck_assert_uint_le(frame.body.len, sizeof kept);
	memcpy(kept, frame.body.at, frame.body.len);
	ck_assert_msg(mqtt_decode_connack(slice_of(kept, frame.body.len),
					  (enum mqtt_version)peer->version,
					  &connack) == MQTT_SUCCESS,
		      "line %d: CONNACK malformed", line);
	ck_assert_msg(connack.reason == reason, "line %d: CONNACK 0x%02x instead of 0x%02x", line,
		      connack.reason, reason);
	take_packet(peer, frame.size);
	if (reason != 0)
		peer_expect_closed(peer, line);
	return connack;
}

void peer_expect_closed(struct peer *peer, int line)
{
	char came[400];

	hex_text(peer->in, peer->in_len, came, sizeof came);
	ck_assert_msg(peer->in_len == 0, "line %d: before the end came %s", line, came);
	ck_assert_msg(!peer->open, "line %d: the connection is still open", line);
}

void peer_expect_end(struct peer *peer, uint8_t reason, int line)
{
	struct mqtt_disconnect disconnect = {0};
	struct frame frame = {0};

	if (peer->version == MQTT_VERSION_5_0) {
		ck_assert_msg(next_packet(peer, &frame) && frame.type == MQTT_DISCONNECT,
			      "line %d: no DISCONNECT came", line);
		ck_assert_msg(mqtt_decode_disconnect(frame.body, MQTT_VERSION_5_0, &disconnect) ==
				  MQTT_SUCCESS,
			      "line %d: DISCONNECT malformed", line);
		ck_assert_msg(disconnect.reason == reason,
			      "line %d: DISCONNECT 0x%02x instead of 0x%02x", line,
			      disconnect.reason, reason);
		take_packet(peer, frame.size);
	}
	peer_expect_closed(peer, line);
}
