/*
 * oracle_custody.c - with `ack_when delivered`: who has a message when its publisher
 * has given up its copy, and what a death of the broker may take (docs/delivery.md).
 *
 * A lasting session that is connected without a gap, deaths of the broker and
 * restart_grace included, from before a PUBLISH until its acknowledgement, has the
 * message then, and nothing may take it away.  What waits for a session that is away
 * or behind is in RAM: a death may take it, and has to be counted.
 */
#include "tests/sim/device.h"
#include "tests/sim/link.h"
#include "tests/sim/oracle.h"

/* Way of the last packets before an end that only one side has seen. */
#define GRACE_SLACK_MS 500
/* An acknowledgement is with the broker so long after it was due, on a line that holds. */
#define ACK_MS 500
/* The store knows a queue after a second and a commit; turns and commits may be late. */
#define NOTED_MS 1500
/* Mail between shards that a publisher's acknowledgement overtook. */
#define MAIL_MS 1000

static bool lasts(const struct world *world, unsigned client)
{
	return world->profile.durable && world->oracle->sessions[client].expiry_s > 0;
}

/* ---- who counts as connected ---- */

void oracle_present(struct world *world, const struct device *client, bool same_session)
{
	struct oracle_session *session = &world->oracle->sessions[client->index];
	bool in_time = session->grace_ms == 0 || world->now_ms + GRACE_SLACK_MS < session->grace_ms;
	if (!same_session || !in_time || session->present_seq == NEVER)
		session->present_seq = world_next_seq(world);
	session->grace_ms = 0;
	if (client->link->ended_ms != NEVER)
		oracle_absent(world, client->index);
}

void oracle_absent(struct world *world, unsigned client)
{
	struct oracle_session *session = &world->oracle->sessions[client];
	if (session->present_seq != NEVER && session->grace_ms == 0)
		session->gone_ms = world->now_ms;
	session->present_seq = NEVER;
	session->grace_ms = 0;
}

void oracle_custody(struct world *world, struct oracle_message *message)
{
	message->taken_ms = world->now_ms;
	/* What one that fell behind holds is in RAM: who that is, the oracle does not know. */
	if (message->qos == 0 || broker_counted(world, HAPPENED_FELL_BEHIND) > 0)
		return;
	for (unsigned i = 0; i < world->client_count; i++) {
		const struct oracle_session *session = &world->oracle->sessions[i];
		bool in_time =
		    session->grace_ms == 0 || world->now_ms + GRACE_SLACK_MS < session->grace_ms;
		if (session->present_seq < message->sent_seq && in_time && lasts(world, i) &&
		    i != message->publisher)
			message->present |= 1u << i;
	}
}

/* ---- what a death may take ---- */

/* Could this subscription have put it into the session's queue? */
static bool could_queue(const struct oracle_session *session, const struct oracle_sub *sub,
			const struct oracle_message *m)
{
	bool own = sub->no_local && m->publisher == sub->client && !m->will;
	return sub->epoch == session->epoch && sub->qos > 0 && m->qos > 0 && !own &&
	       oracle_matches(sub, m);
}

static bool could_queue_live(const struct oracle_sub *sub, const struct oracle_message *m)
{
	bool late = m->acked_ms != NEVER && sub->sent_ms > m->acked_ms + MAIL_MS;
	return sub->may_end_seq > m->sent_seq && (!late || m->will || sub->group != 0);
}

/* A client that did not read for a while had it so late that the broker had no answer yet. */
static bool read_late(const struct world *world, unsigned client, const struct oracle_got *got)
{
	uint64_t due_ms = got->last_ms + world->clients[client].ack_delay_ms + ACK_MS;
	return got->retained > 0 && due_ms >= world->oracle->sessions[client].gone_ms;
}

