/*
 * timer.h - a hierarchical timing wheel (Varghese, Lauck 1987): arm and cancel in
 * constant time, never early, at most one tick late.
 *
 * Ownership: the owner embeds the timer; the wheel links it.  A timer that is
 * armed must be cancelled before its owner is freed.
 * Units: milliseconds of struct moment.  Thread: one.
 */
#ifndef BROKER_CORE_TIMER_H
#define BROKER_CORE_TIMER_H

#include "proto/base.h"

#define TIMER_TICK_MS	 10u
#define TIMER_LEVEL_BITS 6u
#define TIMER_SLOTS	 (1u << TIMER_LEVEL_BITS)
#define TIMER_LEVELS	 6u

struct timer {
	struct timer *next;
	struct timer **link; /* what points to us; NULL when not armed */
	uint64_t due_tick : 48;
	uint64_t level : 4, slot : 6;
	uint64_t kind : 6; /* the owner's: says what the timer is embedded in */
};

/* Embedded in whatever there is very many of. */
_Static_assert(sizeof(struct timer) == 24, "a timer is small");

struct timer_wheel {
	uint64_t tick;			 /* all timers due at or before it have been given */
	uint64_t occupied[TIMER_LEVELS]; /* one bit a slot */
	struct timer *slots[TIMER_LEVELS][TIMER_SLOTS];
	uint32_t count;
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

/* Arms (or arms anew) for `due_ms` or a little later. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
	return timer->link != NULL;
}

/* Takes the next timer that is due at `now_ms` out of the wheel; NULL when none is left. */
struct timer *timer_next_due(struct timer_wheel *wheel, uint64_t now_ms);

/* When to look again; may be before a timer is due, never after. UINT64_MAX without timers. */
uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel);

#endif
