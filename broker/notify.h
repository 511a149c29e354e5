/*
 * notify.h - what systemd is told and what it gives: sd_notify(3), the
 * watchdog and socket activation, by hand.
 *
 * Without systemd (no NOTIFY_SOCKET) every function here does nothing.
 * Failure: a message that cannot be sent is dropped; the manager will act by
 * its own time-outs.
 * Thread: notify_watchdog() from any thread; the others in the main thread.
 */
#ifndef BROKER_NOTIFY_H
#define BROKER_NOTIFY_H

#include "proto/base.h"

void notify_ready(void);
/* To be followed by notify_ready(). */
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "I am alive": at least each notify_watchdog_period_ms(). */
void notify_watchdog(void);

/* Half of the time that systemd waits; 0: no watchdog was asked for. */
uint32_t notify_watchdog_period_ms(void);

#define NOTIFY_FIRST_SOCKET 3

/*
 * Sockets that systemd opened for us (LISTEN_FDS): how many, from descriptor
 * NOTIFY_FIRST_SOCKET on.  They are made close-on-exec and the variables are
 * removed, so a second call returns 0.
 */
int notify_inherited_sockets(void);

#endif
