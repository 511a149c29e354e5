#include "cli/command.h"

#include "cli/leave.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 30000

static void print_usage(enum option_program program)
{
	static const char *const texts[] = {
	    [OPTION_PUB] =
		"Publishes messages on a topic, with the flags of mosquitto_pub.\n\n"
		"Usage: metrino pub [options] -t TOPIC {-m TEXT | -f FILE | -n | -l | -s}\n\n",
	    [OPTION_SUB] = "Subscribes and prints what comes, with the flags of mosquitto_sub. "
			   "When\nthe connection is lost it ends with status 1.\n\n"
			   "Usage: metrino sub [options] -t FILTER...\n\n",
	    [OPTION_RR] =
		"Publishes a request and prints the response, with the flags of mosquitto_rr.\n\n"
		"Usage: metrino rr [options] -t TOPIC -e RESPONSE-TOPIC {-m TEXT | -f FILE | -n | "
		"-s}\n\n",
	    [OPTION_BENCH] = "Puts load on a broker and measures it: any broker, anywhere.\n\n"
			     "Usage: metrino bench [--topology NAME] [options]\n\n",
	};

	fputs(texts[program], stdout);
	options_print_help(program);
}

int command_misused(const char *command, const struct failure *failure)
{
	fprintf(stderr, "Error: %s\n\nUse 'metrino %s --help' to see usage.\n", failure->text,
		command);
	return 1;
}

bool command_options(struct options *o, int argc, char **argv, int *status)
{
	struct failure failure;

	*status = 1;
	if (!options_gather(o, argc, argv, &failure)) {
		*status = command_misused(options_program_name(o->program), &failure);
		return false;
	}
	if (o->help) {
		print_usage(o->program);
		*status = 0;
		return false;
	}
	return true;
}

/*
 * The client identifier: as given; the prefix and this process's number; for MQTT 3.1,
 * which knows no empty one, made of chance; else empty, and the broker makes one.
 */
static struct slice choose_client_id(struct command_link *link)
{
	const struct options *o = link->options;
	uint64_t chance = 0;

	if (o->client_id != NULL)
		return slice_text(o->client_id);
	if (o->client_id_prefix != NULL) {
		buffer_add_text(&link->prefixed, o->client_id_prefix);
		buffer_add_format(&link->prefixed, "%ld", (long)getpid());
		return buffer_slice(&link->prefixed);
	}
	if (o->version != MQTT_VERSION_3_1)
		return SLICE_NONE;
	must(getrandom(&chance, sizeof(chance), 0) == (ssize_t)sizeof(chance));
	snprintf(link->name, sizeof(link->name), "metrino%016" PRIx64, chance);
	return slice_text(link->name);
}

static struct slice optional(const char *text)
{
	return text != NULL ? slice_text(text) : SLICE_NONE;
}

