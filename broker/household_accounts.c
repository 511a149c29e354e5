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
	    .cost = {config->argon2_memory_kib, config->argon2_passes, PASSWORD_LANES},
	    .known_s = household_known_time_s(house),
	    .keys_max = ACCOUNTS_KEYS_MAX};

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

/* No worker is so long about a turn, or else about much more than rights. */
#define RIGHTS_PATIENCE_MS 5000u

/* What was asked before is answered before this. */
void household_renew_rights(struct household *house)
{
	if (!house->door)
		return;
	if (house->renewing)
		census_release(house->renewing);
	house->renewing = household_ask_all(house, COMMAND_RIGHTS, 0);
}

void household_await_rights(const struct household *house)
{
	if (house->renewing)
		census_wait(house->renewing, RIGHTS_PATIENCE_MS);
}

struct census *household_ask_all(struct household *house, enum command_type type, uint64_t owner)
{
	struct census *census = census_create(house->worker_count);

	tell_all(house, type, owner, census);
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
	return household_ask_all(self, COMMAND_RIGHTS, 0);
}

static const char *mailer(void *self)
{
	const struct household *house = self;

	return house->mailer;
}

void household_add_accounts(struct household *house, struct control_source *source)
{
	source->accounts = house->accounts;
	source->aggregate = house->aggregate;
	source->auth_log = house->auth_log;
	source->expect_accounts = expect_accounts;
	source->renew = renew;
	house->mailer = house->config->recovery_mailer;
	source->mailer = mailer;
	source->subject = &house->subject;
}
