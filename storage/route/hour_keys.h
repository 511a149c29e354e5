/*
 * hour_keys.h - the keys of route rows: in RAM, and nowhere else.
 *
 * Time is cut into epochs, named by their number since 1970: hours, unless route_expiry is shorter
 * than a day; then a twenty-fourth of it, and a second at least.  An epoch has two keys, made
 * together when the first is asked for: one makes pseudonyms, one seals blocks.  Both are
 * destroyed when route_expiry has passed since the epoch began, and with the process.  From then on
 * its rows are noise, wherever they lie: nothing else keeps them secret, and nothing has to be
 * found and deleted for that.
 *
 *	identity   HMAC-SHA-256(identity secret of the account, client id); without an account the
 *	           secret is one of this process
 *	pseudonym  HMAC-SHA-256(pseudonym key of the epoch, identity), its first 16 bytes
 *
 * Ownership: hour_keys_create() gives; the keys lie in locked memory (secret_memory.h), wiped when
 * they are destroyed.  Whoever gets a sealing key wipes its copy.
 * Thread: any.
 */
#ifndef STORAGE_ROUTE_HOUR_KEYS_H
#define STORAGE_ROUTE_HOUR_KEYS_H

#include "storage/route/block.h"
#include "storage/seal.h"

/* More than there can be at a time: some more for clocks that jump. */
#define HOUR_KEYS_MAX 32u

#define ROUTE_EXPIRY_MAX_S 86400u

struct hour_keys;

struct hour_keys *hour_keys_create(uint32_t expiry_s);
void hour_keys_destroy(struct hour_keys *keys); /* NULL is allowed */

/* Another expiry has other epochs: all keys that there are, and what they sealed, go. */
void hour_keys_set_expiry(struct hour_keys *keys, uint32_t expiry_s);

/* How long an epoch is, for a route_expiry. */
uint32_t hour_keys_epoch_s(uint32_t expiry_s);

/* The identity of a client without an account. */
void hour_keys_nobody(struct hour_keys *keys, struct slice client_id,
		      uint8_t identity[SEAL_KEY_LEN]);

/*
 * The pseudonym of an identity in the epoch that is now; makes its keys if need be.  False: it is
 * not now, by HOUR_KEYS_SLACK_S and more: who asks counts epochs of a length that was, and their
 * numbers would be of some day of the past or the future.
 */
bool hour_keys_name(struct hour_keys *keys, uint32_t epoch, uint64_t now_s,
		    const uint8_t identity[SEAL_KEY_LEN], struct route_name *name);

/* So much later, or by another look at the clock, somebody may ask for an epoch. */
#define HOUR_KEYS_SLACK_S 60u

/* The key that seals, and opens, blocks of the epoch; false: there is none (any more). */
bool hour_keys_find(struct hour_keys *keys, uint32_t epoch, uint8_t key[SEAL_KEY_LEN]);

struct hour_name {
	uint32_t epoch;
	struct route_name name;
};

/* The pseudonyms of an identity in all epochs that have keys, the oldest first; how many. */
size_t hour_keys_names(struct hour_keys *keys, const uint8_t identity[SEAL_KEY_LEN],
		       struct hour_name names[HOUR_KEYS_MAX]);

/* Destroys the keys whose time is over at `now_s`; how many. */
unsigned hour_keys_expire(struct hour_keys *keys, uint64_t now_s);

/* When the next ones are due for that, in seconds since 1970; UINT64_MAX: there are none. */
uint64_t hour_keys_due_s(struct hour_keys *keys);

#endif
