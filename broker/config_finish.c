/*
 * config_finish.c - what only the whole file can tell: which listeners are
 * opened, which limit wins, what would surprise.
 */
#include "broker/config_internal.h"
#include "storage/route/hour_keys.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

#define DEFAULT_PORT 1883
bool config_is_loopback(const char *address)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcmp(address, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, address, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Keys of all listeners, and the key of one listener that goes before it. */
static const struct {
	const char *shared, *own;
} preferences[] = {
    {"allow_anonymous", "listener_allow_anonymous"},
    {"auto_id_prefix", "listener_auto_id_prefix"},
};

static bool has_own_value(const struct config_draft *draft, const char *shared)
{
	for (size_t i = 0; i < sizeof(preferences) / sizeof(preferences[0]); i++) {
		if (strcmp(preferences[i].shared, shared) == 0)
			return draft->set[config_find_key(preferences[i].own) - config_keys].file;
	}
	return false;
}

static void copy_shared(const struct config_reader *reader, struct config_draft *draft)
{
	for (size_t i = 0; i < config_line_count; i++) {
		const struct config_key *key = &config_keys[i];
		if (key->scope != SCOPE_SHARED || has_own_value(draft, key->name))
			continue;
		memcpy((uint8_t *)&draft->value + key->offset,
		       (const uint8_t *)&reader->shared + key->offset, key->size);
	}
}

static void settle_listener(struct config_reader *reader, struct config_draft *draft)
{
	copy_shared(reader, draft);
	config_finish_transport(reader, draft);
}

static void add_listener(struct config *config, const struct config_listener *listener)
{
	const size_t size = (config->listener_count + 1) * sizeof(*config->listeners);
	config->listeners = realloc(config->listeners, size);
	must(config->listeners != NULL);
	config->listeners[config->listener_count] = *listener;
	config->listeners[config->listener_count].settings.number =
	    (uint32_t)config->listener_count;
	config->listener_count++;
}

static void open_listener(struct config_reader *reader, const struct config_draft *from)
{
	struct config_draft draft = *from;
	settle_listener(reader, &draft);
	add_listener(reader->config, &draft.value);
}

static void open_loopback_port(struct config *config, struct config_listener *listener,
			       uint16_t port)
{
	static const struct {
		int domain;
		const char *address;
	} places[] = {{AF_INET, "127.0.0.1"}, {AF_INET6, "::1"}};
	const int asked = listener->socket_domain;
	listener->port = port;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (asked != AF_UNSPEC && asked != places[i].domain)
			continue;
		listener->address = places[i].address;
		add_listener(config, listener);
	}
}

const char *config_open_loopback(struct config_reader *reader, const struct config_ports *ports)
{
	const struct config_ports usual = {1, {DEFAULT_PORT}};
	struct config_text words = {NULL, 0, 0};
	struct config_draft draft = reader->drafts[0];
	if (ports->count == 0)
		ports = &usual;
	draft.value.address = "localhost"; /* all of them: what is wrong is said once */
	settle_listener(reader, &draft);
	config_text_add(&words, ports->count == 1 ? "port" : "ports");
	for (size_t i = 0; i < ports->count; i++) {
		open_loopback_port(reader->config, &draft.value, ports->at[i]);
		config_text_add(&words, "%s %u", i > 0 ? "," : "", (unsigned)ports->at[i]);
	}
	const char *kept = config_keep(reader->config, words.at);
	free(words.at);
	return kept;
}

/* Keys that stand above the first listener line and so belong to none that is opened. */
static void refuse_stray_keys(struct config_reader *reader)
{
	for (size_t i = 0; i < config_line_count; i++) {
		if (!reader->drafts[0].set[i].file)
			continue;
		reader->at = reader->drafts[0].set[i];
		config_problem(reader, config_keys[i].name,
			       "stands above the first listener line and would change nothing; "
			       "right would be to write it below the listener that it is for");
	}
}

/*
 * A file that opens no place serves this machine alone, as no file does, and like that, and like
 * mosquitto, it lets clients in that give no name: unless it says so, or names some.
 */
static bool lets_this_machine_in(const struct config_reader *reader)
{
	const struct config_listener *listener = &reader->drafts[0].value;
	return !reader->set[config_find_key("allow_anonymous") - config_keys].file &&
	       !reader->port && !reader->config->password_file && !listener->psk_hint &&
	       !listener->transport.tls.require_certificate && !config_listener_proves(listener);
}

