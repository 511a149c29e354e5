/*
 * tls_server.c - what a listener needs for TLS, from files.  A file that cannot be read
 * in full is an error, never a part of a server.
 */
#include "broker/net/tls_internal.h"
#include "broker/net/whole_file.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define TICKET_LIFETIME_S 86400u

int tls_draw(void *unused, unsigned char *out, size_t len)
{
	(void)unused;
	while (len > 0) {
		/* Up to 256 bytes come whole, unless a signal comes first: getrandom(2). */
		ssize_t n = getrandom(out, len < 256 ? len : 256, 0);

		if (n < 0 && errno != EINTR)
			return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
		out += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* ---- files */

static bool complain(const char *what, const char *path, int error, struct failure *failure)
{
	char cause[128];

	mbedtls_strerror(error, cause, sizeof(cause));
	return failure_set(failure, "%s \"%.200s\": %s", what, path, cause);
}

/* A positive result counts those that could not be read: then the whole file is wrong. */
static bool add_certificates(mbedtls_x509_crt *chain, const char *what, const char *path,
			     struct slice bytes, struct failure *failure)
{
	int error = mbedtls_x509_crt_parse(chain, bytes.at, bytes.len + 1);

	if (error > 0)
		return failure_set(failure,
				   "%s \"%.200s\": %d of its certificates cannot be read; right "
				   "would be a file of whole certificates in PEM",
				   what, path, error);
	if (error < 0) {
		complain(what, path, error, failure);
		return failure_context(failure, "no certificate in PEM or DER");
	}
	return true;
}

static bool read_certificates(mbedtls_x509_crt *chain, const char *what, const char *path,
			      struct failure *failure)
{
	struct slice bytes;

	if (!whole_file_read(what, path, &bytes, failure))
		return false;
	bool right = add_certificates(chain, what, path, bytes, failure);

	whole_file_free(bytes);
	return right;
}

static bool read_key(struct tls_own *own, const char *path, struct failure *failure)
{
	struct slice bytes;

	if (!whole_file_read("keyfile", path, &bytes, failure))
		return false;
	/* 3.x of the library wants a source of randomness here, and for the pair below. */
	int error = mbedtls_pk_parse_key(&own->key, bytes.at, bytes.len + 1, NULL, 0);

	whole_file_free(bytes);
	if (error == MBEDTLS_ERR_PK_PASSWORD_REQUIRED)
		return failure_set(failure,
				   "keyfile \"%.200s\" is encrypted; right would be a key without "
				   "a passphrase, in a file that only the broker may read",
				   path);
	if (error != 0) {
		complain("keyfile", path, error, failure);
		return failure_context(failure, "no private key in PEM or DER");
	}
	return true;
}

/*
 * A key that is for signing only keeps the tables of its curve; one that may be for other
 * things, as keys are when they are read, is copied and makes them anew for each signature.
 */
static bool keep_tables(struct tls_own *own)
{
	mbedtls_pk_context signer;

	if (mbedtls_pk_get_type(&own->key) != MBEDTLS_PK_ECKEY)
		return true;
	mbedtls_pk_init(&signer);
	if (mbedtls_pk_setup(&signer, mbedtls_pk_info_from_type(MBEDTLS_PK_ECDSA)) != 0 ||
	    mbedtls_ecdsa_from_keypair(mbedtls_pk_ec(signer), mbedtls_pk_ec(own->key)) != 0) {
		mbedtls_pk_free(&signer);
		return false;
	}
	mbedtls_pk_free(&own->key);
	own->key = signer;
	return true;
}

/* Signs once: tables that the library makes at the first use are there before threads are. */
static bool can_sign(struct tls_own *own)
{
	unsigned char hash[32] = {0};
	unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
	size_t len = 0;

	return mbedtls_pk_sign(&own->key, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature, &len,
			       tls_draw, NULL) == 0;
}

static bool load_pair(struct tls_own *own, const char *certfile, const char *keyfile,
		      struct failure *failure)
{
	if (!read_certificates(&own->chain, "certfile", certfile, failure) ||
	    !read_key(own, keyfile, failure))
		return false;
	if (mbedtls_pk_check_pair(&own->chain.pk, &own->key) != 0)
		return failure_set(failure,
				   "keyfile \"%.160s\" is not the key of the first certificate in "
				   "certfile \"%.160s\"",
				   keyfile, certfile);
	return (keep_tables(own) && can_sign(own)) ||
	       failure_set(failure, "keyfile \"%.200s\": the key cannot sign", keyfile);
}

/* A path of a list; *list is behind it then, NULL at the end. */
static char *next_path(const char **list)
{
	size_t len = strcspn(*list, "\n");
	char *path = strndup(*list, len);

	must(path);
	*list = (*list)[len] ? *list + len + 1 : NULL;
	return path;
}

static bool load_own(struct tls_server *server, const struct tls_settings *settings,
		     struct failure *failure)
{
	const char *certfiles = settings->certfile, *keyfiles = settings->keyfile;
	bool right = true;

	while (right && certfiles && keyfiles) {
		if (server->own_count == TLS_OWN_MAX)
			return failure_set(failure, "certfile: %u are possible", TLS_OWN_MAX);
		struct tls_own *own = &server->own[server->own_count++];
		char *certfile = next_path(&certfiles), *keyfile = next_path(&keyfiles);

		mbedtls_x509_crt_init(&own->chain);
		mbedtls_pk_init(&own->key);
		right = load_pair(own, certfile, keyfile, failure);
		free(certfile);
		free(keyfile);
	}
	if (!right || server->own_count == 0)
		return right;
	must(mbedtls_ssl_conf_own_cert(&server->config, &server->own[0].chain,
				       &server->own[0].key) == 0);
	if (server->own_count > 1)
		mbedtls_ssl_conf_sni(&server->config, tls_choose, server);
	return true;
}

/* ---- authorities */

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* A folder may hold other things: what has no certificate in PEM is passed over. */
static bool read_folder_entry(struct tls_server *server, const char *folder, const char *name,
			      struct failure *failure)
{
	struct slice bytes;
	struct stat status;
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) ||
	    stat(path, &status) != 0 || !S_ISREG(status.st_mode))
		return true;
	if (!whole_file_read("capath", path, &bytes, failure))
		return false;
	bool right = !strstr((const char *)bytes.at, "-----BEGIN CERTIFICATE-----") ||
		     add_certificates(&server->authorities, "capath", path, bytes, failure);

	whole_file_free(bytes);
	return right;
}

