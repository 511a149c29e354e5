/* bench_options.c - the flags of `metrino bench`, and what its topologies start from. */
#include "cli/options_internal.h"

#include "proto/topic.h"
#include "proto/utf8.h"

#include <stdio.h>

#define PAYLOAD_MAX (1u << 20)
#define COUNT_MAX   10000000u
#define KEEP_ALIVE  600 /* long, so that pings do not disturb what is measured */

/* What there is of each kind when nothing was said; 0: the topology has none. */
static const struct topology_row {
	const char *name;
	uint32_t publishers, subscribers, connections, window;
} topologies[BENCH_TOPOLOGIES] = {
    [BENCH_PAIR] = {"pair", 50, 50, 0, 64},	    [BENCH_FAN_OUT] = {"fan-out", 1, 200, 0, 64},
    [BENCH_FAN_IN] = {"fan-in", 200, 1, 0, 16},	    [BENCH_WILDCARD] = {"wildcard", 10, 100, 0, 64},
    [BENCH_IDLE] = {"idle", 0, 0, 1000, 0},	    [BENCH_CONNECT] = {"connect", 0, 0, 100, 0},
    [BENCH_SESSIONS] = {"sessions", 0, 0, 1000, 0}, [BENCH_RETAINED] = {"retained", 1, 1, 1000, 64},
};

static const char *const shapes[] = {[BENCH_MIXED] = "mixed",
				     [BENCH_LITERAL] = "literal",
				     [BENCH_PLUS] = "plus",
				     [BENCH_HASH] = "hash"};

static take_option take_topology, take_shape, take_seconds, take_subscribe_qos;

#define B(field)  OPTION_AT(bench.field)
#define ONLY	  OPTION_BENCH
#define LIMIT(of) options_take_u32, B(of)

const struct flag bench_flags[] = {
    {NULL, "--topology", ONLY, "topology", take_topology, 0, 0, 0,
     "pair (default), fan-out, fan-in, wildcard, idle, connect, sessions or retained"},
    {NULL, "--publishers", ONLY, "publishers", LIMIT(publishers), 1, 100000,
     "clients that publish"},
    {NULL, "--subscribers", ONLY, "subscribers", LIMIT(subscribers), 1, 100000,
     "clients that subscribe"},
    {NULL, "--filters", ONLY, "filters", LIMIT(filters), 1, COUNT_MAX,
     "wildcard: filters of all subscribers together (100000)"},
    {NULL, "--shape", ONLY, "shape", take_shape, 0, 0, 0,
     "wildcard: mixed (default), literal, plus or hash"},
    {NULL, "--count", ONLY, "count", LIMIT(connections), 1, COUNT_MAX,
     "idle, connect: connections; sessions, retained: of those, how many"},
    {NULL, "--idle-subscribe", ONLY, NULL, options_take_true, B(idle_subscribe), 0, 0,
     "idle: each connection subscribes to a topic of its own"},
    {NULL, "--subscribe-qos", ONLY, "QoS", take_subscribe_qos, B(subscribe_qos), 0, 2,
     "QoS of the subscriptions (as -q)"},
    {NULL, "--size", ONLY, "size", LIMIT(payload_len), BENCH_PAYLOAD_MIN, PAYLOAD_MAX,
     "bytes of a payload (64)"},
    {NULL, "--window", ONLY, "window", LIMIT(window), 1, 65535,
     "messages of a publisher on their way to subscribers at most (64; fan-in 16)"},
    {"-M", "--inflight", ONLY, "messages", options_take_u16, OPTION_AT(inflight_max), 1, 65535,
     "QoS 1 and 2: messages of a publisher that are not acknowledged at most (64)"},
    {NULL, "--rate", ONLY, "rate", LIMIT(rate), 1, COUNT_MAX,
     "messages a second of all publishers (or connections), on a fixed schedule"},
    {NULL, "--persistent", ONLY, NULL, options_take_true, B(persistent), 0, 0,
     "subscribers have sessions that outlive the connection"},
    {NULL, "--concurrency", ONLY, "connections", LIMIT(concurrency), 1, 10000,
     "connections that are being made at a time (100)"},
    {NULL, "--duration", ONLY, "seconds", take_seconds, B(duration_ms), 0, 86400,
     "seconds that are measured (5)"},
    {NULL, "--warm-up", ONLY, "seconds", take_seconds, B(warm_up_ms), 0, 3600,
     "seconds of load before that (1)"},
    {NULL, "--prefix", ONLY, "topic prefix", options_take_text, B(prefix), 0, 0,
     "what all topics begin with (bench)"},
    {NULL, "--pid", ONLY, "process", LIMIT(pid), 1, INT32_MAX,
     "process of a broker on this computer: its processor time and memory"},
    {"-k", "--keepalive", ONLY, "keepalive", options_take_u16, OPTION_AT(keep_alive_s), 5, 65535,
     "keep alive in seconds (600)"},
    {NULL, "--quiet", ONLY, NULL, options_take_true, OPTION_AT(quiet), 0, 0,
     "no progress line and no messages about errors"},
    {NULL, "--json", ONLY, NULL, options_take_true, B(json), 0, 0,
     "the result as one JSON object on a line"},
};

