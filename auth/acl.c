/* acl.c - see acl.h. */
#include "auth/acl.h"
#include "auth/text_file.h"
#include "proto/topic.h"
#include <stdlib.h>

#define DENY 0u /* no right: refuses where it matches */

struct acl_rule {
	struct slice filter;
	unsigned rights; /* of enum auth_right; DENY */
	bool wants_client_id;
	bool wants_user;
};

/* Those that deny are the first ones. */
struct acl_rules {
	struct slice user; /* len 0: of nobody, or patterns */
	struct acl_rule *at;
	size_t count;
	size_t denying;
};

struct acl {
	char *text; /* what the slices point into */
	struct acl_rules nobody;
	struct acl_rules patterns;
	struct acl_rules *users; /* by name, once it is parsed */
	size_t user_count;
};

/* ---- parsing ---- */

struct parsing {
	struct acl *acl;
	struct acl_rules *into; /* where topic lines go */
	size_t room;		/* of acl->users */
	const char *path;
	unsigned line;
	struct problems *problems;
};

static bool wrong(const struct parsing *in, const char *what)
{
	return in->path ? problems_add(in->problems, "%.200s:%u: %s", in->path, in->line, what)
			: problems_add(in->problems, "the right %s", what);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct slice trim(struct slice text)
{
	while (text.len > 0 && is_blank(text.at[0]))
		text = slice_after(text, 1);
	while (text.len > 0 && (is_blank(text.at[text.len - 1]) || text.at[text.len - 1] == '\r'))
		text.len--;
	return text;
}

/* Takes the first word off *text, and the blanks behind it. */
static struct slice take_word(struct slice *text)
{
	size_t n = 0;
	while (n < text->len && !is_blank(text->at[n]))
		n++;
	struct slice word = slice_of(text->at, n);
	*text = trim(slice_after(*text, n));
	return word;
}

/* A user may have several of these, until they are merged. */
static struct acl_rules *begin_rules(struct parsing *in, struct slice user)
{
	struct acl *acl = in->acl;
	if (acl->user_count == in->room) {
		in->room = in->room ? in->room * 2 : 16;
		acl->users = realloc(acl->users, in->room * sizeof *acl->users);
		must(acl->users);
	}
	acl->users[acl->user_count] = (struct acl_rules){.user = user};
	return &acl->users[acl->user_count++];
}

static bool parse_user(struct parsing *in, struct slice rest)
{
	if (rest.len == 0)
		return wrong(in, "names no user; right would be user NAME");
	in->into = begin_rules(in, rest);
	return true;
}

static bool has(struct slice text, const char *what)
{
	return memmem(text.at, text.len, what, strlen(what)) != NULL;
}

static void add_rule(struct acl_rules *rules, const struct acl_rule *rule)
{
	rules->at = realloc(rules->at, (rules->count + 1) * sizeof *rules->at);
	must(rules->at);
	size_t place = rule->rights == DENY ? rules->denying++ : rules->count;
	memmove(&rules->at[place + 1], &rules->at[place],
		(rules->count - place) * sizeof *rules->at);
	rules->at[place] = *rule;
	rules->count++;
}

static const struct {
	const char *word;
	unsigned rights;
} accesses[] = {
    {"read", AUTH_READ},
    {"write", AUTH_WRITE},
    {"readwrite", AUTH_READ | AUTH_WRITE},
    {"deny", DENY},
};

/* With one word alone it is the topic; a topic with blanks needs the access before it. */
static bool parse_access(struct parsing *in, struct slice *rest, unsigned *rights)
{
	struct slice after = *rest;
	struct slice word = take_word(&after);
	*rights = AUTH_READ | AUTH_WRITE;
	if (after.len == 0)
		return true;
	*rest = after;
	for (size_t i = 0; i < sizeof accesses / sizeof accesses[0]; i++) {
		if (!slice_equal(word, slice_text(accesses[i].word)))
			continue;
		*rights = accesses[i].rights;
		return true;
	}
	return wrong(in, "has an access that is not read, write, readwrite or deny");
}

static bool parse_rule(struct parsing *in, struct slice rest, bool pattern)
{
	struct acl_rule rule = {0};
	if (!parse_access(in, &rest, &rule.rights))
		return false;
	rule.filter = rest;
	rule.wants_client_id = pattern && has(rest, "%c");
	rule.wants_user = pattern && has(rest, "%u");
	if (rest.len == 0)
		return wrong(in, "has no topic");
	if (rest.len > TOPIC_LEN_MAX || !topic_filter_valid(rest))
		return wrong(in, "has a topic filter that is not valid: + stands alone in its "
				 "level, # in the last one");
	add_rule(pattern ? &in->acl->patterns : in->into, &rule);
	return true;
}

static bool parse_line(struct parsing *in, struct slice line)
{
	struct slice rest = trim(line);
	if (rest.len == 0 || line.at[0] == '#')
		return true;
	if (memchr(line.at, '\0', line.len))
		return wrong(in, "has a zero byte in it");
	struct slice word = take_word(&rest);
	if (slice_equal(word, SLICE_LITERAL("user")))
		return parse_user(in, rest);
	if (slice_equal(word, SLICE_LITERAL("topic")))
		return parse_rule(in, rest, false);
	if (slice_equal(word, SLICE_LITERAL("pattern")))
		return parse_rule(in, rest, true);
	return wrong(in, "begins with none of user, topic and pattern");
}

static bool says_something(const struct acl *acl)
{
	return acl->nobody.count + acl->patterns.count + acl->user_count > 0;
}

static int compare_names(struct slice a, struct slice b)
{
	int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
	const struct acl_rules *first = a, *second = b;
	return compare_names(first->user, second->user);
}

/* Of one name in the order of their lines: names point into the text. */
static int by_name_and_line(const void *a, const void *b)
{
	const struct acl_rules *first = a, *second = b;
	int order = by_name(a, b);
	return order ? order
		     : (first->user.at > second->user.at) - (first->user.at < second->user.at);
}

/* Sorts by name, and leaves one of each. */
static void merge_users(struct acl *acl)
{
	size_t kept = 0;
	if (acl->user_count > 0)
		qsort(acl->users, acl->user_count, sizeof *acl->users, by_name_and_line);
	for (size_t i = 0; i < acl->user_count; i++) {
		struct acl_rules *rules = &acl->users[i];
		if (kept == 0 || !slice_equal(acl->users[kept - 1].user, rules->user)) {
			acl->users[kept++] = *rules;
			continue;
		}
		for (size_t j = 0; j < rules->count; j++)
			add_rule(&acl->users[kept - 1], &rules->at[j]);
		free(rules->at);
	}
	acl->user_count = kept;
}

static bool parse_lines(struct parsing *in, struct slice text)
{
	bool right = true;
	while (text.len > 0) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		in->line++;
		if (end == NULL)
			return wrong(in, "has no end of line: the file looks cut off; if it is "
					 "whole, add one");
		struct slice line = slice_of(text.at, (size_t)(end - text.at));
		text = slice_after(text, line.len + 1);
		if (line.len > 0)
			right = parse_line(in, line) && right;
	}
	return right;
}