static bool read_folder(struct tls_server *server, const char *folder, struct failure *failure)
{
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, is_visible, alphasort);
	bool right = true;

	if (count < 0)
		return failure_set(failure,
				   "capath \"%.300s\": %s; right would be a folder of certificates "
				   "in PEM",
				   folder, strerror(errno));
	for (int i = 0; i < count; i++) {
		right = right && read_folder_entry(server, folder, entries[i]->d_name, failure);
		free(entries[i]);
	}
	free(entries);
	if (right && server->authorities.version == 0)
		return failure_set(failure, "capath \"%.300s\" holds no certificate in PEM",
				   folder);
	return right;
}

static bool add_to_digest(mbedtls_md_context_t *digest, const mbedtls_x509_crt *certificate)
{
	return mbedtls_md_update(digest, certificate->raw.p, certificate->raw.len) == 0;
}

static void digest_authorities(struct tls_server *server)
{
	mbedtls_md_context_t digest;

	mbedtls_md_init(&digest);
	must(mbedtls_md_setup(&digest, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 0) == 0 &&
	     mbedtls_md_starts(&digest) == 0);
	for (const mbedtls_x509_crt *at = &server->authorities; at && at->version; at = at->next)
		must(add_to_digest(&digest, at));
	must(mbedtls_md_finish(&digest, server->trust) == 0);
	mbedtls_md_free(&digest);
}

