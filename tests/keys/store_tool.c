/*
 * store_tool.c - a data directory in which keys come and go, and what is told of it; for
 * tests/integration/test_store_steps.py, which lets the process die, or the power go away, at each
 * of its writes.
 *
 *	store_tool [-p] DIRECTORY fill|live|show
 *
 *	fill   accounts, sessions, and QoS 2 exchanges that are open
 *	live   some come, some go; the root turns, by itself and with a deletion; the envelope key
 *	       is replaced
 *	show   a start: what is there, after the turn of the root that was owed, if one was
 *
 * -p: durability process.  A line for each thing, when it is durable:
 *	alive KIND N      it is there
 *	ending KIND N     from here on it may be gone (before anything is done)
 *	ended KIND N      and now it is
 *	key CLASS EPOCH HEX, gone CLASS EPOCH
 *	aside             of show: data.mdb was put aside
 * KIND is account, session or step.
 */
#include "storage/lmdb_store.h"
#include "tests/lib/rows.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define HOUR_S 3600u

static struct keyring *keyring;
static struct vault *vault;
static struct store *store;
static struct failure failure;
static bool put_aside;

static void require(bool done)
{
	if (done)
		return;
	fprintf(stderr, "%s\n", failure.text);
	exit(1);
}

static void tell(const char *word, const char *kind, uint64_t number)
{
	printf("%s %s %" PRIu64 "\n", word, kind, number);
	fflush(stdout);
}

/* ---- keys */

static const enum key_class watched[] = {KEY_ROOT, KEY_ENVELOPE};

static void tell_key(enum key_class class, uint64_t epoch)
{
	uint8_t key[SEAL_KEY_LEN];

	if (!keyring_get(keyring, class, epoch, key))
		return;
	printf("key %s %" PRIu64 " ", key_class_word(class), epoch);
	for (size_t i = 0; i < sizeof(key); i++)
		printf("%02x", key[i]);
	printf("\n");
	fflush(stdout);
}

static void on_change(void *context, const struct keyring_change *change)
{
	(void)context;
	if (change->gone)
		tell("gone", key_class_word(change->class), change->epoch);
	else
		tell_key(change->class, change->epoch);
}

static void tell_keys(void)
{
	uint64_t epochs[SLOT_COUNT];

	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
		const size_t count = keyring_epochs(keyring, watched[i], epochs);

		for (size_t j = 0; j < count; j++)
			tell_key(watched[i], epochs[j]);
	}
}

/* ---- what there is: a row's number is in its body, too, so that it is known to be the right one
 */

static void put_account(uint64_t row)
{
	char body[32];

	snprintf(body, sizeof(body), "account %" PRIu64, row);
	require(vault_put(vault, VAULT_ACCOUNT, row, 0, slice_text(body), &failure));
	tell("alive", "account", row);
}

static void end_account(uint64_t row)
{
	tell("ending", "account", row);
	require(vault_delete(vault, VAULT_ACCOUNT, row, 0, &failure));
	tell("ended", "account", row);
}

static void put_session(uint64_t row)
{
	char name[32];

	snprintf(name, sizeof(name), "session %" PRIu64, row);
	const struct store_op op = rows_session(row, slice_text(name));

	require(rows_commit(store, &op, 1, &failure));
	tell("alive", "session", row);
}

static void end_session(uint64_t row)
{
	const struct store_op op = rows_delete(STORE_DELETE_SESSION, row);

	tell("ending", "session", row);
	require(rows_commit(store, &op, 1, &failure));
	tell("ended", "session", row);
}

/* Exchanges of the session 100, which never ends. */
#define STEPS_OF 100u

static void open_step(uint16_t number)
{
	const struct store_step step =
	    rows_step(STEP_INBOUND_OPEN, STEPS_OF, number, number + UINT64_C(7000));

	require(rows_commit_steps(store, &step, 1, &failure));
	tell("alive", "step", number);
}

