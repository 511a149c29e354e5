/* tcp.c - see tcp.h. */
#include "broker/net/tcp.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t outcome(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? STREAM_AGAIN : STREAM_GONE;
}

static ssize_t tcp_read(struct stream *stream, uint8_t *at, size_t room)
{
	return outcome(recv(stream->fd, at, room, 0));
}

static ssize_t sent(struct stream *stream, ssize_t n)
{
	n = outcome(n);
	if (n == STREAM_GONE)
		stream->mute = true;
	return n;
}

static ssize_t tcp_write(struct stream *stream, const struct slice *slices, size_t count)
{
	struct iovec vector[STREAM_SLICES_MAX];

	must(count <= STREAM_SLICES_MAX);
	if (count == 1) /* nearly always, and cheaper for the kernel */
		return sent(stream, send(stream->fd, slices[0].at, slices[0].len, MSG_NOSIGNAL));
	for (size_t i = 0; i < count; i++) {
		/* struct iovec serves reading too, so it has no const. */
		vector[i].iov_base = (void *)(uintptr_t)slices[i].at;
		vector[i].iov_len = slices[i].len;
	}
	struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
	return sent(stream, sendmsg(stream->fd, &message, MSG_NOSIGNAL));
}

static void tcp_finish(struct stream *stream)
{
	shutdown(stream->fd, SHUT_WR);
}

static void tcp_close(struct stream *stream)
{
	close(stream->fd);
	stream->fd = -1;
}

const struct stream_class tcp_stream = {
    .drains = true,
    .read = tcp_read,
    .write = tcp_write,
    .finish = tcp_finish,
    .close = tcp_close,
};

struct stream tcp_stream_of(int fd)
{
	return (struct stream){.class = &tcp_stream, .fd = fd};
}

/* ---- Unix sockets: a read ends where a descriptor was passed, so a short one drains nothing */

static const struct stream_class unix_stream = {
    .read = tcp_read,
    .write = tcp_write,
    .finish = tcp_finish,
    .close = tcp_close,
};

struct stream tcp_stream_of_unix(int fd)
{
	return (struct stream){.class = &unix_stream, .fd = fd};
}

/* ---- with an identity */

struct known {
	struct identity identity;
	uint8_t name[];
};

static void known_close(struct stream *stream)
{
	free(stream->state);
	stream->state = NULL;
	tcp_close(stream);
}

static const struct identity *known_identity(const struct stream *stream)
{
	const struct known *known = stream->state;

	return &known->identity;
}

static const struct stream_class known_stream = {
    .read = tcp_read,
    .write = tcp_write,
    .finish = tcp_finish,
    .close = known_close,
    .identity = known_identity,
};

static struct stream stream_of_known(int fd, enum identity_kind kind, struct slice name)
{
	struct known *known = malloc(sizeof(*known) + name.len);

	must(known);
	memcpy(known->name, name.at, name.len);
	known->identity = (struct identity){kind, slice_of(known->name, name.len)};
	return (struct stream){.class = &known_stream, .state = known, .fd = fd};
}

struct stream tcp_stream_of_user(int fd, uid_t uid)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", uid);
	return stream_of_known(fd, IDENTITY_UID, slice_text(digits));
}

struct stream tcp_stream_of_certificate(int fd, struct slice name)
{
	return stream_of_known(fd, IDENTITY_CERTIFICATE, name);
}