static bool load_authorities(struct tls_server *server, const struct tls_settings *settings,
			     struct failure *failure)
{
	if (settings->cafile &&
	    !read_certificates(&server->authorities, "cafile", settings->cafile, failure))
		return false;
	for (const mbedtls_x509_crt *at = &server->authorities; at && at->version; at = at->next)
		server->from_cafile++;
	if (settings->capath && !read_folder(server, settings->capath, failure))
		return false;
	server->has_authorities = settings->cafile || settings->capath;
	digest_authorities(server);
	return true;
}

static bool is_of_authority(const struct tls_server *server, const mbedtls_x509_crl *list)
{
	for (const mbedtls_x509_crt *at = &server->authorities; at; at = at->next)
		if (slice_equal(slice_of(at->subject_raw.p, at->subject_raw.len),
				slice_of(list->issuer_raw.p, list->issuer_raw.len)))
			return true;
	return false;
}

static bool load_revoked(struct tls_server *server, const char *path, struct failure *failure)
{
	struct slice bytes;

	if (!path)
		return true;
	if (!whole_file_read("crlfile", path, &bytes, failure))
		return false;
	int error = mbedtls_x509_crl_parse(&server->revoked, bytes.at, bytes.len + 1);

	whole_file_free(bytes);
	if (error != 0) {
		complain("crlfile", path, error, failure);
		return failure_context(failure, "no revocation list in PEM or DER");
	}
	for (const mbedtls_x509_crl *at = &server->revoked; at; at = at->next)
		if (!is_of_authority(server, at))
			return failure_set(failure,
					   "crlfile \"%.200s\": a list in it is by none of the "
					   "authorities in cafile and capath",
					   path);
	server->has_revoked = true;
	return true;
}

bool tls_is_of_issuer(const mbedtls_x509_crl *list, const mbedtls_x509_crt *certificate)
{
	return slice_equal(slice_of(certificate->issuer_raw.p, certificate->issuer_raw.len),
			   slice_of(list->issuer_raw.p, list->issuer_raw.len));
}

static bool is_listed(const struct tls_server *server, const mbedtls_x509_crt *certificate)
{
	for (const mbedtls_x509_crl *at = &server->revoked; at; at = at->next)
		if (tls_is_of_issuer(at, certificate) &&
		    mbedtls_x509_crt_is_revoked(certificate, at))
			return true;
	return false;
}

static bool is_signed_by(const mbedtls_x509_crt *certificate, const mbedtls_x509_crt *authority)
{
	const mbedtls_md_info_t *digest = mbedtls_md_info_from_type(certificate->sig_md);
	mbedtls_pk_context *key = (mbedtls_pk_context *)(uintptr_t)&authority->pk;
	uint8_t hash[MBEDTLS_MD_MAX_SIZE];

	return digest && mbedtls_md(digest, certificate->tbs.p, certificate->tbs.len, hash) == 0 &&
	       mbedtls_pk_verify_ext(certificate->sig_pk, certificate->sig_opts, key,
				     certificate->sig_md, hash, mbedtls_md_get_size(digest),
				     certificate->sig.p, certificate->sig.len) == 0;
}

/*
 * The authority above; NULL: none is.  Of several with its name one that signed it, and of these
 * one that is not revoked; else that costs no signature.
 */
static const mbedtls_x509_crt *authority_of(const struct tls_server *server,
					    const mbedtls_x509_crt *certificate)
{
	const struct slice name = slice_of(certificate->issuer_raw.p, certificate->issuer_raw.len);
	const mbedtls_x509_crt *found = NULL;

	if (slice_equal(slice_of(certificate->subject_raw.p, certificate->subject_raw.len), name))
		return NULL;
	for (const mbedtls_x509_crt *at = &server->authorities; at; at = at->next)
		if (slice_equal(slice_of(at->subject_raw.p, at->subject_raw.len), name) &&
		    (!found || ((is_listed(server, found) || !is_signed_by(certificate, found)) &&
				is_signed_by(certificate, at))))
			found = at;
	return found;
}

