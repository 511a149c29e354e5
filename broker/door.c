/* door.c - see door.h. */
#include "auth/token.h"
#include "broker/door_internal.h"
#include "broker/log.h"
#include "broker/net/moment.h"
#include "broker/net/peer.h"
#include "broker/worker.h"
#include <stdlib.h>

/* ---- at the door ---- */

static enum auth_verdict refuse(struct auth_answer *answer, enum mqtt_reason reason,
				const char *text)
{
	answer->reason = reason;
	answer->text = text;
	return AUTH_REFUSE;
}

static enum auth_verdict admit_nobody(struct door *door, const struct auth_request *request,
				      struct auth_answer *answer)
{
	if (!request->allow_anonymous)
		return refuse(answer, MQTT_NOT_AUTHORIZED,
			      "a user name and a password are needed here");
	pthread_mutex_lock(&door->lock);
	answer->grant = grant_create(door, &(struct identity){.kind = IDENTITY_NOBODY});
	pthread_mutex_unlock(&door->lock);
	return AUTH_ALLOW;
}

/* The transport's word is enough: a certificate, a pre-shared key, a user of this machine. */
static enum auth_verdict admit_proved(struct door *door, const struct auth_request *request,
				      struct auth_answer *answer)
{
	if (door_is_account(request->identity->name))
		return refuse(answer, MQTT_NOT_AUTHORIZED,
			      "a name of this form is an account's, and cannot be proved so");
	pthread_mutex_lock(&door->lock);
	answer->grant = grant_create(door, request->identity);
	pthread_mutex_unlock(&door->lock);
	auth_log_note(door->auth_log, request->identity->kind, 0, AUTH_LOG_RIGHT);
	return AUTH_ALLOW;
}

enum throttle_verdict door_throttle(struct door *door, const struct throttle_address *address,
				    struct slice user, struct auth_answer *answer)
{
	pthread_mutex_lock(&door->lock);
	enum throttle_verdict verdict =
	    throttle_ask(door->throttle, moment_now().ms, address, user);
	pthread_mutex_unlock(&door->lock);
	if (verdict == THROTTLE_BANNED)
		refuse(answer, MQTT_BANNED, "too many failed logins from this address");
	if (verdict == THROTTLE_WAIT)
		refuse(answer, MQTT_QUOTA_EXCEEDED, "too many failed logins: try again later");
	return verdict;
}

static enum auth_verdict queue_up(struct worker_door *at, const struct auth_request *request,
				  const struct throttle_address *from, bool doubt,
				  struct auth_answer *answer)
{
	struct auth_threads *threads = at->door->threads;
	if (threads == NULL) /* a name of accounts' form, and there is no account yet */
		return refuse(answer, MQTT_BAD_USER_NAME_OR_PASSWORD, NULL);
	struct login *login = login_create(request->user_name, request->password);
	login->auth = &at->auth;
	login->party = at->worker->party;
	login->link = request->link;
	login->serial = request->serial;
	login->from = *from;
	login->doubt = doubt;
	if (auth_threads_submit(threads, login, moment_now().ms))
		return AUTH_WAIT;
	login_destroy(login);
	return refuse(answer, MQTT_SERVER_BUSY, "too many log in at the moment: try again later");
}

static enum auth_verdict admit_user(struct worker_door *at, const struct auth_request *request,
				    struct auth_answer *answer)
{
	struct throttle_address from;
	struct peer_of_link peer = peer_of_link(&at->worker->loop, request->link);
	_Static_assert(sizeof from.at == sizeof peer.address, "both are addresses");
	memcpy(from.at, peer.address, sizeof from.at);
	bool token = request->has_password && token_looks_like(request->password);
	if (!peer.confidential && token)
		return refuse(answer, MQTT_NOT_AUTHORIZED,
			      "tokens are not taken over a connection that is not encrypted");
	if (!peer.confidential &&
	    !atomic_load_explicit(&at->door->allow_cleartext, memory_order_relaxed))
		return refuse(answer, MQTT_NOT_AUTHORIZED,
			      "passwords are not taken over a connection that is not encrypted");
	if (!request->has_password)
		return refuse(answer, MQTT_BAD_USER_NAME_OR_PASSWORD, "a password is needed here");
	if (token)
		return door_admit_token(at->door, &from, request, answer);
	enum throttle_verdict verdict = door_throttle(at->door, &from, request->user_name, answer);
	return verdict == THROTTLE_BANNED || verdict == THROTTLE_WAIT
		   ? AUTH_REFUSE
		   : queue_up(at, request, &from, verdict == THROTTLE_DOUBT, answer);
}

