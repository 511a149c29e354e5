/*
 * audit_follow.c - `metrino audit follow` and `schedule`: what somebody else's machine does who
 * does not want to believe the broker's.
 */
#include "cli/audit.h"
#include "cli/fetch.h"
#include "storage/audit/event.h"
#include "storage/audit/mirror.h"
#include "storage/audit/schedule.h"
#include "storage/audit/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOUR_S 3600u

/* ---- schedule */

static void print_complaint(void *self, const char *sentence)
{
	(void)self;
	printf("LATE: %s\n", sentence);
}

/* False when there is something to complain of. */
static bool judge(const struct schedule_result *result, struct failure *failure)
{
	const uint64_t keys = result->late + result->unknown;

	if (result->hours_changed > 0)
		return failure_set(failure,
				   "%" PRIu64 " keys did not end as they should, and %" PRIu64
				   " hours lack entries that a broker which runs always writes",
				   keys, result->hours_changed);
	return keys == 0 ||
	       failure_set(failure, "%" PRIu64 " keys did not end as they should", keys);
}

static void print_result(const struct schedule_result *result)
{
	printf("%" PRIu64 " keys that end: %" PRIu64 " destroyed in time, %" PRIu64
	       " late while the broker did not run, %" PRIu64 " in their time, %" PRIu64 " late\n",
	       result->made, result->in_time, result->excused, result->living, result->late);
	if (result->hours_missing > 0)
		printf("%" PRIu64
		       " hours have no entries although the broker was not started anew: it could "
		       "not write them, or the machine slept\n",
		       result->hours_missing);
	if (result->jobs_late > 0)
		printf("%" PRIu64 " times a job was late or failed\n", result->jobs_late);
}

static bool add_entries(struct audit_reader *reader, struct schedule *schedule,
			struct failure *failure)
{
	struct audit_event event;
	struct slice line;

	for (uint64_t i = 0; i < reader->size; i++) {
		if (!audit_reader_entry(reader, i, &line, failure))
			return false;
		if (!audit_event_read(line, &event))
			return failure_set(failure,
					   "entry %" PRIu64 " is not one of the closed table", i);
		schedule_add(schedule, &event);
	}
	return true;
}

/* The whole is verified first: what is not in the tree proves nothing. */
bool audit_schedule_keys(const struct audit_request *request, struct failure *failure)
{
	struct audit_reader *reader = calloc(1, sizeof(*reader));
	struct audit_place place;

	must(reader);
	bool ok = audit_place_open(&place, request->data, failure) &&
		  audit_place_read(&place, request->vkey, failure) &&
		  audit_verify(place.directory, &place.verifier, &place.checkpoint, failure);

	if (ok) {
		struct schedule *schedule = schedule_create(print_complaint, NULL);

		audit_reader_init(reader, place.directory, place.checkpoint.size);
		ok = add_entries(reader, schedule, failure);
		const struct schedule_result result = schedule_destroy(schedule);

		if (ok)
			print_result(&result);
		ok = ok && judge(&result, failure);
		audit_reader_finish(reader);
	}
	audit_place_finish(&place);
	free(reader);
	return ok;
}

/* ---- follow */

struct from {
	int directory;	    /* -1: a URL */
	struct fetch *http; /* NULL: a directory */
};

static enum audit_found fetch(void *self, const char *path, size_t max, struct audit_file *file,
			      struct failure *failure)
{
	const struct from *from = self;

	return from->http ? fetch_get(from->http, path, max, file, failure)
			  : audit_file_find(from->directory, path, max, file, failure);
}

static bool open_from(struct from *from, const char *operand, struct failure *failure)
{
	struct audit_place place;

	*from = (struct from){.directory = -1};
	if (strstr(operand, "://")) {
		from->http = fetch_create(operand, failure);
		return from->http != NULL;
	}
	if (!audit_place_open(&place, operand, failure))
		return false;
	from->directory = place.directory;
	return true;
}

static void close_from(struct from *from)
{
	fetch_destroy(from->http);
	if (from->directory >= 0)
		close(from->directory);
}

