/*
 * ws_client.h - a WebSocket to a broker, for the `metrino` command: over whatever carries bytes, a
 * socket or TLS.  What MQTT sends goes in binary frames; what comes in binary frames is one stream,
 * however it is cut [MQTT-6.0.0-2] [MQTT-6.0.0-3].
 *
 * Ownership: ws_client_close() frees; what carries it stays the caller's.
 * Failure: opening, a sentence; later as send(2) and recv(2) fail.
 * Thread: one.
 * Follows: RFC 6455; MQTT 5.0 section 6.
 */
#ifndef CLI_WS_CLIENT_H
#define CLI_WS_CLIENT_H

#include "proto/base.h"

#include <sys/types.h>

struct ws_client_settings {
	const char *host;
	uint16_t port;
	const char *path; /* NULL: /mqtt */
};

/* What lies beneath: as send(2) and recv(2) on a non-blocking socket, which is `fd`. */
struct ws_carrier {
	void *self;
	ssize_t (*send)(void *self, struct slice bytes);
	ssize_t (*receive)(void *self, uint8_t *at, size_t room);
	int fd;
};

struct ws_client;

/* Blocks until the handshake is over, at most so long. */
struct ws_client *ws_client_open(const struct ws_client_settings *settings,
				 const struct ws_carrier *carrier, int timeout_ms,
				 struct failure *failure);

/* After EAGAIN of a write the next one begins with the same bytes. */
ssize_t ws_client_write(struct ws_client *client, struct slice bytes);

/* `room` is not 0.  0: the broker has ended it. */
ssize_t ws_client_read(struct ws_client *client, uint8_t *at, size_t room);

/* Says goodbye, if the carrier takes that at once.  NULL is fine. */
void ws_client_close(struct ws_client *client);

#endif
