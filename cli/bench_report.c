/*
 * bench_report.c - what the bench says: a line a second while it works, and the result
 * as text or as JSON.  "us" are microseconds.
 */
#include "cli/bench.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

/* What is counted in each phase, and whether memory belongs to it. */
static const struct phase_row {
	const char *name, *unit;
	bool weighs;
} rows[BENCH_PHASES] = {
    [PHASE_CONNECT] = {"connect", "connections", true},
    [PHASE_SUBSCRIBE] = {"subscribe", "filters", true},
    [PHASE_MESSAGES] = {"messages", "deliveries", false},
    [PHASE_RETAIN] = {"retain", "retained messages", true},
    [PHASE_REPLAY] = {"replay", "retained messages", false},
    [PHASE_VISIT] = {"visit", "connections", false},
    [PHASE_LEAVE] = {"leave", "sessions", true},
    [PHASE_RESUME] = {"resume", "sessions", false},
};

static const struct {
	const char *name;
	double share;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static double each(double total, uint64_t count)
{
	return count > 0 ? total / (double)count : 0;
}

static double per_second(const struct bench_phase *phase)
{
	return phase->ns > 0 ? (double)phase->count * 1e9 / (double)phase->ns : 0;
}

/* On a terminal it stays in one line. */
void bench_report_progress(struct bench *b, uint64_t now_ns)
{
	const uint64_t done =
	    b->tally.delivered > 0 ? b->tally.delivered : b->visited + b->up + b->acknowledged;
	const bool terminal = isatty(STDERR_FILENO) != 0;
	const double seconds = (double)(now_ns + NS_PER_S - b->report_ns) / 1e9;

	if (b->options->quiet || b->report_ns == 0)
		return;
	fprintf(stderr, "%s%u up, %" PRIu64 " delivered, %" PRIu64 " acknowledged, %.0f/s",
		terminal ? "\r\033[K" : "", b->up, b->tally.delivered, b->acknowledged,
		done >= b->reported ? (double)(done - b->reported) / seconds : 0);
	if (b->latency->count > 0)
		fprintf(stderr, ", p50 %.0f us, p99 %.0f us", us(histogram_value(b->latency, 0.5)),
			us(histogram_value(b->latency, 0.99)));
	if (b->tally.duplicated + b->tally.out_of_order + b->stalls > 0)
		fprintf(stderr,
			", %" PRIu64 " duplicated, %" PRIu64 " out of order, %" PRIu64 " stalls",
			b->tally.duplicated, b->tally.out_of_order, b->stalls);
	if (!terminal)
		fputc('\n', stderr);
	b->reported = done;
}

/* ---- text ---- */

static void print_phase(const struct bench *b, const struct phase_row *row,
			const struct bench_phase *phase)
{
	printf("%-10s %" PRIu64 " %s in %.3f s, %.0f/s", row->name, phase->count, row->unit,
	       (double)phase->ns / 1e9, per_second(phase));
	if (b->plan->pid != 0)
		printf("; broker %.3f us CPU each", each(us(phase->broker_cpu_ns), phase->count));
	if (b->plan->pid != 0 && row->weighs)
		printf(", %.0f bytes each", each((double)phase->broker_memory, phase->count));
	printf("; bench %.3f us\n", each(us(phase->own_cpu_ns), phase->count));
}

static void print_text(const struct bench *b)
{
	for (size_t i = 0; i < BENCH_PHASES; i++) {
		if (b->phases[i].done)
			print_phase(b, &rows[i], &b->phases[i]);
	}
	if (b->latency_of != NULL && b->latency->count > 0) {
		printf("%-10s", "latency");
		for (size_t i = 0; i < QUANTILES; i++)
			printf(" %s %.1f us,", quantiles[i].name,
			       us(histogram_value(b->latency, quantiles[i].share)));
		printf(" max %.1f us, of %" PRIu64 " %s\n", us(b->latency->maximum),
		       b->latency->count, b->latency_of);
	}
	if (b->plan->pid != 0)
		printf("%-10s %.1f MiB of memory at last\n", "broker",
		       (double)b->memory_bytes / 1048576);
	printf("%-10s %" PRIu64 " lost, %" PRIu64 " duplicated, %" PRIu64 " out of order", "faults",
	       b->lost, b->tally.duplicated, b->tally.out_of_order);
	printf("; %u connections and %" PRIu64 " sessions lost, %" PRIu64 " refused, %" PRIu64
	       " stalls, %" PRIu64 " messages of others\n",
	       b->lost_connections, b->lost_sessions, b->refused, b->stalls, b->foreign);
}

/* ---- JSON ---- */

static json_t *phase_json(const struct bench *b, const struct phase_row *row,
			  const struct bench_phase *phase)
{
	json_t *object =
	    json_pack("{s:I, s:f, s:f, s:f}", "count", (json_int_t)phase->count, "seconds",
		      (double)phase->ns / 1e9, "per_second", per_second(phase), "own_cpu_us_each",
		      each(us(phase->own_cpu_ns), phase->count));

	if (b->plan->pid != 0)
		json_object_set_new(object, "cpu_us_each",
				    json_real(each(us(phase->broker_cpu_ns), phase->count)));
	if (b->plan->pid != 0 && row->weighs)
		json_object_set_new(object, "bytes_each",
				    json_real(each((double)phase->broker_memory, phase->count)));
	return object;
}

static json_t *latency_json(const struct bench *b)
{
	json_t *object = json_pack("{s:I, s:f}", "count", (json_int_t)b->latency->count, "max",
				   us(b->latency->maximum));

	for (size_t i = 0; i < QUANTILES; i++)
		json_object_set_new(object, quantiles[i].name,
				    json_real(us(histogram_value(b->latency, quantiles[i].share))));
	return object;
}

static json_t *settings_json(const struct bench *b)
{
	const struct bench_options *p = b->plan;

	return json_pack("{s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "topology",
			 bench_topology_name(p->topology), "version", (int)b->options->version,
			 "qos", (int)b->options->qos, "subscribe_qos", (int)p->subscribe_qos,
			 "publishers", (json_int_t)p->publishers, "subscribers",
			 (json_int_t)p->subscribers, "size", (json_int_t)p->payload_len, "window",
			 (json_int_t)p->window, "inflight", (json_int_t)b->options->inflight_max,
			 "rate", (json_int_t)p->rate, "persistent", p->persistent);
}

static json_t *faults_json(const struct bench *b)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "lost", (json_int_t)b->lost,
			 "duplicated", (json_int_t)b->tally.duplicated, "out_of_order",
			 (json_int_t)b->tally.out_of_order, "connections_lost",
			 (json_int_t)b->lost_connections, "sessions_lost",
			 (json_int_t)b->lost_sessions, "refused", (json_int_t)b->refused, "stalls",
			 (json_int_t)b->stalls, "foreign", (json_int_t)b->foreign);
}

static void print_json(const struct bench *b)
{
	json_t *phases = json_object();
	json_t *result;

	for (size_t i = 0; i < BENCH_PHASES; i++) {
		if (b->phases[i].done)
			json_object_set_new(phases, rows[i].name,
					    phase_json(b, &rows[i], &b->phases[i]));
	}
	result = json_pack("{s:o, s:o, s:o}", "settings", settings_json(b), "phases", phases,
			   "faults", faults_json(b));
	if (b->latency_of != NULL)
		json_object_set_new(result, "latency_us", latency_json(b));
	if (b->plan->pid != 0)
		json_object_set_new(result, "broker_memory_bytes",
				    json_integer((json_int_t)b->memory_bytes));
	json_dumpf(result, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(result);
}

void bench_report(const struct bench *b)
{
	if (!b->options->quiet && isatty(STDERR_FILENO) != 0)
		fputs("\r\033[K", stderr);
	if (b->plan->json)
		print_json(b);
	else
		print_text(b);
}
