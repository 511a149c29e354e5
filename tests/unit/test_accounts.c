/*
 * test_accounts.c - accounts between RAM and vault: what is loaded again, what a failure leaves as
 * it was, codes and their time, and passwords of another cost.
 */
#include "broker/accounts.h"
#include "broker/net/moment.h"
#include "tests/lib/vault_on_disk.h"

#include <signal.h>
#include <sys/resource.h>

Suite *accounts_suite(void);

#define MINUTE_MS 60000u
#define KEYS_MAX  3u

static struct accounts *accounts;
static struct password_cost cost = {64, 1, 4};
static struct password_arena arena;
static uint64_t known_s;

static const struct slice address = {(const uint8_t *)"Ann@Example.org", 15};
static const struct slice password = {(const uint8_t *)"the password", 12};

static void open_accounts(void)
{
	open_vault();
	accounts = accounts_open(&(struct accounts_setup){vault, keyring, cost, known_s, KEYS_MAX},
				 &failure);
	ck_assert_msg(accounts != NULL, "%s", failure.text);
}

static void close_accounts(void)
{
	accounts_destroy(accounts);
	close_vault();
}

static void reopen(void)
{
	close_accounts();
	open_accounts();
}

static void begin(void)
{
	setup();
	open_accounts();
	ck_assert(password_arena_init(&arena, 1024, &failure));
}

static void end(void)
{
	password_arena_finish(&arena);
	close_accounts();
	teardown();
}

/* Its name, which lasts until the next. */
static struct slice create(struct slice with_address)
{
	static char name[ACCOUNT_NAME_SIZE];
	const struct accounts_new new = {.address = with_address, .password = password};

	ck_assert_msg(accounts_create(accounts, &new, name, &failure), "%s", failure.text);
	return slice_text(name);
}

static struct account_visitor visitor;

static bool comes_in(struct slice name, struct slice with)
{
	struct password_work work = password_work_of(cost);

	accounts_include_work(accounts, &work);
	return accounts_check(accounts, &arena, &work, name, with, &visitor);
}

static bool stays(void)
{
	struct account_view view;

	if (!accounts_view(accounts, &visitor, &view))
		return false;
	account_rights_leave(view.rights);
	account_rights_leave(view.scope);
	return true;
}

static void keep_hash(void *self, const struct account *account)
{
	*(struct password_hash *)self = account->password;
}

START_TEST(all_of_it_is_there_after_a_restart)
{
	struct slice name = create(address);
	char id[ACCOUNT_ID_SIZE], secret[ACCOUNT_KEY_SECRET_SIZE], found[ACCOUNT_NAME_SIZE];
	struct account_view view;

	ck_assert(accounts_grant(accounts, name, "read", SLICE_LITERAL("a/#"), &failure));
	ck_assert(accounts_set_flag(accounts, name, ACCOUNT_NO_STATS, true, &failure));
	ck_assert(accounts_add_key(accounts, name, 0,
				   account_rights_with(NULL, "write", SLICE_LITERAL("b"), &failure),
				   id, secret, &failure));
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(accounts_count(accounts), 1);
		ck_assert(
		    accounts_find(accounts, SLICE_LITERAL("ANN@EXAMPLE.ORG"), found, &failure));
		ck_assert(slice_equal(slice_text(found), name));
		ck_assert(comes_in(name, password));
		ck_assert(comes_in(slice_text(id), slice_text(secret)));
		ck_assert(accounts_view(accounts, &visitor, &view));
		ck_assert_uint_eq(view.flags & ACCOUNT_NO_STATS, ACCOUNT_NO_STATS);
		ck_assert_ptr_nonnull(view.rights);
		ck_assert_ptr_nonnull(view.scope);
		account_rights_leave(view.rights);
		account_rights_leave(view.scope);
		reopen();
	}
	ck_assert(accounts_revoke_key(accounts, slice_text(id), &failure));
	reopen();
	ck_assert(!comes_in(slice_text(id), slice_text(secret)));
	ck_assert(comes_in(name, password));
}
END_TEST

static bool same_identity(const uint8_t a[SEAL_KEY_LEN], const uint8_t b[SEAL_KEY_LEN])
{
	return memcmp(a, b, SEAL_KEY_LEN) == 0;
}

