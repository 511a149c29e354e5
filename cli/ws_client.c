/* ws_client.c - see ws_client.h. */
#include "cli/ws_client.h"

#include "cli/clock.h"
#include "broker/net/ws_opening.h"
#include "cli/buffer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <wslay/wslay.h>

/* The payload of a frame of ours, at most. */
#define FRAME_MAX 65536u

/* One message, however many frames it has: no more than the largest packet of MQTT. */
#define MESSAGE_MAX 268435460u

/* Frames that wait for the carrier, at most: pongs, of which a broker that reads wants none. */
#define WAITING_MAX 1024u

struct ws_client {
	struct ws_carrier carrier;
	wslay_event_context_ptr frames;
	struct buffer early; /* frames that came with the answer to the handshake */
	size_t begun;	     /* payload of a frame that the carrier has not taken whole */
	uint8_t *output;     /* of this read: where payload goes */
	size_t room;	     /* of this read: what may still be taken from the carrier */
	int error;	     /* of the carrier, or ours: how the connection ended */
	bool passing;	     /* of the frame that comes: its payload is MQTT's */
	bool ended;	     /* nothing comes any more */
};

/* ---- the library's side */

static void chance(void *at, size_t len)
{
	/* Up to 256 bytes come whole: getrandom(2). */
	must(len <= 256 && getrandom(at, len, 0) == (ssize_t)len);
}

/* So that nobody on the way takes what a client sends for HTTP: RFC 6455 section 5.3. */
static int make_mask(wslay_event_context_ptr frames, uint8_t *mask, size_t len, void *self)
{
	(void)frames;
	(void)self;
	chance(mask, len);
	return 0;
}

static ssize_t take_early(struct ws_client *client, uint8_t *out, size_t room)
{
	const size_t n = client->early.len < room ? client->early.len : room;

	memcpy(out, client->early.at, n);
	buffer_drop(&client->early, n);
	return (ssize_t)n;
}

