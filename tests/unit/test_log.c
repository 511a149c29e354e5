/*
 * test_log.c - what lines look like, where they go, and what they can not show.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/log.h"

static char path[64];
static struct config config;

static void make_file(void)
{
	strcpy(path, "/tmp/metrino-log-XXXXXX");
	close(mkstemp(path));
	config = (struct config){
	    .log_file = path, .log_types = LOG_TYPES_ALL, .log_facility = LOG_DAEMON};
}

static void remove_file(void)
{
	unlink(path);
}

static void open_log(void)
{
	struct failure failure;
	ck_assert_msg(log_open(&config, &failure), "%s", failure.text);
}

/* What stands in the file, to be freed. */
static char *lines_of(const char *file_path)
{
	char *text = calloc(1, 1 << 20);
	FILE *file = fopen(file_path, "r");
	ck_assert(text != NULL && file != NULL);
	ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, file), (1 << 20) - 1);
	fclose(file);
	return text;
}

static void assert_lines(const char *expected)
{
	char *text = lines_of(path);
	ck_assert_str_eq(text, expected);
	free(text);
}

START_TEST(test_text)
{
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "port %d is open", 1883);
	log_write_listener(LOG_LEVEL_ERROR, "listen", 0, "in use");
	log_count(LOG_LEVEL_INFO, "refused", 1, "not_authorized", 14, 60);
	log_count(LOG_LEVEL_INFO, "refused", 1, "not_authorized", 0, 60);
	assert_lines("notice: start: port 1883 is open\n"
		     "error: listen: listener 1: in use\n"
		     "info: refused: listener 2: not_authorized: 14 in 60 s\n");
	log_close();
}
END_TEST

START_TEST(test_json)
{
	config.log_format = LOG_FORMAT_JSON;
	open_log();
	log_write(LOG_LEVEL_WARNING, "start", "a \"path\\x\"\n\x7f");
	log_write_listener(LOG_LEVEL_DEBUG, "listen", 2, "open");
	log_count(LOG_LEVEL_INFO, "refused", 0, "quota", 3, 60);
	assert_lines(
	    "{\"level\":\"warning\",\"event\":\"start\","
	    "\"text\":\"a \\\"path\\\\x\\\"\\u000a\\u007f\"}\n"
	    "{\"level\":\"debug\",\"event\":\"listen\",\"listener\":3,\"text\":\"open\"}\n"
	    "{\"level\":\"info\",\"event\":\"refused\",\"listener\":1,\"reason\":\"quota\","
	    "\"count\":3,\"period_s\":60}\n");
	log_close();
}
END_TEST

/* JSON is UTF-8: a character that was cut, and bytes that are none, do not make a line unreadable.
 */
START_TEST(test_json_of_bytes)
{
	config.log_format = LOG_FORMAT_JSON;
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "Ger\xC3\xA4t \xE2\x82\xAC \xF0\x9F\x9A\xAA");
	log_write(LOG_LEVEL_NOTICE, "start", "'%.4s' \xFF\xE2\x82", "Ger\xC3\xA4t");
	assert_lines("{\"level\":\"notice\",\"event\":\"start\",\"text\":"
		     "\"Ger\xC3\xA4t \xE2\x82\xAC \xF0\x9F\x9A\xAA\"}\n"
		     "{\"level\":\"notice\",\"event\":\"start\",\"text\":"
		     "\"'Ger\\ufffd' \\ufffd\\ufffd\\ufffd\"}\n");
	log_close();
}
END_TEST

/* One event is one line, whatever the system put into its text. */
START_TEST(test_no_second_line)
{
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "a\nerror: forged: b\r\x1b[2J");
	assert_lines("notice: start: a error: forged: b  [2J\n");
	log_close();
}
END_TEST

