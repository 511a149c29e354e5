/* event.c - see event.h. */
#include "storage/audit/event.h"
#include "storage/audit/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum kind {
	KIND_NUMBER,
	KIND_HASH,
	KIND_REGION,
#define WORDS(kind) KIND_##kind,
#define WORD(kind, name, text)
#define EVENT(name, text, sentence)
#define FIELD(event, name, text, kind)
#define LATER(event, name, text, kind)
#include "storage/audit/event.def"
#undef WORDS
#undef WORD
#undef EVENT
#undef FIELD
#undef LATER
};

static const struct {
	enum kind kind;
	const char *text;
} words[] = {
#define WORDS(kind)
#define WORD(kind, name, text) {KIND_##kind, text},
#define EVENT(name, text, sentence)
#define FIELD(event, name, text, kind)
#define LATER(event, name, text, kind)
#include "storage/audit/event.def"
#undef WORD
#undef EVENT
};

static const struct {
	const char *text;
	const char *sentence;
} events[] = {
#define WORD(kind, name, text)
#define EVENT(name, text, sentence) {text, sentence},
#include "storage/audit/event.def"
#undef EVENT
#undef FIELD
#undef LATER
};

static const struct {
	enum audit_event_type event;
	const char *text;
	enum kind kind;
	bool later;
} fields[] = {
#define EVENT(name, text, sentence)
#define FIELD(event, name, text, kind) {AUDIT_##event, text, KIND_##kind, false},
#define LATER(event, name, text, kind) {AUDIT_##event, text, KIND_##kind, true},
#include "storage/audit/event.def"
};

/* ---- one writer for lines and values: what does not fit is ours */

struct out {
	char *text;
	size_t len;
};

static void put(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct out *out, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int len = vsnprintf(out->text + out->len, AUDIT_LINE_SIZE - out->len, format, arguments);
	va_end(arguments);
	must(len >= 0 && out->len + (size_t)len < AUDIT_LINE_SIZE);
	out->len += (size_t)len;
}

static bool is_absent(const struct audit_event *event, size_t field)
{
	return fields[field].later && event->values[field] == AUDIT_ABSENT;
}

static bool is_letter(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z';
}

static void put_value(struct out *out, const struct audit_event *event, size_t field,
		      const char *quote)
{
	const uint64_t value = event->values[field];
	const enum kind kind = fields[field].kind;

	if (kind == KIND_NUMBER) {
		put(out, "%" PRIu64, value);
		return;
	}
	put(out, "%s", quote);
	if (kind == KIND_HASH) {
		for (size_t i = 0; i < AUDIT_HASH_LEN; i++)
			put(out, "%02x", event->hash.bytes[i]);
	} else if (kind == KIND_REGION) {
		must(is_letter((uint8_t)(value >> 8)) && is_letter((uint8_t)value) &&
		     value >> 16 == 0);
		put(out, "%c%c", (int)(value >> 8), (int)(value & 0xff));
	} else {
		must(value < AUDIT_WORDS && words[value].kind == kind);
		put(out, "%s", words[value].text);
	}
	put(out, "%s", quote);
}

/* ---- lines */

/* What every entry has, in the order of its bytes. */
enum common { COMMON_EVENT, COMMON_INDEX, COMMON_TIME, COMMONS };
static const char *const common_names[COMMONS] = {"event", "index", "time"};

static void put_common(struct out *out, const struct audit_event *event, enum common which)
{
	put(out, out->len > 1 ? ",\"%s\":" : "\"%s\":", common_names[which]);
	if (which == COMMON_EVENT)
		put(out, "\"%s\"", events[event->type].text);
	else
		put(out, "%" PRIu64, which == COMMON_INDEX ? event->index : event->time_s);
}

size_t audit_event_write(const struct audit_event *event, char line[AUDIT_LINE_SIZE])
{
	struct out out = {.text = line};
	unsigned common = COMMON_EVENT;

	must(event->type < AUDIT_EVENTS);
	put(&out, "{");
	for (size_t i = 0; i < AUDIT_FIELDS; i++) {
		if (fields[i].event != event->type || is_absent(event, i))
			continue;
		while (common < COMMONS && strcmp(common_names[common], fields[i].text) < 0)
			put_common(&out, event, common++);
		put(&out, out.len > 1 ? ",\"%s\":" : "\"%s\":", fields[i].text);
		put_value(&out, event, i, "\"");
	}
	while (common < COMMONS)
		put_common(&out, event, common++);
	put(&out, "}");
	return out.len;
}

