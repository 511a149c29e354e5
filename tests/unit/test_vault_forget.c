/*
 * What is deleted is gone: the raw bytes of data.mdb are carved, not read through LMDB, and every
 * record in them is tried with every key that there is.  And a kill at each sync of a turn.
 */
#include "storage/key_tree.h"
#include "storage/sealed_record.h"
#include "tests/lib/vault_on_disk.h"
#include "tests/unit/syncs.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

Suite *vault_forget_suite(void);

#define NODE_LEN   (sizeof(struct key_node) + SEALED_OVERHEAD)
#define ROW_MIDDLE 1u
#define ROW_BOTTOM 257u

/* Whoever has the disk, and these root keys. */
struct carver {
	uint8_t *bytes;
	size_t len;
	uint8_t roots[4][SEAL_KEY_LEN];
	size_t root_count;
	struct key_node bottoms[64]; /* opened, whatever their age */
	uint32_t numbers[64];
	size_t bottom_count;
	size_t found; /* accounts that were opened and hold the needle */
	const char *needle;
};

static bool open_at(const struct carver *carver, size_t at, size_t len, uint64_t row,
		    const uint8_t *key, uint8_t *plain)
{
	return at + len <= carver->len &&
	       sealed_record_open(slice_of(carver->bytes + at, len), row, key, plain, &failure);
}

/* Each place where a node of the key tree may begin. */
static bool is_node(const struct carver *carver, size_t at)
{
	return at + NODE_LEN <= carver->len && carver->bytes[at] == SEALED_VERSION &&
	       carver->bytes[at + 1] == SEALED_KEYS;
}

static void try_bottoms(struct carver *carver, const struct key_node *middle, uint32_t m)
{
	for (size_t at = 16; at < carver->len; at += 4096)
		for (uint32_t b = 0; b < 2 && is_node(carver, at); b++) {
			struct key_node *node = &carver->bottoms[carver->bottom_count];

			if (!open_at(carver, at, NODE_LEN, ROW_BOTTOM + m * KEY_TREE_FAN + b,
				     middle->keys[b], node->keys[0]))
				continue;
			carver->numbers[carver->bottom_count++] = m * KEY_TREE_FAN + b;
			ck_assert_uint_lt(carver->bottom_count, 64);
		}
}

static void try_middles(struct carver *carver, const struct key_node *top)
{
	struct key_node *node = malloc(sizeof(*node));

	for (size_t at = 16; at < carver->len; at += 4096)
		if (is_node(carver, at) &&
		    open_at(carver, at, NODE_LEN, ROW_MIDDLE, top->keys[0], node->keys[0]))
			try_bottoms(carver, node, 0);
	free(node);
}

static void try_tops(struct carver *carver)
{
	struct key_node *node = malloc(sizeof(*node));

	for (size_t at = 16; at < carver->len; at += 4096)
		for (size_t i = 0; i < carver->root_count && is_node(carver, at); i++)
			if (open_at(carver, at, NODE_LEN, 0, carver->roots[i], node->keys[0]))
				try_middles(carver, node);
	free(node);
}

/* A node of LMDB with a key of 8 bytes, wherever it lies: size (2, 2), flags, length of the key. */
static void try_accounts(struct carver *carver)
{
	static uint8_t plain[SEALED_BODY_MAX];

	for (size_t at = 0; at + 16 + SEALED_OVERHEAD < carver->len; at += 2) {
		const uint8_t *node = carver->bytes + at;
		const size_t len = (size_t)(node[0] | node[1] << 8);
		uint32_t leaf;
		uint64_t row = 0;

		if (node[6] != 8 || node[7] != 0 || node[16] != SEALED_VERSION ||
		    node[17] != SEALED_ACCOUNT || len > 4096 || at + 16 + len > carver->len)
			continue;
		for (int i = 0; i < 8; i++)
			row = row << 8 | node[8 + i];
		if (!sealed_record_look(slice_of(node + 16, len), SEALED_ACCOUNT, &leaf, &failure))
			continue;
		for (size_t i = 0; i < carver->bottom_count; i++)
			if (carver->numbers[i] == leaf / KEY_TREE_FAN &&
			    open_at(carver, at + 16, len, row,
				    carver->bottoms[i].keys[leaf % KEY_TREE_FAN], plain))
				carver->found +=
				    memmem(plain, len - SEALED_OVERHEAD, carver->needle,
					   strlen(carver->needle)) != NULL;
	}
}

