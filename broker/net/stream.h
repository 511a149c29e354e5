/*
 * stream.h - how the bytes of a connection get in and out of it.
 *
 * A stream is a socket and a class of functions, so that TLS and WebSocket can
 * stand where TCP stands; whatever such a layer needs hangs on `state`.
 *
 * Three flags tell the loop what a layer needs: while `opening` is set, reading is
 * work on a handshake and gives no bytes of the client; while `backlog` is set,
 * bytes that the layer made (a handshake, a record cut in two by a full socket) wait
 * to be written, and write() is to be called when the socket takes more, with or
 * without slices.  `done` says that what read() just gave was the last, as STREAM_DONE
 * does when there is nothing to give.  A fourth, `mute`, says that the socket takes nothing more:
 * what is for the peer, and what the layer has to say itself, is thrown away, so that there is no
 * backlog, and what came before that is still to be read.  All change in the stream's own functions
 * only.
 *
 * What a layer keeps of the bytes may be payload: it lies in memory of the shelf that the stream
 * was given to last, and is overwritten when it is done with.
 *
 * Failure: results below zero; a stream that said STREAM_GONE is only closed, unless it is mute:
 * then it is also read.
 * Thread: one at a time; a stream moves from thread to thread with its link.
 */
#ifndef BROKER_NET_STREAM_H
#define BROKER_NET_STREAM_H

#include "proto/identity.h"
#include <sys/types.h>

#define STREAM_END   0	/* read: the peer sends no more */
#define STREAM_AGAIN -1 /* nothing now: wait until the socket is ready */
#define STREAM_GONE  -2 /* the connection is broken */
#define STREAM_DONE  -3 /* read: the layer ends it; its last words are on their way */
#define STREAM_TOLD                                                                                \
	-4 /* read: a load balancer told the peer's address, which is at `at`: peer.h              \
	    */

/* Room that is given to read(): what a layer needs to take off its envelopes in place. */
#define STREAM_READ_MIN 65536u

struct shelf;
struct transport;

struct stream {
	const struct stream_class *class;
	void *state; /* owned by the class; NULL for TCP */
	int fd;
	bool opening : 1;
	bool backlog : 1;
	bool done : 1;
	bool mute : 1;
	bool proxied : 1; /* the socket is a load balancer's: its address is not the peer's, which
			     it told */
	bool confidential : 1; /* nobody on the way can read it, whatever the addresses */
};

struct stream_class {
	/* A read that gives less than there was room for has left nothing in the socket. */
	bool drains;
	/*
	 * The stream belongs to the thread of this shelf now; comes before all others, and again
	 * when it has moved.  Missing: nothing is kept.
	 */
	void (*adopt)(struct stream *stream, struct shelf *shelf);
	/* Reads up to `room` bytes, STREAM_READ_MIN or more: how many, or one of STREAM_*. */
	ssize_t (*read)(struct stream *stream, uint8_t *at, size_t room);
	/* Writes slices in their order: how many bytes were taken, or one of STREAM_*. */
	ssize_t (*write)(struct stream *stream, const struct slice *slices, size_t count);
	/* Says goodbye in its own protocol and sends no more; the socket stays readable. */
	void (*finish)(struct stream *stream);
	/* Frees `state` and closes the socket. */
	void (*close)(struct stream *stream);
	/* Whom the peer has been proved to be, once it is open; NULL: nobody.  May be missing. */
	const struct identity *(*identity)(const struct stream *stream);
	/* Would the settings of now let this peer in as well?  Missing: they would. */
	bool (*welcome)(const struct stream *stream, const struct transport *now);
};

/* The most slices that one write takes. */
#define STREAM_SLICES_MAX 64

static inline void stream_adopt(struct stream *stream, struct shelf *shelf)
{
	if (stream->class->adopt)
		stream->class->adopt(stream, shelf);
}

#endif