START_TEST(test_time)
{
	config.log_timestamp = true;
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "x");
	char *text = lines_of(path);
	int year = 0, month = 0, used = 0;
	ck_assert_int_eq(
	    sscanf(text, "%4d-%2d-%*2dT%*2d:%*2d:%*2dZ: notice: start: x%n", &year, &month, &used),
	    2);
	ck_assert_int_eq(used, (int)strlen("2026-01-01T00:00:00Z: notice: start: x"));
	ck_assert_int_ge(year, 2024);
	free(text);
	ck_assert_int_eq(truncate(path, 0), 0);
	config.log_timestamp_format = "%%at";
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "x");
	assert_lines("%at: notice: start: x\n");
	log_close();
}
END_TEST

START_TEST(test_levels)
{
	config.log_types = LOG_TYPE(LOG_LEVEL_ERROR) | LOG_TYPE(LOG_LEVEL_INFO);
	open_log();
	ck_assert(log_wanted(LOG_LEVEL_INFO) && !log_wanted(LOG_LEVEL_WARNING));
	log_write(LOG_LEVEL_WARNING, "start", "not this");
	log_write_listener(LOG_LEVEL_DEBUG, "start", 0, "nor this");
	log_count(LOG_LEVEL_NOTICE, "refused", 0, "quota", 1, 60);
	log_write(LOG_LEVEL_INFO, "start", "but this");
	assert_lines("info: start: but this\n");
	log_close();
}
END_TEST

START_TEST(test_long_sentence_is_cut)
{
	static char sentence[5000];
	memset(sentence, '\n', sizeof(sentence) - 1);
	config.log_format = LOG_FORMAT_JSON;
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "%s", sentence);
	char *text = lines_of(path);
	const char *start = strstr(text, "\"text\":\"");
	ck_assert_ptr_nonnull(start);
	ck_assert_uint_eq(strlen(start), strlen("\"text\":\"\"}\n") + 6 * LOG_SENTENCE_MAX);
	free(text);
	log_close();
}
END_TEST

/* HUP: the file that was moved away is let go, a new one is begun. */
START_TEST(test_file_is_opened_anew)
{
	char moved[80];
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "one");
	snprintf(moved, sizeof(moved), "%s.1", path);
	ck_assert_int_eq(rename(path, moved), 0);
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "two");
	assert_lines("notice: start: two\n");
	struct stat status;
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 007, 0);
	unlink(moved);
	log_close();
}
END_TEST

START_TEST(test_file_that_cannot_be_opened)
{
	struct failure failure;
	open_log();
	config.log_file = "/nowhere/at/all.log";
	ck_assert(!log_open(&config, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "/nowhere/at/all.log: No such file"));
	log_write(LOG_LEVEL_NOTICE, "start", "still here");
	assert_lines("notice: start: still here\n");
	log_close();
}
END_TEST

START_TEST(test_fifo_that_nobody_reads)
{
	struct failure failure;
	remove_file();
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert(!log_open(&config, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "nobody reads from it"));
	const int reader = open(path, O_RDONLY | O_NONBLOCK);
	open_log();
	log_write(LOG_LEVEL_NOTICE, "start", "x");
	char text[64] = "";
	ck_assert_int_gt(read(reader, text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, "notice: start: x\n");
	close(reader);
	log_close();
}
END_TEST

START_TEST(test_lost_lines_are_counted)
{
	config.log_file = "/dev/full";
	open_log();
	errno = EDOM;
	log_write(LOG_LEVEL_NOTICE, "start", "x");
	ck_assert_int_eq(errno, EDOM);
	ck_assert_uint_eq(log_lost(), 1);
	open_log(); /* as at a HUP: what was lost stays counted */
	ck_assert_uint_eq(log_lost(), 1);
	log_close();
}
END_TEST

/* Writes a line with stderr in the file; `stream` is what JOURNAL_STREAM then says. */
static void write_to_stderr(bool journal)
{
	struct stat status;
	char stream[64];
	const int kept = dup(STDERR_FILENO);
	const int fd = open(path, O_WRONLY | O_APPEND);
	ck_assert(fd >= 0 && fstat(fd, &status) == 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino + !journal);
	ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
	dup2(fd, STDERR_FILENO);
	log_write(LOG_LEVEL_WARNING, "start", "x");
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(fd);
}

START_TEST(test_journal)
{
	config.log_file = NULL;
	config.log_stderr = true;
	open_log();
	write_to_stderr(false);
	config.log_timestamp = true;
	open_log();
	write_to_stderr(true);
	assert_lines("warning: start: x\n<4>warning: start: x\n");
	log_close();
}
END_TEST

START_TEST(test_before_open)
{
	write_to_stderr(false);
	char *text = lines_of(path);
	ck_assert_ptr_nonnull(strstr(text, "Z: warning: start: x\n"));
	free(text);
}
END_TEST

static void *write_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < 500; i++)
		log_write(LOG_LEVEL_NOTICE, "start", "%s", "the same line in every thread");
	return NULL;
}

