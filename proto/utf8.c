/* utf8.c - see utf8.h. */
#include "proto/utf8.h"
#include "proto/word.h"

/*
 * RFC 3629 section 4, as a table: how many bytes follow a first byte, and
 * between which bounds the second one has to be.  The bounds of the second byte
 * are what keeps out overlong forms (E0, F0), surrogates (ED) and code points
 * above U+10FFFF (F4).
 */
struct lead {
	uint8_t first;
	uint8_t last;
	uint8_t following;
	uint8_t second_min;
	uint8_t second_max;
};

static const struct lead leads[] = {
    {0xC2, 0xDF, 1, 0x80, 0xBF}, {0xE0, 0xE0, 2, 0xA0, 0xBF}, {0xE1, 0xEC, 2, 0x80, 0xBF},
    {0xED, 0xED, 2, 0x80, 0x9F}, {0xEE, 0xEF, 2, 0x80, 0xBF}, {0xF0, 0xF0, 3, 0x90, 0xBF},
    {0xF1, 0xF3, 3, 0x80, 0xBF}, {0xF4, 0xF4, 3, 0x80, 0x8F},
};

/* The length of the well-formed sequence of several bytes at `at`, or 0. */
static size_t sequence_len(const uint8_t *at, size_t left)
{
	for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
		const struct lead *lead = &leads[i];
		size_t len = lead->following + 1u;

		if (at[0] > lead->last)
			continue;
		if (at[0] < lead->first || left < len)
			return 0;
		if (at[1] < lead->second_min || at[1] > lead->second_max)
			return 0;
		for (size_t n = 2; n < len; n++)
			if ((at[n] & 0xC0) != 0x80)
				return 0;
		return len;
	}
	return 0;
}

/* What a text may hold besides well-formed sequences. */
enum allowed {
	ALLOWED_ALL,	/* a payload */
	ALLOWED_NO_NUL, /* all but U+0000 */
	ALLOWED_STRING, /* no control characters and no non-characters either */
};

#define DEL 0x7F

static bool plain_byte(uint8_t byte, enum allowed allowed)
{
	return allowed == ALLOWED_ALL ||
	       (allowed == ALLOWED_NO_NUL ? byte != 0 : byte >= ' ' && byte != DEL);
}

/* Eight bytes that need no closer look: ASCII, and none of those that may not be. */
static inline bool plain(uint64_t word, enum allowed allowed)
{
	if (word_has_high(word))
		return false;
	if (allowed == ALLOWED_STRING)
		return !word_has_below(word, ' ') && !word_has_zero(word ^ word_fill(DEL));
	return allowed == ALLOWED_ALL || !word_has_zero(word);
}

/*
 * U+0080 to U+009F, U+FDD0 to U+FDEF, and the last two of every plane: the code points
 * above ASCII that MQTT 5.0 section 1.5.4 lets a receiver refuse.  `at` is well formed.
 */
static bool disallowed(const uint8_t *at, size_t len)
{
	if (len == 2)
		return at[0] == 0xC2 && at[1] < 0xA0;
	if (at[0] == 0xEF && at[1] == 0xB7)
		return at[2] >= 0x90 && at[2] <= 0xAF;
	if (at[len - 2] != 0xBF || at[len - 1] < 0xBE)
		return false;
	return len == 4 ? (at[1] & 0x0F) == 0x0F : at[0] == 0xEF;
}

static inline bool check(struct slice text, enum allowed allowed)
{
	const uint8_t *at = text.at;
	size_t left = text.len;

	while (left > 0) {
		size_t len = 1;

		if (left >= WORD_SIZE && plain(word_load(at), allowed))
			len = WORD_SIZE;
		else if (at[0] >= 0x80)
			len = sequence_len(at, left);
		else if (!plain_byte(at[0], allowed))
			return false;
		if (len == 0 || (len > 1 && len < WORD_SIZE && allowed == ALLOWED_STRING &&
				 disallowed(at, len)))
			return false;
		at += len;
		left -= len;
		/* A tail shorter than a word: look at the last eight bytes together instead. */
		if (left > 0 && left < WORD_SIZE && text.len >= WORD_SIZE &&
		    plain(word_load(at + left - WORD_SIZE), allowed))
			return true;
	}
	return true;
}

bool utf8_valid(struct slice text)
{
	return check(text, ALLOWED_ALL);
}

bool utf8_string_valid(struct slice text)
{
	return check(text, ALLOWED_NO_NUL);
}

bool utf8_string_accepted(struct slice text)
{
	return check(text, ALLOWED_STRING);
}
