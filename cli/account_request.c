/* account_request.c - see account_request.h. */
#include "cli/account_request.h"
#include "cli/secret.h"

#include <stdlib.h>
#include <time.h>

/* ---- the action ---- */

static const struct account_action *find_action(const char *group, const char *name, bool code)
{
	for (const struct account_action *at = account_actions; at->name; at++)
		if ((group ? at->group && strcmp(at->group, group) == 0 : !at->group) &&
		    strcmp(at->name, name) == 0 &&
		    code == (strcmp(at->command, "accounts.reset") == 0))
			return at;
	return NULL;
}

/* Takes the words of the action off the arguments; gives how many. */
static int take_action(struct account_request *request, int argc, char **argv)
{
	const int used = argc > 0 && strcmp(argv[0], "key") == 0 ? 2 : 1;
	bool code = false;

	for (int i = 0; i < argc; i++)
		code = code || strcmp(argv[i], "--code") == 0;
	if (argc >= used)
		request->action = find_action(used == 2 ? argv[0] : NULL, argv[used - 1],
					      code && strcmp(argv[used - 1], "recover") == 0);
	return used;
}

/* ---- options ---- */

static bool add_right(struct account_request *request, const char *access, const char *filter,
		      struct failure *failure)
{
	json_t *line = json_pack("{s:s, s:s}", "access", access, "filter", filter);

	if (line == NULL)
		return failure_set(failure, "a topic filter is not UTF-8.");
	if (request->rights == NULL)
		request->rights = json_array();
	return json_array_append_new(request->rights, line) == 0;
}

