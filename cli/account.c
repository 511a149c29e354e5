/*
 * account.c - `metrino account`: accounts and device keys of the running broker, over its control
 * socket (broker/control.h).
 */
#include "cli/account_request.h"
#include "cli/command.h"
#include "cli/control.h"

#include <time.h>

static const char usage[] =
    "Creates, changes and deletes accounts of the running broker.\n\n"
    "Usage: metrino account ACTION [--data DIR | --socket PATH] [--json]\n\n"
    "  create               a new account; prints the name it logs in with. Address and password\n"
    "                       are the first two lines of standard input\n"
    "    --no-address       without an address: its password cannot be recovered\n"
    "    --no-password      without a password: only its device keys log in\n"
    "    --read FILTER, --write, --readwrite, --deny\n"
    "                       what it may; without any of them, and without an acl_file, all topics\n"
    "  list                 one line for each account; the broker does not know addresses\n"
    "  show NAME            its rights\n"
    "  find                 the name of the account with the address on standard input\n"
    "  disable NAME         it is disconnected and may not log in\n"
    "  enable NAME          it may again\n"
    "  password NAME        another password, from standard input\n"
    "  grant NAME read|write|readwrite|deny FILTER\n"
    "  withdraw NAME FILTER\n"
    "  delete NAME          it is gone when this returns: connections, sessions, keys, rows; "
    "prints\n"
    "                       a receipt for the person (metrino subject check-receipt)\n"
    "  key add NAME         a new device key; id and secret are shown once, here\n"
    "    --expires 90d      good until then (s, m, h, d, w)\n"
    "    --read FILTER, --write, --readwrite, --deny, --publish-only, --subscribe-only\n"
    "                       what it may of what the account may\n"
    "  key list NAME        its keys; not the secrets, which are not kept\n"
    "  key revoke ID        whoever is connected with it is disconnected\n"
    "  recover              hands a mail with a code to recovery_mailer, for the address on\n"
    "                       standard input; the answer is the same for unknown ones\n"
    "  recover --code       a new password: address, code and password on standard input\n\n"
    "  --data DIR           the broker's data directory, which holds control.sock\n"
    "  --socket PATH        the socket itself\n"
    "  --json               the broker's answer as it is, one JSON object a line\n";

/* ---- answers ---- */

static const char *text_of(const json_t *line, const char *member)
{
	const char *text = json_string_value(json_object_get(line, member));

	return text ? text : "";
}

static void print_name(const struct account_request *request, const json_t *line)
{
	(void)request;
	puts(text_of(line, "name"));
}

static void print_rights(const char *before, const json_t *rights)
{
	const json_t *right;
	size_t i;

	if (rights && json_array_size(rights) == 0)
		printf("%snothing\n", before);
	json_array_foreach (rights, i, right) {
		printf("%s%s %s\n", before, text_of(right, "access"), text_of(right, "filter"));
	}
}

static void print_account(const struct account_request *request, const json_t *line)
{
	(void)request;
	if (!json_object_get(line, "name")) {
		print_rights("  ", json_object_get(line, "rights"));
		return;
	}
	printf("%s %lld keys%s%s%s%s\n", text_of(line, "name"),
	       (long long)json_integer_value(json_object_get(line, "keys")),
	       json_is_true(json_object_get(line, "has_address")) ? "" : ", no address",
	       json_is_true(json_object_get(line, "has_password")) ? "" : ", no password",
	       json_is_true(json_object_get(line, "has_rights")) ? "" : ", no rights of its own",
	       json_is_true(json_object_get(line, "disabled")) ? ", disabled" : "");
}

static void print_key(const struct account_request *request, const json_t *line)
{
	const time_t ends_s = (time_t)json_integer_value(json_object_get(line, "ends_at"));
	char ends[32] = "does not end";
	struct tm tm;

	(void)request;
	if (ends_s && gmtime_r(&ends_s, &tm))
		strftime(ends, sizeof(ends), "until %Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%s %s\n", text_of(line, "id"), ends);
	print_rights("  ", json_object_get(line, "rights"));
}

