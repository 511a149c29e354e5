/*
 * oracle_session.c - Session Present, session expiry, and when wills are due.
 *
 * A session is a pair of times: before end_min a non-clean CONNECT must find it,
 * after end_max it must not, and in between the oracle does not know.
 */
#include "tests/sim/device.h"
#include "tests/sim/link.h"
#include "tests/sim/oracle.h"

/* Times that are kept in seconds, and turns that come late. */
#define EXPIRY_SLACK_MS 1200
/* Wills: 100 ms are promised; the rest is a stalled shard, twice, and the way to the witness. */
#define WILL_SLACK_MS 240
/* Whoever is ended for what the disk refused is at its end by then. */
#define REFUSED_SLACK_MS 240

static uint64_t expiry_ms(uint32_t expiry_s)
{
	return expiry_s == UINT32_MAX ? NEVER / 4 : (uint64_t)expiry_s * 1000;
}

static void end_must(struct world *world, unsigned client)
{
	struct oracle *oracle = world->oracle;
	uint64_t seq = world_next_seq(world);
	for (size_t i = 0; i < oracle->sub_count; i++)
		if (oracle->subs[i]->client == client && oracle->subs[i]->must_end_seq == NEVER)
			oracle->subs[i]->must_end_seq = seq;
}

static void end_may(struct world *world, unsigned client)
{
	struct oracle *oracle = world->oracle;
	uint64_t seq = world_next_seq(world);
	for (size_t i = 0; i < oracle->sub_count; i++)
		if (oracle->subs[i]->client == client && oracle->subs[i]->may_end_seq == NEVER)
			oracle->subs[i]->may_end_seq = seq;
}

/*
 * Was the DISCONNECT on this link surely acted upon?  It may be lost with the line,
 * or overtaken by the client's next connection, or by its end for what the disk refused.
 */
static bool left_for_sure(const struct world *world, unsigned client, const struct link *link)
{
	const struct link *newer = world->clients[client].link;
	bool refused =
	    world->refused_ms > 0 && world->now_ms < world->refused_ms + REFUSED_SLACK_MS;
	return link->unread == 0 && !refused && (newer == NULL || newer == link);
}

/* ---- wills ---- */

static void decide(struct world *world, struct oracle_will *will, enum will_state state)
{
	static const char *const names[] = {"live", "no", "yes", "maybe", "pending"};
	if (will->state == state)
		return;
	will->state = state;
	world_trace(world, "will m%08x of client %u: %s, due %llu to %llu", will->message->number,
		    will->client, names[state], (unsigned long long)will->due_min_ms,
		    (unsigned long long)will->due_max_ms);
}

/* The connection that carried it has ended for the broker. */
static void will_begins(struct world *world, struct oracle_will *will, uint32_t session_expiry_s)
{
	bool clean = will->disconnect_sent && left_for_sure(world, will->client, will->link);
	if (world->stopping || (clean && !will->with_will)) {
		decide(world, will, WILL_NO);
		return;
	}
	uint64_t delay = will->delay_s < session_expiry_s ? will->delay_s : session_expiry_s;
	will->due_min_ms = world->now_ms + delay * 1000;
	will->due_max_ms = will->due_min_ms;
	decide(world, will, will->disconnect_sent && !clean ? WILL_MAYBE : WILL_PENDING);
}

/* The client is back: what happens to a will that waits? */
static void will_meets_connection(struct world *world, struct oracle_will *will,
				  const struct device *client, bool present)
{
	if (will->state == WILL_MAYBE && will->due_min_ms > client->connect_ms)
		will->due_min_ms = client->connect_ms;
	if (will->state != WILL_PENDING)
		return;
	if (will->due_max_ms + WILL_SLACK_MS < client->connect_ms) {
		decide(world, will, WILL_YES);
	} else if (present && will->due_min_ms > world->now_ms) {
		decide(world, will, WILL_NO);
	} else if (!present && client->clean && will->due_min_ms > client->connect_ms) {
		/* The session ended with this CONNECT, and the will with it is due. */
		will->due_min_ms = client->connect_ms;
		will->due_max_ms =
		    will->due_max_ms < world->now_ms ? will->due_max_ms : world->now_ms;
		decide(world, will, WILL_YES);
	} else {
		if (will->due_min_ms > client->connect_ms)
			will->due_min_ms = client->connect_ms;
		decide(world, will, WILL_MAYBE);
	}
}

static void wills_meet_connection(struct world *world, const struct device *client, bool present)
{
	for (struct oracle_will *will = world->oracle->wills; will != NULL; will = will->next)
		if (will->client == client->index && will != client->will)
			will_meets_connection(world, will, client, present);
}

