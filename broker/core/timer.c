/* timer.c - see timer.h.  A slot of level n covers 64^n ticks; when the wheel turns
 * into it, its timers are dealt out again to the levels below. */
#include "broker/core/timer.h"

#define TICK_MAX (((uint64_t)1 << 48) - 1) /* 89,000 years */
#define HORIZON	 ((uint64_t)1 << (TIMER_LEVEL_BITS * TIMER_LEVELS))

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
	*wheel = (struct timer_wheel){.tick = now_ms / TIMER_TICK_MS};
}

static void link_in(struct timer_wheel *wheel, struct timer *timer)
{
	/* One that is due already goes into the slot of this tick, which is looked at first. */
	uint64_t due = timer->due_tick > wheel->tick ? timer->due_tick : wheel->tick;
	uint64_t ahead = due - wheel->tick;
	if (ahead >= HORIZON) {
		due = wheel->tick + HORIZON - 1;
		ahead = HORIZON - 1;
	}
	unsigned level = 0;
	while (ahead >> (TIMER_LEVEL_BITS * (level + 1)))
		level++;
	unsigned slot = (unsigned)(due >> (TIMER_LEVEL_BITS * level)) & (TIMER_SLOTS - 1);
	struct timer **head = &wheel->slots[level][slot];
	timer->level = level & 0xf;
	timer->slot = slot & (TIMER_SLOTS - 1);
	timer->next = *head;
	timer->link = head;
	if (timer->next)
		timer->next->link = &timer->next;
	*head = timer;
	wheel->occupied[level] |= (uint64_t)1 << slot;
}

static void unlink_from(struct timer_wheel *wheel, struct timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->link = NULL;
	if (wheel->slots[timer->level][timer->slot] == NULL)
		wheel->occupied[timer->level] &= ~((uint64_t)1 << timer->slot);
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
	timer_cancel(wheel, timer);
	uint64_t due_tick = due_ms / TIMER_TICK_MS + (due_ms % TIMER_TICK_MS != 0);
	timer->due_tick = (due_tick < TICK_MAX ? due_tick : TICK_MAX) & TICK_MAX;
	wheel->count++;
	link_in(wheel, timer);
}

void timer_cancel(struct timer_wheel *wheel, struct timer *timer)
{
	if (!timer_armed(timer))
		return;
	unlink_from(wheel, timer);
	wheel->count--;
}

static void deal_out(struct timer_wheel *wheel, unsigned level)
{
	unsigned slot = (unsigned)(wheel->tick >> (TIMER_LEVEL_BITS * level)) & (TIMER_SLOTS - 1);
	struct timer *timer = wheel->slots[level][slot];
	wheel->slots[level][slot] = NULL;
	wheel->occupied[level] &= ~((uint64_t)1 << slot);
	while (timer) {
		struct timer *next = timer->next;
		link_in(wheel, timer);
		timer = next;
	}
}

/* The next tick at which something has to be done, at most `until`. */
static uint64_t next_stop(const struct timer_wheel *wheel, uint64_t until)
{
	uint64_t next = wheel->tick + 1;
	if (wheel->count == 0)
		return until;
	while (next < until && (next & (TIMER_SLOTS - 1)) != 0 &&
	       !(wheel->occupied[0] >> (next & (TIMER_SLOTS - 1)) & 1))
		next++;
	return next;
}

struct timer *timer_next_due(struct timer_wheel *wheel, uint64_t now_ms)
{
	uint64_t now = now_ms / TIMER_TICK_MS;
	for (;;) {
		/* What lies in this tick's slot of level 0 is due: later ones are 64 ticks off or
		 * above. */
		struct timer *timer = wheel->slots[0][wheel->tick & (TIMER_SLOTS - 1)];
		if (timer) {
			unlink_from(wheel, timer);
			wheel->count--;
			return timer;
		}
		if (wheel->tick >= now)
			return NULL;
		wheel->tick = next_stop(wheel, now);
		for (unsigned level = 1; level < TIMER_LEVELS; level++) {
			uint64_t below = ((uint64_t)1 << (TIMER_LEVEL_BITS * level)) - 1;
			if ((wheel->tick & below) != 0)
				break;
			deal_out(wheel, level);
		}
	}
}

uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel)
{
	if (wheel->count == 0)
		return UINT64_MAX;
	if (wheel->slots[0][wheel->tick & (TIMER_SLOTS - 1)])
		return wheel->tick * TIMER_TICK_MS;
	return next_stop(wheel, UINT64_MAX) * TIMER_TICK_MS;
}
