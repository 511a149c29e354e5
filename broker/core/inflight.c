/* inflight.c - see inflight.h. */
#include "broker/core/inflight.h"
#include "broker/core/memory.h"
#include "broker/core/steps.h"
#include <stdlib.h>

#define ROOM_MIN 4u

/* The largest ring that is kept while nothing is under way: bursts come again. */
#define ROOM_KEPT 256u

static void resize(struct inflight *inflight, struct purse *purse, uint32_t room)
{
	struct outbound *ring = memory_get_zeroed(room * sizeof *ring);
	for (uint32_t i = 0; i < inflight->room; i++) {
		const struct outbound *entry = &inflight->ring[i];
		/* Identifiers that differ in the low bits of a small ring do so in a larger one. */
		if (entry->state != INFLIGHT_FREE)
			ring[entry->id & (room - 1)] = *entry;
	}
	memory_free(inflight->ring);
	purse_give(purse, inflight->room * sizeof *ring);
	purse_force(purse, room * sizeof *ring);
	inflight->ring = ring;
	inflight->room = room;
}

/*
 * The next identifier whose place in the ring is free.  A place taken by another
 * identifier is passed over while the ring is sparse, so that one delivery that
 * is never acknowledged does not make the ring grow without end.
 */
static uint16_t next_id(struct inflight *inflight)
{
	for (;;) {
		inflight->last_id = inflight->last_id == UINT16_MAX ? 1 : inflight->last_id + 1;
		if (inflight->ring[inflight->last_id & (inflight->room - 1)].state == INFLIGHT_FREE)
			return inflight->last_id;
	}
}

struct outbound *inflight_add(struct inflight *inflight, struct purse *purse,
			      struct delivery delivery)
{
	must(inflight->count < INFLIGHT_MAX);
	uint32_t room_max = INFLIGHT_MAX + 1;
	if (inflight->room == 0)
		resize(inflight, purse, ROOM_MIN);
	else if (inflight->count >= inflight->room / 4 * 3 && inflight->room < room_max)
		resize(inflight, purse, inflight->room * 2);
	uint16_t id = next_id(inflight);
	struct outbound *entry = &inflight->ring[id & (inflight->room - 1)];
	*entry = (struct outbound){
	    .delivery = delivery,
	    .order = inflight->next_order++,
	    .id = id,
	    .state = delivery.qos == 2 ? INFLIGHT_PUBREC : INFLIGHT_PUBACK,
	};
	inflight->count++;
	inflight->holding++;
	inflight->bytes += delivery_weight(&delivery);
	return entry;
}

/* An empty entry with an identifier that is free. */
static struct outbound *place_for(struct inflight *inflight, struct purse *purse, uint16_t id)
{
	if (inflight->room == 0)
		resize(inflight, purse, ROOM_MIN);
	while (inflight->ring[id & (inflight->room - 1)].state != INFLIGHT_FREE ||
	       (inflight->count >= inflight->room / 4 * 3 && inflight->room <= INFLIGHT_MAX))
		resize(inflight, purse, inflight->room * 2);
	struct outbound *entry = &inflight->ring[id & (inflight->room - 1)];
	*entry = (struct outbound){.order = inflight->next_order++, .id = id};
	inflight->count++;
	inflight->last_id = id;
	return entry;
}

void inflight_restore(struct inflight *inflight, struct purse *purse, struct delivery delivery,
		      uint16_t id, enum inflight_state state)
{
	struct outbound *entry = place_for(inflight, purse, id);
	entry->delivery = delivery;
	entry->state = (uint8_t)state;
	entry->sent = true;
	if (delivery.message == NULL)
		return;
	inflight->holding++;
	inflight->bytes += delivery_weight(&delivery);
}

struct outbound *inflight_recall(struct inflight *inflight, struct purse *purse, uint16_t id,
				 enum inflight_state state)
{
	struct outbound *entry = place_for(inflight, purse, id);
	entry->state = (uint8_t)state;
	entry->sent = entry->recorded = true;
	purse_force(purse, STEP_COST);
	inflight->recalled = true;
	return entry;
}

