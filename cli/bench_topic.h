/*
 * bench_topic.h - the topics and filters of `metrino bench`.  Pure but for the list,
 * which owns its texts.
 *
 * The last number in a topic is that of its receiver: tests/bench/relay.c goes by it.
 * A filter k of the wildcard topology belongs to subscriber k % subscribers, and the
 * topic that is made for it matches it and no other.
 */
#ifndef CLI_BENCH_TOPIC_H
#define CLI_BENCH_TOPIC_H

#include "cli/bench_options.h"
#include "cli/buffer.h"

#define BENCH_TOPIC_MAX (BENCH_PREFIX_MAX + 40)

/* Topic n: of publisher n; of filter n in the wildcard topology; of retained message n. */
size_t bench_topic(char out[BENCH_TOPIC_MAX], const struct bench_options *plan, uint32_t n);

/* Filter n: of subscriber n; in the wildcard topology, of all filters. */
size_t bench_filter(char out[BENCH_TOPIC_MAX], const struct bench_options *plan, uint32_t n);

struct bench_texts {
	struct buffer bytes;
	uint32_t *begins; /* count + 1 of them */
	uint32_t count;
};

/* The first `count` topics, so that publishing does not print numbers. */
void bench_texts_fill(struct bench_texts *texts, const struct bench_options *plan, uint32_t count);
void bench_texts_finish(struct bench_texts *texts);

static inline struct slice bench_text(const struct bench_texts *t, uint32_t n)
{
	return slice_of(t->bytes.at + t->begins[n], t->begins[n + 1] - t->begins[n]);
}

#endif
