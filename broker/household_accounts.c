/*
 * household_accounts.c - accounts between the vault that keeps them, the door that asks for them,
 * and the workers that have their clients.
 *
 * Thread: opening is the main thread's; what the control socket calls is its own.
 */
#include "broker/household_internal.h"

bool household_open_accounts(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;

	if (!house->vault)
		return true;
	const struct accounts_setup setup = {
	    .vault = house->vault,
	    .keyring = house->keys,
	    .cost = {config->argon2_memory_kib, config->argon2_passes, PASSWORD_LANES}};

	house->accounts = accounts_open(&setup, failure);
	return house->accounts != NULL;
}

static void tell_all(struct household *house, enum command_type type, uint64_t owner,
		     struct census *census)
{
	for (uint16_t i = 0; i < house->worker_count; i++) {
		struct command *command = command_create(type, SLICE_NONE, SLICE_NONE);

		command->owner = owner;
		command->census = census;
		worker_tell(&house->workers[i], command);
	}
}

void household_renew_rights(struct household *house)
{
	if (house->door)
		tell_all(house, COMMAND_RIGHTS, 0, NULL);
}

/*
 * First the disk, then memory, then the workers: who logs in between is refused when its answer
 * reaches a worker, or is there already when the command does.
 */
struct census *household_erase_account(struct household *house, struct slice name,
				       struct failure *failure)
{
	struct census *census;
	uint64_t row;

	if (!accounts_delete(house->accounts, name, &row, failure))
		return NULL;
	census = census_create(house->worker_count);
	tell_all(house, COMMAND_EXPEL, auth_owner(IDENTITY_ACCOUNT, row), census);
	return census;
}

/* ---- the control socket */

static bool expect_accounts(void *self, struct failure *failure)
{
	struct household *house = self;

	return door_expect_accounts(house->door, failure);
}

static struct census *renew(void *self)
{
	struct household *house = self;
	struct census *census = census_create(house->worker_count);

	tell_all(house, COMMAND_RIGHTS, 0, census);
	return census;
}

static struct census *erase(void *self, struct slice name, struct failure *failure)
{
	return household_erase_account(self, name, failure);
}

static const char *mailer(void *self)
{
	const struct household *house = self;

	return house->configs[0]->recovery_mailer;
}

void household_add_accounts(struct household *house, struct control_source *source)
{
	source->accounts = house->accounts;
	source->expect_accounts = expect_accounts;
	source->renew = renew;
	source->erase = erase;
	source->mailer = mailer;
}
