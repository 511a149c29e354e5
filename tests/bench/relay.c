/*
 * relay.c - the floor under a broker: what the sockets alone cost.
 *
 *   relay PORT [each]
 *
 * Says to clients of MQTT 3.1.1 what keeps `metrino bench` going, and passes PUBLISH
 * packets on as they are: no sessions, no matching, no limits, no packet identifiers of its own.
 * Whom a publisher feeds is decided by the last number in its first topic, as bench_topic.h
 * writes them: the subscriber whose first filter holds the same number, else every
 * subscriber.  With `each` that is looked at in each message, for the wildcard topology.
 *
 * What a broker costs above this is the broker's own doing.  Listens on 127.0.0.1.
 */
#include "cli/buffer.h"
#include "proto/frame.h"
#include "proto/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_ROOM    (256u << 10)
#define EVENTS_MAX    256
#define DESCRIPTORS   65536u
#define NOBODY	      UINT32_MAX
#define FILTERS_MAX   1000u
#define SHORT_ACK     4u
#define QOS_OF(frame) ((frame).flags >> 1 & 3)

struct link {
	int fd;
	bool dirty, armed, routed, subscribed;
	uint32_t receiver; /* whom it feeds; NOBODY: every subscriber */
	size_t out_at;
	struct buffer out, part;
};

static struct link *links[DESCRIPTORS];	    /* by descriptor */
static struct link *receivers[DESCRIPTORS]; /* by number */
static struct link *everybody[DESCRIPTORS], *dirty[DESCRIPTORS];
static size_t everybody_count, dirty_count;
static uint8_t input[INPUT_ROOM];
static int epoll;
static bool route_each;

/* ---- sending ---- */

static void add(struct link *link, struct slice bytes)
{
	buffer_add(&link->out, bytes);
	if (!link->dirty) {
		link->dirty = true;
		dirty[dirty_count++] = link;
	}
}

static void arm(struct link *link, bool on)
{
	struct epoll_event event = {.events = EPOLLIN | (on ? (uint32_t)EPOLLOUT : 0),
				    .data.fd = link->fd};

	if (link->armed != on)
		epoll_ctl(epoll, EPOLL_CTL_MOD, link->fd, &event);
	link->armed = on;
}

static void flush(struct link *link)
{
	const ssize_t n =
	    send(link->fd, link->out.at + link->out_at, link->out.len - link->out_at, MSG_NOSIGNAL);

	if (n > 0)
		link->out_at += (size_t)n;
	if (link->out_at == link->out.len)
		link->out_at = link->out.len = 0;
	arm(link, link->out.len > 0);
}

static void flush_dirty(void)
{
	for (size_t i = 0; i < dirty_count; i++) {
		if (dirty[i] == NULL)
			continue;
		dirty[i]->dirty = false;
		if (!dirty[i]->armed)
			flush(dirty[i]);
	}
	dirty_count = 0;
}

static void forget(struct link **list, size_t count, const struct link *link)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == link)
			list[i] = NULL;
	}
}

static void drop(struct link *link)
{
	if (link->dirty)
		forget(dirty, dirty_count, link);
	if (link->subscribed) {
		forget(receivers, DESCRIPTORS, link);
		forget(everybody, everybody_count, link);
	}
	links[link->fd] = NULL;
	close(link->fd);
	buffer_finish(&link->out);
	buffer_finish(&link->part);
	free(link);
}

/* ---- packets ---- */

static uint32_t last_number(struct slice text)
{
	size_t end = text.len;
	uint32_t number = 0, unit = 1;

	while (end > 0 && (text.at[end - 1] < '0' || text.at[end - 1] > '9'))
		end--;
	if (end == 0)
		return NOBODY;
	for (; end > 0 && text.at[end - 1] >= '0' && text.at[end - 1] <= '9'; end--, unit *= 10)
		number += unit * (text.at[end - 1] - '0');
	return number < DESCRIPTORS ? number : NOBODY;
}

static void subscribe(struct link *link, const struct frame *frame)
{
	uint8_t granted[FILTERS_MAX], out[FILTERS_MAX + 8];
	struct mqtt_subscription entry;
	struct mqtt_subscribe p;
	struct mqtt_suback suback = {.type = MQTT_SUBACK};
	size_t count = 0;

	if (mqtt_decode_subscribe(frame->body, MQTT_VERSION_3_1_1, &p) != MQTT_SUCCESS)
		return;
	while (count < FILTERS_MAX &&
	       mqtt_next_subscription(&p.entries, MQTT_VERSION_3_1_1, &entry)) {
		const uint32_t number = last_number(entry.filter);

		granted[count++] = entry.qos;
		if (link->subscribed)
			continue;
		link->subscribed = true;
		if (number != NOBODY)
			receivers[number] = link;
		else
			everybody[everybody_count++] = link;
	}
	suback.packet_id = p.packet_id;
	suback.reasons = slice_of(granted, count);
	add(link, slice_of(out, mqtt_encode_suback(out, sizeof(out), MQTT_VERSION_3_1_1, &suback)));
}

