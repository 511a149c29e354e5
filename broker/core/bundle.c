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
	bool goes_behind;
};

struct route_head {
	uint64_t ticket;
	uint32_t path_len;
	bool gone;
};

static const enum mail_type types[BUNDLE_KINDS] = {
    [BUNDLE_PUBLICATIONS] = MAIL_PUBLICATIONS,
    [BUNDLE_GATES] = MAIL_GATES,
    [BUNDLE_ROUTES] = MAIL_ROUTES,
    [BUNDLE_ANSWERS] = MAIL_ANSWERS,
};

void bundles_init(struct bundles *bundles, uint16_t parties)
{
	for (unsigned kind = 0; kind < BUNDLE_KINDS; kind++)
		bundles->open[kind] = memory_get_zeroed(parties * sizeof(struct mail *));
	bundles->event = memory_get_zeroed(parties * sizeof *bundles->event);
}

void bundles_finish(struct bundles *bundles)
{
	for (unsigned kind = 0; kind < BUNDLE_KINDS; kind++)
		memory_free(bundles->open[kind]);
	memory_free(bundles->event);
}

void bundle_seal(struct bundles *bundles, party_id to)
{
	bundles->open[BUNDLE_PUBLICATIONS][to] = NULL;
}

void bundles_sent(struct bundles *bundles, uint16_t parties)
{
	for (unsigned kind = 0; kind < BUNDLE_KINDS; kind++)
		memset(bundles->open[kind], 0, parties * sizeof(struct mail *));
}

/* ---- making them ---- */

static struct mail *begin(struct shard *shard, enum bundle_kind kind, party_id to, uint32_t room)
{
	struct mail *mail = mail_create(types[kind], shard->party, to, SLICE_NONE);
	mail->bundle = purse_payload(&shard->purse, room);
	mail->bundle_room = room;
	purse_force(&shard->purse, room);
	shard_post(shard, mail);
	return mail;
}

/* Room for n more bytes in the mail that is open, or in a new one. */
static uint8_t *reserve(struct shard *shard, enum bundle_kind kind, party_id to, uint32_t n)
{
	struct mail **open = &shard->bundles.open[kind][to];
	struct mail *mail = *open;
	if (mail == NULL || mail->bundle_room - mail->bundle_len < n) {
		mail = begin(shard, kind, to, mail || n > ROOM_FIRST ? ROOM_LARGE : ROOM_FIRST);
		/* Mail to itself may be opened before this turn is over. */
		*open = to != shard->party ? mail : NULL;
	}
	uint8_t *at = mail->bundle + mail->bundle_len;
	mail->bundle_len += n;
	mail->count++;
	mail->sent_ms = shard->now.ms;
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
	const struct mail *open = shard->bundles.open[BUNDLE_PUBLICATIONS][to];
	if (open == NULL && !purse_allows(&shard->purse, ROOM_LARGE))
		return false;
	uint8_t *at =
	    reserve(shard, BUNDLE_PUBLICATIONS, to, padded(sizeof(struct head) + bytes_of(p)));
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
	    .goes_behind = p->goes_behind,
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

static void add_ticket(struct shard *shard, enum bundle_kind kind, party_id to, uint64_t ticket)
{
	memcpy(reserve(shard, kind, to, sizeof ticket), &ticket, sizeof ticket);
}

void bundle_gate(struct shard *shard, party_id to, uint64_t ticket)
{
	add_ticket(shard, BUNDLE_GATES, to, ticket);
}

void bundle_answer(struct shard *shard, party_id to, uint64_t ticket)
{
	add_ticket(shard, BUNDLE_ANSWERS, to, ticket);
}

void bundle_route(struct shard *shard, party_id to, const struct bundled_route *route)
{
	struct route_head head = {route->ticket, (uint32_t)route->path.len, route->gone};
	uint8_t *at = reserve(shard, BUNDLE_ROUTES, to, padded(sizeof head + route->path.len));
	memcpy(at, &head, sizeof head);
	memcpy(at + sizeof head, route->path.at, route->path.len);
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
	    .goes_behind = head->goes_behind,
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

bool bundle_next_route(const struct mail *mail, uint32_t *at, struct bundled_route *route)
{
	if (*at == mail->bundle_len)
		return false;
	const struct route_head *head = (const void *)(mail->bundle + *at);
	*route =
	    (struct bundled_route){head->ticket, head->gone, slice_of(head + 1, head->path_len)};
	*at += padded(sizeof *head + head->path_len);
	return true;
}

const uint64_t *bundle_tickets(const struct mail *mail)
{
	return (const void *)mail->bundle;
}
