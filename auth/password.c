/* password.c - see password.h. */
#include "auth/password.h"
#include <argon2.h>
#include <errno.h>
#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#define SHA512_SIZE 64u

/* Argon2's own; shorter digests would be guessed, and a cut off one is seen by this. */
#define DIGEST_MIN 16u
#define SALT_MIN   8u

#define KIB 1024u

static _Atomic uint64_t argon2_runs;

uint64_t password_argon2_runs(void)
{
	return atomic_load_explicit(&argon2_runs, memory_order_relaxed);
}

/* ---- reading ---- */

/* Takes what stands before the next `end` off *text; false when it is not there. */
static bool take_until(struct slice *text, char end, struct slice *part)
{
	const uint8_t *at = text->len > 0 ? memchr(text->at, end, text->len) : NULL;
	if (at == NULL)
		return false;
	*part = slice_of(text->at, (size_t)(at - text->at));
	*text = slice_after(*text, part->len + 1);
	return true;
}

static bool take_prefix(struct slice *text, const char *prefix)
{
	size_t len = strlen(prefix);
	if (text->len < len || memcmp(text->at, prefix, len) != 0)
		return false;
	*text = slice_after(*text, len);
	return true;
}

/* 1 to max, in digits, without a leading zero. */
static bool read_number(struct slice text, uint32_t max, uint32_t *number)
{
	uint64_t value = 0;
	if (text.len == 0 || text.len > 10 || text.at[0] == '0')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = value * 10 + (text.at[i] - '0');
	}
	*number = (uint32_t)value;
	return value <= max;
}

/* libsodium (1.0.18) takes some bytes above 127 for digits. */
static bool is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] > 127)
			return false;
	return true;
}

static bool read_base64(struct slice text, bool padded, uint8_t *out, size_t room, uint32_t *len)
{
	const char *end = NULL;
	size_t n = 0;
	int variant =
	    padded ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
	if (text.len == 0 || !is_ascii(text) ||
	    sodium_base642bin(out, room, (const char *)text.at, text.len, NULL, &n, &end,
			      variant) != 0)
		return false;
	*len = (uint32_t)n;
	return end == (const char *)text.at + text.len;
}

static bool read_salt_and_digest(struct slice text, bool padded, struct password_hash *hash,
				 const char **wrong)
{
	struct slice salt;
	if (!take_until(&text, '$', &salt)) {
		*wrong = "is cut off: there is no digest";
		return false;
	}
	if (!read_base64(salt, padded, hash->salt, sizeof hash->salt, &hash->salt_len)) {
		*wrong = "has a salt that is not base64 of at most 64 bytes";
		return false;
	}
	if (!read_base64(text, padded, hash->digest, sizeof hash->digest, &hash->digest_len)) {
		*wrong = "is cut off, or has a digest that is not base64 of at most 64 bytes";
		return false;
	}
	return true;
}

/* m=KIB,t=PASSES,p=LANES */
static bool read_cost(struct slice text, struct password_cost *cost)
{
	struct slice memory, passes;
	return take_prefix(&text, "m=") && take_until(&text, ',', &memory) &&
	       take_prefix(&text, "t=") && take_until(&text, ',', &passes) &&
	       take_prefix(&text, "p=") && read_number(memory, UINT32_MAX, &cost->memory_kib) &&
	       read_number(passes, PASSWORD_PASSES_MAX, &cost->passes) &&
	       read_number(text, PASSWORD_LANES_MAX, &cost->lanes) &&
	       cost->memory_kib >= 8 * cost->lanes;
}

static bool read_argon2id(struct slice text, struct password_hash *hash, const char **wrong)
{
	struct slice cost;
	if (!take_prefix(&text, "v=19$")) {
		*wrong = "is of a version of Argon2 other than 19";
		return false;
	}
	if (!take_until(&text, '$', &cost) || !read_cost(cost, &hash->cost)) {
		*wrong = "lacks the parameters m=KIB,t=PASSES,p=LANES, with 8 KiB or more for each "
			 "of at most 64 lanes, and at most 1000 passes";
		return false;
	}
	if (!read_salt_and_digest(text, false, hash, wrong))
		return false;
	if (hash->salt_len >= SALT_MIN && hash->digest_len >= DIGEST_MIN)
		return true;
	*wrong = "is cut off: its salt has 8 bytes or more, its digest 16 or more";
	return false;
}

static bool read_sha512_digest(struct slice text, struct password_hash *hash, const char **wrong)
{
	if (!read_salt_and_digest(text, true, hash, wrong))
		return false;
	if (hash->digest_len == SHA512_SIZE)
		return true;
	*wrong = "is cut off: its digest has 64 bytes";
	return false;
}

