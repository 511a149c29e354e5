/* test_scram.c - SCRAM-SHA-256: the vector of RFC 7677, and what is not to be taken. */
#include "auth/scram.h"
#include "storage/seal.h"

#include "tests/unit/packets.h"
#include <stdio.h>

/* RFC 7677 section 3; the proof and the signature are those that stand there. */
static const uint8_t rfc_salt[SCRAM_SALT_SIZE] = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e,
						  0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};
#define RFC_FIRST     "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_NONCE     "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_CHALLENGE "r=rOprNGfwEbeRWgbNEkqO" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_BARE      "c=biws,r=rOprNGfwEbeRWgbNEkqO" RFC_NONCE
#define RFC_PROOF     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static void make_record(const char *secret, struct scram_record *record)
{
	scram_record_make(slice_text(secret), rfc_salt, SCRAM_ITERATIONS, record);
}

static void write_base64(char *out, const uint8_t bytes[SEAL_KEY_LEN])
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < 30; i += 3) {
		uint32_t word = (uint32_t)(bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2]);

		for (unsigned shift = 24; shift > 0; shift -= 6)
			*out++ = digits[word >> (shift - 6) & 63];
	}
	*out++ = digits[bytes[30] >> 2];
	*out++ = digits[(bytes[30] & 3) << 4 | bytes[31] >> 4];
	*out++ = digits[(bytes[31] & 15) << 2];
	*out++ = '=';
	*out = 0;
}

/* Up to the challenge; false: the first message is refused. */
static bool begin(struct scram *scram, const char *first, const char *name)
{
	static struct scram_record record; /* made once: it takes a millisecond */
	struct slice found;
	if (record.iterations == 0)
		make_record("pencil", &record);
	if (!scram_first(scram, slice_text(first), &found))
		return false;
	ck_assert(slice_equal(found, slice_text(name)));
	scram_challenge(scram, &record, slice_text(RFC_NONCE));
	return true;
}

START_TEST(the_vector_of_rfc_7677)
{
	struct scram scram;
	struct scram_record record;
	struct slice name, answer;
	make_record("pencil", &record);
	ck_assert(scram_first(&scram, slice_text(RFC_FIRST), &name));
	ck_assert(slice_equal(name, slice_text("user")));
	answer = scram_challenge(&scram, &record, slice_text(RFC_NONCE));
	ck_assert(slice_equal(answer, slice_text(RFC_CHALLENGE)));
	ck_assert(scram_final(&scram, slice_text(RFC_BARE ",p=" RFC_PROOF), &answer));
	ck_assert(slice_equal(answer, slice_text(RFC_SIGNATURE)));
}
END_TEST

/* Every bit of the proof, of what it signs and of the record counts. */
START_TEST(no_bit_may_be_another)
{
	static const char final[] = RFC_BARE ",p=" RFC_PROOF;
	char changed[sizeof final];
	struct slice answer;
	for (size_t at = 0; at < sizeof final - 1; at++) {
		for (unsigned bit = 0; bit < 7; bit++) {
			struct scram scram;
			memcpy(changed, final, sizeof final);
			changed[at] = (char)(changed[at] ^ 1 << bit);
			ck_assert(begin(&scram, RFC_FIRST, "user"));
			ck_assert_msg(
			    !scram_final(&scram, slice_of(changed, sizeof final - 1), &answer),
			    "'%s' was taken", changed);
		}
	}
}
END_TEST

START_TEST(another_secret_does_not_fit)
{
	struct scram scram;
	struct scram_record record;
	struct slice name, answer;
	make_record("pencil ", &record);
	ck_assert(scram_record_fits(&record, slice_text("pencil ")));
	ck_assert(!scram_record_fits(&record, slice_text("pencil")));
	ck_assert(!scram_record_fits(&record, SLICE_NONE));
	ck_assert(scram_first(&scram, slice_text(RFC_FIRST), &name));
	scram_challenge(&scram, &record, slice_text(RFC_NONCE));
	ck_assert(!scram_final(&scram, slice_text(RFC_BARE ",p=" RFC_PROOF), &answer));
}
END_TEST

