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

struct tls_client {
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	mbedtls_x509_crt authorities, chain;
	mbedtls_pk_context key;
	struct ciphers ciphers;
	const char *protocols[2]; /* ALPN */
	char *alpn;		  /* owned */
	uint8_t address[16];	  /* the host's, if it is no name */
	size_t address_len;
	bool insecure;
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
static bool is_for_address(const mbedtls_x509_crt *certificate, const struct tls_client *client)
{
	const int ip_address = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7; /* RFC 5280, 4.2.1.6 */

	for (const mbedtls_x509_sequence *at = &certificate->subject_alt_names; at; at = at->next)
		if (at->buf.tag == ip_address &&
		    slice_equal(slice_of(at->buf.p, at->buf.len),
				slice_of(client->address, client->address_len)))
			return true;
	return false;
}

static int check_host(void *self, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	const struct tls_client *client = self;

	if (depth > 0)
		return 0;
	if (client->address_len > 0 && !is_for_address(certificate, client))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (client->insecure)
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

static bool read_authorities(struct tls_client *client, const struct tls_client_settings *settings,
			     struct failure *failure)
{
	int error = 0;

	if (settings->cafile)
		error = mbedtls_x509_crt_parse_file(&client->authorities, settings->cafile);
	if (error < 0)
		return complain("Problem setting TLS options: --cafile", error, failure);
	/* A folder may hold other things: what cannot be read of it is counted, and left out. */
	if (settings->capath)
		(void)mbedtls_x509_crt_parse_path(&client->authorities, settings->capath);
	if (client->authorities.version == 0)
		return failure_set(failure, "Problem setting TLS options: no certificate of an "
					    "authority in --cafile or --capath.");
	mbedtls_ssl_conf_ca_chain(&client->config, &client->authorities, NULL);
	mbedtls_ssl_conf_verify(&client->config, check_host, client);
	return true;
}

static bool read_own(struct tls_client *client, const struct tls_client_settings *settings,
		     struct failure *failure)
{
	if (!settings->certfile)
		return true;
	int error = mbedtls_x509_crt_parse_file(&client->chain, settings->certfile);

	if (error != 0)
		return complain("Problem setting TLS options: --cert", error, failure);
	error = mbedtls_pk_parse_keyfile(&client->key, settings->keyfile, NULL);
	if (error == 0)
		error = mbedtls_ssl_conf_own_cert(&client->config, &client->chain, &client->key);
	return error == 0 || complain("Problem setting TLS options: --key", error, failure);
}

/* As a line of a psk_file would have it, of a name that nobody else sees. */
static struct psk_table *read_key(const char *digits, struct failure *failure)
{
	char line[2 * PSK_KEY_MAX + 3];
	int len = snprintf(line, sizeof(line), "x:%s", digits);

	if (len < 0 || (size_t)len >= sizeof(line)) {
		failure_set(failure, "--psk has %u hexadecimal digits at most.", 2 * PSK_KEY_MAX);
		return NULL;
	}
	struct psk_table *table = psk_read(slice_of(line, (size_t)len), failure);

	wipe(slice_of(line, (size_t)len));
	if (!table)
		failure_set(failure, "--psk must be hexadecimal digits, two for each byte.");
	return table;
}

static bool use_key(struct tls_client *client, const struct tls_client_settings *settings,
		    struct failure *failure)
{
	struct psk_table *table = read_key(settings->psk, failure);
	const struct psk *psk = table ? psk_find(table, SLICE_LITERAL("x")) : NULL;

	if (!psk)
		return false;
	int error = mbedtls_ssl_conf_psk(&client->config, psk->key, psk->key_len,
					 (const unsigned char *)settings->psk_identity,
					 strlen(settings->psk_identity));

	psk_destroy(table);
	return error == 0 || complain("Problem setting TLS-PSK options", error, failure);
}

static bool choose(struct tls_client *client, const struct tls_client_settings *settings,
		   struct failure *failure)
{
	bool psk = settings->psk != NULL;

	if (!settings->ciphers)
		ciphers_default(&client->ciphers, psk);
	else if (!ciphers_read(&client->ciphers, settings->ciphers, psk, failure))
		return failure_context(failure, "--ciphers");
	mbedtls_ssl_conf_ciphersuites(&client->config, client->ciphers.numbers);
	if (!settings->alpn)
		return true;
	client->alpn = strdup(settings->alpn);
	must(client->alpn);
	client->protocols[0] = client->alpn;
	int error = mbedtls_ssl_conf_alpn_protocols(&client->config, client->protocols);

	return error == 0 || complain("--tls-alpn", error, failure);
}

/* An address is no name to ask for; what it has to be is in the certificate all the same. */
static bool name_host(struct tls_client *client, const char *host, struct failure *failure)
{
	if (inet_pton(AF_INET, host, client->address) == 1)
		client->address_len = 4;
	else if (inet_pton(AF_INET6, host, client->address) == 1)
		client->address_len = 16;
	int error = mbedtls_ssl_set_hostname(&client->ssl, client->address_len > 0 ? NULL : host);

	return error == 0 || complain("host", error, failure);
}

static bool prepare(struct tls_client *client, const struct tls_client_settings *settings,
		    struct failure *failure)
{
	mbedtls_ssl_config *config = &client->config;

	client->insecure = settings->insecure;
	if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
					MBEDTLS_SSL_PRESET_DEFAULT) != 0)
		return failure_set(failure, "TLS: out of memory.");
	mbedtls_ssl_conf_rng(config, tls_draw, NULL);
	mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3,
				     MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
	if (!choose(client, settings, failure) || !read_own(client, settings, failure) ||
	    !(settings->psk ? use_key(client, settings, failure)
			    : read_authorities(client, settings, failure)))
		return false;
	if (mbedtls_ssl_setup(&client->ssl, config) != 0)
		return failure_set(failure, "TLS: out of memory.");
	mbedtls_ssl_set_bio(&client->ssl, client, take, give, NULL);
	return name_host(client, settings->host, failure);
}

