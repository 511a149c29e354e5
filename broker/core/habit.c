/* habit.c - see habit.h. */
#include "broker/core/habit.h"

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* It is worth nothing from then on. */
static uint64_t end_of(const struct habit *habit)
{
	return later(later(habit->messages_us, habit->bytes_us), habit->connects_us);
}

uint64_t habit_key(const struct shard *shard, uint64_t who, struct slice client_id)
{
	return (hash_keyed(shard->hash_key, client_id) ^ hash_mix(who)) | 1;
}

/* The one of that key, or of those beside it the first to end. */
static struct habit *place_of(const struct shard *shard, uint64_t key)
{
	struct habit *beside =
	    shard->habits + hash_mix(key) % (HABITS / HABITS_BESIDE) * HABITS_BESIDE;
	struct habit *first = beside;
	for (struct habit *at = beside; at < beside + HABITS_BESIDE; at++) {
		if (at->key == key)
			return at;
		if (end_of(at) < end_of(first))
			first = at;
	}
	return first;
}

struct habit habit_of(const struct shard *shard, uint64_t key)
{
	if (shard->habits == NULL)
		return (struct habit){.key = key};
	struct habit found = *place_of(shard, key);
	return found.key == key ? found : (struct habit){.key = key};
}

void habit_keep(struct shard *shard, const struct habit *habit)
{
	if (end_of(habit) <= shard->now.ms * 1000)
		return;
	if (shard->habits == NULL)
		shard->habits = memory_get_zeroed(HABITS * sizeof *shard->habits);
	*place_of(shard, habit->key) = *habit;
}
