/*
 * loop_internal.h - what the files of the loop share; nobody else includes it.
 *
 *	loop.c       links: their bytes, their end, the turn
 *	loop_arm.c   what epoll tells of a link
 *	loop_door.c  listening sockets
 *	loop_open.c  handshakes, and who is still welcome after a reload
 */
#ifndef BROKER_NET_LOOP_INTERNAL_H
#define BROKER_NET_LOOP_INTERNAL_H

#include "broker/net/loop.h"

/* What epoll gives back: a link's number, or one of these kinds above it. */
#define DATA_DOOR (UINT64_C(1) << 32)
#define DATA_WAKE (UINT64_C(2) << 32)

/* ---- loop.c */

/* Takes a connection in, whose limits have been entered.  False when it could not be. */
bool loop_add_link(struct loop *loop, struct stream stream, struct listener *listener,
		   const struct listener_settings *settings, uint64_t opened_ms, uint32_t *number);

/* It counts there, from now on. */
void loop_count_link(struct link *link, struct peer_count count);

/* Reads into the loop's buffer, and remembers how much of it is to be wiped. */
ssize_t loop_read_stream(struct loop *loop, struct link *link);

/* The connection failed or ended, or we end it: no more bytes either way. */
void loop_break_link(struct loop *loop, uint32_t number, struct link *link);

/* ---- loop_arm.c */

/* What epoll says besides where a short read has not taken all: the end, and urgent data. */
#define LOOP_MORE (EPOLLRDHUP | EPOLLPRI)

/* Takes a link into epoll.  False when that could not be (memory). */
bool loop_arm_new(struct loop *loop, uint32_t number, struct link *link);

/* The link waits for something else now, or does not: epoll is asked if so. */
void loop_arm(struct loop *loop, uint32_t number, struct link *link);

/* We stopped before the socket did: what is there is to be told of once more. */
void loop_arm_again(struct loop *loop, uint32_t number, struct link *link);

/* ---- loop_door.c */

int loop_open_spare(void);
void loop_serve_door(struct loop *loop, const struct loop_door *door);
/* The time for which the doors were left alone is over. */
void loop_open_doors(struct loop *loop);

/* ---- loop_open.c */

/* Reads a link whose stream is opening, unless the turn has spent its time on such. */
ssize_t loop_read_opening(struct loop *loop, struct link *link);

/* A peer who came in by settings that are not in force any more goes, if those of now refuse it. */
void loop_recheck_link(struct loop *loop, uint32_t number);

/* Looks at links after loop_recheck(), as long as the turn has time for it. */
void loop_recheck_some(struct loop *loop);

#endif
