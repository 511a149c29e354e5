#include "cli/channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

bool channel_open(struct channel *channel, const struct dial_target *target,
		  const struct tls_client_settings *tls, struct failure *failure)
{
	*channel = (struct channel){.fd = dial(target, failure)};
	if (channel->fd < 0 || tls == NULL)
		return channel->fd >= 0;
	channel->tls = tls_client_open(tls, channel->fd, target->timeout_ms, failure);
	if (channel->tls == NULL)
		channel_close(channel);
	return channel->fd >= 0;
}

/* What a stream says, as a system call would. */
static ssize_t as_call(ssize_t n)
{
	if (n >= 0)
		return n;
	errno = n == STREAM_AGAIN ? EAGAIN : ECONNRESET;
	return -1;
}

ssize_t channel_send(struct channel *channel, struct slice bytes)
{
	if (channel->tls != NULL)
		return as_call(tls_client_write(channel->tls, bytes));
	return send(channel->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
}

ssize_t channel_receive(struct channel *channel, uint8_t *at, size_t room)
{
	if (channel->tls != NULL)
		return as_call(tls_client_read(channel->tls, at, room));
	return recv(channel->fd, at, room, 0);
}

void channel_finish(struct channel *channel)
{
	tls_client_close(channel->tls);
	channel->tls = NULL;
	shutdown(channel->fd, SHUT_WR);
}

void channel_close(struct channel *channel)
{
	tls_client_close(channel->tls);
	if (channel->fd >= 0)
		close(channel->fd);
	*channel = (struct channel){.fd = -1};
}
