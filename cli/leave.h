/*
 * leave.h - how SIGINT and SIGTERM end `metrino sub`: as mosquitto_sub it tells the broker, so that
 * no will is published before MQTT 5.0, and ends with status 0.
 *
 * Before leave_listen() they end the process at once.  Both times SIGINT does so, too, where a
 * shell that starts something in the background has it ignored.
 *
 * Ownership: the process's.  Thread: the one that has signals.
 */
#ifndef CLI_LEAVE_H
#define CLI_LEAVE_H

#include <stdbool.h>

void leave_at_once(void);

/* When there is a connection: from now on they only ask; who insists a second later ends it at
 * once. */
void leave_listen(void);

bool leave_asked(void);

/* Readable once it was asked, for poll(2); -1 where nobody listens. */
int leave_fd(void);

#endif
