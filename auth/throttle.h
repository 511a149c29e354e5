/*
 * throttle.h - what comes before a password is looked at: whoever fails waits, longer each time,
 * and an address that goes on is banned.
 *
 * Two things are kept apart, since one address may be a whole house: an address with a user name
 * that failed waits after its third failure, from one second to a minute; an address alone is
 * banned once `ban_after` failures and refused tries have come together, of which one is
 * forgotten every four seconds.
 *
 * An address that has failed of late, or tries more than once a second, is in doubt: when there is
 * too much to do, others go first.
 *
 * Nothing of it is written anywhere.  Names are kept as keyed hashes; addresses as they are, for
 * bans are shown.  Of IPv6 the network of 64 bits counts.
 *
 * Memory: fixed, THROTTLE_PLACES of 56 bytes.  When they are full the one that was quiet
 * longest is forgotten, among those that a keyed hash puts beside each other; a ban last of all.
 *
 * Thread: one at a time; its owner has a lock.
 */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include "proto/base.h"

#define THROTTLE_PLACES		  32768u
#define THROTTLE_TRY_MS		  1000u /* tries of an address are forgotten so fast, */
#define THROTTLE_TRIES		  3u	/* and more than these are doubtful */
#define THROTTLE_FORGET_MS	  4000u /* one failure of an address */
#define THROTTLE_FREE_FAILURES	  2u	/* without a wait after it */
#define THROTTLE_DELAY_FIRST_MS	  1000u /* then doubled each time */
#define THROTTLE_DELAY_LONGEST_MS 60000u
#define THROTTLE_QUIET_MS	  600000u   /* after so long a name is as new */
#define THROTTLE_KEPT_MS	  84600000u /* what was quiet for 23.5 hours goes */

/*
 * An address, IPv4 mapped into IPv6; the last 64 bits of others, but for ::1, are zero.  All zero:
 * not known, as behind a proxy and on a Unix socket; that is never banned.
 */
struct throttle_address {
	uint8_t at[16];
};

struct throttle;

/* `ban_after` UINT32_MAX: never. */
struct throttle *throttle_create(uint32_t ban_after, uint64_t ban_ms);
void throttle_destroy(struct throttle *throttle);
void throttle_set(struct throttle *throttle, uint32_t ban_after, uint64_t ban_ms);

enum throttle_verdict {
	THROTTLE_PASS,
	THROTTLE_DOUBT, /* likewise; but the address has failed or tried often: others go first */
	THROTTLE_WAIT,
	THROTTLE_BANNED,
};

/* May a password be tried?  A try that has to wait counts against the address. */
enum throttle_verdict throttle_ask(struct throttle *throttle, uint64_t now_ms,
				   const struct throttle_address *address, struct slice user);

/* Is the address banned?  Asking is no try. */
bool throttle_banned(struct throttle *throttle, uint64_t now_ms,
		     const struct throttle_address *address);

/* It was wrong. */
void throttle_failed(struct throttle *throttle, uint64_t now_ms,
		     const struct throttle_address *address, struct slice user);

/* It was right: the name from this address is as new. */
void throttle_passed(struct throttle *throttle, const struct throttle_address *address,
		     struct slice user);

/*
 * Another connection of this address: may it come, at so many a second, with a second's worth at
 * once?  Those that may not do not count.
 */
bool throttle_connect(struct throttle *throttle, uint64_t now_ms,
		      const struct throttle_address *address, uint32_t a_second);

/* Calls back for each ban. */
void throttle_each_ban(const struct throttle *throttle, uint64_t now_ms, void *self,
		       void (*call)(void *self, const struct throttle_address *address,
				    uint64_t left_ms));

/*
 * From time to time: wipes bans that are over, and whatever else has been quiet for
 * THROTTLE_KEPT_MS, so that no address is kept for a day.
 */
void throttle_forget(struct throttle *throttle, uint64_t now_ms);

/* Ends a ban, and forgets the failures of the address; false when there was none. */
bool throttle_lift(struct throttle *throttle, uint64_t now_ms,
		   const struct throttle_address *address);

#endif
