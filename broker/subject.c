/* subject.c - see subject.h. */
#include "broker/subject.h"
#include "auth/auth.h"
#include "broker/census.h"
#include "broker/net/moment.h"

#include <stdlib.h>

/* How long workers may take. */
#define PATIENCE_MS 5000u

static json_t *refused(const char *sentence)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", sentence);
}

/* Waits for all workers; false: one is too busy. */
static bool wait_for(struct census *census)
{
	bool done = census_wait(census, PATIENCE_MS);

	census_release(census);
	return done;
}

/* ---- export ---- */

/* What an export says besides, so that nobody has to guess. */
static const char *const not_kept[] = {
    "payloads: they are in memory until they are delivered, never on a disk, and not in this file",
    "the topics that messages were published to, and the sizes of messages",
    "the e-mail address: only a keyed hash of it, by which it is recognised",
    "the password and the secrets of device keys and tokens: only what they are checked by",
    "addresses on the network, but for bans and failed logins, in memory, for a day at most",
};

static const char *const kept_elsewhere[] = {
    "filters of subscriptions: they are kept with the session, and told to the client that has it",
    "log systems, mail servers and metric stores outside of the broker",
};

static json_t *list_of(const char *const *sentences, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(sentences[i]));
	return list;
}

json_t *subject_rights(const struct account_rights *rights)
{
	json_t *lines = json_array();
	struct slice access, filter;
	size_t at = 0;

	while (account_rights_next(rights, &at, &access, &filter))
		json_array_append_new(
		    lines, json_pack("{s:s%, s:s%}", "access", (const char *)access.at, access.len,
				     "filter", (const char *)filter.at, filter.len));
	return lines;
}

static void export_account(void *self, const struct account *account)
{
	json_t *document = self, *keys = json_array();
	json_t *lines = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "name", account->name,
				  "disabled", (account->flags & ACCOUNT_DISABLED) != 0,
				  "restricted", (account->flags & ACCOUNT_RESTRICTED) != 0,
				  "objected", (account->flags & ACCOUNT_NO_STATS) != 0,
				  "has_address", (account->flags & ACCOUNT_HAS_ADDRESS) != 0,
				  "has_password", (account->flags & ACCOUNT_HAS_PASSWORD) != 0);

	if (account->rights)
		json_object_set_new(lines, "rights", subject_rights(account->rights));
	for (const struct account_key *key = account->keys; key; key = key->next) {
		json_t *line =
		    json_pack("{s:s, s:I}", "id", key->id, "ends_at", (json_int_t)key->ends_s);

		if (key->scope)
			json_object_set_new(line, "rights", subject_rights(key->scope));
		json_array_append_new(keys, line);
	}
	json_object_set_new(document, "account", lines);
	json_object_set_new(document, "device_keys", keys);
}

static json_t *describe_session(const struct client_info *client)
{
	return json_pack("{s:s%, s:b, s:I, s:I, s:i, s:i, s:i, s:b}", "client_id",
			 (const char *)client->client_id.at, client->client_id.len, "connected",
			 client->connected, "connected_at", (json_int_t)client->connected_s,
			 "expiry_s", (json_int_t)client->expiry_s, "subscriptions",
			 (int)client->subscriptions, "queued", (int)client->queued, "inflight",
			 (int)client->inflight, "has_will", client->has_will);
}

static bool export_sessions(const struct subject_source *source, uint64_t owner, json_t *document,
			    struct failure *failure)
{
	struct census *census = source->sessions(source->self, owner);
	bool done = census_wait(census, PATIENCE_MS);

	if (done) {
		size_t count;
		const struct client_info *clients = census_clients(census, &count);
		json_t *lines = json_array();

		for (size_t i = 0; i < count; i++)
			json_array_append_new(lines, describe_session(&clients[i]));
		json_object_set_new(document, "sessions", lines);
	}
	census_release(census);
	return done || failure_set(failure, "the broker is too busy to list the sessions; again "
					    "in a minute");
}

static void export_login(void *self, const struct auth_log_row *row)
{
	json_array_append_new(self, json_pack("{s:I, s:s}", "minute", (json_int_t)row->minute_s,
					      "result", auth_log_result_text(row->result)));
}

static bool export_logins(const struct subject_source *source, uint64_t account, json_t *document,
			  struct failure *failure)
{
	json_t *lines = json_array();
	bool good = source->auth_log == NULL ||
		    auth_log_each(source->auth_log, account, lines, export_login, failure);

	json_object_set_new(document, "logins", lines);
	return good;
}

