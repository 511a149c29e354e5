/* step.c - see step.h. */
#include "storage/step.h"

#include "storage/bytes.h"

uint8_t *step_encode(uint8_t *at, const struct store_step *step)
{
	unsigned type = step->type;

	if (step->group != 0)
		type |= STEP_GROUP;
	at = bytes_put(at, type, 1);
	at = bytes_put(at, step->row, 8);
	if (step->type == STEP_QUEUED)
		return bytes_put(at, step->count, 4);
	at = bytes_put(at, step->packet_id, 2);
	at = bytes_put(at, step->envelope, 8);
	return step->group != 0 ? bytes_put(at, step->group, 8) : at;
}

size_t step_decode(struct slice body, struct store_step *step)
{
	static const uint8_t lengths[STEP_TYPES] = {0, 19, 19, 19, 19, 19, 13};
	unsigned type = body.at[0] & ~STEP_GROUP;
	bool group = (body.at[0] & STEP_GROUP) != 0;
	size_t len;

	if (type == STEP_NONE || type >= STEP_TYPES)
		return 0;
	if (group && (type < STEP_OUTBOUND_SENT || type > STEP_OUTBOUND_END))
		return 0;
	len = lengths[type] + (group ? 8u : 0u);
	if (body.len < len)
		return 0;
	*step = (struct store_step){.type = (uint8_t)type, .row = bytes_get(body.at + 1, 8)};
	if (type == STEP_QUEUED) {
		step->count = (uint32_t)bytes_get(body.at + 9, 4);
		return len;
	}
	step->packet_id = (uint16_t)bytes_get(body.at + 9, 2);
	step->envelope = bytes_get(body.at + 11, 8);
	if (group)
		step->group = bytes_get(body.at + 19, 8);
	return len;
}
