/*
 * account_mail.c - the mail with a recovery code: written to the configured mailer's standard
 * input, by a process that is left behind.
 *
 * Whoever asks for a recovery may not learn whether there is such an account.  So the process is
 * started in either case, and nobody waits for it; that the mailer failed goes to syslog, without
 * the address.
 */
#include "cli/account_request.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#define WORDS_MAX 16

static const char text[] =
    "To: <%.*s>\n"
    "Subject: A code for a new password\n"
    "MIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=utf-8\n"
    "Auto-Submitted: auto-generated\n"
    "\n"
    "Somebody, probably you, asked for a new password of your account.\n"
    "\n"
    "The code is %s\n"
    "\n"
    "It is good for 15 minutes and for one new password.  If it was not you who asked, do\n"
    "nothing: without the code nothing changes.\n";

/* Program and arguments, between blanks; `words` points into `line`. */
static bool cut(char *line, char *words[WORDS_MAX + 1], struct failure *failure)
{
	size_t count = 0;
	char *rest = NULL;

	for (char *word = strtok_r(line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		if (count == WORDS_MAX)
			return failure_set(failure, "recovery_mailer has more than %d words.",
					   WORDS_MAX);
		words[count++] = word;
	}
	words[count] = NULL;
	if (count == 0 || words[0][0] != '/')
		return failure_set(failure, "recovery_mailer does not begin with the path of a "
					    "program.");
	if (access(words[0], X_OK) != 0)
		return failure_set(failure, "recovery_mailer: %.300s: %s.", words[0],
				   strerror(errno));
	return true;
}

/* In the process that stays behind: nothing of ours is open in it. */
static void leave_behind(void)
{
	int nowhere = open("/dev/null", O_RDWR);

	setsid();
	for (int fd = 0; nowhere >= 0 && fd < 3; fd++)
		dup2(nowhere, fd);
	closefrom(3);
	signal(SIGPIPE, SIG_IGN);
}

static void run_mailer(char *const words[], int input)
{
	dup2(input, STDIN_FILENO);
	closefrom(3);
	execv(words[0], words);
	_exit(127);
}

static bool write_mail(int fd, struct slice address, const char *code)
{
	FILE *mail = fdopen(fd, "w");

	if (mail == NULL)
		return false;
	fprintf(mail, text, (int)address.len, (const char *)address.at, code);
	return fclose(mail) == 0;
}

static void send_mail(char *const words[], struct slice address, const char *code)
{
	int pipe_of[2], status = -1;

	if (pipe2(pipe_of, O_CLOEXEC) != 0)
		return;
	const pid_t child = fork();

	if (child == 0)
		run_mailer(words, pipe_of[0]);
	close(pipe_of[0]);
	const bool written = write_mail(pipe_of[1], address, code);

	if (child > 0 && waitpid(child, &status, 0) == child && written && status == 0)
		return;
	openlog("metrino", LOG_PID, LOG_DAEMON);
	syslog(LOG_ERR, "recovery_mailer failed (status %d): a mail with a code was not sent",
	       status);
}

bool account_mail_send(const char *mailer, struct slice address, const char *code,
		       struct failure *failure)
{
	char *words[WORDS_MAX + 1];
	char *line = strdup(mailer);

	must(line);
	bool good = cut(line, words, failure);
	const pid_t child = good ? fork() : 0;

	if (good && child == 0) {
		leave_behind();
		if (code)
			send_mail(words, address, code);
		_exit(0);
	}
	if (good && child < 0)
		good = failure_set(failure, "cannot start a process: %s.", strerror(errno));
	free(line);
	return good;
}
