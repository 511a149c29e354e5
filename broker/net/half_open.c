/* half_open.c - see half_open.h. */
#include "broker/net/half_open.h"

void half_open_init(struct half_open *half_open, const uint8_t key[HASH_KEY_SIZE], uint32_t max)
{
	memcpy(half_open->key, key, HASH_KEY_SIZE);
	atomic_init(&half_open->max, max);
}

static bool enter(struct half_open *half_open, struct slice who, uint32_t max, uint16_t *place)
{
	*place = (uint16_t)hash_keyed(half_open->key, who);
	if (atomic_fetch_add_explicit(&half_open->counts[*place], 1, memory_order_relaxed) < max)
		return true;
	half_open_leave(half_open, *place);
	return false;
}

bool half_open_enter(struct half_open *half_open, const uint8_t address[PEER_ADDRESS_SIZE],
		     uint16_t *place)
{
	uint32_t max = atomic_load_explicit(&half_open->max, memory_order_relaxed);

	return enter(half_open, slice_of(address, PEER_ADDRESS_SIZE), max, place);
}

/* One byte longer: a balancer that is a client as well counts at two places. */
bool half_open_enter_untold(struct half_open *half_open, const uint8_t balancer[PEER_ADDRESS_SIZE],
			    uint16_t *place)
{
	uint32_t max = atomic_load_explicit(&half_open->max, memory_order_relaxed);
	uint8_t who[PEER_ADDRESS_SIZE + 1] = {0};

	memcpy(who, balancer, PEER_ADDRESS_SIZE);
	return enter(half_open, slice_of(who, sizeof(who)),
		     max > HALF_OPEN_UNTOLD ? max : HALF_OPEN_UNTOLD, place);
}

void half_open_leave(struct half_open *half_open, uint16_t place)
{
	uint32_t before =
	    atomic_fetch_sub_explicit(&half_open->counts[place], 1, memory_order_relaxed);

	must(before > 0);
}
