/* backlog.c - see backlog.h. */
#include "broker/net/backlog.h"
#include <stdlib.h>

void backlog_add(struct backlog *backlog, struct slice bytes)
{
	if (bytes.len == 0)
		return;
	backlog->bytes = realloc(backlog->bytes, backlog->len + bytes.len);
	must(backlog->bytes);
	memcpy(backlog->bytes + backlog->len, bytes.at, bytes.len);
	backlog->len += bytes.len;
}

void backlog_drop(struct backlog *backlog, size_t n)
{
	must(n <= backlog->len);
	backlog->len -= n;
	if (backlog->len == 0)
		backlog_finish(backlog);
	else
		memmove(backlog->bytes, backlog->bytes + n, backlog->len);
}

void backlog_finish(struct backlog *backlog)
{
	free(backlog->bytes);
	*backlog = (struct backlog){0};
}
