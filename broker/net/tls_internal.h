/*
 * tls_internal.h - what the files tls*.c share, and the one place that includes
 * mbedTLS.  Only what versions 2.28 and 3.6 of it have in common is used, but for the
 * arguments of two functions about keys (tls_server.c).
 */
#ifndef BROKER_NET_TLS_INTERNAL_H
#define BROKER_NET_TLS_INTERNAL_H

#include "broker/net/backlog.h"
#include "broker/net/ciphers.h"
#include "broker/net/psk.h"
#include "broker/net/tls.h"
#include <mbedtls/ecdsa.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>
#include <stdatomic.h>

/* A certificate of ours with those above it, the leaf first, and its key. */
struct tls_own {
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
};

struct tls_server {
	_Atomic uint32_t references;
	mbedtls_ssl_config config;
	struct tls_own own[TLS_OWN_MAX]; /* the first is for who asks for no name that is ours */
	size_t own_count;
	mbedtls_x509_crt authorities;
	size_t from_cafile; /* so many of them; the others are of capath */
	uint8_t trust[32];  /* a digest of all authorities */
	mbedtls_x509_crl revoked;
	bool has_authorities, has_revoked;
	mbedtls_ssl_ticket_context tickets;
	struct psk_table *psk; /* NULL: none */
	struct ciphers ciphers;
	enum tls_name name;
	bool identity_of_psk;
};

struct tls_link {
	mbedtls_ssl_context ssl; /* the first member: callbacks of the library know only this */
	struct tls_server *server;
	int fd;
	bool dead;	      /* the socket failed */
	bool over;	      /* the conversation is: what still comes is thrown away */
	size_t opening_bytes; /* that the handshake took, as long as it is not over */
	struct slice input;   /* read from the socket, not yet taken */
	struct backlog backlog;
	struct shelf *shelf;	  /* of the thread that it belongs to */
	struct slice psk;	  /* owned: the identity whose key the peer has */
	struct identity identity; /* its name is owned; empty: none */
};

/* tls_server.c: randomness from the kernel, in the form that the library wants. */
int tls_draw(void *unused, unsigned char *out, size_t len);

/* tls_server.c: is the list by the authority that the certificate is by, by its name? */
bool tls_is_of_issuer(const mbedtls_x509_crl *list, const mbedtls_x509_crt *certificate);

/* tls_server.c: does a list of the server name the certificate, or an authority above it? */
bool tls_is_revoked(const struct tls_server *server, const mbedtls_x509_crt *certificate);

/* tls.c: a link's part in a handshake with pre-shared keys; `self` is its server. */
int tls_give_key(void *self, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t len);

/*
 * tls_choose.c: the part of a handshake that chooses among several certificates by the name that
 * the client asks for (SNI); `self` is the server.
 */
int tls_choose(void *self, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len);

/* Is it for that host: by a DNS name in it, or where it has none, by its Common Name? */
bool tls_is_for_host(const mbedtls_x509_crt *certificate, struct slice host);

/*
 * tls_name.c: the name in a verified certificate, in new memory.  SLICE_NONE when it
 * has none that could be a user name: not UTF-8, with control characters, too long.
 */
struct slice tls_name_of(const mbedtls_x509_crt *certificate, enum tls_name what);

/* A copy in new memory, of what may be a user name; else SLICE_NONE. */
struct slice tls_name_copy(struct slice name);

#endif
