/* secret.c - see secret.h. */
#include "cli/secret.h"

#include <stdio.h>
#include <termios.h>
#include <unistd.h>

static bool read_line(const char *what, struct text *line, struct failure *failure)
{
	size_t room = 0;
	ssize_t len = getline(&line->at, &room, stdin);

	if (len < 0)
		return failure_set(failure, "there is no %s on standard input.", what);
	line->len = (size_t)len;
	while (line->len > 0 &&
	       (line->at[line->len - 1] == '\n' || line->at[line->len - 1] == '\r'))
		line->at[--line->len] = '\0';
	return true;
}

static bool ask(const char *prompt, const char *what, bool hides, struct text *line,
		struct failure *failure)
{
	struct termios shown, hidden;
	const bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;

	*line = (struct text){0};
	if (terminal) {
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)(hides ? ECHO : 0);
		fputs(prompt, stderr);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	const bool read = read_line(what, line, failure);

	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		if (hides)
			fputc('\n', stderr);
	}
	return read;
}

bool secret_read(const char *what, enum secret_kind kind, struct text *text,
		 struct failure *failure)
{
	struct text again = {0};
	char prompt[64];

	snprintf(prompt, sizeof(prompt), "%c%s: ", what[0] - 'a' + 'A', what + 1);
	bool good = ask(prompt, what, kind != SECRET_SHOWN, text, failure);

	if (good && kind == SECRET_TWICE && isatty(STDIN_FILENO)) {
		snprintf(prompt, sizeof(prompt), "Reenter %s: ", what);
		good = ask(prompt, what, true, &again, failure);
		if (good && strcmp(text->at, again.at) != 0)
			good = failure_set(failure, "the two are not the same.");
	}
	text_file_free(&again);
	if (good)
		return true;
	text_file_free(text);
	*text = (struct text){0};
	return false;
}
