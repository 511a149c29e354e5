/* door_login.c - one password on one of the threads: right or wrong, and hashed anew. */
#include "broker/door_internal.h"
#include "broker/log.h"
#include "broker/net/moment.h"
#include "broker/worker.h"

/* ---- the file ---- */

struct renewal {
	struct slice user;
	const struct password_hash *old;
	const struct password_hash *new;
	bool put;
};

/* Only where the file still says what was checked: somebody may have changed it meanwhile. */
static bool put_new_hash(void *self, struct slice old, struct text *changed)
{
	struct renewal *renewal = self;
	struct password_hash stored;
	const char *wrong;
	char text[PASSWORD_TEXT_MAX];
	if (!password_read(password_text_of(old, renewal->user), &stored, &wrong) ||
	    memcmp(&stored, renewal->old, sizeof stored) != 0)
		return false;
	password_write(renewal->new, text);
	*changed = password_text_with(old, renewal->user, text);
	renewal->put = true;
	return true;
}

/* True: the file says it now. */
static bool write_file(struct door *door, struct renewal *renewal)
{
	struct failure failure;
	pthread_mutex_lock(&door->writing);
	bool done = text_file_change_now(door->password_path, put_new_hash, renewal, &failure);
	if (!done && !door->told_not_written) {
		door->told_not_written = true;
		log_write(LOG_LEVEL_WARNING, "login",
			  "%s; passwords of older forms that cannot be written are hashed anew in "
			  "memory only, until the broker ends",
			  failure.text);
	}
	pthread_mutex_unlock(&door->writing);
	return done && renewal->put;
}

static void hash_anew(struct door *door, struct password_arena *arena, const struct login *login,
		      const struct password_hash *old)
{
	struct password_hash new;
	struct renewal renewal = {.user = login_user(login), .old = old, .new = &new};
	password_make(arena, door->cost, login_password(login), &new);
	pthread_mutex_lock(&door->lock);
	bool renewed = password_file_renew(door->passwords, login_user(login), old, &new);
	pthread_mutex_unlock(&door->lock);
	if (!renewed || !write_file(door, &renewal))
		return;
	pthread_mutex_lock(&door->lock);
	password_file_written(door->passwords, login_user(login), &new);
	pthread_mutex_unlock(&door->lock);
}

/* ---- a login ---- */

struct stored {
	bool found;
	struct password_hash hash;
	struct password_work work;
};

/* What every check costs, whatever is stored where. */
static void look_up(struct door *door, struct slice user, struct stored *stored)
{
	pthread_mutex_lock(&door->lock);
	const struct password_entry *entry =
	    door->passwords ? password_file_find(door->passwords, user) : NULL;
	stored->found = entry != NULL;
	if (entry)
		stored->hash = entry->hash;
	stored->work = door->passwords ? door->passwords->work : password_work_of(door->cost);
	pthread_mutex_unlock(&door->lock);
	if (door->accounts)
		accounts_include_work(door->accounts, &stored->work);
}

static bool check_user(struct door *door, struct password_arena *arena, const struct login *login,
		       const struct stored *stored)
{
	bool right = password_check(arena, &stored->work, stored->found ? &stored->hash : NULL,
				    login_password(login));
	if (right && stored->hash.kind != PASSWORD_ARGON2ID)
		hash_anew(door, arena, login, &stored->hash);
	return right;
}

/* For the rows of logins: nobody's where the name is nobody's. */
static void note_login(struct door *door, const struct stored *stored,
		       const struct account_visitor *visitor, enum auth_log_result result)
{
	enum identity_kind kind = visitor->account ? IDENTITY_ACCOUNT
				  : stored->found  ? IDENTITY_FILE
						   : IDENTITY_NOBODY;
	auth_log_note(door->auth_log, kind, visitor->account, result);
}

/* NULL: refused. */
static struct auth_grant *find_grant(struct door *door, struct password_arena *arena,
				     const struct login *login)
{
	struct stored stored = {0};
	struct account_visitor visitor = {0};
	struct auth_grant *grant = NULL;
	struct slice user = login_user(login);
	bool account = door->accounts && door_is_account(user);
	look_up(door, user, &stored);
	bool right = account ? accounts_check(door->accounts, arena, &stored.work, user,
					      login_password(login), &visitor)
			     : check_user(door, arena, login, &stored);
	pthread_mutex_lock(&door->lock);
	if (right)
		grant = account ? grant_create_account(door, &visitor)
				: grant_create(door, &(struct identity){IDENTITY_FILE, user});
	pthread_mutex_unlock(&door->lock);
	note_login(door, &stored, &visitor,
		   grant		    ? AUTH_LOG_RIGHT
		   : right || visitor.right ? AUTH_LOG_REFUSED
					    : AUTH_LOG_WRONG);
	explicit_bzero(&stored, sizeof stored);
	return grant;
}

void door_login_check(void *self, struct password_arena *arena, struct login *login)
{
	struct door *door = self;
	login->grant = find_grant(door, arena, login);
	login->reason = login->grant ? MQTT_SUCCESS : MQTT_BAD_USER_NAME_OR_PASSWORD;
	pthread_mutex_lock(&door->lock);
	if (login->grant)
		throttle_passed(door->throttle, &login->from, login_user(login));
	else
		throttle_failed(door->throttle, moment_now().ms, &login->from, login_user(login));
	pthread_mutex_unlock(&door->lock);
}

void door_login_done(void *self, struct login *login)
{
	struct door *door = self;
	worker_post_login(&door->workers[login->party], login);
}
