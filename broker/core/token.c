/* token.c - see token.h. */
#include "broker/core/token.h"
#include "broker/core/core.h"
#include "broker/core/own_topic.h"
#include "broker/core/rights.h"

_Static_assert(sizeof(struct token_row) <= STORE_TOKENS_MAX, "it is stored with the session");
_Static_assert(sizeof(struct token_row) == 8 + sizeof(struct auth_tokens), "bytes, as they are");

/* What an entry is charged. */
#define TOKEN_COST (sizeof(struct token) + 2 * sizeof(struct index_slot))

#define MS_PER_S 1000u

void tokens_init(struct tokens *tokens)
{
	*tokens = (struct tokens){0};
	slab_init(&tokens->slab, sizeof(struct token));
}

static struct token *token_at(const struct tokens *tokens, uint32_t slot)
{
	return slab_at(&tokens->slab, slot);
}

void tokens_finish(struct shard *shard)
{
	struct tokens *tokens = &shard->tokens;
	for (uint32_t slot = 1; slot < tokens->slab.used; slot++)
		timer_cancel(&shard->timers, &token_at(tokens, slot)->timer);
	purse_give(&shard->purse, tokens->slab.count * TOKEN_COST);
	slab_finish(&tokens->slab);
	index_finish(&tokens->by_client);
}

/* ---- the table ---- */

static struct token *find(const struct shard *shard, uint64_t client)
{
	const struct tokens *tokens = &shard->tokens;
	struct index_probe probe;
	uint32_t n = index_first(&tokens->by_client, client, &probe);
	while (n != 0) {
		struct token *token = token_at(tokens, n);
		if (token->client == client)
			return token;
		n = index_next(&tokens->by_client, &probe);
	}
	return NULL;
}

/* That of a session, which may have parted with it. */
static struct token *of_session(const struct shard *shard, const struct session *session)
{
	if (shard->tokens.slab.count == 0)
		return NULL;
	struct token *token = find(shard, session_hash(shard, session));
	return token && token->session == session->number ? token : NULL;
}

static struct token *make_entry(struct shard *shard, const struct session *session)
{
	struct tokens *tokens = &shard->tokens;
	uint32_t slot = slab_add(&tokens->slab);
	struct token *token = token_at(tokens, slot);
	token->slot = slot;
	token->client = session_hash(shard, session);
	token->session = session->number;
	token->timer.kind = TIMER_TOKEN;
	index_add(&tokens->by_client, token->client, slot);
	purse_force(&shard->purse, TOKEN_COST);
	return token;
}

static void forget(struct shard *shard, struct token *token)
{
	struct tokens *tokens = &shard->tokens;
	uint32_t slot = token->slot;
	timer_cancel(&shard->timers, &token->timer);
	if (token->session == 0)
		UNCOUNT(shard, TOKENS_PARTED);
	index_remove(&tokens->by_client, token->client, slot);
	*token = (struct token){0};
	slab_remove(&tokens->slab, slot);
	purse_give(&shard->purse, TOKEN_COST);
}

/* ---- what is kept ---- */

const struct auth_tokens *tokens_for(const struct shard *shard, struct slice client_id)
{
	if (shard->tokens.slab.count == 0)
		return NULL;
	const struct token *token = find(shard, session_hash_of(shard, 0, client_id));
	return token ? &token->row.kept : NULL;
}

struct slice token_kept(const struct shard *shard, const struct session *session)
{
	const struct token *token = of_session(shard, session);
	return token ? slice_of(&token->row, sizeof token->row) : SLICE_NONE;
}

void token_restore(struct shard *shard, struct session *session, struct slice stored)
{
	struct token *token = of_session(shard, session);
	if (token) /* of a row that this one outdates */
		forget(shard, token);
	if (stored.len != sizeof token->row)
		return;
	token = make_entry(shard, session);
	token->owner = rights_owner(shard, session);
	memcpy(&token->row, stored.at, sizeof token->row);
}

/*
 * With the session's row.  One at a time: a client that asks again and again makes no queue at
 * the store.  Nobody waits: should it be lost, the client logs in with its password once.
 */
