/* secret.c - see secret.h. */
#include "cli/secret.h"

#include <signal.h>
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

/* ---- at a terminal that shows nothing */

static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

#define ENDS (sizeof(ends) / sizeof(ends[0]))

static struct termios shown;
static struct sigaction before[ENDS];

/* Whoever ends us gets a terminal back that shows what is typed. */
static void show_and_end(int number)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &shown);
	raise(number); /* by SA_RESETHAND to the end, once this returns */
}

/* It cannot be left for the shell meanwhile (^Z): what comes back would not be hidden. */
static void hide(void)
{
	const struct sigaction action = {.sa_handler = show_and_end, .sa_flags = (int)SA_RESETHAND};
	struct termios hidden = shown;

	for (size_t i = 0; i < ENDS; i++) {
		sigaction(ends[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(ends[i], &action, NULL);
	}
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	hidden.c_cc[VSUSP] = _POSIX_VDISABLE;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
}

static void show(void)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	for (size_t i = 0; i < ENDS; i++)
		sigaction(ends[i], &before[i], NULL);
	fputc('\n', stderr);
}

static bool ask(const char *prompt, const char *what, bool hides, struct text *line,
		struct failure *failure)
{
	const bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;

	*line = (struct text){0};
	if (terminal)
		fputs(prompt, stderr);
	if (terminal && hides)
		hide();
	const bool read = read_line(what, line, failure);

	if (terminal && hides)
		show();
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
