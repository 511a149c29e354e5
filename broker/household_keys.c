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
