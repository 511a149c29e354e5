/*
 * workload.h - what happens in a simulated world: clients of several kinds that
 * publish, subscribe, break off and come back, a hostile one among them, and a
 * broker that is stopped and killed; then a quiet, and the checks of the end.
 */
#ifndef TESTS_SIM_WORKLOAD_H
#define TESTS_SIM_WORKLOAD_H

#include "tests/sim/world.h"

/* How a run is wanted. */
struct workload_options {
	uint64_t seed;
	uint32_t steps; /* 0: as the seed says */
	enum plant plant;
	bool verbose;
};

/* What came of it. */
struct workload_result {
	bool failed;
	bool plant_used;
	char check[32];
	char fault[512];
	uint64_t delivered;
	uint32_t messages;
	uint64_t virtual_ms;
	struct sim_tally tally;
};

struct workload_result workload_run(const struct workload_options *options);

#endif
