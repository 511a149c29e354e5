/*
 * tls.h - TLS 1.2 over a TCP or Unix socket, by mbedTLS, which only tls*.c know.
 *
 * A server is what one listener needs: certificate, key, authorities, revocation
 * lists, pre-shared keys, the keys of session tickets.  It is immutable but for those,
 * and shared by all connections that were accepted with it; a reload makes a new one.
 *
 * With several certificates that one is shown which is for the host that the client asks for (SNI),
 * by its DNS names; the first to who asks for another one, or for none.
 *
 * An identity is taken when the handshake ends, and only from a certificate whose
 * verification gave 0, also when a session is resumed; a peer that has none, where one
 * is asked for, is turned away.  Tickets carry the peer's certificate, sealed: who comes by one
 * when that, or the list of its authority, is out of date is turned away as well.  Where
 * pre-shared keys are in use there are no tickets, for they would not carry the identity.
 *
 * What mbedTLS sends is never refused: what the socket does not take becomes the
 * stream's backlog.  Randomness is the kernel's, so that a connection may move to
 * another thread.
 *
 * Cost: some 37 kB of heap for each connection; no payload stays in it.
 * Failure: of files, a sentence with key, path and cause; of peers, STREAM_DONE (they
 * were sent an alert).
 * Thread: a server is made by the main thread and read by all; a stream is as stream.h.
 */
#ifndef BROKER_NET_TLS_H
#define BROKER_NET_TLS_H

#include "broker/net/stream.h"

/* What of a certificate is the peer's name. */
enum tls_name {
	TLS_NAME_NONE,
	TLS_NAME_COMMON,  /* the first Common Name */
	TLS_NAME_SUBJECT, /* the whole subject, as RFC 2253 writes it */
};

/* As the configuration has it; texts are borrowed for the call that makes a server. */
struct tls_settings {
	/* Both or none; several with line ends between, each key with the certificate at its place.
	 */
	const char *certfile, *keyfile;
	const char *cafile, *capath, *crlfile;
	const char *ciphers;
	const char *psk_file; /* NULL: no pre-shared keys */
	bool require_certificate;
	bool identity_of_psk; /* the identity of a pre-shared key is a name, too */
	enum tls_name name;
	bool http; /* HTTP is spoken inside: another word for ALPN */
};

#define TLS_OWN_MAX 16u /* certificates of one listener */

struct tls_server;

struct tls_server *tls_server_create(const struct tls_settings *settings, struct failure *failure);

/* By reference: each stream has one. */
void tls_server_release(struct tls_server *server);

/* When one of its certificates or revocation lists ends. */
struct tls_expiry {
	const char *key;    /* of the configuration: "certfile", "cafile", "capath", "crlfile" */
	size_t position;    /* in the file, from 0 */
	uint64_t expires_s; /* seconds since 1970 */
};

size_t tls_server_expiries(const struct tls_server *server, struct tls_expiry *out, size_t room);

/* How many pre-shared keys are too short to be safe. */
size_t tls_server_weak_keys(const struct tls_server *server);

/* Takes a connected, non-blocking socket. */
struct stream tls_stream_of(struct tls_server *server, int fd);

#endif
