/*
 * loop_open.c - links whose streams are opening, and what costs as much as that.
 *
 * A handshake takes milliseconds of a processor, and a crowd of them would hold up
 * everybody's messages: once LOOP_OPENING_US of a turn are spent on handshakes, the
 * others wait in their sockets, and epoll names them again in the next turn.
 */
#include "broker/net/listener.h"
#include "broker/net/loop_internal.h"
#include <time.h>

static uint64_t now_us(void)
{
	struct timespec time;

	must(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

ssize_t loop_read_opening(struct loop *loop, struct link *link)
{
	if (loop->opening_us >= LOOP_OPENING_US)
		return STREAM_AGAIN;
	uint64_t begun_us = now_us();
	ssize_t n = loop_read_stream(loop, link);

	loop->opening_us += now_us() - begun_us;
	return n;
}

/* ---- after a reload */

static bool is_welcome(const struct link *link)
{
	const struct listener_settings *now =
	    atomic_load_explicit(&link->listener->settings, memory_order_acquire);

	return link->settings == now || !link->stream.class->welcome ||
	       link->stream.class->welcome(&link->stream, now->transport);
}

void loop_recheck_link(struct loop *loop, uint32_t number)
{
	struct link *link = link_table_at(&loop->links, number);

	if (link->state != LINK_OPEN || is_welcome(link))
		return;
	if (link->stream.opening)
		loop_break_link(loop, number, link);
	else
		shard_handle(loop->shard, loop->now,
			     &(struct event){.type = EVENT_LINK_EXPELLED, .link = number});
}

void loop_recheck(struct loop *loop)
{
	loop->recheck_at = 0;
}

void loop_recheck_some(struct loop *loop)
{
	if (loop->recheck_at == LINK_NONE)
		return;
	uint64_t begun_us = now_us();
	uint32_t end = link_table_end(&loop->links);

	while (loop->recheck_at < end && now_us() - begun_us < LOOP_OPENING_US)
		loop_recheck_link(loop, loop->recheck_at++);
	if (loop->recheck_at >= end)
		loop->recheck_at = LINK_NONE;
}