static void print_secret(const struct account_request *request, const json_t *line)
{
	(void)request;
	printf("id      %s\nsecret  %s\n", text_of(line, "id"), text_of(line, "secret"));
}

/* On standard output the receipt and nothing else, so that it can be kept as it is. */
static void print_receipt(const struct account_request *request, const json_t *line)
{
	const char *missing = json_string_value(json_object_get(line, "no_receipt"));

	(void)request;
	fputs(text_of(line, "receipt"), stdout);
	if (missing)
		fprintf(stderr, "It is deleted; there is no receipt: %s.\n", missing);
}

const struct account_action account_actions[] = {
    {NULL,
     "create",
     "accounts.create",
     {0},
     {"address", "password"},
     ACCOUNT_OPTION_RIGHTS | ACCOUNT_OPTION_CREATE,
     print_name},
    {NULL, "list", "accounts.list", {0}, {0}, 0, print_account},
    {NULL, "show", "accounts.show", {"name"}, {0}, 0, print_account},
    {NULL, "find", "accounts.find", {0}, {"address"}, 0, print_name},
    {NULL, "disable", "accounts.disable", {"name"}, {0}, 0, NULL},
    {NULL, "enable", "accounts.enable", {"name"}, {0}, 0, NULL},
    {NULL, "password", "accounts.password", {"name"}, {"password"}, 0, NULL},
    {NULL, "grant", "accounts.grant", {"name", "access", "filter"}, {0}, 0, NULL},
    {NULL, "withdraw", "accounts.withdraw", {"name", "filter"}, {0}, 0, NULL},
    {NULL, "delete", "accounts.delete", {"name"}, {0}, 0, print_receipt},
    {NULL, "recover", "accounts.recover", {0}, {"address"}, 0, NULL},
    {NULL,
     "recover",
     "accounts.reset",
     {0},
     {"address", "code", "password"},
     ACCOUNT_OPTION_RECOVER,
     NULL},
    {"key",
     "add",
     "keys.add",
     {"name"},
     {0},
     ACCOUNT_OPTION_RIGHTS | ACCOUNT_OPTION_KEY,
     print_secret},
    {"key", "list", "keys.list", {"name"}, {0}, 0, print_key},
    {"key", "revoke", "keys.revoke", {"id"}, {0}, 0, NULL},
    {0},
};

/* ---- asking ---- */

/* Of `recover`: the broker says which mailer, and the code where there is one to be sent. */
static bool send_mail(const struct account_request *request, const json_t *line,
		      struct failure *failure)
{
	const struct slice address = slice_of(request->secrets[0].at, request->secrets[0].len);
	const char *code = json_string_value(json_object_get(line, "code"));

	if (!account_mail_send(text_of(line, "mailer"), address, code, failure))
		return false;
	puts("If there is an account with this address, a mail with a code is on its way.");
	return true;
}

static bool take(void *self, const json_t *line, struct slice text, struct failure *failure)
{
	const struct account_request *request = self;
	const bool counts = json_object_get(line, "count") != NULL;

	if (json_object_get(line, "mailer"))
		return send_mail(request, line, failure);
	if (request->json)
		fwrite(text.at, text.len, 1, stdout);
	else if (request->action->print && !(control_is_last(line) && counts))
		request->action->print(request, line);
	return true;
}

static bool ask(struct account_request *request, struct failure *failure)
{
	return account_request_ask(request, failure) &&
	       control_ask(
		   &(struct control_question){
		       .data = request->data,
		       .socket = request->socket,
		       .request = account_request_json(request),
		       .self = request,
		       .take = take,
		   },
		   failure);
}

int command_account(int argc, char **argv)
{
	struct account_request request;
	struct failure failure;
	int status = 1;

	if (!account_request_read(&request, argc, argv, &failure))
		status = command_misused("account", &failure);
	else if (request.help)
		status = fputs(usage, stdout) < 0;
	else
		status = control_exit(ask(&request, &failure), &failure);
	account_request_finish(&request);
	return status;
}
