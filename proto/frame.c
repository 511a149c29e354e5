/* frame.c - see frame.h. */
#include "proto/frame.h"

enum frame_status frame_cut(struct slice bytes, struct frame *out)
{
	uint32_t body_len;
	int used;

	out->size = 0;
	if (bytes.len < 2)
		return FRAME_PARTIAL;
	used = varint_cut(slice_after(bytes, 1), &body_len);
	if (used < 0)
		return FRAME_BAD;
	if (used == 0)
		return FRAME_PARTIAL;
	out->type = bytes.at[0] >> 4;
	out->flags = bytes.at[0] & 0x0F;
	out->size = 1 + (size_t)used + body_len;
	if (bytes.len < out->size)
		return FRAME_PARTIAL;
	out->body = slice_of(bytes.at + 1 + used, body_len);
	return FRAME_WHOLE;
}

bool frame_begin(struct writer *w, uint8_t *out, size_t room, uint8_t first, size_t body_len)
{
	size_t size;

	if (body_len > VARINT_MAX)
		return false;
	size = 1 + varint_size((uint32_t)body_len) + body_len;
	if (size > room)
		return false;
	*w = writer_of(out, size);
	write_u8(w, first);
	write_varint(w, (uint32_t)body_len);
	return true;
}

size_t frame_end(const struct writer *w, const uint8_t *out)
{
	must(!w->full && w->at == w->end);
	return (size_t)(w->end - out);
}