static void save(struct shard *shard, struct token *token, struct session *session)
{
	struct changes changes = {0};
	if (!session->stored)
		return;
	token->unsaved = session->storing > 0;
	if (token->unsaved)
		return;
	session->storing++;
	changes_put_session(shard, &changes, session, session->stored_connected,
			    session->absence ? session->absence->detached_s : session_now_s(shard));
	persist_send(shard, &changes, (struct waiter){.session = session->number});
}

void token_stored(struct shard *shard, struct session *session)
{
	struct token *token = of_session(shard, session);
	if (token && token->unsaved)
		save(shard, token, session);
}

/* ---- making ---- */

uint64_t token_made_s(struct slice stored)
{
	const struct token_row *row = (const struct token_row *)stored.at;
	uint64_t s = 0;
	for (size_t i = 0; stored.len == sizeof *row && i < sizeof row->made_s; i++)
		s = s << 8 | row->made_s[i];
	return s;
}

static uint64_t made_s(const struct token *token)
{
	return token_made_s(slice_of(&token->row, sizeof token->row));
}

static void set_made_s(struct token *token, uint64_t s)
{
	for (size_t i = sizeof token->row.made_s; i-- > 0; s >>= 8)
		token->row.made_s[i] = (uint8_t)s;
}

/* How old the latest is; one of the future, by a clock that was set back, is old. */
static uint64_t age_s(const struct shard *shard, const struct token *token)
{
	uint64_t made = made_s(token);
	return made <= shard->now.wall_s ? shard->now.wall_s - made : UINT64_MAX;
}

static void arm(struct shard *shard, struct token *token, uint64_t after_s)
{
	timer_arm(&shard->timers, &token->timer, shard->now.ms + after_s * MS_PER_S);
}

bool token_allowed(struct shard *shard, const struct client *client, const struct session *session)
{
	return shard->auth->has_tokens &&
	       shard->auth->has_tokens(shard->auth, rights_grant(shard, session), client->link);
}

/* A new one for the client of the session, which is there; NULL: it may not have one. */
static struct token *make(struct shard *shard, struct session *session,
			  uint8_t text[AUTH_TOKEN_SIZE])
{
	uint8_t kept[AUTH_TOKEN_MAC_SIZE];
	if (!token_allowed(shard, session->client, session) ||
	    !shard->auth->make_token(shard->auth, rights_grant(shard, session),
				     session_client_id(session), text, kept))
		return NULL;
	struct token *token = of_session(shard, session);
	if (token == NULL)
		token = make_entry(shard, session);
	struct auth_tokens *tokens = &token->row.kept;
	if (!token->came_before)
		memcpy(tokens->before, tokens->latest, sizeof tokens->before);
	memcpy(tokens->latest, kept, sizeof tokens->latest);
	token->came_before = false;
	token->owner = rights_owner(shard, session);
	set_made_s(token, shard->now.wall_s);
	arm(shard, token, shard->settings->token_lifetime_s);
	COUNT(shard, TOKENS_MADE);
	return token;
}

/* What there is for the client identifier becomes the session's; NULL for nothing. */
static struct token *take_over(struct shard *shard, const struct session *session)
{
	struct token *token = find(shard, session_hash(shard, session));
	if (token == NULL)
		return NULL;
	if (token->session == 0)
		UNCOUNT(shard, TOKENS_PARTED);
	token->session = session->number;
	timer_cancel(&shard->timers, &token->timer);
	return token;
}

/* The one before is not good any more once the latest was used.  True: that is so from now on. */
static bool used(struct token *token, enum auth_token came_with)
{
	static const uint8_t none[AUTH_TOKEN_MAC_SIZE];
	struct auth_tokens *tokens = &token->row.kept;
	token->came_before = came_with == AUTH_TOKEN_BEFORE;
	if (came_with != AUTH_TOKEN_LATEST || memcmp(tokens->before, none, sizeof none) == 0)
		return false;
	memset(tokens->before, 0, sizeof tokens->before);
	return true;
}

