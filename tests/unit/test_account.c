/* test_account.c - accounts and device keys: names, addresses, rows, rights, and the table. */
#include "auth/account_table.h"
#include "tests/unit/packets.h"

static struct failure failure;

/* ---- names and addresses ---- */

START_TEST(names_are_random_and_known_by_their_form)
{
	char name[ACCOUNT_NAME_SIZE], other[ACCOUNT_NAME_SIZE], id[ACCOUNT_ID_SIZE];

	account_make_name(name);
	account_make_name(other);
	account_make_id(id);
	ck_assert_uint_eq(strlen(name), 21);
	ck_assert_str_ne(name, other);
	ck_assert(account_is_name(slice_text(name)) && !account_is_id(slice_text(name)));
	ck_assert(account_is_id(slice_text(id)) && !account_is_name(slice_text(id)));
}
END_TEST

static const char *const other_names[] = {
    "",
    "acct-",
    "bob",
    "acct-0123456789abcde",	/* one too few */
    "acct-0123456789abcdef0",	/* one too many */
    "acct-0123456789abcdeu",	/* no digit of ours */
    "acct-0123456789abcdeF",	/* likewise */
    "Acct-0123456789abcdef",	/* another beginning */
    "acct:0123456789abcdef",	/* likewise */
    "acct-0123456789abcde\xc3", /* likewise */
};

START_TEST(other_names_are_none)
{
	ck_assert(!account_is_name(slice_text(other_names[_i])));
	ck_assert(!account_is_id(slice_text(other_names[_i])));
	ck_assert(account_is_name(SLICE_LITERAL("acct-0123456789abcdef")));
	ck_assert(!account_is_name(SLICE_LITERAL("acct-0123456789abcde\0")));
	ck_assert(account_is_id(SLICE_LITERAL("key-0123456789abcdef")));
}
END_TEST

static const struct {
	const char *address, *lower; /* NULL: it is none */
} addresses[] = {
    {"Ann.Example@Example.ORG", "ann.example@example.org"},
    {"a@b", "a@b"},
    {"j\xc3\xb6rg@example.org", "j\xc3\xb6rg@example.org"},
    {"", NULL},
    {"ann", NULL},
    {"@example.org", NULL},
    {"ann@", NULL},
    {"ann@b@c", NULL},
    {"ann @example.org", NULL},
    {"ann@example.org\nBcc: eve@example.org", NULL},
    {"Ann <ann@example.org>", NULL},
    {"ann@example.org,eve@example.org", NULL},
    {"ann\xff@example.org", NULL},
};

START_TEST(addresses_are_lower_cased_or_refused)
{
	uint8_t lower[ACCOUNT_ADDRESS_MAX];
	size_t len = 0;
	bool good = account_lower_address(slice_text(addresses[_i].address), lower, &len);

	ck_assert_int_eq(good, addresses[_i].lower != NULL);
	if (good)
		ck_assert(slice_equal(slice_of(lower, len), slice_text(addresses[_i].lower)));
}
END_TEST

START_TEST(an_address_has_254_bytes_at_most)
{
	uint8_t text[ACCOUNT_ADDRESS_MAX + 1], lower[ACCOUNT_ADDRESS_MAX];
	size_t len;

	memset(text, 'a', sizeof text);
	text[1] = '@';
	ck_assert(account_lower_address(slice_of(text, sizeof text - 1), lower, &len));
	ck_assert(!account_lower_address(slice_of(text, sizeof text), lower, &len));
}
END_TEST

/* ---- rows ---- */

static struct account_rights *with(struct account_rights *rights, const char *access,
				   const char *filter)
{
	struct account_rights *more =
	    account_rights_with(rights, access, slice_text(filter), &failure);

	ck_assert_msg(more != NULL, "%s", failure.text);
	account_rights_leave(rights);
	return more;
}

static struct account *make_account(void)
{
	const char *wrong;
	struct account *account = account_create();

	account->flags = ACCOUNT_NO_STATS | ACCOUNT_HAS_ADDRESS | ACCOUNT_HAS_PASSWORD;
	memset(account->address, 7, sizeof account->address);
	ck_assert(password_read(SLICE_LITERAL("$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$"
					      "bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"),
				&account->password, &wrong));
	account->rights = with(with(NULL, "read", "a/#"), "deny", "a/b");
	return account;
}

static size_t write_key(const struct account_key *key, uint8_t body[ACCOUNT_BODY_MAX])
{
	return account_key_write(key, 42, body);
}

START_TEST(an_account_is_read_as_it_was_written)
{
	static uint8_t body[ACCOUNT_BODY_MAX];
	struct account *account = make_account();
	size_t len = account_write(account, body);
	struct account *again = account_read(account->row, slice_of(body, len), &failure);

	ck_assert_ptr_nonnull(again);
	ck_assert_str_eq(again->name, account->name);
	ck_assert_uint_eq(again->flags, account->flags);
	ck_assert_uint_eq(again->row, account->row);
	ck_assert_mem_eq(again->secret, account->secret, sizeof account->secret);
	ck_assert_mem_eq(again->address, account->address, sizeof account->address);
	ck_assert_mem_eq(&again->password, &account->password, sizeof account->password);
	ck_assert(
	    slice_equal(account_rights_text(again->rights), account_rights_text(account->rights)));
	account_destroy(account);
	account_destroy(again);
}
END_TEST

