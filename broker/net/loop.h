/*
 * loop.h - one worker's epoll: its listening sockets, its links, and the bytes
 * between them and the shard.
 *
 * A turn is loop_wait() (everything that is ready becomes events of the shard),
 * then whatever else the worker has for the shard, then the effects, then
 * loop_settle(); the worker repeats the last two until nothing is left:
 *
 *	loop_wait(loop, timeout);
 *	...
 *	do carry out shard_effects(), shard_effects_done();
 *	while (loop_settle(loop));
 *
 * Each ready link is read once per turn into one buffer, and written at most a
 * few times: what is left then has its turn in the next one (loop_arm.c).
 *
 * Closing: the last bytes get FLUSH_MS to leave; then we say that we send no more
 * and wait LINGER_MS for the peer to close, discarding what it still sends.  A
 * socket closed with unread bytes would send RST, and the peer might lose our
 * last CONNACK or DISCONNECT.
 *
 * Ownership: the loop owns its links and their sockets, and borrows the shard and
 * the listeners.
 * Failure: loop_init() only.  A connection that fails becomes EVENT_LINK_CLOSED.
 * Thread: the worker's; init and finish may be the main thread's when it is not running.
 */
#ifndef BROKER_NET_LOOP_H
#define BROKER_NET_LOOP_H

#include "broker/core/arena.h"
#include "broker/core/shard.h"
#include "broker/net/link.h"
#include "broker/net/moment.h"
#include "broker/net/patience.h"
#include "broker/net/peer.h"
#include <sys/epoll.h>

#define LOOP_READ_SIZE	 STREAM_READ_MIN
#define LOOP_READY_MAX	 256
#define LOOP_ACCEPTS_MAX 64

#define LOOP_FLUSH_MS  3000u
#define LOOP_LINGER_MS 1000u
#define LOOP_PAUSE_MS  1000u /* the longest time that a publisher is not read for pressure */
/* No further handshake is gone on with in a turn that has spent so much on them. */
#define LOOP_OPENING_US 2000u

#define LOOP_REST_MS 100u /* listening stops this long when there is no descriptor at all */

struct loop_door {
	struct listener *listener;
	int fd;
};

struct loop {
	struct shard *shard;
	struct moment now; /* of this turn */
	int epoll;
	int first_reserved; /* listener_first_reserved() */
	int spare; /* given up to accept and close a connection when there is no other; or -1 */
	uint8_t *buffer;    /* payload memory, wiped by loop_settle() */
	size_t buffer_used; /* since it was wiped */
	struct link_table links;
	/* By link number, of those that are `proxied`: the address that the balancer told. */
	uint8_t (*told)[PEER_ADDRESS_SIZE];
	uint32_t told_room;
	struct loop_door *doors;
	size_t door_count;
	uint64_t rest_until_ms; /* 0: the doors are open */
	uint64_t opening_us;	/* spent on handshakes in this turn */
	uint32_t recheck_at;	/* the next link to be looked at; LINK_NONE: none */
	/*
	 * For each party: too much mail waits for it.  NULL: for none.  A link whose
	 * PUBLISH makes more of it is paused.
	 */
	const bool *pressed;
	struct patience flushing;
	struct patience lingering;
	struct patience paused;
	void *self; /* while loop_serve() runs */
	void (*before)(void *self);
	uint32_t *gone; /* links to close, with EVENT_LINK_CLOSED, at loop_settle() */
	size_t gone_count, gone_room;
	size_t ready_count;
	struct epoll_event ready[LOOP_READY_MAX];
};

/* A link on its way to another loop; one allocation. */
struct moved_link {
	struct stream stream;
	struct listener *listener;
	const struct listener_settings *settings;
	uint64_t opened_ms;
	struct peer_count count;
	uint8_t told[PEER_ADDRESS_SIZE]; /* if it is `proxied` */
	struct slice bytes; /* owned (shard_free_bytes()): what it sent and nobody handled */
};

/* `wake` is a descriptor whose readability only ends the waiting; its owner reads it. */
bool loop_init(struct loop *loop, struct shard *shard, int wake, struct failure *failure);

/* Closes all that is open, without asking the shard. */
void loop_finish(struct loop *loop);

/* Listens on a socket, which stays its listener's. */
void loop_add_door(struct loop *loop, struct listener *listener, int fd);

/* Accepts no more. */
void loop_close_doors(struct loop *loop);

/*
 * Waits until something is ready, `until_ms` (struct moment) has come or one of
 * the loop's own deadlines has; until_ms 0: does not wait.  Reads the clocks.
 */
void loop_wait(struct loop *loop, uint64_t until_ms);

/*
 * Hands what is ready to the shard; `before` is called between reading a link and
 * handing its bytes over.
 */
void loop_serve(struct loop *loop, void *self, void (*before)(void *self));

/* The effects: EFFECT_OUTPUT, EFFECT_CLOSE, EFFECT_READ. */
void loop_output(struct loop *loop, uint32_t number);
void loop_close(struct loop *loop, uint32_t number);
void loop_read(struct loop *loop, uint32_t number, bool on);

/* EFFECT_MOVE: lets the link go, taking its bytes (gives); NULL when it is not open any more. */
struct moved_link *loop_release(struct loop *loop, uint32_t number, uint64_t opened_ms,
				struct slice bytes);

/* Takes in a link of another loop, with its first bytes. */
void loop_adopt(struct loop *loop, struct moved_link *moved);

/* Closes a link that nobody will take in; its bytes go by way of that shard. */
void moved_link_destroy(struct moved_link *moved, struct shard *shard);

/*
 * The listeners' settings have changed: whom those of now would not let in is told to
 * go.  That takes several turns, if there is much to verify.
 */
void loop_recheck(struct loop *loop);

/* Reads paused publishers again. */
void loop_resume(struct loop *loop);

/* Tells the shard which links are gone; true when that made new effects.  Nothing that was read
 * stays in memory of the loop. */
bool loop_settle(struct loop *loop);

#endif
