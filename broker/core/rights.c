/* rights.c - see rights.h. */
#include "broker/core/rights.h"
#include "broker/core/token.h"

/* Of an entry: what was asked (enum auth_right), and that it is allowed. */
#define ENTRY_RIGHT   3u
#define ENTRY_ALLOWED 4u
#define ENTRY_BITS    (ENTRY_RIGHT | ENTRY_ALLOWED)

void rights_release(struct shard *shard, struct auth_grant *grant)
{
	if (grant)
		shard->auth->release(shard->auth, grant);
}

/* Of a session that has a grant. */
/* Of a session that has one. */
static struct rights *row_of(const struct shard *shard, const struct session *session)
{
	return slab_at(&shard->rights, session->rights);
}

struct rights *rights_of(const struct shard *shard, const struct session *session)
{
	return session->rights ? row_of(shard, session) : NULL;
}

const struct auth_grant *rights_grant(const struct shard *shard, const struct session *session)
{
	return session->rights ? row_of(shard, session)->grant : NULL;
}

#define ANSWERS_SIZE (RIGHTS_CACHE * sizeof(uint64_t))

/* Of rules that are not in force any more. */
static void forget_answers(struct shard *shard, struct rights *rights)
{
	if (rights->answers == NULL)
		return;
	purse_give(&shard->purse, ANSWERS_SIZE);
	memory_free(rights->answers);
	rights->answers = NULL;
}

static void begin_answers(struct shard *shard, struct session *session, struct rights *rights)
{
	forget_answers(shard, rights);
	session->restricted = rights->grant && rights->grant->restricted;
	if (!session->restricted)
		return;
	rights->answers = memory_get_zeroed(ANSWERS_SIZE);
	purse_force(&shard->purse, ANSWERS_SIZE);
}

static void rights_end(struct shard *shard, struct session *session)
{
	delivery_log_forget(shard, session); /* it may be somebody else's now */
	if (session->rights == 0)
		return;
	struct rights *rights = row_of(shard, session);
	forget_answers(shard, rights);
	rights_release(shard, rights->grant);
	rights->grant = NULL; /* and nobody's: free rows are passed over */
	rights->owner = 0;
	slab_remove(&shard->rights, session->rights);
	purse_give(&shard->purse, sizeof *rights);
	session->rights = 0;
	session->restricted = false;
}

static void rights_begin(struct shard *shard, struct session *session, struct auth_grant *grant,
			 uint64_t owner)
{
	session->rights = slab_add(&shard->rights);
	purse_force(&shard->purse, sizeof(struct rights));
	struct rights *rights = row_of(shard, session);
	rights->grant = grant;
	rights->owner = owner;
	rights->session = session->number;
	begin_answers(shard, session, rights);
}

void rights_take(struct shard *shard, struct session *session, struct auth_grant *grant)
{
	rights_end(shard, session);
	if (grant)
		rights_begin(shard, session, grant, grant->owner);
}

void rights_restore(struct shard *shard, struct session *session, uint64_t owner)
{
	rights_end(shard, session);
	if (owner != 0)
		rights_begin(shard, session, NULL, owner);
}

uint64_t rights_owner(const struct shard *shard, const struct session *session)
{
	return session->rights ? row_of(shard, session)->owner : 0;
}

/* The entry of the last answer for this topic lies where its hash says. */
bool rights_ask(struct shard *shard, const struct session *session, enum auth_right right,
		struct slice topic)
{
	uint64_t hash = hash_keyed(shard->hash_key, topic) & ~(uint64_t)ENTRY_BITS;
	const struct rights *rights = row_of(shard, session);
	uint64_t *entry = &rights->answers[(hash >> 8 ^ (unsigned)right) & (RIGHTS_CACHE - 1)];
	if ((*entry & ~(uint64_t)ENTRY_ALLOWED) == (hash | (unsigned)right))
		return (*entry & ENTRY_ALLOWED) != 0;
	shard->asked += rights->grant->lines;
	bool allowed = shard->auth->may(rights->grant, session_client_id(session), right, topic);
	*entry = hash | (unsigned)right | (allowed ? ENTRY_ALLOWED : 0u);
	return allowed;
}

/* One who may not be here any more keeps the rules of before until it comes again. */
static void renew(struct shard *shard, struct rights *rights)
{
	struct session *session = session_by_number(shard, rights->session);
	must(session != NULL);
	/* Of one who was not here since a restart, too: it may be in no row any more. */
	delivery_log_forget(shard, session);
	if (rights->grant == NULL)
		return;
	bool stays = shard->auth->renew(shard->auth, &rights->grant);
	begin_answers(shard, session, rights);
	if (!stays)
		token_revoke(shard, session);
	if (!stays && session->client)
		client_fail(shard, session->client, MQTT_NOT_AUTHORIZED,
			    "the user may not log in any more");
	else if (session_is_up(session))
		shared_state(shard, session, true); /* what its groups keep it may read now */
}

/* Rows of rights lie side by side: of a million sessions they are looked through in no time. */
void on_rights(struct shard *shard, const struct event *event)
{
	if (event->owner == 0)
		tokens_renew(shard);
	for (uint32_t slot = 1; slot < shard->rights.used; slot++) {
		struct rights *rights = slab_at(&shard->rights, slot);
		bool meant = event->owner == 0 ? rights->owner != 0 || rights->grant
					       : rights->owner == event->owner;
		if (meant)
			renew(shard, rights);
	}
}

void shard_each_client_of(const struct shard *shard, uint64_t owner, void *self,
			  void (*call)(void *self, const struct client_info *client))
{
	must(owner != 0);
	for (uint32_t slot = 1; slot < shard->rights.used; slot++) {
		const struct rights *rights = slab_at(&shard->rights, slot);
		if (rights->owner != owner)
			continue;
		const struct session *session = session_by_number(shard, rights->session);
		must(session != NULL);
		struct client_info info = session_describe(shard, session);
		call(self, &info);
	}
}

void on_expel(struct shard *shard, const struct event *event)
{
	must(event->owner != 0);
	tokens_expel(shard, event->owner);
	retained_expel(shard, event->owner);
	for (uint32_t slot = 1; slot < shard->rights.used; slot++) {
		const struct rights *rights = slab_at(&shard->rights, slot);
		if (rights->owner != event->owner)
			continue;
		uint64_t number = rights->session;
		struct session *session = session_by_number(shard, number);
		must(session != NULL);
		will_forget(shard, session);
		session->ends = true;
		if (session->client)
			client_fail(shard, session->client, MQTT_ADMINISTRATIVE_ACTION,
				    "the account was deleted");
		session = session_by_number(shard, number); /* with expiry 0 it has ended */
		if (session)
			session_end(shard, session);
	}
}