#define LEVELS_MAX 8u /* as in a chain that the library verifies */

bool tls_is_revoked(const struct tls_server *server, const mbedtls_x509_crt *certificate)
{
	const mbedtls_x509_crt *at = server->has_revoked ? certificate : NULL;

	for (unsigned level = 0; at && level < LEVELS_MAX; level++) {
		if (is_listed(server, at))
			return true;
		at = authority_of(server, at);
	}
	return false;
}

/*
 * A certificate whose authority gave no list might be revoked: it is not let in.  The library does
 * not look at lists for an authority that it was given itself, nor at what is above that.
 */
static int want_list(void *self, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	const struct tls_server *server = self;

	if (tls_is_revoked(server, certificate))
		*flags |= MBEDTLS_X509_BADCERT_REVOKED;
	if (depth > 0)
		return 0;
	for (const mbedtls_x509_crl *at = &server->revoked; at; at = at->next)
		if (tls_is_of_issuer(at, certificate))
			return 0;
	*flags |= MBEDTLS_X509_BADCRL_NOT_TRUSTED;
	return 0;
}

static bool load_psk(struct tls_server *server, const char *path, struct failure *failure)
{
	struct slice bytes;

	if (!path)
		return true;
	if (!whole_file_read("psk_file", path, &bytes, failure))
		return false;
	server->psk = psk_read(bytes, failure);
	whole_file_free(bytes);
	if (!server->psk)
		return failure_context(failure, "psk_file \"%.200s\"", path);
	mbedtls_ssl_conf_psk_cb(&server->config, tls_give_key, server);
	return true;
}

/* ---- the server */

static bool choose_ciphers(struct tls_server *server, const struct tls_settings *settings,
			   struct failure *failure)
{
	bool psk = settings->psk_file != NULL;

	if (!settings->ciphers)
		ciphers_default(&server->ciphers, psk);
	else if (!ciphers_read(&server->ciphers, settings->ciphers, psk, failure))
		return failure_context(failure, "ciphers");
	mbedtls_ssl_conf_ciphersuites(&server->config, server->ciphers.numbers);
	return true;
}

/* The first that both know is taken: those that cost least come first. */
static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
					      MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1,
					      MBEDTLS_ECP_DP_NONE};

static const char *mqtt_inside[] = {"mqtt", NULL};
static const char *http_inside[] = {"http/1.1", NULL};

static bool begin(struct tls_server *server, const struct tls_settings *settings,
		  struct failure *failure)
{
	mbedtls_ssl_config *config = &server->config;

	if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
	    mbedtls_ssl_conf_alpn_protocols(config, settings->http ? http_inside : mqtt_inside) !=
		0)
		return failure_set(failure, "TLS: out of memory");
	mbedtls_ssl_conf_rng(config, tls_draw, NULL);
	mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3,
				     MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_curves(config, curves);
	return true;
}

