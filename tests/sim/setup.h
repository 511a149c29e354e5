/* setup.h - which world and which clients a seed makes. */
#ifndef TESTS_SIM_SETUP_H
#define TESTS_SIM_SETUP_H

#include "proto/packet.h"
#include "tests/sim/world.h"

struct device;

/* Profile, settings, listener and clients, all from the world's chance. */
void setup_world(struct world *world, struct device *clients);

/* How the next CONNECT of this client will be: Clean Start, expiry, will. */
void setup_connection(struct world *world, struct device *client);

/* Something to publish on behalf of `client`. */
struct oracle_message *setup_message(struct world *world, const struct device *client);

/* Likewise, in the topic and with the QoS of its will, which it has. */
struct oracle_message *setup_last_word(struct world *world, const struct device *client);

/* Up to three entries to subscribe to; returns how many, and the identifier to use. */
unsigned setup_subscription(struct world *world, const struct device *client,
			    struct mqtt_subscription *entries, uint32_t *identifier);

#endif
