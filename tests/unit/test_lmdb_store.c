/*
 * The store on disk: what was committed is there, also after kill -9; a full disk, a
 * lost write and a second opener each end in a sentence.  Damage: test_lmdb_file.c.
 */
#include "tests/lib/store_on_disk.h"
#include "tests/unit/syncs.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *lmdb_store_suite(void);

START_TEST(rows_are_there_after_reopening)
{
	struct store *store = open_store();
	struct store_op ops[] = {
	    rows_session(UINT64_MAX, SLICE_LITERAL("a")),
	    rows_session(0, SLICE_LITERAL("b")),
	    rows_subscription(0, UINT64_MAX, SLICE_LITERAL("x/#")),
	    rows_subscription(5, 0, SLICE_LITERAL("y")),
	};
	struct store_op deletes[] = {
	    rows_delete(STORE_DELETE_SESSION, 0), rows_delete(STORE_DELETE_SUBSCRIPTION, 5),
	    rows_delete(STORE_DELETE_SESSION, 77), /* not there */
	};
	struct rows_sum sum;

	ck_assert(rows_commit(store, ops, 4, &failure));
	sum = load(store);
	ck_assert_uint_eq(sum.sessions, 2);
	ck_assert_uint_eq(sum.subscriptions, 2);
	close_store(store);

	store = open_store();
	ck_assert_uint_eq(load(store).sum, sum.sum);
	ck_assert(rows_commit(store, deletes, 3, &failure));
	close_store(store);

	store = open_store();
	sum = load(store);
	ck_assert_uint_eq(sum.sessions, 1);
	ck_assert_uint_eq(sum.subscriptions, 1);
	close_store(store);
}
END_TEST

/* One session, its subscriptions of these rows, and nothing of another's; more than are read at a
 * time. */
START_TEST(one_session_is_read)
{
	enum { MANY = 300, MINE = 1000, OTHERS = 2000 };
	struct store *store = open_store();
	struct store_op ops[2 * MANY + 2] = {rows_session(1, SLICE_LITERAL("mine")),
					     rows_session(2, SLICE_LITERAL("other"))};
	struct rows_sum sum = {0};
	struct store_visitor visitor = {.self = &sum,
					.session = rows_sum_session,
					.subscription = rows_sum_subscription,
					.step = rows_sum_step};
	uint64_t rows[MANY + 2] = {OTHERS, OTHERS + MANY};
	const struct store_step steps[] = {
	    rows_step(STEP_INBOUND_OPEN, 1, 5, 77), rows_step(STEP_OUTBOUND_SENT, 2, 5, 77),
	    rows_step(STEP_OUTBOUND_SENT, 1, 5, 77), rows_step(STEP_OUTBOUND_RECEIVED, 1, 5, 77)};

	for (unsigned i = 0; i < MANY; i++) {
		ops[2 + 2 * i] = rows_subscription(MINE + i, 1, SLICE_LITERAL("x/#"));
		ops[3 + 2 * i] = rows_subscription(OTHERS + i, 2, SLICE_LITERAL("y"));
		rows[2 + i] = MINE + i;
	}
	ck_assert(rows_commit(store, ops, sizeof ops / sizeof *ops, &failure));
	ck_assert(rows_commit_steps(store, steps, 4, &failure));
	ck_assert(lmdb_store_read(store, 1, rows, MANY + 2, &visitor, &failure));
	ck_assert_uint_eq(sum.sessions, 1);
	ck_assert_uint_eq(sum.subscriptions, MANY);
	ck_assert_uint_eq(sum.steps, 2);
	sum = (struct rows_sum){0};
	ck_assert(lmdb_store_read(store, 3, rows, MANY + 2, &visitor, &failure));
	ck_assert_uint_eq(sum.sessions + sum.subscriptions + sum.steps, 0);
	close_store(store);
}
END_TEST

START_TEST(longest_rows_fit)
{
	static uint8_t text[STORE_FILTER_MAX];
	struct store *store = open_store();
	struct store_op ops[] = {
	    rows_session(1, slice_of(text, STORE_CLIENT_ID_MAX)),
	    rows_subscription(1, 1, slice_of(text, STORE_FILTER_MAX)),
	};
	struct rows_sum sum;

	memset(text, 'q', sizeof(text));
	ck_assert_msg(rows_commit(store, ops, 2, &failure), "%s", failure.text);
	sum = load(store);
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).sum, sum.sum);
	close_store(store);
}
END_TEST

