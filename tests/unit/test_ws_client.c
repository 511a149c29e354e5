/*
 * The WebSocket of the command: against the broker's own end, over a carrier that takes and gives
 * little at a time; and against servers that answer wrongly.
 */
#include "broker/core/arena.h"
#include "broker/net/transport.h"
#include "broker/net/ws.h"
#include "cli/buffer.h"
#include "cli/ws_client.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

Suite *ws_client_suite(void);

static const struct ws_client_settings place = {.host = "localhost", .port = 8080};
static struct failure failure;

/* ---- a carrier in memory */

static struct {
	struct buffer up, down; /* from the client, and to it */
	size_t step;		/* bytes of one call, at most; 0: no limit */
	bool full;		/* the next send is refused, */
	bool stuck;		/* or every one */
	bool ended;		/* behind what is in `down` the connection ends */
	void (*pump)(void);	/* the server's turn */
} line;

static size_t cut(size_t len)
{
	return line.step > 0 && len > line.step ? line.step : len;
}

static ssize_t line_send(void *self, struct slice bytes)
{
	const size_t n = cut(bytes.len);

	(void)self;
	errno = EAGAIN;
	if (line.stuck)
		return -1;
	if (line.step > 0) {
		line.full = !line.full;
		errno = EAGAIN;
		if (line.full)
			return -1;
	}
	buffer_add(&line.up, slice_of(bytes.at, n));
	return (ssize_t)n;
}

static ssize_t line_receive(void *self, uint8_t *at, size_t room)
{
	(void)self;
	if (line.pump)
		line.pump();
	const size_t n = cut(line.down.len < room ? line.down.len : room);

	errno = EAGAIN;
	if (n == 0)
		return line.ended ? 0 : -1;
	memcpy(at, line.down.at, n);
	buffer_drop(&line.down, n);
	return (ssize_t)n;
}

/* Nobody waits for its descriptor, but for one: poll(2) finds it ready. */
static const struct ws_carrier carrier = {NULL, line_send, line_receive, -1};

static void clean(void)
{
	buffer_finish(&line.up);
	buffer_finish(&line.down);
	memset(&line, 0, sizeof(line));
}

/* ---- the broker's end */

static const struct ws_settings settings = {.on = true, .headers_size = 600};
static struct stream server;
static struct arena arena;
static struct transport *transport;
static struct buffer heard; /* what MQTT of the broker gets */

static ssize_t below_read(struct stream *stream, uint8_t *at, size_t room)
{
	const size_t n = line.up.len < room ? line.up.len : room;

	(void)stream;
	if (n == 0)
		return STREAM_AGAIN;
	memcpy(at, line.up.at, n);
	buffer_drop(&line.up, n);
	return (ssize_t)n;
}

static ssize_t below_write(struct stream *stream, const struct slice *slices, size_t count)
{
	size_t n = 0;

	(void)stream;
	for (size_t i = 0; i < count; i++) {
		buffer_add(&line.down, slices[i]);
		n += slices[i].len;
	}
	return (ssize_t)n;
}

static void below_end(struct stream *stream)
{
	(void)stream;
}

static const struct stream_class below = {
    .read = below_read, .write = below_write, .finish = below_end, .close = below_end};

static void pump_server(void)
{
	while (line.up.len > 0) {
		const ssize_t n = server.class->read(
		    &server, buffer_reserve(&heard, STREAM_READ_MIN), STREAM_READ_MIN);

		if (n > 0)
			heard.len += (size_t)n;
		else if (n == STREAM_GONE)
			return;
	}
}

static void begin(void)
{
	const struct transport_settings asked = {.ws = settings};

	clean();
	arena_init(&arena);
	ck_assert(transport_create(&asked, &transport, &failure));
	server = ws_stream_over((struct stream){.class = &below}, &settings, transport);
	stream_adopt(&server, arena_shelf(&arena));
	line.pump = pump_server;
}

