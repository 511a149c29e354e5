/* Our UTF-8 check and libunistring's agree about every text, and about each of its beginnings. */
#include <unistr.h>

#include "proto/utf8.h"
#include "tests/fuzz/fuzz.h"

static void check(struct slice text)
{
	bool valid = text.len == 0 || u8_check(text.at, text.len) == NULL;
	bool has_zero = text.len > 0 && memchr(text.at, 0, text.len) != NULL;

	claim(utf8_valid(text) == valid);
	claim(utf8_string_valid(text) == (valid && !has_zero));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t len = size < 64 ? 0 : size; len <= size; len++) {
		struct slice text = exact_copy(slice_of(data, len));

		check(text);
		exact_free(text);
	}
	return 0;
}
