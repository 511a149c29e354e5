/* backlog.c - see backlog.h. */
#include "broker/net/backlog.h"

/* At least doubled, so that what adds up in small pieces is not copied for each of them. */
static void make_room(struct backlog *backlog, struct shelf *shelf, size_t wanted)
{
	size_t room = backlog->room * 2 > wanted ? backlog->room * 2 : wanted;
	uint8_t *bytes;

	if (wanted <= backlog->room)
		return;
	bytes = arena_get(shelf, room);
	if (backlog->len > 0)
		memcpy(bytes, backlog->bytes, backlog->len);
	arena_free(shelf, backlog->bytes, backlog->room);
	backlog->bytes = bytes;
	backlog->room = room;
}

void backlog_add(struct backlog *backlog, struct shelf *shelf, struct slice bytes)
{
	if (bytes.len == 0)
		return;
	make_room(backlog, shelf, backlog->len + bytes.len);
	memcpy(backlog->bytes + backlog->len, bytes.at, bytes.len);
	backlog->len += bytes.len;
}

void backlog_drop(struct backlog *backlog, struct shelf *shelf, size_t n)
{
	must(n <= backlog->len);
	backlog->len -= n;
	if (backlog->len == 0)
		backlog_finish(backlog, shelf);
	else
		memmove(backlog->bytes, backlog->bytes + n, backlog->len);
}

void backlog_finish(struct backlog *backlog, struct shelf *shelf)
{
	arena_free(shelf, backlog->bytes, backlog->room);
	*backlog = (struct backlog){0};
}
