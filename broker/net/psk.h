/*
 * psk.h - the file of pre-shared keys, as mosquitto has it: lines `identity:key`, the
 * key in hexadecimal digits; # in the first column begins a comment.
 *
 * Ownership: psk_read() allocates, psk_destroy() wipes and frees.  Immutable.
 * Failure: a sentence that names all lines that are wrong, never their content.
 * Thread: made by the main thread, read by all.
 */
#ifndef BROKER_NET_PSK_H
#define BROKER_NET_PSK_H

#include "proto/base.h"

/* The most that the library takes is 256 bits; with fewer than 128 a key can be guessed. */
#define PSK_KEY_MAX    32u
#define PSK_KEY_STRONG 16u

struct psk {
	struct slice identity;
	uint8_t key[PSK_KEY_MAX];
	size_t key_len;
	size_t line; /* of the file, from 1 on */
};

struct psk_table;

/* From the text of a file. */
struct psk_table *psk_read(struct slice text, struct failure *failure);

void psk_destroy(struct psk_table *table);

/* How many keys are shorter than PSK_KEY_STRONG. */
size_t psk_weak_count(const struct psk_table *table);

/* NULL: nobody has that identity. */
const struct psk *psk_find(const struct psk_table *table, struct slice identity);

#endif
