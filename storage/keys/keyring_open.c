/*
 * keyring_open.c - opening and closing a keyring: keyring.h.
 *
 * What may be found, because a write was interrupted:
 *   a file that is too short, or has blocks of zeros, and holds no key: it was being made
 *   a damaged slot: keyring_clear_damaged() tells what becomes of it
 *   two slots with a key of the same class and epoch: one was being wrapped; the later is whole
 * Anything else that is not as it should be is a failure, and nothing is changed.
 */
#include "storage/keys/keyring_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define FILE_LEN ((uint64_t)SLOT_COUNT * SLOT_SIZE)

/* What the slots are, before anything is changed. */
struct survey {
	uint64_t len;
	unsigned keys, damaged, zeroed;
};

/* ---- memory */

static void map_secrets(struct keyring *keyring)
{
	const size_t len = sizeof(*keyring->secrets);

	keyring->secrets =
	    mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(keyring->secrets != MAP_FAILED);
	keyring->locked = mlock(keyring->secrets, len) == 0;
	/* On a kernel without them (before 4.14) memory_protection.h says so. */
	(void)madvise(keyring->secrets, len, MADV_DONTDUMP);
	(void)madvise(keyring->secrets, len, MADV_WIPEONFORK);
}

static struct keyring *create(const struct keyring_options *options)
{
	struct keyring *keyring = calloc(1, sizeof(*keyring));

	must(keyring && pthread_mutex_init(&keyring->mutex, NULL) == 0);
	map_secrets(keyring);
	keyring->wraps = options->wrapping != NULL;
	if (keyring->wraps)
		memcpy(keyring->secrets->wrapping, options->wrapping, SEAL_KEY_LEN);
	return keyring;
}

void keyring_close(struct keyring *keyring)
{
	if (keyring == NULL)
		return;
	slot_file_close(&keyring->file);
	explicit_bzero(keyring->secrets, sizeof(*keyring->secrets));
	must(munmap(keyring->secrets, sizeof(*keyring->secrets)) == 0);
	pthread_mutex_destroy(&keyring->mutex);
	free(keyring);
}

/* ---- looking */

/* Disks write sectors whole, in any order. */
#define SECTOR 512u

/* Never written: what means something lies in the first sector. */
static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, SECTOR - 1) == 0;
}

/* Reads a slot and its key. */
static bool take_slot(struct keyring *keyring, unsigned number, struct survey *survey,
		      struct failure *failure)
{
	struct slot *slot = &keyring->slots[number];
	uint8_t *block = keyring->file.block;

	if (!slot_file_read(&keyring->file, number, failure))
		return false;
	*slot = slot_read(number, block);
	survey->damaged += slot->form == SLOT_DAMAGED;
	survey->zeroed += slot->form == SLOT_DAMAGED && is_zero(block);
	if (slot->generation > keyring->generation)
		keyring->generation = slot->generation;
	bool ok = slot->form != SLOT_FOREIGN ||
		  failure_set(failure,
			      SLOT_FILE_NAME ": slot %u was written by a later version or moved; "
					     "nothing was changed",
			      number);

	if (ok && slot_has_key(slot)) {
		survey->keys++;
		ok = slot_read_key(slot, block, keyring_wrapping(keyring),
				   keyring->secrets->keys[number]) ||
		     failure_set(
			 failure,
			 keyring->wraps ? SLOT_FILE_NAME
			     ": its keys are wrapped under another key than that of key_file: "
			     "name the file that they were wrapped with; nothing was changed"
					: SLOT_FILE_NAME
			     ": its keys are wrapped: key_file must name the file that they "
			     "were wrapped with; nothing was changed");
	}
	explicit_bzero(block, SLOT_SIZE);
	return ok;
}

static bool look(struct keyring *keyring, struct survey *survey, struct failure *failure)
{
	const unsigned whole =
	    (unsigned)(survey->len < FILE_LEN ? survey->len / SLOT_SIZE : SLOT_COUNT);

	for (unsigned i = 0; i < SLOT_COUNT; i++)
		keyring->slots[i] = (struct slot){.form = SLOT_DAMAGED};
	for (unsigned i = 0; i < whole; i++) {
		if (!take_slot(keyring, i, survey, failure))
			return false;
	}
	return true;
}

static bool is_there(const struct keyring *keyring, enum key_class class)
{
	for (unsigned i = 0; i < SLOT_COUNT; i++)
		if (slot_has_key(&keyring->slots[i]) && keyring->slots[i].class == class)
			return true;
	return false;
}

/* Keys of an installation are made in the order of the table, before all others. */
static bool was_being_made(const struct keyring *keyring)
{
	bool missing = false;

	for (enum key_class class = KEY_NONE; class < KEY_CLASSES; class ++) {
		const bool there = is_there(keyring, class);

		if (key_class_kind(class) == KEY_KIND_INSTALLATION)
			missing |= !there;
		if (there && (missing || key_class_kind(class) != KEY_KIND_INSTALLATION))
			return false;
	}
	return true;
}