/* Put, replace and delete at random, with reopening, against what a table says. */
START_TEST(churn_keeps_every_row)
{
	enum { ROWS = 4000, TURNS = 60, PER_TURN = 200 };
	static bool present[ROWS];
	static uint8_t text[9000];
	struct store *store = open_store();
	unsigned random = 1;
	size_t expected = 0;

	memset(text, 'c', sizeof(text));
	for (int turn = 0; turn < TURNS; turn++) {
		struct store_op ops[PER_TURN];

		for (int i = 0; i < PER_TURN; i++) {
			unsigned row;
			bool put;

			random = random * 1103515245u + 12345u;
			row = random >> 8 & 0xfff;
			row %= ROWS;
			put = (random >> 22 & 1) != 0;
			ops[i] =
			    put ? rows_session(row * 0x9e3779b97f4a7c15u,
					       slice_of(text, random >> 24 < 8 ? 9000 : row % 60))
				: rows_delete(STORE_DELETE_SESSION, row * 0x9e3779b97f4a7c15u);
			expected += put && !present[row];
			expected -= !put && present[row];
			present[row] = put;
		}
		ck_assert_msg(rows_commit(store, ops, PER_TURN, &failure), "%s", failure.text);
		if (turn % 5 == 4) {
			close_store(store);
			store = open_store(); /* checks every page */
			ck_assert_uint_eq(load(store).sessions, expected);
		}
	}
	close_store(store);
}
END_TEST

START_TEST(map_grows_and_has_a_ceiling)
{
	static uint8_t text[60000];
	struct store *store = open_store();
	struct stat st;
	uint64_t row = 0;

	memset(text, 'g', sizeof(text));
	vault_set_ceiling(vault, 4 << 20);
	while (put_one(store, row, slice_of(text, sizeof(text))))
		row++;
	says("map full");
	ck_assert_uint_gt(row, 40);
	ck_assert(!lmdb_store_poisoned(store));
	ck_assert_uint_eq(load(store).sessions, row);
	ck_assert_int_eq(stat(data_path(), &st), 0);
	ck_assert_int_eq(st.st_size, 4 << 20);

	vault_set_ceiling(vault, 8 << 20);
	ck_assert_msg(put_one(store, row, slice_of(text, sizeof(text))), "%s", failure.text);
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).sessions, row + 1);
	close_store(store);
}
END_TEST

/* Commits until it fails; gives how many rows were said to be committed. */
static uint64_t fill(struct store *store)
{
	static uint8_t text[3000];
	uint64_t row = 0;

	memset(text, 'f', sizeof(text));
	failure.text[0] = '\0';
	while (put_one(store, row, slice_of(text, sizeof(text))))
		row++;
	return row;
}

/* A file system of 2 MiB, one of which takes keys.slots, seen by this process only. */
static bool mount_small(void)
{
	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", base.path, "tmpfs", 0, "size=2m,mode=0700") == 0)
		return true;
	fprintf(stderr, "full_disk: skipped, no small file system can be mounted: %s\n",
		strerror(errno));
	return false;
}

START_TEST(full_disk)
{
	struct store *store;
	uint64_t rows;

	if (!mount_small())
		return;
	store = open_store();
	rows = fill(store);
	says("data.mdb");
	says("free some space");
	ck_assert_uint_gt(rows, 10);
	ck_assert(!lmdb_store_poisoned(store));
	ck_assert_uint_eq(load(store).sessions, rows);
	ck_assert_int_eq(mount("tmpfs", base.path, "tmpfs", MS_REMOUNT, "size=5m"), 0);
	ck_assert_msg(put_one(store, rows, SLICE_LITERAL("room again")), "%s", failure.text);
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).sessions, rows + 1);
	close_store(store);
	close_keyring();
	ck_assert_int_eq(umount(base.path), 0);
}
END_TEST

/* The same through a limit on file sizes, which every user can set. */
START_TEST(file_size_limit)
{
	/* at the end of a page the write fails, inside one it is short */
	static const rlim_t limits[] = {300 * 1024, 300 * 1024 + 1000};
	struct rlimit limit;
	struct store *store;
	uint64_t rows;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_IGN);
	store = open_store();
	limit.rlim_cur = limits[_i];
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	rows = fill(store);
	says("data.mdb");
	says("ulimit -f");
	ck_assert_uint_gt(rows, 10);
	ck_assert(!lmdb_store_poisoned(store));
	ck_assert_uint_eq(load(store).sessions, rows);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(put_one(store, rows, SLICE_LITERAL("room again")));
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).sessions, rows + 1);
	close_store(store);
}
END_TEST

