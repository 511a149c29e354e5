/*
 * stream.h - how the bytes of a connection get in and out of it.
 *
 * A stream is a socket and a class of functions, so that TLS and WebSocket can
 * stand where TCP stands; whatever such a layer needs hangs on `state`.
 *
 * Failure: results below zero; a stream that said STREAM_GONE is only closed.
 * Thread: one at a time; a stream moves from thread to thread with its link.
 */
#ifndef BROKER_NET_STREAM_H
#define BROKER_NET_STREAM_H

#include "proto/base.h"
#include <sys/types.h>

#define STREAM_END   0	/* read: the peer sends no more */
#define STREAM_AGAIN -1 /* nothing now: wait until the socket is ready */
#define STREAM_GONE  -2 /* the connection is broken */

struct stream {
	const struct stream_class *class;
	void *state; /* owned by the class; NULL for TCP */
	int fd;
};

struct stream_class {
	/* Reads up to `room` bytes: how many, or one of STREAM_*. */
	ssize_t (*read)(struct stream *stream, uint8_t *at, size_t room);
	/* Writes slices in their order: how many bytes were taken, or one of STREAM_*. */
	ssize_t (*write)(struct stream *stream, const struct slice *slices, size_t count);
	/* Says goodbye in its own protocol and sends no more; the socket stays readable. */
	void (*finish)(struct stream *stream);
	/* Frees `state` and closes the socket. */
	void (*close)(struct stream *stream);
};

/* The most slices that one write takes. */
#define STREAM_SLICES_MAX 64

#endif
