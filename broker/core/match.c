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
	if (own_copy_waits(publication, shard->party, session->number))
		own_copy_put_off(shard, publication, session, qos, retain, identifiers);
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
