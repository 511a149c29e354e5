/* key.c - see key.h. */
#include "storage/audit/key.h"
#include "storage/audit/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

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

bool audit_key_load(int directory, bool *found, struct audit_signing_key *key,
		    struct failure *failure)
{
	uint8_t seed[AUDIT_SEED_LEN] = {0};
	struct audit_file file;
	enum audit_found was =
	    audit_file_find(directory, AUDIT_KEY_NAME, DIGITS + 1, &file, failure);

	*found = was == AUDIT_FOUND;
	if (was != AUDIT_FOUND)
		return was == AUDIT_NOT_THERE;
	bool ok = read_seed(&file, seed);

	if (ok)
		*key = audit_signing_key_from(seed);
	else
		failure_set(failure, AUDIT_KEY_NAME ": not a signing key; put the right one back");
	audit_wipe(seed, sizeof(seed));
	audit_wipe(file.at, file.len);
	free(file.at);
	return ok && check_mode(directory, failure);
}

bool audit_key_renew(int directory, struct audit_signing_key *key, struct failure *failure)
{
	uint8_t seed[AUDIT_SEED_LEN];
	char text[DIGITS + 2];

	audit_seed_make(seed);
	for (size_t i = 0; i < AUDIT_SEED_LEN; i++)
		snprintf(text + 2 * i, sizeof(text) - 2 * i, "%02x", seed[i]);
	text[DIGITS] = '\n';
	bool ok = audit_file_put(directory, AUDIT_KEY_NAME, slice_of(text, DIGITS + 1), 0600, NULL,
				 failure);

	if (ok)
		*key = audit_signing_key_from(seed);
	audit_wipe(seed, sizeof(seed));
	audit_wipe(text, sizeof(text));
	return ok;
}

bool audit_key_make(int directory, struct audit_signing_key *key, struct failure *failure)
{
	struct stat st;

	if (fstatat(directory, AUDIT_KEY_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return failure_set(failure, AUDIT_KEY_NAME ": is there already");
	return audit_key_renew(directory, key, failure);
}
