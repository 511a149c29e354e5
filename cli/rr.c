/*
 * rr.c - `metrino rr`: publishes a request and prints the response, MQTT 5.0 section 4.10; before
 * 5.0 whoever answers has to know the response topic.
 *
 * Subscribes first, and asks when that is acknowledged, so that no response can be missed.
 */
#include "cli/command.h"
#include "cli/payload.h"
#include "cli/show.h"

#include <stdio.h>

struct requester {
	const struct options *options;
	struct command_link link;
	struct buffer payload;
	struct buffer line;
	uint16_t subscribe_id; /* packet identifier of SUBSCRIBE */
	int status;
	struct failure failure;
};

static void give_up(struct requester *r, int status)
{
	r->status = status;
	r->link.client.stop = true;
}

static void on_message(struct client *client, const struct mqtt_publish *p)
{
	struct requester *r = client->user;
	const struct options *o = r->options;

	if (!slice_equal(p->topic, slice_text(o->response_topic)))
		return; /* of a session that -c resumed */
	if (o->no_retained && p->retain)
		return;
	if (show_message(o, &r->line, p, &r->failure))
		give_up(r, 0);
	else
		give_up(r, command_failed(o, &r->failure));
}

static bool ask(struct requester *r)
{
	const struct options *o = r->options;
	struct mqtt_publish request = {
	    .qos = o->qos,
	    .topic = slice_text(o->topics.at[0]),
	    .payload = buffer_slice(&r->payload),
	    .properties = options_properties(o, MQTT_PUBLISH),
	};

	if (o->version == MQTT_VERSION_5_0) {
		mqtt_set(&request.properties, MQTT_PROPERTY_RESPONSE_TOPIC);
		request.properties.response_topic = slice_text(o->response_topic);
	}
	return client_publish(&r->link.client, &request, &r->failure);
}

static void complain(const struct requester *r, const char *what, uint8_t reason)
{
	if (!r->options->quiet)
		fprintf(stderr, "Error: %s: %s.\n", what, mqtt_reason_text(reason));
}

/* What failed brings no response: there is nothing to wait for. */
static void on_answer(struct client *client, uint8_t type, uint16_t packet_id, struct slice reasons)
{
	struct requester *r = client->user;
	bool subscribed = type == MQTT_SUBACK && packet_id == r->subscribe_id;

	if (reasons.len > 0 && mqtt_reason_is_error(reasons.at[0])) {
		complain(r,
			 subscribed ? "The subscription to the response topic was denied"
				    : "The request was refused",
			 reasons.at[0]);
		give_up(r, reasons.at[0]);
	} else if (subscribed && !ask(r)) {
		give_up(r, command_failed(r->options, &r->failure));
	}
}

static const struct client_events events = {on_message, on_answer};

static bool subscribe(struct requester *r)
{
	const struct options *o = r->options;
	const struct mqtt_subscription entry = {
	    .filter = slice_text(o->response_topic),
	    .qos = o->qos,
	    .retain_as_published = o->retain_as_published && o->version == MQTT_VERSION_5_0,
	};

	return client_subscribe(&r->link.client, &entry, 1, &r->subscribe_id, &r->failure);
}

static void run(struct requester *r)
{
	int status;

	r->status = command_connect(&r->link, r->options, &events, r);
	if (r->status == 0) {
		if (!subscribe(r))
			give_up(r, command_failed(r->options, &r->failure));
		status = command_serve(&r->link);
		if (r->status == 0)
			r->status = status;
	}
	command_finish(&r->link);
}

int command_rr(int argc, char **argv)
{
	struct options options;
	struct requester r = {.options = &options};

	options_init(&options, OPTION_RR);
	if (command_options(&options, argc, argv, &r.status)) {
		if (payload_load(&options, &r.payload, &r.failure))
			run(&r);
		else
			r.status = command_failed(&options, &r.failure);
	}
	buffer_finish(&r.payload);
	buffer_finish(&r.line);
	options_finish(&options);
	return r.status;
}
