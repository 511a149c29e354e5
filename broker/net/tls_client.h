/*
 * tls_client.h - the other end of tls.h: a connection over TLS 1.2 to a broker, for the `metrino`
 * command.  Blocking while it opens, as its caller's socket is afterwards: not.
 *
 * The broker's certificate has to be verified by an authority, and to be of the host that was asked
 * for, by name or by address; `insecure` leaves out the second.  With a pre-shared key there are no
 * certificates.
 *
 * Ownership: tls_client_close() frees; the socket stays the caller's.
 * Failure: a sentence.
 * Thread: one.
 */
#ifndef BROKER_NET_TLS_CLIENT_H
#define BROKER_NET_TLS_CLIENT_H

#include "broker/net/stream.h"

/* Texts are borrowed for the call that opens. */
struct tls_client_settings {
	const char *host;
	const char *cafile, *capath;	/* one of them, or a pre-shared key */
	const char *certfile, *keyfile; /* ours: both or none */
	const char *ciphers, *alpn;	/* NULL: what is usual, none */
	const char *psk_identity, *psk; /* both or none; the key in hexadecimal digits */
	bool insecure;
};

struct tls_client;

/* Takes a connected, non-blocking socket; `timeout_ms` is for the whole handshake. */
struct tls_client *tls_client_open(const struct tls_client_settings *settings, int fd,
				   int timeout_ms, struct failure *failure);

/* How many bytes were read or taken, or one of STREAM_*.  After STREAM_AGAIN of a write the next
 * one begins with the same bytes. */
ssize_t tls_client_read(struct tls_client *client, uint8_t *at, size_t room);
ssize_t tls_client_write(struct tls_client *client, struct slice bytes);

/* Says goodbye, if the socket takes that at once.  NULL is fine. */
void tls_client_close(struct tls_client *client);

#endif
