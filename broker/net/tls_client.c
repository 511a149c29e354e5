/* tls_client.c - see tls_client.h. */
#include "broker/net/tls_client.h"
#include "broker/net/moment.h"
#include "broker/net/tls_internal.h"
#include "broker/net/wipe.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD_MAX 16384u

struct tls_context {
	mbedtls_ssl_config config;
	mbedtls_x509_crt authorities, chain;
	mbedtls_pk_context key;
	struct ciphers ciphers;
	const char *protocols[2]; /* ALPN */
	char *alpn;		  /* owned */
	char *name;		  /* owned: the host's; NULL: it is an address */
	uint8_t address[16];	  /* then this */
	size_t address_len;
	bool insecure;
};

struct tls_client {
	mbedtls_ssl_context ssl;
	struct tls_context *own; /* owned; NULL: the context is another's */
	int fd;
	size_t stuck; /* bytes of a write that the socket has not taken whole; 0: none */
};

/* ---- the library's side */

static int give(void *self, unsigned char *out, size_t room)
{
	const struct tls_client *client = self;
	ssize_t n = recv(client->fd, out, room, 0);

	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
						 : MBEDTLS_ERR_NET_RECV_FAILED;
}

static int take(void *self, const unsigned char *bytes, size_t len)
{
	const struct tls_client *client = self;
	ssize_t n = send(client->fd, bytes, len, MSG_NOSIGNAL);

	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
						 : MBEDTLS_ERR_NET_SEND_FAILED;
}

/* Addresses are not known to the library: it looks at names only. */
static bool is_for_address(const mbedtls_x509_crt *certificate, const struct tls_context *context)
{
	const int ip_address = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7; /* RFC 5280, 4.2.1.6 */

	for (const mbedtls_x509_sequence *at = &certificate->subject_alt_names; at; at = at->next)
		if (at->buf.tag == ip_address &&
		    slice_equal(slice_of(at->buf.p, at->buf.len),
				slice_of(context->address, context->address_len)))
			return true;
	return false;
}

static int check_host(void *self, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	const struct tls_context *context = self;

	if (depth > 0)
		return 0;
	if (context->address_len > 0 && !is_for_address(certificate, context))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (context->insecure)
		*flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
	return 0;
}

/* ---- settings */

static bool complain(const char *what, int error, struct failure *failure)
{
	char cause[128];

	mbedtls_strerror(error, cause, sizeof(cause));
	return failure_set(failure, "%s: %s.", what, cause);
}

/* The library says of no file why it cannot be read. */
static bool complain_of_file(const char *flag, const char *path, int error, struct failure *failure)
{
	if (access(path, R_OK) == 0)
		complain(path, error, failure);
	else
		failure_set(failure, "%.300s: %s.", path, strerror(errno));
	failure_context(failure, "Problem setting TLS options: %s", flag);
	return false;
}

static bool read_authority_file(mbedtls_x509_crt *authorities, const char *flag, const char *path,
				struct failure *failure)
{
	int error = mbedtls_x509_crt_parse_file(authorities, path);

	return error >= 0 || complain_of_file(flag, path, error, failure);
}

static bool read_authorities(struct tls_context *context,
			     const struct tls_client_settings *settings, struct failure *failure)
{
	mbedtls_x509_crt *authorities = &context->authorities;

	if ((settings->cafile &&
	     !read_authority_file(authorities, "--cafile", settings->cafile, failure)) ||
	    (settings->system_cafile && !read_authority_file(authorities, "--tls-use-os-certs",
							     settings->system_cafile, failure)))
		return false;
	/* A folder may hold other things: what cannot be read of it is counted, and left out. */
	if (settings->capath)
		(void)mbedtls_x509_crt_parse_path(authorities, settings->capath);
	if (context->authorities.version == 0)
		return failure_set(failure, "Problem setting TLS options: no certificate of an "
					    "authority in --cafile or --capath.");
	mbedtls_ssl_conf_ca_chain(&context->config, &context->authorities, NULL);
	mbedtls_ssl_conf_verify(&context->config, check_host, context);
	return true;
}

static bool read_own(struct tls_context *context, const struct tls_client_settings *settings,
		     struct failure *failure)
{
	if (!settings->certfile)
		return true;
	int error = mbedtls_x509_crt_parse_file(&context->chain, settings->certfile);

