/* world_auth.c - who is let into a world, at once or later, and who gets tokens; see world.h. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"

/* An exchange goes on as long as the client says something odd. */
struct auth_exchange {
	char nothing;
};

static enum auth_verdict exchange(struct world *world, const struct auth_request *request,
				  struct auth_answer *answer)
{
	struct auth_exchange *exchange = request->exchange;

	answer->data = slice_text("so you say");
	if (request->data.len > 0 && request->data.at[0] % 2) {
		if (exchange == NULL) {
			exchange = calloc(1, sizeof(*exchange));
			must(exchange != NULL);
			world->exchanges++;
		}
		answer->exchange = exchange;
		return AUTH_CONTINUE;
	}
	if (world->auth_refuses)
		return AUTH_REFUSE;
	answer->grant = &world->grant;
	world->grants++;
	return AUTH_ALLOW;
}

static void end_exchange(struct auth *auth, struct auth_exchange *exchange)
{
	((struct world *)auth)->exchanges--;
	free(exchange);
}

static void release(struct auth *auth, struct auth_grant *grant)
{
	struct world *world = (struct world *)auth;

	claim(grant == &world->grant && world->grants > 0);
	world->grants--;
}

/* The first password byte says which it would be. */
static enum auth_token token_of(const struct auth_request *request)
{
	if (request->tokens == NULL || request->password.len == 0)
		return AUTH_TOKEN_NONE;
	if (request->password.at[0] == request->tokens->latest[0])
		return AUTH_TOKEN_LATEST;
	return request->password.at[0] == request->tokens->before[0] ? AUTH_TOKEN_BEFORE
								     : AUTH_TOKEN_NONE;
}

static bool has_tokens(struct auth *auth, const struct auth_grant *grant, uint32_t link)
{
	(void)auth;
	(void)grant;
	return link % 4 != 3;
}

static bool make_token(struct auth *auth, const struct auth_grant *grant, struct slice client_id,
		       uint8_t text[AUTH_TOKEN_SIZE], uint8_t kept[AUTH_TOKEN_MAC_SIZE])
{
	struct world *world = (struct world *)auth;

	(void)grant;
	(void)client_id;
	memset(text, 't', AUTH_TOKEN_SIZE);
	memset(kept, 0, AUTH_TOKEN_MAC_SIZE);
	kept[0] = (uint8_t)(++world->tokens % 4);
	return true;
}

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	struct world *world = (struct world *)auth;

	answer->reason = MQTT_NOT_AUTHORIZED;
	if (request->method.len > 0)
		return exchange(world, request, answer);
	answer->token = token_of(request);
	if (world->auth_waits) {
		world->links[request->link].auth_waits = true;
		world->links[request->link].auth_serial = request->serial;
		return AUTH_WAIT;
	}
	return world->auth_refuses ? AUTH_REFUSE : AUTH_ALLOW;
}

const struct auth world_auth = {.check = check,
				.release = release,
				.end_exchange = end_exchange,
				.has_tokens = has_tokens,
				.make_token = make_token};
