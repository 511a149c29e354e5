/* options_gather.c - where options come from, in order, and whether they fit together. */
#include "cli/options.h"

#include "cli/format.h"
#include "proto/topic.h"
#include "proto/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

void options_init(struct options *o, enum option_program program)
{
	*o = (struct options){
	    .program = program,
	    .host = "localhost",
	    .version = MQTT_VERSION_3_1_1,
	    .keep_alive_s = 60,
	    .inflight_max = 20,
	    .repeat = 1,
	    .chance = 100,
	};
	if (program == OPTION_RR)
		o->version = MQTT_VERSION_5_0;
	if (program == OPTION_BENCH)
		bench_options_init(o);
}

void options_finish(struct options *o)
{
	for (size_t i = 0; i < o->copies.count; i++)
		free((void *)(uintptr_t)o->copies.at[i]);
	for (size_t i = 0; i < PACKET_TYPES; i++)
		buffer_finish(&o->user_properties[i]);
	free(o->copies.at);
	free(o->topics.at);
	free(o->filter_out.at);
	free(o->unsubscribe.at);
	options_init(o, o->program);
}

void text_list_add(struct text_list *list, const char *text)
{
	/* Lists are a handful of words from a command line: one more each time. */
	const char **at = need_memory((list->count + 1) * sizeof(*at));

	if (list->count > 0)
		memcpy(at, list->at, list->count * sizeof(*at));
	at[list->count] = text;
	free(list->at);
	list->at = at;
	list->count++;
}

const char *options_keep(struct options *o, struct slice text)
{
	char *copy = need_copy(text);

	text_list_add(&o->copies, copy);
	return copy;
}

/*
 * One line: a flag, and after one blank its value as it is, blanks included.
 * The three or four words of -D are told apart by blanks, the last one takes the rest.
 */
static bool read_line(struct options *o, char *line, struct failure *failure)
{
	char *words[5];
	int count = 0;
	int most = 2;

	line[strcspn(line, "\r\n")] = '\0';
	line += strspn(line, " \t");
	if (*line == '\0' || *line == '#')
		return true;
	while (line != NULL && count < most) {
		char *end = strpbrk(line, " \t");

		words[count++] = line;
		if (strcmp(words[0], "-D") != 0 && strcmp(words[0], "--property") != 0)
			most = 2;
		else
			most = count >= 3 && strcasecmp(words[2], "user-property") == 0 ? 5 : 4;
		if (count == most || end == NULL)
			break;
		*end = '\0';
		line = end + 1;
	}
	/* "-q " is a flag without a value. */
	if (count > 1 && words[count - 1][0] == '\0')
		count--;
	for (int i = 0; i < count; i++)
		words[i] = (char *)(uintptr_t)options_keep(o, slice_text(words[i]));
	return options_read(o, count, words, failure);
}

bool options_read_file(struct options *o, const char *path, struct failure *failure)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	unsigned number = 0;
	bool good = true;

	if (file == NULL)
		return errno == ENOENT || errno == ENOTDIR
			   ? true
			   : failure_set(failure, "%.300s: %s", path, strerror(errno));
	while (good && getline(&line, &room, file) != -1) {
		number++;
		good = read_line(o, line, failure);
	}
	if (!good)
		failure_context(failure, "%.300s:%u", path, number);
	free(line);
	fclose(file);
	return good;
}

static bool read_user_file(struct options *o, struct failure *failure)
{
	static const char *const names[] = {[OPTION_PUB] = "mosquitto_pub",
					    [OPTION_SUB] = "mosquitto_sub",
					    [OPTION_RR] = "mosquitto_rr",
					    [OPTION_BENCH] = "metrino_bench"};
	const char *folder = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	struct buffer path = {0};
	bool good = true;

	if (folder != NULL && *folder != '\0') {
		buffer_add_text(&path, folder);
		buffer_add_text(&path, "/");
	} else if (home != NULL && *home != '\0') {
		buffer_add_text(&path, home);
		buffer_add_text(&path, "/.config/");
	}
	if (path.len > 0) {
		buffer_add_text(&path, names[o->program]);
		buffer_add_byte(&path, '\0', 1);
		good = options_read_file(o, (const char *)path.at, failure);
	}
	buffer_finish(&path);
	return good;
}

static bool check_text(const char *what, const char *text, struct failure *failure)
{
	const struct slice s = text != NULL ? slice_text(text) : SLICE_NONE;

	if (s.len > UINT16_MAX)
		return failure_set(failure, "The %s is longer than 65535 bytes.", what);
	if (!utf8_string_valid(s))
		return failure_set(failure, "The %s is not UTF-8.", what);
	return true;
}

static bool check_name(const char *what, const char *topic, struct failure *failure)
{
	if (!check_text(what, topic, failure))
		return false;
	if (!topic_name_valid(slice_text(topic)))
		return failure_set(failure, "Invalid %s '%.200s', does it contain '+' or '#'?",
				   what, topic);
	return true;
}

static bool check_filters(const char *what, const struct text_list *list, struct failure *failure)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!check_text(what, list->at[i], failure))
			return false;
		if (!topic_filter_valid(slice_text(list->at[i])))
			return failure_set(failure,
					   "Invalid %s topic '%.200s', are all '+' and '#' "
					   "wildcards correct?",
					   what, list->at[i]);
	}
	return true;
}

