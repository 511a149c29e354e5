/* The texts of the audit log: entries, keys, checkpoints and proofs. */
#include "storage/audit/event.h"
#include "storage/audit/note.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct failure failure;

/* An event of a type with something in every field: the first word of each kind, numbers above 0.
 */
static size_t find_valid(enum audit_event_type type, char line[AUDIT_LINE_SIZE])
{
	static const char *const lines[AUDIT_EVENTS] = {
	    [AUDIT_START] =
		"{\"config\":1,\"event\":\"start\",\"index\":2,\"time\":3600,\"version\":0}",
	    [AUDIT_STOP] = "{\"cause\":\"asked\",\"event\":\"stop\",\"index\":3,\"time\":3600}",
	    [AUDIT_CONFIG] =
		"{\"audit_log\":\"on\",\"connection_messages\":\"off\",\"event\":\"config\","
		"\"index\":1,\"ip_logging\":\"none\",\"session_expiry_max\":2592000,\"time\":3600}",
	    [AUDIT_POLICY] = "{\"event\":\"policy\",\"index\":4,\"time\":0,\"version\":7}",
	    [AUDIT_KEY_NEW] =
		"{\"class\":\"envelope\",\"epoch\":9,\"event\":\"key.new\",\"index\":5,\"time\":0}",
	    [AUDIT_KEY_GONE] = "{\"class\":\"auth\",\"epoch\":9,\"event\":\"key.gone\",\"index\":6,"
			       "\"level\":\"clear\",\"time\":0}",
	    [AUDIT_JOB] =
		"{\"class\":\"session\",\"event\":\"job\",\"index\":7,\"outcome\":\"late\","
		"\"time\":0}",
	    [AUDIT_RECEIPTS] =
		"{\"event\":\"receipts\",\"index\":8,\"root\":\"00112233445566778899aa"
		"bbccddeeff00112233445566778899aabbccddeeff\",\"time\":0}",
	    [AUDIT_ALERT] =
		"{\"alert\":\"store_failed\",\"event\":\"alert\",\"index\":9,\"time\":0}",
	    [AUDIT_ADMIN] =
		"{\"event\":\"admin\",\"index\":10,\"right\":\"clients_kick\",\"time\":0}",
	    [AUDIT_VERSION] =
		"{\"event\":\"version\",\"index\":0,\"major\":1,\"minor\":20,\"patch\":3,"
		"\"time\":18446744073709551615}",
	};

	ck_assert_ptr_nonnull(lines[type]);
	strcpy(line, lines[type]);
	return strlen(line);
}

START_TEST(every_event)
{
	char line[AUDIT_LINE_SIZE];
	char again[AUDIT_LINE_SIZE];
	char told[AUDIT_LINE_SIZE];
	struct audit_event event;
	const size_t len = find_valid((enum audit_event_type)_i, line);

	ck_assert(audit_event_read(slice_of(line, len), &event));
	ck_assert_int_eq((int)event.type, _i);
	ck_assert_uint_eq(audit_event_write(&event, again), len);
	ck_assert_str_eq(again, line);
	ck_assert_uint_gt(audit_event_tell(&event, told), 10);
	ck_assert_ptr_null(strchr(told, '{'));
}
END_TEST

/* Whatever one byte is changed to, the line is another event or none; never the same. */
START_TEST(one_line_for_one_event)
{
	char line[AUDIT_LINE_SIZE];
	char again[AUDIT_LINE_SIZE];
	struct audit_event event;
	const size_t len = find_valid((enum audit_event_type)_i, line);

	for (size_t i = 0; i < len; i++)
		for (int to = 0; to < 256; to++) {
			const char was = line[i];

			line[i] = (char)to;
			if (audit_event_read(slice_of(line, len), &event)) {
				ck_assert_uint_eq(audit_event_write(&event, again), len);
				ck_assert_mem_eq(again, line, len);
			}
			line[i] = was;
		}
	for (size_t cut = 0; cut < len; cut++)
		ck_assert(!audit_event_read(slice_of(line, cut), &event));
}
END_TEST

