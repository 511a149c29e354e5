/* address_rate.c - see address_rate.h. */
#include "broker/core/address_rate.h"
#include "broker/core/hash.h"

static uint64_t load(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* It is worth nothing from then on. */
static uint64_t end_of(const struct address_rate *place)
{
	return later(load(&place->messages_us), load(&place->bytes_us));
}

/* The one of that address; else NULL, and in *first the one beside it that is the first to end. */
static struct address_rate *find(struct address_rates *rates, uint64_t address,
				 struct address_rate **first)
{
	struct address_rate *beside = rates->places + hash_mix(address) %
							  (ADDRESS_RATES / ADDRESS_RATES_BESIDE) *
							  ADDRESS_RATES_BESIDE;
	*first = beside;
	for (struct address_rate *at = beside; at < beside + ADDRESS_RATES_BESIDE; at++) {
		if (load(&at->address) == address)
			return at;
		if (end_of(at) < end_of(*first))
			*first = at;
	}
	return NULL;
}

/* Whoever comes second finds what the first has taken. */
static struct address_rate *find_or_take(struct address_rates *rates, uint64_t address)
{
	for (;;) {
		struct address_rate *first, *place = find(rates, address, &first);
		if (place)
			return place;
		uint64_t before = load(&first->address);
		if (!atomic_compare_exchange_strong_explicit(&first->address, &before, address,
							     memory_order_relaxed,
							     memory_order_relaxed))
			continue;
		atomic_store_explicit(&first->messages_us, 0, memory_order_relaxed);
		atomic_store_explicit(&first->bytes_us, 0, memory_order_relaxed);
		return first;
	}
}

static uint64_t take(_Atomic uint64_t *at, uint64_t now_us, uint64_t cost_us)
{
	uint64_t before = load(at), after;
	do {
		after = later(before, now_us) + cost_us;
	} while (!atomic_compare_exchange_weak_explicit(at, &before, after, memory_order_relaxed,
							memory_order_relaxed));
	return after;
}

uint64_t address_rate_take(struct address_rates *rates, uint64_t address, uint64_t now_us,
			   struct address_cost cost)
{
	struct address_rate *place = find_or_take(rates, address);
	uint64_t messages_us = take(&place->messages_us, now_us, cost.message_us);
	uint64_t bytes_us = take(&place->bytes_us, now_us, cost.bytes_us);
	return later(messages_us, bytes_us);
}

/* Of a time that has come already nothing is lost by going below it. */
static void give_back(_Atomic uint64_t *at, uint64_t cost_us)
{
	uint64_t before = load(at), after;
	do {
		after = before > cost_us ? before - cost_us : 0;
	} while (!atomic_compare_exchange_weak_explicit(at, &before, after, memory_order_relaxed,
							memory_order_relaxed));
}

void address_rate_give_back(struct address_rates *rates, uint64_t address, struct address_cost cost)
{
	struct address_rate *first, *place = find(rates, address, &first);
	if (place == NULL)
		return;
	give_back(&place->messages_us, cost.message_us);
	give_back(&place->bytes_us, cost.bytes_us);
}