START_TEST(a_key_is_read_as_it_was_written)
{
	static uint8_t body[ACCOUNT_BODY_MAX];
	char secret[ACCOUNT_KEY_SECRET_SIZE];
	uint64_t account = 0;
	struct account_key *key = account_key_create(secret);

	key->ends_s = 1234567890123;
	key->scope = with(NULL, "write", "up/%c");
	size_t len = write_key(key, body);
	struct account_key *again =
	    account_key_read(key->row, slice_of(body, len), &account, &failure);

	ck_assert_ptr_nonnull(again);
	ck_assert_uint_eq(account, 42);
	ck_assert_str_eq(again->id, key->id);
	ck_assert_uint_eq(again->ends_s, key->ends_s);
	ck_assert_mem_eq(&again->record, &key->record, sizeof key->record);
	ck_assert(scram_record_fits(&again->record, slice_text(secret)));
	ck_assert_ptr_nonnull(again->scope);
	ck_assert_uint_eq(strlen(secret), 43);
	ck_assert(memmem(body, len, secret, 43) == NULL);
	account_key_destroy(key);
	account_key_destroy(again);
}
END_TEST

/* Rights without a line allow nothing; no rights at all are something else. */
START_TEST(no_rights_and_rights_without_a_line_differ)
{
	static uint8_t body[ACCOUNT_BODY_MAX];
	struct account *account = account_create();
	size_t len = account_write(account, body);
	struct account *again = account_read(1, slice_of(body, len), &failure);

	ck_assert_ptr_null(again->rights);
	account_destroy(again);
	account->rights = account_rights_read(SLICE_NONE, &failure);
	len = account_write(account, body);
	again = account_read(1, slice_of(body, len), &failure);
	ck_assert_ptr_nonnull(again->rights);
	account_destroy(again);
	account_destroy(account);
}
END_TEST

/* Cut off anywhere, or with any byte of its head another: refused, or nothing more allowed. */
START_TEST(what_is_cut_off_is_refused)
{
	static uint8_t body[ACCOUNT_BODY_MAX];
	char secret[ACCOUNT_KEY_SECRET_SIZE];
	uint64_t row;
	struct account *account = make_account();
	struct account_key *key = account_key_create(secret);
	size_t len = account_write(account, body);

	for (size_t i = 0; i < len; i++) {
		struct slice part = bytes_copy(slice_of(body, i));
		ck_assert_ptr_null(account_read(1, part, &failure));
		bytes_free(part);
	}
	body[len] = 0;
	ck_assert_ptr_null(account_read(1, slice_of(body, len + 1), &failure));
	body[1] &= (uint8_t)~32u; /* says that there are no rights, and has some */
	ck_assert_ptr_null(account_read(1, slice_of(body, len), &failure));
	body[1] |= 32u;
	body[1] &= (uint8_t)~ACCOUNT_HAS_PASSWORD;
	ck_assert_ptr_null(account_read(1, slice_of(body, len), &failure));
	body[1] |= ACCOUNT_HAS_PASSWORD;
	body[0]++;
	ck_assert_ptr_null(account_read(1, slice_of(body, len), &failure));
	len = write_key(key, body);
	for (size_t i = 0; i < len; i++) {
		struct slice part = bytes_copy(slice_of(body, i));
		ck_assert_ptr_null(account_key_read(1, part, &row, &failure));
		bytes_free(part);
	}
	account_destroy(account);
	account_key_destroy(key);
}
END_TEST

/* ---- the table ---- */

static struct account *add(struct account_table *table, int address)
{
	struct account *account = account_create();

	if (address) {
		account->flags |= ACCOUNT_HAS_ADDRESS;
		memset(account->address, address, sizeof account->address);
	}
	ck_assert(account_table_add(table, account));
	return account;
}

static void count_up(void *self, const struct account *account)
{
	ck_assert(account_is_name(slice_text(account->name)));
	++*(size_t *)self;
}