static void end(void)
{
	server.class->close(&server);
	transport_release(transport);
	buffer_finish(&heard);
	clean();
	ck_assert_uint_eq(arena_finish(&arena), 0);
}

static struct ws_client *opened(void)
{
	struct ws_client *client = ws_client_open(&place, &carrier, 1000, &failure);

	ck_assert_msg(client, "%s", failure.text);
	return client;
}

/* ---- bytes both ways */

static uint8_t *pattern(size_t len)
{
	uint8_t *at = need_memory(len);

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 2654435761u >> 13);
	return at;
}

static void send_all(struct ws_client *client, struct slice bytes)
{
	while (bytes.len > 0) {
		const ssize_t n = ws_client_write(client, bytes);

		ck_assert_int_ne(n, 0);
		if (n > 0)
			bytes = slice_after(bytes, (size_t)n);
		else
			ck_assert_int_eq(errno, EAGAIN);
	}
}

static void read_all(struct ws_client *client, struct buffer *got, size_t len, size_t room)
{
	while (got->len < len) {
		const ssize_t n = ws_client_read(client, buffer_reserve(got, room), room);

		if (n >= 0) {
			ck_assert_uint_gt((size_t)n, 0);
			ck_assert_uint_le((size_t)n, room);
			got->len += (size_t)n;
		} else {
			ck_assert_int_eq(errno, EAGAIN);
		}
	}
}

static const struct {
	size_t len, step, room;
} manners[] = {{200000, 0, 65536}, {200000, 0, 100}, {10000, 1, 7}, {200000, 999, 65536}};

START_TEST(bytes_arrive)
{
	struct buffer got = {0};
	const size_t len = manners[_i].len;
	uint8_t *bytes = pattern(len);
	struct slice all = slice_of(bytes, len);

	begin();
	struct ws_client *client = opened();

	line.step = manners[_i].step;
	send_all(client, all);
	pump_server();
	ck_assert(slice_equal(buffer_slice(&heard), all));
	while (all.len > 0)
		all = slice_after(all, (size_t)server.class->write(&server, &all, 1));
	read_all(client, &got, len, manners[_i].room);
	ck_assert(slice_equal(buffer_slice(&got), slice_of(bytes, len)));
	line.step = 0;
	ws_client_close(client);
	pump_server();
	ck_assert_msg(server.done, "no close frame came");
	buffer_finish(&got);
	free(bytes);
	end();
}
END_TEST

/* Every frame of a client is masked, each with a mask of its own [RFC 6455 section 5.1]. */
START_TEST(masks)
{
	static const uint8_t zeros[64];

	begin();
	struct ws_client *client = opened();

	line.pump = NULL;
	for (unsigned i = 0; i < 2; i++)
		send_all(client, slice_of(zeros, sizeof(zeros)));
	ck_assert_uint_eq(line.up.len, 2 * (6 + sizeof(zeros)));
	ck_assert_uint_eq(line.up.at[1], 0x80 | sizeof(zeros));
	ck_assert_int_ne(memcmp(line.up.at + 2, line.up.at + 6 + sizeof(zeros) + 2, 4), 0);
	ws_client_close(client);
	end();
}
END_TEST

/* ---- frames that are not MQTT's */

static const struct {
	const char *frame;
	size_t len;
	int error; /* 0: the end; EAGAIN: nothing of MQTT's */
} others[] = {
    {"\x81\x02hi", 4, EPROTO},		 /* text */
    {"\x82\x82mask\x12\x34", 8, EPROTO}, /* masked by a server */
    {"\x88\x02\x03\xe8", 4, 0},		 /* close */
    {"\x89\x03you", 5, EAGAIN},		 /* ping */
    {"\x83\x00", 2, EPROTO},		 /* reserved */
    {"\xc2\x00", 2, EPROTO},		 /* of an extension */
};

