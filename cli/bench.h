/*
 * bench.h - one run of `metrino bench`: the clients it plays, what it counts, and the
 * phases it goes through.  All in one thread, so that each message is accounted for from
 * its publisher to each of its receivers by one clock.
 *
 *   bench.c          the command: sets up, runs a topology, reports, exit status
 *   bench_options.c  flags
 *   bench_phase.c    connecting, subscribing, waiting; what each phase cost
 *   bench_client.c   the conversation of each client with the broker
 *   bench_topic.c    topics and filters of each topology
 *   bench_load.c     pair, fan-out, fan-in, wildcard: publishing and accounting
 *   bench_visits.c   connect, sessions: clients that come and go
 *   bench_scenes.c   idle, retained
 *   bench_report.c   progress line, text and JSON
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli/bench_loop.h"
#include "cli/bench_topic.h"
#include "cli/bench_track.h"
#include "cli/command.h"
#include "cli/histogram.h"
#include "cli/process_usage.h"

#define NS_PER_MS 1000000u
#define NS_PER_S  1000000000u

enum bench_role {
	BENCH_PUBLISHER = 'p',
	BENCH_SUBSCRIBER = 's',
	BENCH_VISITOR = 'v', /* of idle, connect and sessions */
};

/* What was done, how often, in what time, at whose cost. */
enum bench_phase_name {
	PHASE_CONNECT,	 /* connections */
	PHASE_SUBSCRIBE, /* filters */
	PHASE_MESSAGES,	 /* deliveries */
	PHASE_RETAIN,	 /* retained messages published */
	PHASE_REPLAY,	 /* retained messages delivered upon one subscription */
	PHASE_VISIT,	 /* CONNECT, CONNACK, DISCONNECT */
	PHASE_LEAVE,	 /* sessions that were begun, subscribed and left */
	PHASE_RESUME,	 /* sessions that were found again */
};
#define BENCH_PHASES 8u

struct bench_phase {
	bool done;
	uint64_t count;
	uint64_t ns;
	uint64_t broker_cpu_ns, own_cpu_ns;
	int64_t broker_memory; /* bytes more at the end than at the beginning */
};

/* Packet identifiers 1 to `room`: a ring of those that are free, and what each one awaits. */
struct bench_window {
	uint16_t *ring;
	uint8_t *awaited; /* by identifier: the packet type that answers next, or 0 */
	uint32_t room, free, head;
};

struct bench_publisher {
	struct bench_link *link;
	uint64_t outstanding; /* deliveries that have not come yet */
	uint64_t *numbers;    /* of the last message, by stream */
	struct bench_window window;
	uint64_t chance; /* state of the generator that chooses topics */
};

struct bench_subscriber {
	struct bench_link *link;
	uint32_t next_filter;
};

struct bench_received {
	struct bench_link *link;
	uint32_t publisher;
	uint64_t number;
	uint64_t sent_ns, now_ns;
};

struct bench {
	const struct options *options;
	const struct bench_options *plan;
	const struct bench_scene *scene;
	struct bench_loop loop;
	struct tls_context *tls; /* of all connections; NULL: none */
	struct bench_link *links;
	uint32_t link_count;
	struct bench_texts topics;
	struct mqtt_connect connect; /* what all CONNECTs have in common */
	uint32_t run;		     /* drawn at start: in client identifiers and payloads */
	/* connections */
	uint32_t up, failed;
	uint32_t lost_connections; /* that were up */
	uint8_t refusal;	   /* the last CONNACK that was none, 0 for none */
	struct failure why;	   /* what became of the last connection that failed */
	bool leaving;		   /* ends of connections are wanted */
	/* load */
	struct bench_publisher *publishers;
	struct bench_subscriber *subscribers;
	uint32_t subscribed;   /* subscribers that have all SUBACKs */
	uint64_t refused;      /* subscriptions and publishes that the broker refused */
	uint32_t fan;	       /* deliveries of one message */
	uint32_t stream_count; /* of one publisher */
	struct bench_track *tracks;
	struct bench_tally tally;
	uint64_t published, acknowledged, foreign;
	uint64_t stalls;      /* windows that were forgiven after a second without a delivery */
	uint64_t progress_ns; /* when something was last delivered */
	uint64_t schedule_ns, scheduled; /* of --rate: its beginning, messages since */
	uint32_t next_publisher;
	uint8_t *payload;
	bool measuring;
	struct histogram *latency; /* nanoseconds */
	const char *latency_of;	   /* what it is the latency of; NULL: of nothing */
	/* clients that come and go */
	uint8_t visit;	   /* enum of bench_visits.c */
	uint32_t visitors; /* that came, by number */
	uint64_t visited;  /* that did what they came for */
	uint8_t *replayed; /* by number of the retained message: did it come? */
	/* result */
	struct bench_phase phases[BENCH_PHASES];
	struct process_usage usage; /* at the beginning of the phase under way */
	uint64_t phase_ns, phase_cpu_ns, phase_count;
	uint64_t lost;
	uint64_t lost_sessions;
	uint64_t memory_bytes; /* of the broker, at last */
	uint64_t report_ns;    /* when the progress line is due */
	uint64_t reported;
};

