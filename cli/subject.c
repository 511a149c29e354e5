/*
 * subject.c - `metrino subject`: the rights of the person behind an account, for the operator
 * (broker/subject.h).
 */
#include "cli/buffer.h"
#include "cli/command.h"
#include "cli/control.h"
#include "cli/secret.h"
#include "cli/subject.h"

#include <jansson.h>

static const char usage[] =
    "The rights of the person behind an account: access, rectification, restriction, objection\n"
    "and erasure.\n\n"
    "Usage: metrino subject ACTION NAME | --address [--data DIR | --socket PATH] [--json]\n\n"
    "  export NAME [--client ID]...\n"
    "                       all that is kept of the account, as a signed text; with the "
    "deliveries\n"
    "                       of clients of it whose sessions have ended, where they are named\n"
    "  rectify NAME         another e-mail address, from standard input\n"
    "  restrict NAME on|off no rows of its deliveries are kept\n"
    "  object NAME on|off   it is in no statistics\n"
    "  erase NAME           it is gone when this returns; prints a receipt for the person, which\n"
    "                       the broker does not keep\n"
    "  check-receipt FILE --vkey KEY [--name NAME]\n"
    "                       that the broker gave this receipt, checked without the broker\n\n"
    "  --address            in place of NAME: the account with the address on the first line of\n"
    "                       standard input\n"
    "  --data DIR           the broker's data directory, which holds control.sock\n"
    "  --socket PATH        the socket itself\n"
    "  --json               the broker's answer as it is, one JSON object\n";

static const struct action {
	const char *name;
	const char *command; /* of the control socket */
	const char *text;    /* the member of the answer that is to be printed; NULL: none */
	bool takes_address;
	bool takes_set;	    /* on or off */
	bool takes_clients; /* --client */
} actions[] = {
    {"export", "subject.export", "export", false, false, true},
    {"rectify", "subject.rectify", NULL, true, false, false},
    {"restrict", "subject.restrict", NULL, false, true, false},
    {"object", "subject.object", NULL, false, true, false},
    {"erase", "subject.erase", "receipt", false, false, false},
};

struct request {
	const struct action *action;
	const char *words[2]; /* the name, if there is one, and on or off */
	size_t word_count;
	bool by_address, json, help;
	const char *data, *socket;
	struct buffer clients; /* identifiers, one a line */
	struct text address, new_address;
};

/* ---- arguments ---- */

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

static bool take_word(struct request *r, const char *word, struct failure *failure)
{
	if (r->action == NULL) {
		r->action = find_action(word);
		return r->action != NULL ||
		       failure_set(failure,
				   "Unknown action '%.80s'. It must be export, rectify, restrict, "
				   "object, erase or check-receipt.",
				   word);
	}
	if (word[0] == '-' || r->word_count == 2)
		return failure_set(failure, "Unknown argument '%.80s'.", word);
	r->words[r->word_count++] = word;
	return true;
}

static bool check(const struct request *r, struct failure *failure)
{
	if (r->action == NULL)
		return failure_set(failure,
				   "What is to be done? export, rectify, restrict, object, "
				   "erase or check-receipt.");
	if (r->clients.len > 0 && !r->action->takes_clients)
		return failure_set(failure, "--client is for export; %s takes none.",
				   r->action->name);
	size_t wanted = (r->by_address ? 0u : 1u) + (r->action->takes_set ? 1u : 0u);

	if (r->word_count != wanted)
		return failure_set(failure, "%s takes %s%s.", r->action->name,
				   r->by_address ? "--address" : "the name of the account",
				   r->action->takes_set ? ", and on or off" : "");
	return true;
}

static bool add_client(struct request *r, const char *id, struct failure *failure)
{
	if (*id == '\0' || strchr(id, '\n') != NULL)
		return failure_set(failure,
				   "--client needs a client identifier behind it, of one line.");
	buffer_add_text(&r->clients, id);
	buffer_add_byte(&r->clients, '\n', 1);
	return true;
}

