/* door_grant.c - who a client is, and what that lets it do: auth/auth.h. */
#include "broker/door_internal.h"
#include <stdlib.h>

struct rules *rules_create(struct acl *acl)
{
	if (acl == NULL)
		return NULL;
	struct rules *rules = calloc(1, sizeof *rules);
	must(rules);
	rules->acl = acl;
	atomic_init(&rules->users, 1);
	return rules;
}

void rules_leave(struct rules *rules)
{
	if (rules == NULL || atomic_fetch_sub(&rules->users, 1) > 1)
		return;
	acl_destroy(rules->acl);
	free(rules);
}

/* ---- grants ---- */

static struct slice user_of(const struct grant *grant)
{
	return slice_of(grant->user, grant->user_len);
}

static struct grant *begin(const struct door *door, const struct identity *who)
{
	struct grant *grant = calloc(1, sizeof *grant + who->name.len);
	must(grant);
	grant->kind = who->kind;
	grant->user_len = who->name.len;
	if (who->name.len > 0)
		memcpy(grant->user, who->name.at, who->name.len);
	if (door->rules) {
		atomic_fetch_add(&door->rules->users, 1);
		grant->rules = door->rules;
	}
	return grant;
}

/* A name of 65,535 bytes as a number that says nothing, and is the same after a restart. */
uint64_t door_owner(const struct door *door, const struct identity *who)
{
	uint8_t key[SEAL_KEY_LEN], kind = (uint8_t)who->kind, mac[SEAL_KEY_LEN];
	uint64_t number;
	seal_mac(door->owner_key, slice_of(&kind, 1), key); /* each kind has its own */
	seal_mac(key, who->name, mac);
	memcpy(&number, mac, sizeof number);
	explicit_bzero(key, sizeof key);
	return auth_owner(who->kind, number);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

struct owners *owners_create(const struct door *door, const struct password_file *passwords)
{
	if (passwords == NULL)
		return NULL;
	struct owners *owners = malloc(sizeof *owners + passwords->count * sizeof owners->at[0]);
	must(owners);
	owners->count = passwords->count;
	for (size_t i = 0; i < owners->count; i++)
		owners->at[i] =
		    door_owner(door, &(struct identity){IDENTITY_FILE, passwords->entries[i].user});
	qsort(owners->at, owners->count, sizeof owners->at[0], compare);
	return owners;
}

bool owners_have(const struct owners *owners, uint64_t owner)
{
	return owners && bsearch(&owner, owners->at, owners->count, sizeof owner, compare);
}

static struct auth_grant *finish(struct grant *grant)
{
	grant->base.restricted = grant->rules || grant->granted || grant->scope;
	grant->base.lines = account_rights_lines(grant->granted) +
			    account_rights_lines(grant->scope) +
			    (grant->rules ? acl_lines(grant->rules->acl, grant->own) : 0);
	return &grant->base;
}

struct auth_grant *grant_create(const struct door *door, const struct identity *who)
{
	bool nobody = who->kind == IDENTITY_NOBODY;
	must(who->kind != IDENTITY_ACCOUNT);
	if (nobody && door->rules == NULL)
		return NULL;
	struct grant *grant = begin(door, who);
	if (!nobody)
		grant->base.owner = door_owner(door, who);
	if (grant->rules)
		grant->own = acl_rules_of(grant->rules->acl, nobody ? NULL : &who->name);
	return finish(grant);
}

static struct auth_grant *create_from_view(const struct door *door,
					   const struct account_visitor *visitor,
					   const struct account_view *view)
{
	const struct identity who = {IDENTITY_ACCOUNT, slice_text(view->name)};
	struct grant *grant = begin(door, &who);
	grant->base.owner = auth_owner(IDENTITY_ACCOUNT, visitor->account);
	grant->base.no_stats = view->flags & ACCOUNT_NO_STATS;
	grant->base.account = visitor->key == 0;
	grant->visitor = *visitor;
	grant->granted = view->rights;
	grant->scope = view->scope;
	return finish(grant);
}

struct auth_grant *grant_create_account(const struct door *door,
					const struct account_visitor *visitor)
{
	struct account_view view;
	return accounts_view(door->accounts, visitor, &view)
		   ? create_from_view(door, visitor, &view)
		   : NULL;
}

void grant_release(struct auth *auth, struct auth_grant *base)
{
	struct grant *grant = (struct grant *)base;
	(void)auth;
	rules_leave(grant->rules);
	account_rights_leave(grant->granted);
	account_rights_leave(grant->scope);
	explicit_bzero(grant, sizeof *grant + grant->user_len);
	free(grant);
}

/* ---- asking ---- */

/* Its own rights, then acl_file's patterns; with neither, all topics.  A key has no more. */
static bool account_may(const struct grant *grant, const struct acl_question *question)
{
	enum acl_opinion opinion =
	    grant->granted ? account_rights_ask(grant->granted, question) : ACL_SILENT;
	if (opinion == ACL_SILENT && grant->rules)
		opinion = acl_ask(grant->rules->acl, question);
	bool may = opinion == ACL_ALLOWS || (grant->granted == NULL && grant->rules == NULL);
	return may &&
	       (grant->scope == NULL || account_rights_ask(grant->scope, question) == ACL_ALLOWS);
}

bool grant_may(const struct auth_grant *base, struct slice client_id, enum auth_right right,
	       struct slice topic)
{
	const struct grant *grant = (const struct grant *)base;
	struct slice user = user_of(grant);
	struct acl_question question = {
	    .own = grant->own,
	    .user = grant->kind == IDENTITY_NOBODY ? NULL : &user,
	    .client_id = client_id,
	    .right = right,
	    .topic = topic,
	};
	return grant->kind == IDENTITY_ACCOUNT ? account_may(grant, &question)
					       : acl_allows(grant->rules->acl, &question);
}

/* ---- after a change; under door->lock ---- */

/* Who was proved by the transport is none of password_file's users. */
static bool may_stay(const struct door *door, const struct grant *grant)
{
	return grant->kind != IDENTITY_FILE ||
	       (door->passwords && password_file_find(door->passwords, user_of(grant)));
}

static bool renew_account(const struct door *door, const struct grant *grant,
			  struct auth_grant **next)
{
	struct account_view view;
	if (!accounts_view(door->accounts, &grant->visitor, &view))
		return false;
	bool same = grant->rules == door->rules && grant->granted == view.rights &&
		    grant->scope == view.scope;
	if (!same) {
		*next = create_from_view(door, &grant->visitor, &view);
		return true;
	}
	account_rights_leave(view.rights);
	account_rights_leave(view.scope);
	return true;
}

bool grant_renew(struct auth *auth, struct auth_grant **base)
{
	struct door *door = ((struct worker_door *)auth)->door;
	const struct grant *grant = (const struct grant *)*base;
	struct auth_grant *next = NULL;
	bool stays;
	pthread_mutex_lock(&door->lock);
	if (grant->kind == IDENTITY_ACCOUNT) {
		stays = renew_account(door, grant, &next);
	} else {
		stays = may_stay(door, grant);
		if (stays && grant->rules != door->rules)
			next = grant_create(door, &(struct identity){grant->kind, user_of(grant)});
	}
	pthread_mutex_unlock(&door->lock);
	if (next) {
		grant_release(auth, *base);
		*base = next;
	}
	return stays;
}
