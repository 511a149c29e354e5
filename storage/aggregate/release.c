/* release.c - see release.h. */
#include "storage/aggregate/release.h"
#include "storage/bytes.h"

#define BODY_VERSION 1u

_Static_assert(AGGREGATE_CHARGE_MAX * 1000u * AGGREGATE_VOLUME_STEPS ==
		   AGGREGATE_VOLUME_SCALE * 75u,
	       "epsilon of the volumes is 0.075");
_Static_assert(25u * AGGREGATE_ACCOUNTS_SCALE == 1000u * AGGREGATE_ACCOUNTS_STEPS,
	       "epsilon of the number of accounts is 0.025");

static int64_t with_noise(const struct chance *chance, uint64_t count, uint64_t scale,
			  uint64_t steps)
{
	return (int64_t)count + laplace_sample(chance, scale, steps);
}

void aggregate_release_make(uint64_t day, const struct aggregate_counts *counts,
			    const struct chance *chance, struct aggregate_release *release)
{
	struct aggregate_release noisy = {.day = day, .kept = true};

	*release = (struct aggregate_release){.day = day};
	if (!counts)
		return;
	for (size_t qos = 0; qos < 3; qos++)
		noisy.of_qos[qos] = with_noise(chance, counts->of_qos[qos], AGGREGATE_VOLUME_SCALE,
					       AGGREGATE_VOLUME_STEPS);
	noisy.accounts = with_noise(chance, counts->accounts, AGGREGATE_ACCOUNTS_SCALE,
				    AGGREGATE_ACCOUNTS_STEPS);
	if (noisy.accounts >= AGGREGATE_ACCOUNTS_MIN)
		*release = noisy;
}

void aggregate_release_write(const struct aggregate_release *release,
			     uint8_t body[AGGREGATE_BODY_LEN])
{
	uint8_t *at = bytes_put(body, BODY_VERSION, 1);

	at = bytes_put(at, release->day, 8);
	at = bytes_put(at, release->kept, 1);
	for (size_t qos = 0; qos < 3; qos++)
		at = bytes_put(at, (uint64_t)release->of_qos[qos], 8);
	at = bytes_put(at, (uint64_t)release->accounts, 8);
	must(at == body + AGGREGATE_BODY_LEN);
}

bool aggregate_release_read(struct slice body, struct aggregate_release *release)
{
	if (body.len != AGGREGATE_BODY_LEN || body.at[0] != BODY_VERSION || body.at[9] > 1)
		return false;
	*release = (struct aggregate_release){.day = bytes_get(body.at + 1, 8),
					      .kept = body.at[9] == 1,
					      .accounts = (int64_t)bytes_get(body.at + 34, 8)};
	for (size_t qos = 0; qos < 3; qos++)
		release->of_qos[qos] = (int64_t)bytes_get(body.at + 10 + 8 * qos, 8);
	return true;
}
