/* subject_export.c - see subject.h: the document of an export. */
#include "auth/auth.h"
#include "broker/census.h"
#include "broker/core/subscription.h"
#include "broker/core/token.h"
#include "broker/net/moment.h"
#include "broker/subject.h"
#include "storage/route/traffic.h"

#include <stdlib.h>

/* What an export says besides, so that nobody has to guess. */
static const char *const not_kept[] = {
    "payloads: they are in memory until they are delivered, never on a disk, and not in this file",
    "the topics that messages were published to, and the sizes of messages",
    "the e-mail address: only a keyed hash of it, by which it is recognised",
    "the password and the secrets of device keys and tokens: only what they are checked by",
    "addresses on the network, but for bans and failed logins, in memory, for a day at most",
};

static const char *const kept_elsewhere[] = {
    "filters of sessions that end with their connection: in memory, as keyed hashes, as long as "
    "that",
    "who was at the other end of a delivery: null stands for a client of somebody else, and for "
    "nobody",
    "deliveries to and from clients whose session has ended and that were not named: they are kept "
    "by pseudonyms, and only who knows the client identifier can tell whose they are",
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

/* ---- sessions, with what the store has of them ---- */

static void describe_stored(void *self, uint64_t row, const struct store_session *session)
{
	const uint64_t made_s = token_made_s(session->tokens);

	(void)row;
	json_object_set_new(self, "since", json_integer((json_int_t)session->since_s));
	json_object_set_new(self, "token_made_at",
			    made_s > 0 ? json_integer((json_int_t)made_s) : json_null());
}

static void describe_subscription(void *self, uint64_t row, const struct store_subscription *one)
{
	json_t *line =
	    json_pack("{s:s%, s:i, s:b, s:b, s:i, s:I}", "filter", (const char *)one->filter.at,
		      one->filter.len, "qos", one->options & OPTION_QOS, "no_local",
		      (one->options & OPTION_NO_LOCAL) != 0, "retain_as_published",
		      (one->options & OPTION_RETAIN_AS_PUBLISHED) != 0, "retain_handling",
		      (one->options & OPTION_RETAIN_HANDLING) /
			  (OPTION_RETAIN_HANDLING & -OPTION_RETAIN_HANDLING),
		      "identifier", (json_int_t)one->identifier);

	(void)row;
	json_array_append_new(json_object_get(self, "filters"), line);
}

/* Of a QoS 2 exchange that is open; what ended is over. */
static void describe_step(void *self, const struct store_step *step)
{
	static const struct {
		const char *from, *state;
	} words[STEP_TYPES] = {[STEP_INBOUND_OPEN] = {"client", "open"},
			       [STEP_OUTBOUND_SENT] = {"broker", "sent"},
			       [STEP_OUTBOUND_RECEIVED] = {"broker", "received"}};

	if (step->type == STEP_QUEUED)
		json_object_set_new(self, "waiting", json_integer(step->count));
	else if (words[step->type].from)
		json_array_append_new(json_object_get(self, "exchanges"),
				      json_pack("{s:s, s:s, s:i}", "from", words[step->type].from,
						"state", words[step->type].state, "packet_id",
						step->packet_id));
}

/* Null: it ends with its connection, and is in memory only. */
static json_t *describe_kept(const struct subject_source *source, const struct client_info *client,
			     struct failure *failure)
{
	json_t *kept = json_pack("{s:[], s:[], s:i}", "filters", "exchanges", "waiting", 0);
	const struct store_visitor visitor = {.self = kept,
					      .session = describe_stored,
					      .subscription = describe_subscription,
					      .step = describe_step};

	if (client->row != 0 && source->stored(source->self, client, &visitor, failure))
		return kept;
	json_decref(kept);
	return client->row == 0 ? json_null() : NULL;
}

static bool describe_session(const struct subject_source *source, const struct client_info *client,
			     json_t *lines, struct failure *failure)
{
	json_t *kept = describe_kept(source, client, failure);

	return kept && json_array_append_new(
			   lines, json_pack("{s:s%, s:b, s:I, s:I, s:i, s:i, s:i, s:b, s:o}",
					    "client_id", (const char *)client->client_id.at,
					    client->client_id.len, "connected", client->connected,
					    "connected_at", (json_int_t)client->connected_s,
					    "expiry_s", (json_int_t)client->expiry_s,
					    "subscriptions", (int)client->subscriptions, "queued",
					    (int)client->queued, "inflight", (int)client->inflight,
					    "has_will", client->has_will, "kept", kept)) == 0;
}

/* ---- what became of deliveries ---- */

struct telling {
	json_t *rows;
	const struct slice *clients;
};

static json_t *end_of(const struct telling *telling, uint32_t number)
{
	if (number == 0)
		return json_null();
	const struct slice client = telling->clients[number - 1];

	return json_stringn((const char *)client.at, client.len);
}

static void describe_delivery(void *self, const struct route_own_row *row)
{
	const struct telling *telling = self;

	json_array_append_new(
	    telling->rows,
	    json_pack("{s:I, s:o, s:o, s:i, s:s}", "at_ms", (json_int_t)row->at_ms, "from",
		      end_of(telling, row->source), "to", end_of(telling, row->destination), "qos",
		      row->qos, "outcome", route_outcome_word((enum route_outcome)row->outcome)));
}

/* The clients that deliveries are told of: those that there are, and those that are named. */
struct whom {
	struct slice *ids;
	size_t count;
	json_t *named;
};

static struct slice take_line(struct slice *lines)
{
	const uint8_t *end = lines->len > 0 ? memchr(lines->at, '\n', lines->len) : NULL;
	const struct slice line = slice_of(lines->at, end ? (size_t)(end - lines->at) : lines->len);

	*lines = slice_after(*lines, line.len + (end != NULL));
	return line;
}

static bool add_named(struct whom *whom, struct slice named, struct failure *failure)
{
	bool good = true;

	while (named.len > 0 && good) {
		const struct slice id = take_line(&named);

		if (id.len == 0)
			continue;
		whom->ids[whom->count++] = id;
		good = json_array_append_new(whom->named,
					     json_stringn((const char *)id.at, id.len)) == 0;
	}
	return good ||
	       failure_set(failure, "clients are named by their identifiers in UTF-8, one a line");
}

static size_t lines_at_most(struct slice named)
{
	size_t count = 1;

	for (size_t i = 0; i < named.len; i++)
		count += named.at[i] == '\n';
	return count;
}

static bool export_deliveries(const struct subject_source *source, uint64_t owner,
			      const struct whom *whom, json_t *document, struct failure *failure)
{
	struct telling telling = {json_array(), whom->ids};
	const struct subject_deliveries asked = {owner, whom->ids, whom->count, &telling,
						 describe_delivery};
	struct subject_rows found = {0};
	const bool good = source->deliveries(source->self, &asked, &found, failure);
	const json_int_t left_out =
	    (json_int_t)found.count - (json_int_t)json_array_size(telling.rows);

	json_object_set_new(document, "deliveries",
			    json_pack("{s:o, s:I, s:I, s:O}", "rows", telling.rows,
				      "older_left_out", left_out, "damaged_rows",
				      (json_int_t)found.damaged, "named", whom->named));
	return good;
}

/* Of the clients that there are, and of those that are named. */
static bool export_routes(const struct subject_source *source, uint64_t owner,
			  const struct client_info *clients, size_t count, struct slice named,
			  json_t *document, struct failure *failure)
{
	struct whom whom = {calloc(count + lines_at_most(named), sizeof(struct slice)), count,
			    json_array()};

	must(whom.ids);
	for (size_t i = 0; i < count; i++)
		whom.ids[i] = clients[i].client_id;
	bool good = add_named(&whom, named, failure) &&
		    export_deliveries(source, owner, &whom, document, failure);

	json_decref(whom.named);
	free(whom.ids);
	return good;
}

static bool export_clients(const struct subject_source *source, uint64_t owner, struct slice named,
			   json_t *document, struct failure *failure)
{
	struct census *census = source->sessions(source->self, owner);
	bool good = census_wait(census, SUBJECT_PATIENCE_MS);

	if (good) {
		size_t count;
		const struct client_info *clients = census_clients(census, &count);
		json_t *lines = json_array();

		for (size_t i = 0; i < count && good; i++)
			good = describe_session(source, &clients[i], lines, failure);
		json_object_set_new(document, "sessions", lines);
		good =
		    good && export_routes(source, owner, clients, count, named, document, failure);
	} else {
		failure_set(failure,
			    "the broker is too busy to list the sessions; again in a minute");
	}
	census_release(census);
	return good;
}

/* ---- logins ---- */

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
	const char *contact = source->contact(source->self);

	json_object_set_new(document, "made_at", json_integer((json_int_t)moment_now().wall_s));
	json_object_set_new(document, "region", json_string(source->region(source->self)));
	json_object_set_new(document, "privacy_contact",
			    contact ? json_string(contact) : json_null());
	json_object_set_new(document, "not_kept",
			    list_of(not_kept, sizeof not_kept / sizeof *not_kept));
	json_object_set_new(
	    document, "not_in_this_file",
	    list_of(kept_elsewhere, sizeof kept_elsewhere / sizeof *kept_elsewhere));
}

bool subject_describe(const struct subject_source *source, struct slice name, struct slice named,
		      json_t *document, struct failure *failure)
{
	uint64_t row;

	if (!accounts_tell(source->accounts, name, document, export_account, failure))
		return false;
	if (!accounts_row(source->accounts, name, &row))
		return failure_set(failure, "there is no account of this name");
	export_circumstances(source, document);
	return export_logins(source, row, document, failure) &&
	       export_clients(source, auth_owner(IDENTITY_ACCOUNT, row), named, document, failure);
}