bool inflight_rejoin(struct inflight *inflight, struct outbound *entry, struct delivery delivery,
		     enum inflight_state state)
{
	bool lacks = entry->uncertain && state == INFLIGHT_PUBREC;
	if (entry->delivery.message || (!lacks && state != INFLIGHT_PUBCOMP))
		return false;
	entry->delivery = delivery;
	entry->order = inflight->next_order++;
	entry->state = (uint8_t)state;
	entry->uncertain = false;
	if (delivery.message == NULL)
		return true;
	inflight->holding++;
	inflight->bytes += delivery_weight(&delivery);
	return true;
}

static void forget_order(struct inflight *inflight)
{
	memory_free(inflight->resend_ids);
	inflight->resend_ids = NULL;
	inflight->resend_at = 0;
}

static int by_id(const void *a, const void *b)
{
	const struct outbound *const *first = a;
	const struct outbound *const *second = b;
	return (*first)->id - (*second)->id;
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *first = a;
	const uint32_t *second = b;
	return *first < *second ? -1 : *first > *second;
}

/* Identifiers rise and go round: the first one stands behind the widest gap. */
static uint32_t first_in_round(struct outbound *const entries[], uint32_t n)
{
	uint32_t first = 0;
	unsigned widest = 0;
	for (uint32_t i = 0; i < n; i++) {
		unsigned before = entries[i > 0 ? i - 1 : n - 1]->id;
		unsigned gap = (entries[i]->id - before) & UINT16_MAX;
		if (gap > widest) {
			widest = gap;
			first = i;
		}
	}
	return first;
}

/* The store tells their latest steps in order, but they were sent in that of their identifiers. */
void inflight_settle(struct inflight *inflight)
{
	uint32_t n = 0;
	if (!inflight->recalled)
		return;
	inflight->recalled = false;
	struct outbound **entries = memory_get((inflight->count + 1) * sizeof *entries);
	uint32_t *orders = memory_get((inflight->count + 1) * sizeof *orders);
	for (uint32_t i = 0; i < inflight->room; i++) {
		struct outbound *entry = &inflight->ring[i];
		if (entry->state == INFLIGHT_FREE || entry->delivery.message)
			continue;
		orders[n] = entry->order;
		entries[n++] = entry;
	}
	qsort(entries, n, sizeof(struct outbound *), by_id);
	qsort(orders, n, sizeof *orders, by_number);
	uint32_t first = first_in_round(entries, n);
	for (uint32_t i = 0; i < n; i++)
		entries[(first + i) % n]->order = orders[i];
	memory_free(entries);
	memory_free(orders);
	forget_order(inflight);
}

void inflight_revive(struct inflight *inflight, struct outbound *entry, struct delivery delivery)
{
	entry->delivery = delivery;
	entry->order = inflight->next_order++;
	entry->state = INFLIGHT_PUBREC;
	inflight->holding++;
	inflight->bytes += delivery_weight(&delivery);
	inflight_mark_one(inflight, entry);
}

struct outbound *inflight_find(const struct inflight *inflight, uint16_t id)
{
	if (inflight->count == 0)
		return NULL;
	struct outbound *entry = &inflight->ring[id & (inflight->room - 1)];
	return entry->state != INFLIGHT_FREE && entry->id == id ? entry : NULL;
}

void inflight_let_go(struct inflight *inflight, struct purse *purse, struct outbound *entry)
{
	if (entry->delivery.message == NULL)
		return;
	inflight->bytes -= delivery_weight(&entry->delivery);
	inflight->holding--;
	delivery_finish(&entry->delivery, purse);
}

void inflight_received(struct inflight *inflight, struct purse *purse, struct outbound *entry)
{
	inflight_let_go(inflight, purse, entry);
	inflight_resent(inflight, entry);
	/* next_order stays: it says how many deliveries have begun (gate.c). */
	if ((int32_t)(inflight->next_order - inflight->next_received) > 0)
		inflight->next_received = inflight->next_order;
	entry->order = inflight->next_received++;
}

