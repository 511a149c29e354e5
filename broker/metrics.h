/*
 * metrics.h - what the whole broker counts, at one moment, and its Prometheus text.
 *
 * Names are metrino_..., and for boards made for mosquitto the numbers of $SYS once
 * more as broker_... (sys_tree.h).  No label holds a client, user, address or topic.
 *
 * Thread: any; the struct belongs to its caller.
 */
#ifndef BROKER_METRICS_H
#define BROKER_METRICS_H

#include "broker/auth_log.h"
#include "broker/jobs.h"
#include "broker/route_thread.h"
#include "broker/core/happened.h"

/* A certificate or a revocation list of a listener, and when it ends. */
struct certificate_end {
	uint32_t listener; /* in the configuration, from 1 */
	uint16_t port;
	const char *key; /* that names the file; a literal */
	size_t position; /* in the file, from 0 */
	uint64_t expires_s;
};

#define METRICS_CERTIFICATES_MAX 64u

struct metrics {
	uint64_t happened[HAPPENED_NAMES]; /* of all shards together */
	uint64_t clients_maximum;	   /* the most clients connected at a time */
	uint64_t started_s;		   /* wall clock, seconds since 1970 */
	uint64_t uptime_s;
	uint64_t workers;
	uint64_t connections_refused; /* by max_connections and global_max_connections */
	uint64_t no_descriptor;	      /* connections closed for want of a file descriptor */
	uint64_t not_opened;	      /* connections that failed before MQTT began */
	uint64_t store_commits, store_batches, store_commit_us;
	struct route_counters routes;
	uint64_t log_lost;
	uint64_t argon2_runs;
	uint64_t open_descriptors;
	uint64_t memory_limit;
	size_t certificate_count; /* those that end first */
	struct certificate_end certificates[METRICS_CERTIFICATES_MAX];
	uint64_t payload_bytes, payload_locked_bytes;
	uint64_t payload_protected;		     /* 0 or 1 */
	uint64_t erase_clear, keys_wrapped;	     /* likewise */
	uint64_t disk_full;			     /* likewise: disk_watch.h */
	uint64_t files_restricted, calls_restricted; /* likewise: sandbox.h */
	struct auth_log_counts logins;
	size_t job_count;
	struct job_state jobs[JOBS_MAX];
};

/* Sums the counters of one more shard into `happened`. */
void metrics_add_shard(struct metrics *metrics, const struct happened *shard);

/* A level as a number that is not below zero: shards may read a moment apart. */
uint64_t metrics_level(const struct metrics *metrics, enum happened_name name);

/* All deliveries that were not made. */
uint64_t metrics_dropped(const struct metrics *metrics);

/* Prometheus text; to be freed by the caller. */
char *metrics_text(const struct metrics *metrics, size_t *len);

#endif
