/* sys_tree.c - see sys_tree.h. */
#include "proto/version.h"
#include "broker/sys_tree.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef uint64_t number_of(const struct metrics *metrics);

static uint64_t clients_disconnected(const struct metrics *metrics)
{
	uint64_t sessions = metrics_level(metrics, HAPPENED_SESSIONS);
	uint64_t connected = metrics_level(metrics, HAPPENED_CLIENTS_CONNECTED);

	return sessions > connected ? sessions - connected : 0;
}

static uint64_t clients_maximum(const struct metrics *metrics)
{
	return metrics->clients_maximum;
}

static uint64_t messages_stored(const struct metrics *metrics)
{
	return metrics_level(metrics, HAPPENED_RETAINED) + metrics_level(metrics, HAPPENED_QUEUED) +
	       metrics_level(metrics, HAPPENED_INFLIGHT);
}

static uint64_t bytes_stored(const struct metrics *metrics)
{
	return metrics_level(metrics, HAPPENED_RETAINED_BYTES) +
	       metrics_level(metrics, HAPPENED_QUEUED_BYTES);
}

/* What the end of the last broker took, as far as it is known. */
static uint64_t messages_lost(const struct metrics *metrics)
{
	return metrics->happened[HAPPENED_QUEUES_LOST] + metrics->happened[HAPPENED_LOST_IN_CRASH];
}

/* By which reason: metrino_logins_total. */
static uint64_t logins_refused(const struct metrics *metrics)
{
	return metrics->happened[HAPPENED_LOGINS_WRONG] +
	       metrics->happened[HAPPENED_LOGINS_DENIED] + metrics->happened[HAPPENED_LOGINS_WAIT] +
	       metrics->happened[HAPPENED_LOGINS_BUSY] + metrics->happened[HAPPENED_LOGINS_BANNED] +
	       metrics->happened[HAPPENED_LOGINS_OTHER];
}

/* One counter or level, or a function of several. */
struct number {
	const char *topic;
	number_of *made_of;
	enum happened_name happened; /* when made_of is NULL */
};

/* The old names `active`, `inactive` and `messages/stored` are still read by many boards. */
static const struct number numbers[SYS_TREE_NUMBERS] = {
    {"clients/connected", NULL, HAPPENED_CLIENTS_CONNECTED},
    {"clients/active", NULL, HAPPENED_CLIENTS_CONNECTED},
    {"clients/disconnected", clients_disconnected, 0},
    {"clients/inactive", clients_disconnected, 0},
    {"clients/total", NULL, HAPPENED_SESSIONS},
    {"clients/maximum", clients_maximum, 0},
    {"clients/expired", NULL, HAPPENED_SESSIONS_EXPIRED},
    {"messages/received", NULL, HAPPENED_PACKETS_RECEIVED},
    {"messages/sent", NULL, HAPPENED_PACKETS_SENT},
    {"messages/stored", messages_stored, 0},
    {"messages/lost", messages_lost, 0},
    {"store/messages/count", messages_stored, 0},
    {"store/messages/bytes", bytes_stored, 0},
    {"publish/messages/received", NULL, HAPPENED_PUBLISH_RECEIVED},
    {"publish/messages/sent", NULL, HAPPENED_PUBLISH_SENT},
    {"publish/messages/dropped", metrics_dropped, 0},
    {"publish/bytes/received", NULL, HAPPENED_PUBLISH_BYTES_RECEIVED},
    {"publish/bytes/sent", NULL, HAPPENED_PUBLISH_BYTES_SENT},
    {"bytes/received", NULL, HAPPENED_BYTES_RECEIVED},
    {"bytes/sent", NULL, HAPPENED_BYTES_SENT},
    {"logins/accepted", NULL, HAPPENED_LOGINS_ACCEPTED},
    {"logins/refused", logins_refused, 0},
    {"retained messages/count", NULL, HAPPENED_RETAINED},
    {"subscriptions/count", NULL, HAPPENED_SUBSCRIPTIONS},
    {"shared_subscriptions/count", NULL, HAPPENED_SHARED_SUBSCRIPTIONS},
};

