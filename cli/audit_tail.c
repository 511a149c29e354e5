/* audit_tail.c - `metrino audit tail`: entries as sentences, or as they are. */
#include "cli/audit.h"
#include "storage/audit/event.h"
#include "storage/audit/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define LOOK_AGAIN_NS 300000000L

static void print_entry(struct slice line, bool json)
{
	struct audit_event event;
	char sentence[AUDIT_LINE_SIZE];
	char hour[32] = "?";
	struct tm utc;

	if (json || !audit_event_read(line, &event)) {
		/* Of a later version, perhaps; nothing in it may steer the terminal. */
		for (size_t i = 0; i < line.len; i++)
			putchar(line.at[i] >= ' ' && line.at[i] < 127 ? line.at[i] : '?');
		putchar('\n');
		return;
	}
	const time_t time_s = (time_t)event.time_s;

	if (gmtime_r(&time_s, &utc) != NULL)
		strftime(hour, sizeof(hour), "%Y-%m-%d %H:00 UTC", &utc);
	audit_event_tell(&event, sentence);
	printf("%s  %" PRIu64 "  %s\n", hour, event.index, sentence);
}

static bool print_from(const struct audit_place *place, uint64_t begin, bool json,
		       struct failure *failure)
{
	struct audit_reader reader;
	struct slice line;
	bool ok = true;

	audit_reader_init(&reader, place->directory, place->checkpoint.size);
	for (uint64_t i = begin; ok && i < place->checkpoint.size; i++) {
		ok = audit_reader_entry(&reader, i, &line, failure);
		if (ok)
			print_entry(line, json);
	}
	audit_reader_finish(&reader);
	return ok;
}

static bool follow(struct audit_place *place, const struct audit_request *request,
		   struct failure *failure)
{
	uint64_t shown = place->checkpoint.size;

	while (fflush(stdout) == 0) {
		nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_NS}, NULL);
		if (!audit_place_read(place, request->vkey, failure))
			return false;
		if (place->checkpoint.size < shown)
			return failure_set(failure,
					   "the log has %" PRIu64 " entries and had %" PRIu64
					   ": it was put back to an earlier state",
					   place->checkpoint.size, shown);
		if (!print_from(place, shown, request->json, failure))
			return false;
		shown = place->checkpoint.size;
	}
	return failure_set(failure, "the output was closed");
}

bool audit_tail(const struct audit_request *request, struct failure *failure)
{
	struct audit_place place;
	uint64_t count = 10;

	if (request->count && !text_number(slice_text(request->count), &count))
		return failure_set(failure, "-n needs a number, not '%.40s'", request->count);
	if (!audit_place_open(&place, request->data, failure))
		return false;
	bool ok = audit_place_read(&place, request->vkey, failure);
	const uint64_t size = place.checkpoint.size;

	ok = ok && print_from(&place, size > count ? size - count : 0, request->json, failure) &&
	     (!request->follow || follow(&place, request, failure));
	audit_place_finish(&place);
	return ok;
}
