/* calm.c - see calm.h. */
#include "broker/calm.h"
#include "broker/core/happened.h"
#include "broker/core/shard.h"
#include <malloc.h>

void calm_turn(struct calm *calm, struct shard *shard, size_t events, uint64_t now_ms)
{
	uint64_t bytes = happened_get(shard_happened(shard), HAPPENED_BYTES_RECEIVED);

	calm->load += events + (bytes - calm->bytes) / CALM_BYTES;
	calm->bytes = bytes;
	calm->events += events;
	if (now_ms < calm->period_ms + CALM_MS)
		return;
	if (calm->load >= CALM_LOAD && calm->events < CALM_EVENTS) {
		shard_calm(shard);
		malloc_trim(0);
		calm->load = 0;
	}
	calm->events = 0;
	calm->period_ms = now_ms;
}
