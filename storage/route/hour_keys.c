/* hour_keys.c - see hour_keys.h. */
#include "storage/route/hour_keys.h"

#include "storage/secret_memory.h"

#include <pthread.h>
#include <stdlib.h>

#define EPOCHS	    24u
#define EPOCH_MAX_S 3600u

struct epoch_keys {
	bool used;
	uint32_t epoch;
	uint8_t seal[SEAL_KEY_LEN];
	uint8_t name[SEAL_KEY_LEN];
};

struct secrets {
	uint8_t nobody[SEAL_KEY_LEN];
	struct epoch_keys at[HOUR_KEYS_MAX];
};

struct hour_keys {
	pthread_mutex_t mutex;
	uint32_t expiry_s;
	uint32_t epoch_s;
	struct secrets *secrets;
};

static void lock(struct hour_keys *keys)
{
	must(pthread_mutex_lock(&keys->mutex) == 0);
}

static void unlock(struct hour_keys *keys)
{
	must(pthread_mutex_unlock(&keys->mutex) == 0);
}

uint32_t hour_keys_epoch_s(uint32_t expiry_s)
{
	const uint32_t part = expiry_s / EPOCHS;

	return part > EPOCH_MAX_S ? EPOCH_MAX_S : part > 0 ? part : 1;
}

struct hour_keys *hour_keys_create(uint32_t expiry_s)
{
	struct hour_keys *keys = calloc(1, sizeof(*keys));

	must(keys != NULL && pthread_mutex_init(&keys->mutex, NULL) == 0);
	keys->expiry_s = expiry_s;
	keys->epoch_s = hour_keys_epoch_s(expiry_s);
	keys->secrets = secret_memory_get(sizeof(*keys->secrets));
	seal_random(keys->secrets->nobody, sizeof(keys->secrets->nobody));
	return keys;
}

void hour_keys_destroy(struct hour_keys *keys)
{
	if (keys == NULL)
		return;
	secret_memory_give(keys->secrets, sizeof(*keys->secrets));
	pthread_mutex_destroy(&keys->mutex);
	free(keys);
}

static void destroy_one(struct epoch_keys *one)
{
	explicit_bzero(one, sizeof(*one));
}

void hour_keys_set_expiry(struct hour_keys *keys, uint32_t expiry_s)
{
	lock(keys);
	if (expiry_s != keys->expiry_s)
		for (unsigned i = 0; i < HOUR_KEYS_MAX; i++)
			destroy_one(&keys->secrets->at[i]);
	keys->expiry_s = expiry_s;
	keys->epoch_s = hour_keys_epoch_s(expiry_s);
	unlock(keys);
}

/* NULL for none. */
static struct epoch_keys *find(struct hour_keys *keys, uint32_t epoch)
{
	for (unsigned i = 0; i < HOUR_KEYS_MAX; i++) {
		struct epoch_keys *one = &keys->secrets->at[i];

		if (one->used && one->epoch == epoch)
			return one;
	}
	return NULL;
}

/* A free place.  Full only of a clock that jumped about: then the oldest go early. */
static struct epoch_keys *place(struct hour_keys *keys)
{
	struct epoch_keys *oldest = &keys->secrets->at[0];

	for (unsigned i = 0; i < HOUR_KEYS_MAX; i++) {
		struct epoch_keys *one = &keys->secrets->at[i];

		if (!one->used)
			return one;
		if (one->epoch < oldest->epoch)
			oldest = one;
	}
	destroy_one(oldest);
	return oldest;
}

static struct epoch_keys *make(struct hour_keys *keys, uint32_t epoch)
{
	struct epoch_keys *one = place(keys);

	one->used = true;
	one->epoch = epoch;
	seal_random(one->seal, sizeof(one->seal));
	seal_random(one->name, sizeof(one->name));
	return one;
}

void hour_keys_nobody(struct hour_keys *keys, struct slice client_id,
		      uint8_t identity[SEAL_KEY_LEN])
{
	seal_mac(keys->secrets->nobody, client_id, identity);
}

static struct route_name name_of(const struct epoch_keys *one, const uint8_t identity[SEAL_KEY_LEN])
{
	uint8_t whole[SEAL_KEY_LEN];
	struct route_name name;

	seal_mac(one->name, slice_of(identity, SEAL_KEY_LEN), whole);
	memcpy(name.at, whole, sizeof(name.at));
	explicit_bzero(whole, sizeof(whole));
	return name;
}

static bool is_now(const struct hour_keys *keys, uint32_t epoch, uint64_t now_s)
{
	const uint64_t begin_s = (uint64_t)epoch * keys->epoch_s;

	return now_s + HOUR_KEYS_SLACK_S >= begin_s &&
	       now_s < begin_s + keys->epoch_s + HOUR_KEYS_SLACK_S;
}

bool hour_keys_name(struct hour_keys *keys, uint32_t epoch, uint64_t now_s,
		    const uint8_t identity[SEAL_KEY_LEN], struct route_name *name)
{
	lock(keys);
	const bool now = is_now(keys, epoch, now_s);

	if (now) {
		const struct epoch_keys *one = find(keys, epoch);

		*name = name_of(one != NULL ? one : make(keys, epoch), identity);
	}
	unlock(keys);
	return now;
}

bool hour_keys_find(struct hour_keys *keys, uint32_t epoch, uint8_t key[SEAL_KEY_LEN])
{
	lock(keys);
	const struct epoch_keys *one = find(keys, epoch);

	if (one != NULL)
		memcpy(key, one->seal, SEAL_KEY_LEN);
	unlock(keys);
	return one != NULL;
}

static int by_epoch(const void *a, const void *b)
{
	const struct hour_name *first = a;
	const struct hour_name *second = b;

	return first->epoch < second->epoch ? -1 : first->epoch > second->epoch;
}

size_t hour_keys_names(struct hour_keys *keys, const uint8_t identity[SEAL_KEY_LEN],
		       struct hour_name names[HOUR_KEYS_MAX])
{
	size_t count = 0;

	lock(keys);
	for (unsigned i = 0; i < HOUR_KEYS_MAX; i++) {
		const struct epoch_keys *one = &keys->secrets->at[i];

		if (one->used)
			names[count++] = (struct hour_name){one->epoch, name_of(one, identity)};
	}
	unlock(keys);
	qsort(names, count, sizeof(*names), by_epoch);
	return count;
}

static uint64_t end_of(const struct hour_keys *keys, const struct epoch_keys *one)
{
	return (uint64_t)one->epoch * keys->epoch_s + keys->expiry_s;
}

unsigned hour_keys_expire(struct hour_keys *keys, uint64_t now_s)
{
	unsigned count = 0;

	lock(keys);
	for (unsigned i = 0; i < HOUR_KEYS_MAX; i++) {
		struct epoch_keys *one = &keys->secrets->at[i];

		if (!one->used || end_of(keys, one) > now_s)
			continue;
		destroy_one(one);
		count++;
	}
	unlock(keys);
	return count;
}

uint64_t hour_keys_due_s(struct hour_keys *keys)
{
	uint64_t due_s = UINT64_MAX;

	lock(keys);
	for (unsigned i = 0; i < HOUR_KEYS_MAX; i++) {
		const struct epoch_keys *one = &keys->secrets->at[i];

		if (one->used && end_of(keys, one) < due_s)
			due_s = end_of(keys, one);
	}
	unlock(keys);
	return due_s;
}
