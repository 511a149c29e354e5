/*
 * proxy.h - connections through a load balancer that speaks the PROXY protocol: a
 * stream that takes the header off and becomes the transport's own stream then.
 *
 * What the header says of the peer's address is given to the loop (STREAM_TOLD), once.
 *
 * Whoever connects without a header, or from elsewhere than proxy_protocol_from (without that:
 * than this machine, on a Unix socket or not), is closed: so nobody can say that he is somebody
 * else.
 *
 * Where TLS ends at the balancer its header says, in version 2, that it has verified the client's
 * certificate, and the Common Name in it: that is an identity as if we had verified it.
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
	uint8_t version; /* 0: no header is taken */
	/* Version 2: only clients that, at the balancer, */
	bool require_tls;	  /* came over TLS */
	bool require_certificate; /* showed a certificate that it verified */
	bool common_name;	  /* which has a Common Name: that is who they are */
	/* Networks of the balancers; borrowed for the call that reads them.  NULL: loopback. */
	const char *from;
};

/* Takes the socket; keeps the transport. */
struct stream proxy_stream_of(const struct proxy_settings *settings, struct transport *transport,
			      struct listener *listener, int fd);

#endif