static void end_step(uint16_t number)
{
	const struct store_step step =
	    rows_step(STEP_INBOUND_END, STEPS_OF, number, number + UINT64_C(7000));

	tell("ending", "step", number);
	require(rows_commit_steps(store, &step, 1, &failure));
	tell("ended", "step", number);
}

/* ---- the commands */

static void fill(void)
{
	for (uint64_t i = 1; i <= 4; i++) {
		put_account(i);
		put_session(i);
	}
	put_session(STEPS_OF);
	for (uint16_t i = 1; i <= 4; i++)
		open_step(i);
}

static void live(void)
{
	put_account(5);
	put_session(5);
	end_session(1);
	open_step(5);
	end_step(1);
	require(vault_turn_root(vault, &failure)); /* with a session's key to be destroyed */
	end_account(1);				   /* turns it, too */
	require(
	    lmdb_store_renew_envelopes(store, lmdb_store_envelope_end_s(store) + HOUR_S, &failure));
	end_session(2);
	end_step(2);
	require(vault_turn_root(vault, &failure));
	end_account(2);
	put_account(6);
	require(vault_turn_root(vault, &failure)); /* with nothing to be destroyed */
}

static bool is_body(struct slice body, const char *kind, uint64_t row)
{
	char expected[32];

	snprintf(expected, sizeof(expected), "%s %" PRIu64, kind, row);
	return slice_equal(body, slice_text(expected));
}

static bool show_account(void *self, uint64_t row, uint64_t owner, struct slice body,
			 struct failure *why)
{
	(void)self;
	(void)owner;
	if (!is_body(body, "account", row))
		return failure_set(why, "account %" PRIu64 " holds something else", row);
	tell("alive", "account", row);
	return true;
}

static void show_session(void *self, uint64_t row, const struct store_session *session)
{
	(void)self;
	must(row == STEPS_OF || is_body(session->client_id, "session", row));
	tell("alive", "session", row);
}

static void show_subscription(void *self, uint64_t row,
			      const struct store_subscription *subscription)
{
	(void)self;
	(void)row;
	must(!subscription);
}

static void show_step(void *self, const struct store_step *step)
{
	(void)self;
	must(step->type == STEP_INBOUND_OPEN && step->row == STEPS_OF &&
	     step->envelope == step->packet_id + UINT64_C(7000));
	tell("alive", "step", step->packet_id);
}

static void show(void)
{
	const struct vault_visitor accounts = {.row = show_account};
	const struct store_visitor others = {NULL, show_session, show_subscription, show_step};

	if (put_aside)
		printf("aside\n");
	require(vault_load(vault, VAULT_ACCOUNT, &accounts, &failure));
	require(store_load(store, &others, &failure));
	if (vault_turn_is_due(vault))
		require(vault_turn_root(vault, &failure));
}

static const struct {
	const char *name;
	void (*run)(void);
} commands[] = {{"fill", fill}, {"live", live}, {"show", show}};

/* In the order in which the broker does: household_open.c. */
static void open_all(const char *path, enum store_durability durability)
{
	const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned damaged;

	must(directory >= 0);
	keyring = keyring_open(&(struct keyring_options){.directory = directory}, &failure);
	close(directory);
	require(keyring != NULL);
	tell_keys();
	keyring_watch(keyring, on_change, NULL);
	vault = vault_open(&(struct vault_options){path, durability, keyring, (uint64_t)time(NULL)},
			   &put_aside, &failure);
	require(vault != NULL);
	store = lmdb_store_open(vault, &failure);
	require(store != NULL);
	require(keyring_clear_damaged(keyring, &damaged, &failure));
}

int main(int argc, char **argv)
{
	const bool process = argc > 1 && strcmp(argv[1], "-p") == 0;
	char **words = argv + 1 + process;

	for (size_t i = 0; argc == 3 + process && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, words[1]) != 0)
			continue;
		open_all(words[0], process ? DURABILITY_PROCESS : DURABILITY_POWER);
		commands[i].run();
		store_close(store);
		vault_close(vault);
		keyring_close(keyring);
		return 0;
	}
	fprintf(stderr, "usage: store_tool [-p] DIRECTORY fill|live|show\n");
	return 2;
}
