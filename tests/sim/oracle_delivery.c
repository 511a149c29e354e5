/* oracle_delivery.c - may this client get this message, now, like this? */
#include "tests/sim/device.h"
#include "tests/sim/link.h"
#include "tests/sim/oracle.h"

/* Mail that is under way after its publisher had its acknowledgement: stalls of two shards. */
#define MAIL_SLACK_MS 1000

struct view {
	struct world *world;
	struct device *client;
	const struct mqtt_publish *publish;
	struct oracle_message *message;
	bool retained; /* it may be a retained one, brought by a SUBSCRIBE */
	uint32_t identifiers[16];
	size_t identifier_count;
};

static void fault(const struct view *view, const char *check, const char *what)
{
	const struct oracle_message *m = view->message;
	world_fault(view->world, check, "client %u got m%08x (%s, QoS %u of %u): %s",
		    view->client->index, m->number, m->topic, view->publish->qos, m->qos, what);
}

/* The message that a payload names; NULL when it names none. */
static struct oracle_message *find_message(struct oracle *oracle, struct slice payload)
{
	if (payload.len < 9 || payload.at[0] != 'm')
		return NULL;
	uint32_t number = 0;
	for (size_t i = 1; i < 9; i++) {
		uint8_t c = payload.at[i];
		bool digit = c >= '0' && c <= '9';
		if (!digit && (c < 'a' || c > 'f'))
			return NULL;
		number = number * 16 + (uint32_t)(digit ? c - '0' : c - 'a' + 10);
	}
	return number < oracle->message_count ? oracle->messages[number] : NULL;
}

/* What it asked for itself, or what was still to come when it took another one's place. */
static bool brings_retained(const struct oracle_sub *sub)
{
	while (sub && (sub->refused || sub->handling == 2))
		sub = sub->replaces;
	return sub != NULL && sub->group == 0;
}

/* Could this subscription have been the cause, or one of several? */
static bool could_cause(const struct view *view, const struct oracle_sub *sub)
{
	const struct oracle_message *m = view->message;
	if (sub->client != view->client->index || !oracle_matches(sub, m))
		return false;
	if (sub->epoch != view->world->oracle->sessions[sub->client].epoch)
		return false;
	if (view->retained && brings_retained(sub))
		return true; /* retained ones come however old they are */
	if (sub->no_local && m->publisher == sub->client && !m->will)
		return false;
	if (sub->may_end_seq < m->sent_seq)
		return false;
	if (sub->group != 0)
		return true; /* it may have waited in the queue of a group that others had made */
	return m->acked_ms == NEVER || sub->sent_ms <= m->acked_ms + MAIL_SLACK_MS;
}

/* After a death what a subscription asked for that has gone since, or that the disk has refused, is
 * not known: delivery.md. */
static bool asks_no_more(const struct view *view, const struct oracle_sub *sub)
{
	return view->world->oracle->death_count > 0 && (sub->unsubscribed || sub->refused) &&
	       view->publish->dup && !view->publish->retain;
}

/* One copy stands for all subscriptions that match; one with the right RETAIN is enough. */
static bool retain_fits(const struct view *view, const struct oracle_sub *sub)
{
	bool published = view->message->retain && sub->rap;
	return view->publish->retain == published || asks_no_more(view, sub) ||
	       (view->retained && brings_retained(sub));
}

/* Was it in force, without doubt, from before the publish until now? */
static bool surely_in_force(const struct view *view, const struct oracle_sub *sub)
{
	return sub->acked_seq < view->message->sent_seq && sub->must_end_seq == NEVER &&
	       sub->replaced_seq == NEVER &&
	       !(sub->no_local && view->message->publisher == sub->client);
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

static void check_subscriptions(const struct view *view)
{
	const struct oracle *oracle = view->world->oracle;
	bool any = false, qos_fits = false, retain = false;
	uint8_t sure_qos = 0;
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		if (!could_cause(view, sub))
			continue;
		any = true;
		retain = retain || retain_fits(view, sub);
		uint8_t qos = smaller(view->message->qos, sub->qos);
		qos_fits = qos_fits || qos == view->publish->qos;
		if (!view->retained && sub->group == 0 && surely_in_force(view, sub) &&
		    qos > sure_qos)
			sure_qos = qos;
	}
	if (!any)
		fault(view, "not-subscribed", "no subscription of it could be the cause");
	else if (!retain)
		fault(view, "retain", "RETAIN is not as its subscriptions want it");
	else if (!qos_fits)
		fault(view, "qos", "no subscription grants this QoS");
	else if (view->publish->qos < sure_qos)
		fault(view, "qos", "another subscription grants a higher QoS");
}

