#include "cli/bench_loop.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S       1000000000u
#define INPUT_ROOM     (256u << 10)
#define EVENTS_MAX     512
#define PER_ADDRESS    4000u /* connections from one address of the loopback net */
#define ADDRESSES      200u
#define FIRST_LOOPBACK 0x7F000002u /* 127.0.0.2 */

uint64_t bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool find_source(struct bench_loop *loop, const char *address, struct failure *failure)
{
	const struct addrinfo hints = {.ai_family = loop->target.ss_family,
				       .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	const int status = getaddrinfo(address, NULL, &hints, &found);

	if (status != 0)
		return failure_set(failure, "Unable to bind to %.200s: %s", address,
				   gai_strerror(status));
	memcpy(&loop->source, found->ai_addr, found->ai_addrlen);
	loop->source_len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	struct sockaddr_in v4;

	memcpy(&v4, address, sizeof(v4));
	return address->ss_family == AF_INET && ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

bool bench_loop_init(struct bench_loop *loop, int connected_fd, const char *bind_address,
		     size_t packet_max, struct failure *failure)
{
	loop->target_len = sizeof(loop->target);
	if (getpeername(connected_fd, (struct sockaddr *)&loop->target, &loop->target_len) != 0)
		return failure_set(failure, "The connection was lost: %s.", strerror(errno));
	if (bind_address != NULL && !find_source(loop, bind_address, failure))
		return false;
	loop->spreads = bind_address == NULL && is_loopback(&loop->target);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return failure_set(failure, "epoll: %s.", strerror(errno));
	loop->input_room = INPUT_ROOM + packet_max;
	loop->input = need_memory(loop->input_room);
	return true;
}

void bench_loop_finish(struct bench_loop *loop, struct bench_link *links, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bench_link_close(loop, &links[i]);
		buffer_finish(&links[i].out);
		buffer_finish(&links[i].part);
	}
	if (loop->epoll > 0)
		close(loop->epoll);
	free(loop->dirty);
	free(loop->input);
	*loop = (struct bench_loop){0};
}

/* ---- opening and closing ---- */

/* The port is chosen at connect(), where the same one may serve for several addresses. */
static bool bind_source(struct bench_loop *loop, int fd)
{
	const int one = 1;
	struct sockaddr_in spread = {.sin_family = AF_INET};

	if (loop->source_len == 0 && !loop->spreads)
		return true;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (!loop->spreads)
		return bind(fd, (struct sockaddr *)&loop->source, loop->source_len) == 0;
	spread.sin_addr.s_addr = htonl(FIRST_LOOPBACK + loop->opened / PER_ADDRESS % ADDRESSES);
	return bind(fd, (struct sockaddr *)&spread, sizeof(spread)) == 0;
}

static bool watch(struct bench_loop *loop, struct bench_link *link, int operation, bool for_room)
{
	struct epoll_event event = {.events = EPOLLIN | (for_room ? (uint32_t)EPOLLOUT : 0),
				    .data.ptr = link};

	link->waits_for_room = for_room;
	return epoll_ctl(loop->epoll, operation, link->channel.fd, &event) == 0;
}

bool bench_link_open(struct bench_loop *loop, struct bench_link *link, struct failure *failure)
{
	const int one = 1;

	must(link->state == BENCH_LINK_CLOSED);
	const int fd =
	    socket(loop->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return failure_set(failure, "Connection %u: %s%s.", loop->opened + 1,
				   strerror(errno),
				   errno == EMFILE ? "; raise the limit with ulimit -n" : "");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	link->channel = (struct channel){.fd = fd};
	link->state = BENCH_LINK_CONNECTING;
	link->up = false;
	link->opened_ns = link->sent_ns = bench_now_ns();
	if (!bind_source(loop, fd) ||
	    (connect(fd, (struct sockaddr *)&loop->target, loop->target_len) != 0 &&
	     errno != EINPROGRESS) ||
	    !watch(loop, link, EPOLL_CTL_ADD, true)) {
		failure_set(failure, "Connection %u: %s.", loop->opened + 1, strerror(errno));
		bench_link_close(loop, link);
		return false;
	}
	loop->opened++;
	return true;
}

static void forget_dirty(struct bench_loop *loop, const struct bench_link *link)
{
	for (size_t i = 0; i < loop->dirty_count; i++) {
		if (loop->dirty[i] == link)
			loop->dirty[i] = NULL;
	}
}

void bench_link_close(struct bench_loop *loop, struct bench_link *link)
{
	if (link->state == BENCH_LINK_CLOSED)
		return;
	if (link->state == BENCH_LINK_OPEN && bench_link_unsent(link) > 0)
		(void)!channel_send(&link->channel,
				    slice_of(link->out.at + link->out_at, bench_link_unsent(link)));
	if (link->dirty)
		forget_dirty(loop, link);
	channel_close(&link->channel);
	link->state = BENCH_LINK_CLOSED;
	link->dirty = false;
	link->out.len = link->out_at = 0;
	link->part.len = 0;
}

static void lose(struct bench_loop *loop, struct bench_link *link, int error)
{
	bench_link_close(loop, link);
	loop->events->on_closed(loop->self, link, error);
}

/* ---- sending ---- */

static void mark_dirty(struct bench_loop *loop, struct bench_link *link)
{
	if (loop->dirty_count == loop->dirty_room) {
		const size_t room = loop->dirty_room * 2 + 64;
		struct bench_link **at = need_memory(room * sizeof(*at));

		if (loop->dirty_count > 0)
			memcpy(at, loop->dirty, loop->dirty_count * sizeof(*at));
		free(loop->dirty);
		loop->dirty = at;
		loop->dirty_room = room;
	}
	link->dirty = true;
	loop->dirty[loop->dirty_count++] = link;
}

uint8_t *bench_link_reserve(struct bench_loop *loop, struct bench_link *link, size_t n)
{
	if (!link->dirty)
		mark_dirty(loop, link);
	return buffer_reserve(&link->out, n);
}

static void flush(struct bench_loop *loop, struct bench_link *link)
{
	if (link->state != BENCH_LINK_OPEN)
		return;
	while (bench_link_unsent(link) > 0) {
		const ssize_t n = channel_send(
		    &link->channel, slice_of(link->out.at + link->out_at, bench_link_unsent(link)));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!link->waits_for_room)
				watch(loop, link, EPOLL_CTL_MOD, true);
			return;
		}
		if (n < 0) {
			lose(loop, link, errno);
			return;
		}
		link->out_at += (size_t)n;
	}
	link->out.len = link->out_at = 0;
	if (link->waits_for_room)
		watch(loop, link, EPOLL_CTL_MOD, false);
}

