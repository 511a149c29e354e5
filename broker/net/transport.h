/*
 * transport.h - what a listener puts between a socket and MQTT: by its settings the
 * stream of a new connection is made.
 *
 * Plain TCP needs nothing of this: a listener without transport is that.
 *
 * Ownership: by reference; the listener's settings have one, whoever needs it longer
 * takes another.  Immutable once made.
 * Failure: of files and settings, a sentence.
 * Thread: made by the main thread, used and released by all.
 */
#ifndef BROKER_NET_TRANSPORT_H
#define BROKER_NET_TRANSPORT_H

#include "broker/net/proxy.h"
#include "broker/net/tls.h"
#include "broker/net/ws_opening.h"

struct listener;

/* As the configuration has it; texts are borrowed for the call that makes a transport. */
struct transport_settings {
	struct tls_settings tls;
	struct ws_settings ws;
	struct proxy_settings proxy;
	bool uid_identity; /* of a Unix socket: the user of the peer is who it is */
};

struct transport;

/* *transport is NULL when the settings ask for plain TCP. */
bool transport_create(const struct transport_settings *settings, struct transport **transport,
		      struct failure *failure);

struct transport *transport_keep(struct transport *transport);

/* NULL does nothing. */
void transport_release(struct transport *transport);

/* Do its connections come from load balancers?  NULL: no. */
bool transport_is_proxied(const struct transport *transport);

/* Do they have to have shown a certificate there?  NULL: no. */
bool transport_asks_balancer(const struct transport *transport);

/* NULL: no TLS. */
const struct tls_server *transport_tls(const struct transport *transport);

/*
 * Makes the stream of a connection that was accepted; takes the socket.  False when who
 * connects may not: then the socket is still the caller's.
 */
bool transport_open(struct transport *transport, struct listener *listener, int fd,
		    struct stream *stream);

/* What the settings put over a stream that has nothing over it yet, which it takes. */
struct stream transport_inner(struct transport *transport, struct stream plain);

#endif
