/* moved_link.c - a link on its way that nobody takes in any more: loop.h. */
#include "broker/net/listener.h"
#include "broker/net/loop.h"
#include <stdlib.h>

void moved_link_destroy(struct moved_link *moved, struct shard *shard)
{
	stream_adopt(&moved->stream, shard_shelf(shard));
	moved->stream.class->close(&moved->stream);
	peer_count_out(moved->listener, &moved->count);
	connection_limit_leave(&moved->listener->limit);
	connection_limit_leave(moved->listener->all);
	shard_free_bytes(shard, moved->bytes);
	free(moved);
}