static bool check_will(const struct options *o, struct failure *failure)
{
	if (o->will_topic != NULL)
		return check_name("will topic", o->will_topic, failure);
	if (o->will_payload != NULL)
		return failure_set(failure, "Will payload given, but no will topic given.");
	if (o->will_retain)
		return failure_set(failure, "Will retain given, but no will topic given.");
	if (o->properties[PACKET_WILL].present != 0 || o->user_properties[PACKET_WILL].len > 0)
		return failure_set(failure, "Will properties given, but no will topic given.");
	return true;
}

/* -D selects 5.0; a -V after it would have properties said that are never sent. */
static bool check_properties(const struct options *o, struct failure *failure)
{
	for (size_t i = 0; i < PACKET_TYPES && o->version != MQTT_VERSION_5_0; i++)
		if (o->properties[i].present != 0 || o->user_properties[i].len > 0)
			return failure_set(failure, "Properties (-D) are not supported before MQTT "
						    "5.0: leave out -V, or say -V 5.");
	return true;
}

static bool check_identity(const struct options *o, struct failure *failure)
{
	const bool named = o->client_id != NULL || o->client_id_prefix != NULL;

	if (o->client_id != NULL && o->client_id_prefix != NULL)
		return failure_set(failure, "-i and -I argument cannot be used together.");
	if (o->keep_session && !named)
		return failure_set(failure,
				   "You must provide a client id if you are using the -c option.");
	/* Before 5.0 nobody is told. */
	if (o->has_session_expiry && o->session_expiry_s == UINT32_MAX && !named &&
	    o->version == MQTT_VERSION_5_0)
		return failure_set(failure, "You must provide a client id if you are using an "
					    "infinite session expiry interval.");
	if (o->client_id != NULL && o->client_id[0] == '\0')
		return failure_set(failure,
				   "Invalid id: it is empty. Without -i the broker makes one.");
	if (o->password != NULL && o->user_name == NULL && o->version != MQTT_VERSION_5_0)
		return failure_set(failure, "A password needs a user name (-u) before MQTT 5.0.");
	return check_text("client id", o->client_id, failure) &&
	       check_text("client id prefix", o->client_id_prefix, failure) &&
	       check_text("user name", o->user_name, failure);
}

static bool check_pub(const struct options *o, struct failure *failure)
{
	if (o->topics.count == 0 || o->source == PAYLOAD_NONE)
		return failure_set(failure, "Both topic and message must be supplied.");
	return check_name("publish topic", o->topics.at[0], failure);
}

static bool check_sub(const struct options *o, struct failure *failure)
{
	if (o->topics.count == 0 && o->unsubscribe.count == 0)
		return failure_set(failure, "You must specify a topic to subscribe to.");
	if (o->no_retained && o->retained_only)
		return failure_set(failure, "Combining '-R' and '--retained-only' makes no sense.");
	return (o->format == NULL || format_check(o->format, failure)) &&
	       check_filters("subscription", &o->topics, failure) &&
	       check_filters("unsubscribe", &o->unsubscribe, failure) &&
	       check_filters("filter", &o->filter_out, failure);
}

/* What comes by a shared subscription has another topic, and may go to somebody else. */
static bool check_not_shared(const char *topic, struct failure *failure)
{
	return strncmp(topic, "$share/", 7) != 0 ||
	       failure_set(failure,
			   "Invalid response topic '%.200s': $share/ begins a shared subscription, "
			   "and no message has such a topic.",
			   topic);
}

/* The response topic stands in the request, and none besides it. */
static bool check_rr(const struct options *o, struct failure *failure)
{
	if (o->topics.count == 0 || o->source == PAYLOAD_NONE || o->response_topic == NULL)
		return failure_set(failure,
				   "All of topic, message, and response topic must be supplied.");
	if (mqtt_has(&o->properties[MQTT_PUBLISH], MQTT_PROPERTY_RESPONSE_TOPIC))
		return failure_set(failure,
				   "Error in PUBLISH properties: Duplicate response topic.");
	return (o->format == NULL || format_check(o->format, failure)) &&
	       check_name("request topic", o->topics.at[0], failure) &&
	       check_name("response topic", o->response_topic, failure) &&
	       check_not_shared(o->response_topic, failure);
}

typedef bool check_options(const struct options *o, struct failure *failure);

static const struct {
	const char *name;
	check_options *check;
} programs[] = {[OPTION_PUB] = {"pub", check_pub},
		[OPTION_SUB] = {"sub", check_sub},
		[OPTION_RR] = {"rr", check_rr},
		[OPTION_BENCH] = {"bench", NULL}}; /* its check also completes them */

const char *options_program_name(enum option_program program)
{
	return programs[program].name;
}

bool options_gather(struct options *o, int argc, char **argv, struct failure *failure)
{
	check_options *check = programs[o->program].check;

	o->user_name = getenv("METRINO_USERNAME");
	o->password = getenv("METRINO_PASSWORD");
	if (!read_user_file(o, failure) || !options_read(o, argc, argv, failure))
		return false;
	if (o->help)
		return true;
	return (check != NULL ? check(o, failure) : bench_options_check(o, failure)) &&
	       check_identity(o, failure) && check_will(o, failure) &&
	       check_properties(o, failure) && options_finish_transport(o, failure);
}
