/* at_most_once.c - see at_most_once.h. */
#include "broker/core/at_most_once.h"

/* May so much more of QoS 0 wait for the socket?  Less of it where others wait for the socket, too:
 * what it takes next is to be theirs. */
static bool takes_at_most_once(const struct shard *shard, const struct client *client, size_t size)
{
	uint64_t limit = shard->settings->max_queued_bytes;
	if (client->blocked && limit > UNSENT_HIGH)
		limit = UNSENT_HIGH;
	return client->outbox.bytes + size <= limit || client->outbox.bytes == 0;
}

static size_t at_most_once_size(const struct publication *publication)
{
	return publication->payload.len + publication->topic.len;
}

/* [MQTT-4.3.1-1] [MQTT3-4.3.1-1] */
bool at_most_once_send(struct shard *shard, struct session *session,
		       struct publication *publication, bool retain,
		       struct identifier_list identifiers)
{
	struct client *client = session->client;
	const struct publisher *from = &publication->publisher;
	if (!purse_allows(&shard->purse, at_most_once_size(publication))) {
		delivery_dropped(shard, session, from, 0, ROUTE_MEMORY);
		return false;
	}
	switch (send_publish(shard, client, publication, 0, false, retain, 0, identifiers)) {
	case SENT:
		delivery_row(shard, session, from, 0, ROUTE_DELIVERED);
		return true;
	case SENT_TOO_LARGE:
		delivery_dropped(shard, session, from, 0, ROUTE_TOO_LARGE);
		break;
	case SENT_NO_MEMORY: /* it is counted */
		delivery_row(shard, session, from, 0, ROUTE_MEMORY);
		break;
	}
	return false;
}

bool at_most_once_deliver(struct shard *shard, struct session *session,
			  struct publication *publication, bool retain,
			  struct identifier_list identifiers)
{
	const struct publisher *from = &publication->publisher;
	if (publication->expires_ms <= shard->now.ms) { /* [MQTT-3.3.2-5] */
		delivery_dropped(shard, session, from, 0, ROUTE_EXPIRED);
		return false;
	}
	if (!takes_at_most_once(shard, session->client, at_most_once_size(publication))) {
		delivery_dropped(shard, session, from, 0, ROUTE_SLOW_READER);
		return false;
	}
	return at_most_once_send(shard, session, publication, retain, identifiers);
}
