/*
 * What earlier versions kept in clear (formats 1 and 2) is sealed at the first start: nothing is
 * lost, and nothing that was readable is left in the file, however often that is interrupted.
 */
#include "storage/record.h"
#include "storage/sealed_record.h"
#include "storage/step.h"
#include "tests/lib/clear_rows.h"
#include "tests/lib/store_on_disk.h"
#include "tests/unit/syncs.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *lmdb_clear_suite(void);

#define SESSIONS 700u
#define STEPS	 300u

static struct rows_sum expected;

static void put(MDB_txn *txn, MDB_dbi table, uint8_t class, uint64_t row, struct slice body)
{
	static uint8_t record[CLEAR_HEAD_LEN + RECORD_BODY_MAX + CLEAR_TRAILER_LEN];
	uint8_t number[8];
	MDB_val key = {sizeof(number), number};
	MDB_val value = {clear_row(class, row, body, record), record};

	bytes_put(number, row, sizeof(number));
	ck_assert_int_eq(mdb_put(txn, table, &key, &value, 0), 0);
}

/* Sessions with names like needles in a haystack, each with a subscription. */
static void put_sessions(MDB_txn *txn, MDB_dbi sessions, MDB_dbi subscriptions)
{
	static uint8_t body[RECORD_BODY_MAX];

	for (uint64_t i = 0; i < SESSIONS; i++) {
		char text[5000];
		size_t len = (size_t)snprintf(text, sizeof(text), "clear-needle-%llu",
					      (unsigned long long)i);
		struct store_op session;
		struct store_op subscription;

		if (i % 50 == 0) { /* values with pages of their own */
			memset(text + len, 'n', sizeof(text) - len);
			memcpy(text + sizeof(text) - 12, "clear-needle", 12);
			len = sizeof(text);
		}
		session = rows_session(i + 1, slice_of(text, len));
		subscription = rows_subscription(i + 9000, i + 1, slice_of(text, len));
		put(txn, sessions, SEALED_SESSION, i + 1,
		    slice_of(body, record_write_session(&session.session, body)));
		rows_sum_session(&expected, i + 1, &session.session);
		put(txn, subscriptions, SEALED_SUBSCRIPTION, i + 9000,
		    slice_of(body, record_write_subscription(&subscription.subscription, body)));
	}
	for (uint64_t i = 0; i < SESSIONS; i++) {
		char text[5000];
		size_t len = (size_t)snprintf(text, sizeof(text), "clear-needle-%llu",
					      (unsigned long long)i);
		struct store_op op;

		if (i % 50 == 0) {
			memset(text + len, 'n', sizeof(text) - len);
			memcpy(text + sizeof(text) - 12, "clear-needle", 12);
			len = sizeof(text);
		}
		op = rows_subscription(i + 9000, i + 1, slice_of(text, len));
		rows_sum_subscription(&expected, i + 9000, &op.subscription);
	}
}

static void put_steps(MDB_txn *txn, MDB_dbi journal)
{
	for (uint16_t i = 0; i < STEPS; i++) {
		uint8_t body[STEP_LEN_MAX];
		struct store_step step = rows_step(STEP_OUTBOUND_SENT, 1 + i % 9, i + 1, 0);

		put(txn, journal, SEALED_JOURNAL, i + 40u,
		    slice_of(body, (size_t)(step_encode(body, &step) - body)));
		rows_sum_step(&expected, &step);
	}
}

