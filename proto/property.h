/*
 * property.h - decodes and encodes the property block of a packet, MQTT 5.0
 * section 2.2.2, driven by property.def.  Internal to proto; the walkers that
 * others need are in packet.h.  Pure, no heap.
 */
#ifndef PROTO_PROPERTY_H
#define PROTO_PROPERTY_H

#include "proto/packet.h"
#include "proto/wire.h"

enum property_type {
	TYPE_FLAG,    /* one byte, 0 or 1: all byte properties are that */
	TYPE_U16,     /* two bytes */
	TYPE_LIMIT16, /* two bytes, not 0 */
	TYPE_ALIAS,   /* two bytes, not 0, with a reason code of its own */
	TYPE_U32,     /* four bytes */
	TYPE_LIMIT32, /* four bytes, not 0 */
	TYPE_COUNT,   /* variable byte integer, not 0 */
	TYPE_STRING,  /* UTF-8 string */
	TYPE_TOPIC,   /* UTF-8 string that is a topic name */
	TYPE_BINARY,  /* binary data */
	TYPE_PAIR,    /* two UTF-8 strings */
};

/* Stands for the will's block where a packet type is asked for; type 0 is reserved. */
enum {
	MQTT_WILL = 0,
};

/*
 * Reads the property length and the properties that may stand in `packet`.
 * Fails with the reason to send; what is wrong with the length is left in the
 * reader, too.  Sets `present`, `raw`, `user` and the fields that are present.
 */
enum mqtt_reason property_decode(struct reader *r, uint8_t packet, struct mqtt_properties *out);

/* A block that is not there: before 5.0, and in the short forms of 5.0. */
static inline void property_none(struct mqtt_properties *out)
{
	out->present = 0;
	out->raw = SLICE_NONE;
	out->user = SLICE_NONE;
}

/* Bytes of the properties to encode, without their length; 0 before 5.0. */
size_t property_size(enum mqtt_version v, const struct mqtt_properties *p);

/* Bytes of the whole block: 0 before 5.0. `size` is property_size(). */
static inline size_t property_block_size(enum mqtt_version v, size_t size)
{
	return v < MQTT_VERSION_5_0 ? 0 : varint_size((uint32_t)size) + size;
}

/*
 * Writes the whole block, nothing before 5.0: properties in the order of their
 * identifiers, then the user properties as they are.
 */
void property_encode(struct writer *w, enum mqtt_version v, const struct mqtt_properties *p,
		     size_t size);

#endif
