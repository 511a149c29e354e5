/* $SYS: mosquitto's topics, only what changed, averages per minute. */
#include "broker/sys_tree.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

Suite *sys_tree_suite(void);

#define TOPICS_MAX 128

static struct published {
	size_t count;
	char topics[TOPICS_MAX][96];
	char payloads[TOPICS_MAX][48];
} published;

static void publish(void *self, const char *topic, const char *payload)
{
	struct published *to = self;

	ck_assert_uint_lt(to->count, TOPICS_MAX);
	snprintf(to->topics[to->count], sizeof(to->topics[0]), "%s", topic);
	snprintf(to->payloads[to->count++], sizeof(to->payloads[0]), "%s", payload);
}

static void update(struct sys_tree *tree, uint64_t now_ms, const struct metrics *metrics)
{
	published.count = 0;
	sys_tree_update(tree, now_ms, metrics, &published, publish);
}

/* NULL: was not published. */
static const char *payload_of(const char *topic)
{
	for (size_t i = 0; i < published.count; i++)
		if (strcmp(published.topics[i], topic) == 0)
			return published.payloads[i];
	return NULL;
}

static const char *const tree_of_mosquitto[] = {
    "version",
    "uptime",
    "clients/connected",
    "clients/disconnected",
    "clients/total",
    "clients/maximum",
    "clients/expired",
    "messages/received",
    "messages/sent",
    "messages/stored",
    "publish/messages/received",
    "publish/messages/sent",
    "publish/messages/dropped",
    "publish/bytes/received",
    "publish/bytes/sent",
    "bytes/received",
    "bytes/sent",
    "store/messages/count",
    "store/messages/bytes",
    "retained messages/count",
    "subscriptions/count",
    "shared_subscriptions/count",
    "load/messages/received/1min",
    "load/messages/sent/5min",
    "load/publish/received/15min",
    "load/publish/sent/1min",
    "load/publish/dropped/1min",
    "load/bytes/received/1min",
    "load/bytes/sent/1min",
    "load/sockets/1min",
    "load/connections/1min",
};

START_TEST(first_update_has_everything)
{
	struct sys_tree tree = {0};
	struct metrics metrics = {.uptime_s = 5};
	char topic[96];

	metrics.happened[HAPPENED_SESSIONS] = 5;
	metrics.happened[HAPPENED_CLIENTS_CONNECTED] = 3;
	update(&tree, 1000, &metrics);
	for (size_t i = 0; i < sizeof(tree_of_mosquitto) / sizeof(tree_of_mosquitto[0]); i++) {
		snprintf(topic, sizeof(topic), "$SYS/broker/%s", tree_of_mosquitto[i]);
		ck_assert_msg(payload_of(topic) != NULL, "%s", topic);
	}
	ck_assert_str_eq(payload_of("$SYS/broker/uptime"), "5 seconds");
	ck_assert_str_eq(payload_of("$SYS/broker/clients/connected"), "3");
	ck_assert_str_eq(payload_of("$SYS/broker/clients/disconnected"), "2");
	ck_assert_str_eq(payload_of("$SYS/broker/clients/total"), "5");
}
END_TEST

START_TEST(then_only_changes)
{
	struct sys_tree tree = {0};
	struct metrics metrics = {.uptime_s = 1};

	update(&tree, 1000, &metrics);
	update(&tree, 2000, &metrics);
	ck_assert_uint_eq(published.count, 0);
	metrics.uptime_s = 3;
	metrics.happened[HAPPENED_RETAINED] = 1;
	update(&tree, 3000, &metrics);
	ck_assert_str_eq(payload_of("$SYS/broker/uptime"), "3 seconds");
	ck_assert_str_eq(payload_of("$SYS/broker/retained messages/count"), "1");
	ck_assert_str_eq(payload_of("$SYS/broker/store/messages/count"), "1");
	ck_assert(!payload_of("$SYS/broker/version"));
	ck_assert(!payload_of("$SYS/broker/clients/total"));
}
END_TEST

static double load(const char *topic)
{
	const char *payload = payload_of(topic);

	ck_assert_msg(payload != NULL, "%s", topic);
	return strtod(payload, NULL);
}

/* 10 messages each second are 600 a minute: the average comes near, the short one first. */
START_TEST(loads)
{
	struct sys_tree tree = {0};
	struct metrics metrics = {0};

	update(&tree, 0, &metrics);
	for (uint64_t s = 10; s <= 60; s += 10) {
		metrics.happened[HAPPENED_PUBLISH_RECEIVED] += 100;
		update(&tree, s * 1000, &metrics);
	}
	/* After one time constant: 1 - 1/e. */
	ck_assert_double_eq_tol(load("$SYS/broker/load/publish/received/1min"), 600 * (1 - exp(-1)),
				0.01);
	ck_assert_double_eq_tol(load("$SYS/broker/load/publish/received/5min"),
				600 * (1 - exp(-0.2)), 0.01);
	ck_assert_double_eq_tol(load("$SYS/broker/load/publish/received/15min"),
				600 * (1 - exp(-1.0 / 15)), 0.01);
	ck_assert(!payload_of("$SYS/broker/load/publish/sent/1min"));
	/* And it falls again. */
	update(&tree, 120 * 1000, &metrics);
	ck_assert_double_eq_tol(load("$SYS/broker/load/publish/received/1min"),
				600 * (1 - exp(-1)) * exp(-1), 0.01);
}
END_TEST

Suite *sys_tree_suite(void)
{
	Suite *suite = suite_create("sys_tree");
	TCase *tests = tcase_create("sys_tree");

	tcase_add_test(tests, first_update_has_everything);
	tcase_add_test(tests, then_only_changes);
	tcase_add_test(tests, loads);
	suite_add_tcase(suite, tests);
	return suite;
}