/* 90d: seconds, minutes, hours, days or weeks from now. */
static bool take_expiry(struct account_request *request, const char *word, struct failure *failure)
{
	static const struct {
		char unit;
		long long seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	char *end = NULL;
	const long long number = strtoll(word, &end, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (number > 0 && number < 100000000 && end[0] == units[i].unit && end[1] == '\0') {
			request->ends_s = (long long)time(NULL) + number * units[i].seconds;
			return true;
		}
	return failure_set(failure,
			   "--expires %.40s: right would be a number with s, m, h, d or w behind "
			   "it, 90d.",
			   word);
}

static bool take_filter_right(struct account_request *request, const char *word, const char *value,
			      struct failure *failure)
{
	return add_right(request, word + 2, value, failure);
}

static bool take_expires(struct account_request *request, const char *word, const char *value,
			 struct failure *failure)
{
	(void)word;
	return take_expiry(request, value, failure);
}

static bool take_data(struct account_request *request, const char *word, const char *value,
		      struct failure *failure)
{
	(void)failure;
	*(strcmp(word, "--data") == 0 ? &request->data : &request->socket) = value;
	return true;
}

static bool take_only(struct account_request *request, const char *word, const char *value,
		      struct failure *failure)
{
	(void)value;
	return add_right(request, strcmp(word, "--publish-only") == 0 ? "write" : "read", "#",
			 failure);
}

static bool take_switch(struct account_request *request, const char *word, const char *value,
			struct failure *failure)
{
	(void)value;
	(void)failure;
	*(strcmp(word, "--no-address") == 0    ? &request->no_address
	  : strcmp(word, "--no-password") == 0 ? &request->no_password
	  : strcmp(word, "--code") == 0	       ? &request->code
					       : &request->json) = true;
	return true;
}

static const struct {
	const char *word;
	unsigned options; /* the actions that have it; 0: all */
	bool has_value;
	bool (*take)(struct account_request *request, const char *word, const char *value,
		     struct failure *failure);
} options[] = {
    {"--read", ACCOUNT_OPTION_RIGHTS, true, take_filter_right},
    {"--write", ACCOUNT_OPTION_RIGHTS, true, take_filter_right},
    {"--readwrite", ACCOUNT_OPTION_RIGHTS, true, take_filter_right},
    {"--deny", ACCOUNT_OPTION_RIGHTS, true, take_filter_right},
    {"--publish-only", ACCOUNT_OPTION_KEY, false, take_only},
    {"--subscribe-only", ACCOUNT_OPTION_KEY, false, take_only},
    {"--expires", ACCOUNT_OPTION_KEY, true, take_expires},
    {"--no-address", ACCOUNT_OPTION_CREATE, false, take_switch},
    {"--no-password", ACCOUNT_OPTION_CREATE, false, take_switch},
    {"--code", ACCOUNT_OPTION_RECOVER, false, take_switch},
    {"--json", 0, false, take_switch},
    {"--data", 0, true, take_data},
    {"--socket", 0, true, take_data},
};

/* Takes the option at *i; false: why not. */
static bool take_option(struct account_request *request, int argc, char **argv, int *i,
			struct failure *failure)
{
	const char *word = argv[*i];

	for (size_t n = 0; n < sizeof(options) / sizeof(options[0]); n++) {
		if (strcmp(options[n].word, word) != 0)
			continue;
		if (options[n].options && !(options[n].options & request->action->options))
			break;
		if (options[n].has_value && *i + 1 >= argc)
			return failure_set(failure, "%s needs a word behind it.", word);
		return options[n].take(request, word, options[n].has_value ? argv[++*i] : NULL,
				       failure);
	}
	return failure_set(failure, "'%.40s' is no option of %s%s%s.", word,
			   request->action->group ? request->action->group : "",
			   request->action->group ? " " : "", request->action->name);
}

static bool check_words(const struct account_request *request, struct failure *failure)
{
	size_t needed = 0;

	while (request->action->words[needed])
		needed++;
	if (request->word_count < needed)
		return failure_set(failure, "%s is missing.",
				   request->action->words[request->word_count]);
	return true;
}

static bool take_word(struct account_request *request, const char *word, struct failure *failure)
{
	if (request->action->words[request->word_count] == NULL)
		return failure_set(failure, "'%.40s' is too many.%s", word,
				   strchr(word, '@') ? "  An address is read from standard input, "
						       "where others cannot see it."
						     : "");
	request->words[request->word_count++] = word;
	return true;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

bool account_request_read(struct account_request *request, int argc, char **argv,
			  struct failure *failure)
{
	*request = (struct account_request){.help = wants_help(argc, argv)};
	if (request->help)
		return true;
	int i = take_action(request, argc, argv);

	if (request->action == NULL)
		return failure_set(
		    failure, "right would be create, list, show, find, disable, enable, "
			     "password, grant, withdraw, delete, recover, key add, key list or "
			     "key revoke.");
	for (; i < argc; i++)
		if (!(argv[i][0] == '-' ? take_option(request, argc, argv, &i, failure)
					: take_word(request, argv[i], failure)))
			return false;
	return check_words(request, failure);
}

/* ---- what is secret ---- */

static bool is_left_out(const struct account_request *request, const char *member)
{
	return (request->no_address && strcmp(member, "address") == 0) ||
	       (request->no_password && strcmp(member, "password") == 0);
}

bool account_request_ask(struct account_request *request, struct failure *failure)
{
	for (size_t i = 0; request->action->secrets[i]; i++) {
		const char *member = request->action->secrets[i];
		const enum secret_kind kind =
		    strcmp(member, "password") == 0 ? SECRET_TWICE : SECRET_SHOWN;

		if (is_left_out(request, member))
			continue;
		if (!secret_read(member, kind, &request->secrets[i], failure))
			return false;
		if (request->secrets[i].len == 0)
			return failure_set(failure, "the %s is empty.", member);
	}
	return true;
}

json_t *account_request_json(const struct account_request *request)
{
	const struct account_action *action = request->action;
	json_t *object = json_pack("{s:s}", "command", action->command);
	int bad = 0;

	for (size_t i = 0; i < request->word_count; i++)
		bad |=
		    json_object_set_new(object, action->words[i], json_string(request->words[i]));
	for (size_t i = 0; action->secrets[i]; i++)
		if (request->secrets[i].at)
			bad |= json_object_set_new(
			    object, action->secrets[i],
			    json_stringn(request->secrets[i].at, request->secrets[i].len));
	if (request->rights)
		bad |= json_object_set(object, "rights", request->rights);
	if (request->ends_s)
		bad |= json_object_set_new(object, "ends_at", json_integer(request->ends_s));
	if (!bad)
		return object;
	json_decref(object);
	return NULL;
}

void account_request_finish(struct account_request *request)
{
	json_decref(request->rights);
	for (size_t i = 0; i < sizeof(request->secrets) / sizeof(request->secrets[0]); i++)
		text_file_free(&request->secrets[i]);
}