static bool has_identifier(const struct view *view, uint32_t identifier)
{
	for (size_t i = 0; i < view->identifier_count; i++)
		if (view->identifiers[i] == identifier)
			return true;
	return false;
}

static void check_identifiers(struct view *view)
{
	const struct oracle *oracle = view->world->oracle;
	struct slice raw = view->publish->properties.raw;
	uint32_t identifier;
	while (view->identifier_count < 16 && mqtt_next_subscription_identifier(&raw, &identifier))
		view->identifiers[view->identifier_count++] = identifier;
	for (size_t n = 0; n < view->identifier_count; n++) {
		bool known = false;
		for (size_t i = 0; i < oracle->sub_count && !known; i++)
			known = oracle->subs[i]->identifier == view->identifiers[n] &&
				could_cause(view, oracle->subs[i]);
		if (!known)
			fault(view, "identifier", "a subscription identifier that does not belong");
	}
	if (view->retained || view->client->version != MQTT_VERSION_5_0)
		return;
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		if (sub->identifier != 0 && sub->group == 0 && could_cause(view, sub) &&
		    surely_in_force(view, sub) && !has_identifier(view, sub->identifier))
			fault(view, "identifier", "a subscription identifier is missing");
	}
}

static void check_content(const struct view *view, struct slice topic)
{
	const struct oracle_message *m = view->message;
	uint8_t expected[ORACLE_PAYLOAD_MAX], props[1024];
	if (!slice_equal(topic, slice_text(m->topic)))
		fault(view, "content", "another topic");
	must(m->payload_len <= sizeof(expected));
	oracle_payload(m->number, m->payload_len, expected);
	if (!slice_equal(view->publish->payload, slice_of(expected, m->payload_len)))
		fault(view, "content", "another payload");
	if (view->client->version != MQTT_VERSION_5_0)
		return;
	must(view->publish->properties.raw.len <= sizeof(props));
	size_t len = mqtt_forward_properties(view->publish->properties.raw, props);
	if (!slice_equal(slice_of(props, len), slice_of(m->props, m->props_len)))
		fault(view, "properties", "properties are not those that were published");
}

/* The largest remaining expiry that the broker may say, knowing what it waited at least. */
static uint64_t expiry_ceiling(const struct view *view)
{
	const struct oracle_message *m = view->message;
	if (m->will || m->acked_ms == NEVER || m->acked_ms >= view->client->connect_ms)
		return m->expiry_s;
	uint64_t waited_s = (view->client->connect_ms - m->acked_ms) / 1000;
	/* One that had begun before it expired goes on, with as little as can be said. */
	return m->expiry_s > waited_s ? m->expiry_s - waited_s + 1 : 1;
}

static void check_remaining(const struct view *view)
{
	const struct oracle_message *m = view->message;
	const struct mqtt_properties *p = &view->publish->properties;
	bool has = mqtt_has(p, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL);
	if (has != (m->expiry_s != 0)) {
		fault(view, "expiry", "message expiry came from nowhere, or is gone");
		return;
	}
	if (!has)
		return;
	uint64_t age_s = m->will ? m->expiry_s : (view->world->now_ms - m->sent_ms) / 1000 + 1;
	if (p->message_expiry_s > m->expiry_s || p->message_expiry_s + age_s < m->expiry_s)
		fault(view, "expiry", "wrong remaining message expiry");
	else if (p->message_expiry_s > expiry_ceiling(view))
		fault(view, "expiry", "message expiry was not counted down");
}

static void check_expiry(const struct view *view)
{
	const struct oracle_message *m = view->message;
	if (view->client->version == MQTT_VERSION_5_0)
		check_remaining(view);
	if (m->expiry_s == 0 || m->will || view->publish->dup || m->acked_ms == NEVER)
		return;
	if (view->client->connect_ms > m->acked_ms + (uint64_t)m->expiry_s * 1000 + 1000)
		fault(view, "expired", "it had expired before this connection began");
}

/* SUBSCRIBEs of this client that may each bring the retained message again. */
static unsigned retained_allowance(const struct view *view)
{
	const struct oracle *oracle = view->world->oracle;
	unsigned count = 0;
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		if (sub->client == view->client->index && !sub->refused && sub->handling != 2 &&
		    sub->group == 0 && oracle_matches(sub, view->message))
			count++;
	}
	return view->message->retain ? count : 0;
}

