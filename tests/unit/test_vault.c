/*
 * The vault: rows come back with their owners, an owner's end takes all of its rows, and what
 * fails has not happened.  That nothing deleted opens: test_vault_forget.c.
 */
#include "storage/bytes.h"
#include "storage/seal.h"
#include "storage/vault_internal.h"
#include "tests/lib/vault_on_disk.h"

#include <sched.h>
#include <stdlib.h>

Suite *vault_suite(void);

/* What a class holds, as one number: rows, owners and bodies, in whatever order. */
struct seen {
	size_t rows;
	uint64_t sum;
};

static uint64_t mix(uint64_t sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ at[i]) * 0x100000001b3u;
	return sum;
}

static uint64_t sum_of(uint64_t row, uint64_t owner, struct slice body)
{
	return mix(mix(mix(7, &row, sizeof(row)), &owner, sizeof(owner)), body.at, body.len);
}

static bool see(void *self, uint64_t row, uint64_t owner, struct slice body, struct failure *told)
{
	struct seen *seen = self;

	(void)told;
	seen->rows++;
	seen->sum += sum_of(row, owner, body);
	return true;
}

static struct seen look(enum vault_class class)
{
	struct seen seen = {0, 0};
	const struct vault_visitor visitor = {&seen, see};

	ck_assert_msg(vault_load(vault, class, &visitor, &failure), "%s", failure.text);
	return seen;
}

static void put(enum vault_class class, uint64_t row, uint64_t owner, const char *body)
{
	ck_assert_msg(vault_put(vault, class, row, owner, slice_text(body), &failure), "%s",
		      failure.text);
}

static void reopen(void)
{
	close_vault();
	open_vault();
}

static void expect_rows(enum vault_class class, size_t rows)
{
	ck_assert_uint_eq(look(class).rows, rows);
}

START_TEST(rows_are_there_after_reopening)
{
	uint64_t expected;

	open_vault();
	put(VAULT_ACCOUNT, 1, 1, "alice");
	put(VAULT_ACCOUNT, UINT64_MAX, 0, "bob");
	put(VAULT_ACCOUNT, 1, 1, "alice, later");
	put(VAULT_DEVICE_KEY, 9, 1, "a key");
	put(VAULT_TOKEN, 9, UINT64_MAX, "");
	expected = sum_of(1, 1, SLICE_LITERAL("alice, later")) +
		   sum_of(UINT64_MAX, UINT64_MAX, SLICE_LITERAL("bob"));
	for (int i = 0; i < 2; i++) {
		expect_rows(VAULT_ACCOUNT, 2);
		ck_assert_uint_eq(look(VAULT_ACCOUNT).sum, expected);
		ck_assert_uint_eq(look(VAULT_DEVICE_KEY).sum, sum_of(9, 1, SLICE_LITERAL("a key")));
		ck_assert_uint_eq(look(VAULT_TOKEN).sum, sum_of(9, UINT64_MAX, SLICE_LITERAL("")));
		reopen();
	}
	close_vault();
}
END_TEST

START_TEST(account_takes_its_rows)
{
	open_vault();
	put(VAULT_ACCOUNT, 1, 0, "alice");
	put(VAULT_ACCOUNT, 2, 0, "bob");
	put(VAULT_DEVICE_KEY, 3, 1, "of alice");
	put(VAULT_DEVICE_KEY, 4, 2, "of bob");
	put(VAULT_TOKEN, 5, 1, "of alice");
	ck_assert_msg(vault_delete(vault, VAULT_ACCOUNT, 1, 0, &failure), "%s", failure.text);
	ck_assert(!vault_turn_is_due(vault)); /* it is done */
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(look(VAULT_ACCOUNT).sum, sum_of(2, 2, SLICE_LITERAL("bob")));
		ck_assert_uint_eq(look(VAULT_DEVICE_KEY).sum,
				  sum_of(4, 2, SLICE_LITERAL("of bob")));
		expect_rows(VAULT_TOKEN, 0);
		reopen();
	}
	ck_assert(!vault_put(vault, VAULT_TOKEN, 6, 1, SLICE_LITERAL("x"), &failure));
	says("the account that the row belongs to is not there");
	ck_assert(vault_delete(vault, VAULT_ACCOUNT, 1, 0, &failure)); /* not there */
	ck_assert(vault_delete(vault, VAULT_TOKEN, 5, 1, &failure));
	close_vault();
}
END_TEST