/* How many records with this text open. */
static size_t carve(struct carver *carver, const char *needle)
{
	FILE *file = fopen(data_path(), "r");
	struct stat st;

	ck_assert_int_eq(fstat(fileno(file), &st), 0);
	carver->len = (size_t)st.st_size;
	carver->bytes = malloc(carver->len);
	ck_assert_uint_eq(fread(carver->bytes, 1, carver->len, file), carver->len);
	fclose(file);
	carver->bottom_count = carver->found = 0;
	carver->needle = needle;
	try_tops(carver);
	try_accounts(carver);
	free(carver->bytes);
	return carver->found;
}

/* The root keys of the keyring, besides those that the carver has. */
static void take_roots(struct carver *carver)
{
	uint64_t epochs[SLOT_COUNT];
	size_t count = keyring_epochs(keyring, KEY_ROOT, epochs);

	for (size_t i = 0; i < count; i++)
		ck_assert(
		    keyring_get(keyring, KEY_ROOT, epochs[i], carver->roots[carver->root_count++]));
}

static size_t carve_now(const char *needle)
{
	static struct carver carver;

	carver.root_count = 0;
	take_roots(&carver);
	return carve(&carver, needle);
}

static void put(uint64_t row, const char *text)
{
	ck_assert_msg(vault_put(vault, VAULT_ACCOUNT, row, 0, slice_text(text), &failure), "%s",
		      failure.text);
}

START_TEST(deleted_accounts_do_not_open)
{
	open_vault();
	for (uint64_t row = 1; row <= 300; row++)
		put(row, row % 2 ? "stays" : "goes");
	ck_assert_uint_ge(carve_now("goes"), 150); /* the carver sees */
	for (uint64_t row = 2; row <= 300; row += 2)
		ck_assert_msg(vault_delete(vault, VAULT_ACCOUNT, row, 0, &failure), "%s",
			      failure.text);
	ck_assert_uint_eq(carve_now("goes"), 0);
	ck_assert_uint_ge(carve_now("stays"), 150);
	put(1, "stays, changed");
	ck_assert_uint_ge(carve_now("changed"), 1);
	close_vault();
}
END_TEST

/* The bytes lie there still: with a root that was not destroyed they would open. */
START_TEST(it_is_the_root_that_forgets)
{
	static struct carver carver;

	open_vault();
	put(1, "needle");
	take_roots(&carver);
	ck_assert(vault_delete(vault, VAULT_ACCOUNT, 1, 0, &failure));
	ck_assert_uint_eq(carve_now("needle"), 0);
	ck_assert_uint_ge(carve(&carver, "needle"), 1);
	close_vault();
}
END_TEST

/* What an account was before it was changed goes with the next turn. */
START_TEST(earlier_versions_do_not_open)
{
	open_vault();
	put(1, "earlier");
	put(1, "later");
	ck_assert(vault_turn_is_due(vault));
	ck_assert_msg(vault_turn_root(vault, &failure), "%s", failure.text);
	ck_assert_uint_eq(carve_now("earlier"), 0);
	ck_assert_uint_ge(carve_now("later"), 1);
	close_vault();
}
END_TEST

/* In a child that is killed at its so many-th sync.  Gives whether it came to its end. */
static bool delete_and_die(enum store_durability durability, int life)
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		bool put_aside;

		open_vault_as(durability, &put_aside);
		must(vault != NULL);
		syncs_to_live = life;
		must(vault_delete(vault, VAULT_ACCOUNT, 1, 0, &failure));
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool count_row(void *self, uint64_t row, uint64_t owner, struct slice body,
		      struct failure *told)
{
	uint64_t *rows = self;

	(void)owner;
	(void)body;
	(void)told;
	*rows |= UINT64_C(1) << row;
	return true;
}