static void ask_for_certificate(struct tls_server *server)
{
	mbedtls_ssl_conf_authmode(&server->config, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_ca_chain(&server->config, &server->authorities,
				  server->has_revoked ? &server->revoked : NULL);
	if (server->has_revoked)
		mbedtls_ssl_conf_verify(&server->config, want_list, server);
}

static bool give_tickets(struct tls_server *server, struct failure *failure)
{
	if (mbedtls_ssl_ticket_setup(&server->tickets, tls_draw, NULL, MBEDTLS_CIPHER_AES_256_GCM,
				     TICKET_LIFETIME_S) != 0)
		return failure_set(failure, "TLS: no key for session tickets can be made");
	mbedtls_ssl_conf_session_tickets_cb(&server->config, mbedtls_ssl_ticket_write,
					    mbedtls_ssl_ticket_parse, &server->tickets);
	return true;
}

static bool load(struct tls_server *server, const struct tls_settings *settings,
		 struct failure *failure)
{
	server->name = settings->name;
	server->identity_of_psk = settings->identity_of_psk;
	if (!begin(server, settings, failure) || !choose_ciphers(server, settings, failure) ||
	    !load_own(server, settings, failure) || !load_authorities(server, settings, failure) ||
	    !load_revoked(server, settings->crlfile, failure) ||
	    !load_psk(server, settings->psk_file, failure))
		return false;
	mbedtls_ssl_conf_authmode(&server->config, MBEDTLS_SSL_VERIFY_NONE);
	if (settings->require_certificate)
		ask_for_certificate(server);
	return server->psk || give_tickets(server, failure);
}

struct tls_server *tls_server_create(const struct tls_settings *settings, struct failure *failure)
{
	struct tls_server *server = calloc(1, sizeof(*server));

	must(server);
	atomic_init(&server->references, 1);
	mbedtls_ssl_config_init(&server->config);
	mbedtls_x509_crt_init(&server->authorities);
	mbedtls_x509_crl_init(&server->revoked);
	mbedtls_ssl_ticket_init(&server->tickets);
	if (load(server, settings, failure))
		return server;
	tls_server_release(server);
	return NULL;
}

void tls_server_release(struct tls_server *server)
{
	if (!server || atomic_fetch_sub_explicit(&server->references, 1, memory_order_acq_rel) > 1)
		return;
	mbedtls_ssl_config_free(&server->config);
	mbedtls_ssl_ticket_free(&server->tickets);
	mbedtls_x509_crt_free(&server->authorities);
	mbedtls_x509_crl_free(&server->revoked);
	for (size_t i = 0; i < server->own_count; i++) {
		mbedtls_x509_crt_free(&server->own[i].chain);
		mbedtls_pk_free(&server->own[i].key);
	}
	psk_destroy(server->psk);
	free(server);
}

size_t tls_server_weak_keys(const struct tls_server *server)
{
	return server->psk ? psk_weak_count(server->psk) : 0;
}

/* ---- when it ends */

static uint64_t seconds_of(const mbedtls_x509_time *time)
{
	struct tm tm = {.tm_year = time->year - 1900,
			.tm_mon = time->mon - 1,
			.tm_mday = time->day,
			.tm_hour = time->hour,
			.tm_min = time->min,
			.tm_sec = time->sec};
	time_t seconds = timegm(&tm);

	return seconds > 0 ? (uint64_t)seconds : 0;
}

struct expiries {
	struct tls_expiry *out;
	size_t room, count;
};

static void add_expiry(struct expiries *list, const char *key, size_t position,
		       const mbedtls_x509_time *time)
{
	/* A list of revocations need not say when the next one comes. */
	if (list->count < list->room && time->year > 0)
		list->out[list->count++] = (struct tls_expiry){key, position, seconds_of(time)};
}

size_t tls_server_expiries(const struct tls_server *server, struct tls_expiry *out, size_t room)
{
	struct expiries list = {out, room, 0};
	size_t i = 0;

	for (size_t own = 0; own < server->own_count; own++)
		for (const mbedtls_x509_crt *at = &server->own[own].chain; at && at->version;
		     at = at->next)
			add_expiry(&list, "certfile", i++, &at->valid_to);
	i = 0;
	for (const mbedtls_x509_crt *at = &server->authorities; at && at->version; at = at->next) {
		bool file = i < server->from_cafile;

		add_expiry(&list, file ? "cafile" : "capath", file ? i : i - server->from_cafile,
			   &at->valid_to);
		i++;
	}
	i = 0;
	for (const mbedtls_x509_crl *at = &server->revoked; at && server->has_revoked;
	     at = at->next)
		add_expiry(&list, "crlfile", i++, &at->next_update);
	return list.count;
}