/* data.mdb as an earlier version left it, with rows that came and went in it, too. */
static void make_clear(uint8_t format)
{
	uint8_t head[12] = {'m', 'e', 't', 'r', 'i', 'n', 'o', 0, 0, 0, 0, format};
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi meta;
	MDB_dbi sessions;
	MDB_dbi subscriptions;
	MDB_dbi journal;
	MDB_val key = {6, (void *)"format"};
	MDB_val value = {sizeof(head), head};

	ck_assert_int_eq(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 4);
	mdb_env_set_mapsize(env, 8 << 20);
	ck_assert_int_eq(mdb_env_open(env, base.path, MDB_NOSYNC, 0600), 0);
	for (int turn = 0; turn < 3; turn++) { /* old copies lie about in free pages */
		expected = (struct rows_sum){0};
		ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
		mdb_dbi_open(txn, "meta", MDB_CREATE, &meta);
		ck_assert_int_eq(mdb_put(txn, meta, &key, &value, 0), 0);
		mdb_dbi_open(txn, "sessions", MDB_CREATE, &sessions);
		mdb_dbi_open(txn, "subscriptions", MDB_CREATE, &subscriptions);
		put_sessions(txn, sessions, subscriptions);
		if (format >= 2) {
			mdb_dbi_open(txn, "journal", MDB_CREATE, &journal);
			put_steps(txn, journal);
		}
		ck_assert_int_eq(mdb_txn_commit(txn), 0);
	}
	mdb_env_close(env);
	ck_assert_int_eq(truncate(data_path(), 8 << 20), 0);
}

/* What memmem() does, but under a sanitizer that looks at all the rest of the bytes for each find.
 */
static uint8_t *next_of(uint8_t *at, const uint8_t *end, const char *text)
{
	const size_t len = strlen(text);

	for (; (at = memchr(at, text[0], (size_t)(end - at))); at++)
		if ((size_t)(end - at) >= len && memcmp(at, text, len) == 0)
			return at;
	return NULL;
}

/* How often a text stands in the raw bytes of the file. */
static size_t count_in_file(const char *text)
{
	FILE *file = fopen(data_path(), "r");
	uint8_t *bytes = malloc(8 << 20);
	size_t len = fread(bytes, 1, 8 << 20, file);
	size_t found = 0;

	for (uint8_t *at = bytes; (at = next_of(at, bytes + len, text)); at++)
		found++;
	free(bytes);
	fclose(file);
	return found;
}

static void expect_sealed(void)
{
	struct store *store = open_store();
	struct rows_sum sum = load(store);

	ck_assert_uint_eq(sum.sessions, expected.sessions);
	ck_assert_uint_eq(sum.subscriptions, expected.subscriptions);
	ck_assert_uint_eq(sum.steps, expected.steps);
	ck_assert_uint_eq(sum.sum, expected.sum);
	close_store(store);
	ck_assert_uint_eq(count_in_file("clear-needle"), 0);
}

START_TEST(all_is_sealed)
{
	make_clear((uint8_t)_i);
	ck_assert_uint_gt(count_in_file("clear-needle"), SESSIONS);
	expect_sealed();
	expect_sealed(); /* and is an ordinary file then */
}
END_TEST

/* Killed at each of its syncs: what is found then is the old file, or the new. */
START_TEST(killed_at_each_sync)
{
	bool ended = false;

	for (int life = 0; !ended; life++) {
		int status;
		pid_t child;

		make_clear(2);
		close_keyring();
		unlink(path_in("keys.slots"));
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0) {
			syncs_to_live = life;
			close_store(open_store());
			_exit(0);
		}
		waitpid(child, &status, 0);
		ended = WIFEXITED(status);
		expect_sealed();
		ck_assert_int_eq(unlink(data_path()), 0);
		ck_assert_int_lt(life, 100);
	}
}
END_TEST

/* A damaged row is named, and the file stays as it is. */
START_TEST(damage_is_refused)
{
	uint8_t *bytes = malloc(8 << 20);
	FILE *file;

	make_clear(2);
	file = fopen(data_path(), "r+");
	ck_assert_uint_eq(fread(bytes, 1, 8 << 20, file), 8 << 20);
	for (uint8_t *found = bytes; (found = next_of(found, bytes + (8 << 20), "clear-needle-77"));
	     found++) {
		fseek(file, found - bytes, SEEK_SET);
		fputc('C', file);
	}
	fclose(file);
	for (int i = 0; i < 2; i++) {
		refused("session row 000000000000004e");
		says("check value");
		ck_assert_uint_gt(count_in_file("clear-needle"), SESSIONS);
	}
	free(bytes);
}
END_TEST

Suite *lmdb_clear_suite(void)
{
	Suite *suite = suite_create("lmdb_clear");
	TCase *tcase = tcase_create("lmdb_clear");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, all_is_sealed, 1, 3);
	tcase_add_test(tcase, killed_at_each_sync);
	tcase_add_test(tcase, damage_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}
