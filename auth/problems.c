/* problems.c - see problems.h. */
#include "auth/problems.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void add_line(struct problems *problems, const char *sentence)
{
	const char *about = problems->about;
	char *text = NULL;
	must(asprintf(&text, "%s%s%s%s\n", problems->text ? problems->text : "", about ? about : "",
		      about ? ": " : "", sentence) >= 0);
	free(problems->text);
	problems->text = text;
}

bool(problems_add)(struct problems *problems, const char *format, ...)
{
	struct failure sentence;
	va_list arguments;
	if (++problems->count > PROBLEMS_MAX + 1)
		return false;
	va_start(arguments, format);
	vsnprintf(sentence.text, sizeof sentence.text, format, arguments);
	va_end(arguments);
	add_line(problems, problems->count > PROBLEMS_MAX ? "and more" : sentence.text);
	return false;
}

bool problems_first(const struct problems *problems, struct failure *failure)
{
	must(problems->text);
	return failure_set(failure, "%.*s", (int)strcspn(problems->text, "\n"), problems->text);
}

void problems_free(struct problems *problems)
{
	free(problems->text);
	*problems = (struct problems){0};
}
