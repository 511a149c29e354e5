/* test_token.c - session tokens: what one looks like, and for whom it is good. */
#include "auth/token.h"

#include "tests/unit/packets.h"

static const uint8_t key[SEAL_KEY_LEN] = "a key of the installation";
static const struct password_hash hash = {
    .salt_len = 4, .digest_len = 8, .salt = "salt", .digest = "a digest"};

START_TEST(looks)
{
	uint8_t one[AUTH_TOKEN_SIZE], other[AUTH_TOKEN_SIZE];

	token_make(one);
	token_make(other);
	ck_assert_mem_ne(one, other, sizeof one);
	ck_assert(token_looks_like(slice_of(one, sizeof one)));
	ck_assert(!token_looks_like(slice_of(one, sizeof one - 1)));
	ck_assert(!token_looks_like(SLICE_NONE));
	ck_assert(!token_looks_like(slice_of(one + 1, sizeof one - 1)));
	ck_assert_mem_eq(one, "metrino_t1_", 11);
	for (size_t i = 0; i < sizeof one; i++)
		ck_assert_ptr_nonnull(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					     "0123456789-_",
					     one[i]));
	one[0] = 'M';
	ck_assert(!token_looks_like(slice_of(one, sizeof one)));
}
END_TEST

static struct token_binding binding(void)
{
	return token_binding_of_password(7, &hash);
}

static bool same(const struct token_binding *b, const char *client_id, const uint8_t *token,
		 const uint8_t with[SEAL_KEY_LEN], const uint8_t kept[AUTH_TOKEN_MAC_SIZE])
{
	uint8_t found[AUTH_TOKEN_MAC_SIZE];

	token_keep(with, b, slice_text(client_id), slice_of(token, AUTH_TOKEN_SIZE), found);
	return memcmp(found, kept, sizeof found) == 0;
}

/* The owner, what it proved, the client identifier, the key and each byte of the token count. */
START_TEST(bound)
{
	static const uint8_t other_key[SEAL_KEY_LEN] = "another key";
	uint8_t token[AUTH_TOKEN_SIZE], kept[AUTH_TOKEN_MAC_SIZE];
	struct token_binding b = binding();
	struct password_hash another = hash;
	struct scram_record record = {.salt = "salt", .stored_key = "a digest"};

	token_make(token);
	token_keep(key, &b, slice_text("client"), slice_of(token, sizeof token), kept);
	ck_assert(same(&b, "client", token, key, kept));
	ck_assert(!same(&b, "client2", token, key, kept));
	ck_assert(!same(&b, "", token, key, kept));
	ck_assert(!same(&b, "client", token, other_key, kept));
	b.owner++;
	ck_assert(!same(&b, "client", token, key, kept));
	another.digest[7] ^= 1;
	b = token_binding_of_password(7, &another);
	ck_assert(!same(&b, "client", token, key, kept));
	another = hash;
	another.salt[0] ^= 1;
	b = token_binding_of_password(7, &another);
	ck_assert(!same(&b, "client", token, key, kept));
	b = token_binding_of_key(7, &record);
	ck_assert(!same(&b, "client", token, key, kept));
	b = binding();
	for (size_t i = 0; i < sizeof token; i++) {
		token[i] ^= 1;
		ck_assert(!same(&b, "client", token, key, kept));
		token[i] ^= 1;
	}
}
END_TEST

START_TEST(finding)
{
	static const uint8_t zero[AUTH_TOKEN_MAC_SIZE];
	struct auth_tokens tokens = {.latest = {1}, .before = {2}};

	ck_assert_int_eq(token_find(tokens.latest, &tokens), AUTH_TOKEN_LATEST);
	ck_assert_int_eq(token_find(tokens.before, &tokens), AUTH_TOKEN_BEFORE);
	ck_assert_int_eq(token_find((const uint8_t[AUTH_TOKEN_MAC_SIZE]){3}, &tokens),
			 AUTH_TOKEN_NONE);
	ck_assert_int_eq(token_find(tokens.latest, NULL), AUTH_TOKEN_NONE);
	tokens = (struct auth_tokens){0};
	ck_assert_int_eq(token_find(zero, &tokens), AUTH_TOKEN_NONE);
}
END_TEST

Suite *token_suite(void)
{
	const TTest *const tests[] = {looks, bound, finding};

	return suite_of("token", tests, COUNT_OF(tests));
}
