/* ciphers.c - see ciphers.h. */
#include "broker/net/ciphers.h"

enum use {
	USE_DEFAULT,	 /* offered with a certificate */
	USE_DEFAULT_PSK, /* offered with pre-shared keys */
	USE_NAMED,	 /* only when a list names it */
	USE_NAMED_PSK,
};

static const struct suite {
	int number;
	enum use use;
	const char *openssl;
	const char *iana;
} suites[] = {
    {0xC02B, USE_DEFAULT, "ECDHE-ECDSA-AES128-GCM-SHA256",
     "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
    {0xC02F, USE_DEFAULT, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
    {0xC02C, USE_DEFAULT, "ECDHE-ECDSA-AES256-GCM-SHA384",
     "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    {0xC030, USE_DEFAULT, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
    {0xCCA9, USE_DEFAULT, "ECDHE-ECDSA-CHACHA20-POLY1305",
     "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
    {0xCCA8, USE_DEFAULT, "ECDHE-RSA-CHACHA20-POLY1305",
     "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
    {0xC0AC, USE_DEFAULT, "ECDHE-ECDSA-AES128-CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"},
    {0xC0AD, USE_DEFAULT, "ECDHE-ECDSA-AES256-CCM", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"},
    {0xC0AE, USE_DEFAULT, "ECDHE-ECDSA-AES128-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"},
    {0xC023, USE_NAMED, "ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"},
    {0xC027, USE_NAMED, "ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"},
    {0xC024, USE_NAMED, "ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"},
    {0xC028, USE_NAMED, "ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"},
    {0x009C, USE_NAMED, "AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"},
    {0x009D, USE_NAMED, "AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"},
    {0xCCAC, USE_DEFAULT_PSK, "ECDHE-PSK-CHACHA20-POLY1305",
     "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"},
    {0xC037, USE_DEFAULT_PSK, "ECDHE-PSK-AES128-CBC-SHA256",
     "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256"},
    {0x00A8, USE_DEFAULT_PSK, "PSK-AES128-GCM-SHA256", "TLS_PSK_WITH_AES_128_GCM_SHA256"},
    {0x00A9, USE_DEFAULT_PSK, "PSK-AES256-GCM-SHA384", "TLS_PSK_WITH_AES_256_GCM_SHA384"},
    {0xCCAB, USE_DEFAULT_PSK, "PSK-CHACHA20-POLY1305", "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256"},
    {0xC0A4, USE_DEFAULT_PSK, "PSK-AES128-CCM", "TLS_PSK_WITH_AES_128_CCM"},
    {0xC0A5, USE_DEFAULT_PSK, "PSK-AES256-CCM", "TLS_PSK_WITH_AES_256_CCM"},
    {0xC0A8, USE_DEFAULT_PSK, "PSK-AES128-CCM8", "TLS_PSK_WITH_AES_128_CCM_8"},
    {0x00AE, USE_NAMED_PSK, "PSK-AES128-CBC-SHA256", "TLS_PSK_WITH_AES_128_CBC_SHA256"},
};

#define SUITES (sizeof(suites) / sizeof(suites[0]))

_Static_assert(sizeof(suites) / sizeof(suites[0]) <= CIPHERS_MAX, "a list may name them all");

/* OpenSSL's words for what we offer anyway. */
static const char *const ours[] = {
    "DEFAULT", "HIGH",	 "ALL", "SECURE128", "SECURE192", "ECDHE",	  "kECDHE",
    "EECDH",   "AESGCM", "PSK", "kPSK",	     "@STRENGTH", "ECDHE+AESGCM", "EECDH+AESGCM",
};

/* What an exclusion may name: nothing that is offered. */
static const char *const never[] = {
    "aNULL", "eNULL",	 "NULL", "EXPORT", "EXP",  "LOW",  "MEDIUM", "SSLv2", "SSLv3",
    "MD5",   "RC4",	 "RC2",	 "DES",	   "3DES", "DSS",  "aDSS",   "SRP",   "ADH",
    "AECDH", "CAMELLIA", "SEED", "IDEA",   "ARIA", "kRSA", "RSA",    "DHE",   "kDHE",
    "DH",    "kEDH",	 "EDH",	 "SHA1",   "SHA",  "TLSv1"};

static bool uses_psk(const struct suite *suite)
{
	return suite->use == USE_DEFAULT_PSK || suite->use == USE_NAMED_PSK;
}

static void add(struct ciphers *ciphers, int number)
{
	for (size_t i = 0; i < ciphers->count; i++)
		if (ciphers->numbers[i] == number)
			return;
	ciphers->numbers[ciphers->count++] = number;
	ciphers->numbers[ciphers->count] = 0;
}

static void add_default(struct ciphers *ciphers, bool psk)
{
	for (size_t i = 0; i < SUITES; i++)
		if (suites[i].use == USE_DEFAULT || (psk && suites[i].use == USE_DEFAULT_PSK))
			add(ciphers, suites[i].number);
}

void ciphers_default(struct ciphers *ciphers, bool psk)
{
	*ciphers = (struct ciphers){0};
	add_default(ciphers, psk);
}

static bool is(struct slice word, const char *text)
{
	return slice_equal(word, slice_text(text));
}

static bool is_one_of(struct slice word, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is(word, texts[i]))
			return true;
	return false;
}

static const struct suite *find(struct slice word)
{
	for (size_t i = 0; i < SUITES; i++)
		if (is(word, suites[i].openssl) || is(word, suites[i].iana))
			return &suites[i];
	return NULL;
}

/* !WORD or -WORD, of something that is not offered. */
static bool excludes_nothing(struct slice word, bool psk)
{
	struct slice what = slice_after(word, 1);

	if (word.at[0] != '!' && word.at[0] != '-')
		return false;
	return (!psk && is(what, "PSK")) ||
	       is_one_of(what, never, sizeof(never) / sizeof(never[0]));
}

static bool read_word(struct ciphers *ciphers, struct slice word, bool psk, struct failure *failure)
{
	const struct suite *suite = find(word);

	if (suite && uses_psk(suite) && !psk)
		return failure_set(
		    failure,
		    "%s needs pre-shared keys; right would be psk_hint and psk_file, "
		    "or another cipher",
		    suite->openssl);
	if (suite)
		add(ciphers, suite->number);
	else if (is_one_of(word, ours, sizeof(ours) / sizeof(ours[0])))
		add_default(ciphers, psk);
	else if (!excludes_nothing(word, psk))
		return failure_set(failure,
				   "'%.*s' is not a cipher that is offered; right would be names "
				   "with : between, such as "
				   "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
				   (int)(word.len < 60 ? word.len : 60), (const char *)word.at);
	return true;
}

bool ciphers_read(struct ciphers *ciphers, const char *list, bool psk, struct failure *failure)
{
	*ciphers = (struct ciphers){0};
	while (*list) {
		size_t len = strcspn(list, ":, ");

		if (len > 0 && !read_word(ciphers, slice_of(list, len), psk, failure))
			return false;
		list += len + (list[len] != '\0');
	}
	return ciphers->count > 0 ||
	       failure_set(failure, "names no cipher; right would be names with : between, such as "
				    "ECDHE-ECDSA-AES128-GCM-SHA256");
}
