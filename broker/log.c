/*
 * log.c - lines made and written.
 *
 * What log_open() sets is guarded by a lock that writers share, so lines of
 * several threads go out side by side, each with one write(2).
 */
#include "broker/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/net/moment.h"
#include "proto/utf8.h"

/* Every byte of a sentence may become \u00XX in JSON. */
#define LINE_SIZE (LOG_SENTENCE_MAX * 6 + 512)

#define NO_LISTENER UINT32_MAX
#define PATIENCE_MS 200

struct destinations {
	bool to_stderr, to_stdout, to_syslog;
	int file; /* -1: none */
	int facility;
	bool timestamp;
	char timestamp_format[130]; /* "": ISO 8601, UTC */
	enum log_format format;
};

static const struct destinations before_open = {
    .to_stderr = true, .file = -1, .facility = LOG_DAEMON, .timestamp = true};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct destinations now = {
    .to_stderr = true, .file = -1, .facility = LOG_DAEMON, .timestamp = true};
static atomic_uint wanted_types = LOG_TYPES_NORMAL;
static atomic_int ip_shown = IP_LOGGING_NONE;
static atomic_ullong lost;

static const struct {
	const char *name;
	int priority;
} levels[LOG_LEVEL_COUNT] = {
    [LOG_LEVEL_ERROR] = {"error", LOG_ERR},	 [LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
    [LOG_LEVEL_NOTICE] = {"notice", LOG_NOTICE}, [LOG_LEVEL_INFO] = {"info", LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

/* What a line says, before it has a shape. */
struct entry {
	enum log_level level;
	const char *event;
	uint32_t listener;    /* NO_LISTENER */
	const char *reason;   /* NULL: `sentence` is what is said */
	uint64_t count;	      /* with a reason */
	uint32_t period_s;    /* with a reason */
	const char *sentence; /* NULL with a reason */
};

/* A buffer that is filled from the left and never overflows. */
struct line {
	char at[LINE_SIZE];
	size_t len;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
	/* One byte is kept for the line's end. */
	const size_t room = sizeof(line->at) - 1 - line->len;
	va_list arguments;
	va_start(arguments, format);
	const int len = vsnprintf(line->at + line->len, room, format, arguments);
	va_end(arguments);
	if (len > 0)
		line->len += (size_t)len < room ? (size_t)len : room - 1;
}

static bool open_file(const char *path, int *file, struct failure *failure)
{
	*file = -1;
	if (!path)
		return true;
	/* Not blocking: a FIFO that nobody reads would hold us for ever. */
	*file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (*file < 0 && errno == ENXIO)
		return failure_set(failure,
				   "log file %s: nobody reads from it; right would be to start its "
				   "reader first, or another log_dest",
				   path);
	if (*file < 0)
		return failure_set(failure,
				   "log file %s: %s; right would be a file that this user may "
				   "write, or another log_dest",
				   path, strerror(errno));
	return true;
}

static void change_to(const struct destinations *next, uint32_t types, enum ip_logging ip)
{
	pthread_rwlock_wrlock(&lock);
	const int old_file = now.file;
	now = *next;
	if (now.to_syslog)
		openlog("metrinod", LOG_PID | LOG_NDELAY, now.facility);
	else
		closelog();
	pthread_rwlock_unlock(&lock);
	atomic_store(&wanted_types, types);
	atomic_store(&ip_shown, (int)ip);
	if (old_file >= 0)
		close(old_file);
}

bool log_open(const struct config *config, struct failure *failure)
{
	struct destinations next = {
	    .to_stderr = config->log_stderr,
	    .to_stdout = config->log_stdout,
	    .to_syslog = config->log_syslog,
	    .facility = config->log_facility,
	    .timestamp = config->log_timestamp,
	    .format = config->log_format,
	};
	if (config->log_timestamp_format)
		snprintf(next.timestamp_format, sizeof(next.timestamp_format), "%s",
			 config->log_timestamp_format);
	if (!open_file(config->log_file, &next.file, failure))
		return false;
	change_to(&next, config->log_types, config->ip_logging);
	return true;
}

void log_close(void)
{
	change_to(&before_open, LOG_TYPES_NORMAL, IP_LOGGING_NONE);
}

bool log_wanted(enum log_level level)
{
	return atomic_load_explicit(&wanted_types, memory_order_relaxed) & LOG_TYPE(level);
}

bool log_to_stderr(void)
{
	pthread_rwlock_rdlock(&lock);
	const bool is = now.to_stderr;
	pthread_rwlock_unlock(&lock);
	return is;
}

uint64_t log_lost(void)
{
	return atomic_load(&lost);
}

/* systemd gives the device and inode of the stream that its journal reads. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device = 0, inode = 0;
	struct stat status;
	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
	       status.st_ino == inode;
}

static void add_iso_time(struct line *line)
{
	const time_t seconds = (time_t)moment_now().wall_s;
	struct tm utc;
	gmtime_r(&seconds, &utc);
	add(line, "%04d-%02d-%02dT%02d:%02d:%02dZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
	    utc.tm_hour, utc.tm_min, utc.tm_sec);
}

static void add_time(struct line *line)
{
	if (!now.timestamp_format[0]) {
		add_iso_time(line);
		return;
	}
	char text[256] = "";
	const time_t seconds = (time_t)moment_now().wall_s;
	struct tm local;
	localtime_r(&seconds, &local);
/* The format is the operator's, and a strftime() format can do no harm. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	if (strftime(text, sizeof(text), now.timestamp_format, &local) > 0)
		add(line, "%s", text);
#pragma GCC diagnostic pop
}

/* A sentence may hold what the system gave; a line end in it must not make a second line. */
static void add_plain(struct line *line, const char *text)
{
	for (; *text; text++)
		add(line, "%c", (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
}

/* How many bytes the character has; 0: it is none, as when a sentence was cut within it. */
static size_t character_len(const char *text)
{
	for (size_t len = 1; len <= 4 && text[len - 1]; len++)
		if (utf8_valid(slice_of(text, len)))
			return len;
	return 0;
}

/* JSON is UTF-8, whatever a path or a sentence is. */
static void add_quoted(struct line *line, const char *text)
{
	add(line, "\"");
	for (size_t len; *text; text += len > 0 ? len : 1) {
		len = character_len(text);
		if (len != 1)
			add(line, "%.*s", len == 0 ? 6 : (int)len, len == 0 ? "\\ufffd" : text);
		else if (*text == '"' || *text == '\\')
			add(line, "\\%c", *text);
		else if ((unsigned char)*text < 0x20 || *text == 0x7f)
			add(line, "\\u%04x", (unsigned)(unsigned char)*text);
		else
			add(line, "%c", *text);
	}
	add(line, "\"");
}

static void add_text(struct line *line, const struct entry *entry)
{
	add(line, "%s: ", entry->event);
	if (entry->listener != NO_LISTENER)
		add(line, "listener %u: ", entry->listener + 1);
	if (entry->reason)
		add(line, "%s: %llu in %u s", entry->reason, (unsigned long long)entry->count,
		    entry->period_s);
	else if (entry->sentence)
		add_plain(line, entry->sentence);
}

static void shape_text(struct line *line, const struct entry *entry, bool with_time)
{
	if (with_time && now.timestamp) {
		add_time(line);
		add(line, ": ");
	}
	add(line, "%s: ", levels[entry->level].name);
	add_text(line, entry);
}

static void shape_json(struct line *line, const struct entry *entry)
{
	add(line, "{");
	if (now.timestamp) {
		add(line, "\"ts\":\"");
		add_iso_time(line);
		add(line, "\",");
	}
	add(line, "\"level\":\"%s\",\"event\":\"%s\"", levels[entry->level].name, entry->event);
	if (entry->listener != NO_LISTENER)
		add(line, ",\"listener\":%u", entry->listener + 1);
	if (entry->reason)
		add(line, ",\"reason\":\"%s\",\"count\":%llu,\"period_s\":%u", entry->reason,
		    (unsigned long long)entry->count, entry->period_s);
	if (entry->sentence) {
		add(line, ",\"text\":");
		add_quoted(line, entry->sentence);
	}
	add(line, "}");
}

/*
 * A pipe or terminal whose reader stands still must not stop the broker: it gets a
 * moment once, and none after that until it takes a line again.
 */
static bool takes_a_line(int fd)
{
	static atomic_bool stalled;
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	const int patience_ms = atomic_load(&stalled) ? 0 : PATIENCE_MS;
	const bool ready = poll(&wait, 1, patience_ms) == 1 && (wait.revents & POLLOUT);

	atomic_store(&stalled, !ready);
	return ready;
}

/* One write for one line; what a full pipe or disk does not take is counted. */
static void write_line(int fd, const struct entry *entry, bool journal)
{
	struct line line;
	line.len = 0;
	line.at[0] = '\0';
	if (journal)
		add(&line, "<%d>", levels[entry->level].priority);
	if (now.format == LOG_FORMAT_JSON)
		shape_json(&line, entry);
	else
		shape_text(&line, entry, !journal);
	line.at[line.len++] = '\n';
	if (!takes_a_line(fd) || write(fd, line.at, line.len) != (ssize_t)line.len)
		atomic_fetch_add(&lost, 1);
}

static void write_syslog(const struct entry *entry)
{
	struct line line;
	line.len = 0;
	line.at[0] = '\0';
	if (now.format == LOG_FORMAT_JSON)
		shape_json(&line, entry);
	else
		add_text(&line, entry);
	syslog(levels[entry->level].priority, "%s", line.at);
}

static void write_entry(const struct entry *entry)
{
	/* The caller may still need what the system said last. */
	const int saved = errno;
	pthread_rwlock_rdlock(&lock);
	if (now.to_stderr)
		write_line(STDERR_FILENO, entry, stderr_is_journal());
	if (now.to_stdout)
		write_line(STDOUT_FILENO, entry, false);
	if (now.file >= 0)
		write_line(now.file, entry, false);
	if (now.to_syslog)
		write_syslog(entry);
	pthread_rwlock_unlock(&lock);
	errno = saved;
}

static void write_sentence(enum log_level level, const char *event, uint32_t listener,
			   const char *format, va_list arguments)
{
	char sentence[LOG_SENTENCE_MAX + 1];
	if (vsnprintf(sentence, sizeof(sentence), format, arguments) < 0)
		return;
	write_entry(&(struct entry){
	    .level = level, .event = event, .listener = listener, .sentence = sentence});
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
	if (!log_wanted(level))
		return;
	va_list arguments;
	va_start(arguments, format);
	write_sentence(level, event, NO_LISTENER, format, arguments);
	va_end(arguments);
}

void log_write_listener(enum log_level level, const char *event, uint32_t listener,
			const char *format, ...)
{
	if (!log_wanted(level))
		return;
	va_list arguments;
	va_start(arguments, format);
	write_sentence(level, event, listener, format, arguments);
	va_end(arguments);
}

void log_count(enum log_level level, const char *event, uint32_t listener, const char *reason,
	       uint64_t count, uint32_t period_s)
{
	if (count == 0 || !log_wanted(level))
		return;
	write_entry(&(struct entry){.level = level,
				    .event = event,
				    .listener = listener,
				    .reason = reason,
				    .count = count,
				    .period_s = period_s});
}

/* No lock, for its holder may be who was interrupted: at the worst the line goes to an old file. */
void log_write_from_signal(const char *event, const char *sentence)
{
	const bool json = now.format == LOG_FORMAT_JSON;
	const char *const parts[] = {
	    json ? "{\"level\":\"error\",\"event\":\"" : "error: ",
	    event,
	    json ? "\",\"text\":\"" : ": ",
	    sentence,
	    json ? "\"}\n" : "\n",
	};
	const int files[] = {now.to_stderr ? STDERR_FILENO : -1, now.file};
	char line[512] = "";
	size_t len = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (const char *at = parts[i]; *at && len < sizeof(line); at++)
			line[len++] = *at;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i] >= 0 && write(files[i], line, len) != (ssize_t)len)
			atomic_fetch_add(&lost, 1);
}

/* The first 24 or 48 `bits` of an address, as "prefix/bits"; 0: the whole of it. */
static void show_prefix(int family, const uint8_t *bytes, size_t len, unsigned bits, char *text)
{
	uint8_t kept[16] = {0};
	memcpy(kept, bytes, bits ? bits / 8 : len);
	if (!inet_ntop(family, kept, text, INET6_ADDRSTRLEN))
		memcpy(text, "-", 2);
	else if (bits)
		memcpy(text + strlen(text), bits == 24 ? "/24" : "/48", 4);
}

const char *log_address(const struct sockaddr *address, char text[LOG_ADDRESS_SIZE])
{
	const int shown = atomic_load(&ip_shown);
	const bool whole = shown == IP_LOGGING_FULL;
	memcpy(text, "-", 2);
	if (shown == IP_LOGGING_NONE)
		return text;
	if (address->sa_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, address, sizeof(v4));
		show_prefix(AF_INET, (const uint8_t *)&v4.sin_addr, 4, whole ? 0 : 24, text);
	} else if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;
		memcpy(&v6, address, sizeof(v6));
		const uint8_t *bytes = v6.sin6_addr.s6_addr;
		/* The /48 of a mapped address would say nothing, its end is an IPv4 address. */
		if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
			show_prefix(AF_INET, bytes + 12, 4, whole ? 0 : 24, text);
		else
			show_prefix(AF_INET6, bytes, 16, whole ? 0 : 48, text);
	}
	return text;
}