static bool parse(struct parsing *in, struct slice text)
{
	if (!parse_lines(in, text))
		return false;
	if (!says_something(in->acl))
		return problems_add(in->problems,
				    "%.200s: holds no rule; right would be a line such as `topic "
				    "read FILTER`, or no acl_file",
				    in->path ? in->path : "rights");
	merge_users(in->acl);
	return true;
}

struct acl *acl_parse(struct slice text, const char *path, struct problems *problems)
{
	struct acl *acl = calloc(1, sizeof *acl);
	must(acl);
	acl->text = malloc(text.len + 1);
	must(acl->text);
	if (text.len > 0)
		memcpy(acl->text, text.at, text.len);
	struct parsing in = {.acl = acl, .into = &acl->nobody, .path = path, .problems = problems};
	if (parse(&in, slice_of(acl->text, text.len)))
		return acl;
	acl_destroy(acl);
	return NULL;
}

struct acl *acl_load(const char *path, struct problems *problems)
{
	struct failure failure;
	struct text text;
	if (!text_file_read(path, &text, &failure)) {
		problems_add(problems, "%s", failure.text);
		return NULL;
	}
	struct acl *acl = acl_parse(slice_of(text.at, text.len), path, problems);
	text_file_free(&text);
	return acl;
}

void acl_destroy(struct acl *acl)
{
	if (!acl)
		return;
	for (size_t i = 0; i < acl->user_count; i++)
		free(acl->users[i].at);
	free(acl->users);
	free(acl->nobody.at);
	free(acl->patterns.at);
	free(acl->text);
	free(acl);
}