/* Operations of one commit: all of them, or none, in the index too. */
START_TEST(all_or_nothing)
{
	const struct vault_op ops[] = {
	    {VAULT_PUT, VAULT_ACCOUNT, 7, 0, SLICE_LITERAL("new")},
	    {VAULT_PUT, VAULT_DEVICE_KEY, 8, 7, SLICE_LITERAL("its key")},
	    {VAULT_PUT, VAULT_ACCOUNT, 1, 0, SLICE_LITERAL("changed")},
	    {VAULT_DELETE, VAULT_DEVICE_KEY, 3, 1, SLICE_NONE},
	    {VAULT_DELETE, VAULT_ACCOUNT, 2, 0, SLICE_NONE},
	    {VAULT_PUT, VAULT_TOKEN, 9, 99, SLICE_LITERAL("of nobody")},
	};
	struct seen accounts;

	open_vault();
	put(VAULT_ACCOUNT, 1, 0, "alice");
	put(VAULT_ACCOUNT, 2, 0, "bob");
	put(VAULT_DEVICE_KEY, 3, 1, "of alice");
	put(VAULT_DEVICE_KEY, 4, 2, "of bob");
	accounts = look(VAULT_ACCOUNT);
	for (int i = 0; i < 2; i++) {
		ck_assert(!vault_commit(vault, ops, 6, &failure));
		ck_assert_uint_eq(look(VAULT_ACCOUNT).sum, accounts.sum);
		expect_rows(VAULT_DEVICE_KEY, 2);
		reopen();
	}
	ck_assert_msg(vault_commit(vault, ops, 5, &failure), "%s", failure.text);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(look(VAULT_ACCOUNT).sum,
				  sum_of(7, 7, SLICE_LITERAL("new")) +
				      sum_of(1, 1, SLICE_LITERAL("changed")));
		ck_assert_uint_eq(look(VAULT_DEVICE_KEY).sum,
				  sum_of(8, 7, SLICE_LITERAL("its key")));
		reopen();
	}
	close_vault();
}
END_TEST

/* Thousands of commits that nobody waits for: what a loss of power leaves is for test_lmdb_store.c.
 */
static void open_unsynced(void)
{
	bool put_aside;

	open_vault_as(DURABILITY_PROCESS, &put_aside);
	ck_assert_msg(vault != NULL && !put_aside, "%s", failure.text);
}

/* More owners than a bottom node has leaves, coming and going at random, with turns between. */
START_TEST(churn_keeps_every_row)
{
	enum { OWNERS = 1500, STEPS = 6000 };
	static uint32_t version[OWNERS]; /* 0: not there */
	uint32_t random = 1;
	uint64_t expected = 0;
	size_t rows = 0;

	open_unsynced();
	for (uint32_t step = 1; step <= STEPS; step++) {
		uint32_t n;
		uint64_t row;

		random = random * 1103515245u + 12345u;
		n = (random >> 8) % OWNERS;
		row = n * 0x9e3779b97f4a7c15u;
		if (version[n] != 0)
			expected -= sum_of(row, row, slice_of(&version[n], 4));
		rows -= version[n] != 0;
		version[n] = (random & 0x80) != 0 ? step : 0;
		if (version[n] != 0) {
			ck_assert(vault_put(vault, VAULT_ACCOUNT, row, 0, slice_of(&version[n], 4),
					    &failure));
			expected += sum_of(row, row, slice_of(&version[n], 4));
			rows++;
		} else if (step % 16 == 0) {
			ck_assert(vault_delete(vault, VAULT_ACCOUNT, row, 0, &failure));
		} else {
			version[n] = step;
			ck_assert(vault_put(vault, VAULT_ACCOUNT, row, 0, slice_of(&version[n], 4),
					    &failure));
			expected += sum_of(row, row, slice_of(&version[n], 4));
			rows++;
		}
		if (step % 1000 == 0) {
			close_vault();
			open_unsynced();
			ck_assert_uint_eq(look(VAULT_ACCOUNT).rows, rows);
			ck_assert_uint_eq(look(VAULT_ACCOUNT).sum, expected);
		}
		if (step % 100 == 0)
			ck_assert_msg(vault_turn_root(vault, &failure), "%s", failure.text);
	}
	close_vault();
}
END_TEST

