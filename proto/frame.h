/*
 * frame.h - the fixed header: cuts control packets out of a stream of bytes, and begins new ones.
 * MQTT 5.0 section 2.1: fixed header = type and flags, Remaining Length.
 * Pure: looks at the bytes given, keeps nothing.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "proto/wire.h"

enum frame_status {
	FRAME_WHOLE,   /* a packet: all of struct frame is set */
	FRAME_PARTIAL, /* more bytes are needed; `size` is set once the header is there, else 0 */
	FRAME_BAD,     /* Remaining Length malformed [MQTT-1.5.5-1]; close */
};

struct frame {
	uint8_t type;	   /* enum mqtt_packet_type, 0 to 15 */
	uint8_t flags;	   /* low four bits of the first byte */
	struct slice body; /* the Remaining Length bytes after the fixed header; borrows */
	size_t size;	   /* bytes of fixed header and body together */
};

/*
 * Looks for one packet at the start of `bytes`.  With FRAME_PARTIAL and size > 0
 * type and flags are set too, so that a limit can be enforced on the header
 * alone, before the body has come.
 */
enum frame_status frame_cut(struct slice bytes, struct frame *out);

/*
 * The other direction, for the encoders: sets the writer up for one packet with
 * a body of exactly body_len bytes and writes its fixed header; `first` is type
 * and flags.  False, with nothing written, when the packet does not fit.
 */
bool frame_begin(struct writer *w, uint8_t *out, size_t room, uint8_t first, size_t body_len);

/* The size of the packet, whose body must have become as long as promised. */
size_t frame_end(const struct writer *w, const uint8_t *out);

#endif