static bool read_arguments(struct request *r, int argc, char **argv, struct failure *failure)
{
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		const char **value = strcmp(word, "--data") == 0     ? &r->data
				     : strcmp(word, "--socket") == 0 ? &r->socket
								     : NULL;

		if (value != NULL && i + 1 >= argc)
			return failure_set(failure, "%s needs a word behind it.", word);
		if (value != NULL)
			*value = argv[++i];
		else if (strcmp(word, "--client") == 0) {
			if (!add_client(r, ++i < argc ? argv[i] : "", failure))
				return false;
		} else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			r->help = true;
		else if (strcmp(word, "--json") == 0)
			r->json = true;
		else if (strcmp(word, "--address") == 0)
			r->by_address = true;
		else if (!take_word(r, word, failure))
			return false;
	}
	return r->help || check(r, failure);
}

static bool read_secrets(struct request *r, struct failure *failure)
{
	must(r->action);
	return (!r->by_address ||
		secret_read("E-mail address", SECRET_SHOWN, &r->address, failure)) &&
	       (!r->action->takes_address ||
		secret_read("New e-mail address", SECRET_SHOWN, &r->new_address, failure));
}

/* ---- asking ---- */

static bool set(json_t *object, const char *member, const char *text, size_t len)
{
	return json_object_set_new(object, member, json_stringn(text, len)) == 0;
}

/* NULL: something is not UTF-8. */
static json_t *request_of(const struct request *r)
{
	const struct text *address = &r->address, *next = &r->new_address;
	json_t *object = json_pack("{s:s}", "command", r->action->command);
	const char *word = r->by_address ? NULL : r->words[0];
	const char *on_or_off = r->action->takes_set ? r->words[r->word_count - 1] : NULL;
	const struct buffer *clients = &r->clients;

	if ((clients->len == 0 ||
	     set(object, "clients", (const char *)clients->at, clients->len)) &&
	    (!r->by_address || set(object, "address", address->at, address->len)) &&
	    (!word || set(object, "name", word, strlen(word))) &&
	    (!on_or_off || set(object, "set", on_or_off, strlen(on_or_off))) &&
	    (!r->action->takes_address || set(object, "new_address", next->at, next->len)))
		return object;
	json_decref(object);
	return NULL;
}

static bool print(void *self, const json_t *object, struct slice line, struct failure *failure)
{
	const struct request *r = self;
	const char *text =
	    r->action->text ? json_string_value(json_object_get(object, r->action->text)) : NULL;
	const char *no_receipt = json_string_value(json_object_get(object, "no_receipt"));
	const char *warning = json_string_value(json_object_get(object, "warning"));

	if (text != NULL)
		fputs(text, stdout);
	if (no_receipt != NULL)
		fprintf(stderr, "Erased; there is no receipt: %s\n", no_receipt);
	if (warning != NULL)
		fprintf(stderr, "Warning: %s\n", warning);
	(void)line;
	(void)failure;
	return true;
}

static bool ask(struct request *r, struct failure *failure)
{
	bool good = read_secrets(r, failure) && control_ask(
						    &(struct control_question){
							.data = r->data,
							.socket = r->socket,
							.request = request_of(r),
							.json = r->json,
							.self = r,
							.take = print,
						    },
						    failure);

	text_file_free(&r->address);
	text_file_free(&r->new_address);
	buffer_finish(&r->clients);
	return good;
}

int command_subject(int argc, char **argv)
{
	struct request request = {0};
	struct failure failure;

	if (argc > 0 && strcmp(argv[0], "check-receipt") == 0)
		return subject_check_receipt(argc, argv);
	if (!read_arguments(&request, argc, argv, &failure))
		return command_misused("subject", &failure);
	if (request.help) {
		fputs(usage, stdout);
		return 0;
	}
	return control_exit(ask(&request, &failure), &failure);
}
