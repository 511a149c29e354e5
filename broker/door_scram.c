/*
 * door_scram.c - SCRAM-SHA-256 at the door, for device keys: auth/scram.h.
 *
 * The client's first message stands in CONNECT, ours in AUTH, its proof in AUTH, and what proves us
 * in CONNACK; again later all of it in AUTH.  It is HMACs on both sides of ours, so that it is done
 * on the worker.  The secret does not travel: any link will do.
 */
#include "auth/scram.h"
#include "broker/door_internal.h"
#include "broker/net/moment.h"
#include "broker/net/peer.h"
#include "broker/worker.h"
#include <stdlib.h>

#define CHANCE 16u /* bytes of a nonce, written as twice as many digits */
_Static_assert(2 * CHANCE <= SCRAM_NONCE_MAX, "a nonce has room");

/* One exchange; the core owns it, charges what it costs, and knows nothing else of it. */
struct auth_exchange {
	struct scram scram;
	bool known; /* there is such a key, and it may log in */
	struct account_visitor visitor;
	struct throttle_address from;
};
_Static_assert(sizeof(struct auth_exchange) < 1536, "as the core charges it");

void door_end_exchange(struct auth *auth, struct auth_exchange *exchange)
{
	(void)auth;
	explicit_bzero(exchange, sizeof *exchange);
	free(exchange);
}

static enum auth_verdict refuse(struct auth_answer *answer, enum mqtt_reason reason,
				const char *text)
{
	answer->reason = reason;
	answer->text = text;
	return AUTH_REFUSE;
}

static struct slice challenge(struct door *door, struct auth_exchange *exchange, struct slice name)
{
	static const char digits[] = "0123456789abcdef";
	struct scram_record record = {0};
	uint8_t chance[CHANCE];
	char nonce[2 * CHANCE];
	scram_record_fabricate(door->scram_key, name, &record);
	exchange->known =
	    door->accounts && accounts_find_key(door->accounts, name, &record, &exchange->visitor);
	seal_random(chance, sizeof chance);
	for (size_t i = 0; i < sizeof nonce; i++)
		nonce[i] = digits[chance[i / 2] >> (i % 2 ? 0 : 4) & 15];
	struct slice text =
	    scram_challenge(&exchange->scram, &record, slice_of(nonce, sizeof nonce));
	explicit_bzero(&record, sizeof record);
	return text;
}

/* What is wrong with who begins; NULL: nothing. */
static const char *objection(const struct auth_request *request, struct slice name)
{
	if (request->has_user_name && !slice_equal(request->user_name, name))
		return "the user name is not the one that authenticates";
	return NULL;
}

static enum auth_verdict first(struct worker_door *at, const struct auth_request *request,
			       struct auth_exchange *exchange, struct auth_answer *answer)
{
	struct slice name;
	struct peer_of_link peer = peer_of_link(&at->worker->loop, request->link);
	memcpy(exchange->from.at, peer.address, sizeof exchange->from.at);
	if (!scram_first(&exchange->scram, request->data, &name))
		return refuse(answer, MQTT_NOT_AUTHORIZED,
			      "the first message of SCRAM-SHA-256 is not as RFC 5802 has it, or "
			      "asks for a channel binding");
	const char *text = objection(request, name);
	if (text)
		return refuse(answer, MQTT_NOT_AUTHORIZED, text);
	enum throttle_verdict verdict = door_throttle(at->door, &exchange->from, name, answer);
	if (verdict == THROTTLE_BANNED || verdict == THROTTLE_WAIT)
		return AUTH_REFUSE;
	answer->data = challenge(at->door, exchange, name);
	answer->exchange = exchange;
	return AUTH_CONTINUE;
}

static struct slice name_of(const struct auth_exchange *exchange)
{
	return slice_of(exchange->scram.name, exchange->scram.name_len);
}

static void note(struct door *door, const struct auth_exchange *exchange, bool right)
{
	if (right)
		throttle_passed(door->throttle, &exchange->from, name_of(exchange));
	else
		throttle_failed(door->throttle, moment_now().ms, &exchange->from,
				name_of(exchange));
}

/* Again it has to be the same key of the same account. */
static bool is_who(const struct auth_grant *base, const struct account_visitor *visitor)
{
	const struct grant *grant = (const struct grant *)base;
	return grant->kind == IDENTITY_ACCOUNT && grant->visitor.account == visitor->account &&
	       grant->visitor.key == visitor->key;
}

static enum auth_verdict final(struct door *door, const struct auth_request *request,
			       struct auth_answer *answer)
{
	struct auth_exchange *exchange = request->exchange;
	struct auth_grant *grant = NULL;
	bool proved = scram_final(&exchange->scram, request->data, &answer->data);
	bool right = proved && exchange->known;
	pthread_mutex_lock(&door->lock);
	note(door, exchange, right);
	if (right && (request->grant == NULL || is_who(request->grant, &exchange->visitor)))
		grant = grant_create_account(door, &exchange->visitor);
	pthread_mutex_unlock(&door->lock);
	auth_log_note(door->auth_log,
		      exchange->visitor.account ? IDENTITY_ACCOUNT : IDENTITY_NOBODY,
		      exchange->visitor.account,
		      grant    ? AUTH_LOG_RIGHT
		      : proved ? AUTH_LOG_REFUSED
			       : AUTH_LOG_WRONG);
	answer->grant = grant;
	if (grant)
		return AUTH_ALLOW;
	answer->data = SLICE_NONE;
	return refuse(answer, MQTT_NOT_AUTHORIZED, "no such device key, or not its secret");
}

enum auth_verdict door_admit_scram(struct worker_door *at, const struct auth_request *request,
				   struct auth_answer *answer)
{
	/* [MQTT-4.12.0-1] */
	if (!slice_equal(request->method, slice_text(SCRAM_METHOD)) || request->identity ||
	    at->door->accounts == NULL)
		return refuse(answer, MQTT_BAD_AUTHENTICATION_METHOD,
			      request->identity ? "the connection has proved who this is" : NULL);
	if (request->exchange)
		return final(at->door, request, answer);
	struct auth_exchange *exchange = calloc(1, sizeof *exchange);
	must(exchange);
	enum auth_verdict verdict = first(at, request, exchange, answer);
	if (verdict != AUTH_CONTINUE)
		door_end_exchange(&at->auth, exchange);
	return verdict;
}