START_TEST(accounts_are_found_until_they_are_removed)
{
	struct account_table *table = account_table_create();
	struct account *ann = add(table, 1), *bob = add(table, 2), *eve = add(table, 0);
	uint8_t address[ACCOUNT_HASH_SIZE];
	size_t count = 0;

	memset(address, 2, sizeof address);
	ck_assert_ptr_eq(account_table_by_name(table, slice_text(ann->name)), ann);
	ck_assert_ptr_eq(account_table_by_row(table, eve->row), eve);
	ck_assert_ptr_eq(account_table_by_address(table, address), bob);
	account_table_each(table, &count, count_up);
	ck_assert_uint_eq(count, 3);
	char name[ACCOUNT_NAME_SIZE];
	uint64_t row = bob->row;
	memcpy(name, bob->name, sizeof name);
	account_table_remove(table, bob);
	ck_assert_ptr_null(account_table_by_name(table, slice_text(name)));
	ck_assert_ptr_null(account_table_by_row(table, row));
	ck_assert_ptr_null(account_table_by_address(table, address));
	memset(address, 0, sizeof address); /* an account without one has not this one */
	ck_assert_ptr_null(account_table_by_address(table, address));
	ck_assert_ptr_null(account_table_by_name(table, SLICE_NONE));
	ck_assert_uint_eq(account_table_count(table), 2);
	account_table_destroy(table);
}
END_TEST

START_TEST(an_address_belongs_to_one_account)
{
	struct account_table *table = account_table_create();
	struct account *ann = add(table, 1), *bob = add(table, 2), *late = account_create();
	uint8_t address[ACCOUNT_HASH_SIZE];

	late->flags |= ACCOUNT_HAS_ADDRESS;
	memset(late->address, 1, sizeof late->address);
	ck_assert(!account_table_add(table, late));
	memset(address, 1, sizeof address);
	ck_assert(!account_table_set_address(table, bob, address));
	ck_assert(account_table_set_address(table, ann, address));
	ck_assert(account_table_set_address(table, ann, NULL));
	ck_assert_ptr_null(account_table_by_address(table, address));
	ck_assert(account_table_set_address(table, bob, address));
	ck_assert_ptr_eq(account_table_by_address(table, address), bob);
	memset(address, 2, sizeof address);
	ck_assert_ptr_null(account_table_by_address(table, address));
	account_destroy(late);
	account_table_destroy(table);
}
END_TEST

START_TEST(keys_go_with_their_account)
{
	struct account_table *table = account_table_create();
	struct account *ann = add(table, 0), *bob = add(table, 0), *whose;
	char secret[ACCOUNT_KEY_SECRET_SIZE], id[3][ACCOUNT_ID_SIZE];
	struct account_key *keys[3];
	uint64_t row;

	for (int i = 0; i < 3; i++) {
		keys[i] = account_key_create(secret);
		keys[i]->ends_s = (uint64_t)i * 100;
		memcpy(id[i], keys[i]->id, sizeof id[i]);
		ck_assert(account_table_add_key(table, i < 2 ? ann : bob, keys[i]));
	}
	ck_assert(!account_table_add_key(table, bob, keys[0]));
	ck_assert_uint_eq(account_table_next_end(table, 50), 100);
	ck_assert_uint_eq(account_table_next_end(table, 100), 200);
	ck_assert_uint_eq(account_table_next_end(table, 200), UINT64_MAX);
	ck_assert_ptr_eq(account_table_key(table, slice_text(id[1]), &whose), keys[1]);
	ck_assert_ptr_eq(whose, ann);
	row = keys[1]->row;
	ck_assert_ptr_eq(account_table_key_of(table, ann, row), keys[1]);
	ck_assert_ptr_null(account_table_key_of(table, bob, row));
	ck_assert_uint_eq(ann->key_count, 2);
	account_table_remove_key(table, ann, keys[1]);
	ck_assert_ptr_null(account_table_key(table, slice_text(id[1]), &whose));
	ck_assert_ptr_null(account_table_key_of(table, ann, row));
	ck_assert_ptr_null(whose);
	ck_assert_uint_eq(ann->key_count, 1);
	account_table_remove(table, ann);
	ck_assert_ptr_null(account_table_key(table, slice_text(id[0]), &whose));
	ck_assert_ptr_eq(account_table_key(table, slice_text(id[2]), &whose), keys[2]);
	ck_assert_ptr_eq(whose, bob);
	account_table_destroy(table);
}
END_TEST

static TCase *table_tests(void)
{
	TCase *tests = tcase_create("account_table");

	tcase_add_test(tests, accounts_are_found_until_they_are_removed);
	tcase_add_test(tests, an_address_belongs_to_one_account);
	tcase_add_test(tests, keys_go_with_their_account);
	return tests;
}

Suite *account_suite(void);
Suite *account_suite(void)
{
	Suite *suite = suite_create("account");
	TCase *tests = tcase_create("account");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, names_are_random_and_known_by_their_form);
	tcase_add_loop_test(tests, other_names_are_none, 0, COUNT_OF(other_names));
	tcase_add_loop_test(tests, addresses_are_lower_cased_or_refused, 0, COUNT_OF(addresses));
	tcase_add_test(tests, an_address_has_254_bytes_at_most);
	tcase_add_test(tests, an_account_is_read_as_it_was_written);
	tcase_add_test(tests, a_key_is_read_as_it_was_written);
	tcase_add_test(tests, no_rights_and_rights_without_a_line_differ);
	tcase_add_test(tests, what_is_cut_off_is_refused);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, table_tests());
	return suite;
}
