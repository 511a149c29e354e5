/*
 * server_limits.h - what the server said in CONNACK that it does not take, and whether a packet
 * may be sent to it.  MQTT 5.0 sections 3.2.2.3.4 to 3.2.2.3.13; a server before 5.0 says nothing,
 * and takes all.
 *
 * Failure: false and a sentence.  Thread: any.
 */
#ifndef CLI_SERVER_LIMITS_H
#define CLI_SERVER_LIMITS_H

#include "proto/packet.h"

struct server_limits {
	uint32_t packet_size_max;
	uint8_t qos_max;
	bool no_retain;
	bool no_wildcards;
	bool no_shared;
	bool no_identifiers;
};

/* Everything is taken. */
void server_limits_init(struct server_limits *limits);

/* Of CONNACK. */
void server_limits_read(struct server_limits *limits, const struct mqtt_properties *connack);

/* May it be sent, whatever its size? */
bool server_limits_publish(const struct server_limits *limits, const struct mqtt_publish *publish,
			   struct failure *failure);
bool server_limits_subscribe(const struct server_limits *limits,
			     const struct mqtt_properties *properties,
			     const struct mqtt_subscription *entries, size_t count,
			     struct failure *failure);

/* May a packet of that size be sent? */
bool server_limits_size(const struct server_limits *limits, const char *what, size_t size,
			struct failure *failure);

#endif
