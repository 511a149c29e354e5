/* world.c - the clock, the heap of happenings, the trace. */
#include "tests/sim/world.h"
#include "tests/sim/link.h"
#include <stdarg.h>
#include <stdio.h>

void world_init(struct world *world, uint64_t seed)
{
	*world = (struct world){.seed = seed, .now_ms = 1000};
	world->rng.state = seed * 0x2545f4914f6cdd1du + 1;
}

void world_finish(struct world *world)
{
	broker_kill(world);
	disk_finish(world);
	for (size_t i = 0; i < world->heap_count; i++)
		free(world->heap[i].arg);
	free(world->heap);
	bytes_finish(&world->held);
	for (size_t i = 0; i < world->link_count; i++) {
		bytes_finish(&world->links[i]->up);
		bytes_finish(&world->links[i]->down);
		free(world->links[i]);
	}
	free(world->links);
}

static bool happens_before(const struct happening *a, const struct happening *b)
{
	return a->when_ms != b->when_ms ? a->when_ms < b->when_ms : a->order < b->order;
}

static void heap_swap(struct happening *a, struct happening *b)
{
	struct happening t = *a;
	*a = *b;
	*b = t;
}

void world_at(struct world *world, uint64_t delay_ms, happening_fn *call, uint64_t n, void *arg)
{
	if (world->heap_count == world->heap_room) {
		world->heap_room = world->heap_room * 2 + 64;
		world->heap = realloc(world->heap, world->heap_room * sizeof(*world->heap));
		must(world->heap != NULL);
	}
	size_t i = world->heap_count++;
	world->heap[i] = (struct happening){world->now_ms + delay_ms, world->order++, call, n, arg};
	while (i > 0 && happens_before(&world->heap[i], &world->heap[(i - 1) / 2])) {
		heap_swap(&world->heap[i], &world->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
}

static struct happening heap_pop(struct world *world)
{
	struct happening first = world->heap[0];
	world->heap[0] = world->heap[--world->heap_count];
	for (size_t i = 0;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < world->heap_count &&
			    happens_before(&world->heap[child], &world->heap[least]))
				least = child;
		if (least == i)
			return first;
		heap_swap(&world->heap[i], &world->heap[least]);
		i = least;
	}
}

void world_run(struct world *world, uint64_t until_ms)
{
	while (!world->failed && world->heap_count > 0 && world->heap[0].when_ms <= until_ms) {
		struct happening happening = heap_pop(world);
		if (happening.when_ms > world->now_ms)
			world->now_ms = happening.when_ms;
		happening.call(world, happening.n, happening.arg);
	}
	if (world->now_ms < until_ms)
		world->now_ms = until_ms;
}

void world_trace(struct world *world, const char *format, ...)
{
	char *line = world->trace[world->trace_count++ % WORLD_TRACE_LINES];
	size_t room = sizeof(world->trace[0]);
	int n = snprintf(line, room, "%8llu ", (unsigned long long)world->now_ms);
	va_list args;
	va_start(args, format);
	vsnprintf(line + n, room - (size_t)n, format, args);
	va_end(args);
	if (world->verbose)
		puts(line);
}

void world_fault(struct world *world, const char *check, const char *format, ...)
{
	if (world->failed)
		return;
	world->failed = true;
	snprintf(world->check, sizeof(world->check), "%s", check);
	va_list args;
	va_start(args, format);
	vsnprintf(world->fault, sizeof(world->fault), format, args);
	va_end(args);
	world_trace(world, "FAULT %s: %s", check, world->fault);
}
