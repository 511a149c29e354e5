/* keyring_internal.h - what keyring.c and keyring_open.c share; nobody else includes it. */
#ifndef STORAGE_KEYS_KEYRING_INTERNAL_H
#define STORAGE_KEYS_KEYRING_INTERNAL_H

#include "storage/keys/keyring.h"
#include "storage/keys/slot_file.h"

#include <pthread.h>

/* Changes that wait for keyring_watch(). */
#define CHANGES_MAX (2 * SLOT_COUNT)

/* On pages of its own: locked, not dumped, not inherited. */
struct keyring_secrets {
	uint8_t keys[SLOT_COUNT][SEAL_KEY_LEN]; /* by slot */
	uint8_t wrapping[SEAL_KEY_LEN];
};

struct keyring {
	pthread_mutex_t mutex;
	struct slot_file file;
	struct slot slots[SLOT_COUNT];
	bool doomed[SLOT_COUNT]; /* destroying it failed: nobody gets it any more */
	struct keyring_secrets *secrets;
	bool locked;
	bool wraps;
	uint64_t generation; /* of the last key that was written */
	struct erase_finding finding;
	struct keyring_change changes[CHANGES_MAX]; /* only while there is no hook */
	size_t change_count;
	keyring_hook *hook;
	void *context;
};

static inline bool slot_has_key(const struct slot *slot)
{
	return slot->form == SLOT_CLEAR || slot->form == SLOT_WRAPPED;
}

/* The wrapping key; NULL for none. */
const uint8_t *keyring_wrapping(const struct keyring *keyring);

/* All with the mutex held, or before others know of the keyring. */

/* Writes a key into a slot that is free; the slot is as before when that fails. */
bool keyring_put(struct keyring *keyring, enum key_class class, uint64_t epoch,
		 const uint8_t key[SEAL_KEY_LEN], struct failure *failure);
/* Overwrites a slot, and keeps what was found out about that; *level (may be NULL) gives it. */
bool keyring_wipe_slot(struct keyring *keyring, unsigned number, enum erase_level *level,
		       struct failure *failure);
/* What happened while there is no hook, for the one that will come. */
void keyring_remember(struct keyring *keyring, const struct keyring_change *change);

#endif