/* Does the form of the name, or the configuration, ask for a proof?  Never what is stored. */
static bool wants_proof(const struct door *door, struct slice user)
{
	return door->password_path || (door->accounts && door_is_account(user));
}

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	struct worker_door *at = (struct worker_door *)auth;
	if (door_bans_client(at->door, request->client, answer))
		return AUTH_REFUSE;
	if (request->method.len > 0)
		return door_admit_scram(at, request, answer);
	if (request->identity)
		return admit_proved(at->door, request, answer);
	if (request->has_user_name && wants_proof(at->door, request->user_name))
		return admit_user(at, request, answer);
	return admit_nobody(at->door, request, answer);
}

/* ---- files ---- */

/* Does a transport say who its clients are? */
static bool proves(const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config_listener_proves(&config->listeners[i]))
			return true;
	return false;
}

static bool bans_flapping(const struct config *config)
{
	return config->core.rate_reconnect != UINT32_MAX &&
	       config->reconnect_ban.after != UINT32_MAX;
}

static struct password_cost cost_of(const struct config *config)
{
	return (struct password_cost){config->argon2_memory_kib, config->argon2_passes,
				      PASSWORD_LANES};
}

struct files {
	struct password_file *passwords;
	struct acl *acl;
};

static void files_destroy(struct files *files)
{
	password_file_destroy(files->passwords);
	acl_destroy(files->acl);
}

/* Nobody could log in by it: the form is accounts'. */
static void check_names(const struct password_file *passwords, const char *path,
			struct problems *problems)
{
	for (size_t i = 0; i < passwords->count; i++)
		if (door_is_account(passwords->entries[i].user))
			problems_add(problems,
				     "%.200s:%u: the name has a form that only accounts "
				     "and their device keys have; right would be another name",
				     path, passwords->entries[i].line);
}

/* Both or none; NULL paths are no files. */
static bool files_load(const char *password_path, const char *acl_path, struct password_cost cost,
		       struct files *files, struct problems *problems)
{
	*files = (struct files){0};
	*problems = (struct problems){.about = "password_file"};
	if (password_path)
		files->passwords = password_file_load(password_path, cost, problems);
	if (files->passwords)
		check_names(files->passwords, password_path, problems);
	problems->about = "acl_file";
	if (acl_path)
		files->acl = acl_load(acl_path, problems);
	problems->about = NULL;
	if (problems->count == 0)
		return true;
	files_destroy(files);
	return false;
}

bool door_check_files(const struct config *config, struct problems *problems)
{
	struct files files;
	if (!files_load(config->password_file, config->acl_file, cost_of(config), &files, problems))
		return false;
	files_destroy(&files);
	return true;
}

static void tell_files(const struct files *files, bool proves)
{
	if (files->passwords)
		log_write(LOG_LEVEL_INFO, "login", "password_file: %zu users",
			  files->passwords->count);
	if (files->acl && !files->passwords && !proves && acl_names_users(files->acl))
		log_write(LOG_LEVEL_WARNING, "login",
			  "acl_file has lines for users, and there is no password_file by which "
			  "anybody could prove to be one: they are for nobody");
}

/* ---- life ---- */

