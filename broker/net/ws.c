/* ws.c - see ws.h.  Source: RFC 6455. */
#include "broker/net/ws.h"
#include "broker/net/backlog.h"
#include "broker/net/transport.h"
#include "broker/net/wipe.h"
#include "proto/wire.h"
#include <stdlib.h>
#include <wslay/wslay.h>

/* The payload of a frame of ours, at most. */
#define FRAME_MAX 16384u

/* One message, however many frames it has: no more than the largest packet of MQTT. */
#define MESSAGE_MAX PACKET_SIZE_MAX

struct ws_link {
	struct stream inner;
	const struct ws_settings *settings;
	struct transport *transport;
	wslay_event_context_ptr frames; /* NULL: the handshake goes on */
	struct shelf *shelf;		/* of the thread that it belongs to */
	struct backlog request;		/* what came of it */
	struct backlog backlog;		/* made, and not yet taken by the stream beneath */
	bool over;			/* what still comes is thrown away */
	bool passing;			/* of the frame that comes: its payload is MQTT's */
	struct slice input;		/* of this read: not yet taken by the library */
	uint8_t *output;		/* of this read: where payload goes */
	struct slice lent;		/* of the library: where it was given input last */
};

/* ---- the library's side */

/*
 * When there is nothing to give, the library has handled what it was given before: where it wants
 * more, that is overwritten.
 */
static ssize_t give_input(wslay_event_context_ptr frames, uint8_t *out, size_t room, int flags,
			  void *self)
{
	struct ws_link *link = self;
	size_t n = link->input.len < room ? link->input.len : room;

	(void)flags;
	link->lent = slice_of(out, n);
	if (n == 0) {
		wipe(slice_of(out, room));
		wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(out, link->input.at, n);
	link->input = slice_after(link->input, n);
	return (ssize_t)n;
}

static ssize_t take_output(wslay_event_context_ptr frames, const uint8_t *bytes, size_t len,
			   int flags, void *self)
{
	struct ws_link *link = self;

	(void)frames;
	(void)flags;
	backlog_add(&link->backlog, link->shelf, slice_of(bytes, len));
	return (ssize_t)len;
}

static void end_with(wslay_event_context_ptr frames, uint16_t code)
{
	wslay_event_queue_close(frames, code, NULL, 0);
	wslay_event_shutdown_read(frames);
}

static void begin_frame(wslay_event_context_ptr frames,
			const struct wslay_event_on_frame_recv_start_arg *frame, void *self)
{
	struct ws_link *link = self;

	/* A continuation is one of a binary message: no other is let begin. */
	link->passing =
	    frame->opcode == WSLAY_BINARY_FRAME || frame->opcode == WSLAY_CONTINUATION_FRAME;
	if (frame->opcode == WSLAY_TEXT_FRAME)
		end_with(frames, WSLAY_CODE_UNSUPPORTED_DATA);
	/* The body of a close frame begins with a code of two bytes (RFC 6455 section 5.5.1); the
	 * library takes one byte for none. */
	if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1)
		end_with(frames, WSLAY_CODE_PROTOCOL_ERROR);
}

/* Behind what is taken from the input there is always room: a frame is longer than its payload. */
static void pass_on(wslay_event_context_ptr frames,
		    const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *self)
{
	struct ws_link *link = self;

	(void)frames;
	if (!link->passing)
		return;
	memcpy(link->output, chunk->data, chunk->data_length);
	link->output += chunk->data_length;
}

static void make_frames(struct ws_link *link)
{
	static const struct wslay_event_callbacks callbacks = {
	    .recv_callback = give_input,
	    .send_callback = take_output,
	    .on_frame_recv_start_callback = begin_frame,
	    .on_frame_recv_chunk_callback = pass_on,
	};

	must(wslay_event_context_server_init(&link->frames, &callbacks, link) == 0);
	wslay_event_config_set_no_buffering(link->frames, 1);
	wslay_event_config_set_max_recv_msg_length(link->frames, MESSAGE_MAX);
}

/* ---- towards the stream beneath */

/* Where the stream beneath can say nothing more there is nothing that waits. */
static void note_backlog(struct stream *stream, struct ws_link *link)
{
	stream->mute = link->inner.mute;
	if (stream->mute)
		backlog_finish(&link->backlog, link->shelf);
	stream->backlog = link->backlog.len > 0 || link->inner.backlog;
}

/* 0: it took all; or STREAM_AGAIN, STREAM_GONE. */
static ssize_t flush(struct stream *stream, struct ws_link *link)
{
	ssize_t n = 0;

	while (n >= 0 && (link->backlog.len > 0 || link->inner.backlog)) {
		struct slice bytes = backlog_bytes(&link->backlog);

		n = link->inner.class->write(&link->inner, &bytes, bytes.len > 0);
		if (n > 0)
			backlog_drop(&link->backlog, link->shelf, (size_t)n);
	}
	note_backlog(stream, link);
	return n < 0 ? n : 0;
}

