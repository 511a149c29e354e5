/*
 * ciphers.h - cipher suites of TLS 1.2: which are offered, and the lists that
 * people write, with the names that OpenSSL gives them (as mosquitto's files have
 * them) or those of IANA.
 *
 * A list is names with `:`, `,` or spaces between.  OpenSSL's words for sets are
 * understood where they mean nothing that we would offer otherwise: HIGH, DEFAULT and
 * the like stand for our own list, and exclusions of what is never offered (!aNULL,
 * !MD5) change nothing.
 *
 * Source: RFC 5288, 5289, 5487, 5489, 6655, 7251, 7905; numbers are IANA's.
 * Pure, no heap.  Failure: a sentence that names the word.
 */
#ifndef BROKER_NET_CIPHERS_H
#define BROKER_NET_CIPHERS_H

#include "proto/base.h"

#define CIPHERS_MAX 40

/* Numbers in order of preference, and a zero. */
struct ciphers {
	int numbers[CIPHERS_MAX + 1];
	size_t count;
};

/* What is offered unless a list says otherwise: forward secrecy and AEAD; with `psk` those too. */
void ciphers_default(struct ciphers *ciphers, bool psk);

/* A list as it is written. */
bool ciphers_read(struct ciphers *ciphers, const char *list, bool psk, struct failure *failure);

#endif
