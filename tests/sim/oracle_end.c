/* oracle_end.c - after the quiet: what is missing, what is double, what is retained. */
#include "tests/sim/device.h"
#include "tests/sim/link.h"
#include "tests/sim/oracle.h"

/* A publish of QoS 0 was handled when its connection lived on for so long. */
#define QOS0_SETTLED_MS 3000
/* Room for topic, properties and header when a client limits packets. */
#define PACKET_SLACK 400

/* Deliveries that the broker says it did not make. */
static uint64_t counted_drops(const struct world *world)
{
	return broker_counted(world, HAPPENED_DROPPED_QUEUE_FULL) +
	       broker_counted(world, HAPPENED_DROPPED_SLOW) +
	       broker_counted(world, HAPPENED_DROPPED_MEMORY);
}

bool oracle_must_have(const struct world *world, const struct oracle_sub *sub,
		      const struct oracle_message *m)
{
	const struct device *client = &world->clients[sub->client];
	if (sub->group != 0 || sub->must_from_seq == NEVER || sub->must_end_seq != NEVER ||
	    sub->chain_qos == 0 || m->sent_seq < sub->must_from_seq)
		return false;
	if (sub->chain_no_local && m->publisher == sub->client)
		return false;
	if (client->packet_maximum != 0 && m->payload_len + PACKET_SLACK > client->packet_maximum)
		return false;
	return oracle_matches(sub, m);
}

/* Acknowledged, and too young to expire. */
bool oracle_acknowledged(const struct oracle_message *m)
{
	return m->qos > 0 && m->acked_seq != NEVER && !m->refused && !m->dollar && !m->will &&
	       m->expiry_s == 0 && m->payload_len > 0;
}

/* By a broker that did not forget it since. */
static bool remembered(const struct world *world, const struct oracle_message *m)
{
	return m->sent_seq > world->oracle->restart_seq;
}

/* Who had it in custody when it was acknowledged has it still, whatever the broker forgot. */
static bool is_promised(struct world *world, const struct oracle_message *m, unsigned client)
{
	if (remembered(world, m))
		return true;
	if (!oracle_records(world) || (m->present >> client & 1) == 0)
		return false;
	world->tally.promised++;
	world->tally.promised_exact += m->got[client].qos == 2;
	return true;
}

static uint64_t count_missing(struct world *world, const struct oracle_message *m,
			      const struct oracle_message **first, unsigned *client)
{
	const struct oracle *oracle = world->oracle;
	uint64_t missing = 0;
	uint32_t seen = 0;
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		const struct oracle_got *got = &m->got[sub->client];
		if ((seen >> sub->client & 1) != 0 || !oracle_must_have(world, sub, m))
			continue;
		seen |= 1u << sub->client;
		if (!is_promised(world, m, sub->client) || got->live + got->retained > 0)
			continue;
		missing++;
		if (*first == NULL) {
			*first = m;
			*client = sub->client;
		}
	}
	return missing;
}

void oracle_check_lost(struct world *world)
{
	const struct oracle *oracle = world->oracle;
	const struct oracle_message *first = NULL;
	unsigned client = 0;
	uint64_t missing = 0, dropped = counted_drops(world);
	for (uint32_t i = 0; i < oracle->message_count; i++)
		if (oracle_acknowledged(oracle->messages[i]))
			missing += count_missing(world, oracle->messages[i], &first, &client);
	if (missing > dropped)
		world_fault(world, "lost",
			    "%llu deliveries never came, %llu drops are counted; the first: "
			    "m%08x (%s, QoS %u, sent at %llu) to client %u",
			    (unsigned long long)missing, (unsigned long long)dropped, first->number,
			    first->topic, first->qos, (unsigned long long)first->sent_ms, client);
}

/* ---- shared subscriptions ---- */

struct group_view {
	bool covered; /* a member was there from before the publish to the end */
	bool present; /* and all who might have got it counted as connected until it was acked */
	unsigned ended;
};

static struct group_view look_at_group(const struct world *world, uint32_t group,
				       const struct oracle_message *m)
{
	struct group_view view = {.present = true};
	for (size_t i = 0; i < world->oracle->sub_count; i++) {
		const struct oracle_sub *sub = world->oracle->subs[i];
		if (sub->group != group || !oracle_matches(sub, m))
			continue;
		view.present = view.present && (m->present >> sub->client & 1) != 0;
		if (sub->must_end_seq != NEVER)
			view.ended++;
		else if (sub->must_from_seq < m->sent_seq && sub->chain_qos > 0)
			view.covered = true;
	}
	return view;
}

static uint64_t check_group(struct world *world, uint32_t group, const struct oracle_message *m)
{
	struct group_view view = look_at_group(world, group, m);
	bool remembers = remembered(world, m);
	unsigned got = 0, exact = 0;
	for (unsigned i = 0; i < world->client_count; i++) {
		got += m->got[i].by_group[group];
		exact += m->got[i].exact[group];
	}
	unsigned allowed = 1 + view.ended + (m->qos == 2 && remembers ? 0 : m->sends - 1);
	if (got > allowed || (oracle_records(world) && exact > 1 + view.ended))
		world_fault(world, "shared-twice", "group %u got m%08x %u times, %u with QoS 2",
			    group, m->number, got, exact);
	if (!remembers && !(oracle_records(world) && view.present))
		return 0;
	return view.covered && view.ended == 0 && got == 0 ? 1 : 0;
}