static bool read_pbkdf2(struct slice text, struct password_hash *hash, const char **wrong)
{
	struct slice rounds;
	if (!take_until(&text, '$', &rounds) ||
	    !read_number(rounds, PASSWORD_ROUNDS_MAX, &hash->rounds)) {
		*wrong = "lacks the number of rounds, 1 to 10000000";
		return false;
	}
	return read_sha512_digest(text, hash, wrong);
}

static const struct {
	const char *prefix;
	enum password_kind kind;
	bool (*read)(struct slice text, struct password_hash *hash, const char **wrong);
} forms[] = {
    {"$argon2id$", PASSWORD_ARGON2ID, read_argon2id},
    {"$7$", PASSWORD_PBKDF2_SHA512, read_pbkdf2},
    {"$6$", PASSWORD_SHA512, read_sha512_digest},
};

bool password_read(struct slice text, struct password_hash *hash, const char **wrong)
{
	memset(hash, 0, sizeof *hash); /* padding too: they are compared byte by byte */
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		struct slice rest = text;
		if (!take_prefix(&rest, forms[i].prefix))
			continue;
		hash->kind = forms[i].kind;
		return forms[i].read(rest, hash, wrong);
	}
	*wrong = "is not $argon2id$, $7$ or $6$ (plain passwords are hashed by `metrino passwd -U "
		 "FILE`)";
	return false;
}

/* ---- writing ---- */

void password_write(const struct password_hash *hash, char text[PASSWORD_TEXT_MAX])
{
	char salt[sodium_base64_ENCODED_LEN(PASSWORD_SALT_MAX, sodium_base64_VARIANT_ORIGINAL)];
	char digest[sodium_base64_ENCODED_LEN(PASSWORD_DIGEST_MAX, sodium_base64_VARIANT_ORIGINAL)];
	int variant = hash->kind == PASSWORD_ARGON2ID ? sodium_base64_VARIANT_ORIGINAL_NO_PADDING
						      : sodium_base64_VARIANT_ORIGINAL;
	sodium_bin2base64(salt, sizeof salt, hash->salt, hash->salt_len, variant);
	sodium_bin2base64(digest, sizeof digest, hash->digest, hash->digest_len, variant);
	if (hash->kind == PASSWORD_ARGON2ID)
		snprintf(text, PASSWORD_TEXT_MAX, "$argon2id$v=19$m=%u,t=%u,p=%u$%s$%s",
			 hash->cost.memory_kib, hash->cost.passes, hash->cost.lanes, salt, digest);
	else if (hash->kind == PASSWORD_PBKDF2_SHA512)
		snprintf(text, PASSWORD_TEXT_MAX, "$7$%u$%s$%s", hash->rounds, salt, digest);
	else
		snprintf(text, PASSWORD_TEXT_MAX, "$6$%s$%s", salt, digest);
}

/* ---- work ---- */

static uint64_t kib_passes(struct password_cost cost)
{
	return (uint64_t)cost.memory_kib * cost.passes;
}

struct password_work password_work_of(struct password_cost cost)
{
	return (struct password_work){.cost = cost, .kib_passes = kib_passes(cost)};
}

void password_work_include(struct password_work *work, const struct password_hash *hash)
{
	if (kib_passes(hash->cost) > work->kib_passes)
		work->kib_passes = kib_passes(hash->cost);
	if (hash->rounds > work->rounds)
		work->rounds = hash->rounds;
}

/* ---- the arena ---- */

bool password_arena_init(struct password_arena *arena, uint32_t memory_kib, struct failure *failure)
{
	size_t size = (size_t)memory_kib * KIB;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*arena = (struct password_arena){0};
	if (at == MAP_FAILED)
		return failure_set(failure,
				   "no memory for Argon2 (%u KiB for each of auth_threads): %s; "
				   "right would be a smaller argon2_memory or fewer auth_threads",
				   memory_kib, strerror(errno));
	madvise(at, size, MADV_HUGEPAGE);
	madvise(at, size, MADV_DONTDUMP);
	memset(at, 0, size); /* now, and not at the first login */
	*arena = (struct password_arena){at, size};
	return true;
}

void password_arena_finish(struct password_arena *arena)
{
	if (arena->at)
		munmap(arena->at, arena->size);
	*arena = (struct password_arena){0};
}

/* libargon2's callbacks have no argument of ours. */
static _Thread_local struct password_arena *arena_in_use;

