/* bench_phase.c - connecting, subscribing and waiting, and what each phase cost. */
#include "cli/bench.h"

#include <time.h>

#define SILENCE_MAX_NS (30ull * NS_PER_S) /* without any progress, it is not coming any more */
#define TURN_NS	       (100ull * NS_PER_MS)
#define SETTLE_NS      (500ull * NS_PER_MS)

static uint64_t own_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

static bool look_at_broker(const struct bench *b, struct process_usage *usage,
			   struct failure *failure)
{
	*usage = (struct process_usage){0};
	return b->plan->pid == 0 || process_usage_read(b->plan->pid, usage, failure);
}

bool bench_phase_begin(struct bench *b, uint64_t count, struct failure *failure)
{
	if (!look_at_broker(b, &b->usage, failure))
		return false;
	b->phase_count = count;
	b->phase_cpu_ns = own_cpu_ns();
	b->phase_ns = bench_now_ns();
	return true;
}

bool bench_phase_end(struct bench *b, enum bench_phase_name name, uint64_t count,
		     struct failure *failure)
{
	struct process_usage usage;
	const uint64_t ns = bench_now_ns() - b->phase_ns;
	const uint64_t cpu_ns = own_cpu_ns() - b->phase_cpu_ns;

	if (!look_at_broker(b, &usage, failure))
		return false;
	b->phases[name] = (struct bench_phase){
	    .done = true,
	    .count = count,
	    .ns = ns,
	    .own_cpu_ns = cpu_ns,
	    .broker_cpu_ns = usage.cpu_ns - b->usage.cpu_ns,
	    .broker_memory = (int64_t)usage.memory_bytes - (int64_t)b->usage.memory_bytes,
	};
	b->memory_bytes = usage.memory_bytes;
	return true;
}

bool bench_phase_weigh(struct bench *b, enum bench_phase_name name, struct failure *failure)
{
	struct process_usage usage;

	bench_wait(b, SETTLE_NS);
	if (!look_at_broker(b, &usage, failure))
		return false;
	b->phases[name].broker_memory =
	    (int64_t)usage.memory_bytes - (int64_t)b->usage.memory_bytes;
	b->memory_bytes = usage.memory_bytes;
	return true;
}

/* Whoever sent nothing for half a keep alive says that it is there. [MQTT-3.1.2-20] */
static void keep_alive(struct bench *b, uint64_t now_ns)
{
	const uint64_t half_ns = (uint64_t)b->options->keep_alive_s * NS_PER_S / 2;

	for (uint32_t i = 0; i < b->link_count; i++) {
		struct bench_link *link = &b->links[i];

		if (bench_link_is_up(link) && now_ns - link->sent_ns >= half_ns)
			bench_client_keep_alive(b, link);
	}
}

void bench_turn(struct bench *b, uint64_t wait_ns)
{
	const uint64_t now_ns = bench_now_ns();

	if (now_ns >= b->report_ns) {
		keep_alive(b, now_ns);
		bench_report_progress(b, now_ns);
		b->report_ns = now_ns + NS_PER_S;
	}
	bench_loop_turn(&b->loop, wait_ns);
}

void bench_wait(struct bench *b, uint64_t duration_ns)
{
	const uint64_t end_ns = bench_now_ns() + duration_ns;

	for (uint64_t now_ns = bench_now_ns(); now_ns < end_ns && !bench_stopped();
	     now_ns = bench_now_ns())
		bench_turn(b, end_ns - now_ns < TURN_NS ? end_ns - now_ns : TURN_NS);
}

static bool say_why(const struct bench *b, uint32_t reached, const char *what,
		    struct failure *failure)
{
	if (bench_stopped())
		return failure_set(failure, "Interrupted while %s.", what);
	return failure_set(failure, "%s Only %u of %u clients are %s.",
			   b->why.text[0] != '\0' ? b->why.text
						  : "The broker does not answer any more.",
			   reached, b->link_count, what);
}

bool bench_connect(struct bench *b, uint32_t count, struct failure *failure)
{
	uint64_t last_ns = bench_now_ns();
	uint32_t begun = 0, seen = 0;

	b->up = b->failed = 0;
	if (!bench_phase_begin(b, 0, failure))
		return false;
	while (b->up < count && b->failed == 0 && !bench_stopped()) {
		while (begun < count && begun - b->up < b->plan->concurrency) {
			if (!bench_link_open(&b->loop, &b->links[begun++], failure))
				return false;
		}
		bench_turn(b, TURN_NS);
		if (b->up != seen)
			last_ns = bench_now_ns();
		else if (bench_now_ns() - last_ns > SILENCE_MAX_NS)
			break;
		seen = b->up;
	}
	return b->up == count || say_why(b, b->up, "connected", failure);
}

bool bench_subscribe_all(struct bench *b, uint64_t filters, struct failure *failure)
{
	uint64_t last_ns = bench_now_ns(), seen = 0;

	if (!bench_phase_begin(b, 0, failure))
		return false;
	for (uint32_t i = 0; i < b->plan->subscribers; i++)
		bench_client_subscribe(b, &b->subscribers[i]);
	while (b->subscribed < b->plan->subscribers && b->failed + b->lost_connections == 0 &&
	       !bench_stopped()) {
		bench_turn(b, TURN_NS);
		if (b->phase_count != seen)
			last_ns = bench_now_ns();
		else if (bench_now_ns() - last_ns > SILENCE_MAX_NS)
			break;
		seen = b->phase_count;
	}
	if (b->subscribed < b->plan->subscribers)
		return say_why(b, b->subscribed, "subscribed", failure);
	if (b->refused > 0)
		return failure_set(failure, "The broker refused %llu of %llu subscriptions.",
				   (unsigned long long)b->refused, (unsigned long long)filters);
	return bench_phase_end(b, PHASE_SUBSCRIBE, filters, failure);
}

void bench_leave_all(struct bench *b)
{
	b->leaving = true;
	for (uint32_t i = 0; i < b->link_count; i++)
		bench_client_leave(b, &b->links[i]);
}
