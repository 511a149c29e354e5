/*
 * log.h - the broker's log: one line per event, one write(2) per line.
 *
 * A line has the keys ts, level, event, listener and reason, and a sentence.
 * What may stand in a sentence: our own words, numbers, paths and ports of the
 * configuration, texts of the operating system.  What never does: a payload, a
 * topic, a client id, a user name, a password.  What happens to clients is
 * counted and told once a minute (log_count).  The one function that turns an
 * address of a client into text is log_address().
 *
 * Destinations: stderr (with priorities for journald when it listens there),
 * stdout, syslog, a file (append, opened anew by log_open()), or none.
 * Shape: text `ts: level: event: sentence` or one JSON object per line.
 *
 * Ownership: log_open() copies what it needs of the configuration.
 * Failure: a line that cannot be written is dropped and counted (log_lost).
 * Thread: log_open() and log_close() in the main thread; all others from any
 * thread, at any time; before log_open() lines go to stderr as text.
 */
#ifndef BROKER_LOG_H
#define BROKER_LOG_H

#include "proto/base.h"

struct config;
struct sockaddr;

/* In order of weight; the values are the bits' positions in log_types. */
enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT,
};

#define LOG_TYPE(level)	 (UINT32_C(1) << (level))
#define LOG_TYPES_ALL	 (LOG_TYPE(LOG_LEVEL_COUNT) - 1)
#define LOG_TYPES_NORMAL (LOG_TYPES_ALL & ~LOG_TYPE(LOG_LEVEL_DEBUG))

/* Longest sentence; what is longer is cut. */
#define LOG_SENTENCE_MAX 1024

/*
 * Begins to log as the configuration says, or changes over to another one; a
 * log file is opened anew, so that a file that was moved away is let go (HUP).
 * On failure the log stays as it was.
 */
bool log_open(const struct config *config, struct failure *failure);

/* Back to the state before log_open(). */
void log_close(void);

/* True when lines of this level are written: to save the work of making one. */
bool log_wanted(enum log_level level);

/*
 * One line.  `event` is one closed word of ours ("start", "listen", "config"),
 * a literal; the sentence is a printf format.
 */
void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, about a listener (its number in the configuration, from 1 in the log). */
void log_write_listener(enum log_level level, const char *event, uint32_t listener,
			const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * The summary of what happened to clients of one listener: `count` times
 * `event` for `reason` (closed words: literals) in the last `period_s` seconds.
 * Nothing is written when count is 0.
 */
void log_count(enum log_level level, const char *event, uint32_t listener, const char *reason,
	       uint64_t count, uint32_t period_s);

/*
 * A line from a handler of a signal that ends the process: to stderr and to the log file, without
 * the time, and not to syslog.  Both texts are literals, or as tame.
 */
void log_write_from_signal(const char *event, const char *sentence);

#define LOG_ADDRESS_SIZE 64

/*
 * Writes a client's address as ip_logging allows: "-" (none), "192.0.2.0/24"
 * or "2001:db8::/48" (truncate), or whole.  Never a port.  Returns `text`.
 */
const char *log_address(const struct sockaddr *address, char text[LOG_ADDRESS_SIZE]);

/* Do people who look at stderr see what is written? */
bool log_to_stderr(void);

/* Lines that could not be written since log_open(). */
uint64_t log_lost(void);

#endif