	if (error != 0)
		return complain_of_file("--cert", settings->certfile, error, failure);
	error = mbedtls_pk_parse_keyfile(&context->key, settings->keyfile, NULL);
	if (error == 0)
		error = mbedtls_ssl_conf_own_cert(&context->config, &context->chain, &context->key);
	return error == 0 || complain_of_file("--key", settings->keyfile, error, failure);
}

/*
 * As a line of a psk_file would have it, of a name that nobody else sees.  An odd number of digits
 * is a number, as for mosquitto: a 0 stands before it.
 */
static struct psk_table *read_key(const char *digits, struct failure *failure)
{
	char line[2 * PSK_KEY_MAX + 3];
	int len =
	    snprintf(line, sizeof(line), "x:%s%s", strlen(digits) % 2 != 0 ? "0" : "", digits);

	if (len < 0 || (size_t)len >= sizeof(line)) {
		failure_set(failure, "--psk has %u hexadecimal digits at most.", 2 * PSK_KEY_MAX);
		return NULL;
	}
	struct psk_table *table = psk_read(slice_of(line, (size_t)len), failure);

	wipe(slice_of(line, (size_t)len));
	if (!table)
		failure_set(failure, "--psk must be hexadecimal digits.");
	return table;
}

static bool use_key(struct tls_context *context, const struct tls_client_settings *settings,
		    struct failure *failure)
{
	struct psk_table *table = read_key(settings->psk, failure);
	const struct psk *psk = table ? psk_find(table, SLICE_LITERAL("x")) : NULL;

	if (!psk)
		return false;
	int error = mbedtls_ssl_conf_psk(&context->config, psk->key, psk->key_len,
					 (const unsigned char *)settings->psk_identity,
					 strlen(settings->psk_identity));

	psk_destroy(table);
	return error == 0 || complain("Problem setting TLS-PSK options", error, failure);
}

static bool choose(struct tls_context *context, const struct tls_client_settings *settings,
		   struct failure *failure)
{
	bool psk = settings->psk != NULL;

	if (!settings->ciphers)
		ciphers_default(&context->ciphers, psk);
	else if (!ciphers_read(&context->ciphers, settings->ciphers, psk, failure))
		return failure_context(failure, "--ciphers");
	mbedtls_ssl_conf_ciphersuites(&context->config, context->ciphers.numbers);
	if (!settings->alpn)
		return true;
	context->alpn = strdup(settings->alpn);
	must(context->alpn);
	context->protocols[0] = context->alpn;
	int error = mbedtls_ssl_conf_alpn_protocols(&context->config, context->protocols);

	return error == 0 || complain("--tls-alpn", error, failure);
}

/* An address is no name to ask for; what it has to be is in the certificate all the same. */
static void name_host(struct tls_context *context, const char *host)
{
	if (inet_pton(AF_INET, host, context->address) == 1) {
		context->address_len = 4;
	} else if (inet_pton(AF_INET6, host, context->address) == 1) {
		context->address_len = 16;
	} else {
		context->name = strdup(host);
		must(context->name);
	}
}

static bool prepare(struct tls_context *context, const struct tls_client_settings *settings,
		    struct failure *failure)
{
	mbedtls_ssl_config *config = &context->config;

	context->insecure = settings->insecure;
	name_host(context, settings->host);
	if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT) != 0)
		return failure_set(failure, "TLS: out of memory.");
	mbedtls_ssl_conf_rng(config, tls_draw, NULL);
	mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3,
				     MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
	return choose(context, settings, failure) && read_own(context, settings, failure) &&
	       (settings->psk ? use_key(context, settings, failure)
			      : read_authorities(context, settings, failure));
}

struct tls_context *tls_context_create(const struct tls_client_settings *settings,
				       struct failure *failure)
{
	struct tls_context *context = calloc(1, sizeof(*context));

	must(context);
	mbedtls_ssl_config_init(&context->config);
	mbedtls_x509_crt_init(&context->authorities);
	mbedtls_x509_crt_init(&context->chain);
	mbedtls_pk_init(&context->key);
	if (prepare(context, settings, failure))
		return context;
	tls_context_destroy(context);
	return NULL;
}

void tls_context_destroy(struct tls_context *context)
{
	if (!context)
		return;
	mbedtls_ssl_config_free(&context->config);
	mbedtls_x509_crt_free(&context->authorities);
	mbedtls_x509_crt_free(&context->chain);
	mbedtls_pk_free(&context->key);
	free(context->alpn);
	free(context->name);
	free(context);
}

/* ---- the handshake */