const size_t bench_flag_count = sizeof(bench_flags) / sizeof(bench_flags[0]);

static bool find_name(const char *const *names, size_t count, const char *value, uint8_t *found)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], value) == 0) {
			*found = (uint8_t)i;
			return true;
		}
	}
	return false;
}

static bool take_topology(struct options *o, const struct flag *flag, const char *value,
			  struct failure *failure)
{
	const char *names[BENCH_TOPOLOGIES];

	for (size_t i = 0; i < BENCH_TOPOLOGIES; i++)
		names[i] = topologies[i].name;
	return find_name(names, BENCH_TOPOLOGIES, value, &o->bench.topology) ||
	       failure_set(failure,
			   "Invalid %s given: %.40s. It must be pair, fan-out, fan-in, wildcard, "
			   "idle, connect, sessions or retained.",
			   flag->value, value);
}

static bool take_shape(struct options *o, const struct flag *flag, const char *value,
		       struct failure *failure)
{
	return find_name(shapes, sizeof(shapes) / sizeof(shapes[0]), value, &o->bench.shape) ||
	       failure_set(failure,
			   "Invalid %s given: %.40s. It must be mixed, literal, plus or hash.",
			   flag->value, value);
}

static bool take_seconds(struct options *o, const struct flag *flag, const char *value,
			 struct failure *failure)
{
	double seconds;

	if (!options_real(value, (double)flag->minimum, (double)flag->maximum, &seconds))
		return failure_set(failure,
				   "Invalid %s given: %.40s. It must be between %llu and %llu.",
				   flag->value, value, (unsigned long long)flag->minimum,
				   (unsigned long long)flag->maximum);
	*(uint32_t *)((char *)o + flag->field) = (uint32_t)(seconds * 1000);
	return true;
}

static bool take_subscribe_qos(struct options *o, const struct flag *flag, const char *value,
			       struct failure *failure)
{
	o->bench.has_subscribe_qos = true;
	return options_take_u8(o, flag, value, failure);
}

void bench_options_init(struct options *o)
{
	o->keep_alive_s = KEEP_ALIVE;
	o->inflight_max = 64;
	o->bench = (struct bench_options){
	    .filters = 100000,
	    .concurrency = 100,
	    .payload_len = 64,
	    .duration_ms = 5000,
	    .warm_up_ms = 1000,
	    .prefix = "bench",
	};
}

const char *bench_topology_name(enum bench_topology topology)
{
	return topologies[topology].name;
}

static bool check_prefix(const char *prefix, struct failure *failure)
{
	const struct slice text = slice_text(prefix);

	if (text.len == 0 || text.len > BENCH_PREFIX_MAX || !utf8_string_accepted(text) ||
	    !topic_name_valid(text))
		return failure_set(failure,
				   "The topic prefix must be 1 to %u bytes of UTF-8 without '+' "
				   "and '#'.",
				   BENCH_PREFIX_MAX);
	return true;
}

/* "idle has no publishers": what was said and means nothing here. */
static bool check_kind(const char *topology, const char *what, uint32_t *value, uint32_t start,
		       struct failure *failure)
{
	if (*value > 0 && start == 0)
		return failure_set(failure, "The topology %s has no %s; leave that option out.",
				   topology, what);
	if (*value == 0)
		*value = start;
	return true;
}

/* As many publishers as subscribers: one number says both. */
static bool check_pairs(struct bench_options *b, struct failure *failure)
{
	if (b->publishers == 0)
		b->publishers = b->subscribers;
	if (b->subscribers == 0)
		b->subscribers = b->publishers;
	if (b->publishers != b->subscribers)
		return failure_set(failure,
				   "The topology pair needs as many publishers (%u) as "
				   "subscribers (%u).",
				   b->publishers, b->subscribers);
	return true;
}

bool bench_options_check(struct options *o, struct failure *failure)
{
	struct bench_options *b = &o->bench;
	const struct topology_row *row = &topologies[b->topology];

	if (b->topology == BENCH_PAIR && !check_pairs(b, failure))
		return false;
	if (!check_kind(row->name, "publishers", &b->publishers, row->publishers, failure) ||
	    !check_kind(row->name, "subscribers", &b->subscribers, row->subscribers, failure) ||
	    !check_kind(row->name, "count", &b->connections, row->connections, failure) ||
	    !check_kind(row->name, "window", &b->window, row->window, failure))
		return false;
	if (b->topology == BENCH_RETAINED && (b->publishers != 1 || b->subscribers != 1))
		return failure_set(failure, "The topology retained has one publisher and one "
					    "subscriber.");
	if (b->topology == BENCH_WILDCARD && b->filters < b->subscribers)
		return failure_set(failure,
				   "There must be at least as many filters (%u) as "
				   "subscribers (%u).",
				   b->filters, b->subscribers);
	if (b->duration_ms == 0 && b->topology != BENCH_IDLE)
		return failure_set(failure, "The number of seconds to measure must be above 0.");
	if (!b->has_subscribe_qos)
		b->subscribe_qos = b->topology == BENCH_RETAINED ? 0 : o->qos;
	return check_prefix(b->prefix, failure);
}
