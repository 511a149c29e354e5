/* wire.c - see wire.h. */
#include "proto/wire.h"
#include "proto/utf8.h"

#define VARINT_BYTES_MAX 4u

int varint_cut(struct slice bytes, uint32_t *value)
{
	*value = 0;
	for (size_t i = 0; i < VARINT_BYTES_MAX; i++) {
		if (i == bytes.len)
			return 0;
		*value |= (uint32_t)(bytes.at[i] & 0x7F) << (7 * i);
		if (bytes.at[i] & 0x80)
			continue;
		if (i > 0 && bytes.at[i] == 0) /* a shorter form exists [MQTT-1.5.5-1] */
			return -1;
		return (int)i + 1;
	}
	return -1;
}

uint32_t read_varint(struct reader *r)
{
	uint32_t value;
	int used = varint_cut(slice_of(r->at, reader_left(r)), &value);

	if (used <= 0) {
		reader_fail(r);
		return 0;
	}
	r->at += used;
	return value;
}

struct slice read_string(struct reader *r)
{
	struct slice text = read_binary(r);

	if (utf8_string_accepted(
		text)) /* [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3] [MQTT-4.7.3-2]
			  [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT3-1.5.3-3] [MQTT3-4.7.3-2] */
		return text;
	reader_fail(r);
	return SLICE_NONE;
}

void write_varint(struct writer *w, uint32_t value)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	size_t n = varint_size(value);

	must(value <= VARINT_MAX);
	for (size_t i = 0; i < n; i++, value >>= 7)
		bytes[i] = (uint8_t)((value & 0x7F) | (i + 1 < n ? 0x80 : 0));
	write_bytes(w, slice_of(bytes, n));
}

void write_binary(struct writer *w, struct slice bytes)
{
	must(bytes.len <= UINT16_MAX);
	/* All or nothing: a length without its bytes would not be less than full. */
	if ((size_t)(w->end - w->at) < 2 + bytes.len) {
		w->end = w->at;
		w->full = true;
		return;
	}
	write_u16(w, (uint16_t)bytes.len);
	write_bytes(w, bytes);
}