/* ---- asking ---- */

bool acl_names_users(const struct acl *acl)
{
	return acl->user_count > 0;
}

const struct acl_rules *acl_rules_of(const struct acl *acl, const struct slice *user)
{
	if (user == NULL)
		return &acl->nobody;
	struct acl_rules key = {.user = *user};
	return acl->user_count == 0 || user->len == 0
		   ? NULL
		   : bsearch(&key, acl->users, acl->user_count, sizeof key, by_name);
}

static bool may_be_put_in(struct slice name)
{
	return name.len > 0 && memchr(name.at, '+', name.len) == NULL &&
	       memchr(name.at, '#', name.len) == NULL;
}

/* What stands at a place of the filter: a byte of its own, or who asks. */
static struct slice part_at(const struct acl_rule *rule, size_t i, const struct acl_question *q)
{
	struct slice rest = slice_after(rule->filter, i);
	if (rest.len > 1 && rest.at[0] == '%' && rest.at[1] == 'c')
		return q->client_id;
	if (rest.len > 1 && rest.at[0] == '%' && rest.at[1] == 'u')
		return *q->user;
	return slice_of(rest.at, 1);
}

/* Writes the filter with its places filled; false when there is no room, or it would be none. */
static bool fill_in(const struct acl_rule *rule, const struct acl_question *q, uint8_t *filled,
		    size_t room, size_t *len)
{
	*len = 0;
	for (size_t i = 0; i < rule->filter.len; i++) {
		struct slice part = part_at(rule, i, q);
		bool is_place = part.at != rule->filter.at + i;
		if (part.len > room - *len || (is_place && !may_be_put_in(part)))
			return false;
		memcpy(filled + *len, part.at, part.len);
		*len += part.len;
		i += is_place;
	}
	return true;
}

/*
 * Topics that begin with '$' are the broker's: what grants "%c/#" was never meant to give them to
 * whoever calls itself "$SYS".
 */
static bool grants_dollar(const struct acl_rule *rule, struct slice filled)
{
	return rule->rights != DENY && filled.len > 0 && filled.at[0] == '$' &&
	       rule->filter.at[0] != '$';
}

/*
 * A filter that is longer than the topic matches by its wildcards and the '/' before a '#', and
 * those are in the rule.  What is longer than both need not be written: a client identifier may
 * have 65,535 bytes, and many rules a place for it.
 */
static size_t longest_match(const struct acl_rule *rule, const struct acl_question *q)
{
	size_t len = q->topic.len + rule->filter.len;
	return len < TOPIC_LEN_MAX ? len : TOPIC_LEN_MAX;
}

static bool matches_filled(const struct acl_rule *rule, const struct acl_question *q)
{
	size_t len, room = longest_match(rule, q);
	if (rule->wants_user && q->user == NULL)
		return false;
	uint8_t *filled = malloc(room);
	must(filled);
	bool match = fill_in(rule, q, filled, room, &len) &&
		     !grants_dollar(rule, slice_of(filled, len)) &&
		     topic_matches(slice_of(filled, len), q->topic);
	free(filled);
	return match;
}

static bool matches(const struct acl_rule *rule, const struct acl_question *q)
{
	return rule->wants_client_id || rule->wants_user ? matches_filled(rule, q)
							 : topic_matches(rule->filter, q->topic);
}

static enum acl_opinion ask(const struct acl_rules *rules, const struct acl_question *q)
{
	for (size_t i = 0; i < rules->count; i++) {
		const struct acl_rule *rule = &rules->at[i];
		if (rule->rights != DENY && !(rule->rights & (unsigned)q->right))
			continue;
		if (matches(rule, q))
			return rule->rights == DENY ? ACL_DENIES : ACL_ALLOWS;
	}
	return ACL_SILENT;
}

uint32_t acl_lines(const struct acl *acl, const struct acl_rules *own)
{
	size_t count = acl->patterns.count + (own ? own->count : 0);
	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

enum acl_opinion acl_ask(const struct acl *acl, const struct acl_question *question)
{
	enum acl_opinion opinion = question->own ? ask(question->own, question) : ACL_SILENT;
	return opinion == ACL_SILENT ? ask(&acl->patterns, question) : opinion;
}

bool acl_allows(const struct acl *acl, const struct acl_question *question)
{
	return acl_ask(acl, question) == ACL_ALLOWS;
}
