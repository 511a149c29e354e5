/*
 * bench_options.h - what `metrino bench` is asked to do: the part of struct options that
 * only it has.  Its flags and their defaults stand in bench_options.c.
 */
#ifndef CLI_BENCH_OPTIONS_H
#define CLI_BENCH_OPTIONS_H

#include "proto/base.h"

enum bench_topology {
	BENCH_PAIR,	/* publisher n to subscriber n */
	BENCH_FAN_OUT,	/* every publisher to every subscriber, one topic */
	BENCH_FAN_IN,	/* every publisher, on a topic of its own, to every subscriber */
	BENCH_WILDCARD, /* many filters; each message meets exactly one of them */
	BENCH_IDLE,	/* connections that do nothing */
	BENCH_CONNECT,	/* connect, disconnect, and again */
	BENCH_SESSIONS, /* sessions that are left, and resumed */
	BENCH_RETAINED, /* many retained messages, and a subscription to all of them */
};
#define BENCH_TOPOLOGIES 8u

/* What the filters of BENCH_WILDCARD look like. */
enum bench_shape {
	BENCH_MIXED, /* "+" at three places and "#", in turn */
	BENCH_LITERAL,
	BENCH_PLUS,
	BENCH_HASH,
};

/* Numbers are 0 where the topology shall decide; options_gather() leaves none at 0 that counts. */
struct bench_options {
	uint8_t topology;
	uint8_t shape;
	uint8_t subscribe_qos;
	bool has_subscribe_qos;
	bool persistent;     /* subscribers have sessions that outlive the connection */
	bool idle_subscribe; /* each idle connection subscribes to a topic of its own */
	bool json;
	uint32_t publishers;
	uint32_t subscribers;
	uint32_t filters;
	uint32_t connections; /* idle, connect; sessions; retained messages */
	uint32_t concurrency; /* connections that are being made at a time */
	uint32_t payload_len;
	uint32_t window; /* messages of a publisher that have not arrived, at most */
	uint32_t rate;	 /* messages a second of all publishers; 0: as fast as windows allow */
	uint32_t duration_ms;
	uint32_t warm_up_ms;
	uint32_t pid; /* of the broker, or 0 */
	const char *prefix;
};

/* A payload holds the time, the number, the run and the publisher (bench_load.c). */
#define BENCH_PAYLOAD_MIN 24u
#define BENCH_PREFIX_MAX  64u

struct options;

/* What bench starts from; the rest of the options is set already. */
void bench_options_init(struct options *o);

/* Fills in what the topology decides, and says what does not fit together. */
bool bench_options_check(struct options *o, struct failure *failure);

const char *bench_topology_name(enum bench_topology topology);

#endif