static int lend_arena(uint8_t **memory, size_t size)
{
	*memory = size <= arena_in_use->size ? arena_in_use->at : NULL;
	return *memory ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

/* It is ours, and libargon2 has wiped it. */
static void take_arena_back(uint8_t *memory, size_t size)
{
	(void)memory;
	(void)size;
}

/* ---- hashing ---- */

static void argon2id(struct password_arena *arena, struct password_cost cost, struct slice password,
		     struct slice salt, uint8_t *digest, uint32_t digest_len)
{
	static uint8_t none;
	argon2_context context = {
	    .out = digest,
	    .outlen = digest_len,
	    .pwd = password.len > 0 ? (uint8_t *)(uintptr_t)password.at : &none,
	    .pwdlen = (uint32_t)password.len,
	    .salt = (uint8_t *)(uintptr_t)salt.at,
	    .saltlen = (uint32_t)salt.len,
	    .t_cost = cost.passes,
	    .m_cost = cost.memory_kib,
	    .lanes = cost.lanes,
	    .threads = 1,
	    .allocate_cbk = lend_arena,
	    .free_cbk = take_arena_back,
	    .flags = ARGON2_DEFAULT_FLAGS,
	    .version = ARGON2_VERSION_13,
	};
	atomic_fetch_add_explicit(&argon2_runs, 1, memory_order_relaxed);
	arena_in_use = arena;
	must(argon2id_ctx(&context) == ARGON2_OK);
	arena_in_use = NULL;
}

static void pbkdf2(uint32_t rounds, struct slice password, struct slice salt,
		   uint8_t digest[SHA512_SIZE])
{
	mbedtls_md_context_t md;
	mbedtls_md_init(&md);
	must(mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA512), 1) == 0);
	must(mbedtls_pkcs5_pbkdf2_hmac(&md, password.at, password.len, salt.at, salt.len, rounds,
				       SHA512_SIZE, digest) == 0);
	mbedtls_md_free(&md);
}

static void sha512(struct slice password, struct slice salt, uint8_t digest[SHA512_SIZE])
{
	crypto_hash_sha512_state state;
	crypto_hash_sha512_init(&state);
	crypto_hash_sha512_update(&state, password.at, password.len);
	crypto_hash_sha512_update(&state, salt.at, salt.len);
	crypto_hash_sha512_final(&state, digest);
	sodium_memzero(&state, sizeof state);
}

static bool is_it(struct password_arena *arena, const struct password_hash *hash,
		  struct slice password)
{
	uint8_t digest[PASSWORD_DIGEST_MAX];
	struct slice salt = slice_of(hash->salt, hash->salt_len);
	if (hash->kind == PASSWORD_ARGON2ID)
		argon2id(arena, hash->cost, password, salt, digest, hash->digest_len);
	else if (hash->kind == PASSWORD_PBKDF2_SHA512)
		pbkdf2(hash->rounds, password, salt, digest);
	else
		sha512(password, salt, digest);
	bool same = sodium_memcmp(digest, hash->digest, hash->digest_len) == 0;
	sodium_memzero(digest, sizeof digest);
	return same;
}

/* Spends what is left of the work, on nothing. */
static void spend_argon2(struct password_arena *arena, struct password_cost cost, uint64_t left)
{
	static const uint8_t salt[SALT_MIN];
	uint8_t digest[PASSWORD_DIGEST_MAX];
	while (left / cost.passes >= 8ull * cost.lanes) {
		uint64_t memory_kib = left / cost.passes;
		struct password_cost part = cost;
		if (memory_kib < cost.memory_kib)
			part.memory_kib = (uint32_t)memory_kib;
		argon2id(arena, part, SLICE_NONE, slice_of(salt, sizeof salt), digest,
			 sizeof digest);
		left -= kib_passes(part);
	}
}

static void spend_rounds(uint32_t rounds)
{
	static const uint8_t salt[SALT_MIN];
	uint8_t digest[SHA512_SIZE];
	if (rounds > 0)
		pbkdf2(rounds, slice_of(salt, 1), slice_of(salt, sizeof salt), digest);
}

bool password_check(struct password_arena *arena, const struct password_work *work,
		    const struct password_hash *hash, struct slice password)
{
	static const struct password_hash nobody = {.kind = PASSWORD_SHA512,
						    .digest_len = SHA512_SIZE};
	const struct password_hash *with = hash ? hash : &nobody;
	must(work->rounds >= with->rounds && work->kib_passes >= kib_passes(with->cost));
	bool same = is_it(arena, with, password) && hash != NULL;
	spend_rounds(work->rounds - with->rounds);
	if (!same || with->kind == PASSWORD_ARGON2ID)
		spend_argon2(arena, work->cost, work->kib_passes - kib_passes(with->cost));
	return same;
}

void password_make(struct password_arena *arena, struct password_cost cost, struct slice password,
		   struct password_hash *hash)
{
	memset(hash, 0, sizeof *hash);
	hash->kind = PASSWORD_ARGON2ID;
	hash->cost = cost;
	hash->salt_len = 16; /* RFC 9106, section 4 */
	hash->digest_len = 32;
	must(getrandom(hash->salt, hash->salt_len, 0) == (ssize_t)hash->salt_len);
	argon2id(arena, cost, password, slice_of(hash->salt, hash->salt_len), hash->digest,
		 hash->digest_len);
}
