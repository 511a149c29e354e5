/* tls_choose.c - which of several certificates a client is shown: RFC 6066 section 3, RFC 6125. */
#include "broker/net/tls_internal.h"
#include <strings.h>

static bool same_name(struct slice a, struct slice b)
{
	return a.len == b.len && strncasecmp((const char *)a.at, (const char *)b.at, a.len) == 0;
}

/* `*.example.org` stands for one label in front of the rest. */
static bool names(struct slice pattern, struct slice host)
{
	const uint8_t *dot = host.len > 0 ? memchr(host.at, '.', host.len) : NULL;

	if (pattern.len < 3 || pattern.at[0] != '*' || pattern.at[1] != '.')
		return same_name(pattern, host);
	return dot && dot > host.at &&
	       same_name(slice_after(pattern, 1), slice_after(host, (size_t)(dot - host.at)));
}

static bool has_common_name(const mbedtls_x509_crt *certificate, struct slice host)
{
	for (const mbedtls_x509_name *at = &certificate->subject; at; at = at->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &at->oid) == 0)
			return names(slice_of(at->val.p, at->val.len), host);
	return false;
}

bool tls_is_for_host(const mbedtls_x509_crt *certificate, struct slice host)
{
	const int dns_name = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2; /* RFC 5280, 4.2.1.6 */
	bool named = false;

	for (const mbedtls_x509_sequence *at = &certificate->subject_alt_names; at; at = at->next) {
		if (at->buf.tag != dns_name)
			continue;
		named = true;
		if (names(slice_of(at->buf.p, at->buf.len), host))
			return true;
	}
	return !named && has_common_name(certificate, host);
}

/* All that are for the host: of keys of two kinds the library takes the one that the client knows.
 */
int tls_choose(void *self, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len)
{
	struct tls_server *server = self;
	int error = 0;

	for (size_t i = 0; i < server->own_count && error == 0; i++)
		if (tls_is_for_host(&server->own[i].chain, slice_of(name, len)))
			error = mbedtls_ssl_set_hs_own_cert(ssl, &server->own[i].chain,
							    &server->own[i].key);
	return error;
}
