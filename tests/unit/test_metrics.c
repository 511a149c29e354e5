/* Metrics: sums of shards, and text that Prometheus can read. */
#include "broker/metrics.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

Suite *metrics_suite(void);

static bool has_line(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[len] == '\n')
			return true;
	return false;
}

START_TEST(shards_are_summed)
{
	struct metrics metrics = {0};
	struct happened one = {0};
	struct happened two = {0};

	happened_add(&one, HAPPENED_CONNECTS, 3);
	happened_add(&two, HAPPENED_CONNECTS, 4);
	happened_add(&one, HAPPENED_DROPPED_SLOW, 5);
	happened_add(&two, HAPPENED_DROPPED_EXPIRED, 6);
	metrics_add_shard(&metrics, &one);
	metrics_add_shard(&metrics, &two);
	ck_assert_uint_eq(metrics.happened[HAPPENED_CONNECTS], 7);
	ck_assert_uint_eq(metrics_dropped(&metrics), 11);
}
END_TEST

/* What one shard counted and another took away may be seen in the wrong order. */
START_TEST(levels_are_not_below_zero)
{
	struct metrics metrics = {0};
	struct happened shard = {0};

	happened_take(&shard, HAPPENED_MEMORY, 10);
	metrics_add_shard(&metrics, &shard);
	ck_assert_uint_eq(metrics_level(&metrics, HAPPENED_MEMORY), 0);
	happened_add(&shard, HAPPENED_MEMORY, 25);
	metrics_add_shard(&metrics, &shard);
	ck_assert_uint_eq(metrics_level(&metrics, HAPPENED_MEMORY), 5);
}
END_TEST

START_TEST(text_has_every_name)
{
	struct metrics metrics = {.clients_maximum = 9, .store_commits = 8, .workers = 2};
	size_t len;

	metrics.jobs[metrics.job_count++] = (struct job_state){.name = "guard", .late_s = 4};
	metrics.happened[HAPPENED_CLIENTS_CONNECTED] = 7;
	metrics.happened[HAPPENED_RETAINED] = 6;
	metrics.happened[HAPPENED_PUBLISH_RECEIVED] = 5;
	metrics.happened[HAPPENED_DROPPED_QUEUE_FULL] = 4;
	char *text = metrics_text(&metrics, &len);

	ck_assert_uint_eq(strlen(text), len);
	ck_assert(has_line(text, "metrino_clients_connected 7"));
	ck_assert(has_line(text, "# TYPE metrino_clients_connected gauge"));
	ck_assert(has_line(text, "metrino_publish_received_total 5"));
	ck_assert(has_line(text, "# TYPE metrino_publish_received_total counter"));
	ck_assert(has_line(text, "metrino_messages_dropped_total{reason=\"queue_full\"} 4"));
	ck_assert(has_line(text, "metrino_clients_maximum 9"));
	ck_assert(has_line(text, "metrino_store_commits_total 8"));
	ck_assert(has_line(text, "metrino_workers 2"));
	ck_assert(has_line(text, "metrino_job_late_seconds{job=\"guard\"} 4"));
	ck_assert(has_line(text, "broker_clients_connected 7"));
	ck_assert(has_line(text, "broker_retained_messages_count 6"));
	ck_assert(has_line(text, "broker_publish_messages_dropped 4"));
	free(text);
}
END_TEST

/* A name of [a-zA-Z_:][a-zA-Z0-9_:]*, perhaps {reason="..."}, a space, a number. */
static bool is_sample(const char *line)
{
	size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");
	uint64_t value;
	int end = 0;

	if (name == 0)
		return false;
	line += name;
	static const char *const labels[] = {"{reason=\"", "{version=\"", "{result=\"",
					     "{identity=\""};
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
		if (strncmp(line, labels[i], strlen(labels[i])) == 0)
			line = strchr(line, '}') + 1;
	return sscanf(line, " %" SCNu64 "%n", &value, &end) == 1 && line[end] == '\0';
}

/* Each name comes with its type, once; no other label, so nothing about a client. */
START_TEST(text_is_well_formed)
{
	struct metrics metrics = {0};
	size_t len;
	char *text = metrics_text(&metrics, &len);
	char *rest = text;

	ck_assert_uint_gt(len, 0);
	ck_assert_int_eq(text[len - 1], '\n');
	for (char *line; (line = strsep(&rest, "\n")) && rest;) {
		if (strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0)
			continue;
		ck_assert_msg(is_sample(line), "%s", line);
	}
	free(text);
}
END_TEST

Suite *metrics_suite(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tests = tcase_create("metrics");

	tcase_add_test(tests, shards_are_summed);
	tcase_add_test(tests, levels_are_not_below_zero);
	tcase_add_test(tests, text_has_every_name);
	tcase_add_test(tests, text_is_well_formed);
	suite_add_tcase(suite, tests);
	return suite;
}
