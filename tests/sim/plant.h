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

/* Mail that opens a gate of this mail at once; its publication then holds none.  NULL mostly. */
struct mail *plant_opens_gate(struct world *world, struct mail *mail);

/* True when this batch is to be answered 'committed' before it is. */
bool plant_answers_early(struct world *world, const struct store_batch *batch);

/* Changes what will be committed of a copy of a batch: takes out steps, or spoils them. */
void plant_spoils_steps(struct world *world, struct store_batch *batch);
bool plant_may_spoil(const struct world *world);

/* True when the exchange of a PUBLISH that is sent again is to be ended before it. */
bool plant_believes_dup(struct world *world, const struct device *client, uint16_t packet_id,
			bool dup);

/*
 * A whole packet on its way to a client: may change the bytes, and says how often
 * the client gets it (0, 1 or 2).
 */
int plant_packet(struct world *world, struct device *client, uint8_t *packet, size_t len);

/* Is it this plant's turn?  Now and then, so that the rest of the world goes on. */
bool plant_strikes(struct world *world, enum plant plant, uint32_t permille);

/* After a packet: hands over one that was held back to come too late. */
void plant_held(struct world *world, struct device *client);

#endif
