/*
 * event.h - entries of the audit log: one line of canonical JSON each, of the closed table
 * in event.def.
 *
 * Canonical: keys in the order of their bytes, no space, integers without sign or zeroes
 * before them, words and hashes in quotation marks.  There is one line for an event, and
 * every other line is refused.
 *
 * Ownership: the caller's memory.
 * Thread: any.
 */
#ifndef STORAGE_AUDIT_EVENT_H
#define STORAGE_AUDIT_EVENT_H

#include "storage/audit/crypto.h"

enum audit_event_type {
#define WORDS(kind)
#define WORD(kind, name, text)
#define EVENT(name, text, sentence) AUDIT_##name,
#define FIELD(event, name, text, kind)
#define LATER(event, name, text, kind)
#include "storage/audit/event.def"
	AUDIT_EVENTS
#undef EVENT
};

/* AUDIT_FIELD_START_CONFIG */
enum audit_field {
#define EVENT(name, text, sentence)
#undef FIELD
#undef LATER
#define FIELD(event, name, text, kind) AUDIT_FIELD_##event##_##name,
#define LATER(event, name, text, kind) AUDIT_FIELD_##event##_##name,
#include "storage/audit/event.def"
	AUDIT_FIELDS
#undef FIELD
#undef LATER
};

/* AUDIT_WORD_SWITCH_OFF */
enum audit_word {
#define FIELD(event, name, text, kind)
#define LATER(event, name, text, kind)
#undef WORD
#define WORD(kind, name, text) AUDIT_WORD_##kind##_##name,
#include "storage/audit/event.def"
	AUDIT_WORDS
#undef WORD
#undef WORDS
#undef EVENT
#undef FIELD
#undef LATER
};

/* The value of a field that the entry is too old to have. */
#define AUDIT_ABSENT UINT64_MAX

/* The value of a field that is a region: its two letters. */
#define AUDIT_REGION(first, second) ((uint64_t)(uint8_t)(first) << 8 | (uint8_t)(second))

struct audit_event {
	enum audit_event_type type;
	uint64_t index;
	uint64_t time_s;	       /* the start of the hour */
	uint64_t values[AUDIT_FIELDS]; /* a number, a region, or enum audit_word */
	struct audit_hash hash;	       /* the value of a field that is a hash */
};

/* Room for a line, with the zero at its end.  There is no newline in it. */
#define AUDIT_LINE_SIZE 1024u

/* Gives the length. */
size_t audit_event_write(const struct audit_event *event, char line[AUDIT_LINE_SIZE]);

/* False when the line is not one that audit_event_write() writes. */
bool audit_event_read(struct slice line, struct audit_event *event);

/* A sentence for people; gives its length. */
size_t audit_event_tell(const struct audit_event *event, char text[AUDIT_LINE_SIZE]);

#endif
