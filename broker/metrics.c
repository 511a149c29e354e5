/* metrics.c - see metrics.h. */
#include "proto/version.h"
#include "broker/metrics.h"
#include "broker/sys_tree.h"
#include <inttypes.h>
#include <stdio.h>

struct counter {
	const char *name;
	const char *type;
	const char *help;
	enum happened_name happened;
};

static const struct counter counters[] = {
#define COUNTER(name, metric, help) {metric, "counter", help, HAPPENED_##name},
#define LEVEL(name, metric, help)   {metric, "gauge", help, HAPPENED_##name},
#define DROPPED(name, reason)
#define LOGIN(name, result)
#include "broker/core/happened.def"
#undef COUNTER
#undef LEVEL
#undef DROPPED
#undef LOGIN
};

static const struct {
	const char *reason;
	enum happened_name happened;
} drops[] = {
#define COUNTER(name, metric, help)
#define LEVEL(name, metric, help)
#define DROPPED(name, reason) {reason, HAPPENED_##name},
#define LOGIN(name, result)
#include "broker/core/happened.def"
#undef COUNTER
#undef LEVEL
#undef DROPPED
#undef LOGIN
};

static const struct {
	const char *result;
	enum happened_name happened;
} logins[] = {
#define COUNTER(name, metric, help)
#define LEVEL(name, metric, help)
#define DROPPED(name, reason)
#define LOGIN(name, result) {result, HAPPENED_##name},
#include "broker/core/happened.def"
#undef COUNTER
#undef LEVEL
#undef DROPPED
#undef LOGIN
};

/* What the process counts, beside the shards. */
static const struct {
	const char *name;
	const char *type;
	const char *help;
	size_t offset;
} others[] = {
    {"uptime_seconds", "gauge", "Time since the start", offsetof(struct metrics, uptime_s)},
    {"start_time_seconds", "gauge", "When the broker started, since 1970",
     offsetof(struct metrics, started_s)},
    {"workers", "gauge", "Threads that serve clients", offsetof(struct metrics, workers)},
    {"clients_maximum", "gauge", "The most clients connected at a time",
     offsetof(struct metrics, clients_maximum)},
    {"connections_refused_total", "counter",
     "Connections refused by max_connections or global_max_connections",
     offsetof(struct metrics, connections_refused)},
    {"connections_without_descriptor_total", "counter",
     "Connections closed for want of a file descriptor", offsetof(struct metrics, no_descriptor)},
    {"connections_not_opened_total", "counter",
     "Connections that failed before MQTT began: TLS, WebSocket, PROXY protocol",
     offsetof(struct metrics, not_opened)},
    {"open_descriptors", "gauge", "Open file descriptors",
     offsetof(struct metrics, open_descriptors)},
    {"memory_limit_bytes", "gauge", "What memory_limit allows to be held for clients",
     offsetof(struct metrics, memory_limit)},
    {"payload_memory_bytes", "gauge", "Memory in use, or kept ready, for payload",
     offsetof(struct metrics, payload_bytes)},
    {"payload_memory_locked_bytes", "gauge",
     "Memory for payload that is locked, so that it cannot be swapped",
     offsetof(struct metrics, payload_locked_bytes)},
    {"payload_memory_protected", "gauge",
     "1: payload is out of reach of swap, core dumps and child processes",
     offsetof(struct metrics, payload_protected)},
    {"erase_level_clear", "gauge",
     "1: keys that are destroyed are overwritten where they lie, so that nothing is left on disk",
     offsetof(struct metrics, erase_clear)},
    {"keys_wrapped", "gauge", "1: keys on disk are wrapped under key_file or a credential",
     offsetof(struct metrics, keys_wrapped)},
    {"disk_full", "gauge", "1: the disk of the data directory has next to no room",
     offsetof(struct metrics, disk_full)},
    {"sandbox_files", "gauge", "1: the broker reaches only the folders of its configuration",
     offsetof(struct metrics, files_restricted)},
    {"sandbox_calls", "gauge", "1: the broker makes only the system calls that it needs",
     offsetof(struct metrics, calls_restricted)},
    {"store_commits_total", "counter", "Transactions committed",
     offsetof(struct metrics, store_commits)},
    {"store_batches_total", "counter", "Batches answered by the store",
     offsetof(struct metrics, store_batches)},
    {"store_commit_microseconds_total", "counter", "Time that the transactions took",
     offsetof(struct metrics, store_commit_us)},
    {"argon2_runs_total", "counter", "Passwords hashed by Argon2, right or wrong",
     offsetof(struct metrics, argon2_runs)},
    {"auth_rows_lost_total", "counter", "Rows of logins that could not be kept",
     offsetof(struct metrics, logins.lost)},
    {"route_rows_total", "counter", "Rows of what became of deliveries that were kept",
     offsetof(struct metrics, routes.rows)},
    {"route_rows_dropped_total", "counter",
     "Rows of what became of deliveries that were not kept, because the disk was slow or failed",
     offsetof(struct metrics, routes.rows_dropped)},
    {"route_rows_damaged_total", "counter",
     "Rows of what became of deliveries that were kept and cannot be read, because data.mdb is "
     "damaged",
     offsetof(struct metrics, routes.rows_damaged)},
    {"route_bytes", "gauge", "What rows of deliveries take on the disk now",
     offsetof(struct metrics, routes.bytes)},
    {"log_lost_lines_total", "counter", "Lines of the log that could not be written",
     offsetof(struct metrics, log_lost)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void metrics_add_shard(struct metrics *metrics, const struct happened *shard)
{
	for (enum happened_name i = 0; i < HAPPENED_NAMES; i++)
		metrics->happened[i] += happened_get(shard, i);
}

uint64_t metrics_level(const struct metrics *metrics, enum happened_name name)
{
	uint64_t value = metrics->happened[name];

	return value > INT64_MAX ? 0 : value;
}

uint64_t metrics_dropped(const struct metrics *metrics)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < COUNT(drops); i++)
		sum += metrics->happened[drops[i].happened];
	return sum;
}

