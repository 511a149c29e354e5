/*
 * records.c - `metrino aggregate` and `metrino logins`: what the running broker keeps of days
 * and of the logins of an account.
 */
#include "cli/command.h"
#include "cli/control.h"

#include <jansson.h>
#include <stdlib.h>

#define COMMON_USAGE                                                                               \
	"  --data DIR     the broker's data directory, which holds control.sock\n"                 \
	"  --socket PATH  the socket itself\n"                                                     \
	"  --json         the broker's answer as it is, one JSON object a line\n"

static const char aggregate_usage[] =
    "Shows what the broker keeps of the last days: how much was published with each QoS, and by\n"
    "how many accounts, with noise. Of days with few accounts, and of those that the broker did\n"
    "not see whole, nothing is kept.\n\n"
    "Usage: metrino aggregate [--data DIR | --socket PATH] [--json]\n\n" COMMON_USAGE;

static const char logins_usage[] =
    "Shows when somebody logged in as an account, or tried: a line for each minute and result.\n\n"
    "Usage: metrino logins ACCOUNT [--data DIR | --socket PATH] [--json]\n\n" COMMON_USAGE;

/* What the two commands differ in. */
struct kind {
	const char *name;    /* of the command */
	const char *command; /* of the control socket */
	const char *usage;
	const char *nothing; /* is said when there is nothing to show */
	bool names_account;
	void (*print)(const json_t *line);
};

struct request {
	const struct kind *kind;
	const char *account;
	const char *data;
	const char *socket;
	bool json;
	bool help;
	bool shown; /* something was */
};

/* ---- lines for people */

static long long number_of(const json_t *line, const char *member)
{
	return json_integer_value(json_object_get(line, member));
}

static void print_release(const json_t *line)
{
	const char *day = json_string_value(json_object_get(line, "day"));

	if (json_is_true(json_object_get(line, "kept")))
		printf("%s  accounts %lld  QoS 0 %lld  QoS 1 %lld  QoS 2 %lld\n", day ? day : "?",
		       number_of(line, "accounts"), number_of(line, "qos0"),
		       number_of(line, "qos1"), number_of(line, "qos2"));
	else
		printf("%s  nothing is kept\n", day ? day : "?");
}

static void print_login(const json_t *line)
{
	const char *minute = json_string_value(json_object_get(line, "minute"));
	const char *result = json_string_value(json_object_get(line, "result"));

	printf("%s  %s\n", minute ? minute : "?", result ? result : "?");
}

/* ---- asking */

static bool read_word(struct request *r, const char *word, struct failure *failure)
{
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		r->help = true;
	else if (strcmp(word, "--json") == 0)
		r->json = true;
	else if (word[0] == '-' || !r->kind->names_account || r->account)
		return failure_set(failure, "Unknown argument '%.80s'.", word);
	else
		r->account = word;
	return true;
}

static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char **value = strcmp(argv[i], "--data") == 0	? &r->data
				     : strcmp(argv[i], "--socket") == 0 ? &r->socket
									: NULL;

		if (value && i + 1 >= argc)
			return failure_set(failure, "%s needs a word behind it.", argv[i]);
		if (value)
			*value = argv[++i];
		else if (!read_word(r, argv[i], failure))
			return false;
	}
	if (r->kind->names_account && !r->account && !r->help)
		return failure_set(failure, "The name of an account is needed.");
	return true;
}

static bool print(void *self, const json_t *line, struct slice text, struct failure *failure)
{
	struct request *r = self;

	(void)text;
	(void)failure;
	if (!control_is_last(line))
		r->kind->print(line);
	else if (!r->shown)
		puts(r->kind->nothing);
	r->shown = true;
	return true;
}

static bool ask(struct request *r, struct failure *failure)
{
	return control_ask(
	    &(struct control_question){
		.data = r->data,
		.socket = r->socket,
		.request =
		    json_pack("{s:s, s:s*}", "command", r->kind->command, "account", r->account),
		.json = r->json,
		.self = r,
		.take = print,
	    },
	    failure);
}

static int run(const struct kind *kind, int argc, char **argv)
{
	struct request request = {.kind = kind};
	struct failure failure;

	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused(kind->name, &failure);
	if (request.help) {
		fputs(kind->usage, stdout);
		return 0;
	}
	return control_exit(ask(&request, &failure), &failure);
}

int command_aggregate(int argc, char **argv)
{
	static const struct kind kind = {
	    "aggregate",     "aggregate.list",
	    aggregate_usage, "No day is kept: the broker has not seen one from beginning to end.",
	    false,	     print_release};

	return run(&kind, argc, argv);
}

int command_logins(int argc, char **argv)
{
	static const struct kind kind = {
	    "logins",	  "logins.list",
	    logins_usage, "No logins are kept; those of the last ten seconds are not told yet.",
	    true,	  print_login};

	return run(&kind, argc, argv);
}
