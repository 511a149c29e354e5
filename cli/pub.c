/* pub.c - `metrino pub`: publishes one message, several times, or every line of a stream. */
#include "cli/command.h"
#include "cli/payload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 65536u

struct publisher {
	const struct options *options;
	struct command_link link;
	struct failure failure;
};

static void on_message(struct client *client, const struct mqtt_publish *publish)
{
	/* Left over in a session that -c resumed; this program shows nothing. */
	(void)client;
	(void)publish;
}

static void on_answer(struct client *client, uint8_t type, uint16_t packet_id, struct slice reasons)
{
	const struct publisher *p = client->user;

	(void)type;
	if (reasons.len > 0 && mqtt_reason_is_error(reasons.at[0]) && !p->options->quiet)
		fprintf(stderr, "Warning: Publish %u failed: %s.\n", packet_id,
			mqtt_reason_text(reasons.at[0]));
}

static const struct client_events events = {on_message, on_answer};

static bool publish(struct publisher *p, struct slice payload)
{
	struct mqtt_publish message = {
	    .qos = p->options->qos,
	    .retain = p->options->retain,
	    .topic = slice_text(p->options->topics.at[0]),
	    .payload = payload,
	    .properties = options_properties(p->options, MQTT_PUBLISH),
	};
	struct client *c = &p->link.client;

	while (client_is_full(c) || (message.qos > 0 && !client_may_publish(c))) {
		if (!client_step(c, -1, -1, &p->failure))
			return false;
	}
	return client_publish(c, &message, &p->failure);
}

/* Until every message was answered and everything is written. */
static bool wait_answers(struct publisher *p)
{
	struct client *c = &p->link.client;

	while (c->unanswered > 0 || c->out.len > 0) {
		/* Nothing answers QoS 0: wait for room to write, not for something to read. */
		if (!client_step(c, -1, c->unanswered > 0 ? -1 : clock_now_ms() + 10, &p->failure))
			return false;
	}
	return true;
}

static bool wait_delay(struct publisher *p)
{
	const int64_t until_ms = clock_now_ms() + p->options->repeat_delay_ms;

	while (clock_now_ms() < until_ms) {
		if (!client_step(&p->link.client, -1, until_ms, &p->failure))
			return false;
	}
	return true;
}

static bool publish_repeatedly(struct publisher *p, struct slice payload)
{
	for (uint32_t i = 0; i < p->options->repeat; i++) {
		if (i > 0 && p->options->repeat_delay_ms > 0 && !wait_delay(p))
			return false;
		if (!publish(p, payload) || !wait_answers(p))
			return false;
	}
	return true;
}

/* Every line without its end; in what was there `before` this there is none. */
static bool publish_whole_lines(struct publisher *p, struct buffer *input, size_t before)
{
	size_t used = 0;
	size_t seen = before;
	const uint8_t *end;

	while (input->len > seen &&
	       (end = memchr(input->at + seen, '\n', input->len - seen)) != NULL) {
		const size_t line_end = (size_t)(end - input->at);

		if (!publish(p, slice_of(input->at + used, line_end - used)))
			return false;
		used = seen = line_end + 1;
	}
	buffer_drop(input, used);
	/* What goes on like this will never be a message: it is not kept until its end. */
	return (input->len <= p->link.client.limits.packet_size_max && input->len <= PAYLOAD_MAX) ||
	       failure_set(&p->failure, "The message is larger than the broker accepts.");
}

/* A last line may have no end. */
static bool publish_lines(struct publisher *p)
{
	struct buffer input = {0};
	bool good = true;
	ssize_t n = 1;

	while (good && n != 0) {
		const size_t before = input.len;

		good = client_step(&p->link.client, STDIN_FILENO, -1, &p->failure);
		if (!good || !p->link.client.other_ready)
			continue;
		n = read(STDIN_FILENO, buffer_reserve(&input, READ_SIZE), READ_SIZE);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			good = failure_set(&p->failure, "standard input: %s.", strerror(errno));
		if (n > 0)
			input.len += (size_t)n;
		good = good && publish_whole_lines(p, &input, before);
	}
	if (good && input.len > 0)
		good = publish(p, buffer_slice(&input));
	buffer_finish(&input);
	return good && wait_answers(p);
}

static int run(struct publisher *p, struct slice payload)
{
	int status = command_connect(&p->link, p->options, &events, p);

	if (status == 0) {
		if (p->options->source == PAYLOAD_LINES ? publish_lines(p)
							: publish_repeatedly(p, payload))
			client_disconnect(&p->link.client);
		else
			status = command_failed(p->options, &p->failure);
	}
	command_finish(&p->link);
	return status;
}

int command_pub(int argc, char **argv)
{
	struct options options;
	struct publisher publisher = {.options = &options};
	struct buffer payload = {0};
	int status;

	options_init(&options, OPTION_PUB);
	if (command_options(&options, argc, argv, &status)) {
		if (payload_load(&options, &payload, &publisher.failure))
			status = run(&publisher, buffer_slice(&payload));
		else
			status = command_failed(&options, &publisher.failure);
	}
	buffer_finish(&payload);
	options_finish(&options);
	return status;
}