static void open_default_listener(struct config_reader *reader, const struct config_ports *ports)
{
	struct config_draft *draft = &reader->drafts[0];
	const char *guests = "";
	if (reader->bind_address || draft->value.bind_interface) {
		draft->value.address = reader->bind_address;
		settle_listener(reader, draft);
		for (size_t i = 0; i < ports->count; i++) {
			draft->value.port = ports->at[i];
			add_listener(reader->config, &draft->value);
		}
		return;
	}
	if (lets_this_machine_in(reader)) {
		reader->shared.settings.allow_anonymous = true;
		guests = ", and whoever is on this machine may, without a name, unless you write "
			 "`allow_anonymous false`";
	}
	const char *opened = config_open_loopback(reader, ports);
	config_notice(reader, (struct config_place){reader->config->file, 0},
		      "there is no listener line, so %s %s open on loopback only and no other "
		      "device can connect%s; to open it to every network write the two lines "
		      "`listener %u` and `allow_anonymous true`; then anyone who reaches the port "
		      "may read and write every message",
		      opened, ports->count == 1 ? "is" : "are", guests, (unsigned)ports->at[0]);
}

static const char *shown_address(const struct config_listener *listener)
{
	if (listener->path)
		return listener->path;
	return listener->address ? listener->address : "every address";
}

static void refuse_same_place(struct config_reader *reader)
{
	const struct config *config = reader->config;
	for (size_t i = 0; i < config->listener_count; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct config_listener *a = &config->listeners[i];
			const struct config_listener *b = &config->listeners[j];
			if (!config_places_meet(a, b))
				continue;
			reader->at.line = 0;
			config_problem(reader, "listener",
				       "port %u is opened twice, on %s and on %s; right would be "
				       "another port or address for one of them",
				       (unsigned)a->port, shown_address(b), shown_address(a));
		}
	}
}

/* What is served over HTTP beside what is served over MQTT. */
static void refuse_taken_ports(struct config_reader *reader)
{
	const struct config *config = reader->config;
	const char *const keys[] = {"admin_listener", "log_listener"};
	const struct config_listener places[] = {
	    {.port = config->admin_port, .address = config->admin_address},
	    {.port = config->log_port, .address = config->log_address}};
	for (size_t i = 0; i < 2; i++) {
		bool taken =
		    i == 1 && places[0].address && config_places_meet(&places[0], &places[1]);
		for (size_t j = 0; j < config->listener_count; j++)
			taken = taken || config_places_meet(&config->listeners[j], &places[i]);
		if (!places[i].address || !taken)
			continue;
		reader->at = reader->set[config_find_key(keys[i]) - config_keys];
		config_problem(reader, keys[i],
			       "port %u on %s is another listener's already; right would be "
			       "another port",
			       (unsigned)places[i].port, places[i].address);
	}
	reader->at = (struct config_place){config->file, 0};
}

/* What a file opens goes before -p, as in mosquitto. */
static struct config_ports default_ports(struct config_reader *reader,
					 const struct config_ports *asked)
{
	const struct config_ports written = {1, {reader->port ? reader->port : DEFAULT_PORT}};
	const char *opens = reader->draft_count > 1 ? "listener lines"
			    : reader->port	    ? "a port line"
			    : reader->bind_address  ? "a bind_address line"
						    : NULL;
	if (asked->count == 0)
		return written;
	if (!opens)
		return *asked;
	config_notice(reader, (struct config_place){reader->config->file, 0},
		      "-p %u changes nothing, because the file has %s", (unsigned)asked->at[0],
		      opens);
	return written;
}

static void open_listeners(struct config_reader *reader, const struct config_ports *asked)
{
	const struct config_ports ports = default_ports(reader, asked);
	if (reader->draft_count == 1 || reader->port || reader->bind_address)
		open_default_listener(reader, &ports);
	else
		refuse_stray_keys(reader);
	for (size_t i = 1; i < reader->draft_count; i++)
		open_listener(reader, &reader->drafts[i]);
	refuse_same_place(reader);
	refuse_taken_ports(reader);
	config_check_transports(reader);
}

