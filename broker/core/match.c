/*
 * match.c - who of this shard gets a publication: every session once, however many of its
 * subscriptions match, and each shared group.
 */
#include "broker/core/core.h"

static void add_identifier(struct shard *shard, struct match *match, uint32_t identifier)
{
	if (identifier == 0)
		return;
	if (match->identifier == 0) {
		match->identifier = identifier;
		return;
	}
	uint32_t n = ++shard->match_identifier_count;
	shard->match_identifiers =
	    shard_grow(shard->match_identifiers, &shard->match_identifier_room, n + 1,
		       sizeof *shard->match_identifiers);
	shard->match_identifiers[n] = (struct match_identifier){identifier, match->more};
	match->more = n;
	match->more_count++;
}

static struct match *match_of(struct shard *shard, struct session *session)
{
	uint32_t slot = (uint32_t)session->number;
	if (session->match_at < shard->match_count &&
	    shard->matches[session->match_at].session == slot)
		return &shard->matches[session->match_at];
	shard->matches = shard_grow(shard->matches, &shard->match_room, shard->match_count + 1,
				    sizeof *shard->matches);
	session->match_at = shard->match_count;
	struct match *match = &shard->matches[shard->match_count++];
	*match = (struct match){.session = slot};
	return match;
}

struct matching {
	struct shard *shard;
	const struct publication *publication;
	bool no_local; /* a subscription matches that does not want its own messages */
};

static void found_session(struct matching *m, const struct subscription *s)
{
	struct shard *shard = m->shard;
	struct session *session = session_at(shard, s->owner);
	if (s->options & OPTION_NO_LOCAL &&
	    session_same_client(shard, session, &m->publication->publisher)) {
		m->no_local = true;
		return; /* [MQTT-3.8.3-3] */
	}
	struct match *match = match_of(shard, session);
	uint8_t qos = s->options & OPTION_QOS;
	if (qos > match->qos)
		match->qos = qos; /* [MQTT-3.3.4-2] [MQTT3-3.3.5-1] [MQTT-3.3.4-3] [MQTT-3.3.4-4]
				     [MQTT-3.3.4-5] */
	match->retain_as_published |= (s->options & OPTION_RETAIN_AS_PUBLISHED) != 0;
	add_identifier(shard, match, s->identifier);
}

static void found_node(void *self, uint32_t value)
{
	struct matching *m = self;
	struct shard *shard = m->shard;
	while (value != 0) {
		const struct subscription *s = subscription_at(&shard->subscriptions, value);
		value = s->next;
		if (!s->group) {
			found_session(m, s);
			continue;
		}
		shard->match_groups =
		    shard_grow(shard->match_groups, &shard->match_group_room,
			       shard->match_group_count + 1, sizeof *shard->match_groups);
		shard->match_groups[shard->match_group_count++] = s->owner;
	}
}

/* The publisher's own copy of a message. */
struct own_copy {
	struct own_copy *next;
	struct message *message; /* one reference */
	uint64_t session;	 /* by number: it may end meanwhile */
	uint8_t qos;
	bool retain;
	uint32_t count; /* of identifiers */
	uint32_t identifiers[];
};

/*
 * The publisher's own copy of a QoS 2 message goes behind its PUBREC: clients wait for
 * that first.  It waits until this turn's packets are through, or for the first of them that may
 * change what it is sent for.
 */
static void put_off(struct shard *shard, struct publication *publication, struct session *session,
		    uint8_t qos, bool retain, struct identifier_list identifiers)
{
	struct message *message = publication_message(shard, publication);
	if (message == NULL) {
		delivery_row(shard, session, &publication->publisher, qos, ROUTE_MEMORY);
		return;
	}
	size_t size = identifiers.count * sizeof identifiers.at[0];
	struct own_copy *copy = memory_get(sizeof *copy + size);
	*copy = (struct own_copy){.message = message_share(message),
				  .session = session->number,
				  .qos = qos,
				  .retain = retain,
				  .count = identifiers.count};
	if (size > 0)
		memcpy(copy->identifiers, identifiers.at, size);
	*(shard->own_copies ? &shard->own_copies_last->next : &shard->own_copies) = copy;
	shard->own_copies_last = copy;
}

