/*
 * text.h - taking texts of lines and numbers apart, strictly.
 * Thread: any.
 */
#ifndef STORAGE_AUDIT_TEXT_H
#define STORAGE_AUDIT_TEXT_H

#include "proto/base.h"

/* Takes what stands before the first `mark` off the text, and the mark; false: there is none. */
static inline bool text_cut(struct slice *text, char mark, struct slice *before)
{
	const uint8_t *at = text->len > 0 ? memchr(text->at, mark, text->len) : NULL;

	if (at == NULL)
		return false;
	*before = slice_of(text->at, (size_t)(at - text->at));
	*text = slice_after(*text, before->len + 1);
	return true;
}

/* Decimal digits without zeroes before them, and nothing else. */
static inline bool text_number(struct slice text, uint64_t *number)
{
	*number = 0;
	if (text.len == 0 || (text.at[0] == '0' && text.len > 1))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		const unsigned digit = (unsigned)text.at[i] - '0';

		if (digit > 9 || *number > (UINT64_MAX - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return true;
}

/* True when the text begins so; that is taken off. */
static inline bool text_begins(struct slice *text, const char *words)
{
	const size_t len = strlen(words);

	if (text->len < len || memcmp(text->at, words, len) != 0)
		return false;
	*text = slice_after(*text, len);
	return true;
}

#endif
