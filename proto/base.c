/* base.c - see base.h. */
#include "proto/base.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

char must_failed_text[256];

_Noreturn void must_fail(const char *condition, const char *file, int line)
{
	/* Threads may fail together: the first one's reason is the one to print. */
	static atomic_flag noted = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&noted))
		snprintf(must_failed_text, sizeof(must_failed_text), "%s:%d: %s", file, line,
			 condition);
	abort();
}

bool(failure_set)(struct failure *failure, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(failure->text, sizeof(failure->text), format, arguments);
	va_end(arguments);
	return false;
}

bool(failure_context)(struct failure *failure, const char *format, ...)
{
	struct failure cause = *failure;
	const size_t room = sizeof(failure->text);
	va_list arguments;
	size_t used;

	va_start(arguments, format);
	vsnprintf(failure->text, room, format, arguments);
	va_end(arguments);
	used = strlen(failure->text);
	snprintf(failure->text + used, room - used, ": %s", cause.text);
	return false;
}
