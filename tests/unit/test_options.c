/*
 * test_options.c - the command line, and the tasks that only print.
 */
#include "proto/version.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/core/crash.h"
#include "broker/log.h"
#include "broker/options.h"

#define WORDS_MAX 12

static bool parse(struct options *options, struct failure *failure, const char *const *words)
{
	char copies[WORDS_MAX][64];
	char *argv[WORDS_MAX + 1] = {NULL};
	int argc = 0;
	for (; argc < WORDS_MAX && words[argc]; argc++) {
		snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc]);
		argv[argc] = copies[argc];
	}
	failure->text[0] = '\0';
	const bool right = options_parse(options, argc, argv, failure);
	/* What is borrowed from argv must not outlive it here. */
	if (right && options->config_file)
		options->config_file = strcmp(options->config_file, "a.conf") == 0 ? "a.conf" : "?";
	return right;
}

static const struct option_case {
	const char *words[WORDS_MAX];
	struct options expected;
} right_cases[] = {
    {{"metrinod"}, {.task = OPTIONS_RUN}},
    {{"metrinod", "-c", "a.conf"}, {.config_file = "a.conf"}},
    {{"metrinod", "--config-file", "a.conf", "-d"}, {.config_file = "a.conf", .daemon = true}},
    {{"metrinod", "--config-file=a.conf", "-v"}, {.config_file = "a.conf", .verbose = true}},
    {{"metrinod", "-p", "1"}, {.ports = {1, {1}}}},
    {{"metrinod", "-p", "2", "--port=1"}, {.ports = {2, {2, 1}}}},
    {{"metrinod", "-v", "-q"}, {.verbose = true, .quiet = true}},
    {{"metrinod", "--port", "65535", "--quiet"}, {.ports = {1, {65535}}, .quiet = true}},
    {{"metrinod", "-dv"}, {.daemon = true, .verbose = true}},
    {{"metrinod", "--test-config", "-c", "a.conf"},
     {.task = OPTIONS_TEST_CONFIG, .config_file = "a.conf"}},
    {{"metrinod", "--example-config"}, {.task = OPTIONS_EXAMPLE_CONFIG}},
    {{"metrinod", "--config-manual"}, {.task = OPTIONS_CONFIG_MANUAL}},
    {{"metrinod", "--crash-steps"}, {.task = OPTIONS_CRASH_STEPS}},
    {{"metrinod", "-h"}, {.task = OPTIONS_HELP}},
    {{"metrinod", "--version"}, {.task = OPTIONS_VERSION}},
};

START_TEST(test_right)
{
	const struct option_case *row = &right_cases[_i];
	struct options options;
	struct failure failure;
	ck_assert_msg(parse(&options, &failure, row->words), "%s", failure.text);
	ck_assert_int_eq(options.task, row->expected.task);
	ck_assert_pstr_eq(options.config_file, row->expected.config_file);
	ck_assert_uint_eq(options.ports.count, row->expected.ports.count);
	for (size_t i = 0; i < options.ports.count; i++)
		ck_assert_uint_eq(options.ports.at[i], row->expected.ports.at[i]);
	ck_assert(options.verbose == row->expected.verbose);
	ck_assert(options.quiet == row->expected.quiet);
	ck_assert(options.daemon == row->expected.daemon);
}
END_TEST

static const struct wrong_case {
	const char *words[WORDS_MAX];
	const char *says;
} wrong_cases[] = {
    {{"metrinod", "-p", "0"}, "-p '0' is not a port; right would be 1 to 65535"},
    {{"metrinod", "-p", "65536"}, "is not a port"},
    {{"metrinod", "-p", "99999999999999999999"}, "is not a port"},
    {{"metrinod", "-p", " 1"}, "is not a port"},
    {{"metrinod", "-p", "1883x"}, "is not a port"},
    {{"metrinod", "-p"}, "-p needs a value; see metrinod --help"},
    {{"metrinod", "--config-file"}, "--config-file needs a value"},
    {{"metrinod", "-z"}, "-z is not an option"},
    {{"metrinod", "-v", "--colour"}, "--colour is not an option"},
    {{"metrinod", "a.conf"},
     "'a.conf' is not understood; a configuration file is given as -c FILE"},
    {{"metrinod", "-p", "1", "-p", "1"}, "-p 1 is there twice; leave one out"},
    {{"metrinod", "-p1", "-p2", "-p3", "-p4", "-p5", "-p6", "-p7", "-p8", "-p9", "-p10", "-p11"},
     "-p is there more than 10 times; right would be `listener PORT` lines"},
    {{"metrinod", "--tls-keylog", "f"}, "--tls-keylog is not offered"},
    {{"metrinod", "--tls-keylog"}, "--tls-keylog needs a value"},
};