/* ---- reading: a loose look, then the line must be the one that we would write */

static bool read_word(struct slice text, enum kind kind, uint64_t *value)
{
	for (size_t i = 0; i < AUDIT_WORDS; i++)
		if (words[i].kind == kind && slice_equal(text, slice_text(words[i].text))) {
			*value = i;
			return true;
		}
	return false;
}

static bool read_hash(struct slice text, struct audit_hash *hash)
{
	static const char digits[] = "0123456789abcdef";

	if (text.len != 2 * AUDIT_HASH_LEN)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		const char *digit = text.at[i] ? strchr(digits, text.at[i]) : NULL;

		if (digit == NULL)
			return false;
		hash->bytes[i / 2] = (uint8_t)(hash->bytes[i / 2] << 4 | (digit - digits));
	}
	return true;
}

static bool read_region(struct slice text, uint64_t *value)
{
	if (text.len != 2 || !is_letter(text.at[0]) || !is_letter(text.at[1]))
		return false;
	*value = AUDIT_REGION(text.at[0], text.at[1]);
	return true;
}

/* The text of a key, without quotation marks; false when it is not there. */
static bool find(struct slice line, const char *key, struct slice *value)
{
	char name[40];
	int len = snprintf(name, sizeof(name), "\"%s\":", key);
	const uint8_t *at = memmem(line.at, line.len, name, (size_t)len);

	if (at == NULL)
		return false;
	line = slice_after(line, (size_t)(at - line.at) + (size_t)len);
	const bool quoted = text_begins(&line, "\"");
	size_t end = 0;

	while (end < line.len && line.at[end] != (quoted ? '"' : ',') && line.at[end] != '}')
		end++;
	*value = slice_of(line.at, end);
	return true;
}

static bool read_field(struct slice line, size_t field, struct audit_event *event)
{
	struct slice value;

	if (!find(line, fields[field].text, &value)) {
		event->values[field] = AUDIT_ABSENT;
		return fields[field].later;
	}
	if (fields[field].kind == KIND_REGION)
		return read_region(value, &event->values[field]);
	if (fields[field].kind == KIND_NUMBER)
		return text_number(value, &event->values[field]);
	if (fields[field].kind == KIND_HASH)
		return read_hash(value, &event->hash);
	return read_word(value, fields[field].kind, &event->values[field]);
}

static bool read_commons(struct slice line, struct audit_event *event)
{
	struct slice name;
	struct slice index;
	struct slice time;

	if (!find(line, "event", &name) || !find(line, "index", &index) ||
	    !find(line, "time", &time) || !text_number(index, &event->index) ||
	    !text_number(time, &event->time_s))
		return false;
	for (size_t i = 0; i < AUDIT_EVENTS; i++)
		if (slice_equal(name, slice_text(events[i].text))) {
			event->type = (enum audit_event_type)i;
			return true;
		}
	return false;
}

bool audit_event_read(struct slice line, struct audit_event *event)
{
	char again[AUDIT_LINE_SIZE];

	*event = (struct audit_event){0};
	if (line.len == 0 || line.len >= AUDIT_LINE_SIZE || !read_commons(line, event))
		return false;
	for (size_t i = 0; i < AUDIT_FIELDS; i++)
		if (fields[i].event == event->type && !read_field(line, i, event))
			return false;
	return slice_equal(line, slice_of(again, audit_event_write(event, again)));
}

/* ---- sentences */

static void put_named(struct out *out, const struct audit_event *event, const char *name,
		      size_t len)
{
	for (size_t i = 0; i < AUDIT_FIELDS; i++) {
		if (fields[i].event != event->type ||
		    !slice_equal(slice_text(fields[i].text), slice_of(name, len)))
			continue;
		if (is_absent(event, i))
			put(out, "none");
		else
			put_value(out, event, i, "");
		return;
	}
	must(false); /* a sentence names fields of its event */
}

size_t audit_event_tell(const struct audit_event *event, char text[AUDIT_LINE_SIZE])
{
	struct out out = {.text = text};
	const char *at = events[event->type].sentence;

	text[0] = '\0';
	while (*at) {
		size_t len = strcspn(at, "{");

		put(&out, "%.*s", (int)len, at);
		at += len;
		if (*at == '\0')
			break;
		len = strcspn(at, "}");
		put_named(&out, event, at + 1, len - 1);
		at += len + 1;
	}
	return out.len;
}
