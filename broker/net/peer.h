/*
 * peer.h - who is at the other end of a link, as far as the network tells.
 *
 * Confidential is a link whose bytes nobody on the way can read: this machine's own loopback.
 * So are TLS and Unix sockets; behind a load balancer what its header says counts, and the
 * address is not known.
 *
 * Thread: the worker's.
 */
#ifndef BROKER_NET_PEER_H
#define BROKER_NET_PEER_H

#include "proto/base.h"

struct listener;
struct loop;
struct sockaddr;

/* Of IPv4 the address, mapped into IPv6; of IPv6 the network of 64 bits, the rest zero. */
#define PEER_ADDRESS_SIZE 16u

struct peer_of_link {
	uint8_t address[PEER_ADDRESS_SIZE]; /* zero when it has none */
	bool confidential;
};

/* Of a link that is open at this loop. */
struct peer_of_link peer_of_link(const struct loop *loop, uint32_t number);

/*
 * Does the listener admit a connection from where this one comes from?  If it counts those that
 * have not sent CONNECT yet, *counted says that this one is, at *place of half_open.h.
 */
bool peer_admitted(struct listener *listener, int fd, bool *counted, uint16_t *place);

void peer_address(const struct sockaddr *from, uint8_t address[PEER_ADDRESS_SIZE]);

#endif
