#include <signal.h>

#include "tests/unit/packets.h"

START_TEST(slices_compare_by_content)
{
	const char other[] = "abc";

	ck_assert(slice_equal(SLICE_LITERAL("abc"), slice_text(other)));
	ck_assert(!slice_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("abd")));
	ck_assert(!slice_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("ab")));
	ck_assert(slice_equal(SLICE_NONE, SLICE_LITERAL("")));
	ck_assert(slice_equal(slice_after(SLICE_LITERAL("abc"), 2), SLICE_LITERAL("c")));
	ck_assert_uint_eq(slice_after(SLICE_NONE, 0).len, 0);
}
END_TEST

START_TEST(failure_collects_context)
{
	struct failure failure;

	ck_assert(!failure_set(&failure, "port %d is taken", 1883));
	ck_assert(!failure_context(&failure, "listener %s", "tcp"));
	ck_assert(!failure_context(&failure, "start"));
	ck_assert_str_eq(failure.text, "start: listener tcp: port 1883 is taken");
}
END_TEST

START_TEST(failure_is_cut_not_overrun)
{
	struct failure failure;
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	failure_set(&failure, "%s", text);
	ck_assert_uint_eq(strlen(failure.text), sizeof(failure.text) - 1);
	failure_context(&failure, "begin");
	ck_assert_uint_eq(strlen(failure.text), sizeof(failure.text) - 1);
	ck_assert(strncmp(failure.text, "begin: xxx", 10) == 0);
	failure_context(&failure, "%s", text);
	ck_assert_uint_eq(strlen(failure.text), sizeof(failure.text) - 1);
}
END_TEST

static void leave_if_noted(int signal)
{
	(void)signal;
	/* "file:line: condition"; another status says that it was not so. */
	_Exit(strstr(must_failed_text, "test_base.c:") && strstr(must_failed_text, ": 1 + 1 == 3")
		  ? 42
		  : 1);
}

START_TEST(must_notes_and_aborts)
{
	signal(SIGABRT, leave_if_noted);
	must(1 + 1 == 2);
	must(1 + 1 == 3);
}
END_TEST

Suite *base_suite(void)
{
	Suite *suite = suite_create("base");
	TCase *tcase = tcase_create("base");

	tcase_add_test(tcase, slices_compare_by_content);
	tcase_add_test(tcase, failure_collects_context);
	tcase_add_test(tcase, failure_is_cut_not_overrun);
	tcase_add_exit_test(tcase, must_notes_and_aborts, 42);
	suite_add_tcase(suite, tcase);
	return suite;
}