/* One for all plain subscriptions, one for each shared group. */
static unsigned live_allowance(const struct view *view)
{
	const struct oracle *oracle = view->world->oracle;
	unsigned plain = 0, shared = 0;
	uint32_t groups = 0;
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		if (sub->client != view->client->index || !oracle_matches(sub, view->message))
			continue;
		if (sub->group == 0)
			plain = 1;
		else if ((groups >> sub->group & 1) == 0)
			shared++;
		groups |= sub->group == 0 ? 0 : 1u << sub->group;
	}
	return plain + shared;
}

/*
 * Twice only for a reason: a DUP after a broken connection, a publisher that had
 * to send again (QoS 1, or any after the broker forgot), or a retained message
 * that was asked for again.
 */
static void check_count(struct view *view)
{
	const struct oracle_message *m = view->message;
	const struct oracle_got *got = &m->got[view->client->index];
	const struct oracle *oracle = view->world->oracle;
	unsigned again = m->sends > 0 ? m->sends - 1 : 0;
	unsigned once = live_allowance(view) + retained_allowance(view);
	bool restarted = oracle->restart_seq > m->sent_seq;
	if (m->qos == 2 && !restarted)
		again = 0;
	unsigned allowed = once + again + got->again;
	if (view->client->sharer)
		return; /* counted by group, at the end */
	if (m->qos == 2 && oracle_records(view->world) && got->exact[0] > once)
		fault(view, "twice", "it was taken more than once with QoS 2");
	if ((unsigned)(got->live + got->retained) > allowed)
		fault(view, "twice", "it came more often than there is a reason for");
}

/* Is this message, sent again after a death of the broker, new to the session? */
static bool is_late(const struct view *view)
{
	const struct oracle *oracle = view->world->oracle;
	const struct oracle_message *m = view->message;
	if (m->sends == 1 || oracle->restart_seq < m->sent_seq || !oracle_records(view->world))
		return false;
	/* With QoS 1 those behind it come again as well. */
	bool covered = false;
	for (size_t i = 0; i < oracle->sub_count; i++)
		covered = covered || (could_cause(view, oracle->subs[i]) &&
				      oracle->subs[i]->acked_seq < m->sent_seq);
	return view->publish->qos < 2 || !covered;
}

/*
 * A retained message and a will are behind all of their publisher; but with QoS 0 no window holds
 * them back, and of its own messages of QoS 2 a client is told first that they came.
 */
static bool goes_behind(const struct view *view, const struct oracle_message *later)
{
	return (later->will || later->retain) && later->got[view->client->index].qos > 0 &&
	       view->message->publisher != view->client->index;
}

/* Did this session have the later one of the two, where both have their order? */
static bool had_before(const struct view *view, const struct oracle_message *later)
{
	const struct oracle_message *m = view->message;
	const struct oracle_got *got = &later->got[view->client->index];
	return got->plain > 0 &&
	       got->epoch == view->world->oracle->sessions[view->client->index].epoch &&
	       ((later->qos == m->qos && got->qos == view->publish->qos) ||
		goes_behind(view, later)) &&
	       strcmp(later->topic, m->topic) == 0;
}

/* A will is the last that its connection publishes, though it came with CONNECT. */
static void check_before_will(const struct view *view)
{
	const struct oracle_message *m = view->message;
	if (m->sends > 1 || m->publisher == ORACLE_BROKER)
		return;
	for (const struct oracle_will *will = view->world->oracle->wills; will != NULL;
	     will = will->next)
		if (will->link == m->link && had_before(view, will->message)) {
			fault(view, "order", "the will of its connection came first");
			return;
		}
}

/*
 * One of QoS 1 that had to be sent again counts as a new one; so does one of QoS 2 that was
 * refused, by the disk or for want of room, when the client never got the refusal.
 */
static bool counts_as_new(const struct view *view)
{
	const struct oracle_message *m = view->message;
	const struct profile *profile = &view->world->profile;
	return m->sends > 1 &&
	       (m->qos == 1 || profile->refuse > 0 || (m->retain && profile->tight_queues));
}

/* Per publisher, topic and QoS, first arrivals come in the order of sending; a retained one after
 * all. */
