/* rows.c - see rows.h. */
#include "storage/route/rows.h"

struct route_walk route_walk_of(const struct route_block *block)
{
	return (struct route_walk){.block = block,
				   .reader = reader_of(slice_of(block->rows, block->rows_len))};
}

/* Into *place, which stays as it is when the bytes end here or name nobody that is there. */
static bool read_place(struct route_walk *walk, uint16_t *place)
{
	uint32_t value = read_varint(&walk->reader);

	if (walk->reader.bad || value > walk->block->name_count)
		return false;
	*place = (uint16_t)value;
	return true;
}

static bool read_row(struct route_walk *walk)
{
	struct route_row *row = &walk->row;
	uint8_t head = read_u8(&walk->reader);

	row->outcome = head & ROUTE_ROW_OUTCOME;
	row->qos = (uint8_t)((head & ROUTE_ROW_QOS) >> ROUTE_ROW_QOS_SHIFT);
	if (row->outcome >= ROUTE_OUTCOMES || row->qos > 2)
		return false;
	if (head & ROUTE_ROW_TIME)
		row->after_ms += read_varint(&walk->reader);
	if ((head & ROUTE_ROW_SOURCE) && !read_place(walk, &row->source))
		return false;
	return read_place(walk, &row->destination);
}

bool route_walk_next(struct route_walk *walk)
{
	if (walk->bad || reader_left(&walk->reader) == 0)
		return false;
	walk->bad = !read_row(walk) || walk->reader.bad;
	return !walk->bad;
}

bool route_rows_good(const struct route_block *block)
{
	struct route_walk walk = route_walk_of(block);
	uint32_t count = 0;

	while (route_walk_next(&walk))
		count++;
	return !walk.bad && count == block->row_count;
}
