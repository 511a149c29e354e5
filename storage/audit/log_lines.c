/*
 * log_lines.c - audit.jsonl: the entries as lines, for `tail -F`.  It is written after the
 * checkpoint, so it may lack lines, never have one too many; each line tells its place in the log.
 */
#include "storage/audit/log_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINES_BEFORE_NAME AUDIT_LINES_NAME ".before"

static bool fail(const char *doing, struct failure *failure)
{
	return failure_set(failure, AUDIT_LINES_NAME ": %s: %s", doing, strerror(errno));
}

/* Where the last whole line ends, and begins. */
static bool find_last(struct slice tail, size_t *begin, size_t *end)
{
	const uint8_t *newline = tail.len > 0 ? memrchr(tail.at, '\n', tail.len) : NULL;

	if (newline == NULL)
		return false;
	*end = (size_t)(newline - tail.at);
	const uint8_t *before = *end > 0 ? memrchr(tail.at, '\n', *end) : NULL;

	*begin = before ? (size_t)(before + 1 - tail.at) : 0;
	return true;
}

/* The last line must be the entry of its index; or one of a log that was put back since. */
static bool check_last(struct audit_log *log, struct slice line, struct failure *failure)
{
	const uint64_t size = log->now->edge.size;
	struct audit_reader reader;
	struct audit_event event;
	struct slice entry;

	if (!audit_event_read(line, &event))
		return failure_set(failure, AUDIT_LINES_NAME ": its last line is not an entry");
	log->lines_count = event.index + 1;
	log->lines_longer = event.index >= size;
	if (log->lines_longer)
		return true;
	audit_reader_init(&reader, log->directory, size);
	bool ok = audit_reader_entry(&reader, event.index, &entry, failure);

	if (ok && !slice_equal(entry, line))
		ok = failure_set(failure,
				 AUDIT_LINES_NAME ": line %" PRIu64 " is not entry %" PRIu64,
				 log->lines_count, event.index);
	audit_reader_finish(&reader);
	return ok;
}

static bool read_tail(struct audit_log *log, struct failure *failure)
{
	uint8_t tail[2 * AUDIT_LINE_SIZE];
	struct stat st;
	size_t begin;
	size_t end;

	if (fstat(log->lines, &st) != 0)
		return fail("cannot be read", failure);
	const off_t from = st.st_size > (off_t)sizeof(tail) ? st.st_size - (off_t)sizeof(tail) : 0;
	const ssize_t len = pread(log->lines, tail, sizeof(tail), from);

	if (len < 0 || len != st.st_size - from)
		return fail("cannot be read", failure);
	if (find_last(slice_of(tail, (size_t)len), &begin, &end)) {
		log->lines_end = from + (off_t)end + 1;
		return check_last(log, slice_of(tail + begin, end - begin), failure);
	}
	return from == 0 || failure_set(failure, AUDIT_LINES_NAME ": its end is not lines");
}

bool log_lines_open(struct audit_log *log, struct failure *failure)
{
	log->lines = openat(log->directory, AUDIT_LINES_NAME,
			    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (log->lines < 0)
		return fail("cannot be opened", failure);
	log->lines_count = 0;
	log->lines_end = 0;
	log->lines_longer = false;
	return read_tail(log, failure) &&
	       audit_file_sync_folder(log->directory, AUDIT_LINES_NAME, failure);
}

bool log_lines_renew(struct audit_log *log, struct failure *failure)
{
	close(log->lines);
	log->lines = -1;
	if (renameat(log->directory, AUDIT_LINES_NAME, log->directory, LINES_BEFORE_NAME) != 0)
		return fail("cannot be put aside", failure);
	return log_lines_open(log, failure);
}

/* Lines of one bundle, written at once. */
static bool write_lines(struct audit_log *log, const uint8_t *text, size_t len)
{
	off_t at = log->lines_end;

	while (len > 0) {
		ssize_t n = pwrite(log->lines, text, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		at += n;
		len -= (size_t)n;
	}
	log->lines_end = at;
	return true;
}

static size_t gather(struct audit_reader *reader, uint64_t from, uint64_t to, uint8_t *text,
		     struct failure *failure)
{
	struct slice entry;
	size_t len = 0;

	for (uint64_t i = from; i < to; i++) {
		if (!audit_reader_entry(reader, i, &entry, failure))
			return 0;
		must(len + entry.len + 1 <= BUNDLE_SIZE);
		memcpy(text + len, entry.at, entry.len);
		len += entry.len;
		text[len++] = '\n';
	}
	return len;
}

/* What was torn is cut off first: also after a disk that was full. */
bool log_lines_catch_up(struct audit_log *log, struct failure *failure)
{
	const uint64_t size = log->now->edge.size;
	uint8_t *text = malloc(BUNDLE_SIZE);
	struct audit_reader reader;
	bool ok = ftruncate(log->lines, log->lines_end) == 0 || fail("cannot be cut", failure);

	must(text);
	audit_reader_init(&reader, log->directory, size);
	while (ok && log->lines_count < size) {
		const uint64_t end = (log->lines_count / TILE_WIDTH + 1) * TILE_WIDTH;
		const uint64_t to = end < size ? end : size;
		const size_t len = gather(&reader, log->lines_count, to, text, failure);

		ok = len > 0 && (write_lines(log, text, len) || fail("cannot be written", failure));
		if (ok)
			log->lines_count = to;
	}
	audit_reader_finish(&reader);
	free(text);
	return ok && (fdatasync(log->lines) == 0 || fail("cannot be synced", failure));
}
