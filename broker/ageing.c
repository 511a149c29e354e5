/* ageing.c - see ageing.h. */
#include "broker/ageing.h"

void ageing_begin(struct ageing *ageing, struct moment now)
{
	*ageing = (struct ageing){.at_ms = now.ms, .now_s = now.wall_s};
}

void ageing_know(struct ageing *ageing, uint64_t at_least_s)
{
	if (ageing->now_s >= at_least_s)
		return;
	ageing->now_s = at_least_s;
	ageing->part_ms = 0;
}

uint64_t ageing_now_s(struct ageing *ageing, struct moment now)
{
	if (now.ms > ageing->at_ms) {
		ageing->part_ms += now.ms - ageing->at_ms;
		ageing->now_s += ageing->part_ms / 1000;
		ageing->part_ms %= 1000;
		ageing->at_ms = now.ms;
	}
	ageing_know(ageing, now.wall_s);
	return ageing->now_s;
}

uint64_t ageing_due_ms(const struct ageing *ageing, uint64_t due_s)
{
	if (due_s <= ageing->now_s)
		return ageing->at_ms;
	const uint64_t left_s = due_s - ageing->now_s;

	if (left_s > (UINT64_MAX - ageing->at_ms) / 1000)
		return UINT64_MAX;
	return ageing->at_ms + left_s * 1000 - ageing->part_ms;
}
