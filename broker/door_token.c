/*
 * door_token.c - session tokens at the door: auth/token.h.
 *
 * Who logged in with a secret may have them, on a link that nobody else reads; there they are taken
 * for its password.  They cost a few HMACs, on the worker itself.  A wrong one is refused, and
 * counts as no failed login: nobody guesses 32 random bytes, and a thousand clients of one house
 * whose tokens a restart took would be banned for coming back.
 */
#include "auth/token.h"
#include "broker/door_internal.h"
#include "broker/net/moment.h"
#include "broker/net/peer.h"
#include "broker/worker.h"

/* ---- what a token is bound to; under door->lock ---- */

/*
 * By what stands in the file, so that it is the same after that is read again.  Of a name that
 * nobody has it is as much work as of any other.
 */
static bool bind_user(const struct door *door, struct slice user, struct token_binding *binding)
{
	static const struct password_hash nobody = {.salt_len = 16, .digest_len = 32};
	const struct password_entry *entry =
	    door->passwords ? password_file_find(door->passwords, user) : NULL;
	uint64_t owner = door_owner(door, &(struct identity){IDENTITY_FILE, user});
	*binding = token_binding_of_password(owner, entry ? password_in_file(entry) : &nobody);
	return entry != NULL;
}

static bool bind_grant(const struct door *door, const struct grant *grant,
		       struct token_binding *binding)
{
	if (grant->kind == IDENTITY_ACCOUNT)
		return accounts_bind(door->accounts, &grant->visitor, binding);
	return grant->kind == IDENTITY_FILE &&
	       bind_user(door, slice_of(grant->user, grant->user_len), binding);
}

/* ---- giving ---- */

bool door_has_tokens(struct auth *auth, const struct auth_grant *base, uint32_t link)
{
	const struct worker_door *at = (const struct worker_door *)auth;
	const struct grant *grant = (const struct grant *)base;
	return grant && (grant->kind == IDENTITY_ACCOUNT || grant->kind == IDENTITY_FILE) &&
	       peer_of_link(&at->worker->loop, link).confidential;
}

bool door_make_token(struct auth *auth, const struct auth_grant *base, struct slice client_id,
		     uint8_t text[AUTH_TOKEN_SIZE], uint8_t kept[AUTH_TOKEN_MAC_SIZE])
{
	struct door *door = ((struct worker_door *)auth)->door;
	struct token_binding binding;
	pthread_mutex_lock(&door->lock);
	bool bound = bind_grant(door, (const struct grant *)base, &binding);
	pthread_mutex_unlock(&door->lock);
	if (!bound)
		return false;
	token_make(text);
	token_keep(door->token_key, &binding, client_id, slice_of(text, AUTH_TOKEN_SIZE), kept);
	explicit_bzero(&binding, sizeof binding);
	return true;
}

/* ---- taking ---- */

/* Who this name is, if its token is right. */
struct claim {
	bool known;
	struct account_visitor visitor;
	struct token_binding binding;
};

static void look_up(const struct door *door, struct slice user, struct claim *claim)
{
	if (door->accounts && door_is_account(user))
		claim->known = accounts_visitor(door->accounts, user, &claim->visitor) &&
			       accounts_bind(door->accounts, &claim->visitor, &claim->binding);
	else
		claim->known = bind_user(door, user, &claim->binding);
}

/* The same work for every name, and for one that nobody has. */
static enum auth_verdict check(struct door *door, const struct auth_request *request,
			       struct auth_answer *answer)
{
	struct claim claim = {0};
	uint8_t kept[AUTH_TOKEN_MAC_SIZE];
	pthread_mutex_lock(&door->lock);
	look_up(door, request->user_name, &claim);
	token_keep(door->token_key, &claim.binding, request->client_id, request->password, kept);
	enum auth_token found = token_find(kept, request->tokens);
	if (claim.known && found != AUTH_TOKEN_NONE)
		answer->grant =
		    door_is_account(request->user_name)
			? grant_create_account(door, &claim.visitor)
			: grant_create(door, &(struct identity){IDENTITY_FILE, request->user_name});
	pthread_mutex_unlock(&door->lock);
	explicit_bzero(&claim, sizeof claim);
	if (answer->grant) {
		answer->token = found;
		return AUTH_ALLOW;
	}
	answer->reason = MQTT_BAD_USER_NAME_OR_PASSWORD;
	answer->text = "this token is not good any more: the password is needed";
	return AUTH_REFUSE;
}

enum auth_verdict door_admit_token(struct door *door, const struct throttle_address *from,
				   const struct auth_request *request, struct auth_answer *answer)
{
	pthread_mutex_lock(&door->lock);
	bool banned = throttle_banned(door->throttle, moment_now().ms, from);
	pthread_mutex_unlock(&door->lock);
	if (!banned)
		return check(door, request, answer);
	answer->reason = MQTT_BANNED;
	answer->text = "too many failed logins from this address";
	return AUTH_REFUSE;
}
