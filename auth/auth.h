/*
 * auth.h - the contract between the core and whoever decides who may come in.
 *
 * The core asks once for each CONNECT, at the home shard of the client
 * identifier and before anything of a session is touched; a take-over happens
 * only after the answer. [MQTT-3.1.4-2]
 *
 * Thread: check() is called on the worker that owns the shard and must not
 * block; an answer that takes time is AUTH_WAIT, and comes back as
 * EVENT_AUTHENTICATED.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "proto/base.h"
#include "proto/identity.h"
#include "proto/reason.h"

enum auth_verdict {
	AUTH_ALLOW,
	AUTH_REFUSE, /* *reason says why */
	AUTH_WAIT,   /* the answer comes as an event */
};

struct auth_request {
	uint32_t link;
	bool allow_anonymous; /* of the listener */
	bool has_user_name;
	bool has_password;
	struct slice client_id;
	struct slice user_name;
	struct slice password;
	/*
	 * Not NULL: the transport has proved who this is.  user_name is that name then, and
	 * there is no password: whatever the CONNECT said of them does not count.
	 */
	const struct identity *identity;
	struct slice method; /* enhanced authentication; empty for none */
};

struct auth {
	enum auth_verdict (*check)(struct auth *auth, const struct auth_request *request,
				   enum mqtt_reason *reason);
};

#endif
