/*
 * carve_tree.c - see carve.h: from the root keys through every node that was ever written to the
 * records of sessions and accounts.
 *
 * Where a node stood in the tree is not beside it in the raw bytes: each is tried for every place
 * that a record needs.
 */
#include "tests/privacy/carve.h"

#include "storage/bytes.h"
#include "storage/key_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NODE_LEN   (sizeof(struct key_node) + SEALED_OVERHEAD)
#define ROW_TOP	   0u
#define ROW_MIDDLE 1u
#define ROW_BOTTOM 257u
#define BOTTOMS	   (KEY_TREE_FAN * KEY_TREE_FAN)

struct record {
	struct slice bytes;
	uint64_t row;
	uint32_t leaf;
};

struct root {
	uint64_t generation;
	uint8_t key[SEAL_KEY_LEN];
};

static const uint8_t **nodes;
static struct record *records;
static struct root *roots;
static size_t node_count, record_count, root_count;
static bool wanted[BOTTOMS]; /* bottom nodes that a record is below */
static struct failure failure;

/* ---- what was found */

static void *grow(void *list, size_t count, size_t size)
{
	if (count == 0 || (count >= 64 && (count & (count - 1)) == 0))
		list = realloc(list, (count < 64 ? 64 : 2 * count) * size);
	must(list);
	return list;
}

void carve_tree_take_node(const uint8_t *at, size_t left)
{
	if (left < NODE_LEN)
		return;
	nodes = grow(nodes, node_count, sizeof(nodes[0]));
	nodes[node_count++] = at;
}

void carve_tree_take_record(struct slice bytes, uint64_t row)
{
	const uint32_t leaf = (uint32_t)bytes_get(bytes.at + 2, 4);

	if (leaf >= KEY_TREE_LEAVES)
		return;
	wanted[leaf / KEY_TREE_FAN] = true;
	records = grow(records, record_count, sizeof(records[0]));
	records[record_count++] = (struct record){bytes, row, leaf};
}

void carve_tree_take_root(uint64_t generation, const uint8_t key[SEAL_KEY_LEN])
{
	roots = grow(roots, root_count, sizeof(roots[0]));
	roots[root_count].generation = generation;
	memcpy(roots[root_count++].key, key, SEAL_KEY_LEN);
}

/* ---- what opens */

static void tell(const struct record *record, const uint8_t *body)
{
	static const char *const words[] = {[SEALED_SESSION] = "session",
					    [SEALED_SUBSCRIPTION] = "subscription",
					    [SEALED_ACCOUNT] = "account",
					    [SEALED_DEVICE_KEY] = "device key",
					    [SEALED_TOKEN] = "token"};

	printf("{\"row\":\"%s\",\"number\":\"%016" PRIx64 "\",\"body\":\"",
	       words[record->bytes.at[1]], record->row);
	for (size_t i = 0; i < sealed_record_body_len(record->bytes); i++)
		printf("%02x", body[i]);
	printf("\"}\n");
}

static void open_records(uint32_t bottom, const struct key_node *node)
{
	static uint8_t body[SEALED_MAX];

	for (size_t i = 0; i < record_count; i++)
		if (records[i].leaf / KEY_TREE_FAN == bottom &&
		    sealed_record_open(records[i].bytes, records[i].row,
				       node->keys[records[i].leaf % KEY_TREE_FAN], body, &failure))
			tell(&records[i], body);
}

/* Calls for each node that opens as this row under this key. */
static void each_node(uint32_t key_number, uint64_t row, const uint8_t key[SEAL_KEY_LEN],
		      void (*call)(uint32_t row, const struct key_node *node))
{
	struct key_node *node = malloc(sizeof(*node));

	must(node);
	for (size_t i = 0; i < node_count; i++)
		if ((uint32_t)bytes_get(nodes[i] + 2, 4) == key_number &&
		    sealed_record_open(slice_of(nodes[i], NODE_LEN), row, key, node->keys[0],
				       &failure))
			call((uint32_t)row, node);
	free(node);
}

static void at_bottom(uint32_t row, const struct key_node *node)
{
	open_records(row - ROW_BOTTOM, node);
}

static void at_middle(uint32_t row, const struct key_node *node)
{
	const uint32_t first = (row - ROW_MIDDLE) * KEY_TREE_FAN;

	for (uint32_t i = 0; i < KEY_TREE_FAN; i++)
		if (wanted[first + i])
			each_node(0, ROW_BOTTOM + first + i, node->keys[i], at_bottom);
}

static bool is_wanted(uint32_t middle)
{
	return memchr(wanted + (size_t)middle * KEY_TREE_FAN, true, KEY_TREE_FAN) != NULL;
}

static void at_top(uint32_t row, const struct key_node *node)
{
	must(row == ROW_TOP);
	for (uint32_t m = 0; m < KEY_TREE_FAN; m++)
		if (is_wanted(m))
			each_node(0, ROW_MIDDLE + m, node->keys[m], at_middle);
}

void carve_tree_tell(void)
{
	for (size_t i = 0; i < root_count; i++)
		each_node((uint32_t)roots[i].generation, ROW_TOP, roots[i].key, at_top);
	free(nodes);
	free(records);
	free(roots);
}