static bool tell_refusal(const struct tls_client *client, int error, struct failure *failure)
{
	char why[256] = "";
	uint32_t flags = mbedtls_ssl_get_verify_result(&client->ssl);

	if (error != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
		return complain("TLS", error, failure);
	if (flags == MBEDTLS_X509_BADCERT_CN_MISMATCH)
		return failure_set(failure,
				   "TLS: the broker's certificate is for another host; "
				   "right would be the host that it names, or --insecure.");
	mbedtls_x509_crt_verify_info(why, sizeof(why), "", flags);
	why[strcspn(why, "\n")] = '\0';
	return failure_set(failure, "TLS: the broker's certificate: %s.", why);
}

enum tls_client_step tls_client_shake(struct tls_client *client, struct failure *failure)
{
	int error = mbedtls_ssl_handshake(&client->ssl);

	if (error == 0)
		return TLS_CLIENT_OPEN;
	if (error == MBEDTLS_ERR_SSL_WANT_READ)
		return TLS_CLIENT_READS;
	if (error == MBEDTLS_ERR_SSL_WANT_WRITE)
		return TLS_CLIENT_WRITES;
	tell_refusal(client, error, failure);
	return TLS_CLIENT_FAILED;
}

struct tls_client *tls_client_begin(const struct tls_context *context, int fd)
{
	struct tls_client *client = calloc(1, sizeof(*client));

	must(client);
	client->fd = fd;
	mbedtls_ssl_init(&client->ssl);
	if (mbedtls_ssl_setup(&client->ssl, &context->config) != 0 ||
	    mbedtls_ssl_set_hostname(&client->ssl, context->name) != 0) {
		mbedtls_ssl_free(&client->ssl);
		free(client);
		return NULL;
	}
	mbedtls_ssl_set_bio(&client->ssl, client, take, give, NULL);
	return client;
}

static void destroy(struct tls_client *client)
{
	mbedtls_ssl_free(&client->ssl);
	tls_context_destroy(client->own);
	free(client);
}

static bool wait_for(const struct tls_client *client, enum tls_client_step step, uint64_t until_ms)
{
	struct pollfd wait = {.fd = client->fd,
			      .events = step == TLS_CLIENT_WRITES ? POLLOUT : POLLIN};
	uint64_t now_ms = moment_now().ms;

	return now_ms < until_ms && poll(&wait, 1, (int)(until_ms - now_ms)) >= 0;
}

static bool shake_hands(struct tls_client *client, int timeout_ms, struct failure *failure)
{
	uint64_t until_ms = moment_now().ms + (uint64_t)timeout_ms;
	enum tls_client_step step;

	while ((step = tls_client_shake(client, failure)) == TLS_CLIENT_READS ||
	       step == TLS_CLIENT_WRITES)
		if (!wait_for(client, step, until_ms))
			return failure_set(failure,
					   "TLS: the broker did not finish its handshake.");
	return step == TLS_CLIENT_OPEN;
}

struct tls_client *tls_client_open(const struct tls_client_settings *settings, int fd,
				   int timeout_ms, struct failure *failure)
{
	struct tls_context *context = tls_context_create(settings, failure);
	struct tls_client *client = context ? tls_client_begin(context, fd) : NULL;

	if (!client) {
		if (context)
			failure_set(failure, "TLS: out of memory.");
		tls_context_destroy(context);
		return NULL;
	}
	client->own = context;
	if (shake_hands(client, timeout_ms, failure))
		return client;
	destroy(client);
	return NULL;
}

/* ---- bytes */

static ssize_t outcome(int n)
{
	if (n > 0)
		return n;
	if (n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE)
		return STREAM_AGAIN;
	return n == 0 || n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ? STREAM_END : STREAM_GONE;
}

ssize_t tls_client_read(struct tls_client *client, uint8_t *at, size_t room)
{
	return outcome(mbedtls_ssl_read(&client->ssl, at, room));
}

ssize_t tls_client_write(struct tls_client *client, struct slice bytes)
{
	/* A record that was made already has its length. */
	size_t len = client->stuck > 0	      ? client->stuck
		     : bytes.len < RECORD_MAX ? bytes.len
					      : RECORD_MAX;

	must(len > 0 && len <= bytes.len);
	ssize_t n = outcome(mbedtls_ssl_write(&client->ssl, bytes.at, len));

	client->stuck = n == STREAM_AGAIN ? len : 0;
	return n;
}

void tls_client_close(struct tls_client *client)
{
	if (!client)
		return;
	mbedtls_ssl_close_notify(&client->ssl);
	destroy(client);
}