static int open_copy(const char *path, struct failure *failure)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		failure_set(failure, "%.300s: cannot be made: %s", path, strerror(errno));
		return -1;
	}
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		failure_set(failure, "%.300s: %s", path, strerror(errno));
	/* Until the process ends. */
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		failure_set(failure, "%.300s: another `metrino audit follow` writes this copy",
			    path);
		close(fd);
		return -1;
	}
	return fd;
}

/* Given; else that of the copy; else, the first time, the one beside the log, which is said. */
static bool find_vkey(const struct audit_request *request, struct from *from, int copy,
		      struct note_verifier *verifier, struct failure *failure)
{
	struct audit_file file;

	if (request->vkey)
		return audit_vkey_given(request->vkey, verifier, failure);
	if (faccessat(copy, AUDIT_VKEY_NAME, F_OK, 0) == 0)
		return audit_vkey_load(copy, verifier, failure);
	if (fetch(from, AUDIT_VKEY_NAME, NOTE_VKEY_SIZE, &file, failure) != AUDIT_FOUND)
		return false;
	const bool ok = note_vkey_read(slice_of(file.at, file.len), verifier, failure);

	free(file.at);
	if (ok)
		printf("the first look: the key beside the log is believed from now on; --vkey KEY "
		       "takes the one that you were given\n");
	return ok;
}

/* A log that stands still: the broker writes each hour, and says when it stops. */
static bool check_age(const struct audit_request *request, int copy, uint64_t size,
		      struct failure *failure)
{
	struct audit_reader *reader = calloc(1, sizeof(*reader));
	struct audit_event event = {0};
	struct slice line;
	uint64_t hours;

	must(reader);
	if (!text_number(slice_text(request->max_age), &hours)) {
		free(reader);
		return failure_set(failure, "--max-age needs hours, not '%.40s'", request->max_age);
	}
	audit_reader_init(reader, copy, size);
	bool ok = size > 0 && audit_reader_entry(reader, size - 1, &line, failure) &&
		  audit_event_read(line, &event);
	const uint64_t now_s = (uint64_t)time(NULL);
	const uint64_t age_h = now_s > event.time_s ? (now_s - event.time_s) / HOUR_S : 0;

	audit_reader_finish(reader);
	free(reader);
	if (!ok)
		return failure_set(failure, "the log has no entry that tells its age");
	/* Else it could stand still until then. */
	if (event.time_s > now_s + HOUR_S)
		return failure_set(failure,
				   "the log's last entry is %" PRIu64
				   " hours ahead: the clock is wrong, there or here",
				   (event.time_s - now_s) / HOUR_S);
	return age_h <= hours ||
	       failure_set(failure,
			   "the log stands still: its last entry is %" PRIu64 " hours old%s", age_h,
			   event.type == AUDIT_STOP ? ", and says that the broker stopped" : "");
}

static bool follow(const struct audit_request *request, struct from *from, int copy,
		   struct failure *failure)
{
	const struct audit_mirror_source source = {from, fetch};
	struct note_verifier verifier;

	if (!find_vkey(request, from, copy, &verifier, failure))
		return false;
	struct audit_mirror *mirror = audit_mirror_open(copy, &verifier, failure);

	if (!mirror)
		return false;
	const uint64_t old = audit_mirror_checkpoint(mirror).size;
	bool ok = audit_mirror_follow(mirror, &source, failure);
	const uint64_t size = audit_mirror_checkpoint(mirror).size;

	audit_mirror_close(mirror);
	if (ok)
		printf("the log of %" PRIu64 " entries continues that of %" PRIu64 "\n", size, old);
	return ok && (!request->max_age || check_age(request, copy, size, failure));
}

bool audit_follow(const struct audit_request *request, struct failure *failure)
{
	struct from from;

	if (!request->copy)
		return failure_set(failure, "follow needs --copy DIR, where its copy is kept");
	if (!open_from(&from, request->operand, failure))
		return false;
	const int copy = open_copy(request->copy, failure);
	const bool ok = copy >= 0 && follow(request, &from, copy, failure);

	if (copy >= 0)
		close(copy);
	close_from(&from);
	return ok;
}
