/*
 * networks.h - a list of networks that an address may be in, as people write it:
 * `192.0.2.7 10.0.0.0/8 2001:db8::/32`.
 *
 * Pure, no heap.  Failure: a sentence that names the word.
 */
#ifndef BROKER_NET_NETWORKS_H
#define BROKER_NET_NETWORKS_H

#include "proto/base.h"

struct sockaddr_storage;

#define NETWORKS_MAX 32u

/* IPv4 lies in IPv6, as ::ffff:a.b.c.d. */
struct network {
	uint8_t address[16];
	uint8_t bits; /* of the address that count */
};

struct networks {
	size_t count;
	struct network list[NETWORKS_MAX];
};

/* Words with spaces between. */
bool networks_read(struct networks *networks, const char *text, struct failure *failure);

/* False for addresses that are not of IP. */
bool networks_hold(const struct networks *networks, const struct sockaddr_storage *address);

#endif