static void warn_about_locked_doors(struct config_reader *reader)
{
	const struct config *config = reader->config;
	size_t locked = 0;
	for (size_t i = 0; i < config->listener_count; i++)
		locked += !config->listeners[i].settings.allow_anonymous &&
			  !config_listener_proves(&config->listeners[i]);
	if (locked == 0 || config->password_file)
		return;
	config_notice(reader, (struct config_place){config->file, 0},
		      "allow_anonymous is false on %s and there is no password_file: %s; write "
		      "`allow_anonymous true` to let everyone in who reaches the port, or name a "
		      "password_file",
		      locked == config->listener_count ? "every listener" : "some listeners",
		      config->persistence
			  ? "only clients with an account (`metrino account create`) get in"
			  : "every client will be refused there");
}

/* Passwords that everybody on the way can read are refused, which would surprise. */
static void warn_about_cleartext(struct config_reader *reader)
{
	const struct config *config = reader->config;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		bool asks = config->password_file ||
			    (config->persistence && !listener->settings.allow_anonymous);
		if (!asks || config->allow_cleartext_password || listener->path ||
		    listener->transport.tls.certfile || listener->psk_hint ||
		    config_listener_proves(listener) ||
		    (listener->address && config_is_loopback(listener->address)))
			continue;
		config_notice(reader, (struct config_place){config->file, 0},
			      "port %u on %s is not encrypted: passwords are refused there unless "
			      "they come from this machine; write `allow_cleartext_password true` "
			      "to take them all the same, where nobody can listen on the network",
			      (unsigned)listener->port, shown_address(listener));
	}
}

/* Open doors are what the file asks for; that they are open is said once at each start. */
static void warn_about_open_doors(struct config_reader *reader)
{
	const struct config *config = reader->config;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		if (!listener->settings.allow_anonymous || config_listener_proves(listener) ||
		    listener->transport.tls.require_certificate || listener->path ||
		    (listener->address && config_is_loopback(listener->address)))
			continue;
		config_notice(reader, (struct config_place){config->file, 0},
			      "anyone who reaches port %u on %s may read and write every message",
			      (unsigned)listener->port, shown_address(listener));
	}
}

static void settle_expiry(struct config_reader *reader)
{
	uint32_t *max_s = &reader->config->core.session_expiry_max_s;
	if (reader->client_expiration_s == UINT32_MAX)
		return;
	if (reader->client_expiration_s <= *max_s) {
		*max_s = reader->client_expiration_s;
		return;
	}
	config_notice(
	    reader, reader->set[config_find_key("persistent_client_expiration") - config_keys],
	    "persistent_client_expiration is longer than session_expiry_max; sessions are "
	    "kept for %u days at most",
	    *max_s / 86400);
}

static void settle_data_directory(struct config_reader *reader)
{
	struct config *config = reader->config;
	if (!config->persistence || config->persistence_location)
		return;
	config->persistence_location = config_state_directory(config);
	if (!config->persistence_location)
		config_problem(reader, "persistence_location",
			       "is not written and no place for data is known; right would be to "
			       "write it, or to set HOME");
}

static void check_admin_listener(struct config_reader *reader)
{
	const struct config *config = reader->config;
	if (!config->admin_address || config_is_loopback(config->admin_address) ||
	    config->admin_token_file)
		return;
	reader->at = reader->set[config_find_key("admin_listener") - config_keys];
	config_problem(
	    reader, "admin_listener",
	    "'%.60s' is not loopback and admin_token_file is not written; right would be "
	    "to write it, or 127.0.0.1",
	    config->admin_address);
}

static void check_log_listener(struct config_reader *reader)
{
	const struct config *config = reader->config;
	if (!config->log_address || (config->audit_log && config->persistence))
		return;
	reader->at = reader->set[config_find_key("log_listener") - config_keys];
	config_problem(reader, "log_listener",
		       "there is no audit log to serve with `%s false`; right would be true, or no "
		       "log_listener",
		       config->audit_log ? "persistence" : "audit_log");
}

void config_settle_core(struct config *config)
{
	config->core.route_epoch_s = hour_keys_epoch_s(config->route_expiry_s);
	config->closed_core = config->core;
	config->closed_core.lets_nobody_in = true;
}

void config_finish(struct config_reader *reader, const struct config_ports *asked)
{
	check_admin_listener(reader);
	check_log_listener(reader);
	reader->at = (struct config_place){reader->config->file, 0};
	settle_expiry(reader);
	settle_data_directory(reader);
	open_listeners(reader, asked);
	warn_about_locked_doors(reader);
	warn_about_open_doors(reader);
	warn_about_cleartext(reader);
	config_settle_core(reader->config);
}
