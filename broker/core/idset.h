/*
 * idset.h - a set of packet identifiers: 32 pages of 2,048 bits, made when needed.
 * Holds the QoS 2 identifiers that were received and not yet released
 * (MQTT 5.0 section 4.3.3, [MQTT-4.3.3-9]): at most 8.5 kB, however many there are.
 *
 * Ownership: charged to the purse given.  Thread: the shard's.
 */
#ifndef BROKER_CORE_IDSET_H
#define BROKER_CORE_IDSET_H

#include "proto/base.h"
#include "broker/core/budget.h"

#define IDSET_PAGES	32u
#define IDSET_PAGE_BITS 2048u

struct idset {
	uint32_t count;
	uint64_t *pages[IDSET_PAGES];
};

struct idset *idset_create(struct purse *purse);
void idset_destroy(struct idset *set, struct purse *purse); /* NULL is fine */

bool idset_has(const struct idset *set, uint16_t id); /* NULL is the empty set */
void idset_add(struct idset *set, struct purse *purse, uint16_t id);

/* True when it was there. */
bool idset_remove(struct idset *set, uint16_t id);

#endif