/* Fields that came later: an entry has them or has not, and is the same line again. */
START_TEST(later_fields)
{
	static const char *const lines[] = {
	    "{\"config\":1,\"event\":\"start\",\"index\":2,\"policy\":7,\"time\":3600,"
	    "\"version\":0}",
	    "{\"admin_listener\":\"loopback\",\"allow_anonymous\":\"on\","
	    "\"allow_cleartext_password\":\"off\",\"audit_log\":\"on\","
	    "\"connection_messages\":\"off\",\"event\":\"config\",\"index\":1,"
	    "\"ip_logging\":\"none\",\"log_listener\":\"network\","
	    "\"memory_protection\":\"required\",\"region\":\"EU\","
	    "\"session_expiry_max\":2592000,\"time\":3600,\"tls\":\"some\"}",
	};
	static const char *const refused[] = {
	    "{\"audit_log\":\"on\",\"connection_messages\":\"off\",\"event\":\"config\","
	    "\"index\":1,\"ip_logging\":\"none\",\"region\":\"eu\","
	    "\"session_expiry_max\":1,\"time\":3600}",
	    "{\"connection_messages\":\"off\",\"event\":\"config\",\"index\":1,"
	    "\"ip_logging\":\"none\",\"session_expiry_max\":1,\"time\":3600}",
	};
	char again[AUDIT_LINE_SIZE];
	struct audit_event event;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_msg(audit_event_read(slice_text(lines[i]), &event), "%s", lines[i]);
		ck_assert_uint_eq(audit_event_write(&event, again), strlen(lines[i]));
		ck_assert_str_eq(again, lines[i]);
	}
	ck_assert_uint_eq(event.values[AUDIT_FIELD_CONFIG_REGION], AUDIT_REGION('E', 'U'));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ck_assert_msg(!audit_event_read(slice_text(refused[i]), &event), "%s", refused[i]);
}
END_TEST

START_TEST(refused_lines)
{
	static const char *const lines[] = {
	    "",
	    "{}",
	    "{\"event\":\"stop\",\"index\":3,\"time\":3600}",
	    "{\"cause\":\"asked\",\"event\":\"stop\",\"index\":3,\"time\":3600} ",
	    "{\"cause\": \"asked\",\"event\":\"stop\",\"index\":3,\"time\":3600}",
	    "{\"event\":\"stop\",\"cause\":\"asked\",\"index\":3,\"time\":3600}",
	    "{\"cause\":\"a client\",\"event\":\"stop\",\"index\":3,\"time\":3600}",
	    "{\"cause\":\"asked\",\"event\":\"stop\",\"index\":03,\"time\":3600}",
	    "{\"cause\":\"asked\",\"event\":\"stop\",\"index\":-3,\"time\":3600}",
	    "{\"cause\":\"asked\",\"event\":\"stop\",\"index\":3,\"time\":18446744073709551616}",
	    "{\"cause\":\"asked\",\"event\":\"stop\",\"index\":3,\"time\":3600,\"topic\":\"a\"}",
	    "{\"cause\":\"on\",\"event\":\"stop\",\"index\":3,\"time\":3600}",
	    "{\"event\":\"unknown\",\"index\":3,\"time\":3600}",
	};
	struct audit_event event;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ck_assert_msg(!audit_event_read(slice_text(lines[i]), &event), "%s", lines[i]);
}
END_TEST

/* ---- notes */

static struct audit_signing_key key_of(uint8_t byte)
{
	uint8_t seed[AUDIT_SEED_LEN];

	memset(seed, byte, sizeof(seed));
	return audit_signing_key_from(seed);
}

/* The first test vector of RFC 8032, section 7.1. */
START_TEST(signature_vector)
{
	static const uint8_t seed[AUDIT_SEED_LEN] = {
	    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
	    0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
	    0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
	static const uint8_t public[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7};
	static const uint8_t begins[] = {0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72};
	uint8_t signature[AUDIT_SIGNATURE_LEN];
	const struct audit_signing_key key = audit_signing_key_from(seed);

	ck_assert_mem_eq(key.public, public, sizeof(public));
	audit_sign(&key, SLICE_NONE, signature);
	ck_assert_mem_eq(signature, begins, sizeof(begins));
	ck_assert(audit_signature_fits(key.public, SLICE_NONE, signature));
	signature[63] ^= 1;
	ck_assert(!audit_signature_fits(key.public, SLICE_NONE, signature));
}
END_TEST

START_TEST(verifier_key)
{
	const struct audit_signing_key key = key_of(1);
	const struct note_verifier verifier = note_verifier_of(key.public);
	struct note_verifier again;
	char text[NOTE_VKEY_SIZE];

	note_vkey_write(&verifier, text);
	ck_assert(note_vkey_read(slice_text(text), &again, &failure));
	ck_assert_mem_eq(&again, &verifier, sizeof(again));
	for (size_t i = 0; text[i]; i++) {
		text[i] ^= 1;
		ck_assert_msg(!note_vkey_read(slice_text(text), &again, &failure), "%s", text);
		text[i] ^= 1;
	}
}
END_TEST

START_TEST(checkpoint_bytes)
{
	const struct audit_signing_key key = key_of(2);
	const struct audit_signing_key other = key_of(3);
	const struct note_verifier verifier = note_verifier_of(key.public);
	const struct note_verifier stranger = note_verifier_of(other.public);
	struct checkpoint was = {70000, merkle_empty()};
	struct checkpoint is;
	char text[NOTE_CHECKPOINT_SIZE + 1];
	size_t len = checkpoint_write(&was, &verifier, &key, text);

	ck_assert(checkpoint_read(slice_of(text, len), &verifier, &is, &failure));
	ck_assert_uint_eq(is.size, was.size);
	ck_assert(audit_hash_equal(&is.root, &was.root));
	ck_assert(!checkpoint_read(slice_of(text, len), &stranger, &is, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "it is of the log"));
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ (1 << bit));
			ck_assert_msg(
			    !checkpoint_read(slice_of(text, len), &verifier, &is, &failure),
			    "bit %d of byte %zu of %zu", bit, i, len);
			text[i] = (char)(text[i] ^ (1 << bit));
		}
	for (size_t cut = 0; cut < len; cut++)
		ck_assert(!checkpoint_read(slice_of(text, cut), &verifier, &is, &failure));
}
END_TEST