START_TEST(first_messages)
{
	static const struct {
		const char *message;
		const char *name; /* NULL: refused */
	} cases[] = {
	    {"n,,n=user,r=x", "user"},
	    {"y,,n=user,r=x", "user"},
	    {"n,,n=a=2Cb=3Dc,r=x", "a,b=c"},
	    {"n,a=user,n=user,r=x", "user"},
	    {"n,a=a=2Cb,n=a=2Cb,r=x", "a,b"},
	    {"n,,n=user,r=x,z=later", "user"},
	    {"n,,n=user,r=x,z=later,Y=more", "user"},
	    {"n,,n=user,r=x,m=must", NULL},
	    {"n,,n=user,r=x,z=later,m=must", NULL},
	    {"n,,n=user,r=x,", NULL},
	    {"n,,n=user,r=x,,", NULL},
	    {"n,,n=user,r=x,z", NULL},
	    {"n,,n=user,r=x,z=", NULL},
	    {"n,,n=user,r=x,1=later", NULL},
	    {"n,a=other,n=user,r=x", NULL},
	    {"n,a=,n=user,r=x", NULL},
	    {"n,a=user", NULL},
	    {"p=tls-unique,,n=user,r=x", NULL},
	    {"n,,m=must,n=user,r=x", NULL},
	    {"n,,n=user", NULL},
	    {"n,,n=user,r=", NULL},
	    {"n,,n=user,r=a b", NULL},
	    {"n,,n=,r=x", NULL},
	    {"n,,n=a=2cb,r=x", NULL},
	    {"n,,n=a=,r=x", NULL},
	    {"n,,n=a=3,r=x", NULL},
	    {"n,,r=x,n=user", NULL},
	    {"n,n=user,r=x", NULL},
	    {"n,,", NULL},
	    {"n,", NULL},
	    {"n", NULL},
	    {"", NULL},
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct scram scram;
		bool taken = begin(&scram, cases[i].message, cases[i].name ? cases[i].name : "");
		ck_assert_msg(taken == (cases[i].name != NULL), "'%s'", cases[i].message);
	}
}
END_TEST

START_TEST(a_name_holds_no_zero)
{
	struct scram scram;
	struct slice name;
	ck_assert(!scram_first(&scram, SLICE_LITERAL("n,,n=a\0b,r=x"), &name));
}
END_TEST

/* Up to the limit, and not one byte more; the longest of all fits what is made of it. */
START_TEST(long_messages)
{
	char message[SCRAM_MESSAGE_MAX + 1];
	struct scram scram;
	struct scram_record record;
	struct slice name, answer;
	memset(message, 'x', sizeof message);
	memcpy(message, "n,,n=u,r=", 9);
	make_record("pencil", &record);
	ck_assert(!scram_first(&scram, slice_of(message, sizeof message), &name));
	ck_assert(scram_first(&scram, slice_of(message, SCRAM_MESSAGE_MAX), &name));
	answer = scram_challenge(&scram, &record, slice_text("12345678901234567890123456789012"));
	ck_assert_uint_le(answer.len, SCRAM_ANSWER_MAX);
	ck_assert(!scram_final(&scram, slice_of(message, SCRAM_MESSAGE_MAX), &answer));
	ck_assert(!scram_final(&scram, slice_of(message, sizeof message), &answer));
}
END_TEST

START_TEST(final_messages)
{
	static const char *const refused[] = {
	    "",
	    "c=biws",
	    RFC_BARE,
	    RFC_BARE ",",
	    RFC_BARE ",p=",
	    RFC_BARE ",p=" RFC_PROOF ",",
	    RFC_BARE ",p=" RFC_PROOF ",x=y",
	    RFC_BARE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=",
	    RFC_BARE ",x,p=" RFC_PROOF,
	    "c=eSws,r=rOprNGfwEbeRWgbNEkqO" RFC_NONCE ",p=" RFC_PROOF, /* "y,," */
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" RFC_PROOF,
	    "r=rOprNGfwEbeRWgbNEkqO" RFC_NONCE ",c=biws,p=" RFC_PROOF,
	};
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		struct scram scram;
		struct slice answer;
		ck_assert(begin(&scram, RFC_FIRST, "user"));
		ck_assert_msg(!scram_final(&scram, slice_text(refused[i]), &answer), "'%s'",
			      refused[i]);
	}
}
END_TEST

