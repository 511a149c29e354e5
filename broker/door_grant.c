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

struct auth_grant *grant_create(const struct door *door, const struct slice *user)
{
	size_t len = user ? user->len : 0;
	struct grant *grant = calloc(1, sizeof *grant + len);
	must(grant);
	grant->named = user != NULL;
	grant->user_len = len;
	if (len > 0)
		memcpy(grant->user, user->at, len);
	if (door->rules) {
		atomic_fetch_add(&door->rules->users, 1);
		grant->rules = door->rules;
		grant->own = acl_rules_of(door->rules->acl, user);
		grant->base.restricted = true;
	}
	return &grant->base;
}

bool grant_may(const struct auth_grant *base, struct slice client_id, enum auth_right right,
	       struct slice topic)
{
	const struct grant *grant = (const struct grant *)base;
	struct slice user = user_of(grant);
	struct acl_question question = {
	    .own = grant->own,
	    .user = grant->named ? &user : NULL,
	    .client_id = client_id,
	    .right = right,
	    .topic = topic,
	};
	return acl_allows(grant->rules->acl, &question);
}

void grant_release(struct auth *auth, struct auth_grant *base)
{
	struct grant *grant = (struct grant *)base;
	(void)auth;
	rules_leave(grant->rules);
	explicit_bzero(grant->user, grant->user_len);
	free(grant);
}

bool grant_renew(struct auth *auth, struct auth_grant **base)
{
	struct door *door = ((struct worker_door *)auth)->door;
	const struct grant *grant = (const struct grant *)*base;
	struct slice user = user_of(grant);
	pthread_mutex_lock(&door->lock);
	/* Who was proved by the transport is none of password_file's users. */
	bool stays =
	    !grant->named || grant->proved || password_file_find(door->passwords, user) != NULL;
	struct auth_grant *next = stays && grant->rules != door->rules
				      ? grant_create(door, grant->named ? &user : NULL)
				      : NULL;
	if (next)
		((struct grant *)next)->proved = grant->proved;
	pthread_mutex_unlock(&door->lock);
	if (next) {
		grant_release(auth, *base);
		*base = next;
	}
	return stays;
}
