/* patience.c - see patience.h. */
#include "broker/net/patience.h"
#include <stdlib.h>

#define FIRST_ROOM 64u

void patience_finish(struct patience *patience)
{
	free(patience->entries);
	*patience = (struct patience){0};
}

static void grow(struct patience *patience)
{
	size_t room = patience->room > 0 ? patience->room * 2 : FIRST_ROOM;
	struct patience_entry *entries = malloc(room * sizeof(*entries));

	must(entries);
	for (size_t i = 0; i < patience->count; i++)
		entries[i] = patience->entries[(patience->first + i) & (patience->room - 1)];
	free(patience->entries);
	patience->entries = entries;
	patience->room = room;
	patience->first = 0;
}

void patience_add(struct patience *patience, struct patience_entry entry)
{
	if (patience->count == patience->room)
		grow(patience);
	patience->entries[(patience->first + patience->count++) & (patience->room - 1)] = entry;
}

bool patience_due(struct patience *patience, uint64_t now_ms, struct patience_entry *entry)
{
	if (patience->count == 0 || patience_next(patience) > now_ms)
		return false;
	*entry = patience->entries[patience->first];
	patience->first = (patience->first + 1) & (patience->room - 1);
	patience->count--;
	/* A crowd that left at once leaves no memory behind. */
	if (patience->count == 0 && patience->room > FIRST_ROOM)
		patience_finish(patience);
	return true;
}

uint64_t patience_next(const struct patience *patience)
{
	return patience->count > 0 ? patience->entries[patience->first].until_ms : UINT64_MAX;
}
