/* key.c - see key.h. */
#include "storage/audit/key.h"
#include "storage/audit/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS (2 * AUDIT_SEED_LEN)

static bool read_seed(const struct audit_file *file, uint8_t seed[AUDIT_SEED_LEN])
{
	static const char digits[] = "0123456789abcdef";

	if (file->len != DIGITS + 1 || file->at[DIGITS] != '\n')
		return false;
	for (size_t i = 0; i < DIGITS; i++) {
		const char *digit = file->at[i] ? strchr(digits, file->at[i]) : NULL;

		if (digit == NULL)
			return false;
		seed[i / 2] = (uint8_t)(seed[i / 2] << 4 | (digit - digits));
	}
	return true;
}

static bool check_mode(int directory, struct failure *failure)
{
	struct stat st;

	if (fstatat(directory, AUDIT_KEY_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (st.st_mode & 077) != 0)
		return failure_set(failure,
				   AUDIT_KEY_NAME
				   ": others may read it (mode %04o): chmod 0600 it; "
				   "if somebody may have, move the log away to begin "
				   "a new one with a new key",
				   (unsigned)(st.st_mode & 07777));
	return true;
}

static bool load_file(int directory, bool *found, uint8_t seed[AUDIT_SEED_LEN],
		      struct failure *failure)
{
	struct audit_file file;
	const enum audit_found was =
	    audit_file_find(directory, AUDIT_KEY_NAME, DIGITS + 1, &file, failure);

	*found = was == AUDIT_FOUND;
	if (was != AUDIT_FOUND)
		return was == AUDIT_NOT_THERE;
	const bool ok = read_seed(&file, seed);

	if (!ok)
		failure_set(failure, AUDIT_KEY_NAME ": not a signing key; put the right one back");
	audit_wipe(file.at, file.len);
	free(file.at);
	return ok && check_mode(directory, failure);
}

static bool make_file(int directory, const uint8_t seed[AUDIT_SEED_LEN], struct failure *failure)
{
	char text[DIGITS + 2];

	for (size_t i = 0; i < AUDIT_SEED_LEN; i++)
		snprintf(text + 2 * i, sizeof(text) - 2 * i, "%02x", seed[i]);
	text[DIGITS] = '\n';
	const bool ok = audit_file_put(directory, AUDIT_KEY_NAME, slice_of(text, DIGITS + 1), 0600,
				       NULL, failure);

	audit_wipe(text, sizeof(text));
	return ok;
}

/* Overwritten where it lies: a file that is only unlinked stays readable on the disk. */
static bool remove_file(int directory, struct failure *failure)
{
	const uint8_t nothing[DIGITS + 1] = {0};
	const int fd = openat(directory, AUDIT_KEY_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	bool ok = fd >= 0 && pwrite(fd, nothing, sizeof(nothing), 0) == (ssize_t)sizeof(nothing) &&
		  fdatasync(fd) == 0 && unlinkat(directory, AUDIT_KEY_NAME, 0) == 0;

	if (!ok)
		failure_set(failure, AUDIT_KEY_NAME ": cannot be overwritten and removed: %s",
			    strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The number of origins that have a key, and the last one. */
static size_t last_epoch(struct keyring *keys, uint64_t *epoch)
{
	uint64_t epochs[SLOT_COUNT];
	const size_t count = keyring_epochs(keys, KEY_AUDIT_SIGNING, epochs);

	*epoch = count > 0 ? epochs[count - 1] : 0;
	return count;
}

static bool load(const struct audit_key_place *place, bool *found, uint8_t seed[AUDIT_SEED_LEN],
		 struct failure *failure)
{
	uint64_t epoch;

	if (place->keys && last_epoch(place->keys, &epoch) > 0) {
		*found = keyring_get(place->keys, KEY_AUDIT_SIGNING, epoch, seed);
		return *found || failure_set(failure, "its key is being destroyed");
	}
	if (!load_file(place->directory, found, seed, failure))
		return false;
	return !*found || !place->keys ||
	       keyring_adopt(place->keys, KEY_AUDIT_SIGNING, 0, seed, failure);
}

bool audit_key_load(const struct audit_key_place *place, bool *found, struct audit_signing_key *key,
		    struct failure *failure)
{
	uint8_t seed[AUDIT_SEED_LEN] = {0};
	struct stat st;
	bool ok = load(place, found, seed, failure);

	if (ok && *found)
		*key = audit_signing_key_from(seed);
	audit_wipe(seed, sizeof(seed));
	/* Also one that a process left that died between the two. */
	if (ok && *found && place->keys &&
	    fstatat(place->directory, AUDIT_KEY_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		ok = remove_file(place->directory, failure);
	return ok;
}

bool audit_key_make(const struct audit_key_place *place, struct audit_signing_key *key,
		    struct failure *failure)
{
	uint8_t seed[AUDIT_SEED_LEN];
	uint64_t last = 0;
	bool ok;

	audit_seed_make(seed);
	if (place->keys) {
		const bool another = last_epoch(place->keys, &last) > 0;

		ok = keyring_adopt(place->keys, KEY_AUDIT_SIGNING, another ? last + 1 : 0, seed,
				   failure);
	} else {
		ok = make_file(place->directory, seed, failure);
	}
	if (ok)
		*key = audit_signing_key_from(seed);
	audit_wipe(seed, sizeof(seed));
	return ok;
}

bool audit_key_settle(const struct audit_key_place *place, struct failure *failure)
{
	uint64_t epochs[SLOT_COUNT];
	const size_t count =
	    place->keys ? keyring_epochs(place->keys, KEY_AUDIT_SIGNING, epochs) : 0;

	for (size_t i = 0; i + 1 < count; i++)
		if (!keyring_destroy(place->keys, KEY_AUDIT_SIGNING, epochs[i], failure))
			return false;
	return true;
}
