/*
 * password_file.h - mosquitto's password_file: one line `user:password` for each user,
 * the password in one of the forms of password.h.
 *
 * Lines that are empty or begin with # say nothing.  Whatever else is not right refuses the
 * whole file: a line that is skipped would be a user that is missing, or a form that lets in
 * more than it says.  So does a file without a user, and one whose last line has no end, for
 * it was cut off.
 *
 * No text that is given for people holds a name, for it may end in a log.
 *
 * Ownership: password_file_parse() allocates; entries live as long as the file.
 * Thread: immutable once made but for password_file_renew() and password_file_written(), which its
 * owner guards.
 */
#ifndef AUTH_PASSWORD_FILE_H
#define AUTH_PASSWORD_FILE_H

#include "auth/password.h"
#include "auth/problems.h"
#include "auth/text_file.h"

struct password_entry {
	struct slice user;
	struct password_hash hash;
	struct password_hash *in_file; /* owned; what the file still says; NULL: `hash` */
	unsigned line;
};

struct password_file {
	size_t count;
	struct password_entry *entries; /* by name */
	struct password_work work;	/* that covers all of them, and new ones */
	char *names;
};

/* NULL, and all that is wrong: "PATH:LINE: ...".  `cost` is of new ones; none may need more memory.
 */
struct password_file *password_file_parse(struct slice text, const char *path,
					  struct password_cost cost, struct problems *problems);

/* Reads and parses. */
struct password_file *password_file_load(const char *path, struct password_cost cost,
					 struct problems *problems);

void password_file_destroy(struct password_file *file);

/* The user's entry; NULL for none. */
const struct password_entry *password_file_find(const struct password_file *file,
						struct slice user);

/*
 * Puts another hash in the place of this one; false when the entry is another one by now.  What
 * stood there stays known as what the file says, until password_file_written().
 */
bool password_file_renew(struct password_file *file, struct slice user,
			 const struct password_hash *old, const struct password_hash *hash);

/* The file says it now; nothing when the entry is another one by now. */
void password_file_written(struct password_file *file, struct slice user,
			   const struct password_hash *hash);

/* The one that is there also after the file is read again. */
static inline const struct password_hash *password_in_file(const struct password_entry *entry)
{
	return entry->in_file ? entry->in_file : &entry->hash;
}

/* ---- the text ---- */

/* Could it be a user's name in such a file? */
bool password_user_valid(struct slice user);

/* The password part of the user's line; of length 0 when there is none. */
struct slice password_text_of(struct slice text, struct slice user);

/* The text with this password for the user; NULL takes the user out. */
struct text password_text_with(struct slice text, struct slice user, const char *password);

#endif
