/* bench_scenes.c - the topologies idle and retained. */
#include "cli/bench.h"

#include <stdlib.h>

#define TURN_NS	   (10ull * NS_PER_MS)
#define SILENCE_NS (5ull * NS_PER_S)

/* ---- idle: what a connection costs that does nothing ---- */

static void ignore_message(struct bench *b, const struct bench_received *message)
{
	(void)message;
	b->foreign++;
}

static bool subscribe_idle(struct bench *b, struct failure *failure)
{
	char text[BENCH_TOPIC_MAX];
	uint64_t last_ns = bench_now_ns(), seen = 0;

	if (!bench_phase_begin(b, 0, failure))
		return false;
	for (uint32_t i = 0; i < b->link_count; i++)
		bench_client_subscribe_one(b, &b->links[i],
					   slice_of(text, bench_filter(text, b->plan, i)));
	while (b->phase_count < b->link_count && !bench_stopped()) {
		bench_turn(b, TURN_NS);
		if (b->phase_count != seen)
			last_ns = bench_now_ns();
		else if (bench_now_ns() - last_ns > SILENCE_NS)
			return failure_set(failure, "Only %llu of %u connections are subscribed.",
					   (unsigned long long)seen, b->link_count);
		seen = b->phase_count;
	}
	return bench_phase_end(b, PHASE_SUBSCRIBE, b->phase_count, failure) &&
	       bench_phase_weigh(b, PHASE_SUBSCRIBE, failure);
}

static bool run_idle(struct bench *b, struct failure *failure)
{
	bench_make_links(b, b->plan->connections);
	for (uint32_t i = 0; i < b->link_count; i++) {
		b->links[i].role = BENCH_VISITOR;
		b->links[i].number = i;
	}
	if (!bench_connect(b, b->link_count, failure) ||
	    !bench_phase_end(b, PHASE_CONNECT, b->up, failure) ||
	    !bench_phase_weigh(b, PHASE_CONNECT, failure) ||
	    (b->plan->idle_subscribe && !subscribe_idle(b, failure)))
		return false;
	bench_wait(b, (uint64_t)b->plan->duration_ms * NS_PER_MS);
	bench_leave_all(b);
	return true;
}

const struct bench_scene bench_idle_scene = {.run = run_idle, .on_message = ignore_message};

/* ---- retained: many messages, and one subscription that meets them all ---- */

static void count_replayed(struct bench *b, const struct bench_received *r)
{
	if (r->number > b->plan->connections) {
		b->foreign++;
		return;
	}
	if (b->replayed[r->number - 1]++ > 0)
		b->tally.duplicated++;
	else
		b->tally.delivered++;
	b->progress_ns = r->now_ns;
}

static void on_subscribed(struct bench *b, struct bench_link *link)
{
	(void)link;
	b->subscribed++;
}

/*
 * Retained message n + 1 on topic n, of so many bytes; 0 bytes remove it. Acknowledged in any
 * case, for only then it is known when the broker has them.
 */
static bool retain_all(struct bench *b, uint32_t payload_len, struct failure *failure)
{
	struct bench_publisher *p = &b->publishers[0];
	const uint64_t done = b->acknowledged + b->plan->connections;
	uint64_t seen = b->acknowledged, last_ns = bench_now_ns();
	struct mqtt_publish message = {.qos = b->options->qos > 0 ? b->options->qos : 1,
				       .retain = true,
				       .payload = slice_of(b->payload, payload_len)};
	uint32_t n = 0;

	while (b->acknowledged < done) {
		while (n < b->plan->connections && p->window.free > 0) {
			message.topic = bench_text(&b->topics, n++);
			bench_payload_stamp(b, 0, n, 0);
			bench_client_publish(b, p, &message);
		}
		bench_turn(b, TURN_NS);
		if (b->acknowledged != seen)
			last_ns = bench_now_ns();
		else if (bench_now_ns() - last_ns > SILENCE_NS || bench_stopped() ||
			 b->lost_connections > 0)
			return failure_set(failure, "%s",
					   b->why.text[0] != '\0'
					       ? b->why.text
					       : "The broker does not acknowledge any more.");
		seen = b->acknowledged;
	}
	return true;
}

static bool replay(struct bench *b, struct failure *failure)
{
	if (!bench_phase_begin(b, 0, failure))
		return false;
	bench_client_subscribe(b, &b->subscribers[0]);
	b->progress_ns = bench_now_ns();
	while (b->tally.delivered < b->plan->connections && b->lost_connections == 0 &&
	       bench_now_ns() - b->progress_ns < SILENCE_NS && !bench_stopped())
		bench_turn(b, TURN_NS);
	b->lost = b->plan->connections - b->tally.delivered;
	return bench_phase_end(b, PHASE_REPLAY, b->tally.delivered, failure);
}

static bool run_retained(struct bench *b, struct failure *failure)
{
	struct failure ignored;
	bool good;

	bench_make_links(b, 2);
	b->subscribers = need_zeroed(1, sizeof(*b->subscribers));
	b->publishers = need_zeroed(1, sizeof(*b->publishers));
	b->stream_count = 1;
	b->links[0].role = BENCH_SUBSCRIBER;
	b->subscribers[0].link = &b->links[0];
	bench_make_publisher(b, 0, &b->links[1]);
	bench_texts_fill(&b->topics, b->plan, b->plan->connections);
	b->replayed = need_zeroed(b->plan->connections, 1);
	if (!bench_connect(b, 2, failure) || !bench_phase_begin(b, 0, failure))
		return false;
	good = retain_all(b, b->plan->payload_len, failure) &&
	       bench_phase_end(b, PHASE_RETAIN, b->plan->connections, failure) &&
	       bench_phase_weigh(b, PHASE_RETAIN, failure) && replay(b, failure);
	bench_forget_stop();
	bench_client_leave(b, &b->links[0]);
	retain_all(b, 0, &ignored);
	bench_leave_all(b);
	return good;
}

const struct bench_scene bench_retained_scene = {
    .run = run_retained, .on_subscribed = on_subscribed, .on_message = count_replayed};
