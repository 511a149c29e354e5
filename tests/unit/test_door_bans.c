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
	struct problems problems;
	struct failure failure;

	config = config_create_default(&(struct config_ports){0}, &failure);
	ck_assert_ptr_nonnull(config);
	config->workers = 1;
	config->core.rate_reconnect = 1;
	config->reconnect_ban.after = 1;
	config->reconnect_ban.ms = 300000;
	worker = calloc(1, sizeof *worker);
	door = door_create(config, &(struct door_setup){.workers = worker}, &problems);
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

static void count(void *self, const struct door_ban *ban)
{
	ck_assert_uint_gt(ban->client_id.len, 0);
	++*(unsigned *)self;
}

/* Are these words anywhere in the heap, in use or freed?  Sanitizers have none of this name. */
static bool heap_has(const char *words)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	FILE *memory = fopen("/proc/self/mem", "re");
	unsigned long from, to;
	char line[512];
	bool has = false;

	ck_assert(maps && memory);
	while (fgets(line, sizeof line, maps)) {
		if (!strstr(line, "[heap]"))
			continue;
		ck_assert_int_eq(sscanf(line, "%lx-%lx", &from, &to), 2);
		void *at = malloc(to - from);

		ck_assert_int_eq(fseek(memory, (long)from, SEEK_SET), 0);
		ck_assert_uint_eq(fread(at, 1, to - from, memory), to - from);
		has = has || memmem(at, to - from, words, strlen(words));
		free(at);
	}
	fclose(maps);
	fclose(memory);
	return has;
}

/* However many there are, nothing of them is left behind when they were shown. */
START_TEST(shown_and_wiped)
{
	enum { BANS = 200, BLOCKS = 32 };
	void *blocks[BLOCKS];
	unsigned shown = 0;
	char id[32];

	begin();
	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = malloc(6400);
	free(blocks[BLOCKS / 2]); /* the first room for them is between others: it has to be left */
	for (unsigned i = 0; i < BANS; i++) {
		snprintf(id, sizeof id, "banned-%s-%u", "device", i);
		ban(2 * i + 1, id);
	}
	door_each_ban(door, &shown, count);
	ck_assert_uint_eq(shown, BANS);
	ck_assert(!heap_has("banned-device"));
	for (size_t i = 0; i < BLOCKS; i++)
		if (i != BLOCKS / 2)
			free(blocks[i]);
	finish();
}
END_TEST

Suite *door_bans_suite(void)
{
	const TTest *const tests[] = {shown_with_nothing_locked, shown_and_wiped};

	return suite_of("door_bans", tests, COUNT_OF(tests));
}
