/*
 * proxy_header.h - the header that a load balancer sends before a connection's first
 * byte, to say whose connection it is: the PROXY protocol, versions 1 and 2.
 *
 * Source: proxy-protocol.txt of HAProxy, sections 2.1 and 2.2.  Of what version 2 may carry (TLVs)
 * only the one about TLS is looked at; all are held to their lengths, and it may be there once, and
 * a name in it once: what could be read in two ways is not read at all.
 * Pure, no heap.
 */
#ifndef BROKER_NET_PROXY_HEADER_H
#define BROKER_NET_PROXY_HEADER_H

#include "proto/base.h"
#include <sys/socket.h>

#define PROXY_V1_MAX	 107u  /* bytes of a header with its line end, by the protocol */
#define PROXY_HEADER_MAX 2048u /* of version 2, more than balancers send */

enum proxy_step {
	PROXY_MORE, /* the header is not whole yet: all of the bytes belong to it */
	PROXY_DONE,
	PROXY_BAD,
};

struct proxy_header {
	size_t len;    /* PROXY_DONE: bytes of the header */
	bool has_peer; /* false: the balancer speaks for itself, or does not say */
	/* Of version 2, and of a client only: */
	bool over_tls; /* it came to the balancer over TLS */
	bool verified; /* and has shown a certificate there, which was verified */
	struct slice
	    common_name; /* of that; borrowed from the bytes, not looked at; may be empty */
	struct sockaddr_storage peer;
};

/* Of version 1 or 2, of all bytes that came so far. */
enum proxy_step proxy_header_read(struct slice bytes, unsigned version,
				  struct proxy_header *header);

#endif
