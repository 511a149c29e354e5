/*
 * keyring.h - the keys of keys.slots (slot.h), in memory and on the disk.
 *
 * What forgets is the destruction of a key: its slot is overwritten in place, synced, read back
 * past the page cache, and the kernel is asked whether the old bytes can still lie anywhere
 * (erase.h).  Each key has a class (key_class.def) and an epoch: the hour or day since 1970 that it
 * is for, the generation of the root, or 0.  A key that was destroyed is not made again for the
 * same epoch by anybody but the caller: the keyring does not remember what is gone.
 *
 * keyring_open() makes the keys of an installation; whoever needs another key makes it.  With a
 * wrapping key the slots hold their keys wrapped; slots in clear are wrapped at open, and the clear
 * ones destroyed.
 *
 * Ownership: keyring_open() gives, keyring_close() takes.  Keys are copied into the caller's
 * memory; the caller wipes them (explicit_bzero).  In here they lie in memory that is locked if it
 * can be, not dumped, not inherited by children, and wiped at the end.
 * Failure: texts name keys.slots and what would be right.  After a failure the key is as it was,
 * or, when made, not there.
 * Thread: any; a mutex is inside.  The keys of keyring_make() and _destroy() are synced while it is
 * held, which takes milliseconds.
 */
#ifndef STORAGE_KEYS_KEYRING_H
#define STORAGE_KEYS_KEYRING_H

#include "storage/keys/slot.h"

struct keyring;

struct keyring_options {
	int directory;		 /* where keys.slots is or will be; borrowed while opening */
	const uint8_t *wrapping; /* SEAL_KEY_LEN bytes; NULL: keys lie in clear */
};

/* NULL and a failure: damaged, in use, wrapped under another key, not writable. */
struct keyring *keyring_open(const struct keyring_options *options, struct failure *failure);
void keyring_close(struct keyring *keyring);

/* False: there is no such key, it was never made or is destroyed. */
bool keyring_get(struct keyring *keyring, enum key_class class, uint64_t epoch,
		 uint8_t key[SEAL_KEY_LEN]);

/* Makes a key by chance; it is durable when that returns.  One that is there already stays: true.
 */
bool keyring_make(struct keyring *keyring, enum key_class class, uint64_t epoch,
		  struct failure *failure);

/* The same with bytes of the caller's, who found them elsewhere; fails where there are others. */
bool keyring_adopt(struct keyring *keyring, enum key_class class, uint64_t epoch,
		   const uint8_t key[SEAL_KEY_LEN], struct failure *failure);

/*
 * Destroys a key, durably; one that is not there is a success.  From the moment of the call nobody
 * gets it.  False: it may still be on the disk, and stays in keyring_epochs(), so that who asks
 * again tries again.
 */
bool keyring_destroy(struct keyring *keyring, enum key_class class, uint64_t epoch,
		     struct failure *failure);

/* The epochs of a class, in ascending order; gives their number.  There is room for SLOT_COUNT. */
size_t keyring_epochs(struct keyring *keyring, enum key_class class, uint64_t epochs[SLOT_COUNT]);

/*
 * Slots that are neither free nor a key: a write was interrupted, or the disk damaged them.
 * keyring_open() leaves them as they are, so that nothing is lost before the caller knows that it
 * needs no key that is not there; then they are overwritten.  Gives their number in *count.
 */
bool keyring_clear_damaged(struct keyring *keyring, unsigned *count, struct failure *failure);

/* ---- what destroying is worth here */

enum erase_level {
	ERASE_NONE,  /* copies of destroyed keys may be left on the device */
	ERASE_CLEAR, /* overwritten where they lay, and nowhere else */
};

struct erase_finding {
	enum erase_level level;
	struct failure why; /* of ERASE_NONE */
};

/* As found at open by a trial, and at each destruction since; the worst of them. */
struct erase_finding keyring_erase_level(struct keyring *keyring);

bool keyring_is_wrapped(struct keyring *keyring);

/* The memory that keys lie in cannot be swapped. */
bool keyring_is_locked(struct keyring *keyring);

/* ---- who wants to know */

struct keyring_change {
	bool gone; /* else made */
	enum key_class class;
	uint64_t epoch;
	enum erase_level level; /* of what is gone: of this destruction alone */
};

/* Called without the mutex, by the thread that made the change, when it is durable. */
typedef void keyring_hook(void *context, const struct keyring_change *change);

/* Sets the one hook, which is told at once of all changes since keyring_open() began. */
void keyring_watch(struct keyring *keyring, keyring_hook *hook, void *context);

#endif
