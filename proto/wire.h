/*
 * wire.h - cursors over bytes: the data representations of MQTT 5.0 section 1.5
 * (3.1.1 section 1.5).  The only place that knows byte order and the variable
 * byte integer.
 *
 * A reader that ran out of bytes, or met a malformed integer, turns `bad` and
 * stays so; reads from a bad reader give zeroes and empty slices, so that a
 * decoder checks once, at its end.  A writer that ran out of room turns `full`
 * and stays so, and writes nothing more.
 *
 * Ownership: both borrow the bytes.  No heap, no state elsewhere.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include "proto/base.h"

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

struct writer {
	uint8_t *at;
	uint8_t *end;
	bool full;
};

#define VARINT_MAX     268435455u /* MQTT 5.0 1.5.5: four bytes of seven bits */
#define VARINT_LEN_MAX 4u

/* Fixed header and body of the longest packet that a Remaining Length can name, 2.1.4. */
#define PACKET_SIZE_MAX (1u + 4u + VARINT_MAX)

/* An empty slice may have no address, and adding even 0 to that is not defined. */
static inline struct reader reader_of(struct slice s)
{
	return (struct reader){s.at, s.len > 0 ? s.at + s.len : s.at, false};
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

/* Was everything read, and nothing missing? */
static inline bool reader_done(const struct reader *r)
{
	return !r->bad && r->at == r->end;
}

static inline struct writer writer_of(uint8_t *at, size_t room)
{
	return (struct writer){at, room > 0 ? at + room : at, false};
}

/* A bad reader stands at its end, so that every further read runs out as well. */
static inline void reader_fail(struct reader *r)
{
	r->at = r->end;
	r->bad = true;
}

/* ---- reading ---- */

/* n bytes as they are. */
static inline struct slice read_bytes(struct reader *r, size_t n)
{
	struct slice bytes;

	if (n == 0)
		return slice_of(r->at, 0);
	if (reader_left(r) < n) {
		reader_fail(r);
		return SLICE_NONE;
	}
	bytes = slice_of(r->at, n);
	r->at += n;
	return bytes;
}

static inline uint8_t read_u8(struct reader *r)
{
	struct slice b = read_bytes(r, 1);

	return b.len > 0 ? b.at[0] : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
	struct slice b = read_bytes(r, 2);

	return b.len > 0 ? (uint16_t)((unsigned)b.at[0] << 8 | b.at[1]) : 0;
}

static inline uint32_t read_u32(struct reader *r)
{
	struct slice b = read_bytes(r, 4);

	return b.len > 0 ? (uint32_t)b.at[0] << 24 | (uint32_t)b.at[1] << 16 |
			       (uint32_t)b.at[2] << 8 | b.at[3]
			 : 0;
}

/* Two-byte length and that many bytes ("Binary Data"). */
static inline struct slice read_binary(struct reader *r)
{
	return read_bytes(r, read_u16(r));
}

/* Binary data that must also be a valid UTF-8 string without U+0000. [MQTT-1.5.4-1] [MQTT-1.5.4-2]
 */
struct slice read_string(struct reader *r);

/* Variable byte integer; more than four bytes or a longer form than needed is bad. [MQTT-1.5.5-1]
 */
uint32_t read_varint(struct reader *r);

/*
 * The same at the start of bytes that may still be coming: how many bytes the
 * integer takes, 0 when more bytes are needed to know, -1 when it is malformed.
 */
int varint_cut(struct slice bytes, uint32_t *value);

/* ---- writing ---- */

static inline void write_bytes(struct writer *w, struct slice bytes)
{
	if (bytes.len > (size_t)(w->end - w->at)) {
		w->end = w->at;
		w->full = true;
	} else if (bytes.len > 0) {
		memcpy(w->at, bytes.at, bytes.len);
		w->at += bytes.len;
	}
}

static inline void write_u8(struct writer *w, uint8_t value)
{
	write_bytes(w, slice_of(&value, 1));
}

static inline void write_u16(struct writer *w, uint16_t value)
{
	const uint8_t b[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	write_bytes(w, slice_of(b, sizeof(b)));
}

static inline void write_u32(struct writer *w, uint32_t value)
{
	const uint8_t b[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
			      (uint8_t)value};

	write_bytes(w, slice_of(b, sizeof(b)));
}

/* value <= VARINT_MAX */
void write_varint(struct writer *w, uint32_t value);

/* Two-byte length and the bytes; bytes.len <= 65535. Serves binary data and strings. */
void write_binary(struct writer *w, struct slice bytes);

/* Bytes that a variable byte integer takes: 1 to 4. */
static inline size_t varint_size(uint32_t value)
{
	return value < 128u ? 1 : value < 16384u ? 2 : value < 2097152u ? 3 : 4;
}

#endif
