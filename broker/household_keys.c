/*
 * household_keys.c - the keys that what is kept is sealed under: where they are, what wraps them,
 * what destroying one is worth here, and what is said about that.
 */
#include "broker/household_internal.h"
#include "broker/log.h"
#include "storage/keys/slot_file.h"
#include "storage/keys/wrapping.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what root may be needed for */

static bool read_wrapping(struct household *house, struct failure *failure)
{
	struct household_keys *keys = &house->keys_prepared;
	const char *file = house->config->key_file;

	if (!wrapping_read_credential(getenv("CREDENTIALS_DIRECTORY"), &keys->wraps, keys->wrapping,
				      failure))
		return failure_context(failure, "credential " WRAPPING_CREDENTIAL);
	if (file == NULL)
		return true;
	if (keys->wraps)
		return failure_set(
		    failure, "key_file is given, and so is the credential " WRAPPING_CREDENTIAL
			     ": keys are wrapped under one of "
			     "them; take the other away");
	keys->wraps = wrapping_read(file, keys->wrapping, failure);
	return keys->wraps || failure_context(failure, "key_file");
}

/* The data directory is open and locked already. */
static bool is_data_directory(const struct household *house, const char *path)
{
	struct stat here;
	struct stat there;

	return stat(path, &there) == 0 && fstat(house->directory, &here) == 0 &&
	       here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

bool household_prepare_keys(struct household *house, struct failure *failure)
{
	const char *path = house->config->keys_location;

	if (house->directory < 0)
		return true;
	if (!read_wrapping(house, failure))
		return false;
	if (path == NULL || is_data_directory(house, path))
		return true;
	if (faccessat(house->directory, SLOT_FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return failure_set(
		    failure,
		    "keys_location names %s, but the keys are in the data directory, "
		    "%s/" SLOT_FILE_NAME ": move that file there and wipe the old one "
		    "(cp, then shred -u), or take keys_location out",
		    path, house->config->persistence_location);
	bool created;

	return household_open_folder(house, path, &created, &house->keys_prepared.directory,
				     failure) ||
	       failure_context(failure, "keys_location");
}

bool household_find_way_to_keys(struct household *house, struct failure *failure)
{
	struct household_keys *keys = &house->keys_prepared;

	return keys->directory < 0 ||
	       household_find_way(house, house->config->keys_location, keys->directory, &keys->way,
				  failure) ||
	       failure_context(failure, "keys_location");
}

/* ---- opening */

#define REMEDY                                                                                     \
	"; on btrfs a new directory without snapshots would be right, on ext4 data=ordered, else " \
	"a "                                                                                       \
	"keys_location on such a file system"

/* False: not good enough for erase_level_required. */
static bool judge_level(struct household *house, struct failure *failure)
{
	const struct erase_finding found = keyring_erase_level(house->keys);

	house->keys_level = found.level;
	if (found.level == ERASE_CLEAR) {
		log_write(
		    LOG_LEVEL_NOTICE, "keys",
		    "erase level clear: a key that is destroyed is overwritten where it lies");
		return true;
	}
	if (house->config->erase_level_required == ERASE_CLEAR)
		return failure_set(
		    failure,
		    "erase_level_required clear: the erase level is none: " SLOT_FILE_NAME
		    ": %.200s" REMEDY,
		    found.why.text);
	log_write(LOG_LEVEL_WARNING, "keys",
		  "erase level none: what was deleted may still be read from the disk, because its "
		  "key may: " SLOT_FILE_NAME ": %.200s" REMEDY,
		  found.why.text);
	return true;
}

static void tell_rest(const struct household *house)
{
	if (keyring_is_wrapped(house->keys))
		log_write(LOG_LEVEL_NOTICE, "keys", "at rest: keys are wrapped under %s",
			  house->config->key_file ? "key_file"
						  : "the credential " WRAPPING_CREDENTIAL);
	else
		log_write(
		    LOG_LEVEL_NOTICE, "keys",
		    "at rest: erasure only: whoever copies the data directory and the keys can "
		    "read what they hold now; key_file, or the credential " WRAPPING_CREDENTIAL
		    ", would wrap the keys");
	if (!keyring_is_locked(house->keys) && house->memory_powers.swap)
		log_write(LOG_LEVEL_WARNING, "keys",
			  "keys may be swapped to a disk: no memory may be locked (ulimit -l)");
}

bool household_open_keys(struct household *house, struct failure *failure)
{
	struct household_keys *keys = &house->keys_prepared;

	if (house->directory < 0)
		return true;
	const bool elsewhere = keys->directory >= 0;
	const struct keyring_options options = {.directory =
						    elsewhere ? keys->directory : house->directory,
						.wrapping = keys->wraps ? keys->wrapping : NULL};

	house->keys = keyring_open(&options, failure);
	explicit_bzero(keys->wrapping, sizeof(keys->wrapping));
	if (house->keys == NULL)
		return failure_context(failure, "%s",
				       elsewhere ? house->config->keys_location
						 : house->config->persistence_location);
	if (!judge_level(house, failure))
		return false;
	tell_rest(house);
	return true;
}

/* ---- for the audit log */

static const enum audit_word words[] = {
    [KEY_ROOT] = AUDIT_WORD_CLASS_ROOT,
    [KEY_ENVELOPE] = AUDIT_WORD_CLASS_ENVELOPE,
    [KEY_AUTH_DAY] = AUDIT_WORD_CLASS_AUTH,
    [KEY_AGGREGATE_DAY] = AUDIT_WORD_CLASS_AGGREGATE,
    [KEY_EMAIL_INDEX] = AUDIT_WORD_CLASS_EMAIL_INDEX,
    [KEY_TOKEN] = AUDIT_WORD_CLASS_TOKEN,
    [KEY_DEVICE_KEY] = AUDIT_WORD_CLASS_DEVICE_KEY,
    [KEY_AUDIT_SIGNING] = AUDIT_WORD_CLASS_AUDIT,
    [KEY_RECOVERY] = AUDIT_WORD_CLASS_RECOVERY,
};

_Static_assert(sizeof(words) / sizeof(words[0]) == KEY_CLASSES, "a word for each class of keys");

static enum audit_word word_of(enum erase_level level)
{
	return level == ERASE_CLEAR ? AUDIT_WORD_ERASURE_CLEAR : AUDIT_WORD_ERASURE_NONE;
}

static void tell_change(void *self, const struct keyring_change *change)
{
	const struct household *house = self;
	const struct audit_key key = {words[change->class], change->epoch};

	if (change->gone)
		audit_key_gone(house->audit, &key, word_of(change->level));
	else
		audit_key_new(house->audit, &key);
	/* The main thread looks at once whether that is a reason to stop. */
	if (change->gone && change->level == ERASE_NONE)
		must(eventfd_write(house->bell, 1) == 0);
}

static size_t list_keys(struct keyring *keys, struct audit_key living[SLOT_COUNT])
{
	uint64_t epochs[SLOT_COUNT];
	size_t count = 0;

	for (unsigned class = KEY_NONE + 1; class < KEY_CLASSES; class ++) {
		const size_t more = keyring_epochs(keys, (enum key_class) class, epochs);

		for (size_t i = 0; i < more; i++)
			living[count++] = (struct audit_key){words[class], epochs[i]};
	}
	return count;
}

/* The hook is told what happened since the keyring was opened; the comparison covers that. */
bool household_watch_keys(struct household *house, struct failure *failure)
{
	struct audit_key living[SLOT_COUNT];

	if (!house->audit || !house->keys)
		return true;
	keyring_watch(house->keys, tell_change, house);
	return audit_compare_keys(house->audit, living, list_keys(house->keys, living),
				  word_of(keyring_erase_level(house->keys).level), failure);
}

bool household_settle_keys(struct household *house, struct failure *failure)
{
	unsigned count = 0;

	if (house->keys == NULL)
		return true;
	const bool ok = keyring_clear_damaged(house->keys, &count, failure);

	if (count > 0)
		log_write(LOG_LEVEL_WARNING, "keys",
			  "%u slots of " SLOT_FILE_NAME
			  " were damaged, or a write was interrupted; "
			  "no key that is needed was in them, and they were overwritten",
			  count);
	return ok;
}

/* ---- while it runs */

bool household_keys_erase(struct household *house)
{
	struct failure failure;

	if (house->keys == NULL || house->keys_level == ERASE_NONE ||
	    keyring_erase_level(house->keys).level == ERASE_CLEAR)
		return true;
	if (judge_level(house, &failure))
		return true;
	log_write(LOG_LEVEL_ERROR, "keys", "%s: stopping", failure.text);
	return false;
}

void household_count_keys(const struct household *house, struct metrics *metrics)
{
	metrics->erase_clear =
	    house->keys == NULL || keyring_erase_level(house->keys).level == ERASE_CLEAR;
	metrics->keys_wrapped = house->keys != NULL && keyring_is_wrapped(house->keys);
}

void household_close_keys(struct household *house)
{
	keyring_close(house->keys);
	explicit_bzero(house->keys_prepared.wrapping, SEAL_KEY_LEN);
	if (house->keys_prepared.directory >= 0)
		close(house->keys_prepared.directory);
}
