/* test_door_bans.c - bans are shown while the door goes on. */
#include "broker/door.h"
#include "broker/worker.h"

#include "tests/unit/packets.h"
#include <stdio.h>
#include <stdlib.h>

/* 70 bytes, of which the first 64 are kept. */
#define TEN  "0123456789"
#define LONG TEN TEN TEN TEN TEN TEN TEN

static struct config *config;
static struct worker *worker;
static struct door *door;

static void begin(void)
{
	struct failure failure;

	config = config_create_default(0, &failure);
	ck_assert_ptr_nonnull(config);
	config->workers = 1;
	config->core.rate_reconnect = 1;
	config->reconnect_ban.after = 1;
	config->reconnect_ban.ms = 300000;
	worker = calloc(1, sizeof *worker);
	door = door_create(config, &(struct door_setup){.workers = worker}, &failure);
	ck_assert_ptr_nonnull(door);
}

static void finish(void)
{
	door_destroy(door);
	free(worker);
	config_destroy(config);
}

static void ban(uint64_t number, const char *id)
{
	const struct auth_visit visit = {number, slice_text(id), true};
	struct auth *auth = door_auth(door, 0);
	struct auth_answer answer;

	ck_assert(!auth->comes(auth, &visit, &answer));
	ck_assert_int_eq(answer.reason, MQTT_BANNED);
}

static char seen[256];

static void lift(void *self, const struct door_ban *ban)
{
	ck_assert_ptr_eq(self, &door);
	ck_assert_ptr_null(ban->address);
	ck_assert_uint_gt(ban->left_ms, 0);
	snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%.*s%s;",
		 (int)ban->client_id.len, (const char *)ban->client_id.at, ban->cut ? "..." : "");
	ck_assert(door_lift_client_ban(door, ban->cut ? SLICE_LITERAL(LONG) : ban->client_id));
}

/* Whoever is shown them may take his time: nobody waits at the door for him, nor does he himself.
 */
START_TEST(shown_with_nothing_locked)
{
	begin();
	ban(1001, "a");
	ban(2003, LONG);
	ban(3005, "");
	door_each_ban(door, &door, lift);
	ck_assert_uint_eq(strlen(seen), strlen("a;") + 64 + strlen("...;") + strlen(";"));
	ck_assert_ptr_nonnull(strstr(seen, "a;"));
	seen[0] = '\0';
	door_each_ban(door, &door, lift);
	ck_assert_str_eq(seen, "");
	finish();
}
END_TEST

Suite *door_bans_suite(void)
{
	const TTest *const tests[] = {shown_with_nothing_locked};

	return suite_of("door_bans", tests, COUNT_OF(tests));
}