static void export_circumstances(const struct subject_source *source, json_t *document)
{
	json_object_set_new(document, "made_at", json_integer((json_int_t)moment_now().wall_s));
	json_object_set_new(document, "region", json_string(source->region));
	json_object_set_new(document, "privacy_contact",
			    source->contact ? json_string(source->contact) : json_null());
	json_object_set_new(document, "not_kept",
			    list_of(not_kept, sizeof not_kept / sizeof *not_kept));
	json_object_set_new(
	    document, "not_in_this_file",
	    list_of(kept_elsewhere, sizeof kept_elsewhere / sizeof *kept_elsewhere));
}

/* The document as a text that is signed. */
static json_t *sign(const struct subject_source *source, const json_t *document)
{
	char *lines = json_dumps(document, JSON_INDENT(1) | JSON_SORT_KEYS);
	must(lines);
	char *note = source->sign(source->self, lines);
	json_t *answer = json_pack("{s:b, s:s}", "ok", 1, "export", note);

	explicit_bzero(lines, strlen(lines));
	free(lines);
	explicit_bzero(note, strlen(note));
	free(note);
	return answer;
}

static bool find_row(const struct subject_source *source, struct slice name, uint64_t *row,
		     struct failure *failure)
{
	return accounts_row(source->accounts, name, row) ||
	       failure_set(failure, "there is no account of this name");
}

static json_t *do_export(const struct subject_source *source, struct slice name)
{
	json_t *document = json_object(), *answer;
	uint64_t row = 0;
	struct failure failure;

	if (accounts_tell(source->accounts, name, document, export_account, &failure) &&
	    find_row(source, name, &row, &failure) &&
	    export_logins(source, row, document, &failure) &&
	    export_sessions(source, auth_owner(IDENTITY_ACCOUNT, row), document, &failure)) {
		export_circumstances(source, document);
		answer = sign(source, document);
	} else {
		answer = refused(failure.text);
	}
	json_decref(document);
	return answer;
}

/* ---- rectify, restrict, object ---- */

static json_t *done_or(bool done, const struct failure *failure)
{
	return done ? json_pack("{s:b}", "ok", 1) : refused(failure->text);
}

static json_t *do_rectify(const struct subject_source *source, struct slice name,
			  struct slice address)
{
	struct failure failure;

	return done_or(accounts_set_address(source->accounts, name, address, &failure), &failure);
}

/* In force when it returns: whoever is connected has a grant that says so. */
static json_t *do_flag(const struct subject_source *source, struct slice name,
		       struct slice argument, unsigned flag)
{
	bool on = slice_equal(argument, SLICE_LITERAL("on"));
	struct failure failure;

	if (!on && !slice_equal(argument, SLICE_LITERAL("off")))
		return refused("this is either on or off");
	if (!accounts_set_flag(source->accounts, name, flag, on, &failure))
		return refused(failure.text);
	return wait_for(source->renew(source->self))
		   ? json_pack("{s:b}", "ok", 1)
		   : refused("it is done, but a worker is too busy to say that it knows");
}

/* ---- erase ---- */

/*
 * First the disk, then memory, then the workers: who logs in between is refused when its answer
 * reaches a worker, or is there already when the command does.
 */
static json_t *do_erase(const struct subject_source *source, struct slice name,
			struct slice argument, uint64_t *expel)
{
	char of[ACCOUNT_NAME_SIZE];
	struct failure failure;
	uint64_t row;

	if (!slice_equal(argument, name) || name.len >= sizeof of)
		return refused("to erase an account takes its name as the argument");
	memcpy(of, name.at, name.len);
	of[name.len] = '\0';
	if (!accounts_delete(source->accounts, name, &row, &failure))
		return refused(failure.text);
	*expel = auth_owner(IDENTITY_ACCOUNT, row);

	json_t *answer = json_pack("{s:b}", "ok", 1);
	char *receipt = source->receipt(source->self, of, &failure);

	if (receipt)
		json_object_set_new(answer, "receipt", json_string(receipt));
	else
		json_object_set_new(answer, "no_receipt", json_string(failure.text));
	free(receipt);
	return answer;
}

/* Twice: what one worker had sent another before the first time is there before the second. */
bool subject_expel(const struct subject_source *source, uint64_t owner)
{
	bool first = wait_for(source->expel(source->self, owner));

	return wait_for(source->expel(source->self, owner)) && first;
}

json_t *subject_do(const struct subject_source *source, enum own_action action, struct slice name,
		   struct slice argument, uint64_t *expel)
{
	*expel = 0;
	switch (action) {
	case OWN_EXPORT:
		return do_export(source, name);
	case OWN_RECTIFY:
		return do_rectify(source, name, argument);
	case OWN_RESTRICT:
		return do_flag(source, name, argument, ACCOUNT_RESTRICTED);
	case OWN_OBJECT:
		return do_flag(source, name, argument, ACCOUNT_NO_STATS);
	case OWN_ERASE:
		return do_erase(source, name, argument, expel);
	case OWN_ACTIONS:
		break;
	}
	return refused("no such request");
}
