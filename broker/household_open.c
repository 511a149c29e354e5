/*
 * household_open.c - what may be missing in the world around us, in the order in
 * which a privilege is needed for it: descriptors, the data directory, the ports, the
 * pid file; then all privileges are given up; then the keys and the store, whose files
 * belong to the user who serves.
 */
#include "proto/version.h"
#include "broker/household_internal.h"
#include "broker/log.h"
#include "broker/notify.h"
#include "broker/privileges.h"
#include "storage/directory.h"
#include "storage/lmdb_store.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below this a broker of some size runs out; the way out is said. */
#define FILES_ENOUGH 4096u

#define INHERITED_MAX 16

static void raise_file_limit(void)
{
	struct failure failure;
	uint64_t soft;
	uint64_t hard;

	if (!privileges_raise_file_limit(&soft, &hard, &failure))
		log_write(LOG_LEVEL_WARNING, "limits", "%s", failure.text);
	else if (soft < FILES_ENOUGH)
		log_write(LOG_LEVEL_WARNING, "limits",
			  "only %" PRIu64 " files may be open, so about as many clients can be "
			  "connected; `ulimit -Hn` or systemd's LimitNOFILE raises that",
			  soft);
	else
		log_write(LOG_LEVEL_DEBUG, "limits", "up to %" PRIu64 " files may be open", soft);
}

static bool choose_user(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;

	if (!privileges_choose_user(config->user, &house->user, failure))
		return false;
	if (house->user && !config->user)
		log_write(
		    LOG_LEVEL_NOTICE, "start",
		    "started as root, the broker serves as user %s; `user NAME` names another",
		    house->user);
	/* HUP opens it anew. */
	return !house->user || !config->log_file ||
	       privileges_hand_over_file(config->log_file, house->user, failure);
}

/* ---- the data directory */

/* Whoever has it now: that it is ours and nobody else's is looked at before it changes hands. */
bool household_open_folder(const struct household *house, const char *path, bool *created, int *fd,
			   struct failure *failure)
{
	struct stat status;

	if (!house->user)
		return directory_open(path, created, fd, failure);
	*created = stat(path, &status) != 0;
	bool made; /* not here */

	if (!privileges_make_directory(path, failure))
		return false;
	if (stat(path, &status) != 0)
		return failure_set(failure, "%s: %s", path, strerror(errno));
	return directory_open_for(path, status.st_uid, status.st_gid, &made, fd, failure) &&
	       (privileges_hand_over_directory(*fd, house->user, failure) ||
		failure_context(failure, "%s", path));
}