static void write_one(FILE *out, const char *name, const char *type, const char *help,
		      uint64_t value)
{
	fprintf(out, "# HELP metrino_%s %s\n# TYPE metrino_%s %s\nmetrino_%s %" PRIu64 "\n", name,
		help, name, type, name, value);
}

static void write_drops(FILE *out, const struct metrics *metrics)
{
	fputs("# HELP metrino_messages_dropped_total Deliveries not made\n"
	      "# TYPE metrino_messages_dropped_total counter\n",
	      out);
	for (size_t i = 0; i < COUNT(drops); i++)
		fprintf(out, "metrino_messages_dropped_total{reason=\"%s\"} %" PRIu64 "\n",
			drops[i].reason, metrics->happened[drops[i].happened]);
}

static void write_logins(FILE *out, const struct metrics *metrics)
{
	fputs("# HELP metrino_logins_total Answers to who a client is, by result\n"
	      "# TYPE metrino_logins_total counter\n",
	      out);
	for (size_t i = 0; i < COUNT(logins); i++)
		fprintf(out, "metrino_logins_total{result=\"%s\"} %" PRIu64 "\n", logins[i].result,
			metrics->happened[logins[i].happened]);
}

static void write_certificates(FILE *out, const struct metrics *metrics)
{
	if (metrics->certificate_count > 0)
		fputs("# HELP metrino_certificate_expiry_seconds When a certificate or revocation "
		      "list ends, since 1970\n"
		      "# TYPE metrino_certificate_expiry_seconds gauge\n",
		      out);
	for (size_t i = 0; i < metrics->certificate_count; i++) {
		const struct certificate_end *end = &metrics->certificates[i];

		fprintf(out,
			"metrino_certificate_expiry_seconds{listener=\"%" PRIu32
			"\",port=\"%u\",key=\"%s\",position=\"%zu\"} %" PRIu64 "\n",
			end->listener, end->port, end->key, end->position, end->expires_s);
	}
}

