/* state_format.h - the numbers of state.h's format, for its writer and its reader. */
#ifndef BROKER_CORE_STATE_FORMAT_H
#define BROKER_CORE_STATE_FORMAT_H

#define STATE_MAGIC   "MTRS"
#define STATE_VERSION 2

enum state_record {
	STATE_MESSAGE = 1,
	STATE_RETAINED = 2,
	STATE_SESSION = 3,
};

enum state_item {
	STATE_INBOUND = 1,
	STATE_WILL = 2,
	STATE_INFLIGHT = 3,
	STATE_QUEUED = 4,
};

#endif
