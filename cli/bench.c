/*
 * bench.c - `metrino bench`: puts load on a broker and measures it.
 *
 * Exit status: 0; 1 for errors; the CONNACK code when the broker refused the first
 * connection; from 33 on, when the broker lost, repeated or reordered messages (FAULT_...).
 */
#include "cli/bench.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

/* The exit status is the sum. */
enum {
	FAULT = 32,
	FAULT_LOST = 1,
	FAULT_DUPLICATED = 2,
	FAULT_OUT_OF_ORDER = 4,
	FAULT_OTHER = 8, /* connections or sessions lost, publishes refused */
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

bool bench_stopped(void)
{
	return stopped != 0;
}

void bench_forget_stop(void)
{
	stopped = 0;
}

static const struct bench_scene *const scenes[BENCH_TOPOLOGIES] = {
    [BENCH_PAIR] = &bench_load_scene,	      [BENCH_FAN_OUT] = &bench_load_scene,
    [BENCH_FAN_IN] = &bench_load_scene,	      [BENCH_WILDCARD] = &bench_load_scene,
    [BENCH_IDLE] = &bench_idle_scene,	      [BENCH_CONNECT] = &bench_connect_scene,
    [BENCH_SESSIONS] = &bench_sessions_scene, [BENCH_RETAINED] = &bench_retained_scene,
};

/* ---- clients ---- */

void bench_make_links(struct bench *b, uint32_t count)
{
	b->links = need_zeroed(count, sizeof(*b->links));
	b->link_count = count;
}

static void window_init(struct bench_window *w, uint32_t room)
{
	w->ring = need_memory(room * sizeof(*w->ring));
	w->awaited = need_zeroed(room + 1, 1);
	w->room = w->free = room;
	for (uint32_t i = 0; i < room; i++)
		w->ring[i] = (uint16_t)(i + 1);
}

void bench_make_publisher(struct bench *b, uint32_t number, struct bench_link *link)
{
	struct bench_publisher *p = &b->publishers[number];

	link->role = BENCH_PUBLISHER;
	link->number = number;
	p->link = link;
	p->numbers = need_zeroed(b->stream_count, sizeof(*p->numbers));
	p->chance = ((uint64_t)b->run << 20) + number + 1;
	window_init(&p->window, b->options->inflight_max);
}

static void finish(struct bench *b)
{
	bench_loop_finish(&b->loop, b->links, b->link_count);
	tls_context_destroy(b->tls);
	for (uint32_t i = 0; b->publishers != NULL && i < b->plan->publishers; i++) {
		free(b->publishers[i].numbers);
		free(b->publishers[i].window.ring);
		free(b->publishers[i].window.awaited);
	}
	bench_texts_finish(&b->topics);
	free(b->links);
	free(b->publishers);
	free(b->subscribers);
	free(b->tracks);
	free(b->replayed);
	free(b->payload);
	free(b->latency);
}

/* ---- the first connection: is there a broker, and does it let us in? ---- */

static void ignore_message(struct client *client, const struct mqtt_publish *publish)
{
	(void)client;
	(void)publish;
}

static void ignore_answer(struct client *client, uint8_t type, uint16_t packet_id,
			  struct slice reasons)
{
	(void)client;
	(void)type;
	(void)packet_id;
	(void)reasons;
}

static const struct client_events no_events = {ignore_message, ignore_answer};

/* What the first connection was made with serves for all others. */
static int knock(struct bench *b, struct failure *failure)
{
	const size_t packet_max = b->plan->payload_len + BENCH_TOPIC_MAX + 1024;
	struct command_link link;
	int status = command_connect(&link, b->options, &no_events, b);

	if (status == 0) {
		b->connect = link.settings.connect;
		b->loop.events = &bench_client_events;
		b->loop.self = b;
		if (!bench_loop_init(&b->loop, link.client.channel.fd, b->options->bind_address,
				     packet_max, failure))
			status = command_failed(b->options, failure);
		client_disconnect(&link.client);
	}
	command_finish(&link);
	return status;
}

/* The files are read once for all of them. */
static bool make_tls(struct bench *b, struct failure *failure)
{
	if (!options_want_tls(b->options))
		return true;
	b->loop.tls = b->tls = tls_context_create(&b->options->tls, failure);
	return b->tls != NULL;
}

/* ---- the run ---- */

static void prepare_process(void)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct rlimit limit;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	prctl(PR_SET_TIMERSLACK, 1); /* a schedule is kept to the microsecond */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int fault_status(const struct bench *b)
{
	const int faults =
	    (b->lost > 0 ? FAULT_LOST : 0) | (b->tally.duplicated > 0 ? FAULT_DUPLICATED : 0) |
	    (b->tally.out_of_order > 0 ? FAULT_OUT_OF_ORDER : 0) |
	    (b->lost_connections + b->lost_sessions + b->refused > 0 ? FAULT_OTHER : 0);

	return faults > 0 ? FAULT | faults : 0;
}

static int run(struct bench *b)
{
	struct failure failure;
	int status;

	if (!bench_phase_begin(b, 0, &failure)) /* is there such a process? */
		return command_failed(b->options, &failure);
	status = knock(b, &failure);
	if (status != 0)
		return status;
	if (!make_tls(b, &failure))
		return command_failed(b->options, &failure);
	must(getrandom(&b->run, sizeof(b->run), 0) == (ssize_t)sizeof(b->run));
	b->payload = need_zeroed(b->plan->payload_len, 1);
	memset(b->payload, 'x', b->plan->payload_len);
	b->latency = need_zeroed(1, sizeof(*b->latency));
	b->report_ns = bench_now_ns() + NS_PER_S;
	if (!b->scene->run(b, &failure))
		return command_failed(b->options, &failure);
	if (b->why.text[0] != '\0')
		command_failed(b->options, &b->why);
	bench_report(b);
	return fault_status(b);
}

int command_bench(int argc, char **argv)
{
	struct options options;
	struct bench b = {.options = &options, .plan = &options.bench};
	int status;

	options_init(&options, OPTION_BENCH);
	if (command_options(&options, argc, argv, &status)) {
		prepare_process();
		b.scene = scenes[options.bench.topology];
		status = run(&b);
		finish(&b);
	}
	options_finish(&options);
	return status;
}