static void check_will(struct world *world, const struct oracle_will *will)
{
	const struct oracle_got *got = &will->message->got[world->oracle->witness];
	if (got->live > 1)
		world_fault(world, "will-twice", "will m%08x came %u times", will->message->number,
			    got->live);
	if (will->state == WILL_NO || will->state == WILL_LIVE) {
		if (got->live > 0)
			world_fault(world, "will-never", "will m%08x of client %u must not come",
				    will->message->number, will->client);
		return;
	}
	if (will->state != WILL_MAYBE && got->live == 0)
		world_fault(world, "will-lost", "will m%08x of client %u never came",
			    will->message->number, will->client);
	if (got->live == 0)
		return;
	if (got->first_ms + WORLD_CLOCK_BEHIND_MS < will->due_min_ms)
		world_fault(world, "will-early", "will m%08x came at %llu, due at %llu",
			    will->message->number, (unsigned long long)got->first_ms,
			    (unsigned long long)will->due_min_ms);
	if (will->state != WILL_MAYBE && got->first_ms > will->due_max_ms + WILL_SLACK_MS)
		world_fault(world, "will-late", "will m%08x came at %llu, due at %llu",
			    will->message->number, (unsigned long long)got->first_ms,
			    (unsigned long long)will->due_max_ms);
}

void oracle_check_wills(struct world *world)
{
	for (struct oracle_will *will = world->oracle->wills; will != NULL; will = will->next) {
		if (will->state == WILL_PENDING && will->due_max_ms + WILL_SLACK_MS > world->now_ms)
			continue;
		check_will(world, will);
	}
}

/* ---- connections ---- */

void oracle_connect(struct world *world, struct device *client)
{
	struct oracle_session *session = &world->oracle->sessions[client->index];
	session->pending = true;
	client->connect_seq = world_next_seq(world);
	client->connect_ms = world->now_ms;
	if (client->clean || session->expiry_s == 0)
		end_must(world, client->index);
	if (client->will != NULL)
		client->will->link = client->link;
}

static void check_present(struct world *world, const struct device *client, bool present)
{
	const struct oracle_session *session = &world->oracle->sessions[client->index];
	if (present && client->clean)
		world_fault(world, "session-present", "client %u: Session Present on Clean Start",
			    client->index);
	else if (present && client->connect_ms > session->end_max_ms)
		world_fault(world, "session-present",
			    "client %u: Session Present, but it ended at %llu", client->index,
			    (unsigned long long)session->end_max_ms);
	else if (!present && !client->clean && world->now_ms < session->end_min_ms)
		world_fault(world, "session-present",
			    "client %u: no Session Present, but it lives until %llu", client->index,
			    (unsigned long long)session->end_min_ms);
}

void oracle_connack(struct world *world, struct device *client, bool present)
{
	struct oracle_session *session = &world->oracle->sessions[client->index];
	check_present(world, client, present);
	wills_meet_connection(world, client, present);
	if (!present) {
		end_must(world, client->index);
		end_may(world, client->index);
		session->epoch++;
		memset(session->begun, 0, sizeof(session->begun));
		session->connections = 0;
	}
	session->connections++;
	client->start_anew = false;
	session->pending = session->asked_end = false;
	session->link = client->link;
	session->expiry_s = client->expiry_s;
	oracle_present(world, client, present);
	session->end_min_ms = client->expiry_s == 0 ? 0 : NEVER;
	session->end_max_ms = NEVER;
	if (client->link->gone_ms != NEVER)
		session->end_min_ms = 0; /* the line had broken behind this CONNACK */
	world_next_seq(world);
}

void oracle_connect_failed(struct world *world, struct device *client)
{
	struct oracle_session *session = &world->oracle->sessions[client->index];
	if (!session->pending)
		return;
	session->pending = false;
	/* One that the broker never saw, or that died with it, has changed nothing. */
	if (client->link->attached && !client->link->died && !client->refused_user)
		oracle_absent(world, client->index);
	session->untold = session->untold || client->link->attached;
	if (client->refused_user) {
		if (client->will != NULL)
			decide(world, client->will, WILL_NO);
		client->will = NULL;
		return;
	}
	/* It may have taken over, changed or ended the session, or nothing of that. */
	if (client->clean || world->now_ms >= session->end_min_ms) {
		end_must(world, client->index);
		client->start_anew = true;
	}
	session->end_min_ms = 0;
	session->end_max_ms = NEVER;
	session->link = NULL;
	for (struct oracle_will *will = world->oracle->wills; will != NULL; will = will->next) {
		if (will->client != client->index)
			continue;
		/* A Clean Start ends the session, and with it the delay, also where it overtakes a
		 * DISCONNECT and is refused. */
		if (will->state == WILL_MAYBE && will->due_min_ms > client->connect_ms)
			will->due_min_ms = client->connect_ms;
		if (will->state == WILL_LIVE || will->state == WILL_PENDING) {
			if (will->due_min_ms > client->connect_ms || will->state == WILL_LIVE)
				will->due_min_ms = client->connect_ms;
			decide(world, will, WILL_MAYBE);
		}
	}
	client->will = NULL;
}