START_TEST(days)
{
	enum { FIRST = 10, END = 5000 };
	static struct vault_op many[END - FIRST];

	open_vault();
	ck_assert(!vault_put(vault, VAULT_AUTH, 1, 20000, SLICE_LITERAL("x"), &failure));
	says("20000");
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure));
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20001, &failure));
	ck_assert(keyring_make(keyring, KEY_AGGREGATE_DAY, 20000, &failure));
	put(VAULT_AUTH, 1, 20000, "one");
	put(VAULT_AUTH, 2, 20001, "two");
	for (uint64_t row = FIRST; row < END; row++)
		many[row - FIRST] =
		    (struct vault_op){VAULT_PUT, VAULT_AUTH, row, 20001, SLICE_LITERAL("many")};
	ck_assert_msg(vault_commit(vault, many, END - FIRST, &failure), "%s", failure.text);
	put(VAULT_AGGREGATE, 1, 20000, "day");
	reopen();
	expect_rows(VAULT_AUTH, 4992);
	ck_assert(vault_forget_day(vault, VAULT_AUTH, 20001, &failure));
	ck_assert_uint_eq(look(VAULT_AUTH).sum, sum_of(1, 20000, SLICE_LITERAL("one")));
	/* Killed between the end of the key and that of its rows: the next start goes on. */
	ck_assert(keyring_destroy(keyring, KEY_AUTH_DAY, 20000, &failure));
	expect_rows(VAULT_AUTH, 0);
	reopen();
	expect_rows(VAULT_AUTH, 0);
	ck_assert_uint_eq(look(VAULT_AGGREGATE).sum, sum_of(1, 20000, SLICE_LITERAL("day")));
	close_vault();
}
END_TEST

/* While a row is given nobody has to wait for the file. */
static bool see_unlocked(void *self, uint64_t row, uint64_t owner, struct slice body,
			 struct failure *told)
{
	ck_assert_int_eq(pthread_mutex_trylock(&vault->file.mutex), 0);
	pthread_mutex_unlock(&vault->file.mutex);
	return see(self, row, owner, body, told);
}

/* More than are read at a time, of two days in turns, and the first and the last that can be. */
START_TEST(rows_of_days_hold_nobody_up)
{
	enum { ROWS = 3 * 512 }; /* the last part is full, too */
	struct seen seen = {0, 0};
	const struct vault_visitor visitor = {&seen, see_unlocked};
	struct vault_op ops[ROWS];
	uint64_t expected = 0;

	open_vault();
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20000, &failure));
	ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20001, &failure));
	for (uint64_t i = 0; i < ROWS; i++) {
		const uint64_t row = i == ROWS - 1 ? UINT64_MAX : i;

		ops[i] = (struct vault_op){VAULT_PUT, VAULT_AUTH, row, 20000 + i % 2,
					   SLICE_LITERAL("one")};
		expected += sum_of(row, 20000 + i % 2, SLICE_LITERAL("one"));
	}
	ck_assert_msg(vault_commit(vault, ops, ROWS, &failure), "%s", failure.text);
	ck_assert_msg(vault_load(vault, VAULT_AUTH, &visitor, &failure), "%s", failure.text);
	ck_assert_uint_eq(seen.rows, ROWS);
	ck_assert_uint_eq(seen.sum, expected);
	close_vault();
}
END_TEST

static int put_damaged(void *self, MDB_txn *txn, struct failure *told)
{
	(void)self;
	(void)told;
	return datafile_put(&vault->file, txn, TABLE_AUTH, UINT64_MAX, SLICE_LITERAL("?"), 0);
}

static bool count_rows(void *self, MDB_txn *txn, struct failure *told)
{
	(void)told;
	return mdb_stat(txn, vault->file.tables[TABLE_AUTH], self) == 0;
}

