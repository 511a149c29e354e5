/* anonymous.c - see anonymous.h. */
#include "auth/anonymous.h"

static enum auth_verdict check(struct auth *auth, const struct auth_request *request,
			       struct auth_answer *answer)
{
	(void)auth;
	/* [MQTT-4.12.0-1] */
	if (request->method.len > 0) {
		answer->reason = MQTT_BAD_AUTHENTICATION_METHOD;
		return AUTH_REFUSE;
	}
	if (request->allow_anonymous || request->identity)
		return AUTH_ALLOW;
	answer->reason = MQTT_NOT_AUTHORIZED;
	return AUTH_REFUSE;
}

struct auth *auth_anonymous(void)
{
	static struct auth anonymous = {.check = check};

	return &anonymous;
}