bool token_connected(struct shard *shard, struct session *session, struct token_offer *offer)
{
	if (shard->auth->has_tokens == NULL)
		return false;
	struct token *token = take_over(shard, session);
	bool changed = token && used(token, offer->came_with);
	if (offer->came_with != AUTH_TOKEN_NONE)
		COUNT(shard, TOKEN_LOGINS);
	if (!offer->asked && !own_topic_wanted(shard, session, slice_text(TOKEN_TOPIC)))
		return changed;
	uint64_t lifetime_s = shard->settings->token_lifetime_s;
	if (offer->came_with == AUTH_TOKEN_LATEST && token && age_s(shard, token) < lifetime_s) {
		arm(shard, token, lifetime_s - age_s(shard, token));
		return changed;
	}
	uint8_t *text = purse_payload(&shard->purse, AUTH_TOKEN_SIZE);
	if (make(shard, session, text)) {
		offer->text = text;
		return true;
	}
	purse_payload_free(&shard->purse, text, AUTH_TOKEN_SIZE);
	return changed;
}

void token_offered(struct shard *shard, struct session *session, struct token_offer *offer)
{
	if (offer->text)
		own_topic_send(shard, session, slice_text(TOKEN_TOPIC), SLICE_NONE,
			       slice_of(offer->text, AUTH_TOKEN_SIZE));
}

void token_offer_finish(struct shard *shard, struct token_offer *offer)
{
	purse_payload_free(&shard->purse, offer->text, AUTH_TOKEN_SIZE);
	offer->text = NULL;
}

/* A new one to the topic. */
static void give(struct shard *shard, struct session *session)
{
	uint8_t text[AUTH_TOKEN_SIZE];
	struct token *token = make(shard, session, text);
	if (token == NULL)
		return;
	save(shard, token, session);
	own_topic_send(shard, session, slice_text(TOKEN_TOPIC), SLICE_NONE,
		       slice_of(text, sizeof text));
	explicit_bzero(text, sizeof text);
}

void token_subscribed(struct shard *shard, struct session *session)
{
	give(shard, session);
}

void token_timer(struct shard *shard, struct token *token)
{
	if (token->session == 0) {
		forget(shard, token);
		return;
	}
	struct session *session = session_by_number(shard, token->session);
	must(session);
	if (session->client && session->client->state == CLIENT_UP &&
	    own_topic_wanted(shard, session, slice_text(TOKEN_TOPIC)))
		give(shard, session);
}

/* ---- the end ---- */

void token_part(struct shard *shard, const struct session *session)
{
	struct token *token = of_session(shard, session);
	if (token == NULL)
		return;
	if (happened_get(&shard->happened, HAPPENED_TOKENS_PARTED) >= TOKENS_PARTED_MAX ||
	    purse_tight(&shard->purse)) {
		forget(shard, token);
		return;
	}
	token->session = 0;
	token->unsaved = false;
	COUNT(shard, TOKENS_PARTED);
	arm(shard, token, shard->settings->token_lifetime_s);
}

void token_session_ended(struct shard *shard, const struct session *session)
{
	struct token *token = of_session(shard, session);
	if (token && session->expiry_s == 0)
		token_part(shard, session);
	else if (token)
		forget(shard, token);
}

void token_revoke(struct shard *shard, struct session *session)
{
	struct token *token = of_session(shard, session);
	if (token == NULL)
		return;
	if (!session->stored) {
		forget(shard, token);
		return;
	}
	memset(&token->row, 0, sizeof token->row);
	save(shard, token, session);
}

void tokens_expel(struct shard *shard, uint64_t owner)
{
	const struct tokens *tokens = &shard->tokens;
	for (uint32_t slot = 1; slot < tokens->slab.used; slot++) {
		struct token *token = token_at(tokens, slot);
		if (token->slot == slot && token->owner == owner)
			forget(shard, token);
	}
}

void tokens_renew(struct shard *shard)
{
	const struct tokens *tokens = &shard->tokens;
	struct auth *auth = shard->auth;
	for (uint32_t slot = 1; auth->may_log_in && slot < tokens->slab.used; slot++) {
		struct token *token = token_at(tokens, slot);
		if (token->slot != slot || auth->may_log_in(auth, token->owner))
			continue;
		if (token->session)
			token_revoke(shard, session_by_number(shard, token->session));
		else
			forget(shard, token);
	}
}

void token_save(struct shard *shard, struct session *session)
{
	struct token *token = of_session(shard, session);
	must(token);
	save(shard, token, session);
}
