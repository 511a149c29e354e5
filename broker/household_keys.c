/*
 * household_keys.c - the keys that what is kept is sealed under: opened before anything that needs
 * one, and what is said about them.
 */
#include "broker/household_internal.h"
#include "broker/log.h"

static void tell_level(const struct household *house)
{
	const struct erase_finding found = keyring_erase_level(house->keys);

	if (found.level == ERASE_CLEAR)
		log_write(
		    LOG_LEVEL_NOTICE, "keys",
		    "erase level clear: a key that is destroyed is overwritten where it lies");
	else
		log_write(LOG_LEVEL_WARNING, "keys",
			  "erase level none: what is deleted may still be read from the disk, "
			  "because its key may: %s",
			  found.why.text);
}

bool household_open_keys(struct household *house, struct failure *failure)
{
	if (house->directory < 0)
		return true;
	const struct keyring_options options = {.directory = house->directory};

	house->keys = keyring_open(&options, failure);
	if (house->keys == NULL)
		return failure_context(failure, "%s", house->config->persistence_location);
	tell_level(house);
	if (!keyring_is_wrapped(house->keys))
		log_write(LOG_LEVEL_NOTICE, "keys",
			  "at rest: erasure only: whoever copies the data directory can read what "
			  "it holds now");
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
			  "%u slots of keys.slots were damaged, or a write was interrupted; no key "
			  "that is needed was in them, and they were overwritten",
			  count);
	return ok;
}
