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
};

/* Only where the file still says what was checked: somebody may have changed it meanwhile. */
static bool put_new_hash(void *self, struct slice old, struct text *changed)
{
	const struct renewal *renewal = self;
	struct password_hash stored;
	const char *wrong;
	char text[PASSWORD_TEXT_MAX];
	if (!password_read(password_text_of(old, renewal->user), &stored, &wrong) ||
	    memcmp(&stored, renewal->old, sizeof stored) != 0)
		return false;
	password_write(renewal->new, text);
	*changed = password_text_with(old, renewal->user, text);
	return true;
}

static void write_file(struct door *door, struct renewal *renewal)
{
	struct failure failure;
	pthread_mutex_lock(&door->writing);
	if (!text_file_change(door->password_path, put_new_hash, renewal, &failure) &&
	    !door->told_not_written) {
		door->told_not_written = true;
		log_write(LOG_LEVEL_WARNING, "login",
			  "%s; passwords of older forms are hashed anew in memory only, until the "
			  "broker ends",
			  failure.text);
	}
	pthread_mutex_unlock(&door->writing);
}

static void hash_anew(struct door *door, struct password_arena *arena, const struct login *login,
		      const struct password_hash *old)
{
	struct password_hash new;
	struct renewal renewal = {login_user(login), old, &new};
	password_make(arena, door->cost, login_password(login), &new);
	pthread_mutex_lock(&door->lock);
	bool renewed = password_file_renew(door->passwords, login_user(login), old, &new);
	pthread_mutex_unlock(&door->lock);
	if (renewed)
		write_file(door, &renewal);
}

/* ---- a login ---- */

struct stored {
	bool found;
	struct password_hash hash;
	struct password_work work;
};

static void look_up(struct door *door, struct slice user, struct stored *stored)
{
	pthread_mutex_lock(&door->lock);
	const struct password_entry *entry = password_file_find(door->passwords, user);
	stored->found = entry != NULL;
	if (entry)
		stored->hash = entry->hash;
	stored->work = door->passwords->work;
	pthread_mutex_unlock(&door->lock);
}

static void note(struct door *door, const struct login *login, bool right)
{
	uint64_t now_ms = moment_now().ms;
	if (right)
		throttle_passed(door->throttle, &login->from, login_user(login));
	else
		throttle_failed(door->throttle, now_ms, &login->from, login_user(login));
}

void door_login_check(void *self, struct password_arena *arena, struct login *login)
{
	struct door *door = self;
	struct stored stored = {0};
	struct slice user = login_user(login);
	look_up(door, user, &stored);
	bool right = password_check(arena, &stored.work, stored.found ? &stored.hash : NULL,
				    login_password(login));
	if (right && stored.hash.kind != PASSWORD_ARGON2ID)
		hash_anew(door, arena, login, &stored.hash);
	pthread_mutex_lock(&door->lock);
	note(door, login, right);
	if (right)
		login->grant = grant_create(door, &user);
	pthread_mutex_unlock(&door->lock);
	login->reason = right ? MQTT_SUCCESS : MQTT_BAD_USER_NAME_OR_PASSWORD;
	explicit_bzero(&stored, sizeof stored);
}

void door_login_done(void *self, struct login *login)
{
	struct door *door = self;
	worker_post_login(&door->workers[login->party], login);
}
