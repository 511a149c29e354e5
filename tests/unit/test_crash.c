/*
 * test_crash.c - the steps at which the process ends itself.  check forks for each
 * test, so each reads its own environment.
 */
#include "broker/core/crash.h"
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void choose(const char *name, const char *skip)
{
	setenv("METRINO_CRASH_AT", name, 1);
	if (skip)
		setenv("METRINO_CRASH_SKIP", skip, 1);
	else
		unsetenv("METRINO_CRASH_SKIP");
}

/* The tests that end by SIGKILL must not get past the call that does it. */
static void must_be_dead(void)
{
	_exit(1);
}

START_TEST(test_other_steps_pass)
{
	choose("publish_came", NULL);
	for (int step = 0; step < CRASH_STEPS; step++) {
		if (step == CRASH_publish_came)
			continue;
		crash_at((enum crash_step)step);
		crash_after_write((enum crash_step)step);
	}
	crash_written();
}
END_TEST

START_TEST(test_nothing_chosen)
{
	unsetenv("METRINO_CRASH_AT");
	for (int step = 0; step < CRASH_STEPS; step++) {
		crash_at((enum crash_step)step);
		crash_after_write((enum crash_step)step);
	}
	crash_written();
}
END_TEST

START_TEST(test_unknown_step)
{
	choose("publish_went", NULL);
	crash_at(CRASH_publish_came);
}
END_TEST

START_TEST(test_at_once)
{
	choose("commit_done", NULL);
	crash_at(CRASH_commit_done);
	must_be_dead();
}
END_TEST

START_TEST(test_skip)
{
	choose("commit_done", "3");
	for (int i = 0; i < 3; i++)
		crash_at(CRASH_commit_done);
}
END_TEST

START_TEST(test_skip_is_over)
{
	choose("commit_done", "3");
	for (int i = 0; i < 4; i++)
		crash_at(CRASH_commit_done);
	must_be_dead();
}
END_TEST

START_TEST(test_waits_for_the_write)
{
	choose("pubrel_sent", NULL);
	crash_written();
	crash_after_write(CRASH_pubrel_sent);
}
END_TEST

START_TEST(test_after_the_write)
{
	choose("pubrel_sent", "1");
	crash_after_write(CRASH_pubrel_sent);
	crash_written();
	crash_after_write(CRASH_pubrel_sent);
	crash_written();
	must_be_dead();
}
END_TEST

static void *mark(void *unused)
{
	(void)unused;
	crash_after_write(CRASH_pubrel_sent);
	return NULL;
}

/* The mark is the thread's whose bytes wait. */
START_TEST(test_write_of_another_thread)
{
	pthread_t thread;
	choose("pubrel_sent", NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, mark, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	crash_written();
}
END_TEST

/* What is shipped has nothing of all this. */
START_TEST(test_macros)
{
	choose(CRASH_BUILD ? "no_step" : "commit_done", NULL);
	CRASH_AT(commit_done);
	CRASH_AFTER_WRITE(commit_done);
	CRASH_WRITTEN();
}
END_TEST

Suite *crash_suite(void)
{
	Suite *suite = suite_create("crash");
	TCase *steps = tcase_create("steps");
	tcase_add_test(steps, test_other_steps_pass);
	tcase_add_test(steps, test_nothing_chosen);
	tcase_add_test(steps, test_unknown_step);
	tcase_add_test_raise_signal(steps, test_at_once, SIGKILL);
	tcase_add_test(steps, test_skip);
	tcase_add_test_raise_signal(steps, test_skip_is_over, SIGKILL);
	tcase_add_test(steps, test_waits_for_the_write);
	tcase_add_test_raise_signal(steps, test_after_the_write, SIGKILL);
	tcase_add_test(steps, test_write_of_another_thread);
	tcase_add_test(steps, test_macros);
	suite_add_tcase(suite, steps);
	return suite;
}
