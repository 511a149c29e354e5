/* test_account_rights.c - rights of accounts: granted, withdrawn, asked. */
#include "auth/account_rights.h"
#include "tests/unit/packets.h"

static struct failure failure;
static struct account_rights *rights;

static void grant(const char *access, const char *filter)
{
	struct account_rights *more =
	    account_rights_with(rights, access, slice_text(filter), &failure);

	ck_assert_msg(more != NULL, "%s", failure.text);
	account_rights_leave(rights);
	rights = more;
}

static void withdraw(const char *filter)
{
	struct account_rights *less = account_rights_without(rights, slice_text(filter), &failure);

	ck_assert_msg(less != NULL, "%s", failure.text);
	account_rights_leave(rights);
	rights = less;
}

static enum acl_opinion ask(enum auth_right right, const char *topic)
{
	static const struct slice user = {(const uint8_t *)"acct-0123456789abcdef", 21};
	struct acl_question question = {.user = &user,
					.client_id = SLICE_LITERAL("c1"),
					.right = right,
					.topic = slice_text(topic)};

	return account_rights_ask(rights, &question);
}

START_TEST(what_is_granted_is_allowed)
{
	grant("read", "a/#");
	grant("write", "b/+/c");
	grant("readwrite", "home/%u/%c/#");
	grant("read", "a topic/with blanks");
	ck_assert_int_eq(ask(AUTH_READ, "a/x"), ACL_ALLOWS);
	ck_assert_int_eq(ask(AUTH_WRITE, "a/x"), ACL_SILENT);
	ck_assert_int_eq(ask(AUTH_WRITE, "b/x/c"), ACL_ALLOWS);
	ck_assert_int_eq(ask(AUTH_READ, "b/x/c"), ACL_SILENT);
	ck_assert_int_eq(ask(AUTH_WRITE, "home/acct-0123456789abcdef/c1/x"), ACL_ALLOWS);
	ck_assert_int_eq(ask(AUTH_WRITE, "home/acct-0123456789abcdef/c2/x"), ACL_SILENT);
	ck_assert_int_eq(ask(AUTH_READ, "a topic/with blanks"), ACL_ALLOWS);
	ck_assert_int_eq(ask(AUTH_READ, "z"), ACL_SILENT);
	account_rights_leave(rights);
}
END_TEST

/* Whatever the order in which they were granted, and with %c in it or not. */
START_TEST(what_is_denied_comes_first)
{
	grant("readwrite", "#");
	grant("deny", "a/%c");
	grant("deny", "b");
	ck_assert_int_eq(ask(AUTH_READ, "a/c1"), ACL_DENIES);
	ck_assert_int_eq(ask(AUTH_READ, "a/c2"), ACL_ALLOWS);
	ck_assert_int_eq(ask(AUTH_WRITE, "b"), ACL_DENIES);
	ck_assert_int_eq(ask(AUTH_READ, "$SYS/broker/uptime"), ACL_SILENT);
	account_rights_leave(rights);
}
END_TEST

START_TEST(a_filter_has_one_line)
{
	struct slice access, filter;
	size_t at = 0;

	grant("read", "a");
	grant("read", "b");
	grant("write", "a");
	ck_assert_int_eq(ask(AUTH_READ, "a"), ACL_SILENT);
	ck_assert_int_eq(ask(AUTH_WRITE, "a"), ACL_ALLOWS);
	ck_assert(account_rights_next(rights, &at, &access, &filter));
	ck_assert(slice_equal(access, SLICE_LITERAL("read")));
	ck_assert(slice_equal(filter, SLICE_LITERAL("b")));
	ck_assert(account_rights_next(rights, &at, &access, &filter));
	ck_assert(slice_equal(access, SLICE_LITERAL("write")));
	ck_assert(slice_equal(filter, SLICE_LITERAL("a")));
	ck_assert(!account_rights_next(rights, &at, &access, &filter));
	account_rights_leave(rights);
}
END_TEST

START_TEST(without_a_line_nothing_is_allowed)
{
	size_t at = 0;
	struct slice access, filter;

	grant("readwrite", "a");
	withdraw("a");
	ck_assert_ptr_nonnull(rights);
	ck_assert_int_eq(ask(AUTH_READ, "a"), ACL_SILENT);
	ck_assert(!account_rights_next(rights, &at, &access, &filter));
	ck_assert_ptr_null(account_rights_without(rights, SLICE_LITERAL("a"), &failure));
	ck_assert_ptr_null(account_rights_without(NULL, SLICE_LITERAL("a"), &failure));
	account_rights_leave(rights);
}
END_TEST

static const struct {
	const char *access, *filter;
} wrong[] = {
    {"all", "a"},    {"", "a"},		{"read", ""},
    {"read", " a"},  {"read", "a "},	{"read", "a\npattern readwrite #"},
    {"read", "a\r"}, {"read", "a\x7f"}, {"read", "a/#/b"},
    {"read", "a+"},  {"read", "\xff"},
};

START_TEST(what_is_wrong_is_refused)
{
	failure.text[0] = '\0';
	ck_assert_ptr_null(
	    account_rights_with(NULL, wrong[_i].access, slice_text(wrong[_i].filter), &failure));
	ck_assert_str_ne(failure.text, "");
}
END_TEST

START_TEST(rights_have_a_longest_text)
{
	static char filter[ACCOUNT_RIGHTS_MAX / 2];

	memset(filter, 'x', sizeof filter - 1);
	grant("read", filter);
	filter[0] = 'y';
	ck_assert_ptr_null(account_rights_with(rights, "read", slice_text(filter), &failure));
	account_rights_leave(rights);
}
END_TEST

Suite *account_rights_suite(void);
Suite *account_rights_suite(void)
{
	Suite *suite = suite_create("account_rights");
	TCase *tests = tcase_create("account_rights");

	tcase_add_test(tests, what_is_granted_is_allowed);
	tcase_add_test(tests, what_is_denied_comes_first);
	tcase_add_test(tests, a_filter_has_one_line);
	tcase_add_test(tests, without_a_line_nothing_is_allowed);
	tcase_add_loop_test(tests, what_is_wrong_is_refused, 0, COUNT_OF(wrong));
	tcase_add_test(tests, rights_have_a_longest_text);
	suite_add_tcase(suite, tests);
	return suite;
}