START_TEST(other_frames)
{
	uint8_t room[100];

	begin();
	struct ws_client *client = opened();

	buffer_finish(&line.up);
	line.pump = NULL;
	buffer_add(&line.down, slice_of((const uint8_t *)others[_i].frame, others[_i].len));
	const ssize_t n = ws_client_read(client, room, sizeof(room));

	ck_assert_int_eq(n, others[_i].error ? -1 : 0);
	if (n < 0)
		ck_assert_int_eq(errno, others[_i].error);
	if (others[_i].error == EAGAIN) { /* its pong */
		ck_assert_uint_eq(line.up.len, 6 + 3);
		ck_assert_uint_eq(line.up.at[0], 0x8a);
	} else {
		ck_assert_int_eq(ws_client_read(client, room, sizeof(room)), n);
	}
	ws_client_close(client);
	end();
}
END_TEST

/* A server that pings and reads no pongs does not fill our memory. */
START_TEST(pings_without_end)
{
	uint8_t room[100];
	int error = EAGAIN;

	begin();
	struct ws_client *client = opened();

	line.pump = NULL;
	line.stuck = true;
	for (unsigned i = 0; i < 10000 && error == EAGAIN; i++) {
		buffer_add(&line.down, slice_of((const uint8_t *)"\x89\x00", 2));
		ck_assert_int_eq(ws_client_read(client, room, sizeof(room)), -1);
		error = errno;
	}
	ck_assert_int_eq(error, EPROTO);
	ws_client_close(client);
	end();
}
END_TEST

START_TEST(carrier_ends)
{
	uint8_t room[100];

	begin();
	struct ws_client *client = opened();

	line.ended = true;
	buffer_add(&line.down, slice_of((const uint8_t *)"\x82\x01x", 3));
	ck_assert_int_eq(ws_client_read(client, room, sizeof(room)), 1);
	ck_assert_int_eq(ws_client_read(client, room, sizeof(room)), 0);
	ws_client_close(client);
	end();
}
END_TEST

/* ---- servers that answer wrongly */

#define UPGRADE "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
#define ACCEPT	"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"

static const struct {
	const char *answer, *phrase;
	bool ends;
} answers[] = {
    {"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP status 404", false},
    {"HTTP/1.1 200 OK\r\n\r\n", "HTTP status 200", false},
    {"HTTP/1.0 101 OK\r\n\r\n", "does not speak HTTP/1.1", false},
    {"\x20\x02\x00\x05", "does not speak HTTP/1.1", false}, /* a CONNACK */
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP/1.1", false},
    {UPGRADE ACCEPT "Sec-WebSocket-Protocol: mqtt\r\n\r\n", "not one to this", false},
    {UPGRADE "Sec-WebSocket-Protocol: mqtt\r\n\r\n", "not one to this", false},
    {UPGRADE "no colon\r\n\r\n", "does not speak HTTP/1.1", false},
    {"HTTP/1.1 101 Swi", "ended in the WebSocket handshake", true},
};

START_TEST(wrong_answers)
{
	clean();
	buffer_add_text(&line.down, answers[_i].answer);
	line.ended = answers[_i].ends;
	ck_assert_ptr_null(ws_client_open(&place, &carrier, 1000, &failure));
	ck_assert_msg(strstr(failure.text, answers[_i].phrase), "%s", failure.text);
	clean();
}
END_TEST

/* The broker's own answer, without the line that names the protocol, or with a frame behind it. */
static void answer(bool names_protocol, struct slice more)
{
	struct ws_opening opening;

	if (line.up.len == 0)
		return;
	ck_assert_int_eq(ws_opening_read(buffer_slice(&line.up), &settings, &opening),
			 WS_OPENING_DONE);
	buffer_finish(&line.up);
	opening.answer[opening.answer_len] = '\0';
	char *protocol = strstr(opening.answer, "Sec-WebSocket-Protocol");

	ck_assert_ptr_nonnull(protocol);
	if (!names_protocol)
		memcpy(protocol, "X", 1);
	buffer_add_text(&line.down, opening.answer);
	buffer_add(&line.down, more);
}

