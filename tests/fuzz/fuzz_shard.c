/*
 * Whole shards: clients that say anything, mail and store answers that come late or say no, links
 * that break, time that passes, restarts.  What must hold is in client.h and world.h.
 *
 * The input: three bytes of settings, then steps: a byte that chooses, and what that step needs.
 */
#include "broker/core/state.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"

static struct world world;
static struct core_settings other_settings;

static const char *const filters[] = {"a",
				      "a/b",
				      "a/+",
				      "#",
				      "+/b",
				      "a/#",
				      "$share/g/a",
				      "$share/g/#",
				      "$share/h/a/+",
				      "$SYS/#",
				      "a/b/c/d",
				      "+",
				      "/",
				      "$share/g",
				      "a+",
				      "$metrino/token",
				      "$metrino/#"};
static const char *const topics[] = {"a", "a/b", "a/c", "b", "a/b/c/d", "$x", "/", "a//b"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- packets that are mostly right ---- */

static struct input input;
static uint8_t out[12 * 1024];

static uint32_t take_link(void)
{
	return take_u8(&input) % WORLD_LINKS;
}

static enum mqtt_version version_of(uint32_t link)
{
	uint8_t version = world.links[link].client.version;

	return version ? (enum mqtt_version)version : MQTT_VERSION_5_0;
}

static void send(uint32_t link, size_t n)
{
	link_send(&world, link, slice_of(out, n));
}

static void set_method(struct mqtt_properties *p, bool with_data)
{
	mqtt_set(p, MQTT_PROPERTY_AUTHENTICATION_METHOD);
	p->authentication_method = slice_text("m");
	if (!with_data)
		return;
	mqtt_set(p, MQTT_PROPERTY_AUTHENTICATION_DATA);
	p->authentication_data = take_bytes(&input, 1);
}

static void set_will(struct mqtt_connect *connect)
{
	uint8_t bits = take_u8(&input);

	connect->has_will = true;
	connect->will.qos = bits % 3;
	connect->will.retain = bits & 4;
	connect->will.topic = slice_text(topics[(bits >> 4) % COUNT_OF(topics)]);
	connect->will.payload = take_text(&input);
	if (bits & 8 && connect->version == MQTT_VERSION_5_0) {
		mqtt_set(&connect->will.properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL);
		connect->will.properties.will_delay_s = take_u8(&input);
	}
}

static void set_limits(struct mqtt_properties *p)
{
	uint8_t bits = take_u8(&input);

	mqtt_set(p, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	p->session_expiry_s = bits & 1 ? UINT32_MAX : bits & 2 ? 60 : 0;
	if (bits & 4) {
		mqtt_set(p, MQTT_PROPERTY_RECEIVE_MAXIMUM);
		p->receive_maximum = 1 + (bits >> 6);
	}
	if (bits & 8) {
		mqtt_set(p, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE);
		p->maximum_packet_size = 1 + take_u8(&input);
	}
	if (bits & 16) {
		mqtt_set(p, MQTT_PROPERTY_TOPIC_ALIAS_MAXIMUM);
		p->topic_alias_maximum = bits >> 5;
	}
}

/* A password, which may be a token; a wish for one; a method, and what it begins with. */
static void set_proof(struct mqtt_connect *connect)
{
	uint8_t bits = take_u8(&input);

	connect->has_user_name = connect->has_password = bits & 1;
	connect->user_name = slice_text("u");
	connect->password = take_bytes(&input, bits & 1);
	if (bits & 2)
		connect->properties.user = SLICE_LITERAL("\x26\0\15metrino-token\0\1"
							 "1");
	if (bits & 4)
		set_method(&connect->properties, bits & 8);
}

static void send_connect(uint32_t link)
{
	static const char *const ids[] = {"", "c1", "c2", "c3", "c4", "c5", "c6", "c7"};
	uint8_t bits = take_u8(&input);
	struct mqtt_connect connect = {
	    .version = (enum mqtt_version)(3 + bits % 4 - (bits % 4 == 3)),
	    .clean_start = bits & 4,
	    .client_id = slice_text(ids[bits >> 5]),
	    .keep_alive_s = bits & 8 ? 10 : 0,
	};

	if (connect.version == MQTT_VERSION_5_0)
		set_limits(&connect.properties);
	if (bits % 4 == 3)
		set_proof(&connect);
	if (bits & 16)
		set_will(&connect);
	send(link, mqtt_encode_connect(out, sizeof(out), &connect));
}

static void send_subscribe(uint32_t link)
{
	enum mqtt_version v = version_of(link);
	struct mqtt_subscription entries[4];
	uint8_t bits = take_u8(&input);
	size_t count = 1 + bits % 4;
	struct mqtt_subscribe subscribe = {.packet_id = 1 + (bits >> 4)};

	if (bits & 4 && v == MQTT_VERSION_5_0) {
		mqtt_set(&subscribe.properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER);
		subscribe.properties.subscription_identifier = 1 + take_u8(&input) % 3;
	}
	for (size_t i = 0; i < count; i++) {
		uint8_t options = take_u8(&input);

		entries[i] = (struct mqtt_subscription){
		    .filter = slice_text(filters[take_u8(&input) % COUNT_OF(filters)]),
		    .qos = options % 3,
		    .no_local = v == MQTT_VERSION_5_0 && options & 4,
		    .retain_as_published = v == MQTT_VERSION_5_0 && options & 8,
		    .retain_handling = v == MQTT_VERSION_5_0 ? (options >> 4) % 3 : 0,
		};
	}
	send(link, mqtt_encode_subscribe(out, sizeof(out), v, &subscribe, entries, count));
}

static void send_unsubscribe(uint32_t link)
{
	struct mqtt_subscribe unsubscribe = {.packet_id = 1 + take_u8(&input) % 16};
	struct slice filter = slice_text(filters[take_u8(&input) % COUNT_OF(filters)]);

	send(link,
	     mqtt_encode_unsubscribe(out, sizeof(out), version_of(link), &unsubscribe, &filter, 1));
}

static void send_publish(uint32_t link)
{
	static const uint8_t large[40 * UINT8_MAX];
	uint8_t bits = take_u8(&input), more = take_u8(&input);
	struct mqtt_publish publish = {
	    .qos = bits % 3,
	    .retain = bits & 4,
	    .dup = bits & 8 && bits % 3 > 0,
	    .packet_id = bits % 3 ? 1 + more % 8 : 0,
	    .topic = slice_text(topics[bits >> 5]),
	};

	if (bits & 16)
		publish.payload = take_text(&input);
	else if (more & 16)
		publish.payload = slice_of(large, 40u * take_u8(&input));
	if (version_of(link) == MQTT_VERSION_5_0 && more & 32) {
		mqtt_set(&publish.properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
		publish.properties.message_expiry_s = 1 + (more >> 6);
	}
	if (version_of(link) == MQTT_VERSION_5_0 && more & 64) {
		mqtt_set(&publish.properties, MQTT_PROPERTY_TOPIC_ALIAS);
		publish.properties.topic_alias = 1 + more % 4;
		publish.topic = more & 128 ? SLICE_NONE : publish.topic;
	}
	send(link, mqtt_encode_publish(out, sizeof(out), version_of(link), &publish));
}

/* An acknowledgement of whatever. */
static void send_ack(uint32_t link)
{
	static const uint8_t codes[] = {0, 0x10, 0x80, 0x92};
	uint8_t bits = take_u8(&input);
	struct mqtt_ack ack = {
	    .type = MQTT_PUBACK + bits % 4,
	    .packet_id = 1 + (bits >> 4),
	    .reason = version_of(link) == MQTT_VERSION_5_0 ? codes[bits >> 2 & 3] : 0,
	};

	send(link, mqtt_encode_ack(out, sizeof(out), version_of(link), &ack));
}

/* The right answer to what came last. */
static void send_answer(uint32_t link)
{
	const struct client *c = &world.links[link].client;
	struct mqtt_ack ack = {.packet_id = c->last_id, .type = MQTT_PUBCOMP};

	if (c->last_id == 0)
		return;
	if (c->last_type == MQTT_PUBLISH)
		ack.type = c->unfinished[c->last_id] == 2 ? MQTT_PUBREC : MQTT_PUBACK;
	send(link, mqtt_encode_ack(out, sizeof(out), version_of(link), &ack));
}

static void send_end(uint32_t link)
{
	uint8_t bits = take_u8(&input);
	struct mqtt_disconnect disconnect = {.reason = bits & 1 ? 4 : 0};
	struct mqtt_auth auth = {.reason = 0x18};

	if (bits & 2) {
		send(link, mqtt_encode_empty(out, sizeof(out), MQTT_PINGREQ));
		return;
	}
	if (bits & 4) {
		set_method(&auth.properties, bits & 8);
		auth.reason = bits & 16 ? 0x19 : 0x18;
		send(link, mqtt_encode_auth(out, sizeof(out), &auth));
		return;
	}
	if (bits & 8 && version_of(link) == MQTT_VERSION_5_0) {
		mqtt_set(&disconnect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
		disconnect.properties.session_expiry_s = bits >> 4;
	}
	send(link, mqtt_encode_disconnect(out, sizeof(out), version_of(link), &disconnect));
}

/* ---- steps ---- */

static void step_open(void)
{
	uint8_t bits = take_u8(&input);
	uint32_t link = bits % WORLD_LINKS;

	link_open(&world, link, (bits >> 3) % world.count);
	if (bits & 128)
		send_connect(link);
}

static void step_bytes(void)
{
	uint32_t link = take_link();

	link_send(&world, link, take_text(&input));
}

static void step_packet(void)
{
	static void (*const packets[])(uint32_t) = {send_connect, send_subscribe,   send_publish,
						    send_publish, send_unsubscribe, send_ack,
						    send_answer,  send_end};
	uint8_t bits = take_u8(&input);

	packets[bits >> 5](bits % WORLD_LINKS);
}

static void step_link(void)
{
	uint8_t bits = take_u8(&input);
	struct link *link = &world.links[bits % WORLD_LINKS];

	if (bits & 32)
		link_answer_auth(&world, bits % WORLD_LINKS);
	else if (bits & 16)
		link->full = !link->full;
	else if (link->open)
		link_lose(&world, bits % WORLD_LINKS);
}

static void step_turn(void)
{
	uint8_t bits = take_u8(&input);

	world_turn(&world, (bits & 3) % world.count, bits >> 2);
}

static void step_store(void)
{
	world_store_answers(&world, take_u8(&input) & 1);
}

static void step_time(void)
{
	uint8_t bits = take_u8(&input);

	world_pass_ms(&world, (uint64_t)(bits >> 4) << (bits & 15));
}

static void step_event(void)
{
	uint8_t bits = take_u8(&input);
	unsigned shard = (bits >> 2) % world.count;
	struct event event = {.type = EVENT_KICK, .text = SLICE_LITERAL("c1")};

	switch (bits & 3) {
	case 0:
		shard = shard_home(world.shards[0], event.text);
		break;
	case 1: /* as the broker's own do: at the home of its topic */
		event = (struct event){.type = EVENT_PUBLISH,
				       .retain = true,
				       .text = SLICE_LITERAL("$SYS/x"),
				       .bytes = take_text(&input)};
		break;
	case 2:
		event = (struct event){.type = EVENT_SETTINGS,
				       .settings = bits & 16 ? &world.settings : &other_settings};
		break;
	default:
		world.auth_waits = bits & 16;
		world.auth_refuses = bits & 32;
		return;
	}
	world_event(&world, shard, &event);
}

/* What a planned restart does: all that is in memory is written, and read back by the next one. */
static void hand_over(void)
{
	struct slice bytes[WORLD_SHARDS];
	struct failure failure;

	for (unsigned i = 0; i < world.count; i++)
		bytes[i] = world_state(&world, i);
	world_restart(&world, false);
	for (unsigned i = 0; i < world.count; i++)
		for (unsigned to = 0; to < world.count; to++)
			claim(shard_read_state(world.shards[to], world.now, bytes[i], &failure) ||
			      world.budget.limit < 1024 * 1024); /* it does not fit any more */
	for (unsigned i = 0; i < world.count; i++)
		exact_free(bytes[i]);
}

static void step_restart(void)
{
	uint8_t bits = take_u8(&input);

	if (bits & 1)
		world_settle(&world);
	else if (bits & 2)
		world_restart(&world, bits & 4);
	else
		hand_over();
}

static void (*const steps[])(void) = {
    step_open, step_packet, step_packet, step_packet, step_packet, step_bytes, step_turn,
    step_turn, step_turn,   step_store,	 step_time,   step_link,   step_event, step_restart};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bits, more;

	input.left = slice_of(data, size);
	bits = take_u8(&input);
	more = take_u8(&input);
	world_init(&world, 1 + bits % WORLD_SHARDS);
	world.setup.durable = bits & 4;
	world.settings.ack_when_delivered = bits & 8;
	world.settings.queue_qos0_messages = bits & 16;
	world.settings.queue_policy = bits & 32 ? QUEUE_DROP_OLD : QUEUE_DROP_NEW;
	if (bits & 64)
		world.settings.memory_limit = 150 * 1024;
	world.settings.sessions_max = bits & 128 ? 3 : 20;
	if (more & 1)
		world.settings.max_queued_messages = 2;
	if (more & 2)
		world.listener.max_qos = 1;
	if (more & 4)
		world.listener.max_keep_alive_s = 20;
	if (more & 8)
		world.settings.max_retained_messages = 1;
	if (more & 16)
		world.settings.retain_available = false;
	other_settings = world.settings;
	other_settings.max_queued_messages = 1;
	other_settings.max_inflight_messages = 1;
	other_settings.memory_limit /= 2;
	world_begin(&world);
	while (input.left.len > 0)
		steps[take_u8(&input) % COUNT_OF(steps)]();
	world_end(&world, more & 128);
	return 0;
}
