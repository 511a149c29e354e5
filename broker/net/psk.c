/* psk.c - see psk.h. */
#include "broker/net/psk.h"
#include "proto/utf8.h"
#include <stdio.h>
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

/* Of two with one identity the first line comes first. */
static int by_identity_and_line(const void *a, const void *b)
{
	const struct psk *x = a, *y = b;
	int order = by_identity(x, y);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static int digit_of(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	uint8_t letter = byte | 0x20;

	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/*
 * An odd number of digits mosquitto takes for a number, after any bytes of 0: 12345 has the bytes
 * 01 23 45, and 00123 has 00 01 23; a 0 in front of an even number of digits is none.
 */
static bool begins_with_one_digit(struct slice text)
{
	return text.len % 2 != 0 && (text.len == 1 || memcmp(text.at, "00", 2) != 0);
}

static bool read_key(struct slice text, struct psk *psk)
{
	while (text.len > 0) {
		const bool one = begins_with_one_digit(text);
		int high = one ? 0 : digit_of(text.at[0]);
		int low = digit_of(text.at[!one]);

		if (high < 0 || low < 0 || psk->key_len == PSK_KEY_MAX)
			return false;
		if (!one || low > 0)
			psk->key[psk->key_len++] = (uint8_t)(high << 4 | low);
		text = slice_after(text, one ? 1 : 2);
	}
	return psk->key_len > 0;
}

/* ---- what is wrong */

enum wrong { WRONG_IDENTITY, WRONG_KEY, WRONG_TWICE, WRONG_KINDS };

/* The lines that are wrong in a way, as far as there is room: "3, 7". */
struct lines {
	size_t count;
	char text[40];
};

static void add_line(struct lines *lines, size_t number)
{
	size_t len = strlen(lines->text);
	char more[24];

	snprintf(more, sizeof(more), "%s%zu", lines->count++ > 0 ? ", " : "", number);
	if (strstr(lines->text, "..."))
		return;
	if (len + strlen(more) + sizeof(", ...") <= sizeof(lines->text))
		memcpy(lines->text + len, more, strlen(more) + 1);
	else
		memcpy(lines->text + len, ", ...", sizeof(", ..."));
}

/* Else one sentence, for all ways. */
static bool nothing_wrong(const struct lines wrong[WRONG_KINDS], struct failure *failure)
{
	static const char *const right[WRONG_KINDS] = {
	    [WRONG_IDENTITY] = "right would be IDENTITY:KEY, the identity text of 1 to 128 bytes",
	    [WRONG_KEY] = ("the key; right would be at most 64 hexadecimal digits, two for each "
			   "byte (`openssl rand -hex 32` makes 64 of them)"),
	    [WRONG_TWICE] = "the identity stands there already; right would be one key for each",
	};
	_Static_assert(IDENTITY_MAX == 128 && PSK_KEY_MAX == 32, "as the texts say");
	size_t len = 0;

	for (size_t i = 0; i < WRONG_KINDS && len < sizeof(failure->text); i++)
		if (wrong[i].count > 0)
			len += (size_t)snprintf(failure->text + len, sizeof(failure->text) - len,
						"%sline%s %s: %s", len > 0 ? "; " : "",
						wrong[i].count > 1 ? "s" : "", wrong[i].text,
						right[i]);
	return len == 0;
}

/* ---- reading */

/* A key that is wrong stays, so that an identity that is there twice shows. */
static void read_line(struct psk_table *table, struct slice line, size_t number,
		      struct lines wrong[WRONG_KINDS])
{
	const uint8_t *colon = memchr(line.at, ':', line.len);
	struct psk psk = {.identity = slice_of(line.at, colon ? (size_t)(colon - line.at) : 0),
			  .line = number};

	if (psk.identity.len < 1 || psk.identity.len > IDENTITY_MAX ||
	    !utf8_string_accepted(psk.identity)) {
		add_line(&wrong[WRONG_IDENTITY], number);
		return;
	}
	if (!read_key(slice_after(line, psk.identity.len + 1), &psk))
		add_line(&wrong[WRONG_KEY], number);
	table->keys[table->count++] = psk;
	explicit_bzero(&psk, sizeof(psk));
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

static void read_lines(struct psk_table *table, struct lines wrong[WRONG_KINDS])
{
	struct slice rest = slice_of(table->text, table->text_len);

	for (size_t number = 1; rest.len > 0; number++) {
		const uint8_t *end = memchr(rest.at, '\n', rest.len);
		size_t len = end ? (size_t)(end - rest.at) : rest.len;
		struct slice line = trimmed(slice_of(rest.at, len));

		rest = slice_after(rest, len + (end != NULL));
		if (line.len > 0 && line.at[0] != '#')
			read_line(table, line, number, wrong);
	}
}

static void put_in_order(struct psk_table *table, struct lines wrong[WRONG_KINDS])
{
	qsort(table->keys, table->count, sizeof(*table->keys), by_identity_and_line);
	for (size_t i = 1; i < table->count; i++)
		if (slice_equal(table->keys[i - 1].identity, table->keys[i].identity))
			add_line(&wrong[WRONG_TWICE], table->keys[i].line);
}

static bool read_all(struct psk_table *table, struct failure *failure)
{
	struct lines wrong[WRONG_KINDS] = {0};

	read_lines(table, wrong);
	put_in_order(table, wrong);
	if (!nothing_wrong(wrong, failure))
		return false;
	return table->count > 0 ||
	       failure_set(failure, "holds no key; right would be lines of IDENTITY:KEY");
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
	if (read_all(table, failure))
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
