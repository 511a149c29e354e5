/*
 * auth_thread.h - threads that look at passwords, which takes a tenth of a second each and a lot
 * of memory, so that workers never do.
 *
 * Between them and the workers is a queue that is as long as what they can do in LOGIN_WAIT_MS,
 * from how long the last checks took.  One address may have a quarter of it, and all those in
 * doubt, because they failed or tried often of late, a half; they go behind the others, and make
 * room for them.  So a storm
 * leaves room for who has nothing to do with it.  A login that does not fit is refused at once, and
 * one that waited longer than LOGIN_PATIENCE_MS, because the machine is too busy to get to it,
 * later: the answer is always an answer.
 *
 * Memory: a login counts once more in the queue for each LOGIN_BYTES of name and password, so that
 * all together hold LOGIN_ROOM_MAX of these and one login at most; memory_limit does not count it.
 *
 * The threads run at a lower priority (nice 5) than those that carry messages.
 *
 * Ownership: a login belongs to the threads from a successful submit until done().  Its memory
 * holds a password, and is wiped when it goes.
 * Failure: creating, when there is no memory or no thread.
 * Thread: created and destroyed by the main thread; the rest from any.
 */
#ifndef BROKER_AUTH_THREAD_H
#define BROKER_AUTH_THREAD_H

#include "auth/auth.h"
#include "auth/password.h"
#include "auth/throttle.h"
#include "broker/core/mail.h"

#define LOGIN_WAIT_MS	  3000u
#define LOGIN_PATIENCE_MS 6000u
#define LOGIN_ROOM_MIN	  4u
#define LOGIN_ROOM_MAX	  1024u
#define LOGIN_BYTES	  4096u

/* A CONNECT that waits for its answer. */
struct login {
	struct login *next;
	struct auth *auth; /* of its worker */
	party_id party;
	uint32_t link;
	uint64_t serial;
	struct throttle_address from;
	bool doubt; /* THROTTLE_DOUBT */
	uint64_t since_ms;
	enum mqtt_reason reason;  /* the answer, */
	struct auth_grant *grant; /* and who it is (owned); NULL when refused */
	size_t user_len;
	size_t password_len;
	uint8_t bytes[]; /* the user name, then the password */
};

struct login *login_create(struct slice user, struct slice password);

/* Gives the grant back, wipes, frees. */
void login_destroy(struct login *login);

static inline struct slice login_user(const struct login *login)
{
	return slice_of(login->bytes, login->user_len);
}

static inline struct slice login_password(const struct login *login)
{
	return slice_of(login->bytes + login->user_len, login->password_len);
}

struct auth_threads;

struct auth_sink {
	void *self;
	/* Fills in the answer; on one of the threads. */
	void (*check)(void *self, struct password_arena *arena, struct login *login);
	/* Takes the login with its answer; on any thread. */
	void (*done)(void *self, struct login *login);
};

/* `count` threads with `memory_kib` for Argon2 each. */
struct auth_threads *auth_threads_create(uint32_t count, uint32_t memory_kib,
					 const struct auth_sink *sink, struct failure *failure);

/* Takes the login; false when there is no room for it. */
bool auth_threads_submit(struct auth_threads *threads, struct login *login, uint64_t now_ms);

/* Refuses (0x89) what waits for too long.  To be called once a second. */
void auth_threads_expire(struct auth_threads *threads, uint64_t now_ms);

/* Ends the threads; what still waits gets no answer. */
void auth_threads_destroy(struct auth_threads *threads);

#endif
