/* own.c - see own.h. */
#include "storage/route/own.h"

#include "storage/route/rows.h"

#include <stdlib.h>

struct route_own {
	const struct route_own_name *names;
	size_t name_count;
	size_t last;
	uint64_t found; /* rows */
	struct route_own_row *rows;
	size_t count, room;		       /* at most twice `last` */
	uint32_t clients[ROUTE_NAMES_MAX + 1]; /* of the block at hand, by place; 0: no own one */
};

static int by_name(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct route_name));
}

struct route_own *route_own_create(struct route_own_name *names, size_t name_count, size_t last)
{
	struct route_own *own = calloc(1, sizeof(*own));

	must(own && last > 0);
	if (name_count > 0)
		qsort(names, name_count, sizeof(*names), by_name);
	own->names = names;
	own->name_count = name_count;
	own->last = last;
	return own;
}

static bool find_clients(struct route_own *own, const struct route_block *block)
{
	bool found = false;

	for (unsigned i = 0; i < block->name_count; i++) {
		const struct route_own_name *one =
		    bsearch(&block->names[i], own->names, own->name_count, sizeof(*one), by_name);

		own->clients[i + 1] = one ? one->client : 0;
		found = found || one;
	}
	return found;
}

/* Shards' blocks do not come in the order of their rows. */
static int by_time(const void *a, const void *b)
{
	const struct route_own_row *first = a;
	const struct route_own_row *second = b;

	return first->at_ms < second->at_ms ? -1 : first->at_ms > second->at_ms;
}

/* In their order, and no more than are wanted. */
static void keep_last(struct route_own *own)
{
	if (own->count > 0)
		qsort(own->rows, own->count, sizeof(*own->rows), by_time);
	if (own->count <= own->last)
		return;
	memmove(own->rows, own->rows + own->count - own->last, own->last * sizeof(*own->rows));
	own->count = own->last;
}

static void add(struct route_own *own, const struct route_own_row *row)
{
	if (own->count == 2 * own->last)
		keep_last(own);
	if (own->count == own->room) {
		own->room = own->room > 0 ? 2 * own->room : 64;
		own->rows = realloc(own->rows, own->room * sizeof(*own->rows));
		must(own->rows);
	}
	own->rows[own->count++] = *row;
	own->found++;
}

void route_own_block(struct route_own *own, const struct route_block *block)
{
	struct route_walk walk = route_walk_of(block);

	if (own->name_count == 0 || !find_clients(own, block))
		return;
	while (route_walk_next(&walk)) {
		const struct route_own_row row = {.at_ms =
						      block->since_s * 1000 + walk.row.after_ms,
						  .source = own->clients[walk.row.source],
						  .destination = own->clients[walk.row.destination],
						  .qos = walk.row.qos,
						  .outcome = walk.row.outcome};

		if (row.source != 0 || row.destination != 0)
			add(own, &row);
	}
}

uint64_t route_own_finish(struct route_own *own, void *self,
			  void (*give)(void *self, const struct route_own_row *row))
{
	const uint64_t found = own->found;

	keep_last(own);
	for (size_t i = 0; i < own->count; i++)
		give(self, &own->rows[i]);
	if (own->rows)
		explicit_bzero(own->rows, own->room * sizeof(*own->rows));
	free(own->rows);
	explicit_bzero(own, sizeof(*own));
	free(own);
	return found;
}
