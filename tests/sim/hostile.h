/* hostile.h - somebody who does not follow the protocol. */
#ifndef TESTS_SIM_HOSTILE_H
#define TESTS_SIM_HOSTILE_H

#include "tests/sim/world.h"

/* Opens a connection and sends something bad; closes it after a while. */
void hostile_attack(struct world *world);

#endif