static void acknowledge(struct link *link, uint8_t first, const uint8_t *packet_id)
{
	const uint8_t ack[SHORT_ACK] = {first, 2, packet_id[0], packet_id[1]};

	add(link, slice_of(ack, sizeof(ack)));
}

static void forward(const struct link *link, struct slice run)
{
	if (run.len == 0)
		return;
	if (link->receiver != NOBODY) {
		if (receivers[link->receiver] != NULL)
			add(receivers[link->receiver], run);
		return;
	}
	for (size_t i = 0; i < everybody_count; i++) {
		if (everybody[i] != NULL)
			add(everybody[i], run);
	}
}

/* Looks at the topic once, and at the packet identifier. */
static void publish(struct link *link, const struct frame *frame)
{
	const size_t topic_len = (size_t)frame->body.at[0] << 8 | frame->body.at[1];

	if (!link->routed || route_each) {
		link->routed = true;
		link->receiver = last_number(slice_of(frame->body.at + 2, topic_len));
		if (link->receiver != NOBODY && receivers[link->receiver] == NULL)
			link->receiver = NOBODY;
	}
	if (QOS_OF(*frame) > 0)
		acknowledge(link, QOS_OF(*frame) == 1 ? 0x40 : 0x50,
			    frame->body.at + 2 + topic_len);
}

/* Anything but a PUBLISH; false at its end. */
static bool answer(struct link *link, const struct frame *frame)
{
	static const uint8_t connack[] = {0x20, 2, 0, 0}, pingresp[] = {0xd0, 0};

	switch (frame->type) {
	case MQTT_CONNECT: /* at once: an idle connection has no buffer */
		return send(link->fd, connack, sizeof(connack), MSG_NOSIGNAL) > 0;
	case MQTT_SUBSCRIBE:
		subscribe(link, frame);
		return true;
	case MQTT_PUBREC:
		acknowledge(link, 0x62, frame->body.at);
		return true;
	case MQTT_PUBREL:
		acknowledge(link, 0x70, frame->body.at);
		return true;
	case MQTT_PINGREQ:
		add(link, slice_of(pingresp, sizeof(pingresp)));
		return true;
	default:
		return frame->type != MQTT_DISCONNECT;
	}
}

/* PUBLISH packets that stand side by side go on in one piece. */
static bool take(struct link *link, struct slice bytes, size_t *used)
{
	struct frame frame;
	size_t run = 0, at = 0;
	bool good = true;

	while (good && frame_cut(slice_after(bytes, at), &frame) == FRAME_WHOLE) {
		if (frame.type != MQTT_PUBLISH || route_each) {
			forward(link, slice_of(bytes.at + run, at - run));
			run = at;
		}
		if (frame.type == MQTT_PUBLISH) {
			publish(link, &frame);
		} else {
			good = answer(link, &frame);
			run = at + frame.size;
		}
		at += frame.size;
	}
	forward(link, slice_of(bytes.at + run, at - run));
	*used = at;
	return good;
}

static void read_link(struct link *link)
{
	const size_t before = link->part.len;
	size_t used;
	ssize_t n;

	if (before > 0)
		memcpy(input, link->part.at, before);
	n = recv(link->fd, input + before, sizeof(input) - before, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || !take(link, slice_of(input, before + (size_t)n), &used)) {
		drop(link);
		return;
	}
	link->part.len = 0;
	buffer_add(&link->part, slice_of(input + used, before + (size_t)n - used));
}

/* ---- the loop ---- */

static void accept_all(int listener)
{
	const int one = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

		if (fd >= (int)DESCRIPTORS) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		links[fd] = need_zeroed(1, sizeof(*links[fd]));
		links[fd]->fd = fd;
		links[fd]->receiver = NOBODY;
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	}
}

static int listen_on(uint16_t port)
{
	const int one = 1;
	const struct sockaddr_in address = {.sin_family = AF_INET,
					    .sin_port = htons(port),
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, 4096) != 0) {
		perror("relay");
		exit(1);
	}
	event.data.fd = fd;
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	return fd;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int listener;

	if (argc < 2) {
		fputs("usage: relay PORT [each]\n", stderr);
		return 1;
	}
	raise_descriptor_limit();
	route_each = argc > 2;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_on((uint16_t)atoi(argv[1]));
	for (;;) {
		const int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			const int fd = events[i].data.fd;

			if (fd == listener) {
				accept_all(listener);
				continue;
			}
			if (links[fd] != NULL && (events[i].events & EPOLLOUT) != 0)
				flush(links[fd]);
			if (links[fd] != NULL && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
				read_link(links[fd]);
		}
		flush_dirty();
	}
}
