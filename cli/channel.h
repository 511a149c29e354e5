/*
 * channel.h - the bytes between a client and its broker: over TCP or a Unix socket, with TLS around
 * that if its layers say so, and with WebSocket around both.
 *
 * Ownership: channel_close() frees; `fd` is for poll(2) only.  Zeroed but for fd = -1 it is closed.
 * Failure: opening, a sentence; later as send(2) and recv(2) fail.
 * Thread: one.
 */
#ifndef CLI_CHANNEL_H
#define CLI_CHANNEL_H

#include "broker/net/tls_client.h"
#include "cli/dial.h"
#include "cli/ws_client.h"

struct channel {
	int fd;
	struct tls_client *tls; /* NULL: none */
	struct ws_client *ws;	/* NULL: none */
};

/* What stands between the socket and MQTT; NULL: none. */
struct channel_layers {
	const struct tls_client_settings *tls;
	const struct ws_client_settings *ws;
};

/* The channel stays where it is until it is closed. */
bool channel_open(struct channel *channel, const struct dial_target *target,
		  const struct channel_layers *layers, struct failure *failure);

/*
 * As send(2) and recv(2).  Who is told EAGAIN sends the same bytes again.  Where
 * channel_reads_ahead() one reads until EAGAIN before one waits: a layer may have more than poll(2)
 * sees.
 */
bool channel_reads_ahead(const struct channel *channel);
ssize_t channel_send(struct channel *channel, struct slice bytes);
ssize_t channel_receive(struct channel *channel, uint8_t *at, size_t room);

/* Sends no more, and says so. */
void channel_finish(struct channel *channel);
void channel_close(struct channel *channel);

#endif
