/*
 * client_output.c - what goes to a client: bytes for its outbox, and what goes on when some of them
 * are written.
 */
#include "broker/core/core.h"

/* Answers that may lie unread, and filters whose answer may be under way, before we stop reading;
 * and answers with which we read again. */
#define REPLY_BYTES_MAX (1024u * 1024)
#define REPLY_BYTES_LOW (REPLY_BYTES_MAX / 2)
#define UNANSWERED_MAX	256u

void client_told(struct shard *shard, struct client *client)
{
	if (client->output_told)
		return;
	client->output_told = true;
	shard_effect(shard, EFFECT_OUTPUT, client->link);
}

uint8_t *client_reserve(struct shard *shard, struct client *client, size_t n)
{
	client_told(shard, client);
	return outbox_reserve(&client->outbox, &shard->purse, n);
}

void client_send(struct shard *shard, struct client *client, const uint8_t *packet, size_t n)
{
	memcpy(client_reserve(shard, client, n), packet, n);
	client->reply_bytes += (uint32_t)n;
	COUNT(shard, PACKETS_SENT);
}

bool client_overdue(const struct client *client)
{
	return client->reply_bytes > REPLY_BYTES_MAX || client->unanswered >= UNANSWERED_MAX;
}

/* Deliveries of QoS 1 and 2 have room again as soon as some of them are written. */
static bool has_room(const struct client *client, struct session *session, size_t n)
{
	struct traffic *traffic = session->traffic;
	if (traffic && traffic->unsent > 0)
		traffic->unsent = outbox_left(&client->outbox, traffic->unsent, n);
	return client->blocked && traffic_of(session)->unsent < UNSENT_HIGH;
}

void client_wrote(struct shard *shard, struct client *client, size_t n)
{
	outbox_take(&client->outbox, &shard->purse, n);
	/* Its packets lie unread: it lives while it reads, and until the end of a pause (rate.h).
	 */
	if (client->waiting && n > 0 && client->last_packet_ms < shard->now.ms)
		client->last_packet_ms = shard->now.ms;
	client->reply_bytes = (uint32_t)outbox_left(&client->outbox, client->reply_bytes, n);
	if (client->state != CLIENT_UP)
		return;
	struct session *session = session_at(shard, client->session);
	bool reads = client->waiting && client->reply_bytes <= REPLY_BYTES_LOW;
	bool room = has_room(client, session, n);
	bool room_for_retained = session->scans && traffic_of(session)->unsent < UNSENT_LOW;
	if (room || reads || room_for_retained)
		shard_soon(shard, client);
}

bool client_fits(const struct client *client, size_t packet_size)
{
	return packet_size <= client->maximum_packet_size;
}