/* What the library wants to say: pongs, and the end. */
static void make_answers(struct ws_link *link)
{
	while (wslay_event_want_write(link->frames))
		if (wslay_event_send(link->frames) != 0)
			break;
}

/* ---- reading */

static ssize_t answer_opening(struct stream *stream, struct ws_link *link,
			      const struct ws_opening *opening)
{
	backlog_add(&link->backlog, link->shelf, slice_of(opening->answer, opening->answer_len));
	return flush(stream, link);
}

/* Did writing show that there is nothing to read either? */
static bool is_broken(const struct stream *stream, ssize_t written)
{
	return written == STREAM_GONE && !stream->mute;
}

/* A close frame with 1002: the library's own, for what is no frame, would not say why. */
static const uint8_t broken[] = {0x88, 0x02, 0x03, 0xea};

/* Payload that came up to now; the stream is done when there was a close frame. */
static ssize_t read_frames(struct stream *stream, struct ws_link *link, uint8_t *at)
{
	link->output = at;
	while (link->input.len > 0 && !link->over) {
		bool right = wslay_event_recv(link->frames) == 0;

		/* The library stops to read after a close frame, of the peer's or of ours. */
		link->over = !right || !wslay_event_want_read(link->frames);
		if (right)
			make_answers(link);
		else
			backlog_add(&link->backlog, link->shelf, slice_of(broken, sizeof(broken)));
	}
	ssize_t flushed = flush(stream, link);
	ssize_t got = link->output - at;

	if (is_broken(stream, flushed) || link->backlog.len > BACKLOG_MAX)
		return STREAM_GONE;
	stream->done = link->over;
	if (got > 0)
		return got;
	return link->over ? STREAM_DONE : STREAM_AGAIN;
}

static ssize_t read_opening(struct stream *stream, struct ws_link *link, struct slice bytes,
			    uint8_t *at)
{
	struct ws_opening opening;

	backlog_add(&link->request, link->shelf, bytes);
	enum ws_opening_step step =
	    ws_opening_read(backlog_bytes(&link->request), link->settings, &opening);

	if (step == WS_OPENING_MORE)
		return STREAM_AGAIN;
	ssize_t flushed = answer_opening(stream, link, &opening);

	if (step == WS_OPENING_REFUSED) {
		link->over = true;
		backlog_finish(&link->request, link->shelf);
		return flushed == STREAM_GONE ? STREAM_GONE : STREAM_DONE;
	}
	make_frames(link);
	stream->opening = false;
	link->input = slice_after(backlog_bytes(&link->request), opening.used);
	ssize_t n = is_broken(stream, flushed) ? STREAM_GONE : read_frames(stream, link, at);

	link->input = SLICE_NONE;
	backlog_finish(&link->request, link->shelf);
	return n;
}

static ssize_t ws_read(struct stream *stream, uint8_t *at, size_t room)
{
	struct ws_link *link = stream->state;
	ssize_t n = link->inner.class->read(&link->inner, at, room);

	stream->backlog = link->backlog.len > 0 || link->inner.backlog;
	if (n <= 0)
		return n;
	if (link->over)
		return STREAM_AGAIN;
	if (link->frames) {
		link->input = slice_of(at, (size_t)n);
		n = read_frames(stream, link, at);
		link->input = SLICE_NONE;
	} else {
		n = read_opening(stream, link, slice_of(at, (size_t)n), at);
	}
	/* The stream beneath has come to its end, whatever the frames say. */
	stream->done = stream->done || link->inner.done;
	return n;
}

/* ---- writing */

/* A frame on its way to the stream beneath: its head, and parts of the caller's slices. */
struct frame {
	struct slice parts[STREAM_SLICES_MAX];
	size_t count;
	size_t len; /* of the payload */
	size_t head_len;
	uint8_t head[16];
};

static ssize_t take_head(const uint8_t *bytes, size_t len, int flags, void *self)
{
	struct frame *frame = self;

	(void)flags;
	must(len <= sizeof(frame->head) - frame->head_len);
	memcpy(frame->head + frame->head_len, bytes, len);
	frame->head_len += len;
	return (ssize_t)len;
}

/* The library's part is done with the head: the payload goes as it is, for it is not masked. */
static void make_head(struct frame *frame)
{
	static const struct wslay_frame_callbacks callbacks = {.send_callback = take_head};
	struct wslay_frame_iocb head = {
	    .fin = 1, .opcode = WSLAY_BINARY_FRAME, .payload_length = frame->len};
	wslay_frame_context_ptr maker;

	must(wslay_frame_context_init(&maker, &callbacks, frame) == 0);
	must(wslay_frame_send(maker, &head) == 0);
	wslay_frame_context_free(maker);
	frame->parts[0] = slice_of(frame->head, frame->head_len);
}