/* Retained ones of a SUBSCRIBE wait for a place in the window for a while. */
static bool could_queue_retained(const struct world *world, const struct oracle_sub *sub,
				 const struct oracle_message *m)
{
	const struct device *client = &world->clients[sub->client];
	bool slow = client->receive_maximum > 0 || world->settings.max_inflight_messages < 20;
	uint64_t scan_ms = slow || client->ack_delay_ms > 0 ? 20000 : 2000;
	return m->retain && sub->group == 0 && sub->handling != 2 &&
	       (sub->sent_ms + scan_ms > world->oracle->sessions[sub->client].gone_ms ||
		read_late(world, sub->client, &m->got[sub->client]));
}

/* How many deliveries of it may this session have had in RAM? */
static unsigned queued(const struct world *world, unsigned client, const struct oracle_message *m,
		       bool live)
{
	const struct oracle *oracle = world->oracle;
	const struct oracle_session *session = &oracle->sessions[client];
	unsigned shared = 0, retained = 0;
	bool plain = false;
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		if (sub->client != client || !could_queue(session, sub, m))
			continue;
		retained += could_queue_retained(world, sub, m);
		if (!live || !could_queue_live(sub, m))
			continue;
		shared += sub->group != 0;
		plain = plain || sub->group == 0;
	}
	/* One that was sent again may be there as often. */
	return retained + (shared + plain) * m->sends;
}

/* The broker had its acknowledgement, and the store knew that it need not wait any more. */
static bool surely_acknowledged(const struct world *world, unsigned client,
				const struct oracle_got *got)
{
	uint64_t due_ms = got->last_ms + world->clients[client].ack_delay_ms + ACK_MS;
	return got->live + got->retained > 0 && due_ms < world->oracle->sessions[client].gone_ms &&
	       due_ms + NOTED_MS < world->stop_ms;
}

static void may_lose(struct world *world, unsigned client)
{
	const struct oracle *oracle = world->oracle;
	struct oracle_session *session = &world->oracle->sessions[client];
	for (uint32_t i = 0; i < oracle->message_count; i++) {
		struct oracle_message *m = oracle->messages[i];
		struct oracle_got *got = &m->got[client];
		/* One that was taken away before is not there any more, unless it came again. */
		bool live =
		    got->lost_seq <= m->last_sent_seq && !surely_acknowledged(world, client, got);
		if (m->sends > 0)
			session->may_lose += queued(world, client, m, live);
		got->lost_seq = world->seq + 1;
	}
}

void oracle_custody_death(struct world *world)
{
	struct oracle *oracle = world->oracle;
	if (oracle->death_count == oracle->death_room) {
		oracle->death_room = oracle->death_room * 2 + 16;
		oracle->deaths_ms =
		    realloc(oracle->deaths_ms, oracle->death_room * sizeof(*oracle->deaths_ms));
		must(oracle->deaths_ms != NULL);
	}
	oracle->deaths_ms[oracle->death_count++] = world->stop_ms;
	for (unsigned i = 0; i < world->client_count; i++) {
		struct oracle_session *session = &oracle->sessions[i];
		if (session->present_seq != NEVER && session->grace_ms == 0)
			session->gone_ms = world->stop_ms;
		bool expired =
		    session->grace_ms != 0 && session->grace_ms <= world->stop_ms + GRACE_SLACK_MS;
		if (world->stopping || expired ||
		    !lasts(world, i)) /* a stop tells who was connected: nobody */
			oracle_absent(world, i);
		may_lose(world, i);
		/* What was told just now is told again. */
		if (session->told_ms + NOTED_MS > world->stop_ms)
			session->may_lose += session->told_last;
		memset(session->begun, 0, sizeof(session->begun));
	}
	world_next_seq(world);
}

void oracle_custody_back(struct world *world)
{
	for (unsigned i = 0; i < world->client_count; i++) {
		struct oracle_session *session = &world->oracle->sessions[i];
		if (session->present_seq != NEVER)
			session->grace_ms = world->now_ms + world->settings.restart_grace_ms;
	}
}

