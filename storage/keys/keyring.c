/* keyring.c - see keyring.h; opening is in keyring_open.c. */
#include "storage/keys/keyring_internal.h"

#include <stdlib.h>

static unsigned find(const struct keyring *keyring, enum key_class class, uint64_t epoch)
{
	unsigned i = 0;

	must(key_class_kind(class) != KEY_KIND_NONE);
	must(epoch == 0 || key_class_kind(class) == KEY_KIND_EPOCHS);
	while (i < SLOT_COUNT &&
	       !(slot_has_key(&keyring->slots[i]) && keyring->slots[i].class == class &&
		 keyring->slots[i].epoch == epoch))
		i++;
	return i;
}

static unsigned find_free(const struct keyring *keyring)
{
	unsigned i = 0;

	while (i < SLOT_COUNT && keyring->slots[i].form != SLOT_FREE)
		i++;
	return i;
}

const uint8_t *keyring_wrapping(const struct keyring *keyring)
{
	return keyring->wraps ? keyring->secrets->wrapping : NULL;
}

/* ---- changes */

void keyring_remember(struct keyring *keyring, const struct keyring_change *change)
{
	if (keyring->change_count < CHANGES_MAX)
		keyring->changes[keyring->change_count++] = *change;
}

/* Ends what was done with the mutex. */
static void unlock_and_tell(struct keyring *keyring, bool changed,
			    const struct keyring_change *change)
{
	keyring_hook *hook = keyring->hook;
	void *context = keyring->context;

	if (changed && !hook)
		keyring_remember(keyring, change);
	pthread_mutex_unlock(&keyring->mutex);
	if (changed && hook)
		hook(context, change);
}

void keyring_watch(struct keyring *keyring, keyring_hook *hook, void *context)
{
	pthread_mutex_lock(&keyring->mutex);
	const size_t count = keyring->change_count;

	keyring->hook = hook;
	keyring->context = context;
	keyring->change_count = 0;
	pthread_mutex_unlock(&keyring->mutex);
	for (size_t i = 0; i < count; i++) /* nobody adds to them any more */
		hook(context, &keyring->changes[i]);
}

/* ---- slots */

bool keyring_wipe_slot(struct keyring *keyring, unsigned number, enum erase_level *level,
		       struct failure *failure)
{
	struct failure why;
	bool erased;

	explicit_bzero(keyring->secrets->keys[number], SEAL_KEY_LEN);
	if (!slot_file_erase(&keyring->file, number, &erased, &why, failure))
		return false;
	if (level)
		*level = erased ? ERASE_CLEAR : ERASE_NONE;
	if (!erased && keyring->finding.level == ERASE_CLEAR)
		keyring->finding = (struct erase_finding){ERASE_NONE, why};
	keyring->slots[number] = (struct slot){.form = SLOT_FREE};
	keyring->doomed[number] = false;
	return true;
}

/*
 * A key that nobody was promised may be on the disk: it must not be.  If that fails, too, the slot
 * stays free, and the next key is written over it.
 */
static void take_back(struct keyring *keyring, unsigned number)
{
	struct failure again;

	(void)keyring_wipe_slot(keyring, number, NULL, &again);
}

bool keyring_put(struct keyring *keyring, enum key_class class, uint64_t epoch,
		 const uint8_t key[SEAL_KEY_LEN], struct failure *failure)
{
	const unsigned number = find_free(keyring);
	const struct slot slot = {.form = keyring->wraps ? SLOT_WRAPPED : SLOT_CLEAR,
				  .class = class,
				  .epoch = epoch,
				  .generation = keyring->generation + 1};

	if (number == SLOT_COUNT)
		return failure_set(failure, SLOT_FILE_NAME " is full: %u keys", SLOT_COUNT);
	/* Also if this fails: who knows what the disk keeps of it. */
	keyring->generation = slot.generation;
	slot_write_key(number, &slot, key, keyring_wrapping(keyring), keyring->file.block);
	if (!slot_file_write(&keyring->file, number, failure)) {
		take_back(keyring, number);
		return false;
	}
	memcpy(keyring->secrets->keys[number], key, SEAL_KEY_LEN);
	keyring->slots[number] = slot;
	return true;
}

/* ---- the calls */

