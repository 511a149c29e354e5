/* moved_link.c - a link on its way that nobody takes in any more: loop.h. */
#include "broker/net/listener.h"
#include "broker/net/loop.h"
#include "broker/net/wipe.h"

void moved_link_destroy(struct moved_link *moved)
{
	moved->stream.class->close(&moved->stream);
	connection_limit_leave(&moved->listener->limit);
	connection_limit_leave(moved->listener->all);
	wipe_free(moved->bytes);
	free(moved);
}