static struct own_copy *take_own_copy(struct shard *shard)
{
	struct own_copy *copy = shard->own_copies;
	if (copy)
		shard->own_copies = copy->next;
	return copy;
}

static void free_own_copy(struct shard *shard, struct own_copy *copy)
{
	message_release(copy->message, &shard->purse);
	memory_free(copy);
}

void deliver_own_copies(struct shard *shard)
{
	for (struct own_copy *copy; (copy = take_own_copy(shard)) != NULL;) {
		struct session *session = session_by_number(shard, copy->session);
		struct publication publication = message_publication(copy->message);
		if (session)
			deliver_to_session(
			    shard, session, &publication, copy->qos, copy->retain,
			    (struct identifier_list){copy->identifiers, copy->count});
		else
			delivery_dropped(shard, NULL, &publication.publisher, copy->qos,
					 ROUTE_SESSION_ENDED);
		free_own_copy(shard, copy);
	}
}

void own_copies_finish(struct shard *shard)
{
	for (struct own_copy *copy; (copy = take_own_copy(shard)) != NULL;)
		free_own_copy(shard, copy);
}

static bool is_own(const struct shard *shard, const struct session *session,
		   const struct publication *publication)
{
	return publication->publisher.session == session->number &&
	       publication->publisher.party == shard->party;
}

static void deliver_match(struct shard *shard, struct publication *publication,
			  const struct match *match)
{
	uint32_t few[16];
	uint32_t count = match->identifier ? 1 + match->more_count : 0;
	uint32_t *list = count <= 16 ? few : memory_get(count * sizeof *list);
	struct identifier_list identifiers = {list, count};
	struct session *session = session_at(shard, match->session);
	list[0] = match->identifier;
	for (uint32_t n = match->more, i = 1; n != 0; n = shard->match_identifiers[n].next)
		list[i++] = shard->match_identifiers[n].identifier;
	uint8_t qos = publication->qos < match->qos ? publication->qos : match->qos;
	/* [MQTT-3.3.1-12] [MQTT-3.3.1-13] [MQTT-3.8.4-8] [MQTT3-3.8.4-6] [MQTT3-3.3.1-9] */
	bool retain = publication->retain && match->retain_as_published;
	if (publication->qos == 2 && !publication->again && is_own(shard, session, publication))
		put_off(shard, publication, session, qos, retain, identifiers);
	else
		deliver_to_session(shard, session, publication, qos, retain, identifiers);
	if (list != few)
		memory_free(list);
}

struct trie_name publication_name(const struct shard *shard, struct publication *publication)
{
	if (publication->topic_hash == 0)
		publication->topic_hash = hash_keyed(shard->hash_key, publication->topic);
	return (struct trie_name){publication->realm, publication->topic, publication->topic_hash};
}

bool deliver_here(struct shard *shard, struct publication *publication)
{
	struct matching m = {shard, publication, false};
	shard->match_turn++;
	shard->match_count = 0;
	shard->match_identifier_count = 0;
	shard->match_group_count = 0;
	struct trie_name name = publication_name(shard, publication);
	trie_match(&shard->subscriptions.trie, &name, &m, found_node);
	for (uint32_t i = 0; i < shard->match_count; i++)
		deliver_match(shard, publication, &shard->matches[i]);
	for (uint32_t i = 0; i < shard->match_group_count; i++)
		share_deliver(shard, shard->match_groups[i], publication);
	if (publication->again)
		recall_complete(shard, publication);
	shard->matched += shard->match_count + shard->match_group_count;
	return shard->match_count + shard->match_group_count > 0 || m.no_local;
}