/* A day's end is many transactions: those before the one that fails have deleted their rows. */
START_TEST(rows_that_go_hold_nobody_up)
{
	enum { ROWS = 1300, DAYS = 2 };
	const struct datafile_work work = {NULL, put_damaged, NULL};
	struct vault_op ops[ROWS];
	MDB_stat left;

	open_vault();
	for (uint64_t day = 0; day < DAYS; day++) {
		ck_assert(keyring_make(keyring, KEY_AUTH_DAY, 20000 + day, &failure));
		for (uint64_t i = 0; i < ROWS; i++)
			ops[i] = (struct vault_op){VAULT_PUT, VAULT_AUTH, day * ROWS + i,
						   20000 + day, SLICE_LITERAL("one")};
		ck_assert(vault_commit(vault, ops, ROWS, &failure));
	}
	ck_assert(datafile_write(&vault->file, &work, &failure));
	ck_assert(!vault_forget_day(vault, VAULT_AUTH, 20001, &failure));
	says("auth row ffffffffffffffff");
	ck_assert(datafile_read(&vault->file, &left, count_rows, &failure));
	ck_assert_uint_ge(left.ms_entries, ROWS + 1);
	ck_assert_uint_lt(left.ms_entries, 2 * ROWS);
	ck_assert(vault_delete(vault, VAULT_AUTH, UINT64_MAX, 20000, &failure));
	ck_assert_msg(vault_forget_day(vault, VAULT_AUTH, 20001, &failure), "%s", failure.text);
	ck_assert(datafile_read(&vault->file, &left, count_rows, &failure));
	ck_assert_uint_eq(left.ms_entries, ROWS);
	expect_rows(VAULT_AUTH, ROWS);
	close_vault();
}
END_TEST

/* ---- who waits ---- */

static bool come(void *self, MDB_txn *txn, struct failure *told)
{
	(void)txn;
	(void)told;
	atomic_store((atomic_bool *)self, true);
	return true;
}

static void *wait_for_file(void *self)
{
	struct failure told;

	ck_assert(datafile_read(&vault->file, self, come, &told));
	return NULL;
}

struct waiting {
	pthread_t thread;
	atomic_bool came;
};

/* Keeps the file until somebody waits for it. */
static bool keep_file(void *self, MDB_txn *txn, struct failure *told)
{
	struct waiting *waiting = self;

	(void)txn;
	(void)told;
	ck_assert_int_eq(pthread_create(&waiting->thread, NULL, wait_for_file, &waiting->came), 0);
	while (pthread_mutex_trylock(&vault->file.queue) == 0) {
		pthread_mutex_unlock(&vault->file.queue);
		sched_yield();
	}
	return true;
}

static bool see_waiting(void *self, MDB_txn *txn, struct failure *told)
{
	struct waiting *waiting = self;

	(void)txn;
	(void)told;
	ck_assert(atomic_load(&waiting->came));
	return true;
}

/* Whoever goes through a table in parts does not come again before those who wait. */
START_TEST(who_waits_comes_next)
{
	struct waiting waiting = {.came = false};

	open_vault();
	ck_assert(datafile_read(&vault->file, &waiting, keep_file, &failure));
	ck_assert(datafile_read(&vault->file, &waiting, see_waiting, &failure));
	pthread_join(waiting.thread, NULL);
	close_vault();
}
END_TEST

START_TEST(rows_are_given_until_false)
{
	struct seen seen = {0, 0};
	const struct vault_visitor visitor = {&seen, see};
	static uint8_t longest[VAULT_BODY_MAX];

	open_vault();
	seal_random(longest, sizeof(longest));
	ck_assert(
	    vault_put(vault, VAULT_ACCOUNT, 1, 0, slice_of(longest, sizeof(longest)), &failure));
	ck_assert(vault_load(vault, VAULT_ACCOUNT, &visitor, &failure));
	ck_assert_uint_eq(seen.sum, sum_of(1, 1, slice_of(longest, sizeof(longest))));
	ck_assert_uint_ne(vault_new_row(vault), vault_new_row(vault));
	close_vault();
}
END_TEST

Suite *vault_suite(void)
{
	Suite *suite = suite_create("vault");
	TCase *tcase = tcase_create("vault");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, rows_are_there_after_reopening);
	tcase_add_test(tcase, account_takes_its_rows);
	tcase_add_test(tcase, all_or_nothing);
	tcase_add_test(tcase, churn_keeps_every_row);
	tcase_add_test(tcase, days);
	tcase_add_test(tcase, rows_of_days_hold_nobody_up);
	tcase_add_test(tcase, rows_that_go_hold_nobody_up);
	tcase_add_test(tcase, who_waits_comes_next);
	tcase_add_test(tcase, rows_are_given_until_false);
	suite_add_tcase(suite, tcase);
	return suite;
}