/* Up to FRAME_MAX bytes of the slices, after the first `skip`. */
static void fill(struct frame *frame, const struct slice *slices, size_t count, size_t skip)
{
	frame->count = 1;
	frame->len = frame->head_len = 0;
	for (size_t i = 0; i < count && frame->len < FRAME_MAX && frame->count < STREAM_SLICES_MAX;
	     i++) {
		size_t before = skip < slices[i].len ? skip : slices[i].len;
		struct slice part = slice_after(slices[i], before);

		skip -= before;
		if (part.len > FRAME_MAX - frame->len)
			part.len = FRAME_MAX - frame->len;
		if (part.len > 0)
			frame->parts[frame->count++] = part;
		frame->len += part.len;
	}
}

/* All of it: what the stream beneath does not take becomes the backlog. */
static bool send_frame(struct stream *stream, struct ws_link *link, const struct frame *frame)
{
	ssize_t n = link->inner.class->write(&link->inner, frame->parts, frame->count);
	size_t taken = n > 0 ? (size_t)n : 0;

	for (size_t i = 0; i < frame->count; i++) {
		size_t before = taken < frame->parts[i].len ? taken : frame->parts[i].len;

		backlog_add(&link->backlog, link->shelf, slice_after(frame->parts[i], before));
		taken -= before;
	}
	note_backlog(stream, link);
	return n != STREAM_GONE;
}

static ssize_t ws_write(struct stream *stream, const struct slice *slices, size_t count)
{
	struct ws_link *link = stream->state;
	ssize_t flushed = flush(stream, link);
	size_t taken = 0;
	struct frame frame;

	if (flushed != 0 || !link->frames)
		return flushed;
	for (fill(&frame, slices, count, 0); frame.len > 0 && !stream->backlog;
	     fill(&frame, slices, count, taken)) {
		/* No frame comes behind a close frame, the library's or ours (`over`). */
		if (link->over || wslay_event_get_close_sent(link->frames))
			return STREAM_GONE;
		make_head(&frame);
		if (!send_frame(stream, link, &frame))
			return STREAM_GONE;
		taken += frame.len;
	}
	return (ssize_t)taken;
}

/* ---- the end */

static void ws_finish(struct stream *stream)
{
	struct ws_link *link = stream->state;
	struct ws_opening opening;

	if (link->frames && !link->over) {
		if (!wslay_event_get_close_sent(link->frames))
			wslay_event_queue_close(link->frames, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
		make_answers(link);
	} else if (!link->over && link->request.len > 0) {
		ws_opening_time_out(&opening);
		backlog_add(&link->backlog, link->shelf,
			    slice_of(opening.answer, opening.answer_len));
	}
	flush(stream, link);
	backlog_finish(&link->backlog, link->shelf);
	link->over = true;
	link->inner.class->finish(&link->inner);
	stream->backlog = false;
}

static void ws_close(struct stream *stream)
{
	struct ws_link *link = stream->state;

	link->inner.class->close(&link->inner);
	if (link->frames) {
		wipe(link->lent); /* behind a close frame it reads no more */
		wslay_event_context_free(link->frames);
	}
	backlog_finish(&link->backlog, link->shelf);
	backlog_finish(&link->request, link->shelf);
	transport_release(link->transport);
	free(link);
	stream->state = NULL;
	stream->fd = -1;
}

static const struct identity *ws_identity(const struct stream *stream)
{
	const struct ws_link *link = stream->state;

	return link->inner.class->identity ? link->inner.class->identity(&link->inner) : NULL;
}

static bool ws_welcome(const struct stream *stream, const struct transport *now)
{
	const struct ws_link *link = stream->state;

	return !link->inner.class->welcome || link->inner.class->welcome(&link->inner, now);
}

static void ws_adopt(struct stream *stream, struct shelf *shelf)
{
	struct ws_link *link = stream->state;

	link->shelf = shelf;
	stream_adopt(&link->inner, shelf);
}

static const struct stream_class ws_stream = {
    .adopt = ws_adopt,
    .read = ws_read,
    .write = ws_write,
    .finish = ws_finish,
    .close = ws_close,
    .identity = ws_identity,
    .welcome = ws_welcome,
};

struct stream ws_stream_over(struct stream inner, const struct ws_settings *settings,
			     struct transport *transport)
{
	struct ws_link *link = calloc(1, sizeof(*link));

	must(link);
	link->inner = inner;
	link->settings = settings;
	link->transport = transport_keep(transport);
	return (struct stream){.class = &ws_stream,
			       .state = link,
			       .fd = inner.fd,
			       .opening = true,
			       .confidential = inner.confidential};
}
