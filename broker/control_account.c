/*
 * control_account.c - commands of the control socket for accounts and device keys: control.h has
 * the protocol, accounts.h what they do.
 *
 * What takes a right away answers when the connections that had it are closed.
 */
#include "broker/control_internal.h"
#include "broker/net/moment.h"
#include "broker/subject.h"
#include <stdio.h>

/* ---- requests ---- */

static bool has_texts(const json_t *request, const char *const *members, struct failure *failure)
{
	for (; *members; members++)
		if (!json_is_string(json_object_get(request, *members)))
			return failure_set(failure, "this command needs \"%s\", a string",
					   *members);
	return true;
}

#define NEEDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What is meant to be there and is not would be an account that nobody asked for. */
static bool may_have_texts(const json_t *request, const char *const *members,
			   struct failure *failure)
{
	for (; *members; members++)
		if (json_object_get(request, *members) && control_text(request, *members).len == 0)
			return failure_set(failure,
					   "\"%s\" is a string, and not empty; right would be to "
					   "leave it out where there is none",
					   *members);
	return true;
}

static bool add_right(struct account_rights **rights, const json_t *line, struct failure *failure)
{
	if (!has_texts(line, NEEDS("access", "filter"), failure))
		return false;
	struct account_rights *more =
	    account_rights_with(*rights, json_string_value(json_object_get(line, "access")),
				control_text(line, "filter"), failure);
	if (more == NULL)
		return false;
	account_rights_leave(*rights);
	*rights = more;
	return true;
}

/* One of several, by its place. */
static void name_wrong(size_t number, const struct failure *wrong, struct failure *all)
{
	size_t len = strlen(all->text);

	snprintf(all->text + len, sizeof(all->text) - len, "%sright %zu: %s", len > 0 ? "; " : "",
		 number, wrong->text);
}

/* Gives; NULL when there are none.  All that are wrong are named. */
static bool read_rights(const json_t *request, struct account_rights **rights,
			struct failure *failure)
{
	const json_t *lines = json_object_get(request, "rights"), *line;
	size_t i;

	*rights = NULL;
	if (lines && !json_is_array(lines))
		return failure_set(failure, "\"rights\" is an array of objects with \"access\" and "
					    "\"filter\"");
	failure->text[0] = '\0';
	json_array_foreach (lines, i, line) {
		struct failure wrong;

		if (!add_right(rights, line, &wrong))
			name_wrong(i + 1, &wrong, failure);
	}
	if (failure->text[0] == '\0')
		return true;
	account_rights_leave(*rights);
	*rights = NULL;
	return false;
}

/* ---- answers ---- */

static void say_done(FILE *out, bool done, const struct failure *failure)
{
	if (done)
		control_say(out, json_pack("{s:b}", "ok", 1));
	else
		control_say_error(out, failure->text);
}

/* Waits for the workers; the answer is that it was done. */
static void say_when_done(FILE *out, struct census *census)
{
	if (census_wait(census, CONTROL_PATIENCE_MS))
		control_say(out, json_pack("{s:b}", "ok", 1));
	else
		control_say_error(out, "it is done, but a worker is too busy to say that the "
				       "connections are closed");
	census_release(census);
}

/* After something that may take rights from who is connected. */
static void say_renewed(const struct control_source *source, FILE *out, bool done,
			const struct failure *failure)
{
	if (done)
		say_when_done(out, source->renew(source->self));
	else
		control_say_error(out, failure->text);
}

/* ---- asking ---- */

struct teller {
	FILE *out;
	json_int_t count;
};

static void tell_account(void *self, const struct account *account)
{
	struct teller *teller = self;

	teller->count++;
	control_say(teller->out,
		    json_pack("{s:s, s:b, s:b, s:b, s:b, s:I}", "name", account->name, "disabled",
			      (account->flags & ACCOUNT_DISABLED) != 0, "has_address",
			      (account->flags & ACCOUNT_HAS_ADDRESS) != 0, "has_password",
			      (account->flags & ACCOUNT_HAS_PASSWORD) != 0, "has_rights",
			      account->rights != NULL, "keys", (json_int_t)account->key_count));
}

static void tell_rights(void *self, const struct account *account)
{
	struct teller *teller = self;

	tell_account(self, account);
	if (account->rights)
		control_say(teller->out,
			    json_pack("{s:o}", "rights", subject_rights(account->rights)));
}

static void tell_keys(void *self, const struct account *account)
{
	struct teller *teller = self;

	for (const struct account_key *key = account->keys; key; key = key->next) {
		json_t *line =
		    json_pack("{s:s, s:I}", "id", key->id, "ends_at", (json_int_t)key->ends_s);

		if (key->scope)
			json_object_set_new(line, "rights", subject_rights(key->scope));
		control_say(teller->out, line);
		teller->count++;
	}
}

static void say_count(const struct teller *teller)
{
	control_say(teller->out, json_pack("{s:b, s:I}", "ok", 1, "count", teller->count));
}

