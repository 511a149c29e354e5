/*
 * carve.c - what can still be read from the raw bytes of files or of the image of a file
 * system, by somebody who has every byte and asks neither LMDB nor the file system.
 *
 *	carve FILE...
 *
 * First every slot of a keys.slots that is whole is found, wherever it lies; then whatever
 * looks like a record of data.mdb is tried with every key that it could be sealed under: those
 * of slots, and those of leaves, by every node of the key tree that a root key leads to
 * (carve_tree.c).  One line of JSON for each key of an epoch, and for each record that opened.
 */
#include "broker/auth_log.h"
#include "storage/aggregate/release.h"
#include "storage/bytes.h"
#include "storage/keys/slot.h"
#include "storage/sealed_record.h"
#include "tests/privacy/carve.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS_MAX 65536u

struct found_key {
	struct slot slot;
	uint8_t key[SEAL_KEY_LEN];
};

static struct found_key *keys;
static size_t key_count;

/* ---- keys */

static bool is_known(const struct found_key *key)
{
	for (size_t i = 0; i < key_count; i++)
		if (memcmp(keys[i].key, key->key, SEAL_KEY_LEN) == 0)
			return true;
	return false;
}

static void take_slot(const uint8_t *at)
{
	const unsigned number = (unsigned)bytes_get(at + 8, 2);
	struct found_key key = {.slot = {.form = SLOT_FREE}};

	if (number >= SLOT_COUNT)
		return;
	key.slot = slot_read(number, at);
	if (key.slot.form != SLOT_CLEAR || !slot_read_key(&key.slot, at, NULL, key.key) ||
	    is_known(&key))
		return;
	must(key_count < KEYS_MAX);
	keys[key_count++] = key;
	if (key.slot.class == KEY_ROOT)
		carve_tree_take_root(key.slot.epoch, key.key);
	printf("{\"key\":\"%s\",\"epoch\":%" PRIu64 "}\n", key_class_word(key.slot.class),
	       key.slot.epoch);
}

static void find_keys(struct slice image)
{
	static const char magic[] = "metrkey1";

	for (size_t at = 0; at + SLOT_SIZE <= image.len; at += 512)
		if (memcmp(image.at + at, magic, sizeof(magic) - 1) == 0)
			take_slot(image.at + at);
}

/* ---- records */

static const struct {
	enum sealed_class record;
	enum key_class key;
} classes[] = {{SEALED_AUTH, KEY_AUTH_DAY},
	       {SEALED_AGGREGATE, KEY_AGGREGATE_DAY},
	       {SEALED_JOURNAL, KEY_ENVELOPE}};

static void tell(enum sealed_class class, uint64_t epoch, struct slice body)
{
	if (class == SEALED_AUTH && body.len == 18)
		printf("{\"row\":\"auth\",\"epoch\":%" PRIu64 ",\"minute\":%" PRIu64 "}\n", epoch,
		       bytes_get(body.at + 9, 8));
	else if (class == SEALED_AGGREGATE && body.len == AGGREGATE_BODY_LEN)
		printf("{\"row\":\"aggregate\",\"epoch\":%" PRIu64 ",\"day\":%" PRIu64 "}\n", epoch,
		       bytes_get(body.at + 1, 8));
	else
		printf("{\"row\":\"envelope\",\"epoch\":%" PRIu64 "}\n", epoch);
}

static void try_keys(struct slice record, uint64_t row)
{
	static uint8_t plain[SEALED_MAX];
	const uint32_t number = (uint32_t)bytes_get(record.at + 2, 4);
	struct failure failure;

	for (size_t i = 0; i < key_count; i++)
		for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++)
			if (classes[c].record == record.at[1] &&
			    keys[i].slot.class == classes[c].key &&
			    (uint32_t)keys[i].slot.epoch == number &&
			    sealed_record_open(record, row, keys[i].key, plain, &failure))
				tell(classes[c].record, keys[i].slot.epoch,
				     slice_of(plain, sealed_record_body_len(record)));
}

/* In a page of LMDB: length (4), flags (2), length of the key (2), the row's number (8), record. */
static void take_record(const uint8_t *head, size_t left)
{
	const size_t len = (size_t)head[-16] | (size_t)head[-15] << 8 | (size_t)head[-14] << 16 |
			   (size_t)head[-13] << 24;
	const uint64_t row = bytes_get(head - 8, 8);

	if (len < SEALED_OVERHEAD || len > SEALED_MAX || len > left)
		return;
	switch (head[1]) {
	case SEALED_AUTH:
	case SEALED_AGGREGATE:
	case SEALED_JOURNAL:
		try_keys(slice_of(head, len), row);
		break;
	case SEALED_SESSION:
	case SEALED_SUBSCRIPTION:
	case SEALED_ACCOUNT:
	case SEALED_DEVICE_KEY:
	case SEALED_TOKEN:
		carve_tree_take_record(slice_of(head, len), row);
		break;
	}
}

/* A node of the key tree fills pages of its own, behind a head of 16 bytes. */
#define PAGE_HEAD 16u
#define SECTOR	  512u

static void find_records(struct slice image)
{
	for (size_t at = 16; at + SEALED_OVERHEAD <= image.len; at += 2) {
		if (image.at[at] != SEALED_VERSION)
			continue;
		take_record(image.at + at, image.len - at);
		if (image.at[at + 1] == SEALED_KEYS && at % SECTOR == PAGE_HEAD)
			carve_tree_take_node(image.at + at, image.len - at);
	}
}

/* ---- files */

static struct slice map(const char *path)
{
	struct stat status;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0 || status.st_size == 0) {
		perror(path);
		exit(2);
	}
	const void *at = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

	must(at != MAP_FAILED);
	close(fd);
	return slice_of(at, (size_t)status.st_size);
}

int main(int argc, char **argv)
{
	keys = calloc(KEYS_MAX, sizeof(*keys));
	must(keys);
	for (int i = 1; i < argc; i++)
		find_keys(map(argv[i]));
	for (int i = 1; i < argc; i++)
		find_records(map(argv[i]));
	carve_tree_tell();
	free(keys);
	return argc > 1 ? 0 : 2;
}
