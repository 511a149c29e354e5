/*
 * channel.h - the bytes between a client and its broker: over TCP or a Unix socket, and with TLS
 * around that if its target says so.
 *
 * Ownership: channel_close() frees; `fd` is for poll(2) only.  Zeroed but for fd = -1 it is closed.
 * Failure: opening, a sentence; later as send(2) and recv(2) fail.
 * Thread: one.
 */
#ifndef CLI_CHANNEL_H
#define CLI_CHANNEL_H

#include "broker/net/tls_client.h"
#include "cli/dial.h"

struct channel {
	int fd;
	struct tls_client *tls; /* NULL: none */
};

/* `tls` NULL: none. */
bool channel_open(struct channel *channel, const struct dial_target *target,
		  const struct tls_client_settings *tls, struct failure *failure);

/* As send(2) and recv(2).  Reads until EAGAIN before it waits: TLS may have more than poll(2) sees.
 */
ssize_t channel_send(struct channel *channel, struct slice bytes);
ssize_t channel_receive(struct channel *channel, uint8_t *at, size_t room);

/* Sends no more, and says so. */
void channel_finish(struct channel *channel);
void channel_close(struct channel *channel);

#endif