void oracle_disconnect(struct world *world, struct device *client, bool with_will, bool end_session)
{
	struct oracle_session *session = &world->oracle->sessions[client->index];
	if (client->will != NULL) {
		client->will->disconnect_sent = true;
		client->will->with_will = with_will;
	}
	if (end_session) {
		session->asked_end = true;
		session->end_min_ms = 0;
		end_must(world, client->index);
	}
}

void oracle_client_gone(struct world *world, struct device *client)
{
	struct oracle_session *session = &world->oracle->sessions[client->index];
	if (session->expiry_s == 0)
		end_must(world, client->index);
	if (session->link == client->link && !client->link->died)
		oracle_absent(world, client->index);
	session->gap_seq = world_next_seq(world);
}

static void session_waits(struct world *world, struct oracle_session *session,
			  const struct link *link)
{
	if (session->expiry_s == 0) {
		session->end_max_ms = world->now_ms;
		return;
	}
	uint64_t expiry = expiry_ms(session->expiry_s);
	session->end_max_ms = world->now_ms + expiry + EXPIRY_SLACK_MS;
	if (!session->asked_end)
		session->end_min_ms = world->now_ms + expiry - EXPIRY_SLACK_MS;
	else if (left_for_sure(world, (unsigned)(session - world->oracle->sessions), link))
		session->end_max_ms = world->now_ms;
}

void oracle_link_gone(struct world *world, struct link *link)
{
	struct oracle *oracle = world->oracle;
	uint32_t expiry_s = 0;
	for (unsigned i = 0; i < world->client_count; i++) {
		struct oracle_session *session = &oracle->sessions[i];
		if (session->link != link)
			continue;
		expiry_s = session->asked_end ? 0 : session->expiry_s;
		session_waits(world, session, link);
	}
	for (struct oracle_will *will = oracle->wills; will != NULL; will = will->next)
		if (will->link == link && will->state == WILL_LIVE)
			will_begins(world, will, expiry_s);
}

/*
 * The process ended while a will waited.  If the client's next CONNECT was under way, nobody
 * knows whether it was acted upon: a Clean Start publishes the will, another takes it back.
 */
static enum will_state will_meets_end(const struct world *world, struct oracle_will *will)
{
	const struct device *client = &world->clients[will->client];
	bool connecting = world->oracle->sessions[will->client].pending;
	if (connecting && client->clean && will->due_min_ms > client->connect_ms)
		will->due_min_ms = client->connect_ms;
	if (will->due_min_ms > world->stop_ms)
		return WILL_NO;
	bool came = will->due_max_ms + WILL_SLACK_MS < world->stop_ms;
	return came && (!connecting || will->due_max_ms + WILL_SLACK_MS < client->connect_ms)
		   ? WILL_YES
		   : WILL_MAYBE;
}

/* The process ended: wills go with it, and what a later run may know of sessions. */
void oracle_broker_gone(struct world *world)
{
	struct oracle *oracle = world->oracle;
	oracle->restart_seq = world_next_seq(world);
	oracle->restart_ms = world->now_ms;
	oracle_custody_death(world);
	for (struct oracle_will *will = oracle->wills; will != NULL; will = will->next) {
		if (will->state == WILL_LIVE)
			decide(world, will, WILL_NO);
		else if (will->state == WILL_PENDING)
			decide(world, will, will_meets_end(world, will));
		else if (will->state == WILL_YES && /* it may not have reached the witness */
			 will->due_max_ms + WILL_SLACK_MS >= world->stop_ms)
			decide(world, will, WILL_MAYBE);
	}
	for (unsigned i = 0; i < world->client_count; i++) {
		struct oracle_session *session = &oracle->sessions[i];
		bool kept = world->profile.durable && session->expiry_s > 0;
		if (!kept && session->end_max_ms > world->now_ms)
			session->end_max_ms = world->now_ms;
		if (!kept)
			session->end_min_ms = 0;
	}
}

void oracle_broker_back(struct world *world, bool killed)
{
	oracle_custody_back(world);
	for (unsigned i = 0; i < world->client_count; i++) {
		struct oracle_session *session = &world->oracle->sessions[i];
		bool kept = world->profile.durable && session->expiry_s > 0;
		if (!kept)
			continue;
		/* Where the last disconnect was not committed, expiry runs from now. */
		uint64_t latest = world->now_ms + expiry_ms(session->expiry_s) + EXPIRY_SLACK_MS;
		/* A DISCONNECT that came with the stop may have been read, or not. */
		bool with_stop = session->asked_end && session->end_max_ms >= world->stop_ms;
		if (world->profile.refuse > 0 || session->pending || with_stop)
			session->end_max_ms = NEVER;
		else if (killed && session->end_max_ms < latest)
			session->end_max_ms = latest;
	}
}