/* Whose they were, of those that were let in. */
static void write_identities(FILE *out, const struct metrics *metrics)
{
	static const char *const kinds[IDENTITY_KINDS] = {[IDENTITY_ACCOUNT] = "account",
							  [IDENTITY_FILE] = "password_file",
							  [IDENTITY_CERTIFICATE] = "certificate",
							  [IDENTITY_PSK] = "psk",
							  [IDENTITY_UID] = "uid"};

	fputs("# HELP metrino_identities_total Logins that were right, by the kind of identity\n"
	      "# TYPE metrino_identities_total counter\n",
	      out);
	for (size_t kind = IDENTITY_NOBODY + 1; kind < IDENTITY_KINDS; kind++)
		fprintf(out, "metrino_identities_total{identity=\"%s\"} %" PRIu64 "\n", kinds[kind],
			metrics->logins.logins[kind][AUTH_LOG_RIGHT]);
}

static const struct {
	const char *name;
	const char *type;
	const char *help;
	size_t offset;
} job_numbers[] = {
    {"job_last_run_seconds", "gauge", "When the job last ran, since 1970; 0: not since the start",
     offsetof(struct job_state, last_s)},
    {"job_late_seconds", "gauge", "How late the last run of the job began, or how late it is now",
     offsetof(struct job_state, late_s)},
    {"job_runs_total", "counter", "Runs of the job since the start",
     offsetof(struct job_state, runs)},
    {"job_failures_total", "counter", "Runs of the job that failed, and were tried again",
     offsetof(struct job_state, failures)},
};

static void write_jobs(FILE *out, const struct metrics *metrics)
{
	for (size_t i = 0; metrics->job_count > 0 && i < COUNT(job_numbers); i++) {
		fprintf(out, "# HELP metrino_%s %s\n# TYPE metrino_%s %s\n", job_numbers[i].name,
			job_numbers[i].help, job_numbers[i].name, job_numbers[i].type);
		for (size_t job = 0; job < metrics->job_count; job++) {
			const struct job_state *state = &metrics->jobs[job];
			uint64_t value;

			memcpy(&value, (const char *)state + job_numbers[i].offset, sizeof(value));
			fprintf(out, "metrino_%s{job=\"%s\"} %" PRIu64 "\n", job_numbers[i].name,
				state->name, value);
		}
	}
}

/* "clients/connected" becomes broker_clients_connected. */
static void write_sys(void *self, const char *topic, uint64_t value)
{
	FILE *out = self;
	char name[SYS_TREE_TOPIC_SIZE];
	size_t i = 0;

	for (; topic[i]; i++)
		name[i] = topic[i] == '/' || topic[i] == ' ' ? '_' : topic[i];
	name[i] = '\0';
	fprintf(out, "# TYPE broker_%s untyped\nbroker_%s %" PRIu64 "\n", name, name, value);
}

char *metrics_text(const struct metrics *metrics, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	must(out);
	fputs("# HELP metrino_build_info Always 1\n# TYPE metrino_build_info gauge\n"
	      "metrino_build_info{version=\"" METRINO_VERSION "\"} 1\n",
	      out);
	for (size_t i = 0; i < COUNT(counters); i++)
		write_one(out, counters[i].name, counters[i].type, counters[i].help,
			  metrics_level(metrics, counters[i].happened));
	write_drops(out, metrics);
	write_logins(out, metrics);
	write_certificates(out, metrics);
	write_identities(out, metrics);
	write_jobs(out, metrics);
	for (size_t i = 0; i < COUNT(others); i++) {
		uint64_t value;

		memcpy(&value, (const char *)metrics + others[i].offset, sizeof(value));
		write_one(out, others[i].name, others[i].type, others[i].help, value);
	}
	sys_tree_each_number(metrics, out, write_sys);
	must(fclose(out) == 0);
	return text;
}