static void check_order(const struct view *view)
{
	const struct oracle *oracle = view->world->oracle;
	const struct oracle_message *m = view->message;
	unsigned slot = m->publisher == ORACLE_BROKER ? WORLD_CLIENTS_MAX : m->publisher;
	if (view->publish->retain || view->client->sharer || m->will || counts_as_new(view) ||
	    is_late(view))
		return;
	check_before_will(view);
	/* So does one of QoS 2 that was sent again to a broker which forgot the exchange. */
	uint64_t sent_seq = oracle->restart_seq > m->sent_seq ? m->last_sent_seq : m->sent_seq;
	for (const struct oracle_message *later = oracle->latest[slot]; later != m;
	     later = later->previous) {
		if (!later->will && later->sent_seq > sent_seq && had_before(view, later)) {
			fault(view, "order", "a later message of its publisher came first");
			return;
		}
	}
}

/* A DUP of one that came before through the same group is no other one. */
static void count_groups(const struct view *view, struct oracle_got *got)
{
	for (size_t i = 0; i < view->identifier_count; i++) {
		if (view->identifiers[i] < ORACLE_GROUP_IDENTIFIER)
			continue;
		uint8_t *count = &got->by_group[view->identifiers[i] - ORACLE_GROUP_IDENTIFIER];
		if (!view->publish->dup || *count == 0)
			++*count;
	}
}

/* Those of QoS 2 that this session, which remembers its exchanges, has taken. */
static void count_exact(const struct view *view, struct oracle_got *got)
{
	uint32_t epoch = view->world->oracle->sessions[view->client->index].epoch;
	if (view->publish->qos < 2)
		return;
	if (got->exact_epoch != epoch)
		memset(got->exact, 0, sizeof(got->exact));
	got->exact_epoch = epoch;
	got->exact[0]++;
	for (size_t i = 0; i < view->identifier_count; i++)
		if (view->identifiers[i] >= ORACLE_GROUP_IDENTIFIER)
			got->exact[view->identifiers[i] - ORACLE_GROUP_IDENTIFIER]++;
}

static void count_it(struct view *view, bool first)
{
	struct world *world = view->world;
	struct oracle_got *got = &view->message->got[view->client->index];
	world->oracle->delivered++;
	got->last_ms = world->now_ms;
	count_exact(view, got);
	if (view->publish->dup && !first)
		got->again++;
	count_groups(view, got);
	if (view->retained) {
		got->retained++;
		return;
	}
	if (got->live++ == 0)
		got->first_ms = world->now_ms;
	if (view->publish->retain || got->plain++ > 0)
		return;
	got->qos = view->publish->qos;
	got->epoch = world->oracle->sessions[view->client->index].epoch;
}

/* With RETAIN as published a live message looks like a retained one: then it may be either. */
static bool could_be_retained(const struct view *view)
{
	const struct oracle *oracle = view->world->oracle;
	bool rap = false;
	for (size_t i = 0; i < oracle->sub_count; i++) {
		const struct oracle_sub *sub = oracle->subs[i];
		if (sub->client != view->client->index || !oracle_matches(sub, view->message))
			continue;
		rap = rap || sub->rap;
		if (sub->handling != 2 && sub->group == 0)
			return true;
	}
	return !rap;
}

/* A changed bit may be in the topic or in the payload, not in both. */
static bool from_hostile(const struct mqtt_publish *publish, struct slice topic)
{
	struct slice tail = SLICE_LITERAL("ostile");
	return topic.at[0] == 'x' ||
	       (publish->payload.len >= tail.len &&
		slice_equal(slice_after(publish->payload, publish->payload.len - tail.len), tail));
}

void oracle_delivery(struct world *world, struct device *client, const struct mqtt_publish *publish,
		     struct slice topic)
{
	struct view view = {.world = world, .client = client, .publish = publish};
	if (publish->payload.len == 0)
		return; /* clears a retained message, and bears no name */
	if (from_hostile(publish, topic))
		return;
	view.message = find_message(world->oracle, publish->payload);
	if (view.message == NULL || (view.message->sends == 0 && !view.message->will)) {
		world_fault(world, "invented", "client %u got a message that nobody published",
			    client->index);
		return;
	}
	const struct oracle_got *got = &view.message->got[client->index];
	bool first = got->live + got->retained == 0;
	view.retained = publish->retain && view.message->retain && could_be_retained(&view);
	check_content(&view, topic);
	check_subscriptions(&view);
	check_identifiers(&view);
	check_expiry(&view);
	if (got->plain == 0)
		check_order(&view);
	count_it(&view, first);
	check_count(&view);
}

void oracle_delivery_again(struct world *world, const struct device *client,
			   const struct mqtt_publish *publish)
{
	struct oracle_message *message = find_message(world->oracle, publish->payload);
	if (message)
		message->got[client->index].last_ms = world->now_ms;
}
