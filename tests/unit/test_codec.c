/*
 * test_codec.c - random valid packets of every type and version: what is
 * encoded is decoded and encoded again as the same bytes; no truncation and no
 * mutation makes a decoder read past the end (AddressSanitizer watches); a
 * stream of packets gives the same frames however it is cut.
 */
#include "tests/unit/packets.h"
#include "tests/unit/random.h"

enum {
	ROUNDS = 10000,
	ENTRIES_MAX = 4,
	PACKET_MAX = 4096,
};

/* Where the random packet at hand keeps its strings. */
struct workshop {
	struct random random;
	size_t used;
	uint8_t bytes[PACKET_MAX];
	struct mqtt_subscription subscriptions[ENTRIES_MAX];
	struct slice filters[ENTRIES_MAX];
	size_t entries;
};

static uint32_t below(struct workshop *shop, size_t bound)
{
	return random_below(&shop->random, bound);
}

static bool toss(struct workshop *shop)
{
	return below(shop, 2) == 1;
}

static struct slice keep(struct workshop *shop, const void *at, size_t len)
{
	uint8_t *to = shop->bytes + shop->used;

	ck_assert_uint_le(shop->used + len, sizeof(shop->bytes));
	memcpy(to, at, len);
	shop->used += len;
	return slice_of(to, len);
}

static struct slice random_binary(struct workshop *shop)
{
	uint8_t bytes[40];
	size_t len = below(shop, sizeof(bytes));

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)random_next(&shop->random);
	return keep(shop, bytes, len);
}

/* `least` to 12 characters of one to four bytes, none of them a wildcard. */
static struct slice random_string(struct workshop *shop, size_t least)
{
	static const char *const characters[] = {"a",
						 "/",
						 "$",
						 "Z",
						 "~",
						 "\xC3\xA9",
						 "\xE2\x82\xAC",
						 "\xEF\xBB\xBF",
						 "\xF0\x9F\x98\x80"};
	char text[64] = "";
	size_t n = least + below(shop, 12 - least);

	for (size_t i = 0; i < n; i++)
		strcat(text, characters[below(shop, COUNT_OF(characters))]);
	return keep(shop, text, strlen(text));
}

static struct slice random_user_properties(struct workshop *shop)
{
	uint8_t bytes[400];
	struct writer w = writer_of(bytes, sizeof(bytes));

	for (uint32_t n = below(shop, 3); n > 0; n--) {
		write_u8(&w, MQTT_PROPERTY_USER_PROPERTY);
		write_binary(&w, random_string(shop, 0));
		write_binary(&w, random_string(shop, 0));
	}
	ck_assert(!w.full);
	return keep(shop, bytes, (size_t)(w.at - bytes));
}

/* A value that every property of the type takes; several write over one field. */
static void random_value(struct workshop *shop, const char *type, void *field)
{
	if (strcmp(type, "FLAG") == 0)
		*(uint8_t *)field = (uint8_t)below(shop, 2);
	else if (strcmp(type, "U16") == 0 || strcmp(type, "LIMIT16") == 0 ||
		 strcmp(type, "ALIAS") == 0)
		*(uint16_t *)field = (uint16_t)(1 + below(shop, UINT16_MAX));
	else if (strcmp(type, "U32") == 0 || strcmp(type, "LIMIT32") == 0)
		*(uint32_t *)field = 1 + below(shop, UINT32_MAX);
	else if (strcmp(type, "COUNT") == 0)
		*(uint32_t *)field = 1 + below(shop, VARINT_MAX) / (1u << below(shop, 28));
	else if (strcmp(type, "BINARY") == 0)
		*(struct slice *)field = random_binary(shop);
	else
		*(struct slice *)field = random_string(shop, 1);
}

/* Names for property.def's packets, here as bit sets too; test_property.c checks the table itself.
 */
#define IN(packet) (1u << MQTT_##packet)
#define MQTT_WILL  0
#define MESSAGE	   (IN(PUBLISH) | IN(WILL))
#define OPENING	   (IN(CONNECT) | IN(CONNACK))
#define ANSWER                                                                                     \
	(IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) |           \
	 IN(UNSUBACK) | IN(DISCONNECT) | IN(AUTH))
