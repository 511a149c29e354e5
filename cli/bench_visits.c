/*
 * bench_visits.c - clients that come, do something small and go: `connect`, as often as
 * they can for a time, and `sessions`, each number once to leave a session, once to find it
 * again and once to end it.  A link is a place for a visitor; there are --concurrency of them.
 */
#include "cli/bench.h"

#define TURN_NS	   (10ull * NS_PER_MS)
#define SILENCE_NS (30ull * NS_PER_S)

enum visit {
	VISIT_GREET,  /* connect and disconnect */
	VISIT_LEAVE,  /* subscribe, and leave the session behind */
	VISIT_RESUME, /* the session must be there */
	VISIT_END,    /* end the session */
};

static void finish_visit(struct bench *b, struct bench_link *link)
{
	b->visited++;
	b->progress_ns = bench_now_ns();
	bench_client_leave(b, link);
}

static void on_up(struct bench *b, struct bench_link *link)
{
	char text[BENCH_TOPIC_MAX];

	if (b->measuring)
		histogram_add(b->latency, bench_now_ns() - link->opened_ns);
	if (b->visit == VISIT_LEAVE) {
		bench_client_subscribe_one(
		    b, link, slice_of(text, bench_filter(text, b->plan, link->number)));
		return;
	}
	if (b->visit == VISIT_RESUME && !link->resumed)
		b->lost_sessions++;
	finish_visit(b, link);
}

static void on_subscribed(struct bench *b, struct bench_link *link)
{
	finish_visit(b, link);
}

static void on_message(struct bench *b, const struct bench_received *message)
{
	(void)message;
	b->foreign++;
}

/* Lets visitors in up to number `most`; links are opened between turns only. */
static bool let_in(struct bench *b, uint64_t most, struct failure *failure)
{
	for (uint32_t i = 0; i < b->link_count && b->visitors < most; i++) {
		struct bench_link *link = &b->links[i];

		if (link->state != BENCH_LINK_CLOSED)
			continue;
		link->number = b->visitors++;
		if (!bench_link_open(&b->loop, link, failure))
			return false;
	}
	return true;
}

static bool is_whole(const struct bench *b)
{
	return b->failed + b->lost_connections == 0;
}

/* False when connections fail, or nothing moves any more. */
static bool goes_on(const struct bench *b, struct failure *failure)
{
	if (bench_stopped())
		return failure_set(failure, "Interrupted.");
	if (!is_whole(b))
		return failure_set(failure, "%s", b->why.text);
	if (bench_now_ns() - b->progress_ns > SILENCE_NS)
		return failure_set(failure, "The broker does not answer any more.");
	return true;
}

static void begin_visits(struct bench *b, enum visit visit)
{
	b->visit = (uint8_t)visit;
	b->visitors = 0;
	b->visited = 0;
	b->up = b->failed = 0;
	b->progress_ns = bench_now_ns();
}

/* ---- connect ---- */

/* How many may have come by now: all, or as many as --rate says. */
static uint64_t visitors_due(const struct bench *b, uint64_t elapsed_ns)
{
	return b->plan->rate == 0 ? UINT32_MAX
				  : (uint64_t)((double)elapsed_ns * b->plan->rate / NS_PER_S) + 1;
}

static bool greet(struct bench *b, struct failure *failure)
{
	const uint64_t start_ns = bench_now_ns();
	const uint64_t begin_ns = start_ns + (uint64_t)b->plan->warm_up_ms * NS_PER_MS;
	const uint64_t end_ns = begin_ns + (uint64_t)b->plan->duration_ms * NS_PER_MS;
	uint64_t now_ns = start_ns;

	begin_visits(b, VISIT_GREET);
	while (now_ns < end_ns && !bench_stopped()) {
		if (!b->measuring && now_ns >= begin_ns) {
			if (!bench_phase_begin(b, b->visited, failure))
				return false;
			b->measuring = true;
		}
		if (!let_in(b, visitors_due(b, now_ns - start_ns), failure))
			return false;
		bench_turn(b, b->plan->rate == 0 ? TURN_NS : NS_PER_MS);
		if (!goes_on(b, failure))
			return false;
		now_ns = bench_now_ns();
	}
	return !b->measuring ||
	       bench_phase_end(b, PHASE_VISIT, b->visited - b->phase_count, failure);
}

static bool run_connect(struct bench *b, struct failure *failure)
{
	bench_make_links(b, b->plan->connections);
	for (uint32_t i = 0; i < b->link_count; i++)
		b->links[i].role = BENCH_VISITOR;
	b->latency_of = "connects";
	if (!greet(b, failure) && !bench_stopped())
		return false;
	b->measuring = false;
	bench_leave_all(b);
	return true;
}

/* ---- sessions ---- */

static bool visit_all(struct bench *b, enum visit visit, struct failure *failure)
{
	begin_visits(b, visit);
	while (b->visited < b->plan->connections) {
		if (!let_in(b, b->plan->connections, failure))
			return false;
		bench_turn(b, TURN_NS);
		if (!goes_on(b, failure))
			return false;
	}
	return true;
}

static void end_sessions(struct bench *b)
{
	struct failure ignored;

	bench_forget_stop();
	b->leaving = true;
	visit_all(b, VISIT_END, &ignored);
	b->failed = 0;
}

static bool leave_and_resume(struct bench *b, struct failure *failure)
{
	return bench_phase_begin(b, 0, failure) && visit_all(b, VISIT_LEAVE, failure) &&
	       bench_phase_end(b, PHASE_LEAVE, b->visited, failure) &&
	       bench_phase_weigh(b, PHASE_LEAVE, failure) && bench_phase_begin(b, 0, failure) &&
	       visit_all(b, VISIT_RESUME, failure) &&
	       bench_phase_end(b, PHASE_RESUME, b->visited, failure);
}

static bool run_sessions(struct bench *b, struct failure *failure)
{
	const uint32_t places = b->plan->concurrency < b->plan->connections ? b->plan->concurrency
									    : b->plan->connections;
	bool good;

	bench_make_links(b, places);
	for (uint32_t i = 0; i < places; i++)
		b->links[i].role = BENCH_VISITOR;
	good = leave_and_resume(b, failure);
	bench_leave_all(b);
	end_sessions(b);
	return good;
}

const struct bench_scene bench_connect_scene = {
    .run = run_connect, .on_up = on_up, .on_message = on_message};
const struct bench_scene bench_sessions_scene = {.run = run_sessions,
						 .on_up = on_up,
						 .on_subscribed = on_subscribed,
						 .on_message = on_message,
						 .persistent = true};
