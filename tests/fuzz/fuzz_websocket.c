/*
 * WebSocket: whatever a client sends, in whatever pieces.  Two streams over a socket
 * that is no socket get the same bytes, one at once and one in pieces: both give the
 * same payload and say the same words; and no payload is longer than what came.  The opening
 * handshake is held against itself as well: what it says of a whole request it says however much
 * follows.
 *
 * The input: a byte of bits, a byte that says where to cut, and what the client sends;
 * bit 0 puts a good request before it, so that the rest are frames.
 */
#include "broker/core/arena.h"
#include "broker/net/transport.h"
#include "broker/net/ws.h"
#include "tests/fuzz/fuzz.h"

#define SENT_MAX    4096u
#define HEARD_MAX   65536u
#define PAYLOAD_MAX (SENT_MAX + 512u)

static const char good[] = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
			   "Connection: Upgrade\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n"
			   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/* ---- a stream beneath that is only memory */

struct pipe {
	struct slice next; /* what the next read gives */
	size_t heard_len;
	uint8_t heard[HEARD_MAX]; /* what was written */
	bool narrow;		  /* takes little at a time */
};

static ssize_t pipe_read(struct stream *stream, uint8_t *at, size_t room)
{
	struct pipe *pipe = stream->state;
	size_t n = pipe->next.len;

	claim(n <= room);
	if (n == 0)
		return STREAM_AGAIN;
	memcpy(at, pipe->next.at, n);
	pipe->next = SLICE_NONE;
	return (ssize_t)n;
}

static ssize_t pipe_write(struct stream *stream, const struct slice *slices, size_t count)
{
	struct pipe *pipe = stream->state;
	size_t n = count > 0 ? slices[0].len : 0;

	if (pipe->narrow && n > 3)
		n = 3;
	claim(n <= sizeof(pipe->heard) - pipe->heard_len);
	if (n > 0)
		memcpy(pipe->heard + pipe->heard_len, slices[0].at, n);
	pipe->heard_len += n;
	return (ssize_t)n;
}

static void pipe_finish(struct stream *stream)
{
	(void)stream;
}

static const struct stream_class pipe_stream = {
    .read = pipe_read, .write = pipe_write, .finish = pipe_finish, .close = pipe_finish};

/* ---- one client */

struct outcome {
	bool opened, done;
	size_t payload_len;
	uint8_t payload[PAYLOAD_MAX];
};

static struct pipe pipes[2];
static struct outcome outcomes[2];
static uint8_t room[STREAM_READ_MIN];

static const struct ws_settings settings = {
    .on = true, .origins = "https://a.example", .headers_size = 600};

static void take(struct outcome *outcome, ssize_t n)
{
	claim(n == STREAM_AGAIN || n == STREAM_DONE || n > 0);
	if (n <= 0)
		return;
	claim((size_t)n <= sizeof(outcome->payload) - outcome->payload_len);
	memcpy(outcome->payload + outcome->payload_len, room, (size_t)n);
	outcome->payload_len += (size_t)n;
}

static struct shelf *shelf;

static void run(struct transport *transport, struct slice sent, size_t piece, unsigned which)
{
	struct pipe *pipe = &pipes[which];
	struct outcome *outcome = &outcomes[which];
	struct stream stream = ws_stream_over((struct stream){.class = &pipe_stream, .state = pipe},
					      &settings, transport);
	struct slice words = SLICE_LITERAL("an answer");

	stream_adopt(&stream, shelf);
	pipe->heard_len = 0;
	pipe->narrow = which == 1;
	*outcome = (struct outcome){0};
	while (sent.len > 0 && !outcome->done) {
		size_t n = sent.len < piece ? sent.len : piece;
		struct slice copy = exact_copy(slice_of(sent.at, n));

		pipe->next = copy;
		ssize_t got = stream.class->read(&stream, room, sizeof(room));

		take(outcome, got);
		outcome->done = got == STREAM_DONE || stream.done;
		claim(!stream.backlog);
		exact_free(copy);
		sent = slice_after(sent, n);
	}
	outcome->opened = !stream.opening;
	if (outcome->opened && !outcome->done)
		claim(stream.class->write(&stream, &words, 1) == (ssize_t)words.len);
	stream.class->finish(&stream);
	stream.class->close(&stream);
}

/* ---- the opening alone */

/* The same bytes as an answer to the command: no accept fits by chance, so it may go on or not. */
static void check_answer(struct slice bytes)
{
	static const uint8_t nonce[WS_NONCE_LEN];
	struct failure why = {""};
	struct slice copy = exact_copy(bytes);
	size_t used = 0;
	const enum ws_opening_step step = ws_opening_answered(copy, nonce, &used, &why);

	exact_free(copy);
	claim(used <= bytes.len);
	claim((step == WS_OPENING_REFUSED) == (why.text[0] != '\0'));
}

static void check_opening(struct slice bytes)
{
	struct ws_opening whole;
	struct ws_opening part;
	struct slice copy = exact_copy(bytes);
	enum ws_opening_step step = ws_opening_read(copy, &settings, &whole);

	exact_free(copy);
	claim(whole.answer_len < WS_ANSWER_MAX &&
	      (step == WS_OPENING_MORE) == (whole.answer_len == 0));
	if (step != WS_OPENING_DONE)
		return;
	claim(whole.status == 101 && whole.used <= bytes.len);
	copy = exact_copy(slice_of(bytes.at, whole.used));
	claim(ws_opening_read(copy, &settings, &part) == WS_OPENING_DONE);
	claim(part.used == whole.used && memcmp(part.answer, whole.answer, part.answer_len) == 0);
	exact_free(copy);
}

/* Where a stream ended, the library may have seen why earlier, when it saw less at a time. */
static void compare(size_t sent_len)
{
	const struct outcome *a = &outcomes[0];
	const struct outcome *b = &outcomes[1];
	bool done = a->done || b->done;
	size_t shorter = a->payload_len < b->payload_len ? a->payload_len : b->payload_len;

	claim(a->opened == b->opened);
	claim(a->payload_len <= sent_len && memcmp(a->payload, b->payload, shorter) == 0);
	claim(!a->done || pipes[0].heard_len > 0);
	claim(done ||
	      (a->payload_len == b->payload_len && pipes[0].heard_len == pipes[1].heard_len &&
	       memcmp(pipes[0].heard, pipes[1].heard, pipes[0].heard_len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t sent[sizeof(good) + SENT_MAX];
	struct input input = {slice_of(data, size)};
	uint8_t bits = take_u8(&input);
	size_t piece = 1u + take_u8(&input);
	struct slice bytes = take_bytes(&input, SENT_MAX);
	struct transport_settings asked = {.ws = settings};
	struct transport *transport;
	struct failure failure;
	size_t len = bits & 1 ? sizeof(good) - 1 : 0;

	check_opening(bytes);
	check_answer(bytes);
	if (bytes.len == 0)
		return 0;
	struct arena arena;

	arena_init(&arena);
	shelf = arena_shelf(&arena);
	claim(transport_create(&asked, &transport, &failure));
	memcpy(sent, good, len);
	memcpy(sent + len, bytes.at, bytes.len);
	run(transport, slice_of(sent, len + bytes.len), len + bytes.len, 0);
	run(transport, slice_of(sent, len + bytes.len), piece, 1);
	transport_release(transport);
	claim(arena_finish(&arena) == 0);
	compare(bytes.len);
	return 0;
}
