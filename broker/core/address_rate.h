/*
 * address_rate.h - how fast all clients of one address together may publish: rate_address_messages
 * and rate_address_bytes, of all shards.
 *
 * As in rate.h each limit is the time at which everything taken so far would have come at exactly
 * the rate.  A time that has come is worth nothing, so that only addresses which published just now
 * need a place; when all that a hash may have are taken, the one whose time comes first is given
 * up.
 *
 * Of an address a keyed hash is kept, until its place is needed or the broker ends.
 *
 * Memory: ADDRESS_RATES places of 24 bytes, in the struct.
 * Thread: any.  Two that take a place at once may lose a message's worth of counting, no more.
 */
#ifndef BROKER_CORE_ADDRESS_RATE_H
#define BROKER_CORE_ADDRESS_RATE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_RATES	     16384u
#define ADDRESS_RATES_BESIDE 8u /* places that a hash may have */

/* Times in microseconds, on the clock of struct moment. */
struct address_rate {
	_Atomic uint64_t address; /* a keyed hash; 0: free */
	_Atomic uint64_t messages_us, bytes_us;
};

/* Zeroed when it begins. */
struct address_rates {
	struct address_rate places[ADDRESS_RATES];
};

/* What is taken: how long each takes at its rate. */
struct address_cost {
	uint64_t message_us, bytes_us;
};

/* Takes it at `now_us`; gives the time at which the later of both has come.  `address`: not 0. */
uint64_t address_rate_take(struct address_rates *rates, uint64_t address, uint64_t now_us,
			   struct address_cost cost);

/* What was taken just now does not count. */
void address_rate_give_back(struct address_rates *rates, uint64_t address,
			    struct address_cost cost);

#endif