static void list(const struct control_source *source, const json_t *request, FILE *out)
{
	struct teller teller = {.out = out};

	(void)request;
	accounts_each(source->accounts, &teller, tell_account);
	say_count(&teller);
}

static void tell_of(const struct control_source *source, const json_t *request, FILE *out,
		    accounts_teller *call)
{
	struct teller teller = {.out = out};
	struct failure failure;

	if (has_texts(request, NEEDS("name"), &failure) &&
	    accounts_tell(source->accounts, control_text(request, "name"), &teller, call, &failure))
		say_count(&teller);
	else
		control_say_error(out, failure.text);
}

static void show(const struct control_source *source, const json_t *request, FILE *out)
{
	tell_of(source, request, out, tell_rights);
}

static void list_keys(const struct control_source *source, const json_t *request, FILE *out)
{
	tell_of(source, request, out, tell_keys);
}

static void find(const struct control_source *source, const json_t *request, FILE *out)
{
	char name[ACCOUNT_NAME_SIZE];
	struct failure failure;

	if (has_texts(request, NEEDS("address"), &failure) &&
	    accounts_find(source->accounts, control_text(request, "address"), name, &failure))
		control_say(out, json_pack("{s:b, s:s}", "ok", 1, "name", name));
	else
		control_say_error(out, failure.text);
}

/* ---- changing ---- */

static void create(const struct control_source *source, const json_t *request, FILE *out)
{
	struct accounts_new new = {.address = control_text(request, "address"),
				   .password = control_text(request, "password")};
	char name[ACCOUNT_NAME_SIZE];
	struct failure failure;

	if (!may_have_texts(request, NEEDS("address", "password"), &failure) ||
	    !source->expect_accounts(source->self, &failure) ||
	    !read_rights(request, &new.rights, &failure) ||
	    !accounts_create(source->accounts, &new, name, &failure))
		control_say_error(out, failure.text);
	else
		control_say(out, json_pack("{s:b, s:s}", "ok", 1, "name", name));
}

static void disable(const struct control_source *source, const json_t *request, FILE *out)
{
	struct failure failure;
	bool done = has_texts(request, NEEDS("name"), &failure) &&
		    accounts_set_flag(source->accounts, control_text(request, "name"),
				      ACCOUNT_DISABLED, true, &failure);

	say_renewed(source, out, done, &failure);
}

static void enable(const struct control_source *source, const json_t *request, FILE *out)
{
	struct failure failure;
	bool done = has_texts(request, NEEDS("name"), &failure) &&
		    accounts_set_flag(source->accounts, control_text(request, "name"),
				      ACCOUNT_DISABLED, false, &failure);

	say_done(out, done, &failure);
}

static void set_password(const struct control_source *source, const json_t *request, FILE *out)
{
	struct failure failure;
	bool done = has_texts(request, NEEDS("name", "password"), &failure) &&
		    accounts_set_password(source->accounts, control_text(request, "name"),
					  control_text(request, "password"), &failure);

	say_renewed(source, out, done, &failure);
}

static void grant(const struct control_source *source, const json_t *request, FILE *out)
{
	struct failure failure;
	bool done = has_texts(request, NEEDS("name", "access", "filter"), &failure) &&
		    accounts_grant(source->accounts, control_text(request, "name"),
				   json_string_value(json_object_get(request, "access")),
				   control_text(request, "filter"), &failure);

	say_renewed(source, out, done, &failure);
}

static void withdraw(const struct control_source *source, const json_t *request, FILE *out)
{
	struct failure failure;
	bool done = has_texts(request, NEEDS("name", "filter"), &failure) &&
		    accounts_withdraw(source->accounts, control_text(request, "name"),
				      control_text(request, "filter"), &failure);

	say_renewed(source, out, done, &failure);
}

/* A member of an answer as a line of its own. */
static void say_apart(FILE *out, json_t *answer, const char *member)
{
	json_t *value = json_object_get(answer, member);

	if (value)
		control_say(out, json_pack("{s:O}", member, value));
	json_object_del(answer, member);
}

/* The deletion is done whether there is a receipt or not. */
static void delete (const struct control_source *source, const json_t *request, FILE *out)
{
	struct slice name = control_text(request, "name");
	struct failure failure;
	uint64_t expel;

	if (!has_texts(request, NEEDS("name"), &failure)) {
		control_say_error(out, failure.text);
		return;
	}
	json_t *answer =
	    subject_do(source->subject, SUBJECT_OPERATOR, OWN_ERASE, name, name, &expel);

	say_apart(out, answer, "receipt");
	say_apart(out, answer, "no_receipt");
	if (expel != 0 && !subject_expel(source->subject, expel))
		control_say_error(out, "it is deleted, but a worker is too busy to say that the "
				       "connections are closed");
	else
		control_say(out, json_incref(answer));
	json_decref(answer);
}

/* ---- device keys ---- */