START_TEST(killed_at_each_sync_of_a_turn)
{
	const enum store_durability durability = _i == 0 ? DURABILITY_POWER : DURABILITY_PROCESS;
	bool ended = false;
	int life;

	for (life = 0; !ended; life++) {
		uint64_t epochs[SLOT_COUNT];
		uint64_t rows = 0;
		const struct vault_visitor visitor = {&rows, count_row};
		bool put_aside;

		open_vault_as(durability, &put_aside);
		ck_assert_msg(vault != NULL, "%s", failure.text);
		put(1, "needle");
		put(2, "alive");
		close_vault();
		close_keyring();
		ended = delete_and_die(durability, life);
		open_vault_as(durability, &put_aside);
		ck_assert_msg(vault != NULL, "life %d: %s", life, failure.text);
		ck_assert(!put_aside);
		ck_assert_uint_eq(keyring_epochs(keyring, KEY_ROOT, epochs), 1);
		ck_assert(vault_load(vault, VAULT_ACCOUNT, &visitor, &failure));
		ck_assert((rows & 4) != 0);
		if ((rows & 2) == 0 && vault_turn_is_due(vault))
			ck_assert(vault_turn_root(vault, &failure));
		if ((rows & 2) == 0)
			ck_assert_uint_eq(carve_now("needle"), 0);
		ck_assert(!ended || (rows & 2) == 0);
		close_vault();
		ck_assert_int_lt(life, 50);
	}
	ck_assert_int_gt(life, 3);
}
END_TEST

/* The tree was turned, the old root could not be overwritten: that is due until it is done. */
START_TEST(old_root_that_stays_is_due)
{
	uint64_t epochs[SLOT_COUNT];
	bool put_aside;

	signal(SIGXFSZ, SIG_IGN);
	open_vault_as(DURABILITY_PROCESS, &put_aside);
	for (uint64_t day = 1; day <= 240; day++) /* the root lies behind them then */
		ck_assert(keyring_make(keyring, KEY_AUTH_DAY, day, &failure));
	ck_assert_msg(vault_turn_root(vault, &failure), "%s", failure.text);
	put(1, "needle");
	limit_files(200 * SLOT_SIZE);
	ck_assert(!vault_delete(vault, VAULT_ACCOUNT, 1, 0, &failure));
	says("their key is not destroyed yet");
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ROOT, epochs), 2);
	ck_assert(vault_turn_is_due(vault));
	put(2, "alive");
	ck_assert(vault_turn_is_due(vault));
	limit_files(RLIM_INFINITY);
	ck_assert_msg(vault_turn_root(vault, &failure), "%s", failure.text);
	ck_assert(!vault_turn_is_due(vault));
	ck_assert_uint_eq(keyring_epochs(keyring, KEY_ROOT, epochs), 1);
	ck_assert_uint_eq(carve_now("needle"), 0);
	close_vault();
}
END_TEST

/* A copy of data.mdb of before a turn beside the keys of after it. */
START_TEST(an_old_copy_is_refused)
{
	char command[900];
	bool put_aside;

	open_vault();
	put(1, "alive");
	close_vault();
	snprintf(command, sizeof(command), "cp %s %s.old", data_path(), data_path());
	ck_assert_int_eq(system(command), 0);
	open_vault();
	ck_assert(vault_turn_root(vault, &failure));
	ck_assert_uint_ge(carve_now("alive"), 1);
	close_vault();
	snprintf(command, sizeof(command), "mv %s.old %s", data_path(), data_path());
	ck_assert_int_eq(system(command), 0);
	open_vault_as(DURABILITY_POWER, &put_aside);
	ck_assert_ptr_null(vault);
	says("which is not in keys.slots");
	ck_assert_uint_eq(carve_now("alive"), 0);
}
END_TEST

Suite *vault_forget_suite(void)
{
	Suite *suite = suite_create("vault_forget");
	TCase *tcase = tcase_create("vault_forget");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 180);
	tcase_add_test(tcase, deleted_accounts_do_not_open);
	tcase_add_test(tcase, it_is_the_root_that_forgets);
	tcase_add_test(tcase, earlier_versions_do_not_open);
	tcase_add_loop_test(tcase, killed_at_each_sync_of_a_turn, 0, 2);
	tcase_add_test(tcase, old_root_that_stays_is_due);
	tcase_add_test(tcase, an_old_copy_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}
