/*
 * The envelope key is replaced: what is open stays, whenever the process dies meanwhile, and no
 * key but one is left.
 */
#include "tests/lib/store_on_disk.h"
#include "tests/unit/syncs.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

Suite *lmdb_envelope_suite(void);

#define HOUR_S 3600u

static void fill(struct store *store)
{
	struct store_op ops[] = {rows_session(1, SLICE_LITERAL("from")),
				 rows_session(2, SLICE_LITERAL("to"))};

	ck_assert(rows_commit(store, ops, 2, &failure));
	for (uint16_t i = 1; i <= 200; i++) {
		struct store_step steps[] = {
		    rows_step(STEP_INBOUND_OPEN, 1, i, i + 70u),
		    rows_step(STEP_OUTBOUND_SENT, 2, i, i + 70u),
		};
		struct store_step end = rows_step(STEP_INBOUND_END, 1, i, i + 70u);

		ck_assert(rows_commit_steps(store, steps, 2, &failure));
		if (i % 2 == 0)
			ck_assert(rows_commit_steps(store, &end, 1, &failure));
	}
}

/* The one that there is. */
static uint64_t epoch_of_envelope(void)
{
	uint64_t epochs[SLOT_COUNT];

	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ENVELOPE, epochs), 1);
	return epochs[0];
}

START_TEST(what_is_open_stays)
{
	struct store *store = open_store();
	struct rows_sum before;
	uint64_t epoch = epoch_of_envelope();

	ck_assert_uint_eq(lmdb_store_envelope_end_s(store), (epoch + 1) * HOUR_S);
	fill(store);
	close_store(store); /* which envelopes are not open any more is not kept */
	store = open_store();
	before = load(store);
	ck_assert_uint_eq(before.steps, 300);
	for (int i = 0; i < 3; i++) {
		struct store_step step = rows_step(STEP_OUTBOUND_SENT, 2, 1000, 0);
		struct store_step end = rows_step(STEP_OUTBOUND_END, 2, 1000, 0);

		epoch += 5;
		ck_assert_msg(lmdb_store_renew_envelopes(store, epoch * HOUR_S + 7, &failure), "%s",
			      failure.text);
		ck_assert_uint_eq(epoch_of_envelope(), epoch);
		ck_assert_uint_eq(load(store).sum, before.sum);
		ck_assert(rows_commit_steps(store, &step, 1, &failure));
		ck_assert_uint_eq(load(store).steps, 301);
		close_store(store);
		store = open_store();
		ck_assert_uint_eq(load(store).steps, 301);
		ck_assert(rows_commit_steps(store, &end, 1, &failure));
		ck_assert_uint_eq(load(store).sum, before.sum);
	}
	/* Twice in an hour, and by a clock that was set back: another epoch all the same. */
	ck_assert(lmdb_store_renew_envelopes(store, HOUR_S, &failure));
	ck_assert_uint_eq(epoch_of_envelope(), epoch + 1);
	close_store(store);
}
END_TEST

START_TEST(nothing_open)
{
	struct store *store = open_store();
	struct store_op op = rows_session(1, SLICE_LITERAL("c"));
	struct store_step step = rows_step(STEP_OUTBOUND_SENT, 1, 1, 0);

	ck_assert(lmdb_store_renew_envelopes(store, 0, &failure));
	ck_assert(rows_commit(store, &op, 1, &failure));
	ck_assert(lmdb_store_renew_envelopes(store, 0, &failure));
	ck_assert(rows_commit_steps(store, &step, 1, &failure));
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).steps, 1);
	close_store(store);
}
END_TEST

START_TEST(killed_at_each_sync)
{
	const enum store_durability durability = _i == 0 ? DURABILITY_POWER : DURABILITY_PROCESS;
	struct store *store = open_store();
	struct rows_sum before;
	bool ended = false;
	int life;

	fill(store);
	close_store(store); /* which envelopes are not open any more is not kept */
	store = open_store();
	before = load(store);
	for (life = 0; !ended; life++) {
		bool put_aside;
		int status;
		pid_t child;

		close_store(store);
		close_keyring();
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0) {
			store = open_store_as(durability, &put_aside);
			syncs_to_live = life;
			must(lmdb_store_renew_envelopes(store, 0, &failure));
			_exit(0);
		}
		waitpid(child, &status, 0);
		ended = WIFEXITED(status);
		store = open_store_as(durability, &put_aside);
		ck_assert_msg(store != NULL, "life %d: %s", life, failure.text);
		epoch_of_envelope();
		ck_assert_uint_eq(load(store).sum, before.sum);
		ck_assert_int_lt(life, 50);
	}
	ck_assert_int_gt(life, 2);
	close_store(store);
}
END_TEST

/* The new key is in use, the old one could not be overwritten: it is due until that is done. */
START_TEST(old_key_that_stays_is_due)
{
	uint64_t epochs[SLOT_COUNT];
	struct store *store = open_store();
	uint64_t epoch;

	signal(SIGXFSZ, SIG_IGN);
	for (uint64_t day = 1; day <= 240; day++) /* the envelope key lies behind them then */
		ck_assert(keyring_make(keyring, KEY_AUTH_DAY, day, &failure));
	ck_assert(lmdb_store_renew_envelopes(store, 0, &failure));
	epoch = epoch_of_envelope();
	limit_files((rlim_t)200 * SLOT_SIZE);
	ck_assert(!lmdb_store_renew_envelopes(store, 0, &failure));
	says("an old envelope key cannot be destroyed");
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ENVELOPE, epochs), 2);
	ck_assert_uint_eq(lmdb_store_envelope_end_s(store), (epoch + 2) * HOUR_S);
	ck_assert_uint_eq(lmdb_store_envelope_due_s(store), (epoch + 1) * HOUR_S);
	ck_assert(!lmdb_store_destroy_old_envelopes(store, &failure));
	limit_files(RLIM_INFINITY);
	ck_assert_msg(lmdb_store_destroy_old_envelopes(store, &failure), "%s", failure.text);
	ck_assert_uint_eq(epoch_of_envelope(), epoch + 1);
	ck_assert_uint_eq(lmdb_store_envelope_due_s(store), (epoch + 2) * HOUR_S);
	close_store(store);
}
END_TEST

Suite *lmdb_envelope_suite(void)
{
	Suite *suite = suite_create("lmdb_envelope");
	TCase *tcase = tcase_create("lmdb_envelope");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, what_is_open_stays);
	tcase_add_test(tcase, nothing_open);
	tcase_add_loop_test(tcase, killed_at_each_sync, 0, 2);
	tcase_add_test(tcase, old_key_that_stays_is_due);
	suite_add_tcase(suite, tcase);
	return suite;
}