/* -c without -x asks for a session that does not expire. */
static void set_session_expiry(struct mqtt_properties *p, const struct options *o)
{
	if (!o->has_session_expiry &&
	    (!o->keep_session || mqtt_has(p, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL)))
		return;
	mqtt_set(p, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
	p->session_expiry_s = o->has_session_expiry ? o->session_expiry_s : UINT32_MAX;
}

static void make_settings(struct command_link *link)
{
	const struct options *o = link->options;
	struct mqtt_connect *connect = &link->settings.connect;

	for (uint8_t i = 0; i < PACKET_TYPES; i++)
		link->properties[i] = options_properties(o, i);
	link->settings = (struct client_settings){
	    .target = {o->unix_path, o->host, o->port, o->bind_address, o->nodelay,
		       CONNECT_TIMEOUT_MS, link->until_ms},
	    .layers = {.tls = options_want_tls(o) ? &o->tls : NULL,
		       .ws = o->websocket ? &o->ws : NULL},
	    .inflight_max = o->inflight_max,
	    .debug = o->debug,
	    .properties = link->properties,
	};
	*connect = (struct mqtt_connect){
	    .version = o->version,
	    .clean_start = !o->keep_session,
	    .has_will = o->will_topic != NULL,
	    .has_user_name = o->user_name != NULL,
	    .has_password = o->password != NULL,
	    .keep_alive_s = o->keep_alive_s,
	    .client_id = choose_client_id(link),
	    .user_name = optional(o->user_name),
	    .password = optional(o->password),
	    .properties = link->properties[MQTT_CONNECT],
	    .will = {.qos = o->will_qos,
		     .retain = o->will_retain,
		     .topic = optional(o->will_topic),
		     .payload = optional(o->will_payload),
		     .properties = link->properties[PACKET_WILL]},
	};
	set_session_expiry(&connect->properties, o);
	/* The broker may say in words why it refuses, or ends the connection: ask for them. */
	if (!mqtt_has(&connect->properties, MQTT_PROPERTY_REQUEST_PROBLEM_INFORMATION)) {
		mqtt_set(&connect->properties, MQTT_PROPERTY_REQUEST_PROBLEM_INFORMATION);
		connect->properties.request_problem_information = 1;
	}
}

/* What a CONNACK's code says: mosquitto's words before 5.0, the specification's for 5.0. */
static const char *refusal_text(enum mqtt_version version, uint8_t code)
{
	static const char *const texts[] = {
	    "Connection Accepted",
	    "Connection Refused: unacceptable protocol version",
	    "Connection Refused: identifier rejected",
	    "Connection Refused: broker unavailable",
	    "Connection Refused: bad user name or password",
	    "Connection Refused: not authorised",
	};

	if (version == MQTT_VERSION_5_0)
		return mqtt_reason_text(code);
	return code < sizeof(texts) / sizeof(texts[0]) ? texts[code]
						       : "Connection Refused: unknown reason";
}

int command_failed(const struct options *o, const struct failure *failure)
{
	if (!o->quiet)
		fprintf(stderr, "Error: %s\n", failure->text);
	return 1;
}

static int timed_out(const struct options *o)
{
	if (!o->quiet)
		fprintf(stderr, "Timed out\n");
	return EXIT_TIMED_OUT;
}

bool command_over(struct command_link *link)
{
	link->over =
	    link->over || leave_asked() || (link->until_ms > 0 && clock_now_ms() >= link->until_ms);
	return link->over;
}

int command_connect(struct command_link *link, const struct options *o,
		    const struct client_events *events, void *user)
{
	struct failure failure;

	*link = (struct command_link){.options = o};
	if (o->timeout_s > 0)
		link->until_ms = clock_now_ms() + (int64_t)o->timeout_s * 1000;
	make_settings(link);
	if (client_connect(&link->client, &link->settings, events, user, &failure))
		return 0;
	if (!link->client.refused)
		return command_over(link) ? timed_out(o) : command_failed(o, &failure);
	if (!o->quiet)
		fprintf(stderr, "Connection error: %s%s%s.\n",
			refusal_text(o->version, link->client.refusal),
			failure.text[0] != 0 ? ": " : "", failure.text);
	return link->client.refusal;
}

int command_serve(struct command_link *link)
{
	struct client *c = &link->client;
	const int64_t until_ms = link->until_ms > 0 ? link->until_ms : -1;
	struct failure failure;

	while (!c->stop && !command_over(link))
		if (!client_step(c, leave_fd(), until_ms, &failure))
			return command_failed(link->options, &failure);
	/* As mosquitto_sub: who did not get what it waited for leaves with its will, in 5.0. */
	client_disconnect_for(c, link->over ? MQTT_DISCONNECT_WITH_WILL : MQTT_SUCCESS);
	return link->over && !leave_asked() ? timed_out(link->options) : 0;
}

void command_finish(struct command_link *link)
{
	client_finish(&link->client);
	buffer_finish(&link->prefixed);
}
