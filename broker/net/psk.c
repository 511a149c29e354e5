/* psk.c - see psk.h. */
#include "broker/net/psk.h"
#include "proto/utf8.h"
#include <stdlib.h>

#define IDENTITY_MAX 128u

struct psk_table {
	size_t count;
	uint8_t *text; /* a copy of the file: identities point into it */
	size_t text_len;
	struct psk *keys; /* in order of identity */
};

static int by_identity(const void *a, const void *b)
{
	const struct slice x = ((const struct psk *)a)->identity;
	const struct slice y = ((const struct psk *)b)->identity;
	size_t len = x.len < y.len ? x.len : y.len;
	int order = len > 0 ? memcmp(x.at, y.at, len) : 0;

	return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static int digit_of(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	uint8_t letter = byte | 0x20;

	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static bool read_key(struct slice text, struct psk *psk)
{
	if (text.len % 2 != 0 || text.len == 0 || text.len / 2 > PSK_KEY_MAX)
		return false;
	for (size_t i = 0; i < text.len; i += 2) {
		int high = digit_of(text.at[i]);
		int low = digit_of(text.at[i + 1]);

		if (high < 0 || low < 0)
			return false;
		psk->key[psk->key_len++] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool read_line(struct psk_table *table, struct slice line, size_t number,
		      struct failure *failure)
{
	const uint8_t *colon = memchr(line.at, ':', line.len);
	struct psk psk = {.identity = slice_of(line.at, colon ? (size_t)(colon - line.at) : 0)};

	if (psk.identity.len < 1 || psk.identity.len > IDENTITY_MAX ||
	    !utf8_string_accepted(psk.identity))
		return failure_set(failure,
				   "line %zu: right would be IDENTITY:KEY, the identity text of 1 "
				   "to %u bytes",
				   number, IDENTITY_MAX);
	if (!read_key(slice_after(line, psk.identity.len + 1), &psk))
		return failure_set(
		    failure,
		    "line %zu: the key; right would be at most %u hexadecimal digits, two "
		    "for each byte (`openssl rand -hex 32` makes 64 of them)",
		    number, 2 * PSK_KEY_MAX);
	table->keys[table->count++] = psk;
	explicit_bzero(&psk, sizeof(psk));
	return true;
}

static struct slice trimmed(struct slice line)
{
	while (line.len > 0 && strchr(" \t\r", line.at[line.len - 1]) && line.at[line.len - 1])
		line.len--;
	return line;
}

/* Room for all keys at once: growing would leave copies of them behind. */
static void make_room(struct psk_table *table)
{
	size_t lines = 1;

	for (size_t i = 0; i < table->text_len; i++)
		lines += table->text[i] == '\n';
	table->keys = calloc(lines, sizeof(*table->keys));
	must(table->keys);
}

static bool read_lines(struct psk_table *table, struct failure *failure)
{
	struct slice rest = slice_of(table->text, table->text_len);

	for (size_t number = 1; rest.len > 0; number++) {
		const uint8_t *end = memchr(rest.at, '\n', rest.len);
		size_t len = end ? (size_t)(end - rest.at) : rest.len;
		struct slice line = trimmed(slice_of(rest.at, len));

		rest = slice_after(rest, len + (end != NULL));
		if (line.len > 0 && line.at[0] != '#' && !read_line(table, line, number, failure))
			return false;
	}
	return table->count > 0 ||
	       failure_set(failure, "holds no key; right would be lines of IDENTITY:KEY");
}

static bool put_in_order(struct psk_table *table, struct failure *failure)
{
	qsort(table->keys, table->count, sizeof(*table->keys), by_identity);
	for (size_t i = 1; i < table->count; i++)
		if (by_identity(&table->keys[i - 1], &table->keys[i]) == 0)
			return failure_set(failure, "an identity stands there twice; right would "
						    "be one key for each");
	return true;
}

struct psk_table *psk_read(struct slice text, struct failure *failure)
{
	struct psk_table *table = calloc(1, sizeof(*table));

	must(table);
	table->text = malloc(text.len + 1);
	must(table->text);
	if (text.len > 0)
		memcpy(table->text, text.at, text.len);
	table->text_len = text.len;
	make_room(table);
	if (read_lines(table, failure) && put_in_order(table, failure))
		return table;
	psk_destroy(table);
	return NULL;
}

void psk_destroy(struct psk_table *table)
{
	if (!table)
		return;
	if (table->keys)
		explicit_bzero(table->keys, table->count * sizeof(*table->keys));
	explicit_bzero(table->text, table->text_len);
	free(table->keys);
	free(table->text);
	free(table);
}

size_t psk_weak_count(const struct psk_table *table)
{
	size_t weak = 0;

	for (size_t i = 0; i < table->count; i++)
		weak += table->keys[i].key_len < PSK_KEY_STRONG;
	return weak;
}

const struct psk *psk_find(const struct psk_table *table, struct slice identity)
{
	struct psk wanted = {.identity = identity};

	return bsearch(&wanted, table->keys, table->count, sizeof(*table->keys), by_identity);
}
