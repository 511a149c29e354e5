/*
 * hash.h - keyed hashing: SipHash-2-4 (Aumasson, Bernstein 2012) by libsodium.
 *
 * The key is secret and new at every start, so that nobody outside can choose
 * client identifiers or topic levels that collide.  Two different inputs share a
 * 64-bit hash with a chance of 2^-64: where that is taken as equality (trie.h)
 * a million levels below one parent collide with a chance of 3 in 10^8.
 */
#ifndef BROKER_CORE_HASH_H
#define BROKER_CORE_HASH_H

#include "proto/base.h"

#define HASH_KEY_SIZE 16

uint64_t hash_keyed(const uint8_t key[HASH_KEY_SIZE], struct slice bytes);

/* Spreads the bits of a number that is already a hash or a counter (splitmix64's finaliser). */
static inline uint64_t hash_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* The next number of a keyed sequence that nobody without the key can foretell. */
uint64_t hash_next_random(const uint8_t key[HASH_KEY_SIZE], uint64_t *counter);

#endif
