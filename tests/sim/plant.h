/*
 * plant.h - faults planted on purpose between the core and its oracle, to show
 * that each check finds the fault that it is there for.  The core itself is
 * never touched: a plant loses mail, changes a packet on its way to a client, or
 * lies about the disk.
 */
#ifndef TESTS_SIM_PLANT_H
#define TESTS_SIM_PLANT_H

#include "proto/base.h"

struct device;
struct frame;
struct mail;
struct store_batch;
struct world;

enum plant {
	PLANT_NONE,
#define PLANT(name, check, what) PLANT_##name,
#include "tests/sim/plant.def"
#undef PLANT
	PLANTS
};

/* "PLANT_DROP_MAIL ..." for people, and the check that must find it (NULL: any). */
const char *plant_what(enum plant plant);
const char *plant_check(enum plant plant);

/* True when this mail is to be lost. */
bool plant_loses_mail(struct world *world, const struct mail *mail);

/* True when a client that is gone is to be kept alive. */
bool plant_keeps_alive(struct world *world);

/* True when this batch is to be answered 'committed' without being so. */
bool plant_forgets_batch(struct world *world, const struct store_batch *batch);

/*
 * A whole packet on its way to a client: may change the bytes, and says how often
 * the client gets it (0, 1 or 2).
 */
int plant_packet(struct world *world, struct device *client, uint8_t *packet, size_t len);

/* After a packet: hands over one that was held back to come too late. */
void plant_held(struct world *world, struct device *client);

#endif