START_TEST(test_threads)
{
	pthread_t threads[4];
	open_log();
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, NULL), 0);
	for (int i = 0; i < 20; i++)
		open_log();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	char *text = lines_of(path);
	size_t count = 0;
	const char *const line = "notice: start: the same line in every thread\n";
	for (const char *at = text; *at; at += strlen(line), count++)
		ck_assert(strncmp(at, line, strlen(line)) == 0);
	ck_assert_uint_eq(count, 2000);
	free(text);
	log_close();
}
END_TEST

static const struct address_case {
	int family;
	const char *address;
	enum ip_logging shown;
	const char *expected;
} address_cases[] = {
    {AF_INET, "192.0.2.77", IP_LOGGING_NONE, "-"},
    {AF_INET, "192.0.2.77", IP_LOGGING_TRUNCATE, "192.0.2.0/24"},
    {AF_INET, "192.0.2.77", IP_LOGGING_FULL, "192.0.2.77"},
    {AF_INET6, "2001:db8:1:2:3:4:5:6", IP_LOGGING_NONE, "-"},
    {AF_INET6, "2001:db8:1:2:3:4:5:6", IP_LOGGING_TRUNCATE, "2001:db8:1::/48"},
    {AF_INET6, "2001:db8:1:2:3:4:5:6", IP_LOGGING_FULL, "2001:db8:1:2:3:4:5:6"},
    {AF_INET6, "::ffff:192.0.2.77", IP_LOGGING_TRUNCATE, "192.0.2.0/24"},
    {AF_INET6, "::ffff:192.0.2.77", IP_LOGGING_FULL, "192.0.2.77"},
    {AF_UNIX, NULL, IP_LOGGING_FULL, "-"},
};

START_TEST(test_address)
{
	const struct address_case *row = &address_cases[_i];
	struct sockaddr_storage storage = {.ss_family = (sa_family_t)row->family};
	char text[LOG_ADDRESS_SIZE];
	if (row->family == AF_INET)
		inet_pton(AF_INET, row->address, &((struct sockaddr_in *)&storage)->sin_addr);
	if (row->family == AF_INET6)
		inet_pton(AF_INET6, row->address, &((struct sockaddr_in6 *)&storage)->sin6_addr);
	config.ip_logging = row->shown;
	open_log();
	ck_assert_str_eq(log_address((const struct sockaddr *)&storage, text), row->expected);
	log_close();
}
END_TEST

Suite *log_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *lines = tcase_create("lines");
	tcase_add_checked_fixture(lines, make_file, remove_file);
	tcase_add_test(lines, test_text);
	tcase_add_test(lines, test_json);
	tcase_add_test(lines, test_json_of_bytes);
	tcase_add_test(lines, test_no_second_line);
	tcase_add_test(lines, test_time);
	tcase_add_test(lines, test_levels);
	tcase_add_test(lines, test_long_sentence_is_cut);
	tcase_add_test(lines, test_file_is_opened_anew);
	tcase_add_test(lines, test_file_that_cannot_be_opened);
	tcase_add_test(lines, test_fifo_that_nobody_reads);
	tcase_add_test(lines, test_lost_lines_are_counted);
	tcase_add_test(lines, test_journal);
	tcase_add_test(lines, test_before_open);
	tcase_add_test(lines, test_threads);
	tcase_add_loop_test(lines, test_address, 0,
			    sizeof(address_cases) / sizeof(address_cases[0]));
	suite_add_tcase(suite, lines);
	return suite;
}
