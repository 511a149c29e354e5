/*
 * What a shard saved of its memory: bytes that are right come out again as they went in, and no
 * bytes whatever do harm, not even when the clients come back and take what there is.
 *
 * The input: records, each a type, a length of two bytes, and that many bytes.
 */
#include "broker/core/state.h"
#include "broker/core/state_format.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"

#define SESSIONS 3u

static struct world world;
static const char *const ids[SESSIONS] = {"c1", "c2", "c3"};

static void begin(void)
{
	world_init(&world, 2);
	world.setup.durable = true;
	world.settings.memory_limit = 64u << 20; /* bytes that no shard wrote may ask for much */
	world_begin(&world);
	for (unsigned i = 0; i < SESSIONS; i++) {
		struct store_session session = {.expiry_s = 1000,
						.since_s = world.now.wall_s - 10,
						.client_id = slice_text(ids[i])};
		struct event event = {
		    .type = EVENT_RESTORE_SESSION, .row = i + 1, .session = &session};

		world_event(&world, shard_home(world.shards[0], session.client_id), &event);
	}
	world_settle(&world);
}

/* False when a shard found the bytes damaged. */
static bool read_state(struct slice bytes)
{
	bool whole = true;

	for (unsigned i = 0; i < world.count; i++) {
		struct slice copy = exact_copy(bytes);
		struct failure failure = {""};

		whole &= shard_read_state(world.shards[i], world.now, copy, &failure);
		claim(whole || failure.text[0]);
		exact_free(copy);
	}
	return whole;
}

static void write_state(struct slice out[WORLD_SHARDS])
{
	for (unsigned i = 0; i < world.count; i++)
		out[i] = world_state(&world, i);
}

static void free_state(struct slice bytes[WORLD_SHARDS])
{
	for (unsigned i = 0; i < world.count; i++)
		exact_free(bytes[i]);
}

/* Every client comes back and acknowledges what it gets. */
static void take_all(void)
{
	uint8_t out[64];

	for (uint32_t i = 0; i < SESSIONS; i++) {
		struct client *c = &world.links[i].client;
		struct mqtt_connect connect = {.version = MQTT_VERSION_5_0,
					       .client_id = slice_text(ids[i])};
		struct mqtt_ack ack = {.type = MQTT_PUBACK};
		size_t n = mqtt_encode_connect(out, sizeof(out), &connect);

		link_open(&world, i, 0);
		link_send(&world, i, slice_of(out, n));
		world_settle(&world);
		for (unsigned turns = 0; turns < 64 && c->last_id != 0; turns++) {
			ack.packet_id = c->last_id;
			ack.type = c->last_type == MQTT_PUBREL	    ? MQTT_PUBCOMP
				   : c->unfinished[c->last_id] == 2 ? MQTT_PUBREC
								    : MQTT_PUBACK;
			c->last_id = 0;
			n = mqtt_encode_ack(out, sizeof(out), MQTT_VERSION_5_0, &ack);
			link_send(&world, i, slice_of(out, n));
			world_settle(&world);
		}
	}
	for (uint32_t i = 0; i < SESSIONS; i++)
		link_lose(&world, i);
	world_settle(&world);
	world_pass_ms(&world, 1100000); /* they expire */
	world_settle(&world);
}

/* What was read is written, read by others, and written again. */
static void check_again(void)
{
	struct slice first[WORLD_SHARDS], second[WORLD_SHARDS];
	bool in_order = world.budget.retained == 0; /* retained messages have none */

	write_state(first);
	world_end(&world, false);
	begin();
	for (unsigned i = 0; i < world.count; i++)
		claim(read_state(first[i]));
	write_state(second);
	for (unsigned i = 0; i < world.count; i++)
		claim(in_order ? slice_equal(first[i], second[i]) : first[i].len == second[i].len);
	free_state(first);
	free_state(second);
}

static struct slice state_of(struct input *input)
{
	struct stream stream = {0};
	uint8_t head[5] = {STATE_VERSION};

	stream_append(&stream, SLICE_LITERAL(STATE_MAGIC));
	stream_append(&stream, slice_of(head, 1));
	while (input->left.len > 0) {
		struct slice body;

		head[0] = take_u8(input);
		body = take_bytes(input, take_u16(input));
		head[1] = head[2] = 0;
		head[3] = (uint8_t)(body.len >> 8);
		head[4] = (uint8_t)body.len;
		stream_append(&stream, slice_of(head, sizeof(head)));
		stream_append(&stream, body);
	}
	return slice_of(stream.at, stream.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {slice_of(data, size)};
	struct slice bytes = state_of(&input);

	begin();
	read_state(bytes);
	exact_free(bytes);
	check_again();
	take_all();
	world_end(&world, true);
	return 0;
}
