/*
 * loop_arm.c - what epoll is asked to tell of a link.
 *
 * Where a short read tells that nothing is left in the socket (struct stream_class), epoll
 * tells of each change once (EPOLLET); of all others it tells for as long as something is
 * there.  Once is enough as long as every reader and writer that stops before the socket
 * does asks again: loop_arm_again().  An end that came together with the last bytes is such a
 * case, and urgent data, where a read stops early: epoll says so with what is there to be read.
 * Bytes or an end that come after epoll_wait() are a change of their own: epoll(7), question 9.
 * (A read of a Unix socket stops at a descriptor that is passed, too, of which epoll says nothing:
 * so it tells of those for as long as something is there.)
 *
 * It is worth it: telling for as long as it is so costs a second look at each socket, 2 % of
 * what a message costs that comes alone.
 */
#include "broker/net/loop_internal.h"

static uint8_t wanted(const struct link *link)
{
	unsigned want = link->held ? 0u : LINK_ARMED_IN;

	if (link->unsent)
		want |= LINK_ARMED_OUT;
	if (link->stream.class->drains || (link->held && link->hung))
		want |= LINK_ARMED_ONCE;
	return (uint8_t)want;
}

static bool ask(struct loop *loop, int how, uint32_t number, struct link *link, uint8_t want)
{
	struct epoll_event event = {.data.u64 = number};

	event.events = (want & LINK_ARMED_IN ? (uint32_t)EPOLLIN : 0u) |
		       (want & LINK_ARMED_OUT ? (uint32_t)EPOLLOUT : 0u) |
		       (want & LINK_ARMED_ONCE ? (uint32_t)(EPOLLET | LOOP_MORE) : 0u);
	link->armed = want & LINK_ARMED_ALL;
	return epoll_ctl(loop->epoll, how, link->stream.fd, &event) == 0;
}

bool loop_arm_new(struct loop *loop, uint32_t number, struct link *link)
{
	return ask(loop, EPOLL_CTL_ADD, number, link, wanted(link));
}

void loop_arm(struct loop *loop, uint32_t number, struct link *link)
{
	uint8_t want = wanted(link);

	if (want != link->armed)
		must(ask(loop, EPOLL_CTL_MOD, number, link, want));
}

void loop_arm_again(struct loop *loop, uint32_t number, struct link *link)
{
	if (link->armed & LINK_ARMED_ONCE)
		link->armed = 0; /* epoll_ctl() looks at the socket anew */
	loop_arm(loop, number, link);
}
