/*
 * peer.h - who is at the other end of a link, as far as the network tells.
 *
 * Confidential is a link whose bytes nobody on the way can read: this machine's own loopback.
 * So are TLS and Unix sockets; behind a load balancer what its header says counts, for that and
 * for the address.
 *
 * Thread: the worker's.
 */
#ifndef BROKER_NET_PEER_H
#define BROKER_NET_PEER_H

#include "proto/base.h"

struct listener;
struct loop;
struct sockaddr;

/* Of IPv4 the address, mapped into IPv6; of IPv6 the network of 64 bits, the rest zero, and ::1. */
#define PEER_ADDRESS_SIZE 16u

struct peer_of_link {
	uint8_t address[PEER_ADDRESS_SIZE]; /* zero when it has none, or none is known */
	bool confidential;
};

/* Of a link that is open at this loop. */
struct peer_of_link peer_of_link(const struct loop *loop, uint32_t number);

/* Where a connection counts that has not sent CONNECT yet: half_open.h. */
struct peer_count {
	bool counted; /* if they are counted at all */
	uint16_t place;
};

/*
 * Does the listener admit a connection from where this one comes from?  Of a load balancer's it is
 * too early to say, but that it may not have too many of which it has not told whose they are.
 */
bool peer_admitted(struct listener *listener, int fd, bool of_balancer, struct peer_count *count);

/* Likewise once the balancer has told: it counts there then, and not at the balancer's. */
bool peer_told(struct listener *listener, const uint8_t address[PEER_ADDRESS_SIZE],
	       struct peer_count *count);

/* It is known who that is, or the connection is over. */
void peer_count_out(struct listener *listener, struct peer_count *count);

void peer_address(const struct sockaddr *from, uint8_t address[PEER_ADDRESS_SIZE]);

#endif
