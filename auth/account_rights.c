/* account_rights.c - see account_rights.h. */
#include "auth/account_rights.h"
#include "proto/utf8.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct account_rights {
	_Atomic uint32_t users;
	struct acl *acl; /* NULL: no line, nothing is allowed */
	size_t len;
	char text[];
};

/* ---- making ---- */

struct account_rights *account_rights_read(struct slice text, struct failure *failure)
{
	if (text.len > ACCOUNT_RIGHTS_MAX) {
		failure_set(failure, "there are too many rights: their lines have %u bytes at most",
			    ACCOUNT_RIGHTS_MAX);
		return NULL;
	}
	struct problems problems = {0};
	struct acl *acl = text.len > 0 ? acl_parse(text, NULL, &problems) : NULL;
	if (text.len > 0 && acl == NULL) {
		problems_first(&problems, failure);
		problems_free(&problems);
		return NULL;
	}
	struct account_rights *rights = calloc(1, sizeof *rights + text.len);
	must(rights);
	atomic_init(&rights->users, 1);
	rights->acl = acl;
	rights->len = text.len;
	if (text.len > 0)
		memcpy(rights->text, text.at, text.len);
	return rights;
}

struct account_rights *account_rights_hold(struct account_rights *rights)
{
	if (rights)
		atomic_fetch_add(&rights->users, 1);
	return rights;
}

void account_rights_leave(struct account_rights *rights)
{
	if (rights == NULL || atomic_fetch_sub(&rights->users, 1) > 1)
		return;
	acl_destroy(rights->acl);
	explicit_bzero(rights->text, rights->len);
	free(rights);
}

/* ---- lines ---- */

struct slice account_rights_text(const struct account_rights *rights)
{
	return slice_of(rights->text, rights->len);
}

/* What stands before `end`, which is taken off too; our own lines always have it. */
static struct slice take_until(struct slice *text, char end)
{
	const uint8_t *at = memchr(text->at, end, text->len);
	must(at);
	struct slice part = slice_of(text->at, (size_t)(at - text->at));
	*text = slice_after(*text, part.len + 1);
	return part;
}

bool account_rights_next(const struct account_rights *rights, size_t *at, struct slice *access,
			 struct slice *filter)
{
	struct slice rest = slice_after(account_rights_text(rights), *at);
	if (rest.len == 0)
		return false;
	struct slice line = take_until(&rest, '\n');
	*at += line.len + 1;
	take_until(&line, ' ');
	*access = take_until(&line, ' ');
	*filter = line;
	return true;
}

static bool is_access(const char *word)
{
	static const char *const words[] = {"read", "write", "readwrite", "deny"};
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

/* A line is one line, and what stands in it is what was asked for. */
static bool stays_one_line(struct slice filter)
{
	for (size_t i = 0; i < filter.len; i++)
		if (filter.at[i] < ' ' || filter.at[i] == 0x7f)
			return false;
	return filter.len > 0 && filter.at[0] != ' ' && filter.at[filter.len - 1] != ' ' &&
	       utf8_valid(filter);
}

/* The text without the line of this filter, with room for another one. */
struct draft {
	char *at;
	size_t len;
	size_t room;
	bool found;
};

static void copy_others(struct draft *draft, const struct account_rights *rights,
			struct slice filter)
{
	struct slice access, other;
	for (size_t at = 0, begin = 0; rights && account_rights_next(rights, &at, &access, &other);
	     begin = at) {
		if (slice_equal(other, filter)) {
			draft->found = true;
			continue;
		}
		memcpy(draft->at + draft->len, rights->text + begin, at - begin);
		draft->len += at - begin;
	}
}

static struct draft draft_begin(const struct account_rights *rights, struct slice filter)
{
	struct draft draft = {.room = (rights ? rights->len : 0) + filter.len + 32};
	draft.at = malloc(draft.room);
	must(draft.at);
	copy_others(&draft, rights, filter);
	return draft;
}

static struct account_rights *draft_end(struct draft *draft, struct failure *failure)
{
	struct account_rights *rights =
	    account_rights_read(slice_of(draft->at, draft->len), failure);
	explicit_bzero(draft->at, draft->room);
	free(draft->at);
	return rights;
}

struct account_rights *account_rights_with(const struct account_rights *rights, const char *access,
					   struct slice filter, struct failure *failure)
{
	if (!is_access(access)) {
		failure_set(failure, "a right is read, write, readwrite or deny");
		return NULL;
	}
	if (!stays_one_line(filter)) {
		failure_set(failure, "a topic filter of a right is UTF-8 of one line, without "
				     "blanks at its ends");
		return NULL;
	}
	struct draft draft = draft_begin(rights, filter);
	draft.len +=
	    (size_t)snprintf(draft.at + draft.len, draft.room - draft.len, "pattern %s %.*s\n",
			     access, (int)filter.len, (const char *)filter.at);
	return draft_end(&draft, failure);
}

struct account_rights *account_rights_without(const struct account_rights *rights,
					      struct slice filter, struct failure *failure)
{
	struct draft draft = draft_begin(rights, filter);
	if (draft.found)
		return draft_end(&draft, failure);
	free(draft.at);
	failure_set(failure, "there is no right for this topic filter");
	return NULL;
}

/* ---- asking ---- */

uint32_t account_rights_lines(const struct account_rights *rights)
{
	return rights && rights->acl ? acl_lines(rights->acl, NULL) : 0;
}

enum acl_opinion account_rights_ask(const struct account_rights *rights,
				    const struct acl_question *question)
{
	if (rights->acl == NULL)
		return ACL_SILENT;
	struct acl_question own = *question;
	own.own = NULL;
	return acl_ask(rights->acl, &own);
}
