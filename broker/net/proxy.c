/* proxy.c - see proxy.h. */
#include "broker/net/proxy.h"
#include "broker/net/listener.h"
#include "broker/net/peer.h"
#include "broker/net/proxy_header.h"
#include "broker/net/tcp.h"
#include "broker/net/transport.h"
#include "proto/utf8.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct proxy_link {
	const struct proxy_settings *settings;
	struct transport *transport; /* a reference */
	struct listener *listener;
	struct shelf *shelf; /* for who comes behind the header */
	bool over;	     /* what still comes is thrown away */
	size_t len;
	uint8_t bytes[PROXY_HEADER_MAX];
};

static void forget(struct stream *stream)
{
	struct proxy_link *link = stream->state;

	transport_release(link->transport);
	free(link);
	stream->state = NULL;
}

static void tell(const struct listener *listener, const struct proxy_header *header)
{
	if (header->has_peer && atomic_load_explicit(&listener->tells, memory_order_relaxed))
		listener->tell(listener->number, (const struct sockaddr *)&header->peer);
}

/* As a certificate that we verify has to have one: tls_name.c. */
static bool is_name(struct slice name)
{
	return name.len > 0 && utf8_string_accepted(name);
}

static bool lets_in(const struct proxy_settings *settings, const struct proxy_header *header)
{
	return (header->over_tls || !settings->require_tls) &&
	       (header->verified || !settings->require_certificate) &&
	       (is_name(header->common_name) || !settings->common_name);
}

static struct stream plain_of(const struct proxy_link *link, const struct proxy_header *header,
			      int fd)
{
	if (link->settings->common_name)
		return tcp_stream_of_certificate(fd, header->common_name);
	return link->listener->on_path ? tcp_stream_of_unix(fd) : tcp_stream_of(fd);
}

/* The header is off: from now on the stream is what it would have been without one. */
static void become(struct stream *stream, const struct proxy_header *header)
{
	struct proxy_link *link = stream->state;
	struct transport *transport = link->transport;
	struct shelf *shelf = link->shelf;
	struct stream plain = plain_of(link, header, stream->fd);

	tell(link->listener, header);
	transport_keep(transport);
	forget(stream);
	*stream = transport_inner(transport, plain);
	stream_adopt(stream, shelf);
	stream->proxied = true;
	stream->confidential = stream->confidential || header->over_tls;
	transport_release(transport);
}

static ssize_t outcome(ssize_t n)
{
	if (n > 0)
		return n;
	if (n == 0)
		return STREAM_END;
	return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_GONE;
}

static ssize_t discard(int fd, uint8_t *at, size_t room)
{
	ssize_t n = outcome(recv(fd, at, room, 0));

	return n > 0 ? STREAM_AGAIN : n;
}

static ssize_t refuse(struct proxy_link *link)
{
	link->over = true;
	return STREAM_DONE;
}

/*
 * Bytes behind the header belong to somebody else, and have to stay in the socket: so
 * they are looked at first, and only those of the header are taken.
 */
static ssize_t proxy_read(struct stream *stream, uint8_t *at, size_t room)
{
	struct proxy_link *link = stream->state;
	struct proxy_header header;
	uint8_t *end = link->bytes + link->len;

	if (link->over)
		return discard(stream->fd, at, room);
	/* Never full: the parser has an opinion before. */
	ssize_t n = outcome(recv(stream->fd, end, sizeof(link->bytes) - link->len, MSG_PEEK));

	if (n <= 0)
		return n;
	struct slice seen = slice_of(link->bytes, link->len + (size_t)n);
	enum proxy_step step = proxy_header_read(seen, link->settings->version, &header);
	size_t whole = step == PROXY_DONE ? header.len : seen.len;

	if (recv(stream->fd, end, whole - link->len, 0) != (ssize_t)(whole - link->len))
		return STREAM_GONE;
	link->len = whole;
	if (step == PROXY_MORE)
		return STREAM_AGAIN;
	if (step == PROXY_BAD || !lets_in(link->settings, &header))
		return refuse(link);
	become(stream, &header);
	memset(at, 0, PEER_ADDRESS_SIZE);
	if (header.has_peer)
		peer_address((const struct sockaddr *)&header.peer, at);
	return STREAM_TOLD;
}

static ssize_t proxy_write(struct stream *stream, const struct slice *slices, size_t count)
{
	(void)stream;
	(void)slices;
	(void)count;
	return STREAM_AGAIN; /* nobody has a word to say before the header */
}

static void proxy_finish(struct stream *stream)
{
	shutdown(stream->fd, SHUT_WR);
}

static void proxy_close(struct stream *stream)
{
	close(stream->fd);
	forget(stream);
	stream->fd = -1;
}

/* What comes in behind the header would by what was in force before; it can try again. */
static bool proxy_welcome(const struct stream *stream, const struct transport *now)
{
	const struct proxy_link *link = stream->state;

	return link->transport == now || link->over ||
	       (!transport_tls(link->transport) && !transport_asks_balancer(now));
}

static void proxy_adopt(struct stream *stream, struct shelf *shelf)
{
	struct proxy_link *link = stream->state;

	link->shelf = shelf;
}

static const struct stream_class proxy_stream = {.adopt = proxy_adopt,
						 .read = proxy_read,
						 .write = proxy_write,
						 .finish = proxy_finish,
						 .close = proxy_close,
						 .welcome = proxy_welcome};

struct stream proxy_stream_of(const struct proxy_settings *settings, struct transport *transport,
			      struct listener *listener, int fd)
{
	struct proxy_link *link = calloc(1, sizeof(*link));

	must(link);
	link->settings = settings;
	link->transport = transport_keep(transport);
	link->listener = listener;
	return (struct stream){.class = &proxy_stream, .state = link, .fd = fd, .opening = true};
}
