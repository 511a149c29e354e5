/*
 * acl.h - mosquitto's acl_file: who may read and write which topics.
 *
 *	topic [read|write|readwrite|deny] FILTER     for who gave no user name
 *	user NAME                                    the topic lines below are this user's
 *	pattern [read|write|readwrite|deny] FILTER   for everybody; %c is the client identifier, %u
 *	                                             the user name
 *
 * What no line grants is denied.  Of the client's own lines those with `deny` come first, then the
 * others; patterns likewise, after them, so that an own line wins over a pattern.  A filter that
 * begins with a wildcard does not match topics that begin with $.
 *
 * A client identifier or user name with + or # in it is put into no pattern: it would be a
 * wildcard.  A pattern with %u is not for who gave no user name.
 *
 * As in password_file.h: what is not right in any line refuses the file, with the line, and no
 * text for people holds a name or a topic.
 *
 * Ownership: acl_load() allocates; the rest borrows.
 * Thread: immutable, so any.
 */
#ifndef AUTH_ACL_H
#define AUTH_ACL_H

#include "auth/auth.h"
#include "auth/problems.h"

struct acl;
struct acl_rules; /* of one user */

/* NULL, and all that is wrong: "PATH:LINE: ...".  Without a path: "the right ...". */
struct acl *acl_parse(struct slice text, const char *path, struct problems *problems);
struct acl *acl_load(const char *path, struct problems *problems);
void acl_destroy(struct acl *acl);

/* Has it lines for a user? */
bool acl_names_users(const struct acl *acl);

/* Own lines of a user; `user` NULL: of who gave no name.  NULL when there are none. */
const struct acl_rules *acl_rules_of(const struct acl *acl, const struct slice *user);

struct acl_question {
	const struct acl_rules *own; /* as acl_rules_of() gave them, or NULL */
	const struct slice *user;    /* NULL: nobody */
	struct slice client_id;
	enum auth_right right;
	struct slice topic;
};

/* How many lines an answer looks at, at most. */
uint32_t acl_lines(const struct acl *acl, const struct acl_rules *own);

enum acl_opinion {
	ACL_SILENT, /* no line is about it */
	ACL_DENIES,
	ACL_ALLOWS,
};

/* What the first line that is about it says. */
enum acl_opinion acl_ask(const struct acl *acl, const struct acl_question *question);

/* Silence is a no. */
bool acl_allows(const struct acl *acl, const struct acl_question *question);

#endif
