/* loop_door.c - listening sockets: connections are accepted, or turned away. */
#include "broker/net/listener.h"
#include "broker/net/loop_internal.h"
#include "broker/net/peer.h"
#include "broker/net/tcp.h"
#include "broker/net/transport.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int loop_open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * EPOLLEXCLUSIVE: of the workers that share a socket from outside, one is woken.  It
 * forbids EPOLL_CTL_MOD, so a door is opened and shut by adding and deleting.
 */
static void open_door(struct loop *loop, size_t i)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = DATA_DOOR | i};

	must(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->doors[i].fd, &event) == 0);
}

static void shut_doors(struct loop *loop)
{
	for (size_t i = 0; i < loop->door_count; i++)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, loop->doors[i].fd, NULL);
}

void loop_open_doors(struct loop *loop)
{
	loop->rest_until_ms = 0;
	for (size_t i = 0; i < loop->door_count; i++)
		open_door(loop, i);
}

void loop_add_door(struct loop *loop, struct listener *listener, int fd)
{
	loop->doors = realloc(loop->doors, (loop->door_count + 1) * sizeof(*loop->doors));
	must(loop->doors);
	loop->doors[loop->door_count] = (struct loop_door){listener, fd};
	open_door(loop, loop->door_count++);
}

void loop_close_doors(struct loop *loop)
{
	if (loop->rest_until_ms == 0)
		shut_doors(loop);
	/* Who connects from now on is refused, instead of waiting in the kernel's queue. */
	for (size_t i = 0; i < loop->door_count; i++)
		if (!loop->doors[i].listener->inherited)
			shutdown(loop->doors[i].fd, SHUT_RDWR);
	loop->door_count = 0;
	loop->rest_until_ms = 0;
}

/* Nothing can be accepted: instead of spinning, the doors are left alone for a while. */
static void rest(struct loop *loop)
{
	if (loop->rest_until_ms == 0)
		shut_doors(loop);
	loop->rest_until_ms = loop->now.ms + LOOP_REST_MS;
}

static void close_for_want(const struct loop_door *door, int fd)
{
	close(fd);
	atomic_fetch_add_explicit(&door->listener->no_descriptor, 1, memory_order_relaxed);
}

/*
 * Without a free descriptor the connection would stay in the queue and wake us for
 * ever; so the spare one is given up to take the connection and close it.
 */
static bool turn_away(struct loop *loop, const struct loop_door *door)
{
	if (loop->spare < 0)
		loop->spare = loop_open_spare();
	if (loop->spare < 0)
		return false;
	close(loop->spare);
	int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		close_for_want(door, fd);
	loop->spare = loop_open_spare();
	return fd >= 0;
}

static void tell(const struct listener *listener, int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		listener->tell(listener->number, (const struct sockaddr *)&peer);
}

static bool open_stream(const struct listener_settings *settings, struct listener *listener, int fd,
			struct stream *stream)
{
	if (settings->transport)
		return transport_open(settings->transport, listener, fd, stream);
	*stream = listener->on_path ? tcp_stream_of_unix(fd) : tcp_stream_of(fd);
	return true;
}

static bool enter(struct listener *listener)
{
	if (!connection_limit_enter(&listener->limit))
		return false;
	if (connection_limit_enter(listener->all))
		return true;
	connection_limit_leave(&listener->limit);
	return false;
}

/* A connection on its way to a link. */
struct visitor {
	int fd;
	struct peer_count count;
};

/* False when it was not taken: then the socket is still the caller's. */
static bool open_link(struct loop *loop, struct listener *listener,
		      const struct listener_settings *settings, struct visitor *visitor)
{
	struct stream stream;
	uint32_t number;

	if (!open_stream(settings, listener, visitor->fd, &stream)) {
		connection_limit_leave(&listener->limit);
		connection_limit_leave(listener->all);
		atomic_fetch_add_explicit(&listener->not_opened, 1, memory_order_relaxed);
		return false;
	}
	if (loop_add_link(loop, stream, listener, settings, loop->now.ms, &number)) {
		struct link *link = link_table_at(&loop->links, number);
		loop_count_link(link, visitor->count);
	} else {
		peer_count_out(listener, &visitor->count);
	}
	return true;
}

static void let_in(struct loop *loop, struct listener *listener, int fd)
{
	const struct listener_settings *settings =
	    atomic_load_explicit(&listener->settings, memory_order_acquire);
	struct visitor visitor = {.fd = fd};

	if (atomic_load_explicit(&listener->tells, memory_order_relaxed))
		tell(listener, fd);
	if (peer_admitted(listener, fd, transport_is_proxied(settings->transport),
			  &visitor.count) &&
	    enter(listener) && open_link(loop, listener, settings, &visitor))
		return;
	peer_count_out(listener, &visitor.count);
	close(fd);
}

/* False when there is nothing more to accept now. */
static bool accept_one(struct loop *loop, const struct loop_door *door)
{
	int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		if (fd < loop->first_reserved)
			let_in(loop, door->listener, fd);
		else
			close_for_want(door, fd);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
		if (turn_away(loop, door))
			return true;
		rest(loop);
		return false;
	case ENOBUFS:
	case ENOMEM:
		rest(loop);
		return false;
	default: /* a connection that ended before it was accepted: accept(2), "Error handling" */
		return true;
	}
}

void loop_serve_door(struct loop *loop, const struct loop_door *door)
{
	for (int i = 0; i < LOOP_ACCEPTS_MAX; i++)
		if (!accept_one(loop, door))
			return;
}
