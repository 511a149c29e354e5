/*
 * flapping.h - clients that connect again and again: who comes too soon waits, longer each time,
 * and who goes on is banned.
 *
 * A client is one client identifier of one identity that was proved, or of one address where
 * nothing was: so nobody makes another one wait, and a thousand clients of one house, or of one
 * account, that each come back once after a restart are not looked at here.  What is too soon is
 * said by the caller (rate_reconnect: broker/core/rate.h).
 *
 * From the first time on the client waits, a second, then doubled up to a minute; coming while it
 * has to wait counts too.  `ban_after` times together are a ban; one is forgotten every ten
 * seconds.
 *
 * Nothing of it is written anywhere.  The client identifier of a ban is shown to whoever may lift
 * it, up to FLAPPING_ID_MAX bytes of it.
 *
 * Memory: fixed, FLAPPING_PLACES of about 104 bytes.  When all that a number may have are taken the
 * one that was quiet longest is forgotten, a ban last of all.
 *
 * Thread: one at a time; its owner has a lock.
 */
#ifndef AUTH_FLAPPING_H
#define AUTH_FLAPPING_H

#include "proto/base.h"

#define FLAPPING_PLACES		  4096u
#define FLAPPING_FORGET_MS	  10000u /* one time too soon */
#define FLAPPING_DELAY_FIRST_MS	  1000u
#define FLAPPING_DELAY_LONGEST_MS 60000u
#define FLAPPING_ID_MAX		  64u

struct flapping;

/* `ban_after` UINT32_MAX: never. */
struct flapping *flapping_create(uint32_t ban_after, uint64_t ban_ms);
void flapping_destroy(struct flapping *flapping);
void flapping_set(struct flapping *flapping, uint32_t ban_after, uint64_t ban_ms);

struct flapping_client {
	uint64_t number; /* a keyed hash of who it is and of its client identifier, never 0 */
	struct slice id; /* its client identifier */
};

enum flapping_verdict {
	FLAPPING_PASS,
	FLAPPING_WAIT,
	FLAPPING_BANNED,
};

/* A client that has proved who it is connects. */
enum flapping_verdict flapping_came(struct flapping *flapping, uint64_t now_ms,
				    const struct flapping_client *client, bool too_soon);

/* Is the client of that number banned?  Asking counts for nothing. */
bool flapping_banned(const struct flapping *flapping, uint64_t now_ms, uint64_t number);

struct flapping_ban {
	struct slice id; /* borrowed for the call; the beginning of it if it is cut */
	bool cut;
	uint64_t left_ms;
};

/* Calls back for each ban. */
void flapping_each_ban(const struct flapping *flapping, uint64_t now_ms, void *self,
		       void (*call)(void *self, const struct flapping_ban *ban));

/* Ends the bans of a client identifier, whoever had it; false when there was none. */
bool flapping_lift(struct flapping *flapping, uint64_t now_ms, struct slice id);

/* From time to time: wipes what is over. */
void flapping_forget(struct flapping *flapping, uint64_t now_ms);

#endif
