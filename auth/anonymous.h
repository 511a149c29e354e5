/*
 * anonymous.h - the door of a broker without accounts: who may come in is what the
 * listener's allow_anonymous says, whatever user name and password are offered (as
 * mosquitto does without a password file).  Whom the transport has proved to be somebody comes in.
 *
 * Enhanced authentication is refused until there is a method. [MQTT-4.12.0-1]
 * Thread: any; it has no state.
 */
#ifndef AUTH_ANONYMOUS_H
#define AUTH_ANONYMOUS_H

#include "auth/auth.h"

/* One for all shards, valid for ever. */
struct auth *auth_anonymous(void);

#endif