struct bench_scene {
	bool (*run)(struct bench *b, struct failure *failure);
	void (*on_up)(struct bench *b, struct bench_link *link);	 /* or NULL */
	void (*on_subscribed)(struct bench *b, struct bench_link *link); /* or NULL */
	void (*on_message)(struct bench *b, const struct bench_received *message);
	bool persistent; /* all clients have sessions that outlive their connection */
};

extern const struct bench_scene bench_load_scene, bench_idle_scene, bench_connect_scene;
extern const struct bench_scene bench_sessions_scene, bench_retained_scene;

/* SIGINT or SIGTERM came: end soon, with what there is. */
bool bench_stopped(void);
/* What follows tidies up, and takes another signal to end. */
void bench_forget_stop(void);

/* Memory for `count` clients. */
void bench_make_links(struct bench *b, uint32_t count);
void bench_make_publisher(struct bench *b, uint32_t number, struct bench_link *link);

/* ---- bench_phase.c ---- */

bool bench_phase_begin(struct bench *b, uint64_t count, struct failure *failure);
/* `count` is of what bench_phase_begin() was told the beginning of. */
bool bench_phase_end(struct bench *b, enum bench_phase_name name, uint64_t count,
		     struct failure *failure);
/* Memory settles a little later than the last packet: looks again. */
bool bench_phase_weigh(struct bench *b, enum bench_phase_name name, struct failure *failure);

/* Begins a phase, opens the first `count` links, some at a time, and waits until each is up. */
bool bench_connect(struct bench *b, uint32_t count, struct failure *failure);
/* Every subscriber subscribes to its filters; waits for the SUBACKs. */
bool bench_subscribe_all(struct bench *b, uint64_t filters, struct failure *failure);
/* DISCONNECT on every link. */
void bench_leave_all(struct bench *b);
/* Turns until then. */
void bench_wait(struct bench *b, uint64_t duration_ns);
/* One turn, with the progress line and the keep alive. */
void bench_turn(struct bench *b, uint64_t wait_ns);

/* ---- bench_client.c ---- */

extern const struct bench_loop_events bench_client_events;

/* Sends up to this many of a subscriber's filters in one packet, beginning at its next one. */
void bench_client_subscribe(struct bench *b, struct bench_subscriber *s);
void bench_client_subscribe_one(struct bench *b, struct bench_link *link, struct slice filter);
/* QoS > 0 needs a free identifier; false when there is none. */
bool bench_client_publish(struct bench *b, struct bench_publisher *p, struct mqtt_publish *message);
void bench_client_leave(struct bench *b, struct bench_link *link);
void bench_client_keep_alive(struct bench *b, struct bench_link *link);

/* Is this link's session to outlive its connection? */
bool bench_client_is_persistent(const struct bench *b, const struct bench_link *link);

/* ---- bench_load.c ---- */

/* Writes the head of the shared payload. */
void bench_payload_stamp(struct bench *b, uint32_t publisher, uint64_t number, uint64_t now_ns);

/* ---- bench_report.c ---- */

/* Once a second, on the standard error. */
void bench_report_progress(struct bench *b, uint64_t now_ns);
void bench_report(const struct bench *b);

#endif
