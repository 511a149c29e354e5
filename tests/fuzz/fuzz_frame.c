/*
 * Framing: a stream of bytes holds the same packets however it is cut.
 * frame_cut() is held against the words of the specification, and a shard that gets the stream in
 * one read against one that gets it in pieces: both count the same packets.
 *
 * The input: four bytes that say where to cut, and the stream.
 */
#include "broker/core/happened.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"

#define STREAM_MAX 6000u

/* ---- frame_cut() ---- */

/* 5.0 section 1.5.5, and that a value must not take more bytes than it needs. */
static int naive_length(struct slice bytes, uint32_t *value)
{
	*value = 0;
	for (size_t i = 0; i < 4; i++) {
		if (i == bytes.len)
			return 0;
		*value |= (uint32_t)(bytes.at[i] & 127) << (7 * i);
		if (bytes.at[i] < 128)
			return i > 0 && bytes.at[i] == 0 ? -1 : (int)i + 1;
	}
	return -1;
}

static void check_cut(struct slice bytes, enum frame_status status, const struct frame *f)
{
	uint32_t length = 0;
	int digits = bytes.len > 0 ? naive_length(slice_after(bytes, 1), &length) : 0;
	size_t size = 1 + (size_t)(digits > 0 ? digits : 0) + length;

	if (digits < 0) {
		claim(status == FRAME_BAD);
	} else if (digits == 0 || bytes.len < size) {
		claim(status == FRAME_PARTIAL && f->size == (digits > 0 ? size : 0));
	} else {
		claim(status == FRAME_WHOLE && f->size == size && f->body.len == length);
		claim(f->body.at == bytes.at + size - length || length == 0);
	}
	if (digits > 0)
		claim(f->type == bytes.at[0] >> 4 && f->flags == (bytes.at[0] & 15));
}

static void check_frames(struct slice stream)
{
	struct frame f;

	for (size_t at = 0; at <= stream.len;) {
		struct slice left = exact_copy(slice_after(stream, at));
		enum frame_status status = frame_cut(left, &f);

		check_cut(left, status, &f);
		exact_free(left);
		if (status != FRAME_WHOLE)
			return;
		at += f.size;
	}
}

/* ---- the shard ---- */

struct counts {
	uint64_t packets, publishes, bytes, connects, refused, malformed;
};

static struct world world;

static void send_pieces(struct slice stream, const uint8_t cuts[4])
{
	for (unsigned i = 0; stream.len > 0; i++) {
		size_t n = 1 + cuts[i % 4];

		n = n < stream.len ? n : stream.len;
		link_send(&world, 0, slice_of(stream.at, n));
		world_settle(&world);
		stream = slice_after(stream, n);
	}
}

static struct counts count(struct slice stream, const uint8_t *cuts)
{
	const struct happened *happened;
	struct counts counts;

	world_init(&world, 1);
	world_begin(&world);
	link_open(&world, 0, 0);
	if (cuts) {
		send_pieces(stream, cuts);
	} else {
		link_send(&world, 0, stream);
		world_settle(&world);
	}
	happened = shard_happened(world.shards[0]);
	counts = (struct counts){
	    .packets = happened_get(happened, HAPPENED_PACKETS_RECEIVED),
	    .publishes = happened_get(happened, HAPPENED_PUBLISH_RECEIVED),
	    .bytes = happened_get(happened, HAPPENED_PUBLISH_BYTES_RECEIVED),
	    .connects = happened_get(happened, HAPPENED_CONNECTS),
	    .refused = happened_get(happened, HAPPENED_CONNECTS_REFUSED),
	    .malformed = happened_get(happened, HAPPENED_MALFORMED),
	};
	world_end(&world, true);
	return counts;
}

/*
 * What a client answers is right or wrong by what it has been sent until then, and in pieces the
 * broker has more time to send: the stream is compared up to the first such answer.
 */
static struct slice before_answers(struct slice stream)
{
	struct frame f;

	for (size_t at = 0; frame_cut(slice_after(stream, at), &f) == FRAME_WHOLE; at += f.size)
		if (f.type == MQTT_PUBACK || f.type == MQTT_PUBREC || f.type == MQTT_PUBCOMP)
			return slice_of(stream.at, at);
	return stream;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {slice_of(data, size)};
	struct slice cuts = take_bytes(&input, 4);
	struct slice stream = take_bytes(&input, STREAM_MAX);
	struct counts whole, pieces;

	check_frames(stream);
	stream = before_answers(stream);
	if (cuts.len < 4 || stream.len == 0)
		return 0;
	whole = count(stream, NULL);
	pieces = count(stream, cuts.at);
	claim(memcmp(&whole, &pieces, sizeof(whole)) == 0);
	return 0;
}
