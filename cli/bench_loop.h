/*
 * bench_loop.h - many connections in one thread: sockets with TLS or without, epoll, and packets
 * cut out of the streams.  Knows where a packet ends, not what it says.
 *
 * A turn waits once, reads each readable link once, and then sends what was written for
 * each link with one call, so that a burst of messages costs two system calls.
 *
 * Ownership: the links are the caller's memory and must stay where they are until
 * bench_loop_finish(); their buffers and channels are the loop's.  Thread: one.
 */
#ifndef CLI_BENCH_LOOP_H
#define CLI_BENCH_LOOP_H

#include "cli/buffer.h"
#include "cli/channel.h"
#include "proto/frame.h"

#include <sys/socket.h>

enum bench_link_state {
	BENCH_LINK_CLOSED,
	BENCH_LINK_CONNECTING, /* TCP */
	BENCH_LINK_SHAKING,    /* TLS */
	BENCH_LINK_OPEN,
};

struct bench_link {
	struct channel channel;
	uint8_t state;
	uint8_t role;	     /* the caller's */
	bool up;	     /* the caller's: CONNACK came; stays so after the end */
	bool resumed;	     /* the caller's: with a session */
	bool waits_for_room; /* the socket took less than all */
	bool dirty;	     /* has something to send at the end of the turn */
	uint32_t number;     /* the caller's */
	uint64_t opened_ns;
	uint64_t sent_ns; /* when something was last sent */
	size_t out_at;	  /* bytes of `out` that are sent already */
	struct buffer out;
	struct buffer part; /* the beginning of a packet that is not whole */
};

struct bench_loop_events {
	void (*on_open)(void *self, struct bench_link *link); /* TCP is there, and TLS */
	/* False: the packet is not what it should be, close. */
	bool (*on_packet)(void *self, struct bench_link *link, const struct frame *frame,
			  uint64_t now_ns);
	/*
	 * Not called for bench_link_close(). `error` is an errno, 0 for an end of the stream;
	 * EPROTO of a handshake of TLS, and `refusal` of the loop says more.
	 */
	void (*on_closed)(void *self, struct bench_link *link, int error);
};

struct bench_loop {
	int epoll;
	const struct tls_context *tls; /* the caller's; NULL: none */
	struct failure refusal;
	const struct bench_loop_events *events;
	void *self;
	struct sockaddr_storage target, source;
	socklen_t target_len, source_len; /* source_len 0: any */
	bool spreads; /* over the addresses of the loopback net: ports are finite for each */
	uint32_t opened;
	struct bench_link **dirty;
	size_t dirty_count, dirty_room;
	uint8_t *input;
	size_t input_room;
};

/* Nanoseconds of a clock that only goes forward. */
uint64_t bench_now_ns(void);

/*
 * `target`: where connected_fd, which stays the caller's, is connected to; `bind_address`
 * may be NULL.  packet_max: the longest packet that may come.
 */
bool bench_loop_init(struct bench_loop *loop, int connected_fd, const char *bind_address,
		     size_t packet_max, struct failure *failure);
void bench_loop_finish(struct bench_loop *loop, struct bench_link *links, size_t count);

/* Begins to connect; a failure says what the system lacks. */
bool bench_link_open(struct bench_loop *loop, struct bench_link *link, struct failure *failure);

/* Sends what is written as far as the socket takes it, and closes. */
void bench_link_close(struct bench_loop *loop, struct bench_link *link);

/* Room for n bytes, and how many of them were used; they go out at the end of the turn. */
uint8_t *bench_link_reserve(struct bench_loop *loop, struct bench_link *link, size_t n);
static inline void bench_link_wrote(struct bench_link *link, size_t n)
{
	link->out.len += n;
}

static inline bool bench_link_is_up(const struct bench_link *link)
{
	return link->state == BENCH_LINK_OPEN && link->up;
}

static inline size_t bench_link_unsent(const struct bench_link *link)
{
	return link->out.len - link->out_at;
}

/* Sends what is written, waits so long at most, and handles what came. */
void bench_loop_turn(struct bench_loop *loop, uint64_t wait_ns);

#endif