/* What is made with them is stored with sessions, so that they stay the same as long. */
static bool make_keys(struct door *door, struct keyring *keyring, struct problems *problems)
{
	uint8_t token[SEAL_KEY_LEN], device_key[SEAL_KEY_LEN];
	if (keyring == NULL) { /* nothing is stored */
		seal_random(token, sizeof token);
		seal_random(device_key, sizeof device_key);
	} else if (!keyring_get(keyring, KEY_TOKEN, 0, token) ||
		   !keyring_get(keyring, KEY_DEVICE_KEY, 0, device_key)) {
		return problems_add(problems, "a key of this installation is not in keys.slots");
	}
	seal_derive(token, "owner", "session", 0, door->owner_key);
	seal_derive(token, "token", "session", 0, door->token_key);
	seal_derive(device_key, "scram", "nobody", 0, door->scram_key);
	explicit_bzero(token, sizeof token);
	explicit_bzero(device_key, sizeof device_key);
	return true;
}

static bool address_of_link(struct auth *auth, uint32_t link, uint8_t address[AUTH_ADDRESS_SIZE])
{
	static const uint8_t none[AUTH_ADDRESS_SIZE];
	const struct worker_door *at = (const struct worker_door *)auth;
	struct peer_of_link peer = peer_of_link(&at->worker->loop, link);
	_Static_assert(AUTH_ADDRESS_SIZE == sizeof peer.address, "both are addresses");
	memcpy(address, peer.address, sizeof peer.address);
	return memcmp(address, none, sizeof none) != 0;
}

static bool is_in_file(struct door *door, uint64_t owner)
{
	pthread_mutex_lock(&door->lock);
	bool is = owners_have(door->owners, owner);
	pthread_mutex_unlock(&door->lock);
	return is;
}

/* Of the others only the transport knows. */
static bool may_log_in(struct auth *auth, uint64_t owner)
{
	struct door *door = ((struct worker_door *)auth)->door;
	switch (auth_owner_kind(owner)) {
	case IDENTITY_ACCOUNT:
		return door->accounts &&
		       accounts_may_log_in(door->accounts, auth_owner_number(owner));
	case IDENTITY_FILE:
		return is_in_file(door, owner);
	default:
		return true;
	}
}

struct door *door_create(const struct config *config, const struct door_setup *setup,
			 struct problems *problems)
{
	struct files files;
	if (!files_load(config->password_file, config->acl_file, cost_of(config), &files, problems))
		return NULL;
	struct door *door = calloc(1, sizeof *door + config->workers * sizeof door->doors[0]);
	must(door);
	door->password_path = config->password_file;
	door->acl_path = config->acl_file;
	door->cost = cost_of(config);
	door->thread_count = config->auth_threads;
	door->workers = setup->workers;
	door->accounts = setup->accounts;
	door->auth_log = setup->auth_log;
	atomic_init(&door->allow_cleartext, config->allow_cleartext_password);
	atomic_init(&door->rate_connect, config->rate_connect);
	atomic_init(&door->bans_flapping, bans_flapping(config));
	must(pthread_mutex_init(&door->lock, NULL) == 0);
	must(pthread_mutex_init(&door->writing, NULL) == 0);
	door->passwords = files.passwords;
	tell_files(&files, proves(config));
	door->rules = rules_create(files.acl);
	door->throttle = throttle_create(config->auth_fail_ban.after, config->auth_fail_ban.ms);
	door->flapping = flapping_create(config->reconnect_ban.after, config->reconnect_ban.ms);
	door->count = (uint16_t)config->workers;
	for (uint16_t i = 0; i < door->count; i++)
		door->doors[i] = (struct worker_door){.auth = {.check = check,
							       .may = grant_may,
							       .renew = grant_renew,
							       .release = grant_release,
							       .comes = door_client_comes,
							       .address = address_of_link,
							       .may_log_in = may_log_in,
							       .end_exchange = door_end_exchange,
							       .has_tokens = door_has_tokens,
							       .make_token = door_make_token},
						      .door = door,
						      .worker = &setup->workers[i]};
	if (!make_keys(door, setup->keyring, problems)) {
		door_destroy(door);
		return NULL;
	}
	door->owners = owners_create(door, door->passwords);
	return door;
}

struct auth *door_auth(struct door *door, uint16_t party)
{
	must(party < door->count);
	return &door->doors[party].auth;
}

