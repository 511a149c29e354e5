#include "cli/bench_topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Where filter and topic of the wildcard topology differ.  The letters keep the shapes
 * apart: no topic of one shape matches a filter of another.
 */
static size_t wildcard(char out[BENCH_TOPIC_MAX], const struct bench_options *plan, uint32_t n,
		       bool filter)
{
	const char *prefix = plan->prefix;
	const uint32_t a = n / plan->subscribers;
	const uint32_t b = n % plan->subscribers;
	int size;

	if (plan->shape == BENCH_LITERAL)
		size = snprintf(out, BENCH_TOPIC_MAX, "%s/%" PRIu32 "/t/%" PRIu32, prefix, a, b);
	else if (plan->shape == BENCH_PLUS || (plan->shape == BENCH_MIXED && a % 4 == 0))
		size = snprintf(out, BENCH_TOPIC_MAX, "%s/%" PRIu32 "/%s/%" PRIu32, prefix, a,
				filter ? "+" : "t", b);
	else if (plan->shape == BENCH_HASH || a % 4 == 1)
		size = snprintf(out, BENCH_TOPIC_MAX, "%s/%" PRIu32 "/u/%" PRIu32 "/%s", prefix, a,
				b, filter ? "#" : "z");
	else if (a % 4 == 2)
		size = snprintf(out, BENCH_TOPIC_MAX, "%s/%s/%" PRIu32 "/%" PRIu32, prefix,
				filter ? "+" : "t", a, b);
	else
		size = snprintf(out, BENCH_TOPIC_MAX, "%s/%s/%" PRIu32 "/%" PRIu32,
				filter ? "+" : "t", prefix, a, b);
	return (size_t)size;
}

size_t bench_topic(char out[BENCH_TOPIC_MAX], const struct bench_options *plan, uint32_t n)
{
	if (plan->topology == BENCH_WILDCARD)
		return wildcard(out, plan, n, false);
	if (plan->topology == BENCH_FAN_OUT)
		return (size_t)snprintf(out, BENCH_TOPIC_MAX, "%s/all", plan->prefix);
	if (plan->topology == BENCH_FAN_IN)
		return (size_t)snprintf(out, BENCH_TOPIC_MAX, "%s/%" PRIu32 "/in", plan->prefix, n);
	return (size_t)snprintf(out, BENCH_TOPIC_MAX, "%s/%" PRIu32, plan->prefix, n);
}

size_t bench_filter(char out[BENCH_TOPIC_MAX], const struct bench_options *plan, uint32_t n)
{
	if (plan->topology == BENCH_WILDCARD)
		return wildcard(out, plan, n, true);
	if (plan->topology == BENCH_FAN_IN)
		return (size_t)snprintf(out, BENCH_TOPIC_MAX, "%s/+/in", plan->prefix);
	if (plan->topology == BENCH_RETAINED)
		return (size_t)snprintf(out, BENCH_TOPIC_MAX, "%s/+", plan->prefix);
	return bench_topic(out, plan, n);
}

void bench_texts_fill(struct bench_texts *texts, const struct bench_options *plan, uint32_t count)
{
	char text[BENCH_TOPIC_MAX];

	texts->begins = need_memory((count + 1) * sizeof(*texts->begins));
	texts->count = count;
	for (uint32_t n = 0; n < count; n++) {
		texts->begins[n] = (uint32_t)texts->bytes.len;
		buffer_add(&texts->bytes, slice_of(text, bench_topic(text, plan, n)));
	}
	texts->begins[count] = (uint32_t)texts->bytes.len;
}

void bench_texts_finish(struct bench_texts *texts)
{
	buffer_finish(&texts->bytes);
	free(texts->begins);
	*texts = (struct bench_texts){0};
}