void inflight_end(struct inflight *inflight, struct purse *purse, struct outbound *entry)
{
	inflight_let_go(inflight, purse, entry);
	inflight_resent(inflight, entry);
	entry->counted = false;
	entry->state = INFLIGHT_ENDED;
	inflight->ended++;
}

void inflight_remove(struct inflight *inflight, struct purse *purse, struct outbound *entry)
{
	inflight_let_go(inflight, purse, entry);
	inflight_resent(inflight, entry);
	inflight->ended -= entry->state == INFLIGHT_ENDED;
	if (entry->recorded)
		purse_give(purse, STEP_COST);
	*entry = (struct outbound){0};
	if (--inflight->count > 0 || inflight->room <= ROOM_KEPT)
		return;
	purse_give(purse, inflight->room * sizeof *entry);
	memory_free(inflight->ring);
	inflight->ring = NULL;
	inflight->room = 0;
}

void inflight_clear(struct inflight *inflight, struct purse *purse)
{
	for (uint32_t i = 0; i < inflight->room; i++)
		if (inflight->ring[i].state != INFLIGHT_FREE) {
			inflight_let_go(inflight, purse, &inflight->ring[i]);
			if (inflight->ring[i].recorded)
				purse_give(purse, STEP_COST);
		}
	purse_give(purse, inflight->room * sizeof *inflight->ring);
	memory_free(inflight->ring);
	forget_order(inflight);
	*inflight = (struct inflight){0};
}

/* What is over has nothing to send, and what awaits its publisher nothing to send yet. */
static bool goes_again(const struct outbound *entry)
{
	return entry->state != INFLIGHT_FREE && entry->state != INFLIGHT_ENDED &&
	       entry->state != INFLIGHT_AWAITED;
}

void inflight_mark_resend(struct inflight *inflight)
{
	forget_order(inflight);
	inflight->to_resend = 0;
	for (uint32_t i = 0; i < inflight->room; i++) {
		struct outbound *entry = &inflight->ring[i];
		entry->counted = false;
		entry->resend = goes_again(entry);
		inflight->to_resend += entry->resend;
	}
}

void inflight_mark_one(struct inflight *inflight, struct outbound *entry)
{
	if (entry->resend)
		return;
	forget_order(inflight);
	entry->resend = true;
	inflight->to_resend++;
}

void inflight_resent(struct inflight *inflight, struct outbound *entry)
{
	inflight->to_resend -= entry->resend;
	entry->resend = false;
}

static int by_order(const void *a, const void *b)
{
	const struct outbound *const *first = a;
	const struct outbound *const *second = b;
	if (inflight_is_received(*first) != inflight_is_received(*second))
		return inflight_is_received(*first) ? -1 : 1;
	return (int32_t)((*first)->order - (*second)->order) < 0 ? -1 : 1;
}

static void find_order(struct inflight *inflight)
{
	uint32_t n = 0;
	const struct outbound **entries = memory_get(inflight->to_resend * sizeof *entries);
	inflight->resend_ids = memory_get(inflight->to_resend * sizeof(uint16_t));
	for (uint32_t i = 0; i < inflight->room; i++)
		if (inflight->ring[i].resend)
			entries[n++] = &inflight->ring[i];
	must(n == inflight->to_resend);
	qsort(entries, n, sizeof(const struct outbound *), by_order);
	for (uint32_t i = 0; i < n; i++)
		inflight->resend_ids[i] = entries[i]->id;
	memory_free(entries);
}

struct outbound *inflight_next_resend(struct inflight *inflight)
{
	if (inflight->to_resend == 0) {
		forget_order(inflight);
		return NULL;
	}
	if (inflight->resend_ids == NULL)
		find_order(inflight);
	for (;; inflight->resend_at++) {
		struct outbound *entry =
		    inflight_find(inflight, inflight->resend_ids[inflight->resend_at]);
		if (entry && entry->resend)
			return entry;
	}
}