static bool start_threads(struct door *door, struct failure *failure)
{
	struct auth_sink sink = {door, door_login_check, door_login_done};
	uint32_t memory_kib = door->cost.memory_kib;
	uint32_t accounts_kib = door->accounts ? accounts_memory_kib(door->accounts) : 0;
	if (accounts_kib > memory_kib)
		memory_kib = accounts_kib;
	door->threads = auth_threads_create(door->thread_count, memory_kib, &sink, failure);
	return door->threads != NULL;
}

bool door_start(struct door *door, struct failure *failure)
{
	size_t accounts = door->accounts ? accounts_count(door->accounts) : 0;
	if (accounts > 0)
		log_write(LOG_LEVEL_INFO, "login", "%zu accounts", accounts);
	return (door->passwords == NULL && accounts == 0) || start_threads(door, failure);
}

bool door_expect_accounts(struct door *door, struct failure *failure)
{
	return door->threads != NULL || start_threads(door, failure);
}

bool door_knows_owner(const struct door *door, uint64_t owner)
{
	return auth_owner_kind(owner) != IDENTITY_ACCOUNT ||
	       (door->accounts && accounts_has(door->accounts, auth_owner_number(owner)));
}

void door_stop(struct door *door)
{
	if (door)
		auth_threads_destroy(door->threads);
	if (door)
		door->threads = NULL;
}

void door_destroy(struct door *door)
{
	if (door == NULL)
		return;
	must(door->threads == NULL);
	password_file_destroy(door->passwords);
	free(door->owners);
	rules_leave(door->rules);
	throttle_destroy(door->throttle);
	flapping_destroy(door->flapping);
	explicit_bzero(door->owner_key, sizeof door->owner_key);
	explicit_bzero(door->token_key, sizeof door->token_key);
	explicit_bzero(door->scram_key, sizeof door->scram_key);
	pthread_mutex_destroy(&door->lock);
	pthread_mutex_destroy(&door->writing);
	free(door);
}

bool door_reload(struct door *door, const struct config *config, struct problems *problems)
{
	struct files files;
	if (!files_load(door->password_path, door->acl_path, door->cost, &files, problems))
		return false;
	struct rules *rules = rules_create(files.acl), *old_rules;
	struct owners *owners = owners_create(door, files.passwords), *old_owners;
	pthread_mutex_lock(&door->lock);
	struct password_file *old = door->passwords;
	door->passwords = files.passwords;
	old_owners = door->owners;
	door->owners = owners;
	old_rules = door->rules;
	door->rules = rules;
	throttle_set(door->throttle, config->auth_fail_ban.after, config->auth_fail_ban.ms);
	flapping_set(door->flapping, config->reconnect_ban.after, config->reconnect_ban.ms);
	atomic_store_explicit(&door->bans_flapping, bans_flapping(config), memory_order_relaxed);
	pthread_mutex_unlock(&door->lock);
	atomic_store_explicit(&door->allow_cleartext, config->allow_cleartext_password,
			      memory_order_relaxed);
	atomic_store_explicit(&door->rate_connect, config->rate_connect, memory_order_relaxed);
	password_file_destroy(old);
	free(old_owners);
	rules_leave(old_rules);
	tell_files(&files, proves(config));
	return true;
}

bool door_admit(void *self, const uint8_t *address)
{
	struct door *door = self;
	struct throttle_address from;
	uint32_t a_second = atomic_load_explicit(&door->rate_connect, memory_order_relaxed);
	if (a_second == UINT32_MAX)
		return true;
	memcpy(from.at, address, sizeof from.at);
	pthread_mutex_lock(&door->lock);
	bool admitted = throttle_connect(door->throttle, moment_now().ms, &from, a_second);
	pthread_mutex_unlock(&door->lock);
	return admitted;
}

bool door_tick(struct door *door, uint64_t now_ms)
{
	struct auth_threads *threads = door->threads;
	if (threads)
		auth_threads_expire(threads, now_ms);
	return door->accounts && accounts_key_ended(door->accounts);
}
