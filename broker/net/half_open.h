/*
 * half_open.h - connections that have not sent CONNECT yet, or still have to show by AUTH who they
 * are, by the address that they come from: all workers count in one table, so that max_half_open
 * is of the whole broker.
 *
 * Behind a load balancer that is the address that it told (proxy.h), and until it did the
 * balancer's, which has a limit of its own.
 *
 * An address counts at a place that a keyed hash gives it: two that meet there share the limit,
 * which nobody can bring about on purpose.
 *
 * Memory: HALF_OPEN_PLACES of 4 bytes, in the struct.
 * Thread: init before there are others, the rest any.
 */
#ifndef BROKER_NET_HALF_OPEN_H
#define BROKER_NET_HALF_OPEN_H

#include "broker/core/hash.h"
#include "broker/net/peer.h"
#include <stdatomic.h>

#define HALF_OPEN_PLACES 65536u

struct half_open {
	_Atomic uint32_t max; /* of one address; UINT32_MAX: no limit */
	uint8_t key[HASH_KEY_SIZE];
	_Atomic uint32_t counts[HALF_OPEN_PLACES];
};

/* Of zeroed memory.  `key`: random. */
void half_open_init(struct half_open *half_open, const uint8_t key[HASH_KEY_SIZE], uint32_t max);

/*
 * A load balancer sends its header at once, so that few of its connections are without one at any
 * time, also when a fleet comes back: so many may be, or max_half_open where that is more.
 */
#define HALF_OPEN_UNTOLD 1024u

/* Counts one in, at *place; false: there are as many as there may be. */
bool half_open_enter(struct half_open *half_open, const uint8_t address[PEER_ADDRESS_SIZE],
		     uint16_t *place);

/* Likewise one of a load balancer, which has not told yet whose it is. */
bool half_open_enter_untold(struct half_open *half_open, const uint8_t balancer[PEER_ADDRESS_SIZE],
			    uint16_t *place);

/* It is known who that is, or the connection is over. */
void half_open_leave(struct half_open *half_open, uint16_t place);

#endif
