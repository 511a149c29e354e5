/*
 * tls_client.h - the other end of tls.h: connections over TLS 1.2 to a broker, for the `metrino`
 * command.  A context is what many connections to one broker have in common: files are read once.
 * Who has one connection opens it, which blocks; who has many begins each and shakes hands when its
 * socket is ready.
 *
 * The broker's certificate has to be verified by an authority, and to be of the host that was asked
 * for, by name or by address; `insecure` leaves out the second.  With a pre-shared key there are no
 * certificates.
 *
 * Ownership: tls_client_close() frees, tls_context_destroy() after the last of its connections; the
 * socket stays the caller's.
 * Failure: a sentence.
 * Thread: one.
 */
#ifndef BROKER_NET_TLS_CLIENT_H
#define BROKER_NET_TLS_CLIENT_H

#include "broker/net/stream.h"

/* Texts are borrowed for the call. */
struct tls_client_settings {
	const char *host;
	const char *cafile, *capath;	/* one of them or system_cafile, or a pre-shared key */
	const char *system_cafile;	/* likewise: of this computer */
	const char *certfile, *keyfile; /* ours: both or none */
	const char *ciphers, *alpn;	/* NULL: what is usual, none */
	const char *psk_identity, *psk; /* both or none; the key in hexadecimal digits */
	bool insecure;
};

struct tls_context;
struct tls_client;

struct tls_context *tls_context_create(const struct tls_client_settings *settings,
				       struct failure *failure);
void tls_context_destroy(struct tls_context *context); /* NULL is fine */

/* A connection of a connected, non-blocking socket; NULL without memory for it. */
struct tls_client *tls_client_begin(const struct tls_context *context, int fd);

enum tls_client_step {
	TLS_CLIENT_OPEN,
	TLS_CLIENT_READS,  /* again when there is something to read */
	TLS_CLIENT_WRITES, /* again when there is room to write */
	TLS_CLIENT_FAILED, /* and why: it is only closed */
};

/* As far as the handshake gets now. */
enum tls_client_step tls_client_shake(struct tls_client *client, struct failure *failure);

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
