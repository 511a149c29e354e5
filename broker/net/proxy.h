/*
 * proxy.h - connections through a load balancer that speaks the PROXY protocol: a
 * stream that takes the header off and becomes the transport's own stream then.
 *
 * What the header says of the peer's address is given to the loop (STREAM_TOLD), once.
 *
 * Whoever connects without a header, or from elsewhere than proxy_protocol_from, is
 * closed: so nobody can say that he is somebody else.
 *
 * Thread: as stream.h.
 */
#ifndef BROKER_NET_PROXY_H
#define BROKER_NET_PROXY_H

#include "broker/net/networks.h"
#include "broker/net/stream.h"

struct listener;

/* As the configuration has it. */
struct proxy_settings {
	uint8_t version;  /* 0: no header is taken */
	bool require_tls; /* version 2: only clients that came to the balancer over TLS */
	const char *from; /* networks of the balancers; borrowed for the call that reads them */
};

/* Takes the socket; keeps the transport. */
struct stream proxy_stream_of(const struct proxy_settings *settings, struct transport *transport,
			      struct listener *listener, int fd);

#endif