START_TEST(test_wrong)
{
	const struct wrong_case *row = &wrong_cases[_i];
	struct options options;
	struct failure failure;
	ck_assert(!parse(&options, &failure, row->words));
	ck_assert_msg(strstr(failure.text, row->says) != NULL, "'%s' is not in: %s", row->says,
		      failure.text);
}
END_TEST

static char path[] = "/tmp/metrino-options-XXXXXX";

static void make_file(const char *text)
{
	const int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	ck_assert_int_eq(setenv("STATE_DIRECTORY", "/state", 1), 0);
}

/* -v shows everything on stderr, whatever the file says; -q leaves errors only. */
START_TEST(test_verbose_and_quiet)
{
	char *problems = NULL;
	make_file("log_dest none\nlog_type warning\nlog_type error\n");
	struct options options = {.config_file = path, .verbose = true};
	struct config *config = options_read_config(&options, &problems);
	ck_assert_ptr_nonnull(config);
	ck_assert(config->log_stderr && config->log_types == LOG_TYPES_ALL);
	config_destroy(config);
	options = (struct options){.config_file = path, .quiet = true};
	config = options_read_config(&options, &problems);
	ck_assert(!config->log_stderr && config->log_types == LOG_TYPE(LOG_LEVEL_ERROR));
	config_destroy(config);
	options.verbose = true;
	config = options_read_config(&options, &problems);
	ck_assert(config->log_stderr && config->log_types == LOG_TYPE(LOG_LEVEL_ERROR));
	config_destroy(config);
	unlink(path);
}
END_TEST

START_TEST(test_without_a_file)
{
	char *problems = NULL;
	ck_assert_int_eq(setenv("STATE_DIRECTORY", "/state", 1), 0);
	const struct options options = {.ports = {1, {1999}}};
	struct config *config = options_read_config(&options, &problems);
	ck_assert_ptr_nonnull(config);
	ck_assert(config->embedded_default && config->listeners[0].port == 1999);
	config_destroy(config);
}
END_TEST

/* Does a task with stdout or stderr in a file; returns its exit code and what it printed. */
static int print_task(const struct options *options, FILE *stream, char text[4096])
{
	FILE *file = tmpfile();
	ck_assert_ptr_nonnull(file);
	fflush(stream);
	const int kept = dup(fileno(stream));
	dup2(fileno(file), fileno(stream));
	const int code = options_do_task(options);
	fflush(stream);
	dup2(kept, fileno(stream));
	close(kept);
	rewind(file);
	text[fread(text, 1, 4095, file)] = '\0';
	fclose(file);
	return code;
}

START_TEST(test_test_config)
{
	char text[4096];
	make_file("listener 1884 127.0.0.1\nallow_anonymous true\nadmin_listener 8080\n");
	struct options options = {.task = OPTIONS_TEST_CONFIG, .config_file = path};
	ck_assert_int_eq(print_task(&options, stdout, text), 0);
	ck_assert_ptr_nonnull(strstr(text, "listener 1: port 1884 on 127.0.0.1; anyone"));
	ck_assert_ptr_nonnull(strstr(text, "admin listener: port 8080 on 127.0.0.1\n"));
	ck_assert_ptr_nonnull(strstr(text, "configuration is right\n"));
	unlink(path);
	strcpy(path, "/tmp/metrino-options-XXXXXX");
	make_file("max_qos 7\nmax_qs 1\n");
	ck_assert_int_eq(print_task(&options, stderr, text), OPTIONS_EXIT_WRONG);
	ck_assert_ptr_nonnull(strstr(text, ":1: max_qos: '7' is not possible"));
	ck_assert_ptr_nonnull(strstr(text, ":2: max_qs: is not a key"));
	unlink(path);
}
END_TEST

