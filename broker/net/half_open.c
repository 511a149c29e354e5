/* half_open.c - see half_open.h. */
#include "broker/net/half_open.h"

void half_open_init(struct half_open *half_open, const uint8_t key[HASH_KEY_SIZE], uint32_t max)
{
	memcpy(half_open->key, key, HASH_KEY_SIZE);
	atomic_init(&half_open->max, max);
}

bool half_open_enter(struct half_open *half_open, const uint8_t address[PEER_ADDRESS_SIZE],
		     uint16_t *place)
{
	uint32_t max = atomic_load_explicit(&half_open->max, memory_order_relaxed);

	*place = (uint16_t)hash_keyed(half_open->key, slice_of(address, PEER_ADDRESS_SIZE));
	if (atomic_fetch_add_explicit(&half_open->counts[*place], 1, memory_order_relaxed) < max)
		return true;
	half_open_leave(half_open, *place);
	return false;
}

void half_open_leave(struct half_open *half_open, uint16_t place)
{
	uint32_t before =
	    atomic_fetch_sub_explicit(&half_open->counts[place], 1, memory_order_relaxed);

	must(before > 0);
}