static bool read_end(struct accounts *accounts, const json_t *request, uint64_t *ends_s,
		     struct failure *failure)
{
	const json_t *value = json_object_get(request, "ends_at");
	const json_int_t now_s = (json_int_t)accounts_now_s(accounts);

	*ends_s = 0;
	if (value == NULL)
		return true;
	if (!json_is_integer(value) || json_integer_value(value) <= now_s)
		return failure_set(failure,
				   "\"ends_at\" is a time to come, in seconds since 1970: later "
				   "than %" JSON_INTEGER_FORMAT ", which it has been already",
				   now_s);
	*ends_s = (uint64_t)json_integer_value(value);
	return true;
}

static void add_key(const struct control_source *source, const json_t *request, FILE *out)
{
	char id[ACCOUNT_ID_SIZE], secret[ACCOUNT_KEY_SECRET_SIZE];
	struct account_rights *scope = NULL;
	struct failure failure;
	uint64_t ends_s;

	if (!has_texts(request, NEEDS("name"), &failure) ||
	    !read_end(source->accounts, request, &ends_s, &failure) ||
	    !read_rights(request, &scope, &failure) ||
	    !accounts_add_key(source->accounts, control_text(request, "name"), ends_s, scope, id,
			      secret, &failure)) {
		control_say_error(out, failure.text);
		return;
	}
	control_say(out, json_pack("{s:b, s:s, s:s}", "ok", 1, "id", id, "secret", secret));
	explicit_bzero(secret, sizeof(secret));
}

static void revoke_key(const struct control_source *source, const json_t *request, FILE *out)
{
	struct failure failure;
	bool done = has_texts(request, NEEDS("id"), &failure) &&
		    accounts_revoke_key(source->accounts, control_text(request, "id"), &failure);

	say_renewed(source, out, done, &failure);
}

/* ---- recovery ---- */

/* The same whether there is such an account or not, but for the code. */
static void recover(const struct control_source *source, const json_t *request, FILE *out)
{
	const char *mailer = source->mailer(source->self);
	char code[ACCOUNTS_CODE_SIZE];
	struct failure failure;

	if (!mailer) {
		control_say_error(out, "recovery_mailer is not configured; right would be the "
				       "program that sends a mail: recovery_mailer "
				       "/usr/sbin/sendmail -t");
	} else if (!has_texts(request, NEEDS("address"), &failure)) {
		control_say_error(out, failure.text);
	} else if (accounts_make_code(source->accounts, control_text(request, "address"),
				      moment_now().ms, code)) {
		control_say(out,
			    json_pack("{s:b, s:s, s:s}", "ok", 1, "mailer", mailer, "code", code));
	} else {
		control_say(out, json_pack("{s:b, s:s}", "ok", 1, "mailer", mailer));
	}
	explicit_bzero(code, sizeof(code));
}

static void reset(const struct control_source *source, const json_t *request, FILE *out)
{
	struct failure failure;
	bool done = has_texts(request, NEEDS("address", "code", "password"), &failure) &&
		    accounts_use_code(source->accounts, control_text(request, "address"),
				      control_text(request, "code"),
				      control_text(request, "password"), moment_now().ms, &failure);

	say_renewed(source, out, done, &failure);
}

const struct control_command control_account_commands[] = {
    {"accounts.create", AUDIT_WORD_RIGHT_ACCOUNT_CREATE, true, create},
    {"accounts.list", AUDIT_WORD_RIGHT_ACCOUNT_LIST, true, list},
    {"accounts.show", AUDIT_WORD_RIGHT_ACCOUNT_SHOW, true, show},
    {"accounts.find", AUDIT_WORD_RIGHT_ACCOUNT_FIND, true, find},
    {"accounts.disable", AUDIT_WORD_RIGHT_ACCOUNT_DISABLE, true, disable},
    {"accounts.enable", AUDIT_WORD_RIGHT_ACCOUNT_ENABLE, true, enable},
    {"accounts.delete", AUDIT_WORD_RIGHT_ACCOUNT_DELETE, true, delete},
    {"accounts.password", AUDIT_WORD_RIGHT_ACCOUNT_PASSWORD, true, set_password},
    {"accounts.grant", AUDIT_WORD_RIGHT_ACCOUNT_GRANT, true, grant},
    {"accounts.withdraw", AUDIT_WORD_RIGHT_ACCOUNT_GRANT, true, withdraw},
    {"accounts.recover", AUDIT_WORD_RIGHT_ACCOUNT_RECOVER, true, recover},
    {"accounts.reset", AUDIT_WORD_RIGHT_ACCOUNT_RECOVER, true, reset},
    {"keys.add", AUDIT_WORD_RIGHT_KEY_ADD, true, add_key},
    {"keys.list", AUDIT_WORD_RIGHT_KEY_LIST, true, list_keys},
    {"keys.revoke", AUDIT_WORD_RIGHT_KEY_REVOKE, true, revoke_key},
    {0},
};