void oracle_check_shared(struct world *world)
{
	uint64_t missing = 0;
	uint32_t first = 0;
	for (uint32_t i = 0; i < world->oracle->message_count; i++) {
		const struct oracle_message *m = world->oracle->messages[i];
		if (!oracle_acknowledged(m) || (!remembered(world, m) && !oracle_records(world)))
			continue;
		for (uint32_t group = 1; group < ORACLE_GROUPS; group++) {
			uint64_t lost = check_group(world, group, m);
			if (lost > 0 && missing == 0)
				first = m->number;
			missing += lost;
		}
	}
	/* The member whose turn it was may take no packet so large. */
	if (missing > counted_drops(world) + broker_counted(world, HAPPENED_DROPPED_TOO_LARGE))
		world_fault(world, "shared-lost",
			    "%llu messages reached no member; the first: m%08x",
			    (unsigned long long)missing, first);
}

/* ---- retained messages ---- */

/* It was applied, without doubt, and the broker lives since. */
static bool surely_kept(const struct world *world, const struct oracle_message *m)
{
	if (m->refused || m->will || m->last_sent_seq < world->oracle->restart_seq)
		return false;
	if (m->qos > 0)
		return m->acked_seq != NEVER;
	return m->link->ended_ms == NEVER || m->link->ended_ms > m->sent_ms + QOS0_SETTLED_MS;
}

/* Was `later` applied after `m`, whatever the shards did? */
static bool surely_after(const struct world *world, const struct oracle_message *later,
			 const struct oracle_message *m)
{
	if (m->will || later->sent_seq < m->sent_seq)
		return false;
	if (later->publisher == m->publisher && later->qos == m->qos)
		return m->sends == 1 || m->last_sent_seq < later->sent_seq ||
		       world->profile.refuse == 0;
	if (m->qos == 0)
		return later->sent_ms > m->sent_ms + QOS0_SETTLED_MS;
	return later->sent_seq > m->acked_seq;
}

static bool superseded(const struct world *world, const struct oracle_message *m)
{
	const struct oracle *oracle = world->oracle;
	for (uint32_t i = 0; i < oracle->message_count; i++) {
		const struct oracle_message *later = oracle->messages[i];
		if (later != m && later->retain && later->sends > 0 &&
		    strcmp(later->topic, m->topic) == 0 && surely_kept(world, later) &&
		    surely_after(world, later, m))
			return true;
	}
	return false;
}

static void check_topic(struct world *world, const char *topic)
{
	const struct oracle *oracle = world->oracle;
	unsigned found = 0;
	bool none_allowed =
	    broker_counted(world, HAPPENED_DROPPED_RETAIN_LIMIT) > 0 || counted_drops(world) > 0;
	bool sure = false;
	uint32_t number = 0;
	for (uint32_t i = 0; i < oracle->message_count; i++) {
		const struct oracle_message *m = oracle->messages[i];
		if (!m->retain || m->sends == 0 || strcmp(m->topic, topic) != 0)
			continue;
		unsigned got = m->got[oracle->checker].retained;
		found += got;
		bool old = !m->will && m->last_sent_seq < oracle->restart_seq;
		bool gone = old || superseded(world, m);
		if (gone && got > 0)
			world_fault(world, "retained-old", "m%08x is retained on %s no more",
				    m->number, topic);
		if (gone)
			continue;
		if (m->payload_len == 0 || m->expiry_s > 0)
			none_allowed = true;
		if (surely_kept(world, m)) {
			sure = true;
			number = m->number;
		}
	}
	if (found > 1)
		world_fault(world, "retained-twice", "%u retained messages on %s", found, topic);
	if (found == 0 && sure && !none_allowed)
		world_fault(world, "retained-lost", "nothing is retained on %s, m%08x should be",
			    topic, number);
}

void oracle_check_retained(struct world *world)
{
	const struct oracle *oracle = world->oracle;
	for (uint32_t i = 0; i < oracle->message_count; i++) {
		const struct oracle_message *m = oracle->messages[i];
		bool seen = !m->retain || m->topic[0] == '$';
		for (uint32_t j = 0; j < i && !seen; j++)
			seen = oracle->messages[j]->retain &&
			       strcmp(oracle->messages[j]->topic, m->topic) == 0;
		if (!seen)
			check_topic(world, m->topic);
	}
}

/* ---- exchanges ---- */

/* All publishers have come back, and all is quiet: nobody waits for a PUBREL any more. */
void oracle_check_exchanges(struct world *world)
{
	for (unsigned i = 0; i < world->oracle->witness; i++)
		if (world->clients[i].in_qos2_count > 0)
			world_fault(world, "exchange-open", "client %u: PUBREL for %u never came",
				    i, world->clients[i].in_qos2[0].packet_id);
}
