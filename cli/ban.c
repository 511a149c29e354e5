/*
 * ban.c - `metrino ban`: the addresses that the running broker has banned after failed logins.
 */
#include "cli/command.h"
#include "cli/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

static const char usage[] =
    "Shows and lifts bans of addresses after failed logins (auth_fail_ban).\n\n"
    "Usage: metrino ban [list | lift ADDRESS] [--data DIR | --socket PATH] [--json]\n\n"
    "  list           one line for each ban, with the seconds that are left; the default\n"
    "  lift ADDRESS   end a ban; of IPv6 any address of the network\n"
    "  --data DIR     the broker's data directory, which holds control.sock\n"
    "  --socket PATH  the socket itself\n"
    "  --json         the broker's answer as it is, one JSON object a line\n";

struct request {
	const char *address; /* to lift; NULL: list */
	const char *data;
	const char *socket;
	bool json;
	bool help;
};

static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		const char **value = strcmp(word, "lift") == 0	     ? &r->address
				     : strcmp(word, "--data") == 0   ? &r->data
				     : strcmp(word, "--socket") == 0 ? &r->socket
								     : NULL;

		if (value != NULL && i + 1 >= argc)
			return failure_set(failure, "%s needs a word behind it.", word);
		if (value != NULL)
			*value = argv[++i];
		else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			r->help = true;
		else if (strcmp(word, "--json") == 0)
			r->json = true;
		else if (strcmp(word, "list") != 0)
			return failure_set(failure,
					   "Unknown argument '%.80s'. It must be list, lift "
					   "ADDRESS, --data DIR, --socket PATH or --json.",
					   word);
	}
	return true;
}

static bool send_request(FILE *stream, const struct request *r, struct failure *failure)
{
	json_t *object = json_pack("{s:s, s:s*}", "command", r->address ? "bans.lift" : "bans.list",
				   "address", r->address);
	bool good;

	if (object == NULL)
		return failure_set(failure, "The address is not UTF-8.");
	good = json_dumpf(object, stream, JSON_COMPACT) == 0 && fputc('\n', stream) != EOF &&
	       fflush(stream) == 0;
	json_decref(object);
	return good || failure_set(failure, "control socket: %s.", strerror(errno));
}

/* One line of the answer; *done when it was the last one. */
static bool take_line(const void *self, const char *line, size_t len, bool *done,
		      struct failure *failure)
{
	const struct request *r = self;
	json_t *object = json_loadb(line, len, 0, NULL);
	const json_t *ok = json_object_get(object, "ok");
	const char *error = json_string_value(json_object_get(object, "error"));
	const char *address = json_string_value(json_object_get(object, "address"));
	bool good = true;

	*done = ok != NULL;
	if (ok != NULL && !json_is_true(ok))
		good = failure_set(failure, "%.400s", error != NULL ? error : "refused");
	else if (ok == NULL && address == NULL)
		good = failure_set(failure, "The broker's answer is not understood; is it another "
					    "version?");
	else if (r->json)
		fwrite(line, len, 1, stdout);
	else if (address != NULL)
		printf("%s %lld\n", address,
		       (long long)json_integer_value(json_object_get(object, "seconds_left")));
	json_decref(object);
	return good;
}

static bool ask(const struct request *r, FILE *stream, struct failure *failure)
{
	if (!send_request(stream, r, failure))
		return false;
	return control_answer(stream, take_line, r, failure);
}

int command_ban(int argc, char **argv)
{
	struct request request = {0};
	struct failure failure;
	FILE *stream;
	bool good;

	if (!read_arguments(&request, argc, argv, &failure)) {
		fprintf(stderr, "Error: %s\n\nUse 'metrino ban --help' to see usage.\n",
			failure.text);
		return 1;
	}
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	stream = control_open(request.data, request.socket, &failure);
	good = stream != NULL && ask(&request, stream, &failure);
	if (stream != NULL)
		fclose(stream);
	if (!good)
		fprintf(stderr, "Error: %s\n", failure.text);
	return good ? 0 : 1;
}
