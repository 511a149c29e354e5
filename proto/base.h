/*
 * base.h - what every floor needs: slices, assertions, failures.  No I/O.
 *
 * Three kinds of error, three types (docs/house.md, "Conventions"):
 *   ours        must(condition), on in every build; ends the process
 *   the peer's  enum mqtt_reason, the very code that is sent (reason.h)
 *   the world's bool and struct failure, filled at the bottom, given context
 *               on the way up, printed once at the top
 *
 * Thread: everything here may be called from any thread.
 */
#ifndef PROTO_BASE_H
#define PROTO_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Our own mistakes.  must_fail() notes where, for the handler of SIGABRT to
 * print, and aborts; it never returns and never prints itself.
 */
#define must(condition) ((condition) ? (void)0 : must_fail(#condition, __FILE__, __LINE__))

_Noreturn void must_fail(const char *condition, const char *file, int line);

/* What must_fail() was given, "file:line: condition"; "" before that. */
extern char must_failed_text[256];

/* Bytes that belong to somebody else.  A slice always borrows. */
struct slice {
	const uint8_t *at;
	size_t len;
};

#define SLICE_NONE ((struct slice){NULL, 0})

/* The bytes of a string literal, without its terminating zero. */
#define SLICE_LITERAL(text) ((struct slice){(const uint8_t *)("" text), sizeof(text) - 1})

static inline struct slice slice_of(const void *at, size_t len)
{
	return (struct slice){at, len};
}

static inline struct slice slice_text(const char *text)
{
	must(text != NULL);
	return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	if (a.len != b.len || a.len == 0)
		return a.len == b.len;
	must(a.at != NULL && b.at != NULL);
	return memcmp(a.at, b.at, a.len) == 0;
}

/* The rest of a slice after its first n bytes; n <= s.len. */
static inline struct slice slice_after(struct slice s, size_t n)
{
	return n > 0 ? slice_of(s.at + n, s.len - n) : s;
}

/* A failure of the world around us, as a sentence for the operator. */
struct failure {
	char text[512];
};

/* Fills in a failure and returns false, so that `return failure_set(...)` reads well. */
bool failure_set(struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the text that is there.  Returns false. */
bool failure_context(struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Lets analysers see, across files, that both return false. */
static inline bool failure_told(bool told)
{
	(void)told;
	return false;
}

#define failure_set(...)     failure_told((failure_set)(__VA_ARGS__))
#define failure_context(...) failure_told((failure_context)(__VA_ARGS__))

#endif