void oracle_told_lost(struct world *world, const struct device *client, uint32_t lost)
{
	struct oracle_session *session = &world->oracle->sessions[client->index];
	/* Where the disk refuses, what it knows may be older than a second. */
	bool known = !world->profile.hostile && world->profile.refuse == 0;
	session->told_lost += lost;
	world_trace(world, "client %u: told of %u lost, %llu so far, at most %llu", client->index,
		    lost, (unsigned long long)session->told_lost,
		    (unsigned long long)session->may_lose);
	if (client->connect_seq < world->oracle->restart_seq)
		session->may_lose += lost; /* by one that is dead: it is told again */
	if (lost > 0) {
		world->tally.told_lost++;
		session->told_ms = world->now_ms;
		session->told_last = lost;
	}
	if (session->told_lost > session->may_lose && known)
		world_fault(world, "told-lost",
			    "client %u: %llu deliveries are said to be lost, %llu at most were",
			    client->index, (unsigned long long)session->told_lost,
			    (unsigned long long)session->may_lose);
}

/*
 * A delivery of QoS 2 that had begun is not counted with those in RAM: it has a record, and
 * the first PUBREL for it asks the client whether it has the message.
 */
void oracle_begun(struct world *world, unsigned client, uint16_t packet_id)
{
	world->oracle->sessions[client].begun[packet_id / 8] |= (uint8_t)(1u << packet_id % 8);
}

void oracle_released(struct world *world, unsigned client, uint16_t packet_id, bool had_it)
{
	struct oracle_session *session = &world->oracle->sessions[client];
	uint8_t bit = (uint8_t)(1u << packet_id % 8), *byte = &session->begun[packet_id / 8];
	session->told_by_pubrel += (*byte & bit) != 0 && !had_it;
	*byte &= (uint8_t)~bit;
}

/* The first death of the broker after that. */
static uint64_t death_after(const struct oracle *oracle, uint64_t ms)
{
	for (size_t i = 0; i < oracle->death_count; i++)
		if (oracle->deaths_ms[i] > ms)
			return oracle->deaths_ms[i];
	return NEVER;
}

/* It waited in RAM long enough for the store to know, and never came. */
static bool lost_and_noted(const struct world *world, unsigned client,
			   const struct oracle_message *m)
{
	const struct oracle *oracle = world->oracle;
	const struct oracle_got *got = &m->got[client];
	uint64_t death_ms = death_after(oracle, m->last_sent_ms);
	if (!oracle_acknowledged(m) || got->live + got->retained > 0 || death_ms == NEVER ||
	    death_ms < m->taken_ms + NOTED_MS || m->taken_ms == 0)
		return false;
	for (size_t i = 0; i < oracle->sub_count; i++)
		if (oracle->subs[i]->client == client &&
		    oracle_must_have(world, oracle->subs[i], m))
			return true;
	return false;
}

/* Could it have gone to this client with QoS 2? */
static bool could_be_exact(const struct oracle *oracle, unsigned client,
			   const struct oracle_message *m)
{
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		if (sub->client == client && sub->qos == 2 && oracle_matches(sub, m))
			return m->qos == 2;
	}
	return false;
}

void oracle_check_told(struct world *world)
{
	const struct oracle *oracle = world->oracle;
	/* A disk that refuses does not know, and what is dropped was counted otherwise. */
	if (world->profile.refuse > 0 || world->profile.tight_queues)
		return;
	for (unsigned i = 0; i < world->client_count; i++) {
		const struct oracle_session *session = &oracle->sessions[i];
		uint64_t lost = 0, exact = 0;
		uint32_t last = 0;
		if (world->clients[i].version != MQTT_VERSION_5_0 || session->untold)
			continue;
		for (uint32_t n = 0; n < oracle->message_count; n++) {
			if (!lost_and_noted(world, i, oracle->messages[n]))
				continue;
			lost++;
			exact += could_be_exact(oracle, i, oracle->messages[n]);
			last = n;
		}
		lost -= exact < session->told_by_pubrel ? exact : session->told_by_pubrel;
		if (lost > session->told_lost)
			world_fault(world, "lost-untold",
				    "client %u lost %llu queued deliveries and was told of %llu; "
				    "the last is m%08x, taken at %llu",
				    i, (unsigned long long)lost,
				    (unsigned long long)session->told_lost, last,
				    (unsigned long long)oracle->messages[last]->taken_ms);
	}
}