bool household_find_way(const struct household *house, const char *path, int fd,
			struct household_way *way, struct failure *failure)
{
	way->path = path;
	if (faccessat(AT_FDCWD, path, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
		return true;
	int error = errno;

	snprintf(way->link, sizeof(way->link), "/proc/self/fd/%d", fd);
	if (faccessat(AT_FDCWD, way->link, R_OK | W_OK | X_OK, AT_EACCESS) != 0)
		return failure_set(failure,
				   "%s cannot be reached by user %s (%s); right would be folders "
				   "above it that this user may enter",
				   path, house->user ? house->user : "who runs us",
				   strerror(error));
	way->path = way->link;
	return true;
}

static bool find_way_to_directory(struct household *house, struct failure *failure)
{
	return house->directory < 0 ||
	       household_find_way(house, house->config->persistence_location, house->directory,
				  &house->data_way, failure) ||
	       failure_context(failure, "data directory");
}

static bool open_directory(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;
	bool created = false;

	if (!config->persistence) {
		log_write(LOG_LEVEL_NOTICE, "start",
			  "persistence is false: nothing is written to disk, sessions end with the "
			  "broker, and there is neither a control socket nor an audit log");
		return true;
	}
	if (!household_open_folder(house, config->persistence_location, &created, &house->directory,
				   failure))
		return failure_context(failure, "data directory");
	log_write(LOG_LEVEL_NOTICE, "start", "data directory %s%s", config->persistence_location,
		  created ? " (new)" : "");
	return true;
}

static bool open_store(struct household *house, struct failure *failure)
{
	if (house->directory < 0)
		return true;
	const struct config *config = house->config;
	const struct vault_options options = {house->data_way.path, config->durability, house->keys,
					      moment_now().wall_s};
	bool put_aside;

	house->vault = vault_open(&options, &put_aside, failure);
	if (house->vault && put_aside)
		log_write(LOG_LEVEL_WARNING, "start",
			  "the machine was started anew while `durability process` had data that "
			  "was not synced: %s/data.mdb cannot be trusted and is data.mdb.unsynced "
			  "now; sessions start empty",
			  config->persistence_location);
	if (house->vault)
		house->store = lmdb_store_open(house->vault, failure);
	return house->store != NULL;
}

/* A log that is damaged is for a person to look at: going on would hide it. */
static bool open_audit(struct household *house, struct failure *failure)
{
	return house->directory < 0 ||
	       (audit_open(house->directory, house->keys, house->config, &house->audit, failure) &&
		household_watch_keys(house, failure));
}

/* ---- listeners */

/* The other half of loopback: a machine without IPv6 is not worth a word. */
static bool may_be_absent(const struct config *config, size_t i)
{
	const struct config_listener *half = &config->listeners[i];
	const struct config_listener *before = i > 0 ? half - 1 : NULL;

	return before && half->address && before->address && strcmp(half->address, "::1") == 0 &&
	       strcmp(before->address, "127.0.0.1") == 0 && before->port == half->port;
}

/* Sockets that systemd opened: LISTEN_FDS. */
struct inherited {
	int fds[INHERITED_MAX];
	size_t count;
};

static bool find_inherited(struct inherited *inherited, struct failure *failure)
{
	int count = notify_inherited_sockets();

	inherited->count = count > 0 ? (size_t)count : 0;
	if (inherited->count > INHERITED_MAX)
		return failure_set(failure, "systemd gives %d sockets; %d are possible", count,
				   INHERITED_MAX);
	for (int i = 0; i < count; i++)
		inherited->fds[i] = NOTIFY_FIRST_SOCKET + i;
	return true;
}

/* One that nobody serves would take connections and leave them waiting. */
static bool check_inherited(const struct inherited *inherited, struct failure *failure)
{
	char name[LISTENER_NAME_SIZE];

	for (size_t i = 0; i < inherited->count; i++) {
		if (inherited->fds[i] < 0)
			continue;
		listener_name_socket(inherited->fds[i], name);
		return failure_set(failure,
				   "systemd gives a socket at %s, and no listener line is for it; "
				   "write `listener PORT`, or take ListenStream= out of the unit",
				   name);
	}
	return true;
}

static const char *who_may_come(const struct config *config, bool allow_anonymous)
{
	static const char *const texts[2][2][2] = {
	    /* without accounts, then with them; of each without and with password_file; of each
	     * without and with anonymous */
	    {{"nobody may log in yet", "anonymous"},
	     {"users of password_file", "anonymous, and users of password_file"}},
	    {{"accounts", "anonymous, and accounts"},
	     {"accounts, and users of password_file",
	      "anonymous, accounts, and users of password_file"}},
	};

	return texts[config->persistence][config->password_file != NULL][allow_anonymous];
}

static void tell_listener(const struct config *config, const struct listener *listener,
			  bool allow_anonymous)
{
	for (size_t i = 0; i < listener->address_count; i++)
		log_write_listener(LOG_LEVEL_NOTICE, "listen", listener->number,
				   "listening on %s (%s, %s)", listener->names[i],
				   listener->loopback ? "this machine only" : "open to the network",
				   who_may_come(config, allow_anonymous));
}

/* connection_messages.  At this level because one who never sends a byte may be a probe. */
static void tell_connection(uint32_t number, const struct sockaddr *peer)
{
	char address[LOG_ADDRESS_SIZE];

	log_write_listener(LOG_LEVEL_DEBUG, "connect", number, "a connection from %s",
			   log_address(peer, address));
}

/* Who serves has to be able to connect, too, and to take it away at the end; one of systemd's has
 * the owner that its unit names. */
static bool hand_over_socket(const struct household *house, const struct listener *listener,
			     struct failure *failure)
{
	return !house->user || !listener->path ||
	       privileges_hand_over_socket(listener->path, house->user, failure);
}

static bool open_one(struct household *house, size_t i, struct inherited *inherited,
		     struct failure *failure)
{
	const struct config_listener *from = &house->config->listeners[i];
	struct listener *listener = &house->listeners[i];
	struct listener_place place = {.path = from->path,
				       .port = from->port,
				       .address = from->address,
				       .bind_interface = from->bind_interface,
				       .socket_domain = from->socket_domain,
				       .no_delay = house->config->set_tcp_nodelay,
				       .inherited = inherited->fds,
				       .inherited_count = inherited->count};

	listener->all = &house->all;
	listener->number = (uint32_t)i;
	atomic_init(&listener->limit.max, from->max_connections);
	listener->tell = tell_connection;
	atomic_init(&listener->tells, house->config->core.connection_messages);
	if (listener_open(listener, &place, house->config->workers, failure)) {
		tell_listener(house->config, listener, from->settings.allow_anonymous);
		return hand_over_socket(house, listener, failure);
	}
	if (!listener->absent || !may_be_absent(house->config, i))
		return false;
	log_write_listener(LOG_LEVEL_DEBUG, "listen", listener->number, "%s", failure->text);
	return true;
}

/* Who starts a broker for the first time will want to reach it from another device. */
static void tell_way_to_network(const struct config *config)
{
	if (!config->embedded_default)
		return;
	log_write(LOG_LEVEL_NOTICE, "listen",
		  "other devices cannot connect; to open the port to the network put these two "
		  "lines into a file and give it with -c:");
	log_write(LOG_LEVEL_NOTICE, "listen", "    listener %u", config->listeners[0].port);
	log_write(LOG_LEVEL_NOTICE, "listen", "    allow_anonymous true");
}

static bool open_listeners(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;

	atomic_init(&house->all.max, config->global_max_connections);
	house->listeners = calloc(config->listener_count, sizeof(*house->listeners));
	house->refused_reported = calloc(config->listener_count, sizeof(uint64_t));
	house->no_descriptor_reported = calloc(config->listener_count, sizeof(uint64_t));
	house->not_opened_reported = calloc(config->listener_count, sizeof(uint64_t));
	house->turned_away_reported = calloc(config->listener_count, sizeof(uint64_t));
	must(house->listeners && house->refused_reported && house->no_descriptor_reported &&
	     house->not_opened_reported && house->turned_away_reported);
	house->listener_count = config->listener_count;
	for (size_t i = 0; i < config->listener_count; i++)
		atomic_init(&house->listeners[i].settings, &config->listeners[i].settings);
	struct inherited inherited;
	bool opened = find_inherited(&inherited, failure);

	for (size_t i = 0; opened && i < house->listener_count; i++)
		opened = open_one(house, i, &inherited, failure);
	if (!opened || !check_inherited(&inherited, failure))
		return false;
	tell_way_to_network(config);
	return true;
}

static bool open_admin(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;

	if (!config->admin_address)
		return true;
	house->admin = admin_open(config->admin_address, config->admin_port,
				  config->admin_token_file, failure);
	if (house->admin)
		log_write(LOG_LEVEL_NOTICE, "listen", "metrics, health and the ledger on port %u",
			  admin_port(house->admin));
	return house->admin != NULL;
}

/* The folder is there already, or comes with the audit log; so it is opened when that is. */
static bool open_log_server(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;

	if (!config->log_address)
		return true;
	house->log_server = log_server_open(config->log_address, config->log_port, failure);
	if (house->log_server)
		log_write(LOG_LEVEL_NOTICE, "listen", "the audit log on port %u",
			  log_server_port(house->log_server));
	return house->log_server != NULL;
}

/* ---- all of it */

static bool write_pid_file(struct household *house, struct failure *failure)
{
	const char *path = house->config->pid_file;

	house->pid_file_written = path && privileges_write_pid_file(path, failure);
	return !path || house->pid_file_written;
}

static bool become_user(const struct household *house, struct failure *failure)
{
	privileges_raise_lock_limit();
	if (!privileges_become(house->user, failure))
		return false;
	must(!privileges_is_root());
	return privileges_drop_capabilities(failure) && privileges_forbid_dumps(failure);
}

/* As the user who serves, whose limits count; before the store and the threads map their memory. */
static bool protect_memory(struct household *house, struct failure *failure)
{
	struct memory_powers *powers = &house->memory_powers;

	*powers = memory_protect();
	payload_memory_init(&house->payload_memory, powers->all_locked);
	powers->exposed = atomic_load(&house->payload_memory.exposed_bytes) > 0;
	if (!memory_protected(powers, failure)) {
		if (house->config->memory_protection == MEMORY_PROTECTION_REQUIRED)
			return failure_context(failure, "memory_protection required");
		log_write(LOG_LEVEL_WARNING, "memory", "%s", failure->text);
	} else if (powers->lock_limit != UINT64_MAX) {
		log_write(LOG_LEVEL_NOTICE, "memory",
			  "payload is out of reach of swap because there is none for us; only "
			  "%" PRIu64 " kB of it are locked, so do not switch swap on while the "
			  "broker runs",
			  powers->lock_limit / 1024);
	}
	return true;
}

static bool make_transports(struct household *house, struct failure *failure)
{
	struct problems problems = {0};

	return household_make_transports(house->config, &problems) ||
	       household_refuse(&problems, failure);
}

static void greet(const struct config *config)
{
	log_write(LOG_LEVEL_NOTICE, "start", "metrinod " METRINO_VERSION " starts: %u workers%s%s",
		  config->workers, config->file ? ", " : "", config->file ? config->file : "");
	for (size_t i = 0; i < config->notice_count; i++)
		log_write(LOG_LEVEL_NOTICE, "config", "%s", config->notices[i]);
}

bool household_open(struct household *house, struct failure *failure)
{
	const struct config *config = house->config;
	struct moment now = moment_now();

	house->started_s = now.wall_s;
	house->started_ms = now.ms;
	greet(config);
	raise_file_limit();
	return choose_user(house, failure) && open_directory(house, failure) &&
	       household_prepare_keys(house, failure) && make_transports(house, failure) &&
	       open_listeners(house, failure) && open_admin(house, failure) &&
	       open_log_server(house, failure) && write_pid_file(house, failure) &&
	       become_user(house, failure) && find_way_to_directory(house, failure) &&
	       household_find_way_to_keys(house, failure) && protect_memory(house, failure) &&
	       household_restrict(house, failure) && household_open_keys(house, failure) &&
	       open_store(house, failure) && household_open_records(house, failure) &&
	       open_audit(house, failure) && household_open_routes(house, failure) &&
	       household_settle_keys(house, failure) && household_open_accounts(house, failure);
}

void household_close(struct household *house)
{
	audit_destroy(house->audit, house->cause);
	accounts_destroy(house->accounts);
	household_close_records(house);
	if (house->store)
		store_close(house->store);
	if (house->vault)
		vault_close(house->vault);
	household_close_keys(house);
	if (house->directory >= 0)
		close(house->directory);
	household_release_transports(house);
	for (size_t i = 0; i < house->listener_count; i++)
		listener_close(&house->listeners[i]);
	free(house->listeners);
	free(house->refused_reported);
	free(house->turned_away_reported);
	free(house->refusals);
	free(house->expiries);
	free(house->half_open);
	free(house->address_rates);
	if (house->renewing)
		census_release(house->renewing);
	sandbox_folders_finish(&house->folders);
	free(house->no_descriptor_reported);
	free(house->not_opened_reported);
	/* As another user we may not be allowed to: then the next start overwrites it. */
	if (house->pid_file_written)
		unlink(house->configs[0]->pid_file);
	if (house->signals >= 0)
		close(house->signals);
	if (house->bell >= 0)
		close(house->bell);
}