static void answer_without_protocol(void)
{
	answer(false, SLICE_NONE);
}

static void answer_with_frame(void)
{
	answer(true, slice_of((const uint8_t *)"\x82\x02ok", 4));
}

START_TEST(no_protocol)
{
	clean();
	line.pump = answer_without_protocol;
	ck_assert_ptr_null(ws_client_open(&place, &carrier, 1000, &failure));
	ck_assert_msg(strstr(failure.text, "does not speak mqtt"), "%s", failure.text);
	clean();
}
END_TEST

START_TEST(frame_behind_answer)
{
	uint8_t room[100];

	clean();
	line.pump = answer_with_frame;
	struct ws_client *client = opened();

	ck_assert_int_eq(ws_client_read(client, room, sizeof(room)), 2);
	ck_assert_mem_eq(room, "ok", 2);
	ws_client_close(client);
	clean();
}
END_TEST

START_TEST(no_answer)
{
	int pair[2];

	clean();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	const struct ws_carrier silent = {NULL, line_send, line_receive, pair[0]};

	ck_assert_ptr_null(ws_client_open(&place, &silent, 20, &failure));
	ck_assert_msg(strstr(failure.text, "not answered in time"), "%s", failure.text);
	close(pair[0]);
	close(pair[1]);
	clean();
}
END_TEST

static const struct {
	const char *host, *path, *first_line, *host_line;
} requests[] = {
    {"broker.example", NULL, "GET /mqtt HTTP/1.1\r\n", "\r\nHost: broker.example:8080\r\n"},
    {"::1", "/a?b=c", "GET /a?b=c HTTP/1.1\r\n", "\r\nHost: [::1]:8080\r\n"},
};

START_TEST(asks)
{
	struct ws_client_settings asked = place;

	clean();
	asked.host = requests[_i].host;
	asked.path = requests[_i].path;
	line.ended = true;
	ck_assert_ptr_null(ws_client_open(&asked, &carrier, 1000, &failure));
	buffer_add_byte(&line.up, '\0', 1);
	const char *request = (const char *)line.up.at;

	ck_assert_ptr_eq(strstr(request, requests[_i].first_line), request);
	ck_assert_ptr_nonnull(strstr(request, requests[_i].host_line));
	clean();
}
END_TEST

START_TEST(no_path)
{
	static const char *const paths[] = {"mqtt", "/a b", "/a\r\nX: y", ""};
	struct ws_client_settings asked = place;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		clean();
		asked.path = paths[i];
		ck_assert_ptr_null(ws_client_open(&asked, &carrier, 1000, &failure));
		ck_assert_msg(strstr(failure.text, "begins with /"), "%s", failure.text);
		ck_assert_uint_eq(line.up.len, 0);
	}
	clean();
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *ws_client_suite(void)
{
	Suite *suite = suite_create("ws_client");
	TCase *frames = tcase_create("frames");
	TCase *opening = tcase_create("opening");

	tcase_add_loop_test(frames, bytes_arrive, 0, COUNT(manners));
	tcase_add_test(frames, masks);
	tcase_add_loop_test(frames, other_frames, 0, COUNT(others));
	tcase_add_test(frames, pings_without_end);
	tcase_add_test(frames, carrier_ends);
	suite_add_tcase(suite, frames);
	tcase_add_loop_test(opening, wrong_answers, 0, COUNT(answers));
	tcase_add_test(opening, no_protocol);
	tcase_add_test(opening, frame_behind_answer);
	tcase_add_test(opening, no_answer);
	tcase_add_loop_test(opening, asks, 0, COUNT(requests));
	tcase_add_test(opening, no_path);
	suite_add_tcase(suite, opening);
	return suite;
}