static bool lacks_installation_key(const struct keyring *keyring)
{
	for (enum key_class class = KEY_NONE; class < KEY_CLASSES; class ++)
		if (key_class_kind(class) == KEY_KIND_INSTALLATION && !is_there(keyring, class))
			return true;
	return false;
}

/* A new file, or one whose making was interrupted before the first key. */
static bool is_unborn(const struct survey *survey)
{
	return survey->keys == 0 && survey->len <= FILE_LEN && survey->damaged == survey->zeroed;
}

static bool judge(const struct keyring *keyring, const struct survey *survey,
		  struct failure *failure)
{
	if (survey->len != FILE_LEN)
		return failure_set(failure,
				   SLOT_FILE_NAME
				   " has %llu bytes and %llu would be right: put the "
				   "right file in its place; nothing was changed",
				   (unsigned long long)survey->len, (unsigned long long)FILE_LEN);
	if (survey->keys == 0 && survey->damaged > 0)
		return failure_set(failure, SLOT_FILE_NAME " is not a file of keys: put the right "
							   "one in its place; nothing was changed");
	if (survey->damaged > 0 && lacks_installation_key(keyring) && !was_being_made(keyring))
		return failure_set(failure, SLOT_FILE_NAME
				   " is damaged: a key of this installation cannot be "
				   "read; put the right file in its place; nothing was changed");
	return true;
}

/* ---- completing */

/* Of two slots with the same key the later one stays. */
static bool drop_doubles(struct keyring *keyring, struct failure *failure)
{
	for (unsigned i = 0; i < SLOT_COUNT; i++) {
		for (unsigned j = i + 1; j < SLOT_COUNT && slot_has_key(&keyring->slots[i]); j++) {
			const struct slot *a = &keyring->slots[i];
			const struct slot *b = &keyring->slots[j];

			if (!slot_has_key(b) || a->class != b->class || a->epoch != b->epoch)
				continue;
			if (!keyring_wipe_slot(keyring, a->generation < b->generation ? i : j, NULL,
					       failure))
				return false;
		}
	}
	return true;
}

static bool wrap_clear(struct keyring *keyring, struct failure *failure)
{
	for (unsigned i = 0; i < SLOT_COUNT && keyring->wraps; i++) {
		const struct slot slot = keyring->slots[i];

		if (slot.form != SLOT_CLEAR)
			continue;
		if (!keyring_put(keyring, slot.class, slot.epoch, keyring->secrets->keys[i],
				 failure) ||
		    !keyring_wipe_slot(keyring, i, NULL, failure))
			return false;
	}
	return true;
}

static bool make_installation_keys(struct keyring *keyring, struct failure *failure)
{
	uint8_t key[SEAL_KEY_LEN];
	bool ok = true;

	for (enum key_class class = KEY_NONE; class < KEY_CLASSES && ok; class ++) {
		if (key_class_kind(class) != KEY_KIND_INSTALLATION || is_there(keyring, class))
			continue;
		seal_random(key, sizeof(key));
		ok = keyring_put(keyring, class, 0, key, failure);
		if (ok)
			keyring_remember(keyring, &(struct keyring_change){.class = class});
	}
	explicit_bzero(key, sizeof(key));
	return ok;
}

/* A full file has no slot to try on; then the next destruction tells. */
static bool try_erase(struct keyring *keyring, struct failure *failure)
{
	struct erase_finding *finding = &keyring->finding;
	bool erased = true;
	unsigned i = 0;

	while (i < SLOT_COUNT && keyring->slots[i].form != SLOT_FREE)
		i++;
	if (i < SLOT_COUNT &&
	    !slot_file_try_erase(&keyring->file, i, &erased, &finding->why, failure))
		return false;
	finding->level = erased ? ERASE_CLEAR : ERASE_NONE;
	return true;
}

static bool open_file(struct keyring *keyring, int directory, struct failure *failure)
{
	struct survey survey = {0};

	if (!slot_file_open(directory, &keyring->file, &survey.len, failure) ||
	    !look(keyring, &survey, failure))
		return false;
	if (!is_unborn(&survey))
		return judge(keyring, &survey, failure);
	if (survey.len < FILE_LEN || survey.damaged > 0) {
		if (!slot_file_fill(directory, &keyring->file, failure))
			return false;
		for (unsigned i = 0; i < SLOT_COUNT; i++)
			keyring->slots[i] = (struct slot){.form = SLOT_FREE};
	}
	return true;
}

struct keyring *keyring_open(const struct keyring_options *options, struct failure *failure)
{
	struct keyring *keyring = create(options);

	if (open_file(keyring, options->directory, failure) && try_erase(keyring, failure) &&
	    drop_doubles(keyring, failure) && wrap_clear(keyring, failure) &&
	    make_installation_keys(keyring, failure))
		return keyring;
	keyring_close(keyring);
	return NULL;
}