static const struct number loads[SYS_TREE_LOADS] = {
    {"messages/received", NULL, HAPPENED_PACKETS_RECEIVED},
    {"messages/sent", NULL, HAPPENED_PACKETS_SENT},
    {"publish/received", NULL, HAPPENED_PUBLISH_RECEIVED},
    {"publish/sent", NULL, HAPPENED_PUBLISH_SENT},
    {"publish/dropped", metrics_dropped, 0},
    {"bytes/received", NULL, HAPPENED_BYTES_RECEIVED},
    {"bytes/sent", NULL, HAPPENED_BYTES_SENT},
    {"sockets", NULL, HAPPENED_LINKS_OPENED},
    {"connections", NULL, HAPPENED_CONNECTS},
};

static const struct {
	const char *name;
	double seconds;
} periods[SYS_TREE_PERIODS] = {{"1min", 60}, {"5min", 300}, {"15min", 900}};

static uint64_t value_of(const struct number *number, const struct metrics *metrics)
{
	return number->made_of ? number->made_of(metrics)
			       : metrics_level(metrics, number->happened);
}

void sys_tree_each_number(const struct metrics *metrics, void *self,
			  void (*call)(void *self, const char *topic, uint64_t value))
{
	for (size_t i = 0; i < SYS_TREE_NUMBERS; i++)
		call(self, numbers[i].topic, value_of(&numbers[i], metrics));
}

/* Where to publish, and the update that is being made. */
struct update {
	struct sys_tree *tree;
	const struct metrics *metrics;
	void *self;
	sys_tree_publish *publish;
	double elapsed_s; /* 0: the first update */
};

static void say(const struct update *update, const char *topic, const char *payload)
{
	char whole[sizeof(SYS_TREE_PREFIX) + SYS_TREE_TOPIC_SIZE];

	snprintf(whole, sizeof(whole), SYS_TREE_PREFIX "%s", topic);
	update->publish(update->self, whole, payload);
}

static void update_numbers(const struct update *update)
{
	struct sys_tree *tree = update->tree;
	char payload[24];

	for (size_t i = 0; i < SYS_TREE_NUMBERS; i++) {
		uint64_t value = value_of(&numbers[i], update->metrics);

		if (tree->published && tree->numbers[i] == value)
			continue;
		tree->numbers[i] = value;
		snprintf(payload, sizeof(payload), "%" PRIu64, value);
		say(update, numbers[i].topic, payload);
	}
}

/* The rate per minute since the last update moves the average towards itself. */
static void update_load(const struct update *update, size_t load, size_t period, double per_minute)
{
	double *current = &update->tree->loads[load][period];
	double weight = exp(-update->elapsed_s / periods[period].seconds);
	double value = per_minute + weight * (*current - per_minute);
	bool changed = !update->tree->published || fabs(value - *current) >= 0.01;
	char topic[SYS_TREE_TOPIC_SIZE];
	char payload[48];

	*current = value;
	if (!changed)
		return;
	snprintf(topic, sizeof(topic), "load/%s/%s", loads[load].topic, periods[period].name);
	snprintf(payload, sizeof(payload), "%.2f", value);
	say(update, topic, payload);
}

static void update_loads(const struct update *update)
{
	for (size_t i = 0; i < SYS_TREE_LOADS; i++) {
		uint64_t value = value_of(&loads[i], update->metrics);
		uint64_t more = value - update->tree->counted[i];
		double per_minute =
		    update->elapsed_s > 0 ? (double)more * 60.0 / update->elapsed_s : 0;

		update->tree->counted[i] = value;
		for (size_t j = 0; j < SYS_TREE_PERIODS; j++)
			update_load(update, i, j, per_minute);
	}
}

void sys_tree_update(struct sys_tree *tree, uint64_t now_ms, const struct metrics *metrics,
		     void *self, sys_tree_publish *publish)
{
	struct update update = {
	    .tree = tree,
	    .metrics = metrics,
	    .self = self,
	    .publish = publish,
	    .elapsed_s = tree->published ? (double)(now_ms - tree->updated_ms) / 1000 : 0};
	char payload[40];

	if (!tree->published)
		say(&update, "version", "metrino version " METRINO_VERSION);
	if (!tree->published || tree->uptime_s != metrics->uptime_s) {
		snprintf(payload, sizeof(payload), "%" PRIu64 " seconds", metrics->uptime_s);
		say(&update, "uptime", payload);
	}
	update_numbers(&update);
	update_loads(&update);
	tree->uptime_s = metrics->uptime_s;
	tree->updated_ms = now_ms;
	tree->published = true;
}