static void flush_dirty(struct bench_loop *loop, uint64_t now_ns)
{
	for (size_t i = 0; i < loop->dirty_count; i++) {
		struct bench_link *link = loop->dirty[i];

		if (link == NULL)
			continue;
		link->dirty = false;
		link->sent_ns = now_ns;
		if (!link->waits_for_room)
			flush(loop, link);
	}
	loop->dirty_count = 0;
}

/* ---- receiving ---- */

/* Handles whole packets; returns how many bytes they were. The link may be closed after it. */
static size_t take_packets(struct bench_loop *loop, struct bench_link *link, struct slice bytes,
			   uint64_t now_ns)
{
	struct frame frame;
	size_t used = 0;

	while (link->state == BENCH_LINK_OPEN) {
		const enum frame_status status = frame_cut(slice_after(bytes, used), &frame);

		if (status == FRAME_PARTIAL && frame.size <= loop->input_room - INPUT_ROOM)
			break;
		if (status != FRAME_WHOLE ||
		    !loop->events->on_packet(loop->self, link, &frame, now_ns)) {
			if (link->state == BENCH_LINK_OPEN)
				lose(loop, link, EBADMSG);
			break;
		}
		used += frame.size;
	}
	return used;
}

/* What is not whole moves to the front of the shared input the next time. */
static void read_link(struct bench_loop *loop, struct bench_link *link)
{
	const size_t before = link->part.len;
	size_t len, used;
	ssize_t n;

	if (before > 0)
		memcpy(loop->input, link->part.at, before);
	/* Of TLS a whole record fits, so that nothing is left that epoll does not see. */
	n = channel_receive(&link->channel, loop->input + before, loop->input_room - before);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(loop, link, n < 0 ? errno : 0);
		return;
	}
	len = before + (size_t)n;
	link->part.len = 0;
	used = take_packets(loop, link, slice_of(loop->input, len), bench_now_ns());
	if (link->state == BENCH_LINK_OPEN && used < len)
		buffer_add(&link->part, slice_of(loop->input + used, len - used));
}

/* A handshake goes on when its socket is ready, while those of others do. */
static void shake_hands(struct bench_loop *loop, struct bench_link *link)
{
	const enum tls_client_step step = tls_client_shake(link->channel.tls, &loop->refusal);

	if (step == TLS_CLIENT_FAILED) {
		lose(loop, link, EPROTO);
		return;
	}
	if (link->waits_for_room != (step == TLS_CLIENT_WRITES))
		watch(loop, link, EPOLL_CTL_MOD, step == TLS_CLIENT_WRITES);
	if (step != TLS_CLIENT_OPEN)
		return;
	link->state = BENCH_LINK_OPEN;
	loop->events->on_open(loop->self, link);
}

static void begin_tls(struct bench_loop *loop, struct bench_link *link)
{
	link->channel.tls = tls_client_begin(loop->tls, link->channel.fd);
	if (link->channel.tls == NULL) {
		lose(loop, link, ENOMEM);
		return;
	}
	link->state = BENCH_LINK_SHAKING;
	shake_hands(loop, link);
}

static void finish_connect(struct bench_loop *loop, struct bench_link *link)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(link->channel.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0) {
		lose(loop, link, error);
		return;
	}
	if (loop->tls != NULL) {
		begin_tls(loop, link);
		return;
	}
	link->state = BENCH_LINK_OPEN;
	watch(loop, link, EPOLL_CTL_MOD, false);
	loop->events->on_open(loop->self, link);
}

static void handle(struct bench_loop *loop, struct bench_link *link, uint32_t events)
{
	/* Closed by an earlier event of this turn: links are not opened again within one. */
	if (link->state == BENCH_LINK_CLOSED)
		return;
	if (link->state == BENCH_LINK_CONNECTING) {
		finish_connect(loop, link);
		return;
	}
	if (link->state == BENCH_LINK_SHAKING) {
		shake_hands(loop, link);
		return;
	}
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
		read_link(loop, link);
	if (link->state == BENCH_LINK_OPEN && (events & EPOLLOUT) != 0)
		flush(loop, link);
}

void bench_loop_turn(struct bench_loop *loop, uint64_t wait_ns)
{
	const struct timespec wait = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};
	struct epoll_event events[EVENTS_MAX];
	int count;

	flush_dirty(loop, bench_now_ns());
	count = epoll_pwait2(loop->epoll, events, EVENTS_MAX, &wait, NULL);
	for (int i = 0; i < count; i++)
		handle(loop, events[i].data.ptr, events[i].events);
}
