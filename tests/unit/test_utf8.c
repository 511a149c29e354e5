#include "proto/utf8.h"
#include "tests/unit/packets.h"

struct utf8_case {
	const char *bytes;
	bool valid;  /* as UTF-8 */
	bool string; /* as an MQTT string: no U+0000 either */
};

/* RFC 3629 sections 3 and 4, at every bound. [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3] */
static const struct utf8_case cases[] = {
    {"", true, true},
    {"'a'", true, true},
    {"7F", true, true},
    {"00", true, false},
    {"'a' 00 'b'", true, false},
    {"80", false, false}, /* a following byte alone */
    {"BF", false, false},
    {"C0 80", false, false}, /* overlong U+0000 */
    {"C0 AF", false, false}, /* overlong '/' */
    {"C1 BF", false, false},
    {"C2 80", true, true}, /* U+0080 */
    {"DF BF", true, true}, /* U+07FF */
    {"C2", false, false},  /* cut short */
    {"C2 'a'", false, false},
    {"C2 C2 80", false, false},
    {"E0 80 80", false, false}, /* overlong */
    {"E0 9F BF", false, false}, /* overlong U+07FF */
    {"E0 A0 80", true, true},	/* U+0800 */
    {"E1 80 80", true, true},
    {"EC BF BF", true, true},
    {"ED 9F BF", true, true},		 /* U+D7FF */
    {"ED A0 80", false, false},		 /* U+D800, the first surrogate */
    {"ED BF BF", false, false},		 /* U+DFFF, the last one */
    {"ED A0 BD ED B8 80", false, false}, /* a pair of surrogates */
    {"EE 80 80", true, true},		 /* U+E000 */
    {"EF BB BF", true, true},		 /* U+FEFF */
    {"EF BF BF", true, true},		 /* U+FFFF: only refused as a string of a packet */
    {"E2 82", false, false},
    {"E2 82 'a'", false, false},
    {"E2 'a' AC", false, false},
    {"F0 80 80 80", false, false}, /* overlong */
    {"F0 8F BF BF", false, false}, /* overlong U+FFFF */
    {"F0 90 80 80", true, true},   /* U+10000 */
    {"F0 9F 98 80", true, true},
    {"F3 BF BF BF", true, true},
    {"F4 8F BF BF", true, true},   /* U+10FFFF */
    {"F4 90 80 80", false, false}, /* U+110000 */
    {"F5 80 80 80", false, false},
    {"F8 88 80 80 80", false, false},
    {"FC 84 80 80 80 80", false, false},
    {"FE", false, false},
    {"FF", false, false},
    {"F0 9F 98", false, false},
    {"F0 9F 98 'a'", false, false},
};

/* Each case at every offset among ASCII, so that it meets the words of eight bytes everywhere. */
START_TEST(every_case_at_every_offset)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct slice middle = bytes_parse(cases[i].bytes);

		for (size_t before = 0; before < 20; before++) {
			for (size_t after = 0; after < 20; after++) {
				uint8_t *text = malloc(before + middle.len + after);
				struct slice all = slice_of(text, before + middle.len + after);

				memset(text, 'x', all.len);
				memcpy(text + before, middle.at, middle.len);
				ck_assert_msg(utf8_valid(all) == cases[i].valid,
					      "%s after %zu and before %zu", cases[i].bytes, before,
					      after);
				ck_assert_msg(utf8_string_valid(all) == cases[i].string,
					      "%s after %zu and before %zu", cases[i].bytes, before,
					      after);
				free(text);
			}
		}
		bytes_free(middle);
	}
}
END_TEST

static size_t encode(uint32_t code, uint8_t *out)
{
	if (code < 0x80) {
		out[0] = (uint8_t)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (uint8_t)(0xC0 | code >> 6);
		out[1] = (uint8_t)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (uint8_t)(0xE0 | code >> 12);
		out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
		out[2] = (uint8_t)(0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (uint8_t)(0xF0 | code >> 18);
	out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
	out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
	out[3] = (uint8_t)(0x80 | (code & 0x3F));
	return 4;
}

/* The code points that MQTT 5.0 section 1.5.4 lets a receiver refuse. */
static bool should_not_be_sent(uint32_t code)
{
	return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0xFDD0 && code <= 0xFDEF) ||
	       (code & 0xFFFE) == 0xFFFE;
}

/* Not in strings of packets; U+FEFF is none of them. [MQTT-1.5.4-3] */
START_TEST(disallowed_at_every_offset)
{
	static const uint32_t codes[] = {
	    0,	     1,	      '\n',    0x1F,	 ' ',	   '~',	     0x7F,   0x80,   0x9F,
	    0xA0,    0xFDCF,  0xFDD0,  0xFDEF,	 0xFDF0,   0xFEFF,   0xFFFD, 0xFFFE, 0xFFFF,
	    0x1FFFD, 0x1FFFE, 0xFFFFF, 0x10FFFD, 0x10FFFE, 0x10FFFF, 0x2A6D4};

	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		for (size_t before = 0; before < 20; before++) {
			for (size_t after = 0; after < 20; after++) {
				uint8_t text[48];
				size_t len;

				memset(text, 'x', sizeof(text));
				len = encode(codes[i], text + before);
				ck_assert_msg(
				    utf8_string_accepted(slice_of(text, before + len + after)) !=
					should_not_be_sent(codes[i]),
				    "U+%04X after %zu and before %zu", codes[i], before, after);
			}
		}
	}
}
END_TEST

START_TEST(every_code_point)
{
	for (uint32_t code = 0; code < 0x1FFFFF; code++) {
		bool surrogate = code >= 0xD800 && code <= 0xDFFF;
		bool valid = !surrogate && code <= 0x10FFFF;
		uint8_t text[4];
		size_t len = encode(code, text);

		/* check notes every assertion in a file: too slow for two million of them */
		if (utf8_valid(slice_of(text, len)) != valid ||
		    utf8_string_valid(slice_of(text, len)) != (valid && code != 0) ||
		    utf8_string_accepted(slice_of(text, len)) !=
			(valid && !should_not_be_sent(code)))
			ck_abort_msg("U+%04X", code);
	}
}
END_TEST

/* Every three bytes: well-formed exactly when they are some code points, encoded the one way. */
START_TEST(every_three_bytes)
{
	for (uint32_t n = 0; n < 0x1000000; n += 7) {
		const uint8_t text[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
		bool valid = true;
		size_t at = 0;

		while (valid && at < sizeof(text)) {
			size_t left = sizeof(text) - at;
			uint32_t code = text[at];
			uint8_t again[4];
			size_t len = 1;

			if (text[at] >= 0xE0 && left == 3) {
				len = 3;
				code = (text[at] & 0x0Fu) << 12 | (text[at + 1] & 0x3Fu) << 6 |
				       (text[at + 2] & 0x3Fu);
			} else if (text[at] >= 0xC0 && left >= 2) {
				len = 2;
				code = (text[at] & 0x1Fu) << 6 | (text[at + 1] & 0x3Fu);
			}
			valid = encode(code, again) == len && memcmp(again, text + at, len) == 0 &&
				!(code >= 0xD800 && code <= 0xDFFF);
			at += len;
		}
		if (utf8_valid(slice_of(text, sizeof(text))) != valid)
			ck_abort_msg("%06x", n);
	}
}
END_TEST

Suite *utf8_suite(void)
{
	const TTest *const tests[] = {every_case_at_every_offset, disallowed_at_every_offset,
				      every_code_point, every_three_bytes};

	return suite_of("utf8", tests, COUNT_OF(tests));
}