/* ---- the handshake */

static bool wait_for(const struct tls_client *client, int error, uint64_t until_ms)
{
	struct pollfd wait = {.fd = client->fd,
			      .events = error == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN};
	uint64_t now_ms = moment_now().ms;

	return now_ms < until_ms && poll(&wait, 1, (int)(until_ms - now_ms)) >= 0;
}

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

static bool shake_hands(struct tls_client *client, int timeout_ms, struct failure *failure)
{
	uint64_t until_ms = moment_now().ms + (uint64_t)timeout_ms;
	int error;

	while ((error = mbedtls_ssl_handshake(&client->ssl)) == MBEDTLS_ERR_SSL_WANT_READ ||
	       error == MBEDTLS_ERR_SSL_WANT_WRITE)
		if (!wait_for(client, error, until_ms))
			return failure_set(failure,
					   "TLS: the broker did not finish its handshake.");
	return error == 0 || tell_refusal(client, error, failure);
}

static void destroy(struct tls_client *client)
{
	mbedtls_ssl_free(&client->ssl);
	mbedtls_ssl_config_free(&client->config);
	mbedtls_x509_crt_free(&client->authorities);
	mbedtls_x509_crt_free(&client->chain);
	mbedtls_pk_free(&client->key);
	free(client->alpn);
	free(client);
}

struct tls_client *tls_client_open(const struct tls_client_settings *settings, int fd,
				   int timeout_ms, struct failure *failure)
{
	struct tls_client *client = calloc(1, sizeof(*client));

	must(client);
	client->fd = fd;
	mbedtls_ssl_init(&client->ssl);
	mbedtls_ssl_config_init(&client->config);
	mbedtls_x509_crt_init(&client->authorities);
	mbedtls_x509_crt_init(&client->chain);
	mbedtls_pk_init(&client->key);
	if (prepare(client, settings, failure) && shake_hands(client, timeout_ms, failure))
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
