/* will.c - the message that a connection leaves behind, MQTT 5.0 section 3.1.2.5. */
#include "broker/core/core.h"
#include "broker/core/crash.h"
#include "broker/core/rights.h"

void will_free(struct shard *shard, struct will *will)
{
	if (will == NULL)
		return;
	message_release(will->message, &shard->purse);
	memory_free(will);
	UNCOUNT(shard, WILLS);
}

static void drop(struct shard *shard, struct will **will)
{
	will_free(shard, *will);
	*will = NULL;
}

void will_forget(struct shard *shard, struct session *session)
{
	struct client *client = session->client;
	if (client)
		drop(shard, &client->will);
	if (client && !client->answered)
		drop(shard, &client->connecting->will_before);
	if (session->absence)
		drop(shard, &session->absence->will);
	arrivals_forget(session);
}

/*
 * Does it wait behind what its client published before?  [MQTT-4.6.0-5]: then in a message of its
 * own, which says whose it is and when it expires.  Where there is no memory for that, it goes now.
 */
static bool waits(struct shard *shard, struct session *session, struct publication publication)
{
	if (!arrivals_before(&traffic_of(session)->arrivals, &publication))
		return false;
	publication.message = message_create(&shard->purse, &publication);
	if (publication.message == NULL)
		return false;
	arrival_add(shard, session, &publication, 0);
	message_release(publication.message, &shard->purse);
	return true;
}

/* Its expiry interval begins now: MQTT 5.0 section 3.1.3.2.4. */
void will_publish(struct shard *shard, struct session *session, struct will *will)
{
	if (!shard->stopping &&
	    rights_allow(shard, session, AUTH_WRITE, message_topic(will->message))) {
		struct publication publication = message_publication(will->message);
		publication.publisher = delivery_log_publisher(shard, session);
		if (will->has_expiry) {
			publication.message =
			    NULL; /* the copy that others keep needs the new deadline */
			publication.expires_ms = shard->now.ms + will->expiry_s * 1000ull;
		}
		COUNT(shard, WILLS_PUBLISHED);
		if (!waits(shard, session, publication))
			publish(shard, &publication);
		CRASH_AT(will_published);
		publication_finish(shard, &publication);
	}
	will_free(shard, will);
}