/* A frame is longer than its payload: what is taken from the carrier bounds what is given on. */
static ssize_t give_input(wslay_event_context_ptr frames, uint8_t *out, size_t room, int flags,
			  void *self)
{
	struct ws_client *client = self;
	const size_t n = client->room < room ? client->room : room;
	ssize_t got = -1;

	(void)flags;
	errno = EAGAIN;
	if (n > 0)
		got = client->early.len > 0 ? take_early(client, out, n)
					    : client->carrier.receive(client->carrier.self, out, n);
	if (got > 0) {
		client->room -= (size_t)got;
		return got;
	}
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
		wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	client->ended = true;
	client->error = got < 0 ? errno : 0;
	wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t take_output(wslay_event_context_ptr frames, const uint8_t *bytes, size_t len,
			   int flags, void *self)
{
	struct ws_client *client = self;
	const ssize_t n = client->carrier.send(client->carrier.self, slice_of(bytes, len));

	(void)flags;
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
		wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	client->error = errno;
	wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static void begin_frame(wslay_event_context_ptr frames,
			const struct wslay_event_on_frame_recv_start_arg *frame, void *self)
{
	struct ws_client *client = self;

	/* A continuation is one of a binary message: no other is let begin. */
	client->passing =
	    frame->opcode == WSLAY_BINARY_FRAME || frame->opcode == WSLAY_CONTINUATION_FRAME;
	if (frame->opcode != WSLAY_TEXT_FRAME)
		return;
	wslay_event_queue_close(frames, WSLAY_CODE_UNSUPPORTED_DATA, NULL, 0);
	wslay_event_shutdown_read(frames);
}

static void pass_on(wslay_event_context_ptr frames,
		    const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *self)
{
	struct ws_client *client = self;

	(void)frames;
	if (!client->passing || chunk->data_length == 0)
		return;
	memcpy(client->output, chunk->data, chunk->data_length);
	client->output += chunk->data_length;
}

static void make_frames(struct ws_client *client)
{
	static const struct wslay_event_callbacks callbacks = {
	    .recv_callback = give_input,
	    .send_callback = take_output,
	    .genmask_callback = make_mask,
	    .on_frame_recv_start_callback = begin_frame,
	    .on_frame_recv_chunk_callback = pass_on,
	};

	must(wslay_event_context_client_init(&client->frames, &callbacks, client) == 0);
	wslay_event_config_set_no_buffering(client->frames, 1);
	wslay_event_config_set_max_recv_msg_length(client->frames, MESSAGE_MAX);
}

/* ---- the handshake */

/* After a call of the carrier that said EAGAIN; false: time is over, or it failed otherwise. */
static bool wait_for(const struct ws_client *client, short events, int64_t until_ms,
		     struct failure *failure)
{
	struct pollfd pollfd = {.fd = client->carrier.fd, .events = events};
	const int64_t left_ms = until_ms - clock_now_ms();

	if (errno == EINTR)
		return true;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return failure_set(failure, "%s", strerror(errno));
	if (left_ms <= 0)
		return failure_set(failure, "the WebSocket handshake was not answered in time");
	return poll(&pollfd, 1, (int)left_ms) >= 0 || errno == EINTR ||
	       failure_set(failure, "poll: %s", strerror(errno));
}

static bool send_all(struct ws_client *client, struct slice bytes, int64_t until_ms,
		     struct failure *failure)
{
	while (bytes.len > 0) {
		const ssize_t n = client->carrier.send(client->carrier.self, bytes);

		if (n >= 0)
			bytes = slice_after(bytes, (size_t)n);
		else if (!wait_for(client, POLLOUT, until_ms, failure))
			return false;
	}
	return true;
}

static bool await_answer(struct ws_client *client, const uint8_t nonce[WS_NONCE_LEN],
			 int64_t until_ms, struct failure *failure)
{
	struct buffer *answer = &client->early;
	size_t used = 0;

	for (;;) {
		const size_t room = 4096;
		const ssize_t n = client->carrier.receive(client->carrier.self,
							  buffer_reserve(answer, room), room);

		if (n == 0)
			return failure_set(failure, "the connection ended in the WebSocket "
						    "handshake");
		if (n < 0) {
			if (!wait_for(client, POLLIN, until_ms, failure))
				return false;
			continue;
		}
		answer->len += (size_t)n;
		switch (ws_opening_answered(buffer_slice(answer), nonce, &used, failure)) {
		case WS_OPENING_MORE:
			continue;
		case WS_OPENING_REFUSED:
			return false;
		case WS_OPENING_DONE:
			buffer_drop(answer, used);
			return true;
		}
	}
}

static bool shake_hands(struct ws_client *client, const struct ws_client_settings *settings,
			int64_t until_ms, struct failure *failure)
{
	const char *path = settings->path ? settings->path : "/mqtt";
	/* An IPv6 address stands in brackets: RFC 3986 section 3.2.2. */
	const bool is_ipv6 = strchr(settings->host, ':') != NULL;
	uint8_t nonce[WS_NONCE_LEN];
	char host[300];
	char request[2048];

	if (path[0] != '/' || strpbrk(path, " \t\r\n"))
		return failure_set(failure,
				   "the path of a WebSocket begins with / and has no spaces");
	snprintf(host, sizeof(host), "%s%.256s%s:%u", is_ipv6 ? "[" : "", settings->host,
		 is_ipv6 ? "]" : "", settings->port);
	chance(nonce, sizeof(nonce));
	const size_t len = ws_opening_ask(nonce, host, path, request, sizeof(request));

	if (len == 0)
		return failure_set(failure, "the WebSocket's path is too long");
	return send_all(client, slice_of(request, len), until_ms, failure) &&
	       await_answer(client, nonce, until_ms, failure);
}

struct ws_client *ws_client_open(const struct ws_client_settings *settings,
				 const struct ws_carrier *carrier, int timeout_ms,
				 struct failure *failure)
{
	struct ws_client *client = need_zeroed(1, sizeof(*client));

	client->carrier = *carrier;
	make_frames(client);
	if (shake_hands(client, settings, clock_now_ms() + timeout_ms, failure))
		return client;
	client->ended = true; /* there is nobody to say goodbye to */
	ws_client_close(client);
	return NULL;
}

/* ---- bytes */

static ssize_t fail(int error)
{
	errno = error;
	return -1;
}

ssize_t ws_client_write(struct ws_client *client, struct slice bytes)
{
	if (client->begun == 0) {
		const struct wslay_event_msg message = {
		    .opcode = WSLAY_BINARY_FRAME,
		    .msg = bytes.at,
		    .msg_length = bytes.len < FRAME_MAX ? bytes.len : FRAME_MAX};

		if (bytes.len == 0)
			return 0;
		if (wslay_event_queue_msg(client->frames, &message) != 0)
			return fail(EPIPE); /* behind a close frame */
		client->begun = message.msg_length;
	}
	must(bytes.len >= client->begun);
	if (wslay_event_send(client->frames) != 0)
		return fail(client->error ? client->error : EPIPE);
	if (wslay_event_want_write(client->frames))
		return fail(EAGAIN);
	const size_t taken = client->begun;

	client->begun = 0;
	return (ssize_t)taken;
}

ssize_t ws_client_read(struct ws_client *client, uint8_t *at, size_t room)
{
	if (!client->ended) {
		client->output = at;
		client->room = room;
		const bool right = wslay_event_recv(client->frames) == 0;

		/* The library stops to read after a close frame, of the broker's or of ours. */
		if (!client->ended && (!right || !wslay_event_want_read(client->frames))) {
			client->ended = true;
			client->error = wslay_event_get_close_received(client->frames) ? 0 : EPROTO;
		}
		wslay_event_send(client->frames); /* pongs, and the end */
		if (!client->ended &&
		    wslay_event_get_queued_msg_count(client->frames) > WAITING_MAX) {
			client->ended = true;
			client->error = EPROTO;
		}
		if (client->output > at)
			return client->output - at;
	}
	if (!client->ended)
		return fail(EAGAIN);
	return client->error ? fail(client->error) : 0;
}

void ws_client_close(struct ws_client *client)
{
	if (!client)
		return;
	if (!client->ended && client->begun == 0 &&
	    wslay_event_queue_close(client->frames, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0) == 0)
		wslay_event_send(client->frames);
	wslay_event_context_free(client->frames);
	buffer_finish(&client->early);
	free(client);
}