/* The kernel took a write and lost it: LMDB's descriptor and ours are told once each. */
START_TEST(lost_write_poisons)
{
	struct store *store = open_store();

	ck_assert(put_one(store, 1, SLICE_LITERAL("a")));
	ck_assert(!lmdb_store_poisoned(store));
	syncs_lost = 2;
	ck_assert(!put_one(store, 2, SLICE_LITERAL("b")));
	says("a write was lost");
	ck_assert(lmdb_store_poisoned(store));
	ck_assert(!put_one(store, 2, SLICE_LITERAL("b"))); /* although fdatasync works again */
	says("restart the broker");
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).sessions, 1);
	close_store(store);
}
END_TEST

/* Commits one row after the other and says each number when it is durable. */
static void commit_and_report(int report)
{
	struct store *store = open_store();

	must(store != NULL);
	for (uint64_t row = 0;; row++) {
		must(put_one(store, row, SLICE_LITERAL("killed-client")));
		must(write(report, &row, sizeof(row)) == sizeof(row));
	}
}

START_TEST(kill_9_loses_nothing_reported)
{
	for (int round = 1; round <= 5; round++) {
		uint64_t reported = 0;
		uint64_t row;
		struct store *store;
		size_t found;
		int ends[2];
		pid_t child;

		ck_assert_int_eq(pipe(ends), 0);
		close_keyring(); /* one at a time */
		child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0)
			commit_and_report(ends[1]);
		close(ends[1]);
		while (read(ends[0], &row, sizeof(row)) == sizeof(row)) {
			reported = row + 1;
			if (row == (uint64_t)round * 20)
				kill(child, SIGKILL);
		}
		close(ends[0]);
		waitpid(child, NULL, 0);
		ck_assert_uint_gt(reported, (uint64_t)round * 20);
		store = open_store();
		found = load(store).sessions;
		/* the last one may have been committed and not yet reported */
		ck_assert_uint_ge(found, reported);
		close_store(store);
	}
}
END_TEST

/* A second vault with the keyring of the first. */
static void refuses_directory(const char *path)
{
	const struct vault_options options = {path, DURABILITY_POWER, keyring, 0};
	bool put_aside;

	ck_assert_ptr_null(vault_open(&options, &put_aside, &failure));
}

START_TEST(second_opener_is_refused)
{
	struct store *store = open_store();

	refuses_directory(base.path);
	says("data.mdb is open in another process");
	ck_assert(put_one(store, 1, SLICE_LITERAL("still works")));
	close_store(store);
}
END_TEST

START_TEST(missing_directory_is_named)
{
	open_vault();
	refuses_directory("/nonexistent/place");
	says("/nonexistent/place/data.mdb");
	says("No such file");
	close_vault();
}
END_TEST

/* ---- steps of exchanges ---- */

START_TEST(steps_are_there_after_reopening)
{
	struct store *store = open_store();
	struct store_op ops[] = {rows_session(1, SLICE_LITERAL("from")),
				 rows_session(2, SLICE_LITERAL("to"))};
	struct store_op gone = rows_delete(STORE_DELETE_SESSION, 1);
	struct store_step steps[] = {
	    rows_step(STEP_INBOUND_OPEN, 1, 5, 70),	 rows_step(STEP_OUTBOUND_SENT, 2, 1, 70),
	    rows_step(STEP_OUTBOUND_SENT, 2, 2, 70),	 rows_step(STEP_OUTBOUND_SENT, 2, 3, 0),
	    rows_step(STEP_OUTBOUND_RECEIVED, 2, 2, 70), rows_step(STEP_OUTBOUND_END, 2, 1, 70),
	    {.row = 2, .count = 3, .type = STEP_QUEUED},
	};
	struct rows_sum sum;

	ck_assert(rows_commit(store, ops, 2, &failure));
	ck_assert(rows_commit_steps(store, steps, 7, &failure));
	sum = load(store);
	ck_assert_uint_eq(sum.steps, 5);
	for (int i = 0; i < 2; i++) {
		close_store(store);
		store = open_store();
		ck_assert_uint_eq(load(store).sum, sum.sum);
	}
	ck_assert(rows_commit(store, &gone, 1, &failure)); /* and what only it held open */
	ck_assert_uint_eq(load(store).steps, 3);
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).steps, 3);
	steps[0] = rows_step(STEP_OUTBOUND_END, 2, 2, 0);
	ck_assert(rows_commit_steps(store, steps, 1, &failure));
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).steps, 2);
	close_store(store);
}
END_TEST