bool keyring_get(struct keyring *keyring, enum key_class class, uint64_t epoch,
		 uint8_t key[SEAL_KEY_LEN])
{
	pthread_mutex_lock(&keyring->mutex);
	const unsigned number = find(keyring, class, epoch);
	const bool found = number < SLOT_COUNT && !keyring->doomed[number];

	if (found)
		memcpy(key, keyring->secrets->keys[number], SEAL_KEY_LEN);
	pthread_mutex_unlock(&keyring->mutex);
	return found;
}

static bool fail_doomed(struct failure *failure)
{
	return failure_set(failure, SLOT_FILE_NAME ": the key of this epoch is being destroyed");
}

bool keyring_make(struct keyring *keyring, enum key_class class, uint64_t epoch,
		  struct failure *failure)
{
	uint8_t key[SEAL_KEY_LEN];
	bool ok;

	pthread_mutex_lock(&keyring->mutex);
	const unsigned number = find(keyring, class, epoch);
	const bool there = number < SLOT_COUNT;

	if (there) {
		ok = !keyring->doomed[number] || fail_doomed(failure);
	} else {
		seal_random(key, sizeof(key));
		ok = keyring_put(keyring, class, epoch, key, failure);
		explicit_bzero(key, sizeof(key));
	}
	unlock_and_tell(keyring, ok && !there,
			&(struct keyring_change){.class = class, .epoch = epoch});
	return ok;
}

bool keyring_adopt(struct keyring *keyring, enum key_class class, uint64_t epoch,
		   const uint8_t key[SEAL_KEY_LEN], struct failure *failure)
{
	bool ok;

	pthread_mutex_lock(&keyring->mutex);
	const unsigned number = find(keyring, class, epoch);
	const bool there = number < SLOT_COUNT;

	if (!there)
		ok = keyring_put(keyring, class, epoch, key, failure);
	else if (keyring->doomed[number])
		ok = fail_doomed(failure);
	else
		ok = memcmp(keyring->secrets->keys[number], key, SEAL_KEY_LEN) == 0 ||
		     failure_set(failure, SLOT_FILE_NAME " holds another %s key already",
				 key_class_word(class));
	unlock_and_tell(keyring, ok && !there,
			&(struct keyring_change){.class = class, .epoch = epoch});
	return ok;
}

bool keyring_destroy(struct keyring *keyring, enum key_class class, uint64_t epoch,
		     struct failure *failure)
{
	pthread_mutex_lock(&keyring->mutex);
	const unsigned number = find(keyring, class, epoch);
	const bool there = number < SLOT_COUNT;
	struct keyring_change change = {.gone = true, .class = class, .epoch = epoch};
	bool ok = true;

	if (there) {
		keyring->doomed[number] = true;
		ok = keyring_wipe_slot(keyring, number, &change.level, failure);
	}
	unlock_and_tell(keyring, ok && there, &change);
	return ok;
}

static int compare_epochs(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a;
	const uint64_t right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

size_t keyring_epochs(struct keyring *keyring, enum key_class class, uint64_t epochs[SLOT_COUNT])
{
	size_t count = 0;

	pthread_mutex_lock(&keyring->mutex);
	for (unsigned i = 0; i < SLOT_COUNT; i++)
		if (slot_has_key(&keyring->slots[i]) && keyring->slots[i].class == class)
			epochs[count++] = keyring->slots[i].epoch;
	pthread_mutex_unlock(&keyring->mutex);
	qsort(epochs, count, sizeof(*epochs), compare_epochs);
	return count;
}

bool keyring_clear_damaged(struct keyring *keyring, unsigned *count, struct failure *failure)
{
	bool ok = true;

	*count = 0;
	pthread_mutex_lock(&keyring->mutex);
	for (unsigned i = 0; i < SLOT_COUNT && ok; i++) {
		if (keyring->slots[i].form != SLOT_DAMAGED)
			continue;
		ok = keyring_wipe_slot(keyring, i, NULL, failure);
		*count += ok;
	}
	pthread_mutex_unlock(&keyring->mutex);
	return ok;
}

struct erase_finding keyring_erase_level(struct keyring *keyring)
{
	pthread_mutex_lock(&keyring->mutex);
	const struct erase_finding finding = keyring->finding;

	pthread_mutex_unlock(&keyring->mutex);
	return finding;
}

bool keyring_is_wrapped(struct keyring *keyring)
{
	return keyring->wraps; /* does not change */
}

bool keyring_is_locked(struct keyring *keyring)
{
	return keyring->locked;
}
