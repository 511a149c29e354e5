/*
 * append.c - makes and continues an audit log, and dies or fails where it is told to.
 *
 *	append DIRECTORY COUNT BATCH [kill|fail|once N]
 *
 * Opens <DIRECTORY>/log and appends COUNT entries, BATCH under each checkpoint.  The N-th call that
 * changes a file is where the process kills itself, or what fails from there on as on a full disk,
 * or what alone fails.
 * After each checkpoint its text goes to stdout.  The last line says "calls N": how many there
 * were; before it stands "removed" when power could still bring back what was removed at the end.
 */
#include "storage/audit/log.h"
#include "storage/audit/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long calls, kill_at, fail_at, once_at;
static bool watching;
static bool removed; /* and no sync behind it */

/* ---- what changes a file comes here instead of into the C library */

static bool refused(void)
{
	if (!watching)
		return false;
	calls++;
	if (calls == kill_at)
		kill(getpid(), SIGKILL);
	if (calls == once_at || (fail_at > 0 && calls >= fail_at)) {
		errno = ENOSPC;
		return true;
	}
	return false;
}

/* Half of it, so that what was torn is seen. */
static size_t part(size_t len)
{
	return calls + 1 == kill_at && watching ? len / 2 : len;
}

ssize_t write(int fd, const void *at, size_t len)
{
	if (part(len) < len)
		syscall(SYS_write, fd, at, part(len));
	return refused() ? -1 : syscall(SYS_write, fd, at, len);
}

ssize_t pwrite(int fd, const void *at, size_t len, off_t offset)
{
	if (part(len) < len)
		syscall(SYS_pwrite64, fd, at, part(len), offset);
	return refused() ? -1 : syscall(SYS_pwrite64, fd, at, len, offset);
}

int fsync(int fd)
{
	if (refused())
		return -1;
	removed = false;
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return refused() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t len)
{
	return refused() ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return refused() ? -1 : (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
	return refused() ? -1 : (int)syscall(SYS_mkdirat, fd, path, mode);
}

int unlinkat(int fd, const char *path, int flags)
{
	if (refused())
		return -1;
	if (syscall(SYS_unlinkat, fd, path, flags) != 0)
		return -1;
	removed = true;
	return 0;
}

/* ---- the work */

static void print_checkpoint(int directory)
{
	struct failure failure;
	struct audit_file file;

	if (!audit_file_read(directory, "log/checkpoint", 4096, &file, &failure))
		return;
	watching = false;
	printf("%s\n", (const char *)file.at);
	fflush(stdout);
	watching = true;
	free(file.at);
}

/* Entries of every size and shape that the table has. */
static struct audit_event example(uint64_t number)
{
	struct audit_event event = {.time_s = 1767225600 + number / 8 * 3600};

	switch (number % 4) {
	case 0:
		event.type = AUDIT_ADMIN;
		event.values[AUDIT_FIELD_ADMIN_RIGHT] = AUDIT_WORD_RIGHT_CLIENTS_LIST;
		break;
	case 1:
		event.type = AUDIT_RECEIPTS;
		memset(event.hash.bytes, (int)(number & 0xff), AUDIT_HASH_LEN);
		break;
	case 2:
		event.type = AUDIT_KEY_NEW;
		event.values[AUDIT_FIELD_KEY_NEW_CLASS] = AUDIT_WORD_CLASS_ENVELOPE;
		event.values[AUDIT_FIELD_KEY_NEW_EPOCH] = number;
		break;
	default:
		event.type = AUDIT_STOP;
		event.values[AUDIT_FIELD_STOP_CAUSE] = AUDIT_WORD_CAUSE_ASKED;
	}
	return event;
}

static bool append(struct audit_log *log, uint64_t count, uint64_t batch, int directory,
		   struct failure *failure)
{
	struct audit_event *events = calloc(batch, sizeof(*events));
	bool ok = true;

	must(events);
	for (uint64_t done = 0; ok && done < count;) {
		const uint64_t n = count - done < batch ? count - done : batch;

		for (uint64_t i = 0; i < n; i++)
			events[i] = example(audit_log_size(log) + i);
		ok = audit_log_append(log, events, n, failure);
		print_checkpoint(directory);
		done += n;
	}
	free(events);
	return ok;
}

int main(int argc, char **argv)
{
	struct failure failure;
	enum audit_log_was was;

	if (argc != 4 && argc != 6) {
		fputs("usage: append DIRECTORY COUNT BATCH [kill|fail|once N]\n", stderr);
		return 2;
	}
	if (argc == 6)
		*(strcmp(argv[4], "kill") == 0	 ? &kill_at
		  : strcmp(argv[4], "once") == 0 ? &once_at
						 : &fail_at) = atol(argv[5]);
	int directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(directory >= 0);
	watching = true;
	struct audit_log *log = audit_log_open(directory, NULL, &was, &failure);
	bool ok = log != NULL;

	if (ok && was == AUDIT_LOG_RESTORED)
		puts("restored");
	if (ok) {
		print_checkpoint(directory);
		ok = append(log, strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
			    directory, &failure);
	}
	audit_log_close(log);
	watching = false;
	close(directory);
	if (!ok)
		fprintf(stderr, "%s\n", failure.text);
	printf("%scalls %ld\n", removed ? "removed\n" : "", calls);
	return ok ? 0 : 1;
}