#define ANYWHERE 0xFFFFu

static struct mqtt_properties random_properties(struct workshop *shop, enum mqtt_version v,
						unsigned packet)
{
	struct mqtt_properties p = {.present = 0};

	if (v < MQTT_VERSION_5_0)
		return p;
#define PROPERTY(id, name, field, type, packets, repeats)                                          \
	if (id != MQTT_PROPERTY_USER_PROPERTY && ((packets) >> packet & 1) &&                      \
	    below(shop, 3) == 0) {                                                                 \
		random_value(shop, #type, &p.field);                                               \
		mqtt_set(&p, id);                                                                  \
	}
#include "proto/property.def"
#undef PROPERTY
	if (mqtt_has(&p, MQTT_PROPERTY_AUTHENTICATION_DATA) || packet == MQTT_AUTH) {
		p.authentication_method = random_string(shop, 0);
		mqtt_set(&p, MQTT_PROPERTY_AUTHENTICATION_METHOD);
	}
	p.user = random_user_properties(shop);
	return p;
}

static uint8_t random_reason(struct workshop *shop, uint8_t type)
{
	uint8_t code;

	do
		code = (uint8_t)below(shop, 256);
	while (!mqtt_reason_allowed(code, type));
	return code;
}

static void random_connect(struct workshop *shop, enum mqtt_version v, struct mqtt_connect *p)
{
	*p = (struct mqtt_connect){
	    .version = v,
	    .bridge = v < MQTT_VERSION_5_0 && toss(shop),
	    .clean_start = toss(shop),
	    .has_will = toss(shop),
	    .has_user_name = toss(shop),
	    .keep_alive_s = (uint16_t)below(shop, 65536),
	    .properties = random_properties(shop, v, MQTT_CONNECT),
	    .client_id = random_string(shop, 0),
	};
	p->has_password = toss(shop) && (p->has_user_name || v == MQTT_VERSION_5_0);
	if (p->has_user_name)
		p->user_name = random_string(shop, 0);
	if (p->has_password)
		p->password = random_binary(shop);
	if (p->has_will)
		p->will = (struct mqtt_will){
		    .qos = (uint8_t)below(shop, 3),
		    .retain = toss(shop),
		    .topic = random_string(shop, 1),
		    .payload = random_binary(shop),
		    .properties = random_properties(shop, v, MQTT_WILL),
		};
}

static void random_connack(struct workshop *shop, enum mqtt_version v, struct mqtt_connack *p)
{
	*p = (struct mqtt_connack){
	    .reason =
		v < MQTT_VERSION_5_0 ? (uint8_t)below(shop, 6) : random_reason(shop, MQTT_CONNACK),
	    .properties = random_properties(shop, v, MQTT_CONNACK),
	};
	p->session_present = p->reason == 0 && toss(shop);
}

static void random_publish(struct workshop *shop, enum mqtt_version v, struct mqtt_publish *p)
{
	*p = (struct mqtt_publish){
	    .qos = (uint8_t)below(shop, 3),
	    .retain = toss(shop),
	    .topic = random_string(shop, 1),
	    .payload = random_binary(shop),
	    .properties = random_properties(shop, v, MQTT_PUBLISH),
	};
	p->dup = p->qos > 0 && toss(shop);
	p->packet_id = p->qos > 0 ? (uint16_t)(1 + below(shop, 65535)) : 0;
	if (mqtt_has(&p->properties, MQTT_PROPERTY_TOPIC_ALIAS) && toss(shop))
		p->topic = SLICE_NONE;
}

static void random_request(struct workshop *shop, enum mqtt_version v, uint8_t type,
			   struct mqtt_subscribe *p)
{
	*p = (struct mqtt_subscribe){
	    .packet_id = (uint16_t)(1 + below(shop, 65535)),
	    .properties = random_properties(shop, v, type),
	};
	shop->entries = 1 + below(shop, ENTRIES_MAX);
	for (size_t i = 0; i < shop->entries; i++) {
		shop->filters[i] = random_string(shop, 1);
		shop->subscriptions[i] = (struct mqtt_subscription){
		    .filter = shop->filters[i],
		    .qos = (uint8_t)below(shop, 3),
		    .no_local = v == MQTT_VERSION_5_0 && toss(shop),
		    .retain_as_published = v == MQTT_VERSION_5_0 && toss(shop),
		    .retain_handling = v == MQTT_VERSION_5_0 ? (uint8_t)below(shop, 3) : 0,
		};
	}
}

static void random_suback(struct workshop *shop, enum mqtt_version v, uint8_t type,
			  struct mqtt_suback *p)
{
	static const uint8_t old_codes[] = {0x00, 0x01, 0x02, 0x80};
	uint8_t codes[ENTRIES_MAX];
	size_t count = 1 + below(shop, ENTRIES_MAX);

	for (size_t i = 0; i < count; i++)
		codes[i] =
		    v == MQTT_VERSION_5_0 ? random_reason(shop, type) : old_codes[below(shop, 4)];
	*p = (struct mqtt_suback){
	    .type = type,
	    .packet_id = (uint16_t)(1 + below(shop, 65535)),
	    .reasons = keep(shop, codes, count),
	    .properties = random_properties(shop, v, type),
	};
}

static void random_packet(struct workshop *shop, enum mqtt_version v, uint8_t type, union packet *p)
{
	bool newest = v == MQTT_VERSION_5_0;

	shop->used = 0;
	switch (type) {
	case MQTT_CONNECT:
		random_connect(shop, v, &p->connect);
		break;
	case MQTT_CONNACK:
		random_connack(shop, v, &p->connack);
		break;
	case MQTT_PUBLISH:
		random_publish(shop, v, &p->publish);
		break;
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
		random_request(shop, v, type, &p->subscribe);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		random_suback(shop, v, type, &p->suback);
		break;
	case MQTT_DISCONNECT:
		p->disconnect = (struct mqtt_disconnect){
		    .reason = newest ? random_reason(shop, type) : 0,
		    .properties = random_properties(shop, v, type),
		};
		break;
	case MQTT_AUTH:
		p->auth = (struct mqtt_auth){
		    .reason = random_reason(shop, type),
		    .properties = random_properties(shop, v, type),
		};
		break;
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		break;
	default:
		p->ack = (struct mqtt_ack){
		    .type = type,
		    .packet_id = (uint16_t)(1 + below(shop, 65535)),
		    .reason = newest ? random_reason(shop, type) : 0,
		    .properties = random_properties(shop, v, type),
		};
		break;
	}
}

static size_t encode(const struct workshop *shop, enum mqtt_version v, uint8_t type,
		     const union packet *p, uint8_t *out, size_t room)
{
	switch (type) {
	case MQTT_CONNECT:
		return mqtt_encode_connect(out, room, &p->connect);
	case MQTT_CONNACK:
		return mqtt_encode_connack(out, room, v, &p->connack);
	case MQTT_PUBLISH:
		return mqtt_encode_publish(out, room, v, &p->publish);
	case MQTT_SUBSCRIBE:
		return mqtt_encode_subscribe(out, room, v, &p->subscribe, shop->subscriptions,
					     shop->entries);
	case MQTT_UNSUBSCRIBE:
		return mqtt_encode_unsubscribe(out, room, v, &p->subscribe, shop->filters,
					       shop->entries);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return mqtt_encode_suback(out, room, v, &p->suback);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return mqtt_encode_empty(out, room, type);
	case MQTT_DISCONNECT:
		return mqtt_encode_disconnect(out, room, v, &p->disconnect);
	case MQTT_AUTH:
		return mqtt_encode_auth(out, room, &p->auth);
	default:
		return mqtt_encode_ack(out, room, v, &p->ack);
	}
}

/* Gives decoded properties the form in which they are encoded: user properties in `user`. */
static void make_encodable(struct workshop *shop, struct mqtt_properties *p)
{
	uint8_t bytes[400];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct slice raw = p->raw, name, value;

	while (mqtt_next_user_property(&raw, &name, &value)) {
		write_u8(&w, MQTT_PROPERTY_USER_PROPERTY);
		write_binary(&w, name);
		write_binary(&w, value);
	}
	ck_assert(!w.full);
	p->user = keep(shop, bytes, (size_t)(w.at - bytes));
}

/* The decoded packet, with everything in the places from which it is encoded. */
static void make_packet_encodable(struct workshop *shop, enum mqtt_version v, uint8_t type,
				  union packet *p)
{
	size_t n = 0;

	shop->used = 0;
	switch (type) {
	case MQTT_CONNECT:
		make_encodable(shop, &p->connect.properties);
		make_encodable(shop, &p->connect.will.properties);
		break;
	case MQTT_CONNACK:
		make_encodable(shop, &p->connack.properties);
		break;
	case MQTT_PUBLISH:
		make_encodable(shop, &p->publish.properties);
		break;
	case MQTT_SUBSCRIBE:
		while (mqtt_next_subscription(&p->subscribe.entries, v, &shop->subscriptions[n]))
			n++;
		shop->entries = p->subscribe.count;
		ck_assert_uint_eq(n, shop->entries);
		make_encodable(shop, &p->subscribe.properties);
		break;
	case MQTT_UNSUBSCRIBE:
		while (mqtt_next_filter(&p->subscribe.entries, &shop->filters[n]))
			n++;
		shop->entries = p->subscribe.count;
		ck_assert_uint_eq(n, shop->entries);
		make_encodable(shop, &p->subscribe.properties);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		make_encodable(shop, &p->suback.properties);
		break;
	case MQTT_DISCONNECT:
		make_encodable(shop, &p->disconnect.properties);
		break;
	case MQTT_AUTH:
		make_encodable(shop, &p->auth.properties);
		break;
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		break;
	default:
		make_encodable(shop, &p->ack.properties);
		break;
	}
}

/* Any type and version that go together. */
static uint8_t random_type(struct workshop *shop, enum mqtt_version *v)
{
	uint8_t type = (uint8_t)(1 + below(shop, 15));

	*v = type == MQTT_AUTH ? MQTT_VERSION_5_0 : (enum mqtt_version)(3 + below(shop, 3));
	return type;
}

START_TEST(round_trip)
{
	static struct workshop shop;
	static uint8_t first[PACKET_MAX], second[PACKET_MAX];

	shop.random = random_start();
	for (unsigned i = 0; i < ROUNDS; i++) {
		enum mqtt_version v;
		uint8_t type = random_type(&shop, &v);
		enum mqtt_reason reason;
		size_t size, again;
		union packet p;
		struct frame f;
		struct slice body;

		random_packet(&shop, v, type, &p);
		size = encode(&shop, v, type, &p, first, sizeof(first));
		ck_assert_uint_gt(size, 0);
		ck_assert_uint_eq(encode(&shop, v, type, &p, second, size - 1), 0);
		ck_assert_int_eq(frame_cut(slice_of(first, size), &f), FRAME_WHOLE);
		ck_assert_uint_eq(f.size, size);
		ck_assert_uint_eq(f.type, type);
		body = f.body = bytes_copy(f.body);
		memset(&p, 0xA5, sizeof(p));
		reason = packet_decode(&f, v, &p);
		ck_assert_msg(reason == MQTT_SUCCESS,
			      "round %u: %s in version %d: 0x%02x (" RANDOM_SEED ")", i,
			      mqtt_packet_name(type), (int)v, reason, shop.random.seed);
		make_packet_encodable(&shop, v, type, &p);
		again = encode(&shop, v, type, &p, second, sizeof(second));
		ck_assert_msg(again == size && memcmp(first, second, size) == 0,
			      "round %u: %s in version %d comes out differently (" RANDOM_SEED ")",
			      i, mqtt_packet_name(type), (int)v, shop.random.seed);
		bytes_free(body);
	}
}
END_TEST

/* What a PUBLISH carries on to subscribers, from properties a decoder has taken. */
static void walk_properties(struct slice raw)
{
	uint8_t *out = malloc(raw.len);
	struct slice name, value;
	uint32_t identifier;

	ck_assert_uint_le(mqtt_forward_properties(raw, out), raw.len);
	for (struct slice left = raw; mqtt_next_user_property(&left, &name, &value);)
		ck_assert(name.at > raw.at && value.at > name.at);
	for (struct slice left = raw; mqtt_next_subscription_identifier(&left, &identifier);)
		ck_assert_uint_gt(identifier, 0);
	free(out);
}

/* A packet that a decoder takes must be walkable, too. */
static void decode_and_walk(struct frame f, enum mqtt_version v)
{
	struct mqtt_subscription subscription;
	struct slice body = bytes_copy(f.body);
	struct slice filter;
	size_t n = 0;
	union packet p;

	f.body = body;
	if (packet_decode(&f, v, &p) == MQTT_SUCCESS) {
		if (f.type == MQTT_PUBLISH)
			walk_properties(p.publish.properties.raw);
		if (f.type == MQTT_SUBSCRIBE)
			for (; mqtt_next_subscription(&p.subscribe.entries, v, &subscription); n++)
				ck_assert_uint_le(subscription.qos, 2);
		if (f.type == MQTT_UNSUBSCRIBE)
			for (; mqtt_next_filter(&p.subscribe.entries, &filter); n++)
				ck_assert_uint_le(filter.len, body.len);
		if (f.type == MQTT_SUBSCRIBE || f.type == MQTT_UNSUBSCRIBE)
			ck_assert_uint_eq(n, p.subscribe.count);
	}
	bytes_free(body);
}

/* bad-inputs 9: every prefix, and random changes of bits, bytes and lengths. */
START_TEST(damaged_packets_stay_inside)
{
	static struct workshop shop;
	static uint8_t packet[PACKET_MAX];

	shop.random = random_start();
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		enum mqtt_version v;
		uint8_t type = random_type(&shop, &v);
		struct frame f, cut;
		union packet p;
		uint8_t *body;

		random_packet(&shop, v, type, &p);
		frame_cut(slice_of(packet, encode(&shop, v, type, &p, packet, sizeof(packet))), &f);
		cut = f;
		for (cut.body.len = 0; cut.body.len < f.body.len; cut.body.len++)
			decode_and_walk(cut, v);
		if (f.body.len == 0)
			continue;
		body = packet + (f.size - f.body.len);
		for (unsigned n = 0; n < 30; n++) {
			uint8_t *at = body + below(&shop, f.body.len);

			*at = (uint8_t)(toss(&shop) ? *at ^ 1u << below(&shop, 8)
						    : random_next(&shop.random));
			decode_and_walk(f, v);
			decode_and_walk(f, (enum mqtt_version)(3 + below(&shop, 3)));
		}
	}
}
END_TEST

