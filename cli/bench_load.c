/*
 * bench_load.c - publishing to subscribers: as fast as windows allow, or on a schedule;
 * and the accounts of every receiver with every publisher.
 *
 * On a schedule the time of a message is the one at which it was due, not the one at
 * which the broker was ready for it: a broker that stalls is not forgiven.
 */
#include "cli/bench.h"

#include <stdlib.h>

#define BURST_BYTES  (32u << 10) /* that a publisher writes in one turn, at most */
#define BACKLOG_MAX  (1u << 20)	 /* unsent bytes of a publisher with a schedule */
#define TURN_NS	     (10ull * NS_PER_MS)
#define FORGIVE_NS   (1ull * NS_PER_S)
#define SILENCE_NS   (3ull * NS_PER_S)
#define DRAIN_MAX_NS (30ull * NS_PER_S)

/* Which publishers are heard by one receiver only, the one of the same number. */
static bool is_pair(const struct bench *b)
{
	return b->plan->topology == BENCH_PAIR;
}

static struct bench_track *track_of(const struct bench *b, uint32_t receiver, uint32_t publisher)
{
	return &b->tracks[is_pair(b) ? publisher
				     : (size_t)receiver * b->plan->publishers + publisher];
}

/* ---- publishing ---- */

/* xorshift64: which of many topics is next. */
static uint64_t next_chance(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void bench_payload_stamp(struct bench *b, uint32_t publisher, uint64_t number, uint64_t now_ns)
{
	memcpy(b->payload, &now_ns, 8);
	memcpy(b->payload + 8, &number, 8);
	memcpy(b->payload + 16, &b->run, 4);
	memcpy(b->payload + 20, &publisher, 4);
}

static void publish(struct bench *b, struct bench_publisher *p, uint64_t stamp_ns)
{
	static struct mqtt_publish message; /* no properties: not cleared for each message */
	const uint32_t topic = b->plan->topology == BENCH_WILDCARD
				   ? (uint32_t)(next_chance(&p->chance) % b->plan->filters)
				   : p->link->number % b->topics.count;
	const uint32_t stream = topic % b->stream_count;

	bench_payload_stamp(b, p->link->number, ++p->numbers[stream], stamp_ns);
	message.qos = b->options->qos;
	message.topic = bench_text(&b->topics, topic);
	message.payload = slice_of(b->payload, b->plan->payload_len);
	must(bench_client_publish(b, p, &message));
	p->outstanding += b->fan;
}

static bool may_publish(const struct bench *b, const struct bench_publisher *p)
{
	return b->options->qos == 0 || p->window.free > 0;
}

/* Every publisher whose window is open sends a burst. */
static void publish_windows(struct bench *b, uint64_t now_ns)
{
	const uint64_t most = (uint64_t)b->plan->window * b->fan;

	for (uint32_t i = 0; i < b->plan->publishers; i++) {
		struct bench_publisher *p = &b->publishers[i];

		if (p->link->waits_for_room)
			continue;
		while (p->outstanding + b->fan <= most && may_publish(b, p) &&
		       bench_link_unsent(p->link) < BURST_BYTES)
			publish(b, p, now_ns);
	}
}

/* When messages went missing and the windows are shut, nothing would move again. */
static void forgive(struct bench *b, uint64_t now_ns)
{
	if (now_ns - b->progress_ns < FORGIVE_NS)
		return;
	for (uint32_t i = 0; i < b->plan->publishers; i++)
		b->publishers[i].outstanding = 0;
	b->progress_ns = now_ns;
	b->stalls++;
}

static uint64_t due_ns(const struct bench *b, uint64_t message)
{
	return b->schedule_ns + (uint64_t)((double)message * NS_PER_S / b->plan->rate);
}

/* All that is due by now, the publishers taking turns; returns how long until the next one. */
static uint64_t publish_schedule(struct bench *b, uint64_t now_ns)
{
	uint32_t blocked = 0;

	while (blocked < b->plan->publishers && due_ns(b, b->scheduled) <= now_ns) {
		struct bench_publisher *p = &b->publishers[b->next_publisher];

		b->next_publisher = (b->next_publisher + 1) % b->plan->publishers;
		if (!may_publish(b, p) || bench_link_unsent(p->link) > BACKLOG_MAX) {
			blocked++;
			continue;
		}
		blocked = 0;
		publish(b, p, due_ns(b, b->scheduled++));
	}
	if (blocked == b->plan->publishers)
		return TURN_NS; /* an acknowledgement, or room, ends the wait */
	now_ns = bench_now_ns();
	return due_ns(b, b->scheduled) > now_ns ? due_ns(b, b->scheduled) - now_ns : 0;
}

static uint64_t publish_some(struct bench *b, uint64_t now_ns)
{
	uint64_t wait_ns;

	if (b->plan->rate == 0) {
		publish_windows(b, now_ns);
		forgive(b, now_ns);
		return TURN_NS;
	}
	wait_ns = publish_schedule(b, now_ns);
	return wait_ns < TURN_NS ? wait_ns : TURN_NS;
}

/* ---- receiving ---- */

static void on_message(struct bench *b, const struct bench_received *r)
{
	struct bench_publisher *p = &b->publishers[r->publisher];
	const uint64_t before = b->tally.delivered;
	uint64_t settled;

	if (is_pair(b) && r->link->number != r->publisher) {
		b->foreign++;
		return;
	}
	settled =
	    bench_track_take(track_of(b, r->link->number, r->publisher), &b->tally, r->number);
	p->outstanding -= settled < p->outstanding ? settled : p->outstanding;
	b->progress_ns = r->now_ns;
	if (b->measuring && b->tally.delivered > before)
		histogram_add(b->latency, r->now_ns - r->sent_ns);
}

static void on_subscribed(struct bench *b, struct bench_link *link)
{
	struct bench_subscriber *s = &b->subscribers[link->number];

	if (b->plan->topology == BENCH_WILDCARD && s->next_filter < b->plan->filters)
		bench_client_subscribe(b, s);
	else
		b->subscribed++;
}

/* ---- the run ---- */

static void make_clients(struct bench *b)
{
	const struct bench_options *plan = b->plan;
	const bool wild = plan->topology == BENCH_WILDCARD;

	bench_make_links(b, plan->subscribers + plan->publishers);
	b->stream_count = wild ? plan->subscribers : 1;
	b->fan = plan->topology == BENCH_FAN_OUT || plan->topology == BENCH_FAN_IN
		     ? plan->subscribers
		     : 1;
	b->subscribers = need_zeroed(plan->subscribers, sizeof(*b->subscribers));
	b->publishers = need_zeroed(plan->publishers, sizeof(*b->publishers));
	b->tracks = need_zeroed(is_pair(b) ? plan->publishers
					   : (size_t)plan->publishers * plan->subscribers,
				sizeof(*b->tracks));
	for (uint32_t i = 0; i < plan->subscribers; i++) {
		b->links[i].role = BENCH_SUBSCRIBER;
		b->links[i].number = i;
		b->subscribers[i] = (struct bench_subscriber){&b->links[i], i};
	}
	for (uint32_t i = 0; i < plan->publishers; i++)
		bench_make_publisher(b, i, &b->links[plan->subscribers + i]);
	bench_texts_fill(&b->topics, plan, wild ? plan->filters : plan->publishers);
}

static bool is_whole(const struct bench *b)
{
	return b->failed + b->lost_connections == 0;
}

/* Warm-up, then the part that is measured. */
static bool load(struct bench *b, struct failure *failure)
{
	const uint64_t begin_ns = bench_now_ns() + (uint64_t)b->plan->warm_up_ms * NS_PER_MS;
	const uint64_t end_ns = begin_ns + (uint64_t)b->plan->duration_ms * NS_PER_MS;
	uint64_t now_ns = bench_now_ns();

	b->schedule_ns = b->progress_ns = now_ns;
	while (now_ns < end_ns && is_whole(b) && !bench_stopped()) {
		if (!b->measuring && now_ns >= begin_ns) {
			if (!bench_phase_begin(b, b->tally.delivered, failure))
				return false;
			b->measuring = true;
		}
		bench_turn(b, publish_some(b, now_ns));
		now_ns = bench_now_ns();
	}
	if (b->measuring &&
	    !bench_phase_end(b, PHASE_MESSAGES, b->tally.delivered - b->phase_count, failure))
		return false;
	b->measuring = false;
	return true;
}

static bool all_arrived(const struct bench *b)
{
	return b->tally.delivered >= b->published * b->fan &&
	       (b->options->qos == 0 || b->acknowledged >= b->published);
}

/* What is still on its way may arrive, as long as anything does. */
static void drain(struct bench *b)
{
	const uint64_t begin_ns = bench_now_ns();
	uint64_t now_ns = begin_ns;

	bench_forget_stop(); /* an end that was asked for loses nothing */
	b->progress_ns = now_ns;
	while (!all_arrived(b) && is_whole(b) && !bench_stopped() &&
	       now_ns - b->progress_ns < SILENCE_NS && now_ns - begin_ns < DRAIN_MAX_NS) {
		bench_turn(b, TURN_NS);
		now_ns = bench_now_ns();
	}
}

static void count_lost(struct bench *b)
{
	for (uint32_t s = 0; s < b->plan->subscribers; s++) {
		for (uint32_t p = is_pair(b) ? s : 0;
		     p < (is_pair(b) ? s + 1 : b->plan->publishers); p++)
			b->lost += bench_track_lost(track_of(b, s, p),
						    b->publishers[p].numbers[s % b->stream_count]);
	}
}

/* Nothing of ours stays at the broker: sessions end as they began, by a CONNECT. */
static void end_sessions(struct bench *b)
{
	struct failure ignored;

	if (bench_connect(b, b->plan->subscribers, &ignored))
		bench_leave_all(b);
	b->failed = 0;
}

static bool run(struct bench *b, struct failure *failure)
{
	const uint64_t filters =
	    b->plan->topology == BENCH_WILDCARD ? b->plan->filters : b->plan->subscribers;

	make_clients(b);
	if (!bench_connect(b, b->link_count, failure) ||
	    !bench_phase_end(b, PHASE_CONNECT, b->up, failure) ||
	    !bench_subscribe_all(b, filters, failure) ||
	    !bench_phase_weigh(b, PHASE_SUBSCRIBE, failure) || !load(b, failure))
		return false;
	drain(b);
	count_lost(b);
	b->latency_of = "messages";
	bench_leave_all(b);
	if (b->plan->persistent)
		end_sessions(b);
	return true;
}

const struct bench_scene bench_load_scene = {
    .run = run, .on_subscribed = on_subscribed, .on_message = on_message};
