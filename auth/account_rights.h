/*
 * account_rights.h - the topics that an account, or one of its device keys, may read and write:
 * lines of acl_file's grammar,
 *
 *	pattern read|write|readwrite|deny FILTER
 *
 * where %c in a filter is the client identifier and %u the account's name.  All are patterns, so
 * that those with deny come first.
 *
 * One filter has one line.  Rights from which every line was taken allow nothing: only an account
 * that never had any may use all topics.
 *
 * Ownership: counted; whoever keeps one holds it.  It does not change: with another line it is
 * another one.
 * Failure: a sentence for the person who grants; it holds no filter.
 * Thread: any.
 */
#ifndef AUTH_ACCOUNT_RIGHTS_H
#define AUTH_ACCOUNT_RIGHTS_H

#include "auth/acl.h"

/* The longest text. */
#define ACCOUNT_RIGHTS_MAX 32768u

struct account_rights;

/* Of a text that account_rights_text() gave; empty: nothing is allowed.  Gives. */
struct account_rights *account_rights_read(struct slice text, struct failure *failure);

/*
 * With this line, in the place of one for the same filter (gives); `rights` NULL: there were none.
 * `access` is read, write, readwrite or deny.
 */
struct account_rights *account_rights_with(const struct account_rights *rights, const char *access,
					   struct slice filter, struct failure *failure);

/* Without the line for this filter (gives); NULL when there is none. */
struct account_rights *account_rights_without(const struct account_rights *rights,
					      struct slice filter, struct failure *failure);

/* One more that has it, and one less; NULL is allowed. */
struct account_rights *account_rights_hold(struct account_rights *rights);
void account_rights_leave(struct account_rights *rights);

struct slice account_rights_text(const struct account_rights *rights);

/* The next line from *at on (0 at first): its access and filter; false at the end. */
bool account_rights_next(const struct account_rights *rights, size_t *at, struct slice *access,
			 struct slice *filter);

/* How many lines an answer looks at, at most; 0 for NULL. */
uint32_t account_rights_lines(const struct account_rights *rights);

/* `question->own` is not looked at.  Silence is a no, or the word of others. */
enum acl_opinion account_rights_ask(const struct account_rights *rights,
				    const struct acl_question *question);

#endif
