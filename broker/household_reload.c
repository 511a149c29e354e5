/*
 * household_reload.c - HUP: the configuration is read again.  What can change while
 * clients are connected does; what cannot is named.  A file with problems changes
 * nothing.
 *
 * Connections keep the listener settings that they came with, so a configuration is
 * kept until the end; one is a few kilobytes.
 */
#include "broker/household_internal.h"
#include "broker/log.h"
#include "broker/notify.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void household_adopt_config(struct household *house, struct config *config)
{
	house->configs =
	    realloc(house->configs, (house->config_count + 1) * sizeof(*house->configs));
	must(house->configs);
	house->configs[house->config_count++] = config;
	house->config = config;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_place(const struct config_listener *a, const struct config_listener *b)
{
	return a->port == b->port && same_text(a->path, b->path) &&
	       same_text(a->address, b->address) &&
	       same_text(a->bind_interface, b->bind_interface) &&
	       a->socket_domain == b->socket_domain;
}

/* ---- what needs a restart */

static bool differ_workers(const struct config *a, const struct config *b)
{
	return a->workers != b->workers;
}

static bool differ_data(const struct config *a, const struct config *b)
{
	return a->persistence != b->persistence ||
	       !same_text(a->persistence_location, b->persistence_location);
}

static bool differ_user(const struct config *a, const struct config *b)
{
	return !same_text(a->user, b->user);
}

static bool differ_pid_file(const struct config *a, const struct config *b)
{
	return !same_text(a->pid_file, b->pid_file);
}

static bool differ_admin(const struct config *a, const struct config *b)
{
	return !same_text(a->admin_address, b->admin_address) || a->admin_port != b->admin_port ||
	       !same_text(a->admin_token_file, b->admin_token_file);
}

static bool differ_log_listener(const struct config *a, const struct config *b)
{
	return !same_text(a->log_address, b->log_address) || a->log_port != b->log_port;
}

static bool differ_recording(const struct config *a, const struct config *b)
{
	return (a->route_max_bytes == 0) != (b->route_max_bytes == 0);
}

static bool differ_durability(const struct config *a, const struct config *b)
{
	return a->durability != b->durability;
}

static bool differ_memory_protection(const struct config *a, const struct config *b)
{
	return a->memory_protection != b->memory_protection;
}

static bool differ_keys(const struct config *a, const struct config *b)
{
	return !same_text(a->keys_location, b->keys_location) ||
	       !same_text(a->key_file, b->key_file) ||
	       a->erase_level_required != b->erase_level_required;
}

static bool differ_audit(const struct config *a, const struct config *b)
{
	return a->audit_log != b->audit_log;
}

static bool differ_no_delay(const struct config *a, const struct config *b)
{
	return a->set_tcp_nodelay != b->set_tcp_nodelay;
}

static bool differ_places(const struct config *a, const struct config *b)
{
	if (a->listener_count != b->listener_count)
		return true;
	for (size_t i = 0; i < a->listener_count; i++)
		if (!same_place(&a->listeners[i], &b->listeners[i]))
			return true;
	return false;
}

static bool differ_files(const struct config *a, const struct config *b)
{
	return !same_text(a->password_file, b->password_file) ||
	       !same_text(a->acl_file, b->acl_file);
}

static bool differ_mailer(const struct config *a, const struct config *b)
{
	return !same_text(a->recovery_mailer, b->recovery_mailer);
}

static bool differ_argon2(const struct config *a, const struct config *b)
{
	return a->auth_threads != b->auth_threads || a->argon2_memory_kib != b->argon2_memory_kib ||
	       a->argon2_passes != b->argon2_passes;
}

static const struct {
	const char *keys;
	bool (*differ)(const struct config *a, const struct config *b);
} fixed[] = {
    {"password_file and acl_file (their names, not what is in them)", differ_files},
    {"auth_threads, argon2_memory and argon2_time", differ_argon2},
    {"recovery_mailer", differ_mailer},
    {"workers", differ_workers},
    {"persistence and persistence_location", differ_data},
    {"durability", differ_durability},
    {"route_max_bytes, to 0 or from 0", differ_recording},
    {"user", differ_user},
    {"pid_file", differ_pid_file},
    {"admin_listener and admin_token_file", differ_admin},
    {"log_listener", differ_log_listener},
    {"memory_protection", differ_memory_protection},
    {"keys_location, key_file and erase_level_required", differ_keys},
    {"set_tcp_nodelay", differ_no_delay},
    {"audit_log", differ_audit},
    {"ports and addresses of listeners", differ_places},
};

/* Compared with the configuration of the start: that is what is in force of these. */
static void tell_fixed(const struct household *house, const struct config *next)
{
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (fixed[i].differ(house->configs[0], next))
			log_write(LOG_LEVEL_WARNING, "reload", "%s: a change needs a restart",
				  fixed[i].keys);
}

/* ---- what changes */

/* The listener that was opened for a place, by its number at the start. */
static struct listener *find_listener(struct household *house, const struct config_listener *from)
{
	for (size_t i = 0; i < house->listener_count; i++)
		if (same_place(&house->configs[0]->listeners[i], from))
			return &house->listeners[i];
	return NULL;
}

static void change_listeners(struct household *house, struct config *next)
{
	for (size_t i = 0; i < next->listener_count; i++) {
		struct config_listener *from = &next->listeners[i];
		struct listener *listener = find_listener(house, from);

		if (!listener) {
			transport_release(from->settings.transport);
			from->settings.transport = NULL;
			continue;
		}
		from->settings.number = listener->number;
		atomic_store_explicit(&listener->limit.max, from->max_connections,
				      memory_order_relaxed);
		household_swap_settings(house, listener, &from->settings);
	}
	for (size_t i = 0; i < house->listener_count; i++)
		atomic_store_explicit(&house->listeners[i].tells, next->core.connection_messages,
				      memory_order_relaxed);
	atomic_store_explicit(&house->all.max, next->global_max_connections, memory_order_relaxed);
	atomic_store_explicit(&house->half_open->max, next->max_half_open, memory_order_relaxed);
}

void household_settle_core(struct household *house)
{
	const struct config *next = house->config;
	uint64_t limit = next->core.memory_limit;

	atomic_store_explicit(&house->budget.limit, limit > INT64_MAX ? INT64_MAX : (int64_t)limit,
			      memory_order_relaxed);
	for (uint16_t i = 0; i < house->worker_count; i++) {
		struct command *command = command_create(COMMAND_SETTINGS, SLICE_NONE, SLICE_NONE);

		command->settings = house->closed ? &next->closed_core : &next->core;
		worker_tell(&house->workers[i], command);
	}
}

static void tell_problems(char *problems)
{
	char *rest = problems;

	for (char *line; (line = strsep(&rest, "\n"));)
		if (line[0])
			log_write(LOG_LEVEL_ERROR, "reload", "%s", line);
	log_write(LOG_LEVEL_ERROR, "reload", "the configuration of before stays in force");
	free(problems);
}

/* Also opens the log file anew, so that it can be moved away. */
static void change_log(const struct config *next)
{
	struct failure failure;

	if (!log_open(next, &failure))
		log_write(LOG_LEVEL_ERROR, "reload", "%s", failure.text);
}

static void change_all(struct household *house, struct config *next)
{
	change_log(next);
	tell_fixed(house, next);
	change_listeners(house, next);
	household_note_expiries(house);
	household_adopt_config(house, next);
	/* Before workers count epochs of the new length, whose keys would end with the old ones. */
	household_settle_routes(house);
	household_settle_core(house);
	household_set_lifetimes(house, next);
	if (next->sys_interval_s > 0)
		house->sys_due_ms = moment_now().ms;
	for (size_t i = 0; i < next->notice_count; i++)
		log_write(LOG_LEVEL_NOTICE, "config", "%s", next->notices[i]);
	log_write(LOG_LEVEL_NOTICE, "reload", "the configuration was read again");
}

/* What the configuration names; destroys it when something of that is wrong, or out of reach. */
static bool read_files(const struct household *house, struct config *next)
{
	struct problems problems = {0};
	struct failure failure;

	if (!household_may_reach(house, next, &failure))
		problems_add(&problems, "%s", failure.text);
	else if (household_make_transports(next, &problems))
		return true;
	tell_problems(problems.text);
	config_destroy(next);
	return false;
}

/*
 * A change of privacy settings that cannot be recorded does not happen; one that was recorded and
 * could not happen is taken back by another entry.
 */
static bool prepare(struct household *house, const struct config *next, struct problems *problems)
{
	struct failure failure;

	if (!audit_settings(house->audit, next, &failure))
		return problems_add(problems, "a change of privacy settings cannot be recorded: %s",
				    failure.text);
	if (!house->door || door_reload(house->door, next, problems))
		return true;
	if (!audit_settings(house->audit, house->config, &failure))
		log_write(LOG_LEVEL_ERROR, "reload", "%s", failure.text);
	return false;
}

/* At the start a file may be a pipe (-c /dev/stdin); waiting for its writer again would stop all.
 */
static struct config *read_config(const struct options *options, char **problems)
{
	struct stat status;

	if (!options->config_file || stat(options->config_file, &status) != 0 ||
	    S_ISREG(status.st_mode))
		return options_read_config(options, problems);
	must(asprintf(problems, "%s: is no file that can be read again; right would be -c with one",
		      options->config_file) >= 0);
	return NULL;
}

void household_reload(struct household *house)
{
	struct problems problems = {0};
	char *wrong = NULL;

	notify_reloading();
	household_await_rights(house);
	struct config *next = read_config(house->options, &wrong);

	if (!next) {
		tell_problems(wrong);
	} else if (!read_files(house, next)) {
		; /* said, and destroyed */
	} else if (!prepare(house, next, &problems)) {
		household_drop_transports(next);
		config_destroy(next);
		tell_problems(problems.text);
	} else {
		change_all(house, next);
		household_renew_rights(house);
	}
	notify_ready();
}
