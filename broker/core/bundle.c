/* bundle.c - see bundle.h. */
#include "broker/core/core.h"

/* The first bundle of a turn may stay alone; who fills it will fill more. */
#define ROOM_FIRST 1024u
#define ROOM_LARGE 16368u /* four of them in a span of the arena */

/* What stands before the bytes of a publication: topic, properties, payload. */
struct head {
	uint64_t ticket;
	uint64_t envelope;
	uint64_t expires_ms;
	uint64_t topic_hash;
	struct publisher publisher;
	uint32_t realm;
	uint32_t payload_len;
	uint16_t topic_len;
	uint16_t properties_len;
	uint8_t qos;
	bool retain;
	bool again;
};

void bundles_init(struct bundles *bundles, uint16_t parties)
{
	bundles->publications = memory_get_zeroed(parties * sizeof *bundles->publications);
	bundles->event = memory_get_zeroed(parties * sizeof *bundles->event);
	bundles->gates = memory_get_zeroed(parties * sizeof *bundles->gates);
}

void bundles_finish(struct bundles *bundles)
{
	memory_free(bundles->publications);
	memory_free(bundles->gates);
	memory_free(bundles->event);
}

void bundle_seal(struct bundles *bundles, party_id to)
{
	bundles->publications[to] = NULL;
}

void bundles_sent(struct bundles *bundles, uint16_t parties)
{
	memset(bundles->publications, 0, parties * sizeof *bundles->publications);
	memset(bundles->gates, 0, parties * sizeof *bundles->gates);
}

/* ---- making them ---- */

static struct mail *begin(struct shard *shard, enum mail_type type, party_id to, uint32_t room)
{
	struct mail *mail = mail_create(type, shard->party, to, SLICE_NONE);
	mail->bundle = purse_payload(&shard->purse, room);
	mail->bundle_room = room;
	purse_force(&shard->purse, room);
	shard_post(shard, mail);
	return mail;
}

/* Room for n more bytes in the mail at *open, or in a new one. */
static uint8_t *reserve(struct shard *shard, enum mail_type type, party_id to, struct mail **open,
			uint32_t n)
{
	struct mail *mail = *open;
	if (mail == NULL || mail->bundle_room - mail->bundle_len < n) {
		mail = begin(shard, type, to, mail || n > ROOM_FIRST ? ROOM_LARGE : ROOM_FIRST);
		*open = mail;
	}
	uint8_t *at = mail->bundle + mail->bundle_len;
	mail->bundle_len += n;
	mail->count++;
	return at;
}

static size_t bytes_of(const struct publication *p)
{
	return p->topic.len + p->properties.len + p->payload.len;
}

bool bundle_takes(const struct publication *publication)
{
	return bytes_of(publication) <= BUNDLE_MESSAGE_MAX;
}

static uint32_t padded(size_t n)
{
	return (uint32_t)((n + 7) & ~(size_t)7);
}

bool bundle_publication(struct shard *shard, party_id to, const struct publication *p,
			uint64_t ticket)
{
	struct mail **open = &shard->bundles.publications[to];
	if (*open == NULL && !purse_allows(&shard->purse, ROOM_LARGE))
		return false;
	uint8_t *at =
	    reserve(shard, MAIL_PUBLICATIONS, to, open, padded(sizeof(struct head) + bytes_of(p)));
	*(struct head *)(void *)at = (struct head){
	    .ticket = ticket,
	    .envelope = p->envelope,
	    .expires_ms = p->expires_ms,
	    .topic_hash = p->topic_hash,
	    .publisher = p->publisher,
	    .realm = p->realm,
	    .payload_len = (uint32_t)p->payload.len,
	    .topic_len = (uint16_t)p->topic.len,
	    .properties_len = (uint16_t)p->properties.len,
	    .qos = p->qos,
	    .retain = p->retain,
	    .again = p->again,
	};
	at += sizeof(struct head);
	struct slice parts[] = {p->topic, p->properties, p->payload};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (parts[i].len != 0)
			memcpy(at, parts[i].at, parts[i].len);
		at += parts[i].len;
	}
	return true;
}

void bundle_gate(struct shard *shard, party_id to, uint64_t ticket)
{
	uint8_t *at = reserve(shard, MAIL_GATES, to, &shard->bundles.gates[to], sizeof ticket);
	memcpy(at, &ticket, sizeof ticket);
}

/* ---- reading them ---- */

bool bundle_next(const struct mail *mail, uint32_t *at, struct publication *publication,
		 uint64_t *ticket)
{
	if (*at == mail->bundle_len)
		return false;
	const struct head *head = (const void *)(mail->bundle + *at);
	const uint8_t *bytes = (const uint8_t *)(head + 1);
	struct slice topic = slice_of(bytes, head->topic_len);
	struct slice properties = slice_of(topic.at + topic.len, head->properties_len);
	*publication = (struct publication){
	    .realm = head->realm,
	    .qos = head->qos,
	    .retain = head->retain,
	    .again = head->again,
	    .envelope = head->envelope,
	    .publisher = head->publisher,
	    .expires_ms = head->expires_ms,
	    .topic_hash = head->topic_hash,
	    .topic = topic,
	    .properties = properties,
	    .payload = slice_of(properties.at + properties.len, head->payload_len),
	};
	*ticket = head->ticket;
	*at += padded(sizeof *head + bytes_of(publication));
	return true;
}

const uint64_t *bundle_tickets(const struct mail *mail)
{
	return (const void *)mail->bundle;
}