/* Half a million steps behind one that stays, with reopening, in a file that does not grow. */
START_TEST(steps_leave)
{
	enum { TURNS = 120, PAIRS = 2000 };
	static struct store_step steps[2 * PAIRS];
	struct store *store = open_store();
	struct store_op op = rows_session(2, SLICE_LITERAL("to"));
	struct store_step stays = rows_step(STEP_OUTBOUND_SENT, 2, 1, 0);
	struct stat st;

	ck_assert(rows_commit(store, &op, 1, &failure));
	ck_assert(rows_commit_steps(store, &stays, 1, &failure));
	for (int turn = 0; turn < TURNS; turn++) {
		for (unsigned i = 0; i < PAIRS; i++) {
			uint16_t id = (uint16_t)(i + 2);

			steps[i] = rows_step(STEP_OUTBOUND_SENT, 2, id, 0);
			steps[PAIRS + i] = rows_step(STEP_OUTBOUND_END, 2, id, 0);
		}
		ck_assert_msg(rows_commit_steps(store, steps, 2 * PAIRS, &failure), "%s",
			      failure.text);
		if (turn % 20 == 19) {
			close_store(store);
			store = open_store();
			ck_assert_uint_eq(load(store).steps, 1);
		}
	}
	close_store(store);
	ck_assert_int_eq(stat(data_path(), &st), 0);
	ck_assert_int_eq(st.st_size, 1 << 20);
}
END_TEST

/* Steps that find no room change nothing, and later ones are taken again. */
START_TEST(refused_steps)
{
	enum { MANY = 60000 };
	struct store_step *steps = calloc(MANY, sizeof(*steps));
	struct store *store = open_store();
	struct store_op op = rows_session(2, SLICE_LITERAL("to"));
	struct rows_sum sum;

	vault_set_ceiling(vault, 1 << 20);
	ck_assert(rows_commit(store, &op, 1, &failure));
	for (unsigned i = 0; i < MANY; i++)
		steps[i] = rows_step(STEP_OUTBOUND_SENT, 2, (uint16_t)(i + 1), 0);
	ck_assert(rows_commit_steps(store, steps, 3, &failure));
	sum = load(store);
	for (int i = 0; i < 3; i++) {
		ck_assert(!rows_commit_steps(store, steps, MANY, &failure));
		says("map full");
		ck_assert_uint_eq(load(store).sum, sum.sum);
	}
	ck_assert(rows_commit_steps(store, steps + 3, 1, &failure));
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).steps, 4);
	ck_assert_msg(rows_commit_steps(store, steps, MANY, &failure), "%s", failure.text);
	close_store(store);
	store = open_store();
	ck_assert_uint_eq(load(store).steps, MANY);
	close_store(store);
	free(steps);
}
END_TEST

Suite *lmdb_store_suite(void)
{
	Suite *suite = suite_create("lmdb_store");
	TCase *tcase = tcase_create("lmdb_store");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, rows_are_there_after_reopening);
	tcase_add_test(tcase, one_session_is_read);
	tcase_add_test(tcase, longest_rows_fit);
	tcase_add_test(tcase, churn_keeps_every_row);
	tcase_add_test(tcase, map_grows_and_has_a_ceiling);
	tcase_add_test(tcase, full_disk);
	tcase_add_loop_test(tcase, file_size_limit, 0, 2);
	tcase_add_test(tcase, lost_write_poisons);
	tcase_add_test(tcase, kill_9_loses_nothing_reported);
	tcase_add_test(tcase, second_opener_is_refused);
	tcase_add_test(tcase, missing_directory_is_named);
	tcase_add_test(tcase, steps_are_there_after_reopening);
	tcase_add_test(tcase, steps_leave);
	tcase_add_test(tcase, refused_steps);
	suite_add_tcase(suite, tcase);
	return suite;
}
