/* server_limits.c - see server_limits.h. */
#include "cli/server_limits.h"

#include "proto/topic.h"

void server_limits_init(struct server_limits *limits)
{
	*limits = (struct server_limits){.packet_size_max = UINT32_MAX, .qos_max = 2};
}

/* What is not there is available. */
static bool is_missing(const struct mqtt_properties *p, enum mqtt_property property,
		       uint8_t available)
{
	return mqtt_has(p, property) && available == 0;
}

void server_limits_read(struct server_limits *limits, const struct mqtt_properties *connack)
{
	if (mqtt_has(connack, MQTT_PROPERTY_MAXIMUM_PACKET_SIZE))
		limits->packet_size_max = connack->maximum_packet_size;
	if (mqtt_has(connack, MQTT_PROPERTY_MAXIMUM_QOS))
		limits->qos_max = connack->maximum_qos;
	limits->no_retain =
	    is_missing(connack, MQTT_PROPERTY_RETAIN_AVAILABLE, connack->retain_available);
	limits->no_wildcards = is_missing(connack, MQTT_PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE,
					  connack->wildcard_available);
	limits->no_shared = is_missing(connack, MQTT_PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE,
				       connack->shared_available);
	limits->no_identifiers =
	    is_missing(connack, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE,
		       connack->subscription_identifiers_available);
}

bool server_limits_publish(const struct server_limits *limits, const struct mqtt_publish *publish,
			   struct failure *failure)
{
	/* [MQTT-3.2.2-11] */
	if (publish->qos > limits->qos_max)
		return failure_set(failure, "The broker takes no messages of QoS %u, %u at most.",
				   publish->qos, limits->qos_max);
	/* [MQTT-3.2.2-14] */
	if (publish->retain && limits->no_retain)
		return failure_set(failure, "The broker takes no retained messages.");
	return true;
}

/* The QoS of a subscription may be above what the server takes: section 3.2.2.3.4. */
static bool may_subscribe(const struct server_limits *limits, struct slice filter,
			  struct failure *failure)
{
	struct topic_filter parts;

	/* What is no filter is the server's to refuse. */
	if (!topic_filter_parse(filter, true, &parts))
		return true;
	/* Sections 3.2.2.3.11 and 3.2.2.3.13: a Protocol Error, each. */
	if (limits->no_wildcards && topic_filter_wild(parts.filter))
		return failure_set(failure, "The broker takes no wildcards in subscriptions: %.*s",
				   (int)filter.len, (const char *)filter.at);
	if (limits->no_shared && parts.share.len > 0)
		return failure_set(failure, "The broker takes no shared subscriptions: %.*s",
				   (int)filter.len, (const char *)filter.at);
	return true;
}

bool server_limits_subscribe(const struct server_limits *limits,
			     const struct mqtt_properties *properties,
			     const struct mqtt_subscription *entries, size_t count,
			     struct failure *failure)
{
	/* Section 3.2.2.3.12: a Protocol Error as well. */
	if (limits->no_identifiers && mqtt_has(properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER))
		return failure_set(failure, "The broker takes no subscription identifiers.");
	for (size_t i = 0; i < count; i++)
		if (!may_subscribe(limits, entries[i].filter, failure))
			return false;
	return true;
}

bool server_limits_size(const struct server_limits *limits, const char *what, size_t size,
			struct failure *failure)
{
	/* [MQTT-3.2.2-15] */
	return size <= limits->packet_size_max ||
	       failure_set(failure, "%s is larger than the broker accepts.", what);
}
