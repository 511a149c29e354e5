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

/* Of a run that would leave the names nothing is taken. */
static bool read_run(struct route_walk *walk)
{
	uint32_t value = read_varint(&walk->reader);
	uint32_t count = value >> 1;

	walk->step = value & ROUTE_RUN_NEXT;
	if (!walk->begun || count == 0 || count > ROUTE_RUN_MAX ||
	    walk->row.destination + count * walk->step > walk->block->name_count)
		return false;
	walk->run = count;
	return true;
}

static bool read_row(struct route_walk *walk, uint8_t head)
{
	struct route_row *row = &walk->row;

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

/* A row, or the head of a run. */
static bool read_next(struct route_walk *walk)
{
	if (walk->bad || reader_left(&walk->reader) == 0)
		return false;
	uint8_t head = read_u8(&walk->reader);

	walk->bad =
	    !(head == ROUTE_ROW_RUN ? read_run(walk) : read_row(walk, head)) || walk->reader.bad;
	walk->begun = true;
	return !walk->bad;
}

bool route_walk_next(struct route_walk *walk)
{
	if (walk->run == 0 && !read_next(walk))
		return false;
	if (walk->run > 0) {
		walk->run--;
		walk->row.destination += walk->step;
	}
	return true;
}

bool route_rows_good(const struct route_block *block)
{
	struct route_walk walk = route_walk_of(block);
	uint32_t count = 0;

	while (count <= block->row_count && route_walk_next(&walk))
		count++;
	return !walk.bad && count == block->row_count;
}