/* Who has five files wrong would not like to start five times. */
START_TEST(test_test_config_looks_at_every_file)
{
	static const char *const files[] = {
	    "password_file: ", "acl_file: ", "key_file: ", "admin_token_file \"/nowhere/token\": ",
	    "listener 1884: certfile "};
	char text[4096];
	make_file("password_file /nowhere/users\nacl_file /nowhere/rights\nkey_file /nowhere/key\n"
		  "admin_listener 8080\nadmin_token_file /nowhere/token\n"
		  "listener 1884 127.0.0.1\ncertfile /nowhere/crt\nkeyfile /nowhere/key\n");
	struct options options = {.task = OPTIONS_TEST_CONFIG, .config_file = path};
	ck_assert_int_eq(print_task(&options, stderr, text), OPTIONS_EXIT_WRONG);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		ck_assert_msg(strstr(text, files[i]) != NULL, "%s is not in: %s", files[i], text);
	unlink(path);
}
END_TEST

/* An account gets in without any file of passwords; without a place for accounts nobody does. */
START_TEST(test_test_config_says_who_may_connect)
{
	char text[4096];
	struct options options = {.task = OPTIONS_TEST_CONFIG, .config_file = path};
	make_file("listener 1884 127.0.0.1\nprotocol websockets\nlog_listener 8081\n");
	ck_assert_int_eq(print_task(&options, stdout, text), 0);
	ck_assert_ptr_nonnull(strstr(text, "on 127.0.0.1, WebSocket; accounts may connect\n"));
	ck_assert_ptr_nonnull(strstr(text, "log listener: port 8081 on 127.0.0.1\n"));
	unlink(path);
	strcpy(path, "/tmp/metrino-options-XXXXXX");
	make_file("listener 1884 127.0.0.1\npersistence false\n");
	ck_assert_int_eq(print_task(&options, stdout, text), 0);
	ck_assert_ptr_nonnull(strstr(text, "on 127.0.0.1; nobody may connect\n"));
	unlink(path);
}
END_TEST

START_TEST(test_help_and_version)
{
	char text[4096];
	ck_assert_int_eq(print_task(&(struct options){.task = OPTIONS_HELP}, stdout, text), 0);
	ck_assert_ptr_nonnull(strstr(text, "--test-config"));
	ck_assert_int_eq(print_task(&(struct options){.task = OPTIONS_VERSION}, stdout, text), 0);
	ck_assert_str_eq(text, "metrinod " METRINO_VERSION "\n");
}
END_TEST

/* The chaos harness takes the exit code for the answer to "is this the build for you?". */
START_TEST(test_crash_steps)
{
	char text[4096];
	const struct options options = {.task = OPTIONS_CRASH_STEPS};
	ck_assert_int_eq(print_task(&options, CRASH_BUILD ? stdout : stderr, text), !CRASH_BUILD);
	ck_assert_ptr_nonnull(strstr(text, CRASH_BUILD ? "\ncommit_done\n" : "make all-chaos"));
}
END_TEST

Suite *options_suite(void)
{
	Suite *suite = suite_create("options");
	TCase *lines = tcase_create("command lines");
	tcase_add_loop_test(lines, test_right, 0, sizeof(right_cases) / sizeof(right_cases[0]));
	tcase_add_loop_test(lines, test_wrong, 0, sizeof(wrong_cases) / sizeof(wrong_cases[0]));
	suite_add_tcase(suite, lines);
	TCase *tasks = tcase_create("tasks");
	tcase_add_test(tasks, test_verbose_and_quiet);
	tcase_add_test(tasks, test_without_a_file);
	tcase_add_test(tasks, test_test_config);
	tcase_add_test(tasks, test_test_config_looks_at_every_file);
	tcase_add_test(tasks, test_test_config_says_who_may_connect);
	tcase_add_test(tasks, test_help_and_version);
	tcase_add_test(tasks, test_crash_steps);
	suite_add_tcase(suite, tasks);
	return suite;
}