START_TEST(proofs_as_text)
{
	static struct proof_text was = {.number = 73894, .proof.count = 3};
	static struct proof_text is;
	char text[PROOF_HEAD_SIZE + 8];

	for (int round = 0; round < 4; round++) {
		was.kind = round < 3 ? PROOF_INCLUSION : PROOF_CONSISTENCY;
		was.has_extra = round == 1 || round == 2;
		was.extra_len = round == 1 ? 70 : 71;
		size_t len = proof_write_head(&was, text);

		strcpy(text + len, "note\n");
		ck_assert(proof_read(slice_of(text, len + 5), &is, &failure));
		ck_assert_int_eq(is.kind, was.kind);
		ck_assert_uint_eq(is.number, was.number);
		ck_assert_uint_eq(is.proof.count, 3);
		ck_assert(is.has_extra == was.has_extra);
		ck_assert(!is.has_extra || is.extra_len == was.extra_len);
		ck_assert(slice_equal(is.checkpoint, SLICE_LITERAL("note\n")));
		for (size_t cut = 0; cut < len; cut++)
			ck_assert(!proof_read(slice_of(text, cut), &is, &failure));
	}
}
END_TEST

/* ---- the longest there can be */

/* Names of kinds are KINDS of words, and numbers, hashes and regions. */
enum kind {
	KIND_NUMBER,
	KIND_HASH,
	KIND_REGION,
#define WORDS(kind) KIND_##kind,
#define WORD(kind, name, text)
#define EVENT(name, text, sentence)
#define FIELD(event, name, text, kind)
#define LATER(event, name, text, kind)
#include "storage/audit/event.def"
#undef WORDS
#undef WORD
#undef FIELD
#undef LATER
};

static const struct {
	enum audit_word word;
	enum kind kind;
	size_t len;
} words[] = {
#define WORDS(kind)
#define WORD(kind, name, text) {AUDIT_WORD_##kind##_##name, KIND_##kind, sizeof(text) - 1},
#define FIELD(event, name, text, kind)
#define LATER(event, name, text, kind)
#include "storage/audit/event.def"
#undef WORD
#undef FIELD
#undef LATER
};

static const struct {
	enum audit_event_type event;
	enum kind kind;
} fields[] = {
#define WORD(kind, name, text)
#define FIELD(event, name, text, kind) {AUDIT_##event, KIND_##kind},
#define LATER(event, name, text, kind) {AUDIT_##event, KIND_##kind},
#include "storage/audit/event.def"
};

static uint64_t longest_of(enum kind kind)
{
	uint64_t longest = UINT64_MAX - 1; /* UINT64_MAX is AUDIT_ABSENT */
	size_t len = 0;

	if (kind == KIND_REGION)
		return AUDIT_REGION('E', 'U');
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].kind == kind && words[i].len > len) {
			len = words[i].len;
			longest = words[i].word;
		}
	return longest;
}

/* Whatever its values, an entry and its sentence have room. */
START_TEST(longest)
{
	struct audit_event event = {
	    .type = (enum audit_event_type)_i, .index = UINT64_MAX - 1, .time_s = UINT64_MAX - 1};
	char line[AUDIT_LINE_SIZE];

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].event == event.type)
			event.values[i] = longest_of(fields[i].kind);
	ck_assert_uint_gt(audit_event_write(&event, line), 0);
	ck_assert(audit_event_read(slice_text(line), &event));
	ck_assert_uint_gt(audit_event_tell(&event, line), 0);
}
END_TEST

Suite *audit_text_suite(void)
{
	Suite *suite = suite_create("audit_text");
	TCase *text = tcase_create("text");

	tcase_add_loop_test(text, every_event, 0, AUDIT_EVENTS);
	tcase_add_loop_test(text, one_line_for_one_event, 0, AUDIT_EVENTS);
	tcase_add_test(text, later_fields);
	tcase_add_loop_test(text, longest, 0, AUDIT_EVENTS);
	tcase_add_test(text, refused_lines);
	tcase_add_test(text, signature_vector);
	tcase_add_test(text, verifier_key);
	tcase_add_test(text, checkpoint_bytes);
	tcase_add_test(text, proofs_as_text);
	suite_add_tcase(suite, text);
	return suite;
}
