/*
 * password.h - one stored password: its forms in a password file, and whether a
 * password is the one.
 *
 *	$argon2id$v=19$m=65536,t=3,p=4$SALT$DIGEST   RFC 9106; what new ones are
 *	$7$ROUNDS$SALT$DIGEST                        PBKDF2-HMAC-SHA-512 (mosquitto 2)
 *	$6$SALT$DIGEST                               SHA-512 of password and salt (mosquitto 1)
 *
 * Salt and digest are base64, padded in the forms of mosquitto, not padded in Argon2's.
 *
 * A check takes the time of a struct password_work whatever it is asked: what the stored
 * password does not need is spent on nothing, and so is all of it for a user that does not
 * exist.  Otherwise the time would tell who exists.
 *
 * Memory: Argon2 works in an arena that its caller allocated before (64 MiB are not to be
 * found in the middle of a storm of logins); the lanes are computed one after the other, on
 * the calling thread.  What was written into it is wiped after each use.
 *
 * Failure: password_arena_init(); the rest gives false for what is not right.
 * Thread: any; an arena belongs to one at a time.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "proto/base.h"

enum password_kind {
	PASSWORD_ARGON2ID,
	PASSWORD_PBKDF2_SHA512,
	PASSWORD_SHA512,
};

#define PASSWORD_SALT_MAX   64u
#define PASSWORD_DIGEST_MAX 64u
#define PASSWORD_TEXT_MAX   320u

/* What Argon2id is asked for.  RFC 9106, section 4, "second recommended option" is {65536, 3, 4}.
 */
struct password_cost {
	uint32_t memory_kib; /* 8 for each lane, at least */
	uint32_t passes;
	uint32_t lanes;
};

#define PASSWORD_MEMORY_KIB 65536u
#define PASSWORD_PASSES	    3u
#define PASSWORD_LANES	    4u

/* A stored password that asks for more is refused where it is read: nobody could log in. */
#define PASSWORD_LANES_MAX  64u
#define PASSWORD_PASSES_MAX 1000u
#define PASSWORD_ROUNDS_MAX 10000000u

/* Plain bytes; two that are equal byte by byte are the same. */
struct password_hash {
	enum password_kind kind;
	struct password_cost cost; /* of Argon2id; else zero */
	uint32_t rounds;	   /* of PBKDF2; else zero */
	uint32_t salt_len;
	uint32_t digest_len;
	uint8_t salt[PASSWORD_SALT_MAX];
	uint8_t digest[PASSWORD_DIGEST_MAX];
};

/* Takes one of the three forms.  False: *wrong says what is not right, and nothing of the text. */
bool password_read(struct slice text, struct password_hash *hash, const char **wrong);

/* The form of a password file, ended by a zero. */
void password_write(const struct password_hash *hash, char text[PASSWORD_TEXT_MAX]);

/* What every check costs: KiB of Argon2 times passes, and rounds of PBKDF2. */
struct password_work {
	struct password_cost cost; /* of new ones: `kib_passes` are spent in its memory */
	uint64_t kib_passes;
	uint32_t rounds;
};

/* The work of new ones, to begin with. */
struct password_work password_work_of(struct password_cost cost);
/* As much as this stored password needs, at least. */
void password_work_include(struct password_work *work, const struct password_hash *hash);

struct password_arena {
	uint8_t *at; /* owned; mapped, and touched once */
	size_t size; /* bytes */
};

bool password_arena_init(struct password_arena *arena, uint32_t memory_kib,
			 struct failure *failure);
void password_arena_finish(struct password_arena *arena);

/*
 * Is it the one?  `hash` NULL: of nobody, and false after the same time.  One that is true
 * for a form other than Argon2id has not spent its share of Argon2: password_make() will.
 */
bool password_check(struct password_arena *arena, const struct password_work *work,
		    const struct password_hash *hash, struct slice password);

/* How often Argon2 was computed, in this process. */
uint64_t password_argon2_runs(void);

/* A new one, of Argon2id, with a salt from the system. */
void password_make(struct password_arena *arena, struct password_cost cost, struct slice password,
		   struct password_hash *hash);

#endif