/* Who has the secret signs whatever it likes, and has to sign our nonce and the header all the
 * same. */
static bool signs(const char *without)
{
	static const uint8_t pencil[SEAL_KEY_LEN] = "pencil";
	uint8_t block[SCRAM_SALT_SIZE + 4] = {[SCRAM_SALT_SIZE + 3] = 1};
	uint8_t salted[SEAL_KEY_LEN], key[SEAL_KEY_LEN], proof[SEAL_KEY_LEN];
	char said[512], final[512], coded[64];
	struct scram_record record;
	struct scram scram;
	struct slice name, challenge, answer;

	scram_record_make(slice_text("pencil"), rfc_salt, 1, &record); /* one iteration: one HMAC */
	memcpy(block, rfc_salt, sizeof rfc_salt);
	seal_mac(pencil, slice_of(block, sizeof block), salted);
	seal_mac(salted, slice_text("Client Key"), key);
	ck_assert(scram_first(&scram, slice_text("n,,n=user,r=abc"), &name));
	challenge = scram_challenge(&scram, &record, slice_text("xyz"));
	snprintf(said, sizeof said, "n=user,r=abc,%.*s,%s", (int)challenge.len,
		 (const char *)challenge.at, without);
	seal_mac(record.stored_key, slice_text(said), proof);
	for (size_t i = 0; i < sizeof proof; i++)
		proof[i] ^= key[i];
	write_base64(coded, proof);
	snprintf(final, sizeof final, "%s,p=%s", without, coded);
	return scram_final(&scram, slice_text(final), &answer);
}

START_TEST(what_has_to_be_signed)
{
	ck_assert(signs("c=biws,r=abcxyz"));
	ck_assert(signs("c=biws,r=abcxyz,e=xtension"));
	ck_assert(signs("c=biws,r=abcxyz,e=xtension,F=urther"));
	ck_assert(!signs("c=biws,r=abcxyz,m=ust"));
	ck_assert(!signs("c=biws,r=abcxyz,e=xtension,m=ust"));
	ck_assert(!signs("c=biws,r=abcxyz,,=x"));
	ck_assert(!signs("c=biws,r=abcxyz,1=x"));
	ck_assert(!signs("c=biws,r=abcxyz,e="));
	ck_assert(!signs("c=biws,r=abcxy"));
	ck_assert(!signs("c=biws,r=abcxyzz"));
	ck_assert(!signs("c=biws,r=abdxyz"));
	ck_assert(!signs("c=eSws,r=abcxyz"));
	ck_assert(!signs("r=abcxyz"));
	ck_assert(!signs("c=biws"));
}
END_TEST

START_TEST(who_does_not_exist_has_always_the_same_salt)
{
	static const uint8_t key[SCRAM_KEY_SIZE] = "a key", other[SCRAM_KEY_SIZE] = "another";
	struct scram_record a, again, b, elsewhere;
	scram_record_fabricate(key, slice_text("a"), &a);
	scram_record_fabricate(key, slice_text("a"), &again);
	scram_record_fabricate(key, slice_text("b"), &b);
	scram_record_fabricate(other, slice_text("a"), &elsewhere);
	ck_assert_mem_eq(&a, &again, sizeof a);
	ck_assert_mem_ne(a.salt, b.salt, sizeof a.salt);
	ck_assert_mem_ne(a.salt, elsewhere.salt, sizeof a.salt);
	ck_assert_mem_ne(a.stored_key, a.server_key, sizeof a.stored_key);
	ck_assert_uint_eq(a.iterations, SCRAM_ITERATIONS);
}
END_TEST

Suite *scram_suite(void)
{
	const TTest *const tests[] = {the_vector_of_rfc_7677,
				      no_bit_may_be_another,
				      another_secret_does_not_fit,
				      first_messages,
				      a_name_holds_no_zero,
				      long_messages,
				      final_messages,
				      what_has_to_be_signed,
				      who_does_not_exist_has_always_the_same_salt};

	return suite_of("scram", tests, COUNT_OF(tests));
}