/* Who objects is another one afterwards, who restricts is the same; of neither are there rows. */
START_TEST(who_objects_is_not_recognised)
{
	static const struct slice id = {(const uint8_t *)"lamp", 4};
	static const unsigned flags[] = {ACCOUNT_RESTRICTED, ACCOUNT_NO_STATS, ACCOUNT_DISABLED};
	struct slice name = create(address);
	uint8_t before[SEAL_KEY_LEN], after[SEAL_KEY_LEN];
	uint64_t row;

	ck_assert(accounts_row(accounts, name, &row));
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		ck_assert(accounts_identify(accounts, row, id, before));
		ck_assert(accounts_set_flag(accounts, name, flags[i], true, &failure));
		ck_assert(accounts_identify(accounts, row, id, after) ==
			  (flags[i] == ACCOUNT_DISABLED));
		ck_assert(accounts_recognise(accounts, row, id, after));
		ck_assert(same_identity(before, after) == (flags[i] != ACCOUNT_NO_STATS));
		ck_assert(accounts_set_flag(accounts, name, flags[i], true, &failure)); /* again */
		ck_assert(accounts_recognise(accounts, row, id, before) &&
			  same_identity(before, after));
		reopen();
		ck_assert(accounts_recognise(accounts, row, id, before) &&
			  same_identity(before, after));
		ck_assert(accounts_set_flag(accounts, name, flags[i], false, &failure));
		ck_assert(accounts_identify(accounts, row, id, before) &&
			  same_identity(before, after));
	}
	ck_assert(!accounts_recognise(accounts, row + 1, id, before));
}
END_TEST

START_TEST(what_is_deleted_is_gone)
{
	struct slice name = create(address);
	char id[ACCOUNT_ID_SIZE], secret[ACCOUNT_KEY_SECRET_SIZE], found[ACCOUNT_NAME_SIZE];
	uint64_t row, again;

	ck_assert(accounts_add_key(accounts, name, 0, NULL, id, secret, &failure));
	ck_assert(comes_in(name, password) && stays());
	ck_assert(accounts_delete(accounts, name, &row, &failure));
	ck_assert(!stays());
	ck_assert(!accounts_delete(accounts, name, &again, &failure));
	for (int i = 0; i < 2; i++) {
		ck_assert(!accounts_has(accounts, row));
		ck_assert_uint_eq(accounts_count(accounts), 0);
		ck_assert(!comes_in(name, password));
		ck_assert(!comes_in(slice_text(id), slice_text(secret)));
		ck_assert(!accounts_find(accounts, address, found, &failure));
		reopen();
	}
	create(address);
}
END_TEST

/* The key cannot be overwritten: nobody comes in all the same, and asking again tries again. */
START_TEST(who_is_deleted_is_out_whatever_becomes_of_the_key)
{
	struct slice name = create(address);
	char id[ACCOUNT_ID_SIZE], secret[ACCOUNT_KEY_SECRET_SIZE];
	uint64_t row, again;

	ck_assert(accounts_add_key(accounts, name, 0, NULL, id, secret, &failure));
	ck_assert(comes_in(name, password) && stays());
	signal(SIGXFSZ, SIG_IGN);
	for (uint64_t day = 1; day <= 240; day++) /* the root lies behind them then */
		ck_assert(keyring_make(keyring, KEY_AUTH_DAY, day, &failure));
	ck_assert_msg(vault_turn_root(vault, &failure), "%s", failure.text);
	limit_files((rlim_t)200 * SLOT_SIZE);
	ck_assert(!accounts_delete(accounts, name, &row, &failure));
	says("could still be opened");
	says("their key is not destroyed yet");
	ck_assert(row != 0 && !accounts_has(accounts, row) && !stays());
	ck_assert(!comes_in(name, password));
	ck_assert(!comes_in(slice_text(id), slice_text(secret)));
	ck_assert(!accounts_delete(accounts, name, &again, &failure) && again == row);
	says("could still be opened");
	limit_files(RLIM_INFINITY);
	ck_assert(accounts_delete(accounts, name, &again, &failure) && again == row);
	ck_assert(!vault_turn_is_due(vault));
	ck_assert(!accounts_delete(accounts, name, &again, &failure) && again == 0);
	says("there is no account of this name");
	create(address);
}
END_TEST

