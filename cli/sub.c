/* sub.c - `metrino sub`: subscribes and prints what comes. */
#include "cli/command.h"

#include "cli/leave.h"
#include "cli/show.h"
#include "proto/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct subscriber {
	const struct options *options;
	struct command_link link;
	struct buffer line;
	uint32_t received;    /* without what is filtered out */
	uint32_t answers_due; /* SUBACK and UNSUBACK not yet there */
	int status;
	struct failure failure;
};

static bool filtered_out(const struct options *o, struct slice topic)
{
	for (size_t i = 0; i < o->filter_out.count; i++) {
		if (topic_matches(slice_text(o->filter_out.at[i]), topic))
			return true;
	}
	return false;
}

/* An empty retained message clears. [MQTT-3.3.1-6]  QoS 0, so that leaving need not wait. */
static void remove_retained(struct client *c, struct slice topic)
{
	struct mqtt_publish empty = {.retain = true, .topic = topic};
	struct failure ignored;

	client_publish(c, &empty, &ignored);
}

static void print_message(struct subscriber *s, const struct mqtt_publish *p)
{
	if (!show_message(s->options, &s->line, p, &s->failure)) {
		s->status = command_failed(s->options, &s->failure);
		s->link.client.stop = true;
	}
}

static void on_message(struct client *client, const struct mqtt_publish *p)
{
	struct subscriber *s = client->user;
	const struct options *o = s->options;

	/* Over TLS and WebSocket one read may bring messages for ever: this is the last one, then.
	 */
	if (command_over(&s->link))
		client->stop = true;
	if (o->retained_only && !p->retain) {
		client->stop = true;
		return;
	}
	if (filtered_out(o, p->topic))
		return;
	if (o->remove_retained && p->retain)
		remove_retained(client, p->topic);
	if (o->no_retained && p->retain)
		return;
	/* What chance leaves out counts for -C, as in mosquitto_sub. */
	if (o->chance >= 100 || (double)random() / (double)RAND_MAX * 100 <= o->chance)
		print_message(s, p);
	s->received++;
	if (o->count > 0 && s->received >= o->count)
		client->stop = true;
}

static void show_subscribed(const struct subscriber *s, uint16_t packet_id, struct slice reasons)
{
	if (!s->options->debug || s->options->quiet)
		return;
	printf("Subscribed (mid: %u)", packet_id);
	for (size_t i = 0; i < reasons.len; i++)
		printf("%s%u", i == 0 ? ": " : ", ", reasons.at[i]);
	putchar('\n');
}

/* A filter that was refused is named; when all were, there is nothing to wait for. */
static void judge_subscribed(struct subscriber *s, struct slice reasons)
{
	size_t refused = 0;

	for (size_t i = 0; i < reasons.len && i < s->options->topics.count; i++) {
		if (!mqtt_reason_is_error(reasons.at[i]))
			continue;
		refused++;
		if (!s->options->quiet)
			fprintf(stderr, "Warning: Subscription to '%s' was denied: %s.\n",
				s->options->topics.at[i], mqtt_reason_text(reasons.at[i]));
	}
	if (refused < reasons.len)
		return;
	if (!s->options->quiet)
		fprintf(stderr, "All subscription requests were denied.\n");
	s->status = reasons.len > 0 ? reasons.at[0] : 1;
	s->link.client.stop = true;
}

static void on_answer(struct client *client, uint8_t type, uint16_t packet_id, struct slice reasons)
{
	struct subscriber *s = client->user;

	if (type == MQTT_SUBACK) {
		show_subscribed(s, packet_id, reasons);
		judge_subscribed(s, reasons);
	}
	if (type == MQTT_SUBACK || type == MQTT_UNSUBACK)
		s->answers_due--;
	if (s->options->exit_after_subscribing && s->answers_due == 0)
		client->stop = true;
}

static const struct client_events events = {on_message, on_answer};

static bool subscribe(struct subscriber *s)
{
	const struct options *o = s->options;
	struct mqtt_subscription *entries;
	bool good;

	if (o->topics.count == 0)
		return true;
	entries = need_memory(o->topics.count * sizeof(*entries));
	for (size_t i = 0; i < o->topics.count; i++)
		entries[i] = (struct mqtt_subscription){
		    .filter = slice_text(o->topics.at[i]),
		    .qos = o->qos,
		    .retain_as_published = o->retain_as_published && o->version == MQTT_VERSION_5_0,
		};
	good = client_subscribe(&s->link.client, entries, o->topics.count, NULL, &s->failure);
	s->answers_due++;
	free(entries);
	return good;
}

static bool unsubscribe(struct subscriber *s)
{
	for (size_t i = 0; i < s->options->unsubscribe.count; i++) {
		const struct slice filter = slice_text(s->options->unsubscribe.at[i]);

		if (!client_unsubscribe(&s->link.client, filter, &s->failure))
			return false;
		s->answers_due++;
	}
	return true;
}

static void run(struct subscriber *s)
{
	int status;

	s->status = command_connect(&s->link, s->options, &events, s);
	if (s->status == 0) {
		leave_listen();
		if (!subscribe(s) || !unsubscribe(s)) {
			s->status = command_failed(s->options, &s->failure);
			s->link.client.stop = true;
		}
		status = command_serve(&s->link);
		if (s->status == 0)
			s->status = status;
	}
	command_finish(&s->link);
}

int command_sub(int argc, char **argv)
{
	struct options options;
	struct subscriber s = {.options = &options};
	struct timespec now;

	options_init(&options, OPTION_SUB);
	if (command_options(&options, argc, argv, &s.status)) {
		clock_gettime(CLOCK_REALTIME, &now);
		srandom((unsigned)now.tv_nsec);
		leave_at_once();
		run(&s);
	}
	buffer_finish(&s.line);
	options_finish(&options);
	return s.status;
}