/* bad-inputs 8: however a stream is cut, the same packets come out of it. */
START_TEST(a_stream_of_packets_cut_at_random)
{
	static struct workshop shop;
	static uint8_t stream[64 * PACKET_MAX];
	size_t ends[64], len = 0;

	shop.random = random_start();
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		enum mqtt_version v;
		uint8_t type = random_type(&shop, &v);
		union packet p;

		random_packet(&shop, v, type, &p);
		len += encode(&shop, v, type, &p, stream + len, sizeof(stream) - len);
		ends[i] = len;
	}
	for (unsigned round = 0; round < 300; round++) {
		size_t longest = 1 + below(&shop, 400), come = 0, taken = 0, cut = 0;

		while (come < len) {
			struct slice left;
			struct frame f;

			come += 1 + below(&shop, longest);
			come = come < len ? come : len;
			left = bytes_copy(slice_of(stream + taken, come - taken));
			for (struct slice now = left; frame_cut(now, &f) == FRAME_WHOLE;
			     now = slice_after(now, f.size)) {
				taken += f.size;
				ck_assert_msg(taken == ends[cut++], "packet %zu (" RANDOM_SEED ")",
					      cut, shop.random.seed);
				ck_assert(slice_equal(
				    f.body, slice_of(stream + taken - f.body.len, f.body.len)));
			}
			bytes_free(left);
		}
		ck_assert_uint_eq(cut, COUNT_OF(ends));
	}
}
END_TEST

Suite *codec_suite(void)
{
	const TTest *const tests[] = {round_trip, damaged_packets_stay_inside,
				      a_stream_of_packets_cut_at_random};

	return suite_of("codec", tests, COUNT_OF(tests));
}