/* The vault cannot grow any more: nothing is half done. */
START_TEST(what_failed_has_not_happened)
{
	struct slice name = create(address);
	struct rlimit before, none = {0};
	struct password_hash old, new;
	char other[ACCOUNT_NAME_SIZE];
	const struct accounts_new bob = {.address = SLICE_LITERAL("bob@example.org")};
	uint64_t row;

	ck_assert(accounts_tell(accounts, name, &old, keep_hash, &failure));
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	none.rlim_max = before.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	failure.text[0] = '\0';
	ck_assert(!accounts_create(accounts, &bob, other, &failure));
	ck_assert_str_ne(failure.text, "");
	ck_assert(!accounts_set_password(accounts, name, SLICE_LITERAL("new"), &failure));
	ck_assert(!accounts_grant(accounts, name, "read", SLICE_LITERAL("a"), &failure));
	ck_assert(!accounts_set_flag(accounts, name, ACCOUNT_DISABLED, true, &failure));
	ck_assert(!accounts_delete(accounts, name, &row, &failure) && row == 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	ck_assert_uint_eq(accounts_count(accounts), 1);
	ck_assert(accounts_tell(accounts, name, &new, keep_hash, &failure));
	ck_assert_mem_eq(&old, &new, sizeof old);
	ck_assert(comes_in(name, password) && stays());
}
END_TEST

START_TEST(another_password_ends_what_came_with_the_old)
{
	struct slice name = create(address);

	ck_assert(comes_in(name, password) && stays());
	ck_assert(accounts_set_password(accounts, name, password, &failure));
	ck_assert(!stays()); /* though it is the same word */
	ck_assert(comes_in(name, password) && stays());
}
END_TEST

/* argon2_time was raised, or lowered: whoever logs in stays, and has another hash. */
START_TEST(a_password_is_hashed_anew_when_the_cost_changes)
{
	struct slice name = create(address);
	struct password_hash hash;

	cost.passes = 3;
	reopen();
	ck_assert(!comes_in(name, SLICE_LITERAL("wrong")));
	ck_assert(accounts_tell(accounts, name, &hash, keep_hash, &failure));
	ck_assert_uint_eq(hash.cost.passes, 1);
	ck_assert(comes_in(name, password) && stays());
	cost.passes = 1;
	cost.memory_kib = 32;
	for (int i = 0; i < 2; i++) {
		ck_assert(accounts_tell(accounts, name, &hash, keep_hash, &failure));
		ck_assert_uint_eq(hash.cost.passes, 3);
		reopen();
	}
	ck_assert_uint_eq(accounts_memory_kib(accounts), 64); /* for the threads' arenas */
	ck_assert(comes_in(name, password));
	ck_assert(accounts_tell(accounts, name, &hash, keep_hash, &failure));
	ck_assert_uint_eq(hash.cost.memory_kib, 32);
	cost = (struct password_cost){64, 1, 4};
}
END_TEST

START_TEST(a_key_ends_in_time)
{
	struct slice name = create(address);
	char id[ACCOUNT_ID_SIZE], secret[ACCOUNT_KEY_SECRET_SIZE];
	char other[ACCOUNT_ID_SIZE], other_secret[ACCOUNT_KEY_SECRET_SIZE];
	struct scram_record record;
	uint64_t now_s = moment_now().wall_s;

	ck_assert(accounts_add_key(accounts, name, now_s + 2, NULL, id, secret, &failure));
	ck_assert(comes_in(slice_text(id), slice_text(secret)) && stays());
	ck_assert(accounts_find_key(accounts, slice_text(id), &record, &visitor));
	ck_assert(!accounts_key_ended(accounts));
	while (moment_now().wall_s < now_s + 2)
		usleep(20000);
	for (int i = 0; i < 2; i++) { /* others come and go before it is told */
		ck_assert(accounts_add_key(accounts, name, i ? now_s + 1000 : 0, NULL, other,
					   other_secret, &failure));
		ck_assert(accounts_revoke_key(accounts, slice_text(other), &failure));
	}
	ck_assert(accounts_key_ended(accounts));
	ck_assert(!accounts_key_ended(accounts)); /* told once */
	ck_assert(!stays());
	ck_assert(!comes_in(slice_text(id), slice_text(secret)));
	ck_assert(!accounts_find_key(accounts, slice_text(id), &record, &visitor));
}
END_TEST

START_TEST(an_account_has_so_many_keys_at_most)
{
	struct slice name = create(address), other = SLICE_NONE;
	char id[ACCOUNT_ID_SIZE], secret[ACCOUNT_KEY_SECRET_SIZE], first[ACCOUNT_NAME_SIZE];

	memcpy(first, name.at, sizeof first);
	other = create(SLICE_NONE);
	for (unsigned i = 0; i < KEYS_MAX; i++)
		ck_assert(
		    accounts_add_key(accounts, slice_text(first), 0, NULL, id, secret, &failure));
	reopen();
	ck_assert(!accounts_add_key(accounts, slice_text(first), 0, NULL, id, secret, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "no account may have more than 3"));
	ck_assert(accounts_add_key(accounts, other, 0, NULL, id, secret, &failure));
}
END_TEST

/* The clock says less than it did before the restart. */
START_TEST(a_key_that_ended_stays_so)
{
	struct slice name = create(address);
	char id[ACCOUNT_ID_SIZE], secret[ACCOUNT_KEY_SECRET_SIZE];
	struct scram_record record;
	uint64_t now_s = moment_now().wall_s;

	ck_assert(accounts_add_key(accounts, name, now_s + 1000, NULL, id, secret, &failure));
	ck_assert(comes_in(slice_text(id), slice_text(secret)) && stays());
	known_s = now_s + 1000;
	reopen();
	ck_assert_uint_ge(accounts_now_s(accounts), known_s);
	ck_assert(!stays());
	ck_assert(!comes_in(slice_text(id), slice_text(secret)));
	ck_assert(!accounts_find_key(accounts, slice_text(id), &record, &visitor));
	known_s = 0;
}
END_TEST

/* ---- recovery ---- */

static bool use(const char *code, uint64_t now_ms)
{
	return accounts_use_code(accounts, address, slice_text(code), SLICE_LITERAL("new"), now_ms,
				 &failure);
}

START_TEST(a_code_is_good_for_15_minutes)
{
	char code[ACCOUNTS_CODE_SIZE];
	uint64_t at_ms = 1000 * MINUTE_MS;
	struct slice name = create(address);

	ck_assert(accounts_make_code(accounts, address, at_ms, code));
	ck_assert_uint_eq(strlen(code), 8);
	ck_assert(!use(code, at_ms + 15 * MINUTE_MS));
	ck_assert(comes_in(name, password));
	ck_assert(accounts_make_code(accounts, address, at_ms, code));
	ck_assert(use(code, at_ms + 15 * MINUTE_MS - 1));
	ck_assert(!comes_in(name, password));
	ck_assert(comes_in(name, SLICE_LITERAL("new")));
}
END_TEST

START_TEST(a_code_has_five_tries)
{
	char code[ACCOUNTS_CODE_SIZE];

	create(address);
	ck_assert(accounts_make_code(accounts, address, MINUTE_MS, code));
	for (int i = 0; i < 4; i++)
		ck_assert(!use("00000000", MINUTE_MS));
	ck_assert(use(code, MINUTE_MS));
	ck_assert(accounts_make_code(accounts, address, 3 * MINUTE_MS, code));
	for (int i = 0; i < 5; i++)
		ck_assert(!use("00000000", 3 * MINUTE_MS));
	ck_assert(!use(code, 3 * MINUTE_MS));
	/* Nor does asking for another one give more tries at once. */
	ck_assert(!accounts_make_code(accounts, address, 4 * MINUTE_MS - 1, code));
	ck_assert(accounts_make_code(accounts, address, 4 * MINUTE_MS, code));
	ck_assert(use(code, 4 * MINUTE_MS));
}
END_TEST

START_TEST(a_later_code_takes_the_place_of_the_first)
{
	char first[ACCOUNTS_CODE_SIZE], second[ACCOUNTS_CODE_SIZE];

	create(address);
	ck_assert(accounts_make_code(accounts, address, MINUTE_MS, first));
	ck_assert(accounts_make_code(accounts, address, 2 * MINUTE_MS, second));
	ck_assert_str_ne(first, second);
	ck_assert(!use(first, 2 * MINUTE_MS));
	ck_assert(use(second, 2 * MINUTE_MS));
	ck_assert(!use(second, 2 * MINUTE_MS));
}
END_TEST

START_TEST(codes_are_for_accounts_that_may_log_in)
{
	char code[ACCOUNTS_CODE_SIZE];
	struct slice name = create(address);
	const struct slice eve = SLICE_LITERAL("eve@example.org");

	ck_assert(!accounts_make_code(accounts, eve, MINUTE_MS, code));
	ck_assert(!accounts_make_code(accounts, SLICE_LITERAL("none"), MINUTE_MS, code));
	ck_assert(accounts_make_code(accounts, address, MINUTE_MS, code));
	ck_assert(!accounts_use_code(accounts, eve, slice_text(code), SLICE_LITERAL("x"), MINUTE_MS,
				     &failure));
	ck_assert(accounts_set_flag(accounts, name, ACCOUNT_DISABLED, true, &failure));
	ck_assert(!use(code, MINUTE_MS));
	ck_assert(!accounts_make_code(accounts, address, 3 * MINUTE_MS, code));
	ck_assert(accounts_set_flag(accounts, name, ACCOUNT_DISABLED, false, &failure));
	reopen(); /* codes are in RAM only */
	ck_assert(!use(code, MINUTE_MS));
	ck_assert(comes_in(name, password));
}
END_TEST

Suite *accounts_suite(void)
{
	const TTest *const tests[] = {all_of_it_is_there_after_a_restart,
				      who_objects_is_not_recognised,
				      what_is_deleted_is_gone,
				      who_is_deleted_is_out_whatever_becomes_of_the_key,
				      what_failed_has_not_happened,
				      another_password_ends_what_came_with_the_old,
				      a_password_is_hashed_anew_when_the_cost_changes,
				      a_key_ends_in_time,
				      a_key_that_ended_stays_so,
				      an_account_has_so_many_keys_at_most,
				      a_code_is_good_for_15_minutes,
				      a_code_has_five_tries,
				      a_later_code_takes_the_place_of_the_first,
				      codes_are_for_accounts_that_may_log_in};
	Suite *suite = suite_create("accounts");
	TCase *tcase = tcase_create("accounts");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, begin, end);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}
