/* shelf.c - see shelf.h. */
#include "storage/route/shelf.h"

#include <stdlib.h>

#define ROOM_MIN 64u

void route_shelf_finish(struct route_shelf *shelf)
{
	free(shelf->ring);
	*shelf = (struct route_shelf){0};
}

static void grow(struct route_shelf *shelf)
{
	const size_t room = shelf->room ? shelf->room * 2 : ROOM_MIN;
	struct route_entry *ring = calloc(room, sizeof(*ring));

	must(ring != NULL);
	for (size_t i = 0; i < shelf->count; i++)
		ring[i] = *route_shelf_at(shelf, i);
	free(shelf->ring);
	shelf->ring = ring;
	shelf->room = room;
	shelf->head = 0;
}

void route_shelf_add(struct route_shelf *shelf, const struct route_entry *entry)
{
	if (shelf->count == shelf->room)
		grow(shelf);
	shelf->ring[(shelf->head + shelf->count++) & (shelf->room - 1)] = *entry;
	shelf->bytes += entry->len;
	shelf->rows += entry->rows;
}

/* Blocks of one epoch stand together: its key is looked for once for many. */
static bool has_key(struct hour_keys *keys, uint32_t epoch)
{
	uint8_t key[SEAL_KEY_LEN];
	const bool found = hour_keys_find(keys, epoch, key);

	explicit_bzero(key, sizeof(key));
	return found;
}

void route_shelf_choose(const struct route_shelf *shelf, struct hour_keys *keys, uint64_t max_bytes,
			uint64_t more, struct route_rows *gone)
{
	uint64_t left = shelf->bytes + more;
	uint32_t epoch = 0;
	bool alive = false;

	*gone = (struct route_rows){calloc(shelf->count + 1, sizeof(uint64_t)), 0};
	must(gone->at != NULL);
	for (size_t i = 0; i < shelf->count; i++) {
		const struct route_entry *entry = route_shelf_at(shelf, i);

		if (i == 0 || entry->epoch != epoch)
			alive = has_key(keys, entry->epoch);
		epoch = entry->epoch;
		if (alive && left <= max_bytes)
			continue;
		left -= entry->len;
		gone->at[gone->count++] = entry->row;
	}
}

bool route_shelf_note_damage(struct route_shelf *shelf, uint64_t row, size_t *near)
{
	for (size_t i = 0; i < shelf->count; i++) {
		const size_t at = (*near + i) % shelf->count;
		struct route_entry *entry = &shelf->ring[(shelf->head + at) & (shelf->room - 1)];

		if (entry->row != row)
			continue;
		const bool is_new = !entry->damaged;

		entry->damaged = true;
		*near = at;
		return is_new;
	}
	return false;
}

void route_shelf_remove(struct route_shelf *shelf, const struct route_rows *gone)
{
	size_t kept = 0, next = 0;

	for (size_t i = 0; i < shelf->count; i++) {
		const struct route_entry *entry = route_shelf_at(shelf, i);

		if (next < gone->count && entry->row == gone->at[next]) {
			shelf->bytes -= entry->len;
			shelf->rows -= entry->rows;
			next++;
			continue;
		}
		shelf->ring[(shelf->head + kept++) & (shelf->room - 1)] = *entry;
	}
	must(next == gone->count);
	shelf->count = kept;
}
