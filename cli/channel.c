#include "cli/channel.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the socket, or TLS */

/* What a stream says, as a system call would. */
static ssize_t as_call(ssize_t n)
{
	if (n >= 0)
		return n;
	errno = n == STREAM_AGAIN ? EAGAIN : ECONNRESET;
	return -1;
}

static ssize_t carrier_send(void *self, struct slice bytes)
{
	const struct channel *channel = self;

	if (channel->tls != NULL)
		return as_call(tls_client_write(channel->tls, bytes));
	return send(channel->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
}

static ssize_t carrier_receive(void *self, uint8_t *at, size_t room)
{
	const struct channel *channel = self;

	if (channel->tls != NULL)
		return as_call(tls_client_read(channel->tls, at, room));
	return recv(channel->fd, at, room, 0);
}

/* ---- the channel */

static bool open_layers(struct channel *channel, const struct dial_target *target,
			const struct channel_layers *layers, struct failure *failure)
{
	if (layers->tls != NULL) {
		channel->tls =
		    tls_client_open(layers->tls, channel->fd, dial_patience_ms(target), failure);
		if (channel->tls == NULL)
			return false;
	}
	if (layers->ws != NULL) {
		const struct ws_carrier carrier = {channel, carrier_send, carrier_receive,
						   channel->fd};

		channel->ws =
		    ws_client_open(layers->ws, &carrier, dial_patience_ms(target), failure);
	}
	return layers->ws == NULL || channel->ws != NULL;
}

bool channel_open(struct channel *channel, const struct dial_target *target,
		  const struct channel_layers *layers, struct failure *failure)
{
	*channel = (struct channel){.fd = dial(target, failure)};
	if (channel->fd < 0)
		return false;
	if (!open_layers(channel, target, layers, failure))
		channel_close(channel);
	return channel->fd >= 0;
}

bool channel_reads_ahead(const struct channel *channel)
{
	return channel->tls != NULL || channel->ws != NULL;
}

ssize_t channel_send(struct channel *channel, struct slice bytes)
{
	return channel->ws != NULL ? ws_client_write(channel->ws, bytes)
				   : carrier_send(channel, bytes);
}

ssize_t channel_receive(struct channel *channel, uint8_t *at, size_t room)
{
	return channel->ws != NULL ? ws_client_read(channel->ws, at, room)
				   : carrier_receive(channel, at, room);
}

static void close_layers(struct channel *channel)
{
	ws_client_close(channel->ws);
	tls_client_close(channel->tls);
	channel->ws = NULL;
	channel->tls = NULL;
}

void channel_finish(struct channel *channel)
{
	close_layers(channel);
	shutdown(channel->fd, SHUT_WR);
}

void channel_close(struct channel *channel)
{
	close_layers(channel);
	if (channel->fd >= 0)
		close(channel->fd);
	*channel = (struct channel){.fd = -1};
}
